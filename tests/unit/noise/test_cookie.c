/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cookie.c - the way of a cookie: asked for, given, shown, and when it is worth nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/noise/sides.h"

#define NOW_MS 1000000u

static struct side a, b;
static struct spw_cookie_secret secret; /* of b, which is under load */
static struct spw_cookie cookie;        /* of a */
static const struct spw_cookie_source source = {{1, 2, 3, 4, 5}, 4500};
static struct spw_wire_init init;
static struct spw_wire_cookie reply;

static int open_sides(void **state)
{
	(void)state;
	sides_open(&a, &b, NULL);
	secret = (struct spw_cookie_secret){0};
	cookie = (struct spw_cookie){0};
	return 0;
}

static void send_init(uint64_t now_ms)
{
	struct spw_noise_offer offer = sides_offer(1);

	assert_int_equal(
		spw_noise_init_write(&a.handshake, &a.identity, &a.peer, 77, &offer, &init), 0);
	assert_int_equal(spw_cookie_add(&cookie, now_ms, &init, sizeof(init)), 0);
	assert_true(spw_mac1_valid(b.identity.mac1_key, &init, sizeof(init)));
}

static bool mac2_valid(uint64_t now_ms)
{
	return spw_mac2_valid(&secret, now_ms, &source, &init, sizeof(init));
}

static void send_reply(uint64_t now_ms)
{
	assert_int_equal(spw_cookie_reply_write(&secret, now_ms, &b.identity, &source, &init,
						sizeof(init), &reply),
			 0);
	assert_int_equal(spw_wire_type(&reply, sizeof(reply)), SPW_WIRE_COOKIE);
}

static int take_reply(uint64_t now_ms)
{
	return spw_cookie_reply_read(&cookie, now_ms, &a.peer, &reply);
}

/* As in a node: INIT, reply, INIT with the cookie. */
static void get_cookie(uint64_t now_ms)
{
	send_init(now_ms);
	assert_false(mac2_valid(now_ms));
	send_reply(now_ms);
	assert_int_equal(take_reply(now_ms), 0);
	send_init(now_ms);
	assert_true(mac2_valid(now_ms));
}

static void test_way(void **state)
{
	struct spw_noise_offer offer;

	(void)state;
	get_cookie(NOW_MS);
	assert_memory_equal((uint8_t *)&reply + 8, "\3\1\0\0\x4d\0\0\0", 8);
	assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), 0);
}

/* A response that is under mac2 too: the initiator may be the one under load. */
static void test_response(void **state)
{
	struct spw_cookie_secret secret_a = {0};
	struct spw_cookie cookie_b = {0};
	struct spw_noise_answer answer = sides_answer(2);
	struct spw_noise_offer offer;
	struct spw_wire_response response;

	(void)state;
	for (int round = 0; round < 2; round++) {
		send_init(NOW_MS);
		assert_int_equal(side_take_init(&b, &init, sizeof(init), &offer), 0);
		assert_int_equal(spw_noise_response_write(&b.handshake, &b.peer, 88, &answer,
							  &response, &b.keys),
				 0);
		assert_int_equal(spw_cookie_add(&cookie_b, NOW_MS, &response, sizeof(response)), 0);
		assert_int_equal(
			spw_mac2_valid(&secret_a, NOW_MS, &source, &response, sizeof(response)),
			round == 1);
		assert_int_equal(spw_cookie_reply_write(&secret_a, NOW_MS, &a.identity, &source,
							&response, sizeof(response), &reply),
				 0);
		assert_memory_equal((uint8_t *)&reply + 12, "\x58\0\0\0", 4);
		assert_int_equal(spw_cookie_reply_read(&cookie_b, NOW_MS, &b.peer, &reply), 0);
	}
}

/* Every byte of what mac2 covers, and of itself; another address and another port. */
static void test_mac2(void **state)
{
	struct spw_cookie_source other = source;

	(void)state;
	get_cookie(NOW_MS);
	for (size_t i = 0; i < sizeof(init); i++) {
		((uint8_t *)&init)[i] ^= 1;
		assert_false(mac2_valid(NOW_MS));
		((uint8_t *)&init)[i] ^= 1;
	}
	for (size_t i = 0; i < sizeof(other.address); i++) {
		other.address[i] ^= 1;
		assert_false(spw_mac2_valid(&secret, NOW_MS, &other, &init, sizeof(init)));
		other.address[i] ^= 1;
	}
	other.port ^= 0x100;
	assert_false(spw_mac2_valid(&secret, NOW_MS, &other, &init, sizeof(init)));
	assert_true(mac2_valid(NOW_MS));
}

static void test_reply_flipped(void **state)
{
	const size_t index = offsetof(struct spw_wire_cookie, receiver_index_le);

	(void)state;
	send_init(NOW_MS);
	send_reply(NOW_MS);
	for (size_t i = 0; i < sizeof(reply); i++) {
		if (i >= index && i < index + 4)
			continue; /* finds the handshake, and no other */
		((uint8_t *)&reply)[i] ^= 1;
		assert_true(spw_wire_type(&reply, sizeof(reply)) == SPW_WIRE_NONE ||
			    take_reply(NOW_MS) == -EKEYREJECTED);
		((uint8_t *)&reply)[i] ^= 1;
	}
	for (size_t bytes = 0; bytes < sizeof(reply); bytes++)
		assert_int_equal(spw_wire_type(&reply, bytes), SPW_WIRE_NONE);
	assert_false(cookie.held);
	assert_int_equal(take_reply(NOW_MS), 0);
}

/* Only the reply to the last message, only once, and none that nobody asked for. */
static void test_reply_stale(void **state)
{
	struct spw_wire_cookie first;

	(void)state;
	send_init(NOW_MS);
	send_reply(NOW_MS);
	first = reply;
	send_init(NOW_MS);
	assert_int_equal(take_reply(NOW_MS), -EKEYREJECTED);
	send_reply(NOW_MS);
	assert_int_equal(take_reply(NOW_MS), 0);
	assert_int_equal(take_reply(NOW_MS), -EKEYREJECTED);
	reply = first;
	assert_int_equal(take_reply(NOW_MS), -EKEYREJECTED);
	cookie = (struct spw_cookie){0};
	assert_int_equal(take_reply(NOW_MS), -EKEYREJECTED);
}

/* Two replies to one message have nothing in common that an onlooker could use. */
static void test_reply_nonce(void **state)
{
	struct spw_wire_cookie first;

	(void)state;
	send_init(NOW_MS);
	send_reply(NOW_MS);
	first = reply;
	send_reply(NOW_MS);
	assert_memory_not_equal(first.nonce, reply.nonce, sizeof(reply.nonce));
	assert_memory_not_equal(first.sealed_cookie, reply.sealed_cookie,
				sizeof(reply.sealed_cookie));
}

static void test_secret_rotates(void **state)
{
	struct spw_cookie_secret before;

	(void)state;
	get_cookie(NOW_MS);
	before = secret;
	assert_true(mac2_valid(NOW_MS + SPW_COOKIE_SECRET_LIFE_MS - 1));
	assert_false(mac2_valid(NOW_MS + SPW_COOKIE_SECRET_LIFE_MS));
	assert_memory_not_equal(secret.secret, before.secret, sizeof(before.secret));
	/* The initiator, whose cookie ended with it, gets another one. */
	send_init(NOW_MS + SPW_COOKIE_SECRET_LIFE_MS - 1);
	assert_false(mac2_valid(NOW_MS + SPW_COOKIE_SECRET_LIFE_MS));
	get_cookie(NOW_MS + SPW_COOKIE_SECRET_LIFE_MS + 1);
}

static void test_cookie_ends(void **state)
{
	static const uint8_t zero[SPW_WIRE_MAC_BYTES];

	(void)state;
	get_cookie(NOW_MS);
	send_init(NOW_MS + SPW_COOKIE_LIFE_MS - 1);
	assert_memory_not_equal(init.macs.mac2, zero, sizeof(zero));
	send_init(NOW_MS + SPW_COOKIE_LIFE_MS);
	assert_memory_equal(init.macs.mac2, zero, sizeof(zero));
}

/* A cookie for one of our peers is no use at another. */
static void test_wrong_key(void **state)
{
	static const uint8_t other[SPW_WIRE_KEY_BYTES] = {9};

	(void)state;
	send_init(NOW_MS);
	assert_int_equal(spw_noise_identity_init(&b.identity, other), 0);
	send_reply(NOW_MS);
	assert_int_equal(take_reply(NOW_MS), -EKEYREJECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_way, open_sides),
		cmocka_unit_test_setup(test_response, open_sides),
		cmocka_unit_test_setup(test_mac2, open_sides),
		cmocka_unit_test_setup(test_reply_flipped, open_sides),
		cmocka_unit_test_setup(test_reply_stale, open_sides),
		cmocka_unit_test_setup(test_reply_nonce, open_sides),
		cmocka_unit_test_setup(test_secret_rotates, open_sides),
		cmocka_unit_test_setup(test_cookie_ends, open_sides),
		cmocka_unit_test_setup(test_wrong_key, open_sides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
