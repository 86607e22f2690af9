/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_bucket.c - the token bucket against exact arithmetic: a model that counts in billionths of
 * a byte, divided by the sharers, in 128 bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/stages/bucket.h"
#include "perf/pktgen/random.h"

#define SECOND_NS 1000000000ull
#define DAY_NS (86400 * SECOND_NS)
#define YEAR_NS (365 * DAY_NS)

/* A level of 10^9 x sharers is one byte. A rate of 1 kbit/s brings 125 bytes in 10^9 ns, so 125
 * x sharers / sharers = 125 units per ns. */
struct model {
	uint64_t cap;
	__int128 level;
	uint64_t at_ns;
};

static __int128 model_depth(uint64_t cap, uint32_t sharers)
{
	__int128 bytes = SPW_CAP_BURST_BYTES(cap);
	__int128 least = (__int128)4096 * sharers;
	return (bytes < least ? least : bytes) * 1000000000;
}

static bool model_admits(struct model *model, uint64_t cap, uint64_t now_ns, uint32_t bytes,
			 uint32_t sharers)
{
	if (cap == 0) {
		model->cap = 0;
		return true;
	}
	if (model->cap == 0) {
		model->level = model_depth(cap, sharers);
	} else {
		if (now_ns > model->at_ns)
			model->level += (__int128)125 * SPW_CAP_RATE_KBIT(model->cap) *
					(now_ns - model->at_ns);
		if (model->level > model_depth(model->cap, sharers))
			model->level = model_depth(model->cap, sharers);
		if (model->level > model_depth(cap, sharers))
			model->level = model_depth(cap, sharers);
	}
	model->cap = cap;
	model->at_ns = now_ns;
	return model->level >= (__int128)bytes * 1000000000 * sharers;
}

static void model_take(struct model *model, uint32_t bytes, uint32_t sharers)
{
	if (model->cap)
		model->level -= (__int128)bytes * 1000000000 * sharers;
}

static uint64_t random_state;

static uint64_t random_next(void)
{
	return spw_random_next(&random_state);
}

static uint64_t random_cap(void)
{
	static const uint32_t rates[] = {1,      7,       64,       1000,      50000,
					 999999, 1234567, 10000000, 100000000, 400000000};
	static const uint32_t bursts[] = {1, 1500, 65536, 312500, 10000000, 0x7fffffff, UINT32_MAX};
	if (random_next() % 20 == 0)
		return 0;
	return SPW_CAP(rates[random_next() % 10], bursts[random_next() % 7]);
}

static uint64_t random_gap_ns(void)
{
	switch (random_next() % 8) {
	case 0:
		return 0;
	case 1:
		return random_next() % (10 * SECOND_NS);
	case 2:
		return random_next() % 50 == 0 ? random_next() % (20 * YEAR_NS) : 1;
	default:
		return random_next() % 200000;
	}
}

/* The same questions to both, the same answers and, to the last grain, the same level. */
static void against_model(void **state)
{
	(void)state;
	random_state = 0xfeedc0ffee123457ull;
	for (int run = 0; run < 300; run++) {
		struct spw_bucket bucket = {0};
		struct model model = {0};
		uint32_t sharers = 1 + (uint32_t)(random_next() % SPW_WORKERS_MAX);
		uint64_t now_ns = random_next() % YEAR_NS, cap = random_cap();
		for (int step = 0; step < 2000; step++) {
			now_ns += random_gap_ns();
			if (random_next() % 200 == 0)
				now_ns -= now_ns < SECOND_NS ? 0 : random_next() % SECOND_NS;
			if (random_next() % 100 == 0)
				cap = random_cap();
			uint32_t bytes = (uint32_t)(random_next() % 1501);
			bool admits = spw_bucket_admits(&bucket, cap, now_ns, bytes, sharers);
			assert_int_equal(admits, model_admits(&model, cap, now_ns, bytes, sharers));
			if (admits && random_next() % 4 != 0) {
				spw_bucket_take(&bucket, bytes, sharers);
				model_take(&model, bytes, sharers);
			}
			if (cap)
				assert_true((__int128)bucket.level_grains * 125 == model.level);
		}
	}
}

/* A sender that always has a packet ready: over a time t exactly burst + rate x t may pass, less
 * what is left of one packet. No model here, only the definition of a rate. */
static void saturated(uint32_t rate_kbit, uint32_t burst_bytes, uint32_t bytes, uint64_t gap_ns,
		      uint64_t steps)
{
	struct spw_bucket bucket = {0};
	uint64_t cap = SPW_CAP(rate_kbit, burst_bytes), now_ns = 12345, passed_bytes = 0;

	for (uint64_t k = 0; k <= steps; k++) {
		while (spw_bucket_admits(&bucket, cap, now_ns, bytes, 1)) {
			spw_bucket_take(&bucket, bytes, 1);
			passed_bytes += bytes;
		}
		if (k < steps)
			now_ns += gap_ns;
	}
	__int128 exact = (__int128)burst_bytes * 8000000 + (__int128)rate_kbit * gap_ns * steps;
	__int128 passed = (__int128)passed_bytes * 8000000;
	assert_true(passed <= exact);
	assert_true(exact - passed < (__int128)bytes * 8000000);
}

static void long_run_rate(void **state)
{
	(void)state;
	saturated(1, 65536, 1400, 997, 3000000);           /* 3 s in steps that no rate divides */
	saturated(1, 65536, 40, DAY_NS / 240, 240);        /* a day at 1 kbit/s */
	saturated(50000, 312500, 1400, 33331, 300000);     /* 50 Mbit/s for 10 s */
	saturated(999983, 65536, 577, 1009, 1000000);      /* prime everything */
	saturated(400000000, 2500000, 1500, 1003, 100000); /* 400 Gbit/s */
	saturated(400000000, UINT32_MAX, 65535, 50000, 100);
}

static void zero_is_no_cap(void **state)
{
	struct spw_bucket bucket = {0};
	(void)state;
	for (int k = 0; k < 1000; k++) {
		assert_true(spw_bucket_admits(&bucket, 0, SECOND_NS, UINT32_MAX, 16));
		spw_bucket_take(&bucket, UINT32_MAX, 16);
	}
	/* And then a cap starts with its full burst, whatever went through before. */
	assert_true(spw_bucket_admits(&bucket, SPW_CAP(1, 5000), SECOND_NS, 5000, 1));
	assert_false(spw_bucket_admits(&bucket, SPW_CAP(1, 5000), SECOND_NS, 5001, 1));
}

static void idle_for_years(void **state)
{
	struct spw_bucket bucket = {0};
	uint64_t cap = SPW_CAP(400000000, UINT32_MAX);
	(void)state;
	assert_true(spw_bucket_admits(&bucket, cap, 0, 1500, 1));
	for (int k = 0; k < 3; k++) { /* all of it gone, then all of it back and no more */
		assert_true(spw_bucket_admits(&bucket, cap, k * 190 * YEAR_NS, UINT32_MAX, 1));
		spw_bucket_take(&bucket, UINT32_MAX, 1);
		assert_false(spw_bucket_admits(&bucket, cap, k * 190 * YEAR_NS, 1, 1));
	}
	assert_true(spw_bucket_admits(&bucket, cap, UINT64_MAX, UINT32_MAX, 1));
}

static void clock_steps_back(void **state)
{
	struct spw_bucket bucket = {0};
	uint64_t cap = SPW_CAP(8, 5000); /* 1 byte per ms */
	(void)state;
	assert_true(spw_bucket_admits(&bucket, cap, DAY_NS, 5000, 1));
	spw_bucket_take(&bucket, 5000, 1);
	assert_false(spw_bucket_admits(&bucket, cap, SECOND_NS, 1, 1)); /* nothing for free */
	assert_false(spw_bucket_admits(&bucket, cap, SECOND_NS + 999999, 1, 1));
	assert_true(spw_bucket_admits(&bucket, cap, SECOND_NS + 1000000, 1, 1)); /* and no stall */
	assert_false(spw_bucket_admits(&bucket, cap, SECOND_NS + 1000000, 2, 1));
}

static void cap_changes(void **state)
{
	struct spw_bucket bucket = {0};
	uint64_t slow = SPW_CAP(8, 10000), fast = SPW_CAP(8000, 20000), small = SPW_CAP(8, 5000);
	uint64_t now_ns = SECOND_NS;
	(void)state;
	assert_true(spw_bucket_admits(&bucket, slow, now_ns, 10000, 1));
	spw_bucket_take(&bucket, 10000, 1);
	now_ns += 1000000; /* the time until now counts at the old rate: 1 byte */
	assert_true(spw_bucket_admits(&bucket, fast, now_ns, 1, 1));
	assert_false(spw_bucket_admits(&bucket, fast, now_ns, 2, 1));
	now_ns += 1000000; /* and from here on at the new one: 1000 more */
	assert_true(spw_bucket_admits(&bucket, fast, now_ns, 1001, 1));
	assert_false(spw_bucket_admits(&bucket, fast, now_ns, 1002, 1));
	now_ns += SECOND_NS; /* full: 20000, cut to a smaller burst */
	assert_true(spw_bucket_admits(&bucket, small, now_ns, 5000, 1));
	assert_false(spw_bucket_admits(&bucket, small, now_ns, 5001, 1));
	assert_false(spw_bucket_admits(&bucket, fast, now_ns, 5001, 1)); /* not given back */
}

/* 16 workers together pass what one would, and a burst below a packet stops no packet for good. */
static void shared_cap(void **state)
{
	struct spw_bucket buckets[16] = {0};
	uint64_t cap = SPW_CAP(16000, 160000), passed_bytes = 0, now_ns = SECOND_NS;
	(void)state;
	for (int k = 0; k <= 100000; k++, now_ns += 100000) {
		for (int w = 0; w < 16; w++) {
			if (spw_bucket_admits(&buckets[w], cap, now_ns, 1000, 16)) {
				spw_bucket_take(&buckets[w], 1000, 16);
				passed_bytes += 1000;
			}
		}
	}
	uint64_t exact = 160000 + 2000000 * 10; /* burst + 10 s at 2 MB/s */
	assert_in_range(passed_bytes, exact - 16 * 1000, exact);

	struct spw_bucket one = {0};
	assert_true(spw_bucket_admits(&one, SPW_CAP(1, 1), 0, 4096, 16));
	assert_false(spw_bucket_admits(&one, SPW_CAP(1, 1), 0, 4097, 16));
}

/* Asking is free: only what is taken is paid for. */
static void asking_takes_nothing(void **state)
{
	struct spw_bucket bucket = {0};
	uint64_t cap = SPW_CAP(1, 5000);
	(void)state;
	for (int k = 0; k < 1000; k++)
		assert_true(spw_bucket_admits(&bucket, cap, 5, 5000, 1));
	spw_bucket_take(&bucket, 5000, 1);
	assert_false(spw_bucket_admits(&bucket, cap, 5, 1, 1));
	assert_true(spw_bucket_admits(&bucket, cap, 5, 0, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_model),    cmocka_unit_test(long_run_rate),
		cmocka_unit_test(zero_is_no_cap),   cmocka_unit_test(idle_for_years),
		cmocka_unit_test(clock_steps_back), cmocka_unit_test(cap_changes),
		cmocka_unit_test(shared_cap),       cmocka_unit_test(asking_takes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
