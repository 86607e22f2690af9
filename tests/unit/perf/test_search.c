/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_search.c - the throughput search against devices whose rates are known, and the parts of the
 * command line that can be wrong in many ways: sizes, ranges, options.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "perf/pktgen/options.h"
#include "perf/pktgen/random.h"
#include "perf/pktgen/search.h"

#define HIGHEST 1e6
#define RESOLUTION 0.01

/* Forwards up to `capacity` and drops what is above. */
static double loss_of(double capacity, double rate)
{
	return rate <= capacity ? 0 : (rate - capacity) / rate;
}

/* Returns the number of trials. */
static uint32_t search_device(struct spw_search *search, double capacity)
{
	uint32_t trials = 0;
	double rate;

	spw_search_begin(search, HIGHEST, RESOLUTION, 0.005);
	while ((rate = spw_search_next(search)) > 0) {
		assert_true(rate > 0 && rate <= HIGHEST);
		spw_search_add(search, rate, loss_of(capacity, rate));
		assert_true(++trials < 30);
	}
	return trials;
}

static void test_ndr_and_pdr_of_known_devices(void **state)
{
	static const double capacities[] = {15000, 100000, 123456, 500000, 749999, 990001, 999999};
	struct spw_search search;
	(void)state;

	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		double capacity = capacities[i], pdr = fmin(capacity / 0.995, HIGHEST);
		uint32_t trials = search_device(&search, capacity);
		const struct spw_search_goal *goal = search.goal;
		assert_true(trials <= 2 * 8 + 2);
		assert_true(goal[SPW_SEARCH_NDR].passed <= capacity);
		assert_true(goal[SPW_SEARCH_NDR].passed >= capacity - HIGHEST * RESOLUTION);
		assert_true(goal[SPW_SEARCH_PDR].passed <= pdr);
		assert_true(goal[SPW_SEARCH_PDR].passed >= pdr - HIGHEST * RESOLUTION);
		assert_true(goal[SPW_SEARCH_PDR].passed >= goal[SPW_SEARCH_NDR].passed);
	}
}

static void test_a_device_that_takes_all_needs_one_trial(void **state)
{
	struct spw_search search;
	(void)state;

	assert_int_equal(search_device(&search, 2 * HIGHEST), 1);
	assert_true(search.goal[SPW_SEARCH_NDR].passed == HIGHEST);
	assert_true(search.goal[SPW_SEARCH_PDR].passed == HIGHEST);
}

static void test_a_dead_device_passes_nothing(void **state)
{
	struct spw_search search;
	(void)state;

	search_device(&search, 0);
	assert_true(search.goal[SPW_SEARCH_NDR].passed == 0);
	assert_true(search.goal[SPW_SEARCH_PDR].passed == 0);
}

/* A device that fails now and then below its capacity: the search ends, and what it names passed
 * and lies below all that failed. */
static void test_noise_neither_holds_it_up_nor_is_believed(void **state)
{
	uint64_t random = SPW_RANDOM_SEED;
	(void)state;

	for (uint32_t round = 0; round < 2000; round++) {
		struct spw_search search;
		double rate, lowest_failed = INFINITY;
		uint32_t trials = 0;
		spw_search_begin(&search, HIGHEST, RESOLUTION, 0.005);
		while ((rate = spw_search_next(&search)) > 0) {
			double loss = (spw_random_next(&random) >> 11) % 4 == 0
					      ? 0.01
					      : loss_of(600000, rate);
			if (loss > 0)
				lowest_failed = fmin(lowest_failed, rate);
			spw_search_add(&search, rate, loss);
			assert_true(++trials < 1000);
		}
		assert_true(search.goal[SPW_SEARCH_NDR].passed < lowest_failed);
		assert_true(search.goal[SPW_SEARCH_NDR].passed <= 600000);
	}
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int error;
		uint32_t sizes;
		double mean;
	} rows[] = {
		{"64", 0, 1, 64},
		{"1500", 0, 1, 1500},
		{"imix", 0, 3, (7 * 64 + 4 * 576 + 1408) / 12.0},
		{"7x64,4x570,1x1518", 0, 3, (7 * 64 + 4 * 570 + 1518) / 12.0},
		{"100,200", 0, 2, 150},
		{"3x100,200", 0, 2, 125},
		{"1,2,3,4,5,6,7,8", 0, 8, 4.5},
		{"1,2,3,4,5,6,7,8,9", -EINVAL, 0, 0},
		{"", -EINVAL, 0, 0},
		{"0", -EINVAL, 0, 0},
		{"-64", -EINVAL, 0, 0},
		{"64,", -EINVAL, 0, 0},
		{",64", -EINVAL, 0, 0},
		{"x64", -EINVAL, 0, 0},
		{"2x", -EINVAL, 0, 0},
		{"0x64", -EINVAL, 0, 0},
		{"2x3x4", -EINVAL, 0, 0},
		{"64 ", -EINVAL, 0, 0},
		{"IMIX", -EINVAL, 0, 0},
		{"99999", -EINVAL, 0, 0},
		{"1001x64", -EINVAL, 0, 0},
		{"500x64,501x65", -EINVAL, 0, 0},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spw_mix mix;
		const char *expected = NULL;
		assert_int_equal(spw_mix_parse(rows[i].text, &mix, &expected), rows[i].error);
		assert_non_null(expected);
		if (rows[i].error)
			continue;
		assert_int_equal(mix.sizes_cnt, rows[i].sizes);
		assert_true(fabs(mix.mean_bytes - rows[i].mean) < 1e-9);
	}
}

/* In a whole round the proportions are exact, and no size keeps to one place. */
static void test_imix_is_7_to_4_to_1(void **state)
{
	struct spw_mix mix;
	const char *expected;
	uint32_t cnt[3] = {0}, first[3] = {0};
	(void)state;

	assert_int_equal(spw_mix_parse("imix", &mix, &expected), 0);
	assert_int_equal(mix.order_cnt % 12, 0);
	for (uint32_t i = 0; i < mix.order_cnt; i++) {
		assert_in_range(mix.order[i], 0, 2);
		cnt[mix.order[i]]++;
		if (i % 12 == 0)
			first[mix.order[i]]++;
	}
	assert_int_equal(cnt[0], mix.order_cnt / 12 * 7);
	assert_int_equal(cnt[1], mix.order_cnt / 12 * 4);
	assert_int_equal(cnt[2], mix.order_cnt / 12);
	assert_true(first[0] && first[1] && first[2]);
}

/* ---- ranges --------------------------------------------------------------------------------- */

static void test_ranges(void **state)
{
	static const struct {
		const char *text, *first, *last; /* NULL: refused */
		uint64_t cnt;
	} rows[] = {
		{"10.0.0.1", "10.0.0.1", "10.0.0.1", 1},
		{"10.0.0.0/24", "10.0.0.0", "10.0.0.255", 256},
		{"10.0.0.250-10.0.1.5", "10.0.0.250", "10.0.1.5", 12},
		{"0.0.0.0/0", "0.0.0.0", "255.255.255.255", SPW_RANGE_CNT_MAX},
		{"fd00::/126", "fd00::", "fd00::3", 4},
		{"fd00::ffff-fd00::1:1", "fd00::ffff", "fd00::1:1", 3},
		{"fd00::/64", "fd00::", "fd00::ffff:ffff", SPW_RANGE_CNT_MAX},
		{"10.0.0.5-10.0.0.4", NULL, NULL, 0},
		{"10.0.0.1-fd00::1", NULL, NULL, 0},
		{"10.0.0.1/24", NULL, NULL, 0},
		{"10.0.0.0/24-10.0.1.0", NULL, NULL, 0},
		{"10.0.0.1-", NULL, NULL, 0},
		{"-10.0.0.1", NULL, NULL, 0},
		{"lan0", NULL, NULL, 0},
		{"", NULL, NULL, 0},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spw_range range, edge;
		const char *expected = NULL;
		uint8_t address[16];
		int error = spw_range_parse(rows[i].text, &range, &expected);
		assert_int_equal(error, rows[i].first ? 0 : -EINVAL);
		if (error) {
			assert_non_null(expected);
			continue;
		}
		assert_int_equal(range.cnt, rows[i].cnt);
		assert_int_equal(spw_range_parse(rows[i].first, &edge, &expected), 0);
		spw_range_address(&range, 0, address);
		assert_memory_equal(address, edge.first, 16);
		spw_range_address(&range, range.cnt, address); /* begins again */
		assert_memory_equal(address, edge.first, 16);
		assert_int_equal(spw_range_parse(rows[i].last, &edge, &expected), 0);
		spw_range_address(&range, range.cnt - 1, address);
		assert_memory_equal(address, edge.first, 16);
		assert_true(spw_range_contains(&range, range.family, edge.first));
		assert_false(spw_range_contains(&range, range.family == 4 ? 6 : 4, edge.first));
	}
}

/* ---- options -------------------------------------------------------------------------------- */

#define WORDS_MAX 12

/* Parses a line of words; returns the error. */
static int parse(const char *line, struct spw_options *options, char *why)
{
	static char copy[512];
	char *words[WORDS_MAX + 1] = {(char *)"spillway-pktgen"}, *rest;
	int cnt = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &rest); word && cnt <= WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[cnt++] = word;
	why[0] = '\0';
	return spw_options_parse(cnt, words, options, why, 512);
}

static void test_options_that_are_right(void **state)
{
	struct spw_options options;
	char why[512];
	(void)state;

	assert_int_equal(parse("--tx lan0", &options, why), 0);
	assert_string_equal(options.rx, "lan0");
	assert_true(options.rate_kind == SPW_RATE_PACKETS && options.rate == 1000);
	assert_true(options.seconds == 10 && options.packets == 0 && options.warmup_s == 1);
	assert_int_equal(options.mix.bytes[0], 64);
	assert_int_equal(options.cores[0], -1);

	assert_int_equal(parse("--tx a --rx b --rate 1.5mpps --packets 7 --size imix --cores 0,3",
			       &options, why),
			 0);
	assert_true(spw_options_packets_per_s(&options, 100) == 1.5e6);
	assert_true(options.packets == 7 && options.seconds == 0);
	assert_true(options.cores[0] == 0 && options.cores[1] == 3);

	assert_int_equal(parse("--tx a --rate 200mbit --size 500 --gateway 02:00:00:00:00:0a",
			       &options, why),
			 0);
	assert_true(spw_options_packets_per_s(&options, 500) == 50000);
	assert_true(options.has_gateway_mac && options.gateway_mac[5] == 10);

	assert_int_equal(parse("--tx a --search --trial 2 --dst fd00::1", &options, why), 0);
	assert_true(options.rate_kind == SPW_RATE_MAX && options.seconds == 2);
	assert_int_equal(options.src.family, 6);

	assert_int_equal(parse("--tx a --pcap x --speed 2", &options, why), 0);
	assert_true(options.speed == 2 && options.rate_kind == SPW_RATE_UNSET);
	assert_true(options.seconds == 0 && options.warmup_s == 0);
	assert_int_equal(parse("--write-node-config d --tunnels 5", &options, why), 0);
	assert_int_equal(parse("--help", &options, why), 0);
}

struct wrong {
	const char *line, *says; /* a word that the sentence must have */
};

static void assert_wrong(const struct wrong *rows, size_t cnt)
{
	struct spw_options options;
	char why[512];

	for (size_t i = 0; i < cnt; i++) {
		int error = parse(rows[i].line, &options, why);
		if (error != -EINVAL || !strstr(why, rows[i].says))
			fail_msg("\"%s\": %d, \"%s\"", rows[i].line, error, why);
	}
}

static void test_options_that_are_wrong(void **state)
{
	static const struct wrong rows[] = {
		{"", "--tx PORT"},
		{"--rx b", "--tx PORT"},
		{"--tx", "needs a value"},
		{"--tx --rx b", "needs a value"},
		{"--tx a --tx b", "twice"},
		{"--txx a", "did you mean \"--tx\""},
		{"--tx a --pakcets 5", "did you mean \"--packets\""},
		{"--tx a --zzzzzzzzzz", "no option"},
		{"--tx a stray", "no option"},
		{"--tx a --rate 0", "packets per second"},
		{"--tx a --rate -5", "packets per second"},
		{"--tx a --rate fast", "packets per second"},
		{"--tx a --rate 5mbps", "packets per second"},
		{"--tx a --rate inf", "packets per second"},
		{"--tx a --rate nan", "packets per second"},
		{"--tx a --rate 501mpps", "at most 500mpps"},
		{"--tx a --rate 4001gbit", "at most 500mpps or 4000gbit"},
		{"--tx a --size 43", "at least 44"},
		{"--tx a --size 1501", "at most 1500"},
		{"--tx a --size 7x64,1x20", "at least 44"},
		{"--tx a --size big", "a size in bytes"},
		{"--tx a --src 10.0.0.1/8", "bits after the length"},
		{"--tx a --flows 0", "from 1 to 1048576"},
		{"--tx a --flows 1048577", "from 1 to 1048576"},
		{"--tx a --flows 1.5", "from 1 to 1048576"},
		{"--tx a --seconds 0", "from 0.01"},
		{"--tx a --seconds 1e9", "to 86400"},
		{"--tx a --packets 0", "1 or more"},
		{"--tx a --warmup -1", "from 0 to 3600"},
		{"--tx a --search --loss 100", "percentage"},
		{"--tx a --pcap x --speed 0", "0.001"},
		{"--tx a --gateway 10.0.0.1:80", "its MAC"},
		{"--tx a --gateway 255.255.255.255", "its MAC"},
		{"--tx a --gateway 02:00:00:00:00", "its MAC"},
		{"--tx a --cores x", "N or N,M"},
		{"--tx a --cores 1,2,3", "N or N,M"},
		{"--write-node-config d --tunnels 16385", "16384"},
	};

	(void)state;
	assert_wrong(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_options_that_exclude_each_other(void **state)
{
	static const struct wrong rows[] = {
		{"--tx a --size 63 --dst fd00::1", "at least 64"},
		{"--tx a --src 10.0.0.1 --dst fd00::1", "one family"},
		{"--tx a --flows 64513", "--src or --dst more addresses"},
		{"--tx a --seconds 5 --packets 5", "one of --seconds and --packets"},
		{"--tx a --search --seconds 3", "--trial"},
		{"--tx a --trial 3", "for --search"},
		{"--tx a --loss 1", "for --search"},
		{"--tx a --json --csv", "both want standard output"},
		{"--tx a --pcap x --esp y", "two kinds"},
		{"--tx a --pcap x --size 64", "--size is not for --pcap"},
		{"--tx a --pcap x --search", "--search needs test packets"},
		{"--tx a --pcap x --speed 2 --rate 5", "give one of them"},
		{"--tx a --speed 2", "--speed is for --pcap"},
		{"--tx a --pcap x --gateway 10.0.0.1", "must be a MAC"},
		{"--tx a --esp x --dst 10.0.0.1", "the file's lines have the addresses"},
		{"--tx a --tunnels 5", "--write-node-config"},
		{"--write-node-config d", "--tunnels N"},
		{"--write-node-config d --tunnels 5 --tx a", "only writes files"},
	};

	(void)state;
	assert_wrong(rows, sizeof(rows) / sizeof(rows[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ndr_and_pdr_of_known_devices),
		cmocka_unit_test(test_a_device_that_takes_all_needs_one_trial),
		cmocka_unit_test(test_a_dead_device_passes_nothing),
		cmocka_unit_test(test_noise_neither_holds_it_up_nor_is_believed),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_imix_is_7_to_4_to_1),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_options_that_are_right),
		cmocka_unit_test(test_options_that_are_wrong),
		cmocka_unit_test(test_options_that_exclude_each_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
