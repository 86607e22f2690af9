/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_measures.c - what the load generator measures with: histogram, pacing and sequence windows,
 * each against a model that remembers everything.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "perf/pktgen/histogram.h"
#include "perf/pktgen/pace.h"
#include "perf/pktgen/random.h"
#include "perf/pktgen/tag.h"
#include "perf/pktgen/track.h"

static uint64_t random_state = SPW_RANDOM_SEED;

static uint64_t random_next(void)
{
	return spw_random_next(&random_state) >> 8;
}

/* ---- histogram ------------------------------------------------------------------------------ */

#define SAMPLES 20000u

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Of values that spread over many powers of two. */
static void test_quantiles_are_exact_to_a_part_in_128(void **state)
{
	static struct spw_histogram histogram;
	static uint64_t values[SAMPLES];
	static const double shares[] = {0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
	(void)state;

	for (uint32_t bits = 1; bits <= 40; bits++) {
		histogram = (struct spw_histogram){0};
		for (uint32_t i = 0; i < SAMPLES; i++) {
			values[i] = random_next() % (UINT64_C(1) << (1 + random_next() % bits));
			spw_histogram_add(&histogram, values[i]);
		}
		qsort(values, SAMPLES, sizeof(values[0]), compare);
		assert_int_equal(histogram.cnt, SAMPLES);
		assert_int_equal(histogram.min, values[0]);
		assert_int_equal(histogram.max, values[SAMPLES - 1]);
		for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
			double exact = (double)values[(size_t)ceil(shares[s] * SAMPLES) - 1];
			double told = (double)spw_histogram_quantile(&histogram, shares[s]);
			assert_true(fabs(told - exact) <= exact / 128);
		}
	}
}

/* Buckets follow each other without a gap, and each value lies in the one that says so. */
static void test_buckets_grow_with_the_value(void **state)
{
	(void)state;
	uint32_t last = 0;
	for (uint64_t value = 0; value < 1 << 16; value++) {
		uint32_t bucket = spw_histogram_bucket(value);
		assert_true(bucket == last || bucket == last + 1);
		last = bucket;
	}
	for (uint32_t bits = 16; bits < 64; bits++) {
		uint32_t bucket = spw_histogram_bucket(UINT64_C(1) << bits);
		assert_in_range(bucket, last, SPW_HISTOGRAM_BUCKETS - 1);
		last = bucket;
	}
	assert_int_equal(spw_histogram_bucket(UINT64_MAX), SPW_HISTOGRAM_BUCKETS - 1);
}

static void test_an_empty_histogram_and_one_value(void **state)
{
	static struct spw_histogram histogram;
	(void)state;

	assert_int_equal(spw_histogram_quantile(&histogram, 0.5), 0);
	spw_histogram_add(&histogram, 1234567);
	assert_int_equal(spw_histogram_quantile(&histogram, 0), 1234567);
	assert_int_equal(spw_histogram_quantile(&histogram, 1), 1234567);
}

static void test_since_is_what_was_added(void **state)
{
	static struct spw_histogram all, before, part, alone;
	(void)state;

	for (uint32_t round = 0; round < 5; round++) {
		alone = (struct spw_histogram){0};
		for (uint32_t i = 0; i < 100 * round; i++) {
			uint64_t value = random_next() % 100000;
			spw_histogram_add(&all, value);
			spw_histogram_add(&alone, value);
		}
		spw_histogram_since(&all, &before, &part);
		assert_memory_equal(part.bucket, alone.bucket, sizeof(part.bucket));
		assert_int_equal(part.cnt, alone.cnt);
		assert_int_equal(part.sum, alone.sum);
		if (round)
			assert_true(part.max >= alone.max && part.min <= alone.min);
	}
}

/* ---- pacing --------------------------------------------------------------------------------- */

#define HZ 2600000000.0

static const double rates[] = {1,      7,     999.5,    1000,   33333,     1e5,
			       250000, 1.5e6, 14880952, 29.7e6, 123456789, 5e8};

/* A sender that looks every so often sends exactly what is due, never more. */
static void test_the_rate_is_exact(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct spw_pace pace;
		uint64_t start = 1 + random_next(), now = start, sent = 0;
		double ticks_per_look = fmin(HZ / rates[r], 1000);
		uint64_t looks = 200000;
		spw_pace_start(&pace, rates[r], HZ, start);
		for (uint64_t look = 0; look < looks; look++) {
			now = start + (uint64_t)((double)look * ticks_per_look);
			sent += spw_pace_take(&pace, now, 32);
			double due = (double)(now - start) / HZ * rates[r];
			assert_true((double)sent <= due + 1e-6 * due + 1e-6);
		}
		double due = (double)(now - start) / HZ * rates[r];
		if (32 * HZ / ticks_per_look > 2 * rates[r])
			assert_true((double)sent >= floor(due) - 34);
		assert_int_equal(pace.given_up, 0);
		assert_int_equal(pace.taken, sent);
	}
}

/* After a pause of 15 ms it catches up, at no more than twice the rate. */
static void test_a_short_pause_is_made_up_for_gently(void **state)
{
	struct spw_pace pace;
	const double rate = 1e6;
	uint64_t now = 1000, sent = 0, burst_sent = 0;
	(void)state;

	spw_pace_start(&pace, rate, HZ, now);
	now += (uint64_t)(0.015 * HZ);
	uint64_t resumed = now;
	for (; now < resumed + (uint64_t)(0.1 * HZ); now += 2600) {
		sent += spw_pace_take(&pace, now, 32);
		double since = (double)(now - resumed) / HZ;
		assert_true((double)sent <= 2 * rate * since + 64);
		if (since < 0.01)
			burst_sent = sent;
	}
	assert_true((double)burst_sent > 1.9 * rate * 0.01); /* it does catch up */
	assert_true(fabs((double)sent - 0.115 * rate) < 64);
	assert_int_equal(pace.given_up, 0);
}

/* After half a second it gives up all but 20 ms, and says how much. */
static void test_a_long_pause_is_given_up(void **state)
{
	struct spw_pace pace;
	uint64_t now = 5, sent = 0;
	(void)state;

	spw_pace_start(&pace, 1e6, HZ, now);
	now += (uint64_t)(0.5 * HZ);
	uint64_t end = now + (uint64_t)(0.5 * HZ);
	for (; now < end; now += 2600)
		sent += spw_pace_take(&pace, now, 32);
	assert_true(pace.given_up > 470000 && pace.given_up < 490000);
	assert_true(sent + pace.given_up > 999900 && sent + pace.given_up <= 1000000);
}

static void test_without_a_rate_it_is_always_time(void **state)
{
	struct spw_pace pace;
	(void)state;

	spw_pace_start(&pace, 0, HZ, 77);
	assert_int_equal(spw_pace_take(&pace, 77, 32), 32);
	assert_int_equal(spw_pace_take(&pace, 77, 5), 5);
	assert_int_equal(pace.taken, 37);
}

/* ---- sequences ------------------------------------------------------------------------------ */

static void test_verdicts_in_a_row(void **state)
{
	/* Number and what it is, one after the other; a window of 64 behind. */
	static const struct {
		uint32_t sequence;
		enum spw_track_verdict verdict;
	} rows[] = {
		{0, SPW_TRACK_IN_ORDER},     {1, SPW_TRACK_IN_ORDER},
		{1, SPW_TRACK_DUPLICATE},    {0, SPW_TRACK_DUPLICATE},
		{3, SPW_TRACK_IN_ORDER},     {2, SPW_TRACK_REORDERED},
		{2, SPW_TRACK_DUPLICATE},    {3, SPW_TRACK_DUPLICATE},
		{66, SPW_TRACK_IN_ORDER},    {3, SPW_TRACK_DUPLICATE},
		{4, SPW_TRACK_REORDERED},    {2, SPW_TRACK_LATE},
		{65, SPW_TRACK_REORDERED},   {1000, SPW_TRACK_IN_ORDER},
		{937, SPW_TRACK_REORDERED},  {936, SPW_TRACK_LATE},
		{937, SPW_TRACK_DUPLICATE},  {1063, SPW_TRACK_IN_ORDER},
		{1000, SPW_TRACK_DUPLICATE}, {1001, SPW_TRACK_REORDERED},
	};
	struct spw_track *track = spw_track_create(1 << 20);
	(void)state;

	assert_non_null(track);
	assert_int_equal(track->window, 64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(spw_track_add(track, 77, rows[i].sequence), rows[i].verdict);
	assert_int_equal(spw_track_add(track, 78, 0), SPW_TRACK_IN_ORDER); /* another flow */
	spw_track_reset(track);
	assert_int_equal(spw_track_add(track, 77, 0), SPW_TRACK_IN_ORDER);
	spw_track_destroy(track);
}

static void test_windows_share_what_there_is(void **state)
{
	static const struct {
		uint32_t flows, window;
	} rows[] = {{1, 65536},   {128, 65536},  {129, 32768},
		    {1000, 8192}, {1 << 17, 64}, {1 << 20, 64}};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spw_track *track = spw_track_create(rows[i].flows);
		assert_int_equal(track->window, rows[i].window);
		spw_track_destroy(track);
	}
}

static void test_numbers_wrap(void **state)
{
	struct spw_track *track = spw_track_create(1);
	(void)state;

	for (uint32_t sequence = 0; sequence != 0x80000000; sequence += 0x40000000)
		spw_track_add(track, 0, sequence);
	spw_track_add(track, 0, 0xc0000000);
	assert_int_equal(spw_track_add(track, 0, 0xffffffff), SPW_TRACK_IN_ORDER);
	assert_int_equal(spw_track_add(track, 0, 1), SPW_TRACK_IN_ORDER);
	assert_int_equal(spw_track_add(track, 0, 0), SPW_TRACK_REORDERED);
	assert_int_equal(spw_track_add(track, 0, 0xffffffff), SPW_TRACK_DUPLICATE);
	spw_track_destroy(track);
}

#define FLOWS 5u
#define NUMBERS 30000u

/* A network that loses, doubles and delays, and a model that has counted every number. */
static void test_random_streams_against_a_model(void **state)
{
	static uint8_t seen[FLOWS][NUMBERS];
	static int64_t top[FLOWS];
	struct spw_track *track = spw_track_create(FLOWS);
	uint32_t counted[4] = {0};
	(void)state;

	memset(top, 0xff, sizeof(top));
	for (uint32_t n = 0; n < NUMBERS; n++) {
		for (uint32_t flow = 0; flow < FLOWS; flow++) {
			if (random_next() % 10 == 0)
				continue; /* lost, or only late */
			uint32_t back = random_next() % 8 == 0 ? random_next() % 3000 : 0;
			uint32_t sequence = back > n ? n : n - back;
			enum spw_track_verdict expected = seen[flow][sequence] ? SPW_TRACK_DUPLICATE
							  : (int64_t)sequence < top[flow]
								  ? SPW_TRACK_REORDERED
								  : SPW_TRACK_IN_ORDER;
			assert_int_equal(spw_track_add(track, flow, sequence), expected);
			counted[expected]++;
			seen[flow][sequence] = 1;
			if ((int64_t)sequence > top[flow])
				top[flow] = sequence;
		}
	}
	assert_true(counted[SPW_TRACK_DUPLICATE] > 100 && counted[SPW_TRACK_REORDERED] > 100);
	spw_track_destroy(track);
}

static void test_tags_come_back_as_they_were(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		struct spw_tag tag = {.trial = (uint16_t)random_next(),
				      .flow = random_next() & 0xffffff,
				      .sequence = (uint32_t)random_next(),
				      .ticks = random_next() & SPW_TAG_TIME_MASK};
		struct spw_tag back;
		uint8_t bytes[SPW_TAG_BYTES];
		spw_tag_write(bytes, &tag);
		assert_true(spw_tag_read(bytes, &back));
		assert_int_equal(back.trial, tag.trial);
		assert_int_equal(back.flow, tag.flow);
		assert_int_equal(back.sequence, tag.sequence);
		assert_int_equal(back.ticks, tag.ticks);
		bytes[random_next() % 2] ^= 1 << random_next() % 8;
		assert_false(spw_tag_read(bytes, &back));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles_are_exact_to_a_part_in_128),
		cmocka_unit_test(test_buckets_grow_with_the_value),
		cmocka_unit_test(test_an_empty_histogram_and_one_value),
		cmocka_unit_test(test_since_is_what_was_added),
		cmocka_unit_test(test_the_rate_is_exact),
		cmocka_unit_test(test_a_short_pause_is_made_up_for_gently),
		cmocka_unit_test(test_a_long_pause_is_given_up),
		cmocka_unit_test(test_without_a_rate_it_is_always_time),
		cmocka_unit_test(test_verdicts_in_a_row),
		cmocka_unit_test(test_windows_share_what_there_is),
		cmocka_unit_test(test_numbers_wrap),
		cmocka_unit_test(test_random_streams_against_a_model),
		cmocka_unit_test(test_tags_come_back_as_they_were),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
