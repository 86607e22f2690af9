/* SPDX-License-Identifier: BSD-2-Clause */
/* test_admission.c - who is heard while more INITs come than can be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/sa/admission.h"

#define NOW_MS 1000000u

static struct spw_admission admission;

static int begin(void **state)
{
	(void)state;
	memset(&admission, 0, sizeof(admission));
	return 0;
}

/* The sources of a flood, one after the other, none twice. */
static const uint8_t *source(uint32_t number)
{
	static uint8_t address[16];

	memset(address, 0, 10);
	address[10] = address[11] = 0xff;
	number *= 2654435761u;
	memcpy(address + 12, &number, sizeof(number));
	return address;
}

/* So many INITs of one moment; how many are read without a cookie. */
static uint32_t unasked(uint32_t cnt, uint64_t now_ms)
{
	uint32_t read_cnt = 0;

	while (cnt-- > 0)
		read_cnt += spw_admission_unasked(&admission, now_ms);
	return read_cnt;
}

static uint32_t cookies(uint32_t first, uint32_t cnt)
{
	uint32_t given_cnt = 0;

	for (uint32_t i = first; i < first + cnt; i++)
		given_cnt += spw_admission_cookie(&admission, source(i));
	return given_cnt;
}

static void test_calm(void **state)
{
	(void)state;
	for (uint32_t second = 0; second < 5; second++)
		assert_int_equal(unasked(SPW_INITS_UNASKED, NOW_MS + second * 1000),
				 SPW_INITS_UNASKED);
}

static void test_load_begins_and_ends(void **state)
{
	(void)state;
	assert_int_equal(unasked(SPW_INITS_UNASKED + 1, NOW_MS), SPW_INITS_UNASKED);
	/* A second under load: everybody is asked in the next one, from the first INIT on. */
	assert_int_equal(unasked(100, NOW_MS + 1000), 0);
	assert_int_equal(unasked(1, NOW_MS + 1999), 0);
	assert_int_equal(unasked(1, NOW_MS + 4000), 1);
}

static void test_cookies_in_a_second(void **state)
{
	(void)state;
	unasked(SPW_INITS_UNASKED + 1, NOW_MS);
	assert_int_equal(cookies(0, 1000), 1000);
	/* A few of 10,000 look like one of the others. */
	assert_in_range(cookies(1000, 10000), 1000, 1010);
	/* Who comes again gets one, but all together no more than so many. */
	assert_int_equal(cookies(5000, 1000), 1000);
	assert_true(cookies(0, 11000) + cookies(0, 11000) <
		    SPW_COOKIES_MAX - SPW_COOKIES_FIRST_MAX);
	assert_int_equal(cookies(0, 10), 0);
	assert_int_equal(unasked(1, NOW_MS + 1000), 0);
	assert_int_equal(cookies(0, 10), 10);
}

/* 100,000 INITs a second from nowhere: a peer's second try has its cookie. */
static void test_newcomer_in_a_flood(void **state)
{
	uint32_t next = 0, late = 0;

	(void)state;
	unasked(SPW_INITS_UNASKED + 1, NOW_MS);
	cookies(next, 100000);
	for (uint32_t second = 1; second <= 20; second++) {
		uint64_t now_ms = NOW_MS + second * 1000;
		uint32_t newcomer = 50000000 + second;
		unasked(1, now_ms);
		cookies(next += 100000, 60000);
		spw_admission_cookie(&admission, source(newcomer));
		cookies(next + 60000, 40000);
		unasked(1,
			now_ms + 1000 * (second % 2)); /* 250 ms later: this second or the next */
		late += !spw_admission_cookie(&admission, source(newcomer));
	}
	assert_int_equal(late, 0);
}

/* What was seen two seconds ago is forgotten: the filter does not fill. */
static void test_sources_are_forgotten(void **state)
{
	(void)state;
	for (uint32_t second = 0; second < 10; second++) {
		unasked(SPW_INITS_UNASKED + 1, NOW_MS + second * 1000);
		assert_in_range(cookies(second * 100000, 100000), SPW_COOKIES_FIRST_MAX,
				SPW_COOKIES_FIRST_MAX + 3000);
	}
	unasked(1, NOW_MS + 60000);
	for (uint32_t half = 0; half < 2; half++)
		for (uint32_t word = 0; word < SPW_SEEN_BITS / 64; word++)
			assert_int_equal(admission.seen[half][word], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_calm, begin),
		cmocka_unit_test_setup(test_load_begins_and_ends, begin),
		cmocka_unit_test_setup(test_cookies_in_a_second, begin),
		cmocka_unit_test_setup(test_newcomer_in_a_flood, begin),
		cmocka_unit_test_setup(test_sources_are_forgotten, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
