/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys.h - where secrets live in control, how they are read and what is derived from them.
 *
 * One mapping, locked, kept out of core dumps and of forked children, cut into cells of
 * SPW_KEYS_CELL_BYTES. A cell belongs to whoever took it until spw_keys_free, which wipes it.
 * Copies on the stack are wiped by their function. Control's thread only.
 */
#ifndef SPW_SA_KEYS_H
#define SPW_SA_KEYS_H

#include <stdint.h>

#include "control/daemon/error.h"
#include "control/handover.h"

#define SPW_KEYS_CELL_BYTES 256u
#define SPW_ROOT_BYTES 32u /* root secret of a static tunnel */
#define SPW_PRK_BYTES 32u
#define SPW_MAC_BYTES 32u
#define SPW_NONCE_BYTES 16u
#define SPW_FINGERPRINT_BYTES 8u
#define SPW_KEY_ID_BYTES 8u

struct spw_keys;

/* 0, -ENOMEM, or -EPERM/-EAGAIN where the memory may not be locked (RLIMIT_MEMLOCK). */
int spw_keys_open(struct spw_keys **out, uint32_t cells);
void spw_keys_close(struct spw_keys *keys); /* wipes all; NULL is allowed */

void *spw_keys_alloc(struct spw_keys *keys); /* one zeroed cell; NULL: none is left */
void spw_keys_free(struct spw_keys *keys, void *cell);

/*
 * spw_key_file_read reads a file of hex digits (white space around them is allowed) into `secret`,
 * which must lie in a cell. Refused unless it is a regular file of mode 0600 or 0400 that belongs
 * to us or to root. lengths: the allowed sizes in bytes, 0-terminated. Returns the size, or a
 * negative errno with the error set; the sentence never shows what is in the file.
 */
int spw_key_file_read(struct spw_keys *keys, const char *path, const unsigned int *lengths,
		      uint8_t *secret, const char *tunnel, struct spw_place place,
		      struct spw_error *error);

/* The same for a key of 32 bytes in base64 (base64.h) or in 64 hex digits. tunnel: NULL where it is
 * the node's own. 0 or a negative errno with the error set. */
int spw_key32_file_read(struct spw_keys *keys, const char *path, uint8_t key[SPW_ROOT_BYTES],
			const char *tunnel, struct spw_place place, struct spw_error *error);

/* Says "the same key" without showing it: HMAC-SHA256(key, "spillway fingerprint")[0..8]. */
void spw_key_fingerprint(const uint8_t *key, size_t bytes, uint8_t out[SPW_FINGERPRINT_BYTES]);

/* What the announces of a static tunnel need (docs/static-sas.md). Lies in a cell. */
struct spw_static_keys {
	uint8_t prk[SPW_PRK_BYTES];       /* all SAs' keys come from it */
	uint8_t mac_key[SPW_MAC_BYTES];   /* authenticates announces */
	uint8_t key_id[SPW_KEY_ID_BYTES]; /* public: names the secret on the wire */
};
int spw_static_keys_derive(const uint8_t root[SPW_ROOT_BYTES], struct spw_static_keys *out);

/* Everything that makes one static SA different from all others. */
struct spw_static_label {
	uint16_t key_bits; /* 128 or 256 */
	uint8_t child;     /* which of the sender's workers */
	uint32_t spi;      /* the receiver's */
	uint64_t sender_epoch, receiver_epoch;
	uint8_t sender_nonce[SPW_NONCE_BYTES], receiver_nonce[SPW_NONCE_BYTES];
};
struct spw_sa_secret {
	uint8_t key[SPW_KEY_BYTES_MAX];
	uint8_t salt[SPW_SALT_BYTES];
	uint64_t iv_mask;
};
/* HKDF-Expand of key, salt and IV mask (big-endian). Wipe *out after use. 0 or -EIO. */
int spw_sa_secret_expand(const uint8_t prk[SPW_PRK_BYTES], const void *info, size_t info_bytes,
			 size_t key_bytes, struct spw_sa_secret *out);
int spw_static_sa_derive(const uint8_t prk[SPW_PRK_BYTES], const struct spw_static_label *label,
			 struct spw_sa_secret *out);

/* The fixed IV mask of a foreign SA, a function of its key. 0 or -EIO. */
int spw_foreign_iv_mask(const uint8_t *key, size_t bytes, uint64_t *iv_mask);

#endif
