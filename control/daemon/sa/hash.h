/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash.h - SHA-256, HMAC-SHA256 and HKDF-SHA256 (RFC 5869) of control.
 *
 * One digest context, made at the first call and kept: asking OpenSSL for an algorithm costs more
 * than a hash. Hence control's thread only. It holds nothing secret between calls. The caller owns
 * all memory. All return 0, or -EIO with the output zeroed.
 */
#ifndef SPW_SA_HASH_H
#define SPW_SA_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SPW_HASH_BYTES 32u
#define SPW_HASH_BLOCK_BYTES 64u

struct spw_bytes {
	const void *at;
	size_t bytes;
};

/* Of all parts, one behind the other. */
int spw_sha256(const struct spw_bytes *parts, uint32_t parts_cnt, uint8_t out[SPW_HASH_BYTES]);
/* key_bytes: up to SPW_HASH_BLOCK_BYTES. */
int spw_hmac(const void *key, size_t key_bytes, const struct spw_bytes *parts, uint32_t parts_cnt,
	     uint8_t mac[SPW_HASH_BYTES]);

/* Without a salt. */
int spw_hkdf_extract(const uint8_t *secret, size_t bytes, uint8_t prk[SPW_HASH_BYTES]);
int spw_hkdf_expand(const uint8_t prk[SPW_HASH_BYTES], const void *info, size_t info_bytes,
		    uint8_t *out, size_t bytes);

#endif
