/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys in base64: one spelling for each key, and nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "control/base64.h"

static const char zero_text[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/* 0, 1, ... 31 */
static const char count_text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

static void keys_and_texts(void **state)
{
	/* What `base64` of coreutils makes of 32 times the byte. */
	static const struct {
		uint8_t byte;
		const char *text;
	} rows[] = {
		{0x00, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{0xff, "//////////////////////////////////////////8="},
		{0xfb, "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s="},
		{0x55, "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU="},
	};
	uint8_t key[SPW_KEY_BYTES], back[SPW_KEY_BYTES];
	char text[SPW_KEY_CHARS + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(key, rows[i].byte, sizeof(key));
		spw_key_encode(key, text);
		assert_string_equal(text, rows[i].text);
		assert_true(spw_key_decode(text, back));
		assert_memory_equal(back, key, sizeof(key));
	}
	for (uint8_t i = 0; i < SPW_KEY_BYTES; i++)
		key[i] = i;
	spw_key_encode(key, text);
	assert_string_equal(text, count_text);
}

/* Every character at every place: taken exactly where encoding the result gives it back. */
static void one_spelling(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[SPW_KEY_CHARS + 1], again[SPW_KEY_CHARS + 1];
	uint8_t key[SPW_KEY_BYTES];

	(void)state;
	for (size_t place = 0; place < SPW_KEY_CHARS; place++)
		for (int c = 1; c < 256; c++) {
			const char *digit = strchr(digits, c);
			bool good = digit != NULL;

			strcpy(text, zero_text);
			text[place] = (char)c;
			if (place == SPW_KEY_CHARS - 2)
				good = digit && (digit - digits) % 4 == 0;
			else if (place == SPW_KEY_CHARS - 1)
				good = c == '=';
			assert_int_equal(spw_key_decode(text, key), good);
			spw_key_encode(key, again);
			assert_string_equal(again, good ? text : zero_text);
		}
}

static void public_keys(void **state)
{
	static const char *const bad[] = {
		"",
		"=",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-=",
		"000102030405060708090a0b0c0d0e0f101112131415",
	};
	uint8_t key[SPW_KEY_BYTES];
	const char *expected = NULL;

	(void)state;
	assert_int_equal(spw_public_key_parse(count_text, key, &expected), 0);
	assert_int_equal(key[31], 31);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(spw_public_key_parse(bad[i], key, &expected), -EINVAL);
		assert_non_null(strstr(expected, "44 characters"));
	}
	assert_int_equal(spw_public_key_parse(zero_text, key, &expected), -EINVAL);
	assert_non_null(strstr(expected, "all zeros"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_texts),
		cmocka_unit_test(one_spelling),
		cmocka_unit_test(public_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
