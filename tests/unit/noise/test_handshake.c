/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_handshake.c - two nodes make a session: what comes out, and everything that must not come
 * in: bytes changed, cut off, recorded, of the wrong peer.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/noise/sides.h"

static const uint8_t psk[SPW_WIRE_KEY_BYTES] = {0x51, 0x52, 0x53};
static struct side a, b;
static struct spw_wire_init init;
static struct spw_wire_response response;
static struct spw_noise_offer offer;
static struct spw_noise_answer answer;

static int open_sides(void **state)
{
	(void)state;
	sides_open(&a, &b, psk);
	return 0;
}

static void write_init(void)
{
	struct spw_noise_offer made = sides_offer(3);

	assert_int_equal(
		spw_noise_init_write(&a.handshake, &a.identity, &a.peer, 0xa1a2a3a4, &made, &init),
		0);
}

static void write_response(void)
{
	struct spw_noise_answer made = sides_answer(5);

	assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), 0);
	assert_int_equal(spw_noise_response_write(&b.handshake, &b.peer, 0xb1b2b3b4, &made,
						  &response, &b.keys),
			 0);
}

static int take_response(void)
{
	return side_take_response(&a, &response, sizeof(response), &answer);
}

static void must_be_zero(const void *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(((const uint8_t *)data)[i], 0);
}

static void terms_must_be(const struct spw_noise_terms *terms, uint8_t seed)
{
	struct spw_noise_terms expected = sides_terms(seed);

	assert_int_equal(terms->caps, expected.caps);
	assert_int_equal(terms->children, expected.children);
	assert_int_equal(terms->window_log2, expected.window_log2);
	assert_int_equal(terms->mtu_bytes, expected.mtu_bytes);
	assert_memory_equal(terms->spi, expected.spi, sizeof(terms->spi));
	assert_memory_equal(terms->address, expected.address, sizeof(terms->address));
	assert_int_equal(terms->port, expected.port);
}

static void test_session(void **state)
{
	struct spw_noise_offer sent = sides_offer(3);

	(void)state;
	write_init();
	write_response();
	assert_memory_equal(offer.made.bytes, sent.made.bytes, SPW_TAI64N_BYTES);
	terms_must_be(&offer.terms, 3);
	assert_int_equal(take_response(), 0);
	terms_must_be(&answer.terms, 5);
	assert_memory_equal(a.keys.k_send, b.keys.k_receive, SPW_HASH_BYTES);
	assert_memory_equal(a.keys.k_receive, b.keys.k_send, SPW_HASH_BYTES);
	assert_memory_not_equal(a.keys.k_send, a.keys.k_receive, SPW_HASH_BYTES);
	assert_memory_equal(a.keys.handshake_hash, b.keys.handshake_hash, SPW_HASH_BYTES);
	/* Nothing of the handshake is left once the keys are out. */
	must_be_zero(&a.handshake, sizeof(a.handshake));
	must_be_zero(&b.handshake, sizeof(b.handshake));
}

/* What docs/sessions.md says of the bytes that are not encrypted. */
static void test_layout(void **state)
{
	static const uint8_t head[2][12] = {{0, 0, 0, 0, 0, 0, 0, 0, 1, 1},
					    {0, 0, 0, 0, 0, 0, 0, 0, 2, 1}};

	(void)state;
	write_init();
	write_response();
	assert_memory_equal(&init, head[0], 12);
	assert_memory_equal((uint8_t *)&init + 12, "\xa4\xa3\xa2\xa1", 4);
	must_be_zero(init.macs.mac2, sizeof(init.macs.mac2));
	assert_memory_equal(&response, head[1], 12);
	assert_memory_equal((uint8_t *)&response + 12, "\xb4\xb3\xb2\xb1\xa4\xa3\xa2\xa1", 8);
	must_be_zero(response.macs.mac2, sizeof(response.macs.mac2));
}

/* Each byte of the message but mac2, which counts under load only (test_cookie.c). Once as it is:
 * refused by type, length or mac1. Once with mac1 made good, as anybody can who has our public key:
 * then it is up to the handshake, which does not cover the sender's index. */
static void flip_all(uint8_t *message, size_t bytes, const uint8_t *mac1_key,
		     int (*take)(const void *message))
{
	uint8_t good[sizeof(init)];

	memcpy(good, message, bytes);
	for (size_t i = 0; i < bytes - SPW_WIRE_MAC_BYTES; i++) {
		for (uint8_t bit = 1; bit; bit = bit == 1 ? 0x80 : 0) {
			message[i] ^= bit;
			assert_int_not_equal(take(message), 0);
			assert_int_equal(spw_mac1_write(mac1_key, message, bytes), 0);
			if (i < 12 || (i >= 16 && i < bytes - sizeof(struct spw_wire_macs)))
				assert_int_not_equal(take(message), 0);
			memcpy(message, good, bytes);
		}
	}
}

static int take_init_again(const void *message)
{
	return side_take_init(&b, message, sizeof(init), &offer);
}

static int take_response_again(const void *message)
{
	struct spw_noise_handshake before = a.handshake;
	int err = side_take_response(&a, message, sizeof(response), &answer);

	if (err) /* it may be forged: the state must wait for the true one */
		assert_memory_equal(&a.handshake, &before, sizeof(before));
	return err;
}

static void test_init_flipped(void **state)
{
	(void)state;
	write_init();
	flip_all((uint8_t *)&init, sizeof(init), b.identity.mac1_key, take_init_again);
	must_be_zero(&b.handshake, sizeof(b.handshake));
	assert_int_equal(take_init_again(&init), 0);
}

static void test_response_flipped(void **state)
{
	(void)state;
	write_init();
	write_response();
	flip_all((uint8_t *)&response, sizeof(response), a.identity.mac1_key, take_response_again);
	assert_int_equal(take_response(), 0);
	assert_memory_equal(a.keys.k_send, b.keys.k_receive, SPW_HASH_BYTES);
}

static void test_lengths(void **state)
{
	uint8_t message[sizeof(init) + 8] = {0};

	(void)state;
	write_init();
	write_response();
	memcpy(message, &init, sizeof(init));
	for (size_t bytes = 0; bytes <= sizeof(message); bytes++)
		assert_int_equal(spw_wire_type(message, bytes),
				 bytes == sizeof(init) ? SPW_WIRE_INIT : SPW_WIRE_NONE);
	memcpy(message, &response, sizeof(response));
	for (size_t bytes = 0; bytes <= sizeof(message); bytes++)
		assert_int_equal(spw_wire_type(message, bytes),
				 bytes == sizeof(response) ? SPW_WIRE_RESPONSE : SPW_WIRE_NONE);
	/* An announce has type 16 in the same place. */
	for (uint32_t type = 4; type < 256; type++) {
		message[8] = (uint8_t)type;
		for (size_t bytes = 0; bytes <= sizeof(message); bytes++)
			assert_int_equal(spw_wire_type(message, bytes), SPW_WIRE_NONE);
	}
}

static void test_response_twice(void **state)
{
	struct spw_wire_response recorded;
	struct spw_noise_keys keys;

	(void)state;
	write_init();
	write_response();
	recorded = response;
	assert_int_equal(take_response(), 0);
	keys = a.keys;
	assert_int_equal(take_response(), -EBADMSG);
	/* Recorded, and played into the next handshake under the same index. */
	write_init();
	response = recorded;
	assert_int_equal(take_response(), -EKEYREJECTED);
	assert_memory_equal(&a.keys, &keys, sizeof(keys));
	write_response();
	assert_int_equal(take_response(), 0);
	assert_memory_not_equal(a.keys.k_send, keys.k_send, SPW_HASH_BYTES);
}

static void test_one_answer(void **state)
{
	struct spw_noise_answer made = sides_answer(5);

	(void)state;
	write_init();
	write_response();
	assert_int_equal(
		spw_noise_response_write(&b.handshake, &b.peer, 1, &made, &response, &b.keys),
		-EBADMSG);
	/* Not before the INIT has been read to its end either, nor by the initiator. */
	uint8_t public_key[SPW_WIRE_KEY_BYTES];
	assert_int_equal(spw_noise_init_read_static(&b.handshake, &b.identity, &init, public_key),
			 0);
	assert_int_equal(
		spw_noise_response_write(&b.handshake, &b.peer, 1, &made, &response, &b.keys),
		-EBADMSG);
	assert_int_equal(spw_noise_init_read(&b.handshake, &b.peer, &init, &offer), -EBADMSG);
	assert_int_equal(
		spw_noise_response_write(&a.handshake, &a.peer, 1, &made, &response, &b.keys),
		-EBADMSG);
}

/* An INIT is good for as many answers as it is read; that is what its time is for. No two of them
 * give the same keys. */
static void test_init_replayed(void **state)
{
	struct spw_noise_offer first;

	(void)state;
	write_init();
	write_response();
	first = offer;
	struct spw_noise_keys keys = b.keys;
	write_response();
	assert_false(spw_tai64n_later(&offer.made, &first.made));
	assert_memory_not_equal(b.keys.k_send, keys.k_send, SPW_HASH_BYTES);
	assert_memory_not_equal(b.keys.handshake_hash, keys.handshake_hash, SPW_HASH_BYTES);
}

static void test_wrong_psk(void **state)
{
	(void)state;
	write_init();
	b.peer.psk[31] ^= 1;
	write_response(); /* psk2: the initiator is the first who can tell */
	assert_int_equal(take_response(), -EKEYREJECTED);
	memset(b.peer.psk, 0, sizeof(b.peer.psk));
	write_response();
	assert_int_equal(take_response(), -EKEYREJECTED);
	memcpy(b.peer.psk, psk, sizeof(psk));
	write_response();
	assert_int_equal(take_response(), 0);
}

static void test_no_psk(void **state)
{
	(void)state;
	sides_open(&a, &b, NULL);
	write_init();
	write_response();
	assert_int_equal(take_response(), 0);
}

static void test_wrong_keys(void **state)
{
	struct side c, d;
	static const uint8_t other[SPW_WIRE_KEY_BYTES] = {0xc0};

	(void)state;
	write_init();
	/* For another node: its mac1 key is not ours, and neither is the key in the DH. */
	sides_open(&c, &d, psk);
	assert_int_equal(spw_noise_identity_init(&d.identity, other), 0);
	assert_int_equal(side_take_init(&d, &init, sizeof(init), &offer), -EKEYREJECTED);
	assert_int_equal(spw_mac1_write(d.identity.mac1_key, &init, sizeof(init)), 0);
	assert_int_equal(side_take_init(&d, &init, sizeof(init), &offer), -EKEYREJECTED);
	/* From another node that claims a's key: it lacks the private half. */
	sides_open(&c, &d, psk);
	c.identity.pair.private_key[1] ^= 1;
	assert_int_equal(spw_noise_peer_init(&c.peer, &c.identity, b.identity.pair.public_key, psk),
			 0);
	struct spw_noise_offer made = sides_offer(3);
	assert_int_equal(spw_noise_init_write(&c.handshake, &c.identity, &c.peer, 1, &made, &init),
			 0);
	assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), -EKEYREJECTED);
}

/* Points of low order make every shared secret zero (RFC 7748 7). */
static void test_low_order(void **state)
{
	static const uint8_t points[][SPW_WIRE_KEY_BYTES] = {
		{0},
		{1},
		{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
		 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
		 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
	};
	struct spw_noise_peer peer;

	(void)state;
	write_init();
	write_response();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(spw_noise_peer_init(&peer, &a.identity, points[i], psk),
				 -EKEYREJECTED);
		must_be_zero(&peer, sizeof(peer));
		memcpy(init.ephemeral, points[i], SPW_WIRE_KEY_BYTES);
		assert_int_equal(spw_mac1_write(b.identity.mac1_key, &init, sizeof(init)), 0);
		assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), -EKEYREJECTED);
		memcpy(response.ephemeral, points[i], SPW_WIRE_KEY_BYTES);
		assert_int_equal(spw_mac1_write(a.identity.mac1_key, &response, sizeof(response)),
				 0);
		assert_int_equal(take_response(), -EKEYREJECTED);
	}
}

/* An authentic peer may still say nonsense. */
static void test_fields(void **state)
{
	static const struct {
		uint8_t children, window_log2;
		uint32_t spi;
		int err;
	} cases[] = {
		{0, 11, 256, -EBADMSG}, {9, 11, 256, -EBADMSG}, {8, 5, 256, -EBADMSG},
		{8, 14, 256, -EBADMSG}, {8, 13, 255, -EBADMSG}, {8, 13, 1, -EBADMSG},
		{8, 13, 256, 0},        {1, 6, 0, 0},
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct spw_noise_offer made = sides_offer(3);
		struct spw_noise_answer said = sides_answer(3);

		made.terms.children = said.terms.children = cases[i].children;
		made.terms.window_log2 = said.terms.window_log2 = cases[i].window_log2;
		made.terms.spi[7] = said.terms.spi[7] = cases[i].spi;
		spw_noise_init_write(&a.handshake, &a.identity, &a.peer, 7, &made, &init);
		assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), cases[i].err);
		write_init();
		assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), 0);
		spw_noise_response_write(&b.handshake, &b.peer, 1, &said, &response, &b.keys);
		assert_int_equal(take_response(), cases[i].err);
	}
}

static void test_sa_both_ends(void **state)
{
	struct spw_sa_secret sent, received;

	(void)state;
	write_init();
	write_response();
	assert_int_equal(take_response(), 0);
	for (uint16_t bits = 128; bits <= 256; bits += 128) {
		assert_int_equal(spw_noise_sa_derive(&a.keys, true, bits, 2, 0x400, &sent), 0);
		assert_int_equal(spw_noise_sa_derive(&b.keys, false, bits, 2, 0x400, &received), 0);
		assert_memory_equal(&sent, &received, sizeof(sent));
	}
	assert_int_equal(spw_noise_sa_derive(&a.keys, true, 192, 2, 0x400, &sent), -EINVAL);
}

/* Each input alone gives another key, salt and mask. */
static void test_sa_inputs(void **state)
{
	struct spw_noise_keys keys = {{1}, {2}, {3}}, other_hash = keys, other_key = keys;
	struct spw_sa_secret secrets[8];

	(void)state;
	other_hash.handshake_hash[31] ^= 1;
	other_key.k_send[31] ^= 1;
	spw_noise_sa_derive(&keys, true, 128, 0, 0x400, &secrets[0]);
	spw_noise_sa_derive(&keys, false, 128, 0, 0x400, &secrets[1]);
	spw_noise_sa_derive(&keys, true, 256, 0, 0x400, &secrets[2]);
	spw_noise_sa_derive(&keys, true, 128, 1, 0x400, &secrets[3]);
	spw_noise_sa_derive(&keys, true, 128, 0, 0x401, &secrets[4]);
	spw_noise_sa_derive(&keys, true, 128, 0, 0x40000, &secrets[5]);
	spw_noise_sa_derive(&other_hash, true, 128, 0, 0x400, &secrets[6]);
	spw_noise_sa_derive(&other_key, true, 128, 0, 0x400, &secrets[7]);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < i; j++) {
			assert_memory_not_equal(secrets[i].key, secrets[j].key, 16);
			assert_memory_not_equal(secrets[i].salt, secrets[j].salt, SPW_SALT_BYTES);
			assert_int_not_equal(secrets[i].iv_mask, secrets[j].iv_mask);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_session, open_sides),
		cmocka_unit_test_setup(test_layout, open_sides),
		cmocka_unit_test_setup(test_init_flipped, open_sides),
		cmocka_unit_test_setup(test_response_flipped, open_sides),
		cmocka_unit_test_setup(test_lengths, open_sides),
		cmocka_unit_test_setup(test_response_twice, open_sides),
		cmocka_unit_test_setup(test_one_answer, open_sides),
		cmocka_unit_test_setup(test_init_replayed, open_sides),
		cmocka_unit_test_setup(test_wrong_psk, open_sides),
		cmocka_unit_test_setup(test_no_psk, open_sides),
		cmocka_unit_test_setup(test_wrong_keys, open_sides),
		cmocka_unit_test_setup(test_low_order, open_sides),
		cmocka_unit_test_setup(test_fields, open_sides),
		cmocka_unit_test_setup(test_sa_both_ends, open_sides),
		cmocka_unit_test(test_sa_inputs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
