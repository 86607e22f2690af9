/* SPDX-License-Identifier: BSD-2-Clause */
/* config.yaml: tunnels with a peer's public key, and what may be left out for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/config.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

/* The key files are one that is always there and readable; who reads it asks more of it. */
static const char good_text[] = "node: gw-a\n"
				"key_file: /proc/self/exe\n"
				"limits: {control_per_source: 50, control_total: 1000000}\n"
				"interfaces:\n"
				"  - {name: wan0, role: wan}\n"
				"  - {name: lan0, role: lan, prefixes: [10.1.0.0/24]}\n"
				"tenants:\n"
				"  - name: blue\n"
				"tunnels:\n"
				"  - name: b\n"
				"    peer: " KEY "\n"
				"    endpoint: 192.0.2.9:4600\n"
				"    allow: [10.2.0.0/24]\n"
				"    psk_file: /proc/self/exe\n"
				"    cipher: aes-256-gcm\n";

static void taken(void **state)
{
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	const struct spw_tunnel_spec *spec;

	(void)state;
	if (spw_config_parse("config.yaml", good_text, strlen(good_text), &config, &error) != 0)
		fail_msg("%d:%d: %s", error.place.line, error.place.column, error.text);
	assert_int_equal(config->key_file[0], '/');
	assert_int_equal(config->limits.control_per_source_pps, 50);
	assert_int_equal(config->limits.control_total_pps, 1000000);
	assert_string_equal(config->interfaces[1].tenant, "blue");
	assert_int_equal(config->ops_cnt, 3);
	assert_int_equal(config->ops[2].kind, SPW_OP_TUNNEL_ADD);
	spec = &config->ops[2].tunnel;
	assert_int_equal(spec->keying, SPW_KEYING_SESSION);
	assert_string_equal(spec->tenant, "blue");
	assert_int_equal(spec->peer_key[31], 31);
	assert_int_equal(spec->remote.port, 4600);
	assert_string_equal(spec->psk_file, "/proc/self/exe");
	assert_int_equal(spec->key_bits, 32);
	spw_config_free(config);
}

struct row {
	const char *from, *to;
	int line, column; /* 0: this one is no mistake */
	const char *says[2];
};

static const struct row rows[] = {
	{"    endpoint: 192.0.2.9:4600\n", "", 0, 0, {0}},
	{"    endpoint: 192.0.2.9:4600\n", "    local: 192.0.2.1\n", 0, 0, {0}},
	{"    psk_file: /proc/self/exe\n    cipher: aes-256-gcm\n", "", 0, 0, {0}},
	{"peer: " KEY, "peer: AAEC", 11, 11, {"peer is \"AAEC\"", "44 characters"}},
	{"peer: " KEY, "peer: " ZERO, 11, 11, {"peer is", "nobody's"}},
	{"Hh8=", "Hh9=", 11, 11, {"peer is", "44 characters"}},
	{"    peer: " KEY "\n", "", 10, 5, {"no key \"peer\", \"static\" or \"foreign\""}},
	{"    cipher:",
	 "    static: {secret_file: x}\n    cipher:",
	 10,
	 5,
	 {"\"peer\" and fixed keys"}},
	{"    endpoint:", "    remote:", 12, 13, {"remote is given", "\"endpoint: ...\""}},
	{"peer: " KEY,
	 "static: {secret_file: /proc/self/exe}",
	 12,
	 15,
	 {"endpoint is given", "\"remote: ...\""}},
	{"peer: " KEY "\n    endpoint",
	 "static: {secret_file: /proc/self/exe}\n    remote",
	 14,
	 15,
	 {"psk_file is given", "without peer"}},
	{"peer: " KEY "\n    endpoint: 192.0.2.9:4600\n    allow: [10.2.0.0/24]\n    psk_file: "
	 "/proc/self/exe",
	 "static: {secret_file: /proc/self/exe}\n    allow: [10.2.0.0/24]",
	 10,
	 5,
	 {"no key \"remote\""}},
	{"endpoint: 192.0.2.9:4600",
	 "endpoint: 224.0.0.1",
	 12,
	 15,
	 {"endpoint is \"224.0.0.1\"", "the address of a host"}},
	{"aes-256-gcm", "des", 15, 13, {"cipher is \"des\"", "aes-128-gcm"}},
	{"psk_file: /proc/self/exe", "psk_file: gone.psk", 14, 15, {"psk_file", "No such file"}},
	{"key_file: /proc/self/exe\n", "", 10, 11, {"key_file", "spillway key generate FILE"}},
	{"key_file: /proc/self/exe",
	 "key_file: /proc/gone",
	 2,
	 11,
	 {"No such file", "spillway key generate FILE"}},
	{"  - name: blue\n",
	 "  - name: blue\n  - name: green\n",
	 11,
	 5,
	 {"no key \"tenant\"", "2 tenants"}},
	{"tenants:\n  - name: blue\n", "", 8, 5, {"no key \"tenant\""}},
	{"control_per_source: 50",
	 "control_per_source: 0",
	 3,
	 30,
	 {"limits.control_per_source is 0; expected 1 to 1000000"}},
	{"control_total: 1000000",
	 "control_total: 1000001",
	 3,
	 49,
	 {"limits.control_total is 1000001"}},
};

static void mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		const char *at = strstr(good_text, row->from);
		struct spw_config *config = NULL;
		struct spw_error error = {0};
		char *text;
		assert_non_null(at);
		assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good_text), good_text, row->to,
				     at + strlen(row->from)) > 0);
		int rc = spw_config_parse("config.yaml", text, strlen(text), &config, &error);
		if (error.place.line != row->line || error.place.column != row->column ||
		    (rc == 0) != (row->line == 0))
			fail_msg("row %zu (\"%s\"): %d at %d:%d: %s", i, row->to, rc,
				 error.place.line, error.place.column, error.text);
		for (size_t j = 0; j < 2 && row->says[j]; j++)
			if (!strstr(error.text, row->says[j]))
				fail_msg("row %zu: no \"%s\" in: %s", i, row->says[j], error.text);
		spw_config_free(config);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(taken), cmocka_unit_test(mistakes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
