/* SPDX-License-Identifier: BSD-2-Clause */
/* config.yaml: a good file becomes the right ops; a bad one is refused at the right place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/config.h"

#define CNT(table) (sizeof(table) / sizeof((table)[0]))

static char folder[64], config_path[96];

static const char good_text[] = "node: gw-a\n"
				"listen: 4501\n"
				"workers: 2\n"
				"limits: {tunnels: 8, tenants: 4, routes: 1000}\n"
				"interfaces:\n"
				"  - {name: wan0, role: wan}\n"
				"  - name: lan0\n"
				"    role: lan\n"
				"    vlan: 10\n"
				"    tenant: blue\n"
				"    prefixes: [10.1.0.0/24, \"fd00:1::/64\"]\n"
				"    on_stop: pass\n"
				"deny: [198.51.100.0/24]\n"
				"tenants:\n"
				"  - name: blue\n"
				"    rate: 200mbit\n"
				"    routes:\n"
				"      - {prefix: 10.2.0.0/24, tunnel: to-relay}\n"
				"      - {prefix: 10.1.0.128/25, tunnel: swan}\n"
				"  - name: green\n"
				"tunnels:\n"
				"  - name: to-relay\n"
				"    tenant: blue\n"
				"    remote: 192.0.2.2:4600\n"
				"    local: 192.0.2.1\n"
				"    allow: [10.2.0.0/24, \"fd00:2::/64\"]\n"
				"    mtu: 1400\n"
				"    rate_in: 100mbit\n"
				"    rate_out: 1.5gbit\n"
				"    static: {secret_file: s.key}\n"
				"  - name: swan\n"
				"    tenant: blue\n"
				"    remote: \"2001:db8::9\"\n"
				"    allow: [10.9.0.0/24]\n"
				"    foreign:\n"
				"      esn: true\n"
				"      in:  {spi: 0x00010001, key_file: ./s.key}\n"
				"      out: {spi: 49664, key_file: /dev/../etc/passwd}\n";

static void assert_place(struct spw_place place, int line, int column)
{
	assert_int_equal(place.line, line);
	assert_int_equal(place.column, column);
}

static void assert_prefix(const struct spw_prefix *prefix, const char *expected)
{
	char text[64];
	spw_prefix_format(prefix, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void check_node(const struct spw_config *config)
{
	assert_string_equal(config->node, "gw-a");
	assert_int_equal(config->listen_port, 4501);
	assert_int_equal(config->limits.workers, 2);
	assert_int_equal(config->limits.tunnels, 8);
	assert_int_equal(config->limits.tenants, 4);
	assert_int_equal(config->limits.routes, 1000);
	assert_int_equal(config->interfaces_cnt, 2);
	assert_string_equal(config->interfaces[0].ifname, "wan0");
	assert_int_equal(config->interfaces[0].role, SPW_PORT_WAN);
	assert_int_equal(config->interfaces[0].vlan, 0);
	assert_string_equal(config->interfaces[0].tenant, "");
	assert_int_equal(config->interfaces[1].role, SPW_PORT_LAN);
	assert_int_equal(config->interfaces[1].vlan, 10);
	assert_string_equal(config->interfaces[1].tenant, "blue");
	assert_true(config->interfaces[1].on_stop_pass);
}

static void check_static_tunnel(const struct spw_op *op)
{
	char text[64], secret[128];
	assert_int_equal(op->kind, SPW_OP_TUNNEL_ADD);
	assert_place(op->place, 22, 5);
	assert_string_equal(op->tunnel.name, "to-relay");
	assert_string_equal(op->tunnel.tenant, "blue");
	spw_endpoint_format(&op->tunnel.remote, text, sizeof(text));
	assert_string_equal(text, "192.0.2.2:4600");
	spw_endpoint_format(&op->tunnel.local, text, sizeof(text));
	assert_string_equal(text, "192.0.2.1");
	assert_int_equal(op->tunnel.allow_cnt, 2);
	assert_prefix(&op->tunnel.allow[1], "fd00:2::/64");
	assert_place(op->tunnel.allow_places[1], 26, 26);
	assert_int_equal(op->tunnel.mtu_bytes, 1400);
	assert_int_equal(op->tunnel.keying, SPW_KEYING_STATIC);
	assert_int_equal(op->tunnel.key_bits, 16);
	snprintf(secret, sizeof(secret), "%s/s.key", folder);
	assert_string_equal(op->tunnel.secret_file, secret);
}

static void check_foreign_tunnel(const struct spw_op *op)
{
	assert_int_equal(op->kind, SPW_OP_TUNNEL_ADD);
	assert_place(op->place, 31, 5);
	assert_int_equal(op->tunnel.remote.port, 0);
	assert_int_equal(op->tunnel.local.family, 0);
	assert_int_equal(op->tunnel.mtu_bytes, 0);
	assert_int_equal(op->tunnel.keying, SPW_KEYING_FOREIGN);
	assert_true(op->tunnel.esn);
	assert_false(op->tunnel.first_use);
	assert_int_equal(op->tunnel.in.spi, 0x00010001);
	assert_int_equal(op->tunnel.out.spi, 49664);
	assert_string_equal(op->tunnel.out.key_file, "/dev/../etc/passwd");
}

static void test_good(void **state)
{
	(void)state;
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	int rc = spw_config_parse(config_path, good_text, strlen(good_text), &config, &error);
	if (rc != 0)
		fail_msg("%d:%d: %s", error.place.line, error.place.column, error.text);
	check_node(config);

	const struct spw_op *op = config->ops;
	static const enum spw_op_kind kinds[] = {
		SPW_OP_TENANT_ADD, SPW_OP_RATE_SET,   SPW_OP_TENANT_ADD, SPW_OP_DENY_ADD,
		SPW_OP_LAN_ADD,    SPW_OP_LAN_ADD,    SPW_OP_TUNNEL_ADD, SPW_OP_RATE_SET,
		SPW_OP_RATE_SET,   SPW_OP_TUNNEL_ADD, SPW_OP_ROUTE_ADD,  SPW_OP_ROUTE_ADD,
	};
	assert_int_equal(config->ops_cnt, CNT(kinds));
	for (size_t i = 0; i < CNT(kinds); i++)
		assert_int_equal(op[i].kind, kinds[i]);

	assert_string_equal(op[0].tenant.name, "blue");
	assert_place(op[0].place, 15, 11);
	assert_string_equal(op[1].rate.tenant, "blue");
	assert_null(op[1].rate.tunnel);
	assert_int_equal(op[1].rate.rate_kbit, 200000);
	assert_true(op[1].rate.in && !op[1].rate.out);
	assert_prefix(&op[3].deny.prefix, "198.51.100.0/24");
	assert_place(op[3].place, 13, 8);
	assert_int_equal(op[5].lan.port, 1);
	assert_prefix(&op[5].lan.prefix, "fd00:1::/64");
	assert_place(op[5].place, 11, 29);
	check_static_tunnel(&op[6]);
	assert_string_equal(op[7].rate.tunnel, "to-relay");
	assert_true(op[7].rate.in && !op[7].rate.out);
	assert_true(!op[8].rate.in && op[8].rate.out);
	assert_int_equal(op[8].rate.rate_kbit, 1500000);
	assert_place(op[8].place, 29, 15);
	check_foreign_tunnel(&op[9]);
	assert_string_equal(op[10].route.tenant, "blue");
	assert_string_equal(op[10].route.tunnel, "to-relay");
	assert_prefix(&op[11].route.prefix, "10.1.0.128/25");
	assert_place(op[11].place, 19, 18);
	spw_config_free(config);
}

static void test_aead(void **state)
{
	static const char *const names[] = {"auto", "openssl", "ipsec-mb"};
	struct spw_error error = {0};
	char text[100];
	(void)state;

	for (size_t i = 0; i < CNT(names); i++) {
		struct spw_config *config = NULL;
		snprintf(text, sizeof(text),
			 "node: n\naead: %s\ninterfaces:\n- {name: wan0, role: wan}\n", names[i]);
		assert_int_equal(
			spw_config_parse("config.yaml", text, strlen(text), &config, &error), 0);
		assert_string_equal(config->aead, names[i]);
		spw_config_free(config);
	}
}

static void test_defaults(void **state)
{
	(void)state;
	static const char text[] = "node: n\ninterfaces:\n- {name: wan0, role: wan}\n"
				   "- {name: wan1, role: wan, device: \"net_ring0\"}\n";
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	assert_int_equal(spw_config_parse("config.yaml", text, strlen(text), &config, &error), 0);
	assert_int_equal(config->listen_port, 4500);
	assert_int_equal(config->limits.workers, 1);
	assert_string_equal(config->aead, "auto");
	assert_int_equal(config->limits.tunnels, 1024);
	assert_int_equal(config->limits.tenants, 64);
	assert_int_equal(config->limits.routes, 100000);
	assert_int_equal(config->ops_cnt, 0);
	assert_string_equal(config->interfaces[0].device, "");
	assert_string_equal(config->interfaces[1].device, "net_ring0");
	spw_config_free(config);
}

/* A bad file is the good one with one piece replaced. */
struct bad_case {
	const char *from, *to;
	int line, column;
	const char *says[3]; /* what the sentence must hold */
};

static const struct bad_case bad[] = {
	/* Keys and types. */
	{"listen:", "listn:", 2, 1, {"unknown key \"listn\"", "did you mean \"listen\"", "node"}},
	{"node: gw-a\n", "", 1, 1, {"no key \"node\"", "expected \"node: ...\""}},
	{"  - name: green", "  - nam: green", 20, 5, {"unknown key \"nam\"", "\"name\"?"}},
	{"    tenant: blue\n    remote: 1",
	 "    remote: 1",
	 22,
	 5,
	 {"tunnel \"to-relay\"", "\"tenant\""}},
	{"    mtu: 1400", "    mtu: 1400\n    mtu: 1401", 28, 5, {"\"mtu\" stands here twice"}},
	{"listen: 4501", "listen: many", 2, 9, {"listen is \"many\"", "whole number"}},
	{"listen: 4501", "listen: [1]", 2, 9, {"listen is a list"}},
	{"listen: 4501", "listen:", 2, 8, {"listen is empty"}},
	{"listen: 4501", "listen: 0x", 2, 9, {"whole number"}},
	{"listen: 4501", "listen: 010", 2, 9, {"whole number"}},
	{"listen: 4501", "listen: -1", 2, 9, {"whole number"}},
	{"listen: 4501", "listen: 99999999999999999999", 2, 9, {"whole number"}},
	{"deny: [198.51.100.0/24]",
	 "deny: 198.51.100.0/24",
	 13,
	 7,
	 {"deny is a single value", "a list"}},
	{"deny: [198.51.100.0/24]", "deny: [[1]]", 13, 8, {"deny[0] is a list"}},
	{"limits: {tunnels", "limits: {tunels", 4, 10, {"limits: unknown key", "\"tunnels\"?"}},
	{"esn: true", "esn: perhaps", 36, 12, {"tunnel \"swan\": foreign.esn", "true or false"}},
	{"esn: true", "first_use: true", 36, 7, {"unknown key \"first_use\"", "esn, in or out"}},
	{"role: lan", "role: dmz", 8, 11, {"interface \"lan0\": role is \"dmz\"", "wan or lan"}},
	{"on_stop: pass", "on_stop: leak", 12, 14, {"drop or pass"}},
	{"    allow: [10.9.0.0/24]", "    allow: []", 34, 12, {"0 entries", "at least 1"}},
	{"tenants:\n", "tenants: &t\n", 0, 0, {NULL}},
	{"role: wan}", "role: wan}\n  - *x", 7, 5, {"not YAML", "undefined alias"}},
	{"name: green", "name: &g green\n  - name: *g", 20, 11, {"alias"}},
	/* The syntax of YAML itself. */
	{"node: gw-a", "node: [gw-a", 2, 7, {"not YAML"}},
	{"node: gw-a", "\tnode: gw-a", 1, 1, {"not YAML"}},
	{"node: gw-a", "node: gw-a\n---\nnode: b", 3, 1, {"a second YAML document"}},
	/* Numbers out of range. */
	{"listen: 4501", "listen: 0", 2, 9, {"listen is 0; expected 1 to 65535"}},
	{"listen: 4501", "listen: 65536", 2, 9, {"expected 1 to 65535"}},
	{"workers: 2", "workers: 0", 3, 10, {"expected 1 to 16"}},
	{"workers: 2", "workers: 17", 3, 10, {"expected 1 to 16"}},
	{"workers: 2",
	 "aead: ipsec",
	 3,
	 7,
	 {"aead is \"ipsec\"; expected auto, openssl or ipsec-mb"}},
	{"tunnels: 8", "tunnels: 0", 4, 19, {"limits.tunnels is 0"}},
	{"tunnels: 8", "tunnels: 1000000", 4, 19, {"limits.tunnels is 1000000", "1 to 524287"}},
	{"tenants: 4", "tenants: 65536", 4, 31, {"1 to 65535"}},
	{"routes: 1000", "routes: 8388609", 4, 42, {"1 to 8388608"}},
	{"vlan: 10", "vlan: 0", 9, 11, {"interface \"lan0\": vlan is 0", "1 to 4094"}},
	{"vlan: 10", "vlan: 4095", 9, 11, {"1 to 4094"}},
	{"vlan: 10",
	 "device: 01:00.0",
	 9,
	 13,
	 {"interface \"lan0\": device is \"01:00.0\"", "0000:01:00.0"}},
	{"vlan: 10", "device: net_af_xdp0,iface=x", 9, 13, {"device is", "virtual device"}},
	{"vlan: 10",
	 "device: 'ffff:ff:1f.7'",
	 9,
	 13,
	 {"device \"ffff:ff:1f.7\": there is no such"}},
	{"wan}\n  - name: lan0",
	 "wan, device: net_null0}\n  - name: lan0\n    device: net_null0",
	 8,
	 13,
	 {"\"lan0\": device is \"net_null0\"", "every device once"}},
	{"mtu: 1400", "mtu: 575", 27, 10, {"tunnel \"to-relay\": mtu is 575", "576 to 9000"}},
	{"0x00010001", "0x3ff", 37, 18, {"foreign.in.spi is 0x3ff", "0x400"}},
	{"49664", "255", 38, 18, {"foreign.out.spi is 0xff", "0x100"}},
	/* Values. */
	{"node: gw-a", "node: GW", 1, 7, {"node is \"GW\"", "a name of 1 to 31"}},
	{"name: green", "name: 'a b'", 20, 11, {"a name of 1 to 31"}},
	{"name: lan0", "name: a-name-too-long0", 7, 11, {"1 to 15 characters"}},
	{"name: lan0", "name: ../lan0", 7, 11, {"interface's name"}},
	{"10.1.0.0/24,",
	 "10.1.0.1/24,",
	 11,
	 16,
	 {"prefixes[0] is \"10.1.0.1/24\"", "after the length are 0"}},
	{"198.51.100.0/24", "198.51.100.0/33", 13, 8, {"deny[0]", "a prefix such as"}},
	{"rate: 200mbit", "rate: 200", 16, 11, {"tenant \"blue\": rate is \"200\"", "50mbit"}},
	{"rate_out: 1.5gbit", "rate_out: fast", 29, 15, {"rate_out is \"fast\""}},
	{"prefix: 10.2.0.0/24", "prefix: 10.2.0/24", 18, 18, {"tenant \"blue\": routes[0].prefix"}},
	{"192.0.2.2:4600", "192.0.2.2:0", 24, 13, {"remote is \"192.0.2.2:0\"", "a port"}},
	{"192.0.2.2:4600", "224.0.0.1", 24, 13, {"not multicast"}},
	{"192.0.2.2:4600", "\"::\"", 24, 13, {"the address of a host"}},
	{"192.0.2.2:4600", "relay.example", 24, 13, {"an address such as"}},
	{"local: 192.0.2.1", "local: 192.0.2.1:4500", 25, 12, {"without a port"}},
	{"local: 192.0.2.1", "local: \"2001:db8::1\"", 25, 12, {"same IP version"}},
	{"\"fd00:2::/64\"]\n    mtu",
	 "\"fd00:2::1/64\"]\n    mtu",
	 26,
	 26,
	 {"allow[1] is \"fd00:2::1/64\""}},
	{"    static:",
	 "    cipher: aes-192-gcm\n    static:",
	 30,
	 13,
	 {"cipher is", "aes-128-gcm or aes-256-gcm"}},
	{"    foreign:",
	 "    cipher: aes-128-gcm\n    foreign:",
	 35,
	 13,
	 {"cipher is given", "with foreign"}},
	/* Files. */
	{"secret_file: s.key",
	 "secret_file: gone.key",
	 30,
	 27,
	 {"static.secret_file", "gone.key", "No such file"}},
	{"key_file: ./s.key", "key_file: .", 37, 40, {"foreign.in.key_file", "not a regular file"}},
	/* Names. */
	{"name: green", "name: blue", 20, 11, {"tenant \"blue\" stands in line 15 already"}},
	{"name: swan", "name: to-relay", 31, 11, {"tunnel \"to-relay\" stands in line 22 already"}},
	{"name: lan0", "name: wan0", 7, 11, {"every interface once"}},
	{"    tenant: blue\n    prefixes",
	 "    tenant: blu\n    prefixes",
	 10,
	 13,
	 {"no such tenant", "did you mean \"blue\"", "one of blue, green"}},
	{"    tenant: blue\n    remote: 1",
	 "    tenant: red\n    remote: 1",
	 23,
	 13,
	 {"no such tenant", "blue, green"}},
	{"tunnel: to-relay}",
	 "tunnel: to-rely}",
	 18,
	 39,
	 {"no such tunnel", "did you mean \"to-relay\""}},
	{"    tenant: blue\n    remote: \"",
	 "    tenant: green\n    remote: \"",
	 19,
	 41,
	 {"belongs to the tenant \"green\"", "never cross"}},
	/* Prefixes that contradict each other. */
	{"prefix: 10.1.0.128/25",
	 "prefix: 10.2.0.0/24",
	 19,
	 18,
	 {"10.2.0.0/24 stands there already", "a route", "line 18"}},
	{"prefix: 10.1.0.128/25",
	 "prefix: 10.1.0.0/24",
	 19,
	 18,
	 {"10.1.0.0/24 stands there already", "a lan's prefix", "line 11"}},
	{"[10.1.0.0/24,",
	 "[10.1.0.0/24, 10.1.0.64/26,",
	 11,
	 29,
	 {"10.1.0.64/26 overlaps with 10.1.0.0/24"}},
	{"[10.1.0.0/24,",
	 "[10.1.0.64/26, 10.1.0.0/24,",
	 11,
	 30,
	 {"10.1.0.0/24 overlaps with 10.1.0.64/26"}},
	{"deny:",
	 "  - {name: lan1, role: lan, tenant: blue, prefixes: [10.0.0.0/8]}\ndeny:",
	 13,
	 54,
	 {"interface \"lan1\"", "10.0.0.0/8 overlaps with 10.1.0.0/24", "line 11"}},
	{"allow: [10.2.0.0/24,",
	 "allow: [10.2.0.0/24, 10.2.0.0/24,",
	 26,
	 26,
	 {"allow[1]", "stands there already"}},
	{"[198.51.100.0/24]",
	 "[198.51.100.0/24, 198.51.100.0/24]",
	 13,
	 25,
	 {"deny[1]", "stands there already"}},
	/* Roles and keys that do not go together. */
	{"{name: wan0, role: wan}",
	 "{name: wan0, role: wan, tenant: blue}",
	 6,
	 37,
	 {"tenant is for a lan"}},
	{"{name: wan0, role: wan}",
	 "{name: wan0, role: wan, on_stop: drop}",
	 6,
	 38,
	 {"on_stop is for a lan"}},
	{"  - {name: wan0, role: wan}\n", "", 6, 3, {"no interface with role wan"}},
	{"    tenant: blue\n    prefixes",
	 "    prefixes",
	 7,
	 5,
	 {"interface \"lan0\"", "no key \"tenant\""}},
	{"    static: {secret_file: s.key}\n",
	 "",
	 22,
	 5,
	 {"no key \"peer\", \"static\" or \"foreign\""}},
	{"    foreign:",
	 "    static: {secret_file: s.key}\n    foreign:",
	 31,
	 5,
	 {"both \"static\" and \"foreign\""}},
};

static char *replace(const char *from, const char *to)
{
	const char *at = strstr(good_text, from);
	char *text;
	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good_text), good_text, to,
			     at + strlen(from)) > 0);
	return text;
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(bad); i++) {
		const struct bad_case *c = &bad[i];
		char *text = replace(c->from, c->to);
		struct spw_config *config = NULL;
		struct spw_error error = {0};
		int rc = spw_config_parse(config_path, text, strlen(text), &config, &error);
		if (!c->says[0]) { /* this one is no mistake */
			assert_int_equal(rc, 0);
			spw_config_free(config);
			free(text);
			continue;
		}
		if (rc >= 0 || rc != error.code)
			fail_msg("case %zu (\"%s\") was taken", i, c->to);
		if (error.place.line != c->line || error.place.column != c->column)
			fail_msg("case %zu (\"%s\"): at %d:%d, expected %d:%d: %s", i, c->to,
				 error.place.line, error.place.column, c->line, c->column,
				 error.text);
		for (size_t j = 0; j < CNT(c->says) && c->says[j]; j++)
			if (!strstr(error.text, c->says[j]))
				fail_msg("case %zu (\"%s\"): no \"%s\" in: %s", i, c->to,
					 c->says[j], error.text);
		if (strchr(error.text, '\n'))
			fail_msg("case %zu: more than one line: %s", i, error.text);
		assert_null(config);
		free(text);
	}
}

/* Cut anywhere, the file is taken or refused, and what is refused has a sentence. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes < strlen(good_text); bytes++) {
		struct spw_config *config = NULL;
		struct spw_error error = {0};
		int rc = spw_config_parse(config_path, good_text, bytes, &config, &error);
		if (rc < 0 && (error.code != rc || error.text[0] == '\0'))
			fail_msg("cut at %zu: %d without a sentence", bytes, rc);
		spw_config_free(config);
	}
}

static void test_files(void **state)
{
	(void)state;
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	char line[256];
	FILE *stream = fopen(config_path, "w");
	assert_non_null(stream);
	assert_int_equal(fwrite(good_text, strlen(good_text), 1, stream), 1);
	assert_int_equal(fclose(stream), 0);
	assert_int_equal(spw_config_load(config_path, &config, &error), 0);
	spw_config_free(config);

	assert_int_equal(spw_config_load("/nowhere/config.yaml", &config, &error), -ENOENT);
	assert_non_null(strstr(error.text, "No such file"));
	spw_config_error_format("/nowhere/config.yaml", &error, line, sizeof(line));
	assert_ptr_equal(strstr(line, "/nowhere/config.yaml: cannot read it"), line);

	error = (struct spw_error){0};
	assert_int_equal(spw_config_load(folder, &config, &error), -EISDIR);

	error = (struct spw_error){0};
	assert_int_equal(spw_config_parse("c.yaml", "node: 1\nx: 2", 12, &config, &error), -EINVAL);
	spw_config_error_format("c.yaml", &error, line, sizeof(line));
	assert_ptr_equal(strstr(line, "c.yaml:2:1: unknown key \"x\""), line);
}

/* The file that docs/configuration.md shows is a good one. */
static void test_documented(void **state)
{
	(void)state;
	static const char begin[] = "```yaml\n", in_docs[] = "/etc/spillway/";
	char docs[16384], text[16384] = "";
	FILE *stream = fopen(DOCS_DIR "/configuration.md", "r");
	assert_non_null(stream);
	docs[fread(docs, 1, sizeof(docs) - 1, stream)] = '\0';
	fclose(stream);
	char *at = strstr(docs, begin);
	assert_non_null(at);
	at += strlen(begin);
	*strstr(at, "```") = '\0';
	/* Its key files, all of them, are the one of this test. */
	for (char *name; (name = strstr(at, in_docs)); at = name + strcspn(name, " \n}")) {
		strncat(text, at, (size_t)(name - at));
		strcat(text, "s.key");
	}
	strcat(text, at);
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	if (spw_config_parse(config_path, text, strlen(text), &config, &error) != 0)
		fail_msg("%d:%d: %s", error.place.line, error.place.column, error.text);
	assert_int_equal(config->interfaces_cnt, 2);
	spw_config_free(config);
}

/* Sizes that people have: it must not take seconds, and the last line's mistake is found. */
static void test_many_routes(void **state)
{
	(void)state;
	const uint32_t routes = 50000;
	char *text;
	size_t bytes;
	FILE *stream = open_memstream(&text, &bytes);
	assert_non_null(stream);
	fprintf(stream, "node: n\ninterfaces:\n- {name: wan0, role: wan}\ntunnels:\n- name: t\n"
			"  tenant: blue\n  remote: 192.0.2.1\n  allow: [10.0.0.0/8]\n"
			"  static: {secret_file: s.key}\ntenants:\n- name: blue\n  routes:\n");
	for (uint32_t i = 0; i < routes; i++)
		fprintf(stream, "  - {prefix: 10.%u.%u.%u/32, tunnel: t}\n", i >> 16, i >> 8 & 255,
			i & 255);
	fflush(stream);
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	assert_int_equal(spw_config_parse(config_path, text, bytes, &config, &error), 0);
	assert_int_equal(config->ops_cnt, routes + 2);
	assert_place(config->ops[config->ops_cnt - 1].place, 12 + (int)routes, 14);
	spw_config_free(config);

	config = NULL;
	fprintf(stream, "  - {prefix: 10.0.0.77, tunnel: t}\n");
	assert_int_equal(fclose(stream), 0);
	assert_int_equal(spw_config_parse(config_path, text, bytes, &config, &error), -EEXIST);
	assert_place(error.place, 13 + (int)routes, 14);
	assert_non_null(strstr(error.text, "line 90"));
	free(text);
}

static int make_folder(void **state)
{
	(void)state;
	char path[96];
	snprintf(folder, sizeof(folder), "/tmp/spw-test-config-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(config_path, sizeof(config_path), "%s/config.yaml", folder);
	snprintf(path, sizeof(path), "%s/s.key", folder);
	FILE *stream = fopen(path, "w");
	return stream && fputs("00\n", stream) >= 0 && fclose(stream) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	char path[96];
	snprintf(path, sizeof(path), "%s/s.key", folder);
	unlink(path);
	unlink(config_path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),  cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_aead),  cmocka_unit_test(test_documented),
		cmocka_unit_test(test_bad),   cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_files), cmocka_unit_test(test_many_routes),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
