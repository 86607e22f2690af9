/* SPDX-License-Identifier: BSD-2-Clause */
/* txn_world.c - see txn_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/model.h"
#include "control/daemon/publish.h"
#include "ebpf/trie.h"
#include "tests/unit/control/txn_world.h"

struct spw_node *node;

/* ---- ops ---------------------------------------------------------------------------------- */

struct spw_prefix prefix(const char *text)
{
	struct spw_prefix value;
	const char *expected;

	assert_int_equal(spw_prefix_parse(text, &value, &expected), 0);
	return value;
}

struct spw_op tenant_add(const char *name)
{
	return (struct spw_op){.kind = SPW_OP_TENANT_ADD, .tenant.name = name};
}

struct spw_op tunnel_add(const char *name, const char *tenant)
{
	static struct spw_prefix allow[2];

	allow[0] = prefix("10.2.0.0/24");
	allow[1] = prefix("fd00:2::/64");
	return (struct spw_op){
		.kind = SPW_OP_TUNNEL_ADD,
		.tunnel = {.name = name,
			   .tenant = tenant,
			   .remote = {.family = 4, .addr = {192, 0, 2, 2}},
			   .allow = allow,
			   .allow_cnt = 2,
			   .key_bits = 16,
			   .keying = SPW_KEYING_STATIC,
			   .secret_file = "/secret"},
	};
}

struct spw_op tunnel_del(const char *name)
{
	return (struct spw_op){.kind = SPW_OP_TUNNEL_DEL, .tunnel.name = name};
}

struct spw_op route_add(const char *tenant, const char *text, const char *tunnel)
{
	return (struct spw_op){
		.kind = SPW_OP_ROUTE_ADD,
		.route = {.tenant = tenant, .prefix = prefix(text), .tunnel = tunnel}};
}

struct spw_op route_del(const char *tenant, const char *text)
{
	return (struct spw_op){.kind = SPW_OP_ROUTE_DEL,
			       .route = {.tenant = tenant, .prefix = prefix(text)}};
}

struct spw_op lan_add(uint32_t port, const char *text)
{
	return (struct spw_op){.kind = SPW_OP_LAN_ADD,
			       .lan = {.port = port, .prefix = prefix(text)}};
}

struct spw_op deny_add(const char *text)
{
	return (struct spw_op){.kind = SPW_OP_DENY_ADD, .deny.prefix = prefix(text)};
}

struct spw_op rate_set(const char *tunnel, const char *tenant, uint32_t rate_kbit)
{
	return (struct spw_op){.kind = SPW_OP_RATE_SET,
			       .rate = {.tunnel = tunnel,
					.tenant = tenant,
					.in = true,
					.out = tunnel != NULL,
					.rate_kbit = rate_kbit}};
}

int apply(const struct spw_op *ops, uint32_t ops_cnt, struct spw_error *error)
{
	*error = (struct spw_error){0};
	return spw_txn_apply(node, ops, ops_cnt, true, error);
}

void must_apply(const struct spw_op *ops, uint32_t ops_cnt)
{
	struct spw_error error;

	if (apply(ops, ops_cnt, &error) < 0)
		fail_msg("%s", error.text);
}

void drain(void)
{
	assert_int_equal(spw_grace_drain(node->grace, 1000), 0);
	spw_ports_publish_wanted(node);
}

uint32_t lookup(const char *tenant, const char *text)
{
	struct spw_trie trie = {node->maps.route_units, node->maps.meta->route_units_max};
	struct spw_prefix host = prefix(text);
	const struct spw_tenant *record = &node->maps.tenants[spw_tenant_find(node, tenant)->id];
	uint32_t addr4;

	if (host.family == 6)
		return spw_trie_lookup(&trie, record->route_root[1], spw_trie_key6(host.addr),
				       SPW_TRIE_LEVELS6);
	memcpy(&addr4, host.addr, 4);
	return spw_trie_lookup(&trie, record->route_root[0],
			       spw_trie_key4(__builtin_bswap32(addr4)), SPW_TRIE_LEVELS4);
}

uint32_t to_tunnel(const char *name)
{
	return SPW_LEAF(SPW_LEAF_TUNNEL, spw_tunnel_find(node, name)->id);
}

/* ---- a small running set ------------------------------------------------------------------ */

int open_node(void **state)
{
	struct spw_op ops[] = {
		tenant_add("blue"),
		tenant_add("green"),
		lan_add(1, "10.1.0.0/24"),
		lan_add(1, "fd00:1::/64"),
		tunnel_add("one", "blue"),
		tunnel_add("two", "blue"),
		tunnel_add("other", "green"),
		rate_set("one", NULL, 50000),
		rate_set(NULL, "blue", 1000),
		route_add("blue", "10.2.0.0/24", "one"),
		route_add("blue", "fd00:2::/64", "one"),
		deny_add("198.51.100.0/24"),
	};

	(void)state;
	node = node_double_open(DOUBLE_UNITS_MAX);
	must_apply(ops, sizeof(ops) / sizeof(ops[0]));
	drain();
	double_trace[0] = '\0';
	return 0;
}

int close_node(void **state)
{
	(void)state;
	drain();
	drain();
	node_double_close();
	return 0;
}
