/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/base64.h"

#include <errno.h>
#include <string.h>

/* All ones where low <= c <= high, else 0: no branch and no table, whose lines a neighbour on the
 * same core could watch while a private key is read. */
static int within(int c, int low, int high)
{
	return ((low - 1 - c) & (c - high - 1)) >> 31;
}

/* 0..63, or -1. */
static int sextet(char character)
{
	int c = (unsigned char)character;

	return -1 + (within(c, 'A', 'Z') & (c - 'A' + 1)) + (within(c, 'a', 'z') & (c - 'a' + 27)) +
	       (within(c, '0', '9') & (c - '0' + 53)) + (within(c, '+', '+') & 63) +
	       (within(c, '/', '/') & 64);
}

static char digit(unsigned int value)
{
	int v = (int)value;

	return (char)((within(v, 0, 25) & (v + 'A')) + (within(v, 26, 51) & (v - 26 + 'a')) +
		      (within(v, 52, 61) & (v - 52 + '0')) + (within(v, 62, 62) & '+') +
		      (within(v, 63, 63) & '/'));
}

bool spw_key_decode(const char text[SPW_KEY_CHARS], uint8_t key[SPW_KEY_BYTES])
{
	uint32_t bits = 0;
	int bad = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < SPW_KEY_CHARS - 1; i++) {
		int value = sextet(text[i]);

		bad |= value;
		bits = bits << 6 | ((uint32_t)value & 63);
		/* Of every four characters all but the first complete a byte. */
		if (i % 4 != 0)
			key[bytes++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	if (bad >= 0 && (bits & 3) == 0 && text[SPW_KEY_CHARS - 1] == '=')
		return true;
	memset(key, 0, SPW_KEY_BYTES);
	return false;
}

void spw_key_encode(const uint8_t key[SPW_KEY_BYTES], char text[SPW_KEY_CHARS + 1])
{
	for (size_t i = 0; i < SPW_KEY_CHARS - 1; i++) {
		size_t bit = i * 6, byte = bit / 8;
		unsigned int pair = (unsigned int)key[byte] << 8;

		if (byte + 1 < SPW_KEY_BYTES)
			pair |= key[byte + 1];
		text[i] = digit(pair >> (10 - bit % 8) & 63);
	}
	text[SPW_KEY_CHARS - 1] = '=';
	text[SPW_KEY_CHARS] = '\0';
}

int spw_public_key_parse(const char *text, uint8_t key[SPW_KEY_BYTES], const char **expected)
{
	static const uint8_t zero[SPW_KEY_BYTES];

	if (strlen(text) != SPW_KEY_CHARS || !spw_key_decode(text, key)) {
		*expected = "a public key: 32 bytes in base64, 44 characters of which the last is "
			    "\"=\", as \"spillway key public FILE\" prints it";
		return -EINVAL;
	}
	if (memcmp(key, zero, sizeof(zero)) == 0) {
		*expected = "the peer's public key: that of all zeros is nobody's";
		return -EINVAL;
	}
	return 0;
}
