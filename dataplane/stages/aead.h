/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead.h - AES-GCM with a 16-byte tag, behind one small interface, from one of two providers.
 *
 * The provider is chosen once, at start (aead_choice.c), and serves every key made from then on:
 * OpenSSL, which is always there, or intel-ipsec-mb, which is loaded where it is installed. Both
 * give the same bytes.
 *
 * Who owns the memory: the main thread makes a key in the key arena (in its SA's own block, or by
 * itself with spw_aead_create) and wipes it in the end; the worker that it was made for uses it
 * meanwhile, and no other. A worker never allocates, fetches or sets a key.
 */
#ifndef SPW_AEAD_H
#define SPW_AEAD_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_prefetch.h>

#define SPW_ICV_BYTES 16u
#define SPW_NONCE_BYTES 12u
#define SPW_AEAD_LINE_BYTES 64u

/* ipsec-mb's one-shot call: it checks its arguments and does the rest in one pass. Its init, update
 * and finalize cost 14 to 20 cycles more at every size from 64 to 1408 bytes. */
struct gcm_key_data;
struct gcm_context_data;
typedef void (*spw_aead_direct_fn)(const struct gcm_key_data *key, struct gcm_context_data *context,
				   uint8_t *out, const uint8_t *in, uint64_t bytes,
				   const uint8_t *nonce, const uint8_t *aad, uint64_t aad_bytes,
				   uint8_t *tag, uint64_t tag_bytes);

/*
 * One key for one direction and one worker. It is a member of something larger: in front of the 64
 * aligned bytes that it is among stands what the provider has made of the key, of fixed size
 * (spw_aead_layout.key_bytes), so that a packet finds all of it without following a pointer.
 */
struct spw_aead {
	/* ipsec-mb, in the copy of the library that the worker uses; NULL: OpenSSL. It is the same
	 * for all keys of a process but for their size, so that the branch on it is foreseen. */
	spw_aead_direct_fn direct;
	/* ipsec-mb: the worker's scratch memory; OpenSSL: the key's EVP_CIPHER_CTX. */
	void *context;
};

/* ---- main thread ---------------------------------------------------------------------------- */

/*
 * Chooses the provider of the keys that are made from now on, for workers 0 to `workers` - 1.
 * asked: "openssl", "ipsec-mb", or "auto" (or ""), which takes the one that needs fewer cycles on
 * the calling thread's CPU; that takes about 10 ms. A provider that is asked for but not there, or
 * that gives other bytes than OpenSSL, is passed over. `why` tells in a sentence what led to the
 * choice. Before privileges are dropped, as it loads a library; the arena must be open. May be
 * called again while no worker is at work; keys that were made before stay as they are.
 * Returns 0; -EINVAL: `asked` is no provider; -ENOTSUP: OpenSSL itself does not work; -ENOMEM.
 */
int spw_aead_choose(const char *asked, uint32_t workers, char *why, unsigned int why_bytes);

const char *spw_aead_provider(void); /* "openssl" (before any choice, too) or "ipsec-mb" */

/* What keys of the provider in use look like. Written by spw_aead_choose, read by all. */
#define SPW_AEAD_STEP_BYTES 128u
#define SPW_AEAD_STEPS 16u
#define SPW_AEAD_PIECE_BYTES 128u /* two cache lines */
#define SPW_AEAD_PIECES_MAX 11u
extern struct spw_aead_layout {
	size_t key_bytes; /* what stands in front of a key, a multiple of 64 */
	/* By size of the text in steps of 128 bytes, the last one for all that is longer: bit n for
	 * the n-th piece of that which a packet needs. */
	uint32_t pieces[SPW_AEAD_STEPS];
} spw_aead_layout;

/* Makes a key, with spw_aead_layout.key_bytes of memory in front: in the arena, zeroed. key_bytes:
 * 16 or 32. worker: the one that will use it. False: a bad size or worker, or no memory; then there
 * is nothing to undo. */
bool spw_aead_init(struct spw_aead *aead, uint32_t worker, const uint8_t *key, uint32_t key_bytes,
		   bool encrypt);
/* Frees what hangs on the key. Returns where the memory in front of it starts, for its owner to
 * wipe and free. */
void *spw_aead_fini(struct spw_aead *aead);

/* A key in a block of its own. NULL: as `false` above. */
struct spw_aead *spw_aead_create(uint32_t worker, const uint8_t *key, uint32_t key_bytes,
				 bool encrypt);
void spw_aead_destroy(struct spw_aead *aead); /* wipes it; NULL is allowed */

/* ---- worker --------------------------------------------------------------------------------- */

/* aead_openssl.c; called by the two functions below alone. */
bool spw_aead_openssl_seal(const struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES],
			   const uint8_t *aad, size_t aad_bytes, uint8_t *text, size_t bytes,
			   uint8_t tag[SPW_ICV_BYTES]);
bool spw_aead_openssl_open(const struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES],
			   const uint8_t *aad, size_t aad_bytes, uint8_t *text, size_t bytes,
			   const uint8_t tag[SPW_ICV_BYTES]);

/* What stands in front of a key. */
static inline void *spw_aead_front(const struct spw_aead *aead, size_t key_bytes)
{
	return (void *)(((uintptr_t)aead & ~(uintptr_t)(SPW_AEAD_LINE_BYTES - 1)) - key_bytes);
}

#define SPW_AEAD_IPSEC_MB_BYTES 1024u /* the size of struct gcm_key_data in whole lines */

static inline const struct gcm_key_data *spw_aead_direct_key(const struct spw_aead *aead)
{
	return (const struct gcm_key_data *)spw_aead_front(aead, SPW_AEAD_IPSEC_MB_BYTES);
}

/* Encrypts `bytes` at `text` in place and writes the tag behind `tag`. aad_bytes: 8 or 12. */
static inline bool spw_aead_seal(const struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES],
				 const uint8_t *aad, size_t aad_bytes, uint8_t *text, size_t bytes,
				 uint8_t tag[SPW_ICV_BYTES])
{
	if (!aead->direct)
		return spw_aead_openssl_seal(aead, nonce, aad, aad_bytes, text, bytes, tag);
	aead->direct(spw_aead_direct_key(aead), aead->context, text, text, bytes, nonce, aad,
		     aad_bytes, tag, SPW_ICV_BYTES);
	return true;
}

/* In constant time: how long it takes must not tell a forger how much was right. What the compiler
 * cannot see through is one word, so that it has no reason to branch before. */
static inline bool spw_aead_same_tag(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, SPW_ICV_BYTES);
	memcpy(y, b, SPW_ICV_BYTES);
	uint64_t differs = (x[0] ^ y[0]) | (x[1] ^ y[1]);
	__asm__("" : "+r"(differs));
	return differs == 0;
}

/* Decrypts in place; false: the tag is wrong, and the text must not be looked at. */
static inline bool spw_aead_open(const struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES],
				 const uint8_t *aad, size_t aad_bytes, uint8_t *text, size_t bytes,
				 const uint8_t tag[SPW_ICV_BYTES])
{
	uint8_t expected[SPW_ICV_BYTES];

	if (!aead->direct)
		return spw_aead_openssl_open(aead, nonce, aad, aad_bytes, text, bytes, tag);
	aead->direct(spw_aead_direct_key(aead), aead->context, text, text, bytes, nonce, aad,
		     aad_bytes, expected, SPW_ICV_BYTES);
	return spw_aead_same_tag(expected, tag);
}

/* Asks for what a packet of so many bytes needs of that which stands in front of a key, some
 * packets before it is used. Reads nothing of the key. */
static inline void spw_aead_prefetch(const struct spw_aead *aead, uint32_t bytes)
{
	const uint8_t *front = (const uint8_t *)spw_aead_front(aead, spw_aead_layout.key_bytes);
	uint32_t step = bytes / SPW_AEAD_STEP_BYTES;
	uint32_t pieces = spw_aead_layout.pieces[step < SPW_AEAD_STEPS ? step : SPW_AEAD_STEPS - 1];

	/* Unrolled, with branches that always go the same way, this costs 1 cycle; a loop over the
	 * lines that are needed cost 9. */
#pragma GCC unroll 11
	for (uint32_t n = 0; n < SPW_AEAD_PIECES_MAX; n++) {
		if (!(pieces & 1u << n))
			continue;
		rte_prefetch0(front + n * SPW_AEAD_PIECE_BYTES);
		rte_prefetch0(front + n * SPW_AEAD_PIECE_BYTES + SPW_AEAD_LINE_BYTES);
	}
}

#endif
