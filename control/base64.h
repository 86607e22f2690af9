/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base64.h - 32-byte keys as people exchange them: base64 of 44 characters (RFC 4648, section 4).
 *
 * Pure functions, any thread. The time that they take depends on no bit of a key.
 */
#ifndef SPW_BASE64_H
#define SPW_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPW_KEY_BYTES 32
#define SPW_KEY_CHARS 44 /* the last one is '=' */

/* The first 44 characters of `text`, which need not end there. Canonical form alone: the two bits
 * that no byte takes are 0, so that one key has one spelling. False: `key` is all zero. */
bool spw_key_decode(const char text[SPW_KEY_CHARS], uint8_t key[SPW_KEY_BYTES]);
void spw_key_encode(const uint8_t key[SPW_KEY_BYTES], char text[SPW_KEY_CHARS + 1]);

/* A public key as a whole word: 0, or -EINVAL with `expected` as in text.h. Refuses zero, which is
 * nobody's key. */
int spw_public_key_parse(const char *text, uint8_t key[SPW_KEY_BYTES], const char **expected);

#endif
