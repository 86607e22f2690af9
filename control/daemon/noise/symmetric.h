/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symmetric.h - X25519, AES-256-GCM and the symmetric state of the Noise protocol framework
 * (revision 34, section 5.2), for Noise_*_25519_AESGCM_SHA256.
 *
 * Who owns the memory: the caller. A state holds key material: it lies in a cell, or on the stack
 * of a function that wipes it. Control's thread only (sa/hash.h). All return 0, -EIO (OpenSSL
 * failed, no memory) or, where they say so, -EKEYREJECTED.
 */
#ifndef SPW_NOISE_SYMMETRIC_H
#define SPW_NOISE_SYMMETRIC_H

#include <stddef.h>
#include <stdint.h>

#include "control/daemon/noise/wire.h"
#include "control/daemon/sa/hash.h"

struct spw_key_pair {
	uint8_t private_key[SPW_WIRE_KEY_BYTES];
	uint8_t public_key[SPW_WIRE_KEY_BYTES];
};

int spw_x25519_public(const uint8_t private_key[SPW_WIRE_KEY_BYTES],
		      uint8_t public_key[SPW_WIRE_KEY_BYTES]);
int spw_x25519_generate(struct spw_key_pair *pair);

/* -EKEYREJECTED: the public key is of low order, the shared secret would be all zero. */
int spw_x25519(const struct spw_key_pair *pair, const uint8_t public_key[SPW_WIRE_KEY_BYTES],
	       uint8_t secret[SPW_WIRE_KEY_BYTES]);

#define SPW_GCM_IV_BYTES 12u

/* out: `bytes` and then SPW_WIRE_TAG_BYTES. */
int spw_gcm_seal(const uint8_t key[SPW_WIRE_KEY_BYTES], const uint8_t iv[SPW_GCM_IV_BYTES],
		 struct spw_bytes aad, const void *plain, size_t bytes, uint8_t *out);
/* sealed: `bytes` with the tag, at least that. -EKEYREJECTED: not authentic, `plain` is wiped. */
int spw_gcm_open(const uint8_t key[SPW_WIRE_KEY_BYTES], const uint8_t iv[SPW_GCM_IV_BYTES],
		 struct spw_bytes aad, const uint8_t *sealed, size_t bytes, void *plain);

struct spw_symmetric {
	uint8_t chaining_key[SPW_HASH_BYTES];
	uint8_t hash[SPW_HASH_BYTES];
	uint8_t key[SPW_HASH_BYTES]; /* of the last mix_key */
	uint64_t counter;            /* messages sealed or opened with it */
};

/* InitializeSymmetric, then MixHash(prologue). */
int spw_symmetric_start(struct spw_symmetric *state, const char *protocol, const void *prologue,
			size_t bytes);
int spw_symmetric_mix_hash(struct spw_symmetric *state, const void *data, size_t bytes);
int spw_symmetric_mix_key(struct spw_symmetric *state, const uint8_t secret[SPW_WIRE_KEY_BYTES]);
int spw_symmetric_mix_key_and_hash(struct spw_symmetric *state,
				   const uint8_t secret[SPW_WIRE_KEY_BYTES]);
/* EncryptAndHash and DecryptAndHash, after at least one mix_key. `sealed` is SPW_WIRE_TAG_BYTES
 * longer than the plain text, whose length `bytes` is. open: -EKEYREJECTED as above. */
int spw_symmetric_seal(struct spw_symmetric *state, const void *plain, size_t bytes,
		       uint8_t *sealed);
int spw_symmetric_open(struct spw_symmetric *state, const uint8_t *sealed, size_t bytes,
		       void *plain);
/* The initiator sends with the first key. */
int spw_symmetric_split(const struct spw_symmetric *state, uint8_t first[SPW_HASH_BYTES],
			uint8_t second[SPW_HASH_BYTES]);

#endif
