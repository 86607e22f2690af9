/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wiped.c - nothing secret is left on the stack: each step of a handshake runs on a stack of
 * its own, which is then searched for its keys.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/noise/sides.h"

#define STACK_BYTES (1u << 20)

static struct side a, b;
static struct spw_noise_handshake started;
static struct spw_sa_secret sa;
static struct spw_cookie_secret cookie_secret;

/* Messages and payloads, which are no secrets. */
static struct spw_wire_init init;
static struct spw_wire_response response;
static struct spw_wire_cookie reply;

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void init_write(void)
{
	struct spw_noise_offer offer = sides_offer(1);

	must(spw_noise_init_write(&a.handshake, &a.identity, &a.peer, 1, &offer, &init) == 0);
	started = a.handshake;
}

static void init_read(void)
{
	struct spw_noise_offer offer;

	must(side_take_init(&b, &init, sizeof(init), &offer) == 0);
}

static void response_write(void)
{
	struct spw_noise_answer answer = sides_answer(1);

	must(spw_noise_response_write(&b.handshake, &b.peer, 1, &answer, &response, &b.keys) == 0);
}

static void response_read(void)
{
	struct spw_noise_answer answer;

	must(side_take_response(&a, &response, sizeof(response), &answer) == 0);
}

static void sa_derive(void)
{
	must(spw_noise_sa_derive(&a.keys, true, 256, 0, 0x400, &sa) == 0);
}

static void cookie_reply(void)
{
	static const struct spw_cookie_source source = {{1}, 1};

	must(spw_cookie_reply_write(&cookie_secret, 0, &b.identity, &source, &init, sizeof(init),
				    &reply) == 0);
}

/* Each by itself: what comes after would write over what it left. */
static void (*const steps[])(void) = {init_write,    init_read, response_write,
				      response_read, sa_derive, cookie_reply};

/* The C library keeps a stack as it was only while its thread lives. */
static pthread_barrier_t barrier;

static void *run(void *step)
{
	(*(void (*const *)(void))step)();
	pthread_barrier_wait(&barrier); /* it may be searched */
	pthread_barrier_wait(&barrier); /* it has been */
	return NULL;
}

static void must_be_gone(const uint8_t *stack, const char *what, const uint8_t *secret)
{
	static const uint8_t zero[SPW_WIRE_KEY_BYTES];

	if (memcmp(secret, zero, sizeof(zero)) == 0)
		return; /* not made yet */
	/* Half of it would be too much already. */
	for (size_t part = 0; part < SPW_WIRE_KEY_BYTES; part += 16)
		if (memmem(stack, STACK_BYTES, secret + part, 16))
			fail_msg("bytes %zu.. of %s are left on the stack", part, what);
}

static void search(const uint8_t *stack)
{
	must_be_gone(stack, "a's private key", a.identity.pair.private_key);
	must_be_gone(stack, "b's private key", b.identity.pair.private_key);
	must_be_gone(stack, "the psk", a.peer.psk);
	must_be_gone(stack, "the static DH", a.peer.static_static);
	must_be_gone(stack, "a's ephemeral key", started.ephemeral.private_key);
	must_be_gone(stack, "the first chaining key", started.symmetric.chaining_key);
	must_be_gone(stack, "the first key", started.symmetric.key);
	must_be_gone(stack, "one direction's key", b.keys.k_send);
	must_be_gone(stack, "the other direction's key", b.keys.k_receive);
	must_be_gone(stack, "an SA's key", sa.key);
	must_be_gone(stack, "the cookie secret", cookie_secret.secret);
}

static void open_random_sides(void)
{
	static const uint8_t psk[SPW_WIRE_KEY_BYTES] = "psk psk psk psk of 32 bytes, all";
	struct spw_key_pair pair[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(spw_x25519_generate(&pair[i]), 0);
	assert_int_equal(spw_noise_identity_init(&a.identity, pair[0].private_key), 0);
	assert_int_equal(spw_noise_identity_init(&b.identity, pair[1].private_key), 0);
	assert_int_equal(spw_noise_peer_init(&a.peer, &a.identity, pair[1].public_key, psk), 0);
	assert_int_equal(spw_noise_peer_init(&b.peer, &b.identity, pair[0].public_key, psk), 0);
}

static void test_stack(void **state)
{
	static const uint8_t zero[SPW_WIRE_KEY_BYTES];
	pthread_attr_t attributes;
	pthread_t thread;
	uint8_t *stack = aligned_alloc(4096, STACK_BYTES);

	(void)state;
	assert_non_null(stack);
	open_random_sides();
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		memset(stack, 0, STACK_BYTES);
		assert_int_equal(pthread_create(&thread, &attributes, run, (void *)&steps[i]), 0);
		pthread_barrier_wait(&barrier);
		search(stack);
		pthread_barrier_wait(&barrier);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	assert_memory_not_equal(sa.key, zero, sizeof(zero));
	pthread_attr_destroy(&attributes);
	free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
