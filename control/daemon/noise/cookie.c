/* SPDX-License-Identifier: BSD-2-Clause */
/* cookie.c - see cookie.h. */
#include "control/daemon/noise/cookie.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "control/daemon/noise/symmetric.h"

static struct spw_wire_macs *macs_of(void *message, size_t bytes)
{
	return (struct spw_wire_macs *)((uint8_t *)message + bytes - sizeof(struct spw_wire_macs));
}

static const struct spw_wire_macs *macs_in(const void *message, size_t bytes)
{
	return (const void *)((const uint8_t *)message + bytes - sizeof(struct spw_wire_macs));
}

static int short_mac(const void *key, size_t key_bytes, const struct spw_bytes *parts,
		     uint32_t parts_cnt, uint8_t out[SPW_WIRE_MAC_BYTES])
{
	uint8_t mac[SPW_HASH_BYTES];
	int err = spw_hmac(key, key_bytes, parts, parts_cnt, mac);

	memcpy(out, mac, SPW_WIRE_MAC_BYTES);
	OPENSSL_cleanse(mac, sizeof(mac));
	return err;
}

/* ---- mac1 --------------------------------------------------------------------------------- */

static int mac1_of(const uint8_t key[SPW_HASH_BYTES], const void *message, size_t bytes,
		   uint8_t mac1[SPW_WIRE_MAC_BYTES])
{
	struct spw_bytes covered = {message, bytes - sizeof(struct spw_wire_macs)};

	return short_mac(key, SPW_HASH_BYTES, &covered, 1, mac1);
}

int spw_mac1_write(const uint8_t mac1_key[SPW_HASH_BYTES], void *message, size_t bytes)
{
	return mac1_of(mac1_key, message, bytes, macs_of(message, bytes)->mac1);
}

bool spw_mac1_valid(const uint8_t mac1_key[SPW_HASH_BYTES], const void *message, size_t bytes)
{
	uint8_t mac1[SPW_WIRE_MAC_BYTES];

	return mac1_of(mac1_key, message, bytes, mac1) == 0 &&
	       CRYPTO_memcmp(mac1, macs_in(message, bytes)->mac1, sizeof(mac1)) == 0;
}

/* ---- mac2 --------------------------------------------------------------------------------- */

static int mac2_of(const uint8_t cookie[SPW_COOKIE_BYTES], const void *message, size_t bytes,
		   uint8_t mac2[SPW_WIRE_MAC_BYTES])
{
	struct spw_bytes covered = {message, bytes - SPW_WIRE_MAC_BYTES};

	return short_mac(cookie, SPW_COOKIE_BYTES, &covered, 1, mac2);
}

static int cookie_of(struct spw_cookie_secret *secret, uint64_t now_ms,
		     const struct spw_cookie_source *source, uint8_t cookie[SPW_COOKIE_BYTES])
{
	uint16_t port_be = htobe16(source->port);
	struct spw_bytes parts[] = {{source->address, sizeof(source->address)},
				    {&port_be, sizeof(port_be)}};

	if (!secret->drawn || now_ms - secret->drawn_ms >= SPW_COOKIE_SECRET_LIFE_MS) {
		secret->drawn = RAND_priv_bytes(secret->secret, sizeof(secret->secret)) == 1;
		secret->drawn_ms = now_ms;
		if (!secret->drawn)
			return -EIO;
	}
	return short_mac(secret->secret, sizeof(secret->secret), parts, 2, cookie);
}

bool spw_mac2_valid(struct spw_cookie_secret *secret, uint64_t now_ms,
		    const struct spw_cookie_source *source, const void *message, size_t bytes)
{
	uint8_t cookie[SPW_COOKIE_BYTES], mac2[SPW_WIRE_MAC_BYTES];
	bool valid = cookie_of(secret, now_ms, source, cookie) == 0 &&
		     mac2_of(cookie, message, bytes, mac2) == 0 &&
		     CRYPTO_memcmp(mac2, macs_in(message, bytes)->mac2, sizeof(mac2)) == 0;

	OPENSSL_cleanse(cookie, sizeof(cookie));
	return valid;
}

/* ---- the reply ---------------------------------------------------------------------------- */

/* A random nonce of 96 bits under a key that lives as long as the node would come to AES-GCM's
 * bound of 2^32 messages (SP 800-38D 8.3). So 16 of its 24 bytes make a key of their own. */
static int reply_key(const uint8_t cookie_key[SPW_HASH_BYTES],
		     const uint8_t nonce[SPW_COOKIE_NONCE_BYTES], uint8_t key[SPW_HASH_BYTES],
		     uint8_t iv[SPW_GCM_IV_BYTES])
{
	struct spw_bytes part = {nonce, 16};

	memset(iv, 0, SPW_GCM_IV_BYTES);
	memcpy(iv + 4, nonce + 16, 8);
	return spw_hmac(cookie_key, SPW_HASH_BYTES, &part, 1, key);
}

/* Both messages have their sender's index behind the head. */
static uint32_t sender_index_le(const void *message)
{
	uint32_t index_le;

	static_assert(offsetof(struct spw_wire_init, sender_index_le) ==
			      offsetof(struct spw_wire_response, sender_index_le),
		      "the same place");
	memcpy(&index_le,
	       (const uint8_t *)message + offsetof(struct spw_wire_init, sender_index_le),
	       sizeof(index_le));
	return index_le;
}

int spw_cookie_reply_write(struct spw_cookie_secret *secret, uint64_t now_ms,
			   const struct spw_noise_identity *identity,
			   const struct spw_cookie_source *source, const void *message,
			   size_t bytes, struct spw_wire_cookie *wire)
{
	struct spw_bytes aad = {macs_in(message, bytes)->mac1, SPW_WIRE_MAC_BYTES};
	uint8_t cookie[SPW_COOKIE_BYTES], key[SPW_HASH_BYTES], iv[SPW_GCM_IV_BYTES];
	int err;

	*wire = (struct spw_wire_cookie){
		.head = {.type = SPW_WIRE_COOKIE, .version = SPW_WIRE_VERSION},
		.receiver_index_le = sender_index_le(message),
	};
	err = RAND_bytes(wire->nonce, sizeof(wire->nonce)) == 1 ? 0 : -EIO;
	if (err == 0)
		err = cookie_of(secret, now_ms, source, cookie);
	if (err == 0)
		err = reply_key(identity->cookie_key, wire->nonce, key, iv);
	if (err == 0)
		err = spw_gcm_seal(key, iv, aad, cookie, sizeof(cookie), wire->sealed_cookie);
	OPENSSL_cleanse(cookie, sizeof(cookie));
	OPENSSL_cleanse(key, sizeof(key));
	return err;
}

int spw_cookie_add(struct spw_cookie *cookie, uint64_t now_ms, void *message, size_t bytes)
{
	struct spw_wire_macs *macs = macs_of(message, bytes);

	if (now_ms - cookie->received_ms >= SPW_COOKIE_LIFE_MS)
		cookie->held = false;
	memcpy(cookie->mac1, macs->mac1, sizeof(cookie->mac1));
	cookie->awaits = true;
	if (!cookie->held) {
		memset(macs->mac2, 0, sizeof(macs->mac2));
		return 0;
	}
	return mac2_of(cookie->cookie, message, bytes, macs->mac2);
}

int spw_cookie_reply_read(struct spw_cookie *cookie, uint64_t now_ms,
			  const struct spw_noise_peer *peer, const struct spw_wire_cookie *wire)
{
	struct spw_bytes aad = {cookie->mac1, sizeof(cookie->mac1)};
	uint8_t opened[SPW_COOKIE_BYTES], key[SPW_HASH_BYTES], iv[SPW_GCM_IV_BYTES];
	int err = cookie->awaits ? 0 : -EKEYREJECTED;

	if (err == 0)
		err = reply_key(peer->cookie_key, wire->nonce, key, iv);
	if (err == 0)
		err = spw_gcm_open(key, iv, aad, wire->sealed_cookie, sizeof(wire->sealed_cookie),
				   opened);
	if (err == 0) {
		memcpy(cookie->cookie, opened, sizeof(cookie->cookie));
		cookie->received_ms = now_ms;
		cookie->held = true;
		cookie->awaits = false;
	}
	OPENSSL_cleanse(opened, sizeof(opened));
	OPENSSL_cleanse(key, sizeof(key));
	return err;
}
