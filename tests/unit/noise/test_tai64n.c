/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tai64n.c - time stamps: their bytes, their order, clocks that stand still or step back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/noise/tai64n.h"

#define NS_PER_S UINT64_C(1000000000)

static struct spw_tai64n at(uint64_t unix_ns)
{
	struct spw_tai64n stamp = {0};

	spw_tai64n_next(&stamp, unix_ns);
	return stamp;
}

static void must_be(const struct spw_tai64n *stamp, const char *bytes)
{
	assert_memory_equal(stamp->bytes, bytes, SPW_TAI64N_BYTES);
}

static void test_bytes(void **state)
{
	struct spw_tai64n stamp = at(0);

	(void)state;
	must_be(&stamp, "\x40\0\0\0\0\0\0\x0a\0\0\0\0");
	stamp = at(0x5f5e1000 * NS_PER_S + 999999999);
	must_be(&stamp, "\x40\0\0\0\x5f\x5e\x10\x0a\x3b\x9a\xc9\xff");
}

static void test_order(void **state)
{
	static const uint64_t times[] = {0,
					 1,
					 255,
					 256,
					 NS_PER_S - 1,
					 NS_PER_S,
					 NS_PER_S + 1,
					 256 * NS_PER_S,
					 UINT64_C(1) << 63,
					 UINT64_MAX};
	static const struct spw_tai64n none;
	const uint32_t cnt = sizeof(times) / sizeof(times[0]);

	(void)state;
	for (uint32_t i = 0; i < cnt; i++) {
		struct spw_tai64n earlier = at(times[i]);

		assert_true(spw_tai64n_later(&earlier, &none));
		for (uint32_t j = 0; j < cnt; j++) {
			struct spw_tai64n stamp = at(times[j]);

			assert_int_equal(spw_tai64n_later(&stamp, &earlier), j > i);
		}
	}
}

/* Whatever the clock does, each stamp is later than the one before. */
static void test_clock_steps(void **state)
{
	static const uint64_t times[] = {
		5 * NS_PER_S,     5 * NS_PER_S, 5 * NS_PER_S + 1, 3 * NS_PER_S,    0,
		9 * NS_PER_S - 1, 8 * NS_PER_S, 9 * NS_PER_S - 1, 9 * NS_PER_S + 7};
	struct spw_tai64n last = {0}, before;

	(void)state;
	for (uint32_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		before = last;
		spw_tai64n_next(&last, times[i]);
		assert_true(spw_tai64n_later(&last, &before));
	}
	before = at(9 * NS_PER_S + 7); /* after so many steps the clock is believed again */
	must_be(&last, (const char *)before.bytes);
}

/* One step beyond the last nanosecond of a second is the next second, not 1,000,000,000 ns. */
static void test_carry(void **state)
{
	struct spw_tai64n stamp = at(2 * NS_PER_S - 1), next = at(2 * NS_PER_S);

	(void)state;
	spw_tai64n_next(&stamp, 0);
	must_be(&stamp, (const char *)next.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_clock_steps),
		cmocka_unit_test(test_carry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
