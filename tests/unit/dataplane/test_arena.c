/* SPDX-License-Identifier: BSD-2-Clause */
/* test_arena.c - the key arena: zeroed, aligned, wiped, full at some time, and OpenSSL inside it,
 * also inside a block of somebody's own. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "dataplane/arena.h"

#define ARENA_BYTES (4u << 20) /* below what a user may lock */

static bool all(const uint8_t *bytes, size_t cnt, uint8_t value)
{
	for (size_t i = 0; i < cnt; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

static void blocks_are_wiped_and_come_back(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes < 40000; bytes = bytes * 3 / 2 + 1) {
		uint8_t *first = spw_arena_alloc(bytes), *second = spw_arena_alloc(bytes);
		assert_non_null(first);
		assert_true((uintptr_t)first % 64 == 0 && (uintptr_t)second % 64 == 0);
		assert_true(all(first, bytes, 0) && all(second, bytes, 0));
		memset(first, 0xaa, bytes);
		memset(second, 0xbb, bytes);
		assert_true(all(first, bytes, 0xaa)); /* they do not overlap */
		spw_arena_free(first);
		assert_true(all(second, bytes, 0xbb));
		assert_ptr_equal(spw_arena_alloc(bytes), first);
		assert_true(all(first, bytes, 0));
		spw_arena_free(first);
		spw_arena_free(second);
	}
	spw_arena_free(NULL);
	assert_null(spw_arena_alloc(0));
	assert_null(spw_arena_alloc(ARENA_BYTES + 1));
	assert_null(spw_arena_alloc(SIZE_MAX));
}

/* What another thread allocates while this one has a nest. */
static void *allocate(void *unused)
{
	(void)unused;
	return OPENSSL_malloc(100);
}

static void openssl_nests(void **state)
{
	uint8_t *block = spw_arena_alloc(1024), *end = block + 1024;
	pthread_t thread;
	void *other;

	(void)state;
	spw_arena_nest(block + 64, 960);
	uint8_t *first = OPENSSL_malloc(184), *second = OPENSSL_malloc(500);
	uint8_t *third = OPENSSL_malloc(100); /* no room */
	assert_int_equal(pthread_create(&thread, NULL, allocate, NULL), 0);
	pthread_join(thread, &other);
	spw_arena_nest(NULL, 0);
	uint8_t *fourth = OPENSSL_malloc(1);
	assert_true(first >= block + 64 && first + 184 <= second);
	assert_true(second + 500 <= end && (uintptr_t)second % 64 == 0);
	assert_true(third < block || third >= end);
	assert_true((uint8_t *)other < block || (uint8_t *)other >= end);
	assert_true(fourth < block || fourth >= end);
	memset(second, 0xcc, 500);
	second = OPENSSL_realloc(second, 600); /* moves out */
	assert_true(second < block || second >= end);
	assert_true(all(second, 500, 0xcc));
	memset(first, 0xdd, 184);
	OPENSSL_free(first);
	assert_true(all(first, 184, 0)); /* the block is there still */
	OPENSSL_free(second);
	OPENSSL_free(third);
	OPENSSL_free(fourth);
	OPENSSL_free(other);
	spw_arena_free(block);
	assert_ptr_equal(spw_arena_alloc(1024), block);
	assert_true(all(block, 1024, 0));
	spw_arena_free(block);
}

/* Its own memory, too: to the last piece, and no further. */
static void full_at_some_time(void **state)
{
	size_t cnt = 0;

	(void)state;
	while (spw_arena_alloc(1024))
		cnt++;
	assert_in_range(cnt, ARENA_BYTES / 2 / 1088, ARENA_BYTES / 1088);
	assert_null(OPENSSL_malloc(2000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_wiped_and_come_back),
		cmocka_unit_test(openssl_nests),
		cmocka_unit_test(full_at_some_time),
	};
	int error = spw_arena_open(ARENA_BYTES);

	if (error) {
		fprintf(stderr, "cannot lock %u bytes: %s\n", ARENA_BYTES, strerror(-error));
		return error == -EPERM || error == -ENOMEM || error == -EAGAIN ? 77 : 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
