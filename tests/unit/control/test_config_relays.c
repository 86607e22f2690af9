/* SPDX-License-Identifier: BSD-2-Clause */
/* The relays of config.yaml: good ones become ops; a bad one is refused at the right place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/config.h"

static const char good_text[] = "node: gw-a\n"
				"listen: 4501\n"
				"interfaces:\n"
				"  - {name: wan0, role: wan}\n"
				"relays:\n"
				"  - name: ab\n"
				"    port: 51820\n"
				"    between: [198.51.100.7:51820, any]\n"
				"    packets: 5000\n"
				"    rate: 500mbit\n"
				"  - {name: cd, port: 51821, between: [\"[2001:db8::7]:1\", "
				"\"[2001:db8::8]:1\"]}\n";

static void test_good(void **state)
{
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	const struct spw_op *op;
	char text[64];

	(void)state;
	if (spw_config_parse("config.yaml", good_text, strlen(good_text), &config, &error) != 0)
		fail_msg("%d:%d: %s", error.place.line, error.place.column, error.text);
	assert_int_equal(config->ops_cnt, 2);
	op = config->ops;
	assert_int_equal(op->kind, SPW_OP_RELAY_ADD);
	assert_int_equal(op->place.line, 6);
	assert_int_equal(op->place.column, 5);
	assert_string_equal(op->relay.name, "ab");
	assert_int_equal(op->relay.port, 51820);
	spw_endpoint_format(&op->relay.between[0], text, sizeof(text));
	assert_string_equal(text, "198.51.100.7:51820");
	assert_int_equal(op->relay.between[1].family, 0);
	assert_int_equal(op->relay.limits.pps, 5000);
	assert_int_equal(op->relay.limits.rate_kbit, 500000);
	assert_int_equal(op[1].relay.between[1].family, 6);
	assert_int_equal(op[1].relay.limits.pps, 0);
	assert_int_equal(op[1].relay.limits.rate_kbit, 0);
	;
	spw_config_free(config);
}

/* A bad file is the good one with one piece replaced. */
static const struct {
	const char *from, *to;
	int line, column;
	const char *says[2];
} bad[] = {
	{"port: 51820", "port: 0", 7, 11, {"relay \"ab\": port is 0", "1 to 65535"}},
	{"port: 51820", "port: 65536", 7, 11, {"1 to 65535"}},
	{"port: 51820", "port: 4501", 7, 11, {"port is 4501", "listen"}},
	{"port: 51821", "port: 51820", 11, 22, {"as of the relay \"ab\""}},
	{"name: cd", "name: ab", 11, 12, {"relay \"ab\" stands in line 6 already"}},
	{"    port: 51820\n", "", 6, 5, {"no key \"port\""}},
	{", any]", "]", 8, 14, {"between has 1 entries", "at least 2"}},
	{", any]", ", any, any]", 8, 14, {"between has 3 entries", "at most 2"}},
	{"198.51.100.7:51820, any", "any, any", 8, 14, {"between is any twice"}},
	{"198.51.100.7:51820,", "198.51.100.7,", 8, 15, {"between[0]", "address and port"}},
	{"198.51.100.7:51820,", "169.254.169.254:80,", 8, 15, {"between[0]"}},
	{"198.51.100.7:51820,", "239.1.1.1:80,", 8, 15, {"between[0]"}},
	{"51820, any]", "51820, 198.51.100.7:51820]", 8, 14, {"one endpoint twice"}},
	{"51820, any]", "51820, '[2001:db8::1]:1']", 8, 14, {"expected one family"}},
	{"packets: 5000", "packets: 0", 9, 14, {"packets is 0", "1 to 100000000"}},
	{"rate: 500mbit", "rate: none", 10, 11, {"rate is \"none\"", "always has one"}},
	{"rate: 500mbit", "rate: 101gbit", 10, 11, {"up to 100gbit"}},
	{"packets: 5000", "packet: 5000", 9, 5, {"did you mean \"packets\""}},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *at = strstr(good_text, bad[i].from);
		struct spw_config *config = NULL;
		struct spw_error error = {0};
		char *text;
		assert_non_null(at);
		assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good_text), good_text, bad[i].to,
				     at + strlen(bad[i].from)) > 0);
		if (spw_config_parse("config.yaml", text, strlen(text), &config, &error) == 0)
			fail_msg("case %zu was taken: %s", i, bad[i].to);
		if (error.place.line != bad[i].line || error.place.column != bad[i].column)
			fail_msg("case %zu: at %d:%d: %s", i, error.place.line, error.place.column,
				 error.text);
		for (size_t j = 0; j < 2 && bad[i].says[j]; j++)
			if (!strstr(error.text, bad[i].says[j]))
				fail_msg("case %zu: no \"%s\" in: %s", i, bad[i].says[j],
					 error.text);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
