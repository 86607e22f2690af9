/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noise_peer PRIVATE PEER PSK - one end of handshakes, for test_dissononce.py: a command a line on
 * stdin, one line of JSON a command on stdout. Bytes are hex digits.
 *
 *	init             {"wire"}                                   writes an INIT
 *	answer INIT      {"error"} or {"wire", "made", terms, keys} reads it, writes the RESPONSE
 *	finish RESPONSE  {"error"} or {terms, keys}                 reads it
 *	cookie INIT      {"wire"}                                   the reply of a node under load
 *	mac2 INIT        {"valid"}                                  what that node says to it
 *	take COOKIE      {"error"}                                  for the next INIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/noise/sides.h"

#define INDEX 0x01020304u

static struct side side;
static struct spw_cookie_secret secret;
static struct spw_cookie cookie;
static const struct spw_cookie_source source = {
	{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}, 4500};

static size_t unhex(const char *hex, uint8_t *out, size_t max)
{
	size_t bytes = 0;
	unsigned int byte;

	while (bytes < max && sscanf(hex + 2 * bytes, "%2x", &byte) == 1)
		out[bytes++] = (uint8_t)byte;
	return bytes;
}

static void show(const char *name, const void *data, size_t bytes)
{
	printf("\"%s\": \"", name);
	for (size_t i = 0; i < bytes; i++)
		printf("%02x", ((const uint8_t *)data)[i]);
	printf("\", ");
}

static void show_terms(const struct spw_noise_terms *terms)
{
	printf("\"caps\": %u, \"children\": %u, \"window\": %u, \"mtu\": %u, \"port\": %u, ",
	       terms->caps, terms->children, terms->window_log2, terms->mtu_bytes, terms->port);
	show("address", terms->address, sizeof(terms->address));
	printf("\"spis\": [");
	for (uint32_t i = 0; i < SPW_SESSION_CHILDREN_MAX; i++)
		printf("%s%u", i ? ", " : "", terms->spi[i]);
	printf("], ");
}

static void show_sa(const char *name, bool sending, uint16_t key_bits)
{
	struct spw_sa_secret sa;

	if (spw_noise_sa_derive(&side.keys, sending, key_bits, 3, 0x12345678, &sa) < 0)
		abort();
	printf("\"%s_mask\": %llu, ", name, (unsigned long long)sa.iv_mask);
	show(name, sa.key, key_bits / 8);
	char salt[32];
	snprintf(salt, sizeof(salt), "%s_salt", name);
	show(salt, sa.salt, sizeof(sa.salt));
}

static void show_keys(void)
{
	show("k_send", side.keys.k_send, SPW_HASH_BYTES);
	show("k_receive", side.keys.k_receive, SPW_HASH_BYTES);
	show("hash", side.keys.handshake_hash, SPW_HASH_BYTES);
	show_sa("sa128", true, 128);
	show_sa("sa256", false, 256);
}

static void init(void)
{
	struct spw_noise_offer offer = sides_offer(3);
	struct spw_wire_init wire;

	if (spw_noise_init_write(&side.handshake, &side.identity, &side.peer, INDEX, &offer,
				 &wire) < 0 ||
	    spw_cookie_add(&cookie, 0, &wire, sizeof(wire)) < 0)
		abort();
	show("wire", &wire, sizeof(wire));
}

static int answer(const uint8_t *data, size_t bytes)
{
	struct spw_noise_answer said = sides_answer(5);
	struct spw_wire_response wire;
	struct spw_noise_offer offer;
	int err = side_take_init(&side, data, bytes, &offer);

	if (err)
		return err;
	if (spw_noise_response_write(&side.handshake, &side.peer, INDEX, &said, &wire, &side.keys) <
	    0)
		abort();
	show("wire", &wire, sizeof(wire));
	show("made", offer.made.bytes, SPW_TAI64N_BYTES);
	show_terms(&offer.terms);
	show_keys();
	return 0;
}

static int finish(const uint8_t *data, size_t bytes)
{
	struct spw_noise_answer said;
	int err = side_take_response(&side, data, bytes, &said);

	if (err == 0) {
		show_terms(&said.terms);
		show_keys();
	}
	return err;
}

static int run(const char *command, const uint8_t *data, size_t bytes)
{
	struct spw_wire_cookie reply;

	if (strcmp(command, "init") == 0) {
		init();
		return 0;
	}
	if (strcmp(command, "answer") == 0)
		return answer(data, bytes);
	if (strcmp(command, "finish") == 0)
		return finish(data, bytes);
	if (strcmp(command, "take") == 0)
		return spw_cookie_reply_read(&cookie, 0, &side.peer, (const void *)data);
	if (strcmp(command, "mac2") == 0) {
		printf("\"valid\": %d, ", spw_mac2_valid(&secret, 0, &source, data, bytes));
		return 0;
	}
	if (strcmp(command, "cookie") != 0)
		abort();
	if (spw_cookie_reply_write(&secret, 0, &side.identity, &source, data, bytes, &reply) < 0)
		abort();
	show("wire", &reply, sizeof(reply));
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t keys[3][SPW_WIRE_KEY_BYTES], data[512];
	char line[2048], command[16], hex[2000];

	for (int i = 0; i < 3; i++)
		if (argc != 4 || unhex(argv[1 + i], keys[i], sizeof(keys[i])) != sizeof(keys[i]))
			abort();
	if (spw_noise_identity_init(&side.identity, keys[0]) < 0 ||
	    spw_noise_peer_init(&side.peer, &side.identity, keys[1], keys[2]) < 0)
		abort();
	while (fgets(line, sizeof(line), stdin)) {
		hex[0] = 0;
		if (sscanf(line, "%15s %1999s", command, hex) < 1)
			abort();
		printf("{");
		printf("\"error\": %d}\n", run(command, data, unhex(hex, data, sizeof(data))));
		fflush(stdout);
	}
	return 0;
}
