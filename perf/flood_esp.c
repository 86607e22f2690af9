/* SPDX-License-Identifier: BSD-2-Clause */
/* flood_esp.c - see flood_esp.h. */
#include "perf/flood_esp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/arena.h"
#include "dataplane/stages/aead.h"
#include "dataplane/stages/wire.h"

#define ESP_AT (SPW_ETHER_BYTES + SPW_IPV4_BYTES + SPW_UDP_BYTES)
#define KEY_BYTES 16u
#define SALT_BYTES 4u
#define ARENA_BYTES (1u << 20)

static int read_key(const char *hex, uint8_t key[KEY_BYTES + SALT_BYTES])
{
	for (uint32_t k = 0; k < KEY_BYTES + SALT_BYTES; k++) {
		unsigned int octet;
		if (sscanf(hex + 2 * k, "%2x", &octet) != 1)
			return -EINVAL;
		key[k] = (uint8_t)octet;
	}
	return 0;
}

/* With ESN; the IV is the sequence number (RFC 4106 3.1: unique under a key is enough). */
static int seal_one(const struct spw_aead *aead, const uint8_t *salt, uint8_t *frame,
		    uint32_t bytes, uint64_t sequence)
{
	uint8_t *esp = frame + ESP_AT, nonce[SPW_NONCE_BYTES], aad[12];
	uint32_t text_bytes = bytes - ESP_AT - SPW_ESP_BYTES - SPW_ICV_BYTES;
	uint8_t *text = esp + SPW_ESP_BYTES;

	spw_put_be32(esp + 4, (uint32_t)sequence);
	spw_put_be64(esp + 8, sequence);
	memcpy(nonce, salt, SALT_BYTES);
	spw_put_be64(nonce + SALT_BYTES, sequence);
	memcpy(aad, esp, 4);
	spw_put_be64(aad + 4, sequence);
	return spw_aead_seal(aead, nonce, aad, sizeof(aad), text, text_bytes, text + text_bytes)
		       ? 0
		       : -EIO;
}

int flood_esp_seal(uint8_t *frames, uint32_t stride, uint32_t cnt, const uint8_t *frame,
		   uint32_t bytes, const char *key_hex, uint64_t first)
{
	uint8_t key[KEY_BYTES + SALT_BYTES];
	char why[256];

	if (bytes <= ESP_AT + SPW_ESP_BYTES + SPW_ICV_BYTES || strlen(key_hex) != 2 * sizeof(key))
		return -EINVAL;
	int error = read_key(key_hex, key);
	if (!error)
		error = spw_arena_open(ARENA_BYTES);
	if (!error)
		error = spw_aead_choose("auto", 1, why, sizeof(why));
	if (error)
		return error;
	struct spw_aead *aead = spw_aead_create(0, key, KEY_BYTES, true);
	if (!aead)
		return -ENOMEM;
	for (uint32_t k = 0; k < cnt && !error; k++) {
		memcpy(frames + (size_t)k * stride, frame, bytes);
		error = seal_one(aead, key + KEY_BYTES, frames + (size_t)k * stride, bytes,
				 first + k);
	}
	spw_aead_destroy(aead);
	return error;
}
