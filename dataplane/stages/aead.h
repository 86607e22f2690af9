/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead.h - AES-GCM with a 16-byte tag, behind one small interface.
 *
 * Who owns the memory: spw_aead_create runs on the main thread, from the raw key, in the key
 * arena; one worker then uses the object; spw_aead_destroy wipes it on the main thread. A worker
 * never allocates, fetches or sets a key.
 */
#ifndef SPW_AEAD_H
#define SPW_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPW_ICV_BYTES 16u
#define SPW_NONCE_BYTES 12u

struct spw_aead;

const char *spw_aead_provider(void); /* "openssl" */

/* key_bytes: 16 or 32. One object serves one direction. NULL: no memory or a bad size. */
struct spw_aead *spw_aead_create(const uint8_t *key, uint32_t key_bytes, bool encrypt);
void spw_aead_destroy(struct spw_aead *aead);

/* Encrypts `bytes` at `text` in place and writes the tag behind `tag`. aad_bytes: 8 or 12. */
bool spw_aead_seal(struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES], const uint8_t *aad,
		   size_t aad_bytes, uint8_t *text, size_t bytes, uint8_t tag[SPW_ICV_BYTES]);

/* Decrypts in place; false: the tag is wrong, and the text must not be looked at. */
bool spw_aead_open(struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES], const uint8_t *aad,
		   size_t aad_bytes, uint8_t *text, size_t bytes, const uint8_t tag[SPW_ICV_BYTES]);

#endif
