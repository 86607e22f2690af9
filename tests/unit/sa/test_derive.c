/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_derive.c - derivation against an HKDF that this test builds from HMAC steps (RFC 5869 2),
 * and the reading of key files.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/daemon/sa/hash.h"
#include "control/daemon/sa/keys.h"

static void hmac(const void *key, size_t key_bytes, const void *data, size_t bytes, uint8_t out[32])
{
	assert_non_null(HMAC(EVP_sha256(), key, (int)key_bytes, data, bytes, out, NULL));
}

static void oracle_extract(const uint8_t *secret, size_t bytes, uint8_t prk[32])
{
	static const uint8_t salt[32];

	hmac(salt, sizeof(salt), secret, bytes, prk);
}

/* T(1) | T(2) | ... with T(i) = HMAC(PRK, T(i-1) | info | i). */
static void oracle_expand(const uint8_t prk[32], const uint8_t *info, size_t info_bytes,
			  uint8_t *out, size_t bytes)
{
	uint8_t block[32], input[32 + 256 + 1];
	size_t block_bytes = 0, done = 0;

	for (uint8_t i = 1; done < bytes; i++) {
		memcpy(input, block, block_bytes);
		if (info_bytes) /* else it may be NULL, which memcpy must not be given */
			memcpy(input + block_bytes, info, info_bytes);
		input[block_bytes + info_bytes] = i;
		hmac(prk, 32, input, block_bytes + info_bytes + 1, block);
		block_bytes = 32;
		size_t part = bytes - done < 32 ? bytes - done : 32;
		memcpy(out + done, block, part);
		done += part;
	}
}

/* RFC 5869 A.3: no salt, no info. Keeps the oracle itself honest. */
static void test_oracle(void **state)
{
	static const uint8_t okm_head[8] = {0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f};
	uint8_t secret[22], prk[32], okm[42];

	(void)state;
	memset(secret, 0x0b, sizeof(secret));
	oracle_extract(secret, sizeof(secret), prk);
	oracle_expand(prk, NULL, 0, okm, sizeof(okm));
	assert_memory_equal(okm, okm_head, sizeof(okm_head));
	assert_int_equal(okm[40], 0x96);
	assert_int_equal(okm[41], 0xc8);
}

static const uint8_t root[SPW_ROOT_BYTES] = "0123456789abcdef0123456789abcde";

static void test_static_keys(void **state)
{
	struct spw_static_keys keys;
	uint8_t prk[32], mac_key[32], mac[32];

	(void)state;
	assert_int_equal(spw_static_keys_derive(root, &keys), 0);
	oracle_extract(root, sizeof(root), prk);
	oracle_expand(prk, (const uint8_t *)"spillway announce", 17, mac_key, sizeof(mac_key));
	hmac(root, sizeof(root), "spillway key id", 15, mac);
	assert_memory_equal(keys.prk, prk, 32);
	assert_memory_equal(keys.mac_key, mac_key, 32);
	assert_memory_equal(keys.key_id, mac, SPW_KEY_ID_BYTES);
}

static struct spw_static_label sample_label(void)
{
	struct spw_static_label label = {.key_bits = 128,
					 .child = 3,
					 .spi = 0x00012345,
					 .sender_epoch = 1700000001,
					 .receiver_epoch = 0x1122334455667788};
	for (int i = 0; i < (int)SPW_NONCE_BYTES; i++) {
		label.sender_nonce[i] = (uint8_t)i;
		label.receiver_nonce[i] = (uint8_t)(0x80 + i);
	}
	return label;
}

static void check_sa(uint16_t key_bits)
{
	struct spw_static_label label = sample_label();
	struct spw_sa_secret secret;
	uint8_t prk[32], okm[44], info[128], *at = info;
	size_t key_bytes = key_bits / 8;
	uint64_t mask_be;

	label.key_bits = key_bits;
	oracle_extract(root, sizeof(root), prk);
	memcpy(at, "spillway static esp", 19), at += 19;
	*at++ = 1;
	*at++ = (uint8_t)(key_bits >> 8), *at++ = (uint8_t)key_bits;
	*at++ = 3;
	memcpy(at, "\x00\x01\x23\x45", 4), at += 4;
	memcpy(at, "\x00\x00\x00\x00\x65\x53\xf1\x01", 8), at += 8;
	memcpy(at, label.sender_nonce, 16), at += 16;
	memcpy(at, "\x11\x22\x33\x44\x55\x66\x77\x88", 8), at += 8;
	memcpy(at, label.receiver_nonce, 16), at += 16;
	oracle_expand(prk, info, (size_t)(at - info), okm, key_bytes + 12);
	assert_int_equal(spw_static_sa_derive(prk, &label, &secret), 0);
	assert_memory_equal(secret.key, okm, key_bytes);
	assert_memory_equal(secret.salt, okm + key_bytes, 4);
	memcpy(&mask_be, okm + key_bytes + 4, 8);
	assert_int_equal(secret.iv_mask, be64toh(mask_be));
}

static void test_static_sa(void **state)
{
	(void)state;
	check_sa(128);
	check_sa(256);
}

/* Each field of the label alone gives other keys. */
static void test_labels_differ(void **state)
{
	struct spw_static_label labels[9];
	struct spw_sa_secret secrets[9];
	uint8_t prk[32];

	(void)state;
	spw_hkdf_extract(root, sizeof(root), prk);
	for (int i = 0; i < 9; i++)
		labels[i] = sample_label();
	labels[1].key_bits = 256;
	labels[2].child++;
	labels[3].spi++;
	labels[4].sender_epoch++;
	labels[5].receiver_epoch++;
	labels[6].sender_nonce[15] ^= 1;
	labels[7].receiver_nonce[0] ^= 1;
	/* The other direction: both ends swapped. */
	labels[8].sender_epoch = labels[0].receiver_epoch;
	labels[8].receiver_epoch = labels[0].sender_epoch;
	memcpy(labels[8].sender_nonce, labels[0].receiver_nonce, 16);
	memcpy(labels[8].receiver_nonce, labels[0].sender_nonce, 16);
	for (int i = 0; i < 9; i++)
		assert_int_equal(spw_static_sa_derive(prk, &labels[i], &secrets[i]), 0);
	for (int i = 0; i < 9; i++)
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(secrets[i].key, secrets[j].key, 16);
}

static void test_foreign_mask(void **state)
{
	uint8_t prk[32], mask[8];
	uint64_t iv_mask, mask_be;

	(void)state;
	oracle_extract(root, 16, prk);
	oracle_expand(prk, (const uint8_t *)"spillway iv mask", 16, mask, sizeof(mask));
	assert_int_equal(spw_foreign_iv_mask(root, 16, &iv_mask), 0);
	memcpy(&mask_be, mask, 8);
	assert_int_equal(iv_mask, be64toh(mask_be));
}

/* ---- key files ---------------------------------------------------------------------------- */

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

struct file_case {
	const char *text;
	mode_t mode;
	unsigned int lengths[3];
	int result;
	const char *says; /* in the error */
};

static const struct file_case file_cases[] = {
	{HEX32, 0600, {32}, 32, NULL},
	{HEX32 "\n", 0400, {32}, 32, NULL},
	{" \t" HEX32 "\r\n\n", 0600, {32}, 32, NULL},
	{"00112233445566778899aabbccddeeff01020304", 0600, {20, 36}, 20, NULL},
	{HEX32 "01020304", 0600, {20, 36}, 36, NULL},
	{HEX32, 0644, {32}, -EPERM, "chmod 0600"},
	{HEX32, 0640, {32}, -EPERM, "mode 0640"},
	{HEX32, 0700, {32}, -EPERM, "0600 or 0400"},
	{HEX32 "0", 0600, {32}, -EINVAL, "64 hex digits"},
	{HEX32 "00", 0600, {32}, -EINVAL, "64 hex digits"},
	{"", 0600, {32}, -EINVAL, "64 hex digits"},
	{"\n", 0600, {20, 36}, -EINVAL, "40 or 72 hex digits"},
	{"g" HEX32, 0600, {32}, -EINVAL, "64 hex digits"},
	{"0x" HEX32, 0600, {32}, -EINVAL, "64 hex digits"},
	{HEX32 " #mine", 0600, {32}, -EINVAL, "64 hex digits"},
};

static int read_case(struct spw_keys *keys, const char *path, const struct file_case *test,
		     uint8_t *secret, struct spw_error *error)
{
	struct spw_place place = {.line = 7, .column = 3};
	int fd;

	unlink(path);
	fd = creat(path, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, test->text, strlen(test->text)), (ssize_t)strlen(test->text));
	assert_int_equal(fchmod(fd, test->mode), 0);
	close(fd);
	*error = (struct spw_error){0};
	return spw_key_file_read(keys, path, test->lengths, secret, "t1", place, error);
}

static void test_key_files(void **state)
{
	char dir[] = "/tmp/spw-keys-XXXXXX", path[64];
	struct spw_keys *keys;
	struct spw_error error;
	uint8_t *secret;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	assert_int_equal(spw_keys_open(&keys, 2), 0);
	secret = spw_keys_alloc(keys);
	for (size_t i = 0; i < sizeof(file_cases) / sizeof(file_cases[0]); i++) {
		const struct file_case *test = &file_cases[i];
		assert_int_equal(read_case(keys, path, test, secret, &error), test->result);
		if (test->result > 0) {
			assert_int_equal(secret[test->result == 20 ? 1 : 10],
					 test->result == 20 ? 0x11 : 0x0a);
			continue;
		}
		assert_non_null(strstr(error.text, test->says));
		assert_non_null(strstr(error.text, path));
		assert_null(strstr(error.text, "0102030405"));
		assert_int_equal(error.place.line, 7);
	}
	unlink(path);
	assert_int_equal(spw_key_file_read(keys, path, file_cases[0].lengths, secret, "t1",
					   (struct spw_place){0}, &error),
			 -ENOKEY);
	assert_int_equal(spw_key_file_read(keys, dir, file_cases[0].lengths, secret, "t1",
					   (struct spw_place){0}, &error),
			 -EINVAL);
	rmdir(dir);
	spw_keys_close(keys);
}

static void test_key_file_owner(void **state)
{
	char path[] = "/tmp/spw-key-XXXXXX";
	struct spw_error error = {0};
	struct spw_keys *keys;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	if (geteuid() != 0 || fchown(fd, 12345, 12345) < 0) {
		close(fd);
		unlink(path);
		skip();
	}
	close(fd);
	assert_int_equal(spw_keys_open(&keys, 2), 0);
	assert_int_equal(spw_key_file_read(keys, path, file_cases[0].lengths, spw_keys_alloc(keys),
					   "t1", (struct spw_place){0}, &error),
			 -EPERM);
	assert_non_null(strstr(error.text, "12345"));
	spw_keys_close(keys);
	unlink(path);
}

static void test_cells(void **state)
{
	struct spw_keys *keys;
	uint8_t *cells[4];

	(void)state;
	assert_int_equal(spw_keys_open(&keys, 4), 0);
	for (int i = 0; i < 4; i++) {
		cells[i] = spw_keys_alloc(keys);
		assert_non_null(cells[i]);
		memset(cells[i], 0xa5, SPW_KEYS_CELL_BYTES);
	}
	assert_null(spw_keys_alloc(keys));
	spw_keys_free(keys, cells[2]);
	for (uint32_t i = 0; i < SPW_KEYS_CELL_BYTES; i++)
		assert_int_equal(cells[2][i], 0); /* wiped */
	assert_ptr_equal(spw_keys_alloc(keys), cells[2]);
	assert_int_equal(cells[1][0], 0xa5);
	spw_keys_close(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle),         cmocka_unit_test(test_static_keys),
		cmocka_unit_test(test_static_sa),      cmocka_unit_test(test_labels_differ),
		cmocka_unit_test(test_foreign_mask),   cmocka_unit_test(test_key_files),
		cmocka_unit_test(test_key_file_owner), cmocka_unit_test(test_cells),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
