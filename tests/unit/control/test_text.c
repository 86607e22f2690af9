/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses, prefixes, rates and names: truth tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "control/text.h"

#define CNT(table) (sizeof(table) / sizeof((table)[0]))

/* written: what the format function makes of it; NULL: refused. */
struct text_case {
	const char *text, *written;
};

static const struct text_case prefixes[] = {
	{"10.0.0.0/24", "10.0.0.0/24"},
	{"0.0.0.0/0", "0.0.0.0/0"},
	{"10.0.0.1", "10.0.0.1/32"},
	{"10.0.0.1/32", "10.0.0.1/32"},
	{"10.0.0.128/25", "10.0.0.128/25"},
	{"::/0", "::/0"},
	{"fd00::/64", "fd00::/64"},
	{"2001:DB8:0:0::/33", "2001:db8::/33"},
	{"2001:db8:8000::/33", "2001:db8:8000::/33"},
	{"::1", "::1/128"},
	{"", NULL},
	{"/", NULL},
	{"/24", NULL},
	{"10.0.0.0/", NULL},
	{"10.0.0.0/33", NULL},
	{"10.0.0.0/-1", NULL},
	{"10.0.0.0/+8", NULL},
	{"10.0.0.0/08", NULL},
	{"10.0.0.0/ 8", NULL},
	{"10.0.0.0/8 ", NULL},
	{"10.0.0.0/4294967304", NULL},
	{"10.0.0.1/24", NULL},
	{"10.0.0.128/24", NULL},
	{"10.0.0/24", NULL},
	{"10.0.0.256/32", NULL},
	{"010.0.0.0/8", NULL},
	{"fd00::1/64", NULL},
	{"fd00::/129", NULL},
	{"fd00:::/64", NULL},
	{"fe80::1%eth0/128", NULL},
	{"::ffff:10.0.0.0/104", NULL},
	{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/0", NULL},
};

static const struct text_case endpoints[] = {
	{"192.0.2.1", "192.0.2.1"},
	{"192.0.2.1:4500", "192.0.2.1:4500"},
	{"192.0.2.1:1", "192.0.2.1:1"},
	{"192.0.2.1:65535", "192.0.2.1:65535"},
	{"2001:db8::1", "2001:db8::1"},
	{"[2001:db8::1]:4500", "[2001:db8::1]:4500"},
	{"::1", "::1"},
	{"", NULL},
	{":", NULL},
	{":4500", NULL},
	{"192.0.2.1:", NULL},
	{"192.0.2.1:0", NULL},
	{"192.0.2.1:65536", NULL},
	{"192.0.2.1:045", NULL},
	{"192.0.2.1:4500x", NULL},
	{"192.0.2.300", NULL},
	{"[192.0.2.1]:4500", NULL},
	{"[2001:db8::1]", NULL},
	{"[2001:db8::1]4500", NULL},
	{"[2001:db8::1", NULL},
	{"[2001:db8::1]:0", NULL},
	{"[]:4500", NULL},
	{"2001:db8::1:4500:99999", NULL},
	{"::ffff:192.0.2.1", NULL},
	{"example.org", NULL},
	{"example.org:4500", NULL},
};

struct rate_case {
	const char *text;
	uint32_t rate_kbit;
	const char *written; /* NULL: refused */
};

static const struct rate_case rates[] = {
	{"none", 0, "none"},
	{"1kbit", 1, "1kbit"},
	{"800kbit", 800, "800kbit"},
	{"1000kbit", 1000, "1mbit"},
	{"50mbit", 50000, "50mbit"},
	{"0.5mbit", 500, "500kbit"},
	{"1.5gbit", 1500000, "1.5gbit"},
	{"1.234567gbit", 1234567, "1.234567gbit"},
	{"0.000001gbit", 1, "1kbit"},
	{"2.050mbit", 2050, "2.05mbit"},
	{"1001kbit", 1001, "1.001mbit"},
	{"100gbit", 100000000, "100gbit"},
	{"4294967295kbit", UINT32_MAX, "4294.967295gbit"},
	{"4294967296kbit", 0, NULL},
	{"4295gbit", 0, NULL},
	{"99999999999999999999mbit", 0, NULL},
	{"", 0, NULL},
	{"0", 0, NULL},
	{"0mbit", 0, NULL},
	{"50", 0, NULL},
	{"mbit", 0, NULL},
	{".5mbit", 0, NULL},
	{"5.mbit", 0, NULL},
	{"1.2.3mbit", 0, NULL},
	{"-1mbit", 0, NULL},
	{"+1mbit", 0, NULL},
	{"1 mbit", 0, NULL},
	{"1Mbit", 0, NULL},
	{"1mbits", 0, NULL},
	{"0.5kbit", 0, NULL},
	{"0.0001mbit", 0, NULL},
	{"0.0000001gbit", 0, NULL},
	{"None", 0, NULL},
};

static const struct text_case names[] = {
	{"a", "a"},
	{"blue", "blue"},
	{"0", "0"},
	{"to-relay_2x", "to-relay_2x"},
	{"to.relay", NULL},
	{"abcdefghijklmnopqrstuvwxyz01234", "31 characters"},
	{"abcdefghijklmnopqrstuvwxyz012345", NULL},
	{"", NULL},
	{"-a", NULL},
	{".a", NULL},
	{"_a", NULL},
	{"Blue", NULL},
	{"a b", NULL},
	{"a/b", NULL},
	{"a\n", NULL},
	{"bl\xc3\xbc", NULL},
};

static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(prefixes); i++) {
		struct spw_prefix prefix;
		const char *expected = NULL;
		char text[64];
		int rc = spw_prefix_parse(prefixes[i].text, &prefix, &expected);
		if (!prefixes[i].written) {
			if (rc != -EINVAL || !expected)
				fail_msg("prefix \"%s\" was taken", prefixes[i].text);
			continue;
		}
		if (rc != 0)
			fail_msg("prefix \"%s\" was refused", prefixes[i].text);
		spw_prefix_format(&prefix, text, sizeof(text));
		assert_string_equal(text, prefixes[i].written);
	}
}

static void test_endpoints(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(endpoints); i++) {
		struct spw_endpoint endpoint;
		const char *expected = NULL;
		char text[64];
		int rc = spw_endpoint_parse(endpoints[i].text, &endpoint, &expected);
		if (!endpoints[i].written) {
			if (rc != -EINVAL || !expected)
				fail_msg("endpoint \"%s\" was taken", endpoints[i].text);
			continue;
		}
		if (rc != 0)
			fail_msg("endpoint \"%s\" was refused", endpoints[i].text);
		spw_endpoint_format(&endpoint, text, sizeof(text));
		assert_string_equal(text, endpoints[i].written);
	}
	struct spw_endpoint none = {0};
	char text[64] = "x";
	spw_endpoint_format(&none, text, sizeof(text));
	assert_string_equal(text, "");
}

static void test_rates(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(rates); i++) {
		uint32_t rate_kbit = 4711;
		const char *expected = NULL;
		char text[64];
		int rc = spw_rate_parse(rates[i].text, &rate_kbit, &expected);
		if (!rates[i].written) {
			if (rc != -EINVAL || !expected)
				fail_msg("rate \"%s\" was taken", rates[i].text);
			assert_int_equal(rate_kbit, 4711);
			continue;
		}
		if (rc != 0)
			fail_msg("rate \"%s\" was refused", rates[i].text);
		assert_int_equal(rate_kbit, rates[i].rate_kbit);
		spw_rate_format(rate_kbit, text, sizeof(text));
		assert_string_equal(text, rates[i].written);
	}
}

/* What is written reads back as the same rate, whatever the rate. */
static void test_rate_round_trip(void **state)
{
	(void)state;
	uint64_t random = 1;
	for (int i = 0; i < 200000; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint32_t rate_kbit = (uint32_t)(random >> 32) >> (random >> 20 & 31), back;
		const char *expected;
		char text[64];
		spw_rate_format(rate_kbit, text, sizeof(text));
		if (spw_rate_parse(text, &back, &expected) != 0 || back != rate_kbit)
			fail_msg("%u was written as %s", rate_kbit, text);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(names); i++) {
		const char *expected = NULL;
		int rc = spw_name_check(names[i].text, &expected);
		if (rc != (names[i].written ? 0 : -EINVAL) || (rc < 0 && !expected))
			fail_msg("name \"%s\": %d", names[i].text, rc);
	}
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const words[] = {"name", "tenant", "remote", "rate_in", "rate_out"};
	static const struct text_case cases[] = {
		{"nam", "name"},
		{"naem", "name"},
		{"remot", "remote"},
		{"tennant", "tenant"},
		{"rate_inn", "rate_in"},
		{"rateout", "rate_out"},
		{"", NULL},
		{"x", NULL},
		{"elephant", NULL},
		{"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", NULL},
	};
	for (size_t i = 0; i < CNT(cases); i++) {
		const char *nearest = spw_word_nearest(cases[i].text, words, CNT(words));
		if (!nearest != !cases[i].written || (nearest && strcmp(nearest, cases[i].written)))
			fail_msg("nearest to \"%s\" is %s", cases[i].text,
				 nearest ? nearest : "none");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes), cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_rates),    cmocka_unit_test(test_rate_round_trip),
		cmocka_unit_test(test_names),    cmocka_unit_test(test_nearest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
