/* SPDX-License-Identifier: BSD-2-Clause */
/* test_announce.c - the announce on the wire: every byte flipped, every length, every field. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/sa/announce.h"

static struct spw_static_keys keys, other_keys;

static int setup(void **state)
{
	static const uint8_t root[SPW_ROOT_BYTES] = {1}, other[SPW_ROOT_BYTES] = {2};

	(void)state;
	return spw_static_keys_derive(root, &keys) || spw_static_keys_derive(other, &other_keys);
}

static struct spw_announce sample(void)
{
	struct spw_announce announce = {
		.flags = SPW_ANNOUNCE_F_READY | SPW_ANNOUNCE_F_REPLY | SPW_ANNOUNCE_F_KEY256,
		.children = 3,
		.epoch = 0x0102030405060708,
		.peer_epoch = 9,
	};
	memset(announce.nonce, 0x11, sizeof(announce.nonce));
	memset(announce.peer_nonce, 0x22, sizeof(announce.peer_nonce));
	for (uint32_t i = 0; i < 2; i++)
		announce.spi[i] = (i + 1) << 10 | 5;
	return announce;
}

static int build_and_parse(const struct spw_announce *announce)
{
	struct spw_announce_wire wire;
	struct spw_announce back;

	spw_announce_build(announce, &keys, &wire);
	return spw_announce_parse(&wire, sizeof(wire), &keys, &back);
}

static void test_layout(void **state)
{
	struct spw_announce announce = sample();
	struct spw_announce_wire wire;
	const uint8_t *bytes = (const uint8_t *)&wire;

	(void)state;
	spw_announce_build(&announce, &keys, &wire);
	for (int i = 0; i < 8; i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(bytes[8], 16);
	assert_int_equal(bytes[9], 1);
	assert_int_equal(bytes[10], 11);
	assert_int_equal(bytes[11], 3);
	assert_memory_equal(bytes + 12, keys.key_id, 8);
	assert_memory_equal(bytes + 20, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(bytes[28], 0x11);
	assert_memory_equal(bytes + 44, "\0\0\0\0\0\0\0\11", 8);
	assert_int_equal(bytes[52], 0x22);
	assert_memory_equal(bytes + 68, "\0\0\4\5\0\0\10\5\0\0\0\0", 12);
	assert_memory_equal(spw_announce_key_id(&wire, sizeof(wire)), keys.key_id, 8);
}

static void test_round_trip(void **state)
{
	struct spw_announce announce = sample(), back;
	struct spw_announce_wire wire;

	(void)state;
	spw_announce_build(&announce, &keys, &wire);
	assert_int_equal(spw_announce_parse(&wire, sizeof(wire), &keys, &back), 0);
	assert_int_equal(back.flags, announce.flags);
	assert_int_equal(back.children, announce.children);
	assert_int_equal(back.epoch, announce.epoch);
	assert_int_equal(back.peer_epoch, announce.peer_epoch);
	assert_memory_equal(back.nonce, announce.nonce, sizeof(back.nonce));
	assert_memory_equal(back.peer_nonce, announce.peer_nonce, sizeof(back.peer_nonce));
	assert_memory_equal(back.spi, announce.spi, sizeof(back.spi));
}

static void test_every_bit_flipped(void **state)
{
	struct spw_announce announce = sample(), back;
	struct spw_announce_wire wire;
	uint8_t *bytes = (uint8_t *)&wire;

	(void)state;
	spw_announce_build(&announce, &keys, &wire);
	for (size_t i = 0; i < sizeof(wire); i++) {
		for (int bit = 0; bit < 8; bit++) {
			bytes[i] ^= (uint8_t)(1 << bit);
			int err = spw_announce_parse(&wire, sizeof(wire), &keys, &back);
			/* Marker, type and version make it no announce at all. */
			assert_int_equal(err, i < 10 ? -EBADMSG : -EKEYREJECTED);
			bytes[i] ^= (uint8_t)(1 << bit);
		}
	}
	assert_int_equal(spw_announce_parse(&wire, sizeof(wire), &keys, &back), 0);
}

static void test_every_length(void **state)
{
	struct spw_announce announce = sample(), back;
	uint8_t bytes[SPW_ANNOUNCE_BYTES + 64] = {0};

	(void)state;
	spw_announce_build(&announce, &keys, (struct spw_announce_wire *)bytes);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		int err = spw_announce_parse(bytes, n, &keys, &back);
		assert_int_equal(err, n == SPW_ANNOUNCE_BYTES ? 0 : -EBADMSG);
		if (n != SPW_ANNOUNCE_BYTES)
			assert_null(spw_announce_key_id(bytes, n));
	}
}

static void test_other_keys(void **state)
{
	struct spw_announce announce = sample(), back;
	struct spw_announce_wire wire;

	(void)state;
	spw_announce_build(&announce, &other_keys, &wire);
	assert_int_equal(spw_announce_parse(&wire, sizeof(wire), &keys, &back), -EKEYREJECTED);
}

/* Authentic, and yet out of range: a peer's bug must not become ours. */
static void test_fields(void **state)
{
	struct spw_announce announce;

	(void)state;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		announce = sample();                                                               \
		change;                                                                            \
		assert_int_equal(build_and_parse(&announce), -EBADMSG);                            \
	} while (0)
	REFUSED(announce.flags |= 0x10);
	REFUSED(announce.flags |= 0x80);
	REFUSED(announce.children = 0);
	REFUSED(announce.children = SPW_WORKERS_MAX + 1);
	REFUSED(announce.epoch = 0);
	REFUSED(memset(announce.nonce, 0, sizeof(announce.nonce)));
	REFUSED(announce.peer_epoch = 0);
	REFUSED(memset(announce.peer_nonce, 0, sizeof(announce.peer_nonce)));
	REFUSED(announce.flags = SPW_ANNOUNCE_F_SENDING);
	REFUSED(announce.spi[1] = 255);
	REFUSED(announce.spi[15] = 1);
#undef REFUSED
	announce = sample();
	announce.children = SPW_WORKERS_MAX;
	assert_int_equal(build_and_parse(&announce), 0);
	announce.peer_epoch = 0;
	memset(announce.peer_nonce, 0, sizeof(announce.peer_nonce));
	assert_int_equal(build_and_parse(&announce), 0); /* a hello */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_bit_flipped),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_other_keys),
		cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
