/* SPDX-License-Identifier: BSD-2-Clause */
/* test_txn_refused.c - a transaction that fails leaves everything as it was, and says why. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/model.h"
#include "control/daemon/txn.h"
#include "tests/unit/control/txn_world.h"

/* ---- nothing ------------------------------------------------------------------------------ */

struct state {
	struct double_tables tables;
	char routes[8192];
	struct spw_trie_usage usage;
	uint32_t ids, slots, tenants, neighbors, places;
	int sas, nexthops;
	uint64_t revision;
	uint32_t counts[3];
};

static int list_prefix(const struct spw_prefix *value, uint32_t leaf, void *arg)
{
	char *list = arg, text[64];
	size_t used = strlen(list);

	spw_prefix_format(value, text, sizeof(text));
	snprintf(list + used, 8192 - used, "%s=%x ", text, leaf);
	return 0;
}

static void list_tries(char *list, const uint32_t roots[2])
{
	spw_trie_walk(node->tries, roots[0], 4, list_prefix, list);
	spw_trie_walk(node->tries, roots[1], 6, list_prefix, list);
	strcat(list, "|");
}

static void take_state(struct state *state)
{
	static const char *const names[3] = {"one", "two", "other"};
	struct double_tables *tables = node_double_tables();

	memset(state, 0, sizeof(*state));
	state->tables = *tables;
	for (uint32_t id = 0; id < DOUBLE_TENANTS_MAX; id++)
		list_tries(state->routes, tables->tenants[id].route_root);
	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		list_tries(state->routes,
			   tables->ports[port].image[tables->ports[port].active & 1].allow_root);
		list_tries(state->routes, node->interfaces[port].allow_root);
	}
	list_tries(state->routes, tables->meta.deny_root);
	list_tries(state->routes, node->deny_root);
	for (uint32_t i = 0; i < 3; i++)
		state->counts[i] = spw_tunnel_find(node, names[i])->routes_cnt;
	spw_trie_usage(node->tries, &state->usage);
	state->ids = node->tunnel_ids->used;
	state->slots = node->tunnel_slots->used;
	state->tenants = node->tenant_ids->used;
	state->neighbors = node->neighbor_ids->used;
	state->places = spw_grace_room(node->grace);
	state->sas = double_sas_live;
	state->nexthops = double_nexthop_live;
	state->revision = node->revision;
}

static void assert_same(const struct state *before)
{
	struct state *after = malloc(sizeof(*after));

	take_state(after);
	assert_string_equal(after->routes, before->routes);
	assert_memory_equal(&after->tables, &before->tables, sizeof(before->tables));
	assert_memory_equal(after, before, sizeof(*before));
	free(after);
}

/* The change that each failing batch makes first, so that there is something to undo. */
static uint32_t some_changes(struct spw_op *ops)
{
	uint32_t cnt = 0;

	ops[cnt++] = tenant_add("red");
	ops[cnt++] = tunnel_add("three", "red");
	ops[cnt++] = route_add("red", "10.3.0.0/16", "three");
	ops[cnt++] = rate_set("three", NULL, 1000);
	ops[cnt++] = rate_set("one", NULL, 7);
	ops[cnt++] = route_del("blue", "10.2.0.0/24");
	ops[cnt++] = route_add("blue", "10.2.0.0/24", "two");
	ops[cnt++] = route_add("blue", "fd00:9::/64", "two");
	ops[cnt++] = lan_add(1, "10.7.0.0/24");
	ops[cnt++] = deny_add("2001:db8::/32");
	ops[cnt++] = tunnel_add("brief", "green");
	ops[cnt++] = tunnel_del("brief");
	ops[cnt++] = tunnel_del("other");
	return cnt;
}

static struct spw_op bad_tunnel(const char *what)
{
	struct spw_op op = tunnel_add("four", "blue");
	static struct spw_prefix twice[2];

	if (strcmp(what, "remote") == 0)
		op.tunnel.remote.addr[0] = 224;
	if (strcmp(what, "family") == 0)
		op.tunnel.local.family = 6;
	if (strcmp(what, "mtu") == 0)
		op.tunnel.mtu_bytes = 100;
	if (strcmp(what, "cipher") == 0)
		op.tunnel.key_bits = 24;
	if (strcmp(what, "secret") == 0)
		op.tunnel.secret_file = NULL;
	if (strcmp(what, "foreign spi") == 0) {
		op.tunnel.keying = SPW_KEYING_FOREIGN;
		op.tunnel.in.spi = 1023;
		op.tunnel.out.spi = 4096;
	}
	if (strcmp(what, "allow") == 0) {
		twice[0] = twice[1] = prefix("10.4.0.0/16");
		op.tunnel.allow = twice;
	}
	return op;
}

struct refusal {
	struct spw_op op;
	int code;
	const char *says;
};

/* Each at the end of a batch whose other ops are right. */
static void assert_refused(const struct refusal *cases, size_t cnt)
{
	struct state *before = malloc(sizeof(*before));

	take_state(before);
	for (size_t i = 0; i < cnt; i++) {
		struct spw_op ops[32];
		struct spw_error error;
		uint32_t others = some_changes(ops);
		ops[others] = cases[i].op;
		ops[others].place = (struct spw_place){17, 3};
		assert_int_equal(apply(ops, others + 1, &error), cases[i].code);
		if (!strstr(error.text, cases[i].says))
			fail_msg("case %zu says \"%s\", not \"%s\"", i, error.text, cases[i].says);
		/* Where a prefix of a list is wrong, it has a place of its own. */
		if (strncmp(cases[i].says, "allow names", 11) != 0)
			assert_int_equal(error.place.line, 17);
		assert_same(before);
	}
	free(before);
}

static void a_refused_tunnel_changes_nothing(void **state)
{
	const struct refusal cases[] = {
		{tenant_add("blue"), -EEXIST, "tenant \"blue\" is there already"},
		{tenant_add("Blue!"), -EINVAL, "bad name"},
		{tunnel_add("one", "blue"), -EEXIST, "tunnel \"one\" is there already"},
		{tunnel_add("three", "blue"), -EEXIST, "tunnel \"three\" is there already"},
		{tunnel_add("-", "blue"), -EINVAL, "bad name"},
		{tunnel_add("five", "nobody"), -ENOENT, "no tenant \"nobody\""},
		{tunnel_add("other", "green"), -EBUSY, "deleted in the same batch"},
		{bad_tunnel("remote"), -EINVAL, "unicast"},
		{bad_tunnel("family"), -EINVAL, "one family"},
		{bad_tunnel("mtu"), -EINVAL, "mtu 100; expected 576 to 9000"},
		{bad_tunnel("cipher"), -EINVAL, "aes-128-gcm"},
		{bad_tunnel("secret"), -EINVAL, "secret_file"},
		{bad_tunnel("foreign spi"), -EINVAL, "inbound SPI 0x000003ff"},
		{bad_tunnel("allow"), -EEXIST, "allow names 10.4.0.0/16 twice"},
		{tunnel_del("nobody"), -ENOENT, "no tunnel \"nobody\""},
		{tunnel_del("other"), -ENOENT, "no tunnel \"other\""},
		{tunnel_del("two"), -EBUSY,
		 "2 routes of tenant \"blue\" lead into it: "
		 "10.2.0.0/24, fd00:9::/64;"},
		{tunnel_del("one"), -EBUSY,
		 "1 route of tenant \"blue\" leads into it: "
		 "fd00:2::/64;"},
	};

	(void)state;
	assert_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

static void a_refused_route_changes_nothing(void **state)
{
	struct spw_op broken_prefix = route_add("blue", "10.9.0.0/16", "one");
	broken_prefix.route.prefix.addr[3] = 1;
	const struct refusal cases[] = {
		{route_add("nobody", "10.9.0.0/16", "one"), -ENOENT, "no tenant"},
		{route_add("blue", "10.9.0.0/16", "nobody"), -ENOENT, "no tunnel"},
		{route_add("green", "10.9.0.0/16", "one"), -EINVAL, "never cross tenants"},
		{route_add("blue", "10.2.0.0/24", "one"), -EEXIST,
		 "routed to tunnel \"two\" already"},
		{route_add("blue", "10.1.0.0/24", "one"), -EEXIST, "the lan of interface \"lan0\""},
		{route_del("blue", "10.99.0.0/16"), -ENOENT, "has no route 10.99.0.0/16"},
		{route_del("blue", "10.1.0.0/24"), -EINVAL, "only config.yaml changes it"},
		{lan_add(0, "10.8.0.0/24"), -EINVAL, "no lan interface"},
		{lan_add(9, "10.8.0.0/24"), -EINVAL, "no lan interface"},
		{lan_add(1, "10.2.0.0/24"), -EEXIST, "routed to tunnel"},
		{deny_add("198.51.100.0/24"), -EEXIST, "198.51.100.0/24: is there already"},
		{broken_prefix, -EINVAL, "route 10.9.0.1/16"},
	};

	(void)state;
	assert_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

static void a_refused_rate_changes_nothing(void **state)
{
	struct spw_op short_burst = rate_set("one", NULL, 100);
	short_burst.rate.burst_bytes = 10;
	const struct refusal cases[] = {
		{rate_set("nobody", NULL, 1), -ENOENT, "no tunnel"},
		{rate_set(NULL, "nobody", 1), -ENOENT, "no tenant"},
		{rate_set("one", NULL, 400000001), -EINVAL, "400 Gbit/s"},
		{short_burst, -EINVAL, "burst 10; expected 4096"},
		{rate_set("one", "blue", 100), -EINVAL, "expected the rate of a tunnel"},
		{{.kind = (enum spw_op_kind)99}, -EINVAL, "unknown op"},
	};

	(void)state;
	assert_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

static void foreign_failures_change_nothing(void **state)
{
	struct state *before = malloc(sizeof(*before));
	struct spw_op ops[32];
	struct spw_error error;
	uint32_t cnt = some_changes(ops);

	(void)state;
	take_state(before);
	double_sas_error = -EACCES;
	assert_int_equal(apply(ops, cnt, &error), -EACCES);
	assert_string_equal(error.text, "the keys are bad");
	double_sas_error = 0;
	assert_same(before);

	double_nexthop_error = -ENOSPC;
	assert_int_equal(apply(ops, cnt, &error), -ENOSPC);
	assert_string_equal(error.text, "no next hop");
	double_nexthop_error = 0;
	assert_same(before);
	free(before);
}

/* ---- full tables -------------------------------------------------------------------------- */

static void full_tables_change_nothing(void **state)
{
	struct state *before = malloc(sizeof(*before));
	struct spw_op ops[DOUBLE_TUNNELS_MAX + 1];
	char names[DOUBLE_TUNNELS_MAX + 1][SPW_NAME_BYTES];
	struct spw_error error;
	uint32_t room, cnt;

	(void)state;
	take_state(before);
	for (uint32_t i = 0; i < DOUBLE_TUNNELS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "many-%u", i);
		ops[i] = tenant_add(names[i]);
	}
	assert_int_equal(apply(ops, DOUBLE_TENANTS_MAX, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "the tenant table is full (8 tenants); raise "
					   "limits.tenants"));
	assert_same(before);

	for (uint32_t i = 0; i < DOUBLE_TUNNELS_MAX; i++) {
		ops[i] = tunnel_add(names[i], "blue");
		ops[i].tunnel.remote.addr[3] = (uint8_t)i;
	}
	assert_int_equal(apply(ops, DOUBLE_TUNNELS_MAX, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "the tunnel table is full (64 tunnels); raise "
					   "limits.tunnels"));
	assert_same(before);

	room = spw_grace_room(node->grace);
	assert_int_equal(spw_grace_reserve(node->grace, room), 0);
	cnt = some_changes(ops);
	assert_int_equal(apply(ops, cnt, &error), -EBUSY);
	assert_non_null(strstr(error.text, "try again"));
	spw_grace_unreserve(node->grace, room);
	assert_same(before);
	/* The graveyard and the ports have their places, the tries have none. */
	assert_int_equal(spw_grace_reserve(node->grace, room - 4), 0);
	assert_int_equal(apply(ops, cnt, &error), -EBUSY);
	spw_grace_unreserve(node->grace, room - 4);
	assert_same(before);
	free(before);
}

static void a_full_route_pool_changes_nothing(void **state)
{
	struct spw_op first[] = {tenant_add("blue"), tenant_add("green"), tunnel_add("one", "blue"),
				 tunnel_add("two", "blue"), tunnel_add("other", "green")};
	struct spw_op *ops = calloc(5000, sizeof(*ops));
	struct state *before = malloc(sizeof(*before));
	struct spw_error error;

	(void)state;
	node = node_double_open(2000);
	must_apply(first, 5);
	drain();
	take_state(before);
	for (uint32_t i = 0; i < 5000; i++) {
		char text[64];
		snprintf(text, sizeof(text), "fd00:%x:%x::/64", i * 7919 % 65536, i);
		ops[i] = route_add("blue", text, "one");
	}
	assert_int_equal(apply(ops, 5000, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "the route table is full ("));
	assert_non_null(strstr(error.text, "made for limits.routes = 1000 prefixes); raise "
					   "limits.routes"));
	assert_same(before);
	free(before);
	free(ops);
}

/* What earlier changes replaced takes room until the workers have let go of it. */
static void a_pool_full_of_replaced_blocks_says_try_again(void **state)
{
	struct spw_op first[] = {tenant_add("blue"), tunnel_add("one", "blue")};
	struct spw_worker_row *worker;
	struct spw_error error;
	struct spw_op op;
	uint32_t routes = 0;

	(void)state;
	node = node_double_open(400);
	must_apply(first, 2);
	drain();
	worker = &node->maps.workers[0];
	worker->generation = 1;
	worker->epoch = node->maps.meta->epoch; /* in the middle of a burst */
	do {
		char text[64];
		snprintf(text, sizeof(text), "20.0.%u.0/24", routes++);
		op = route_add("blue", text, "one");
	} while (apply(&op, 1, &error) == 0 && routes < 200);
	assert_int_equal(error.code, -EBUSY);
	assert_non_null(strstr(error.text, "try again"));
	worker->epoch = worker->generation = 0;
	drain();
	must_apply(&op, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_refused_tunnel_changes_nothing, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(a_refused_route_changes_nothing, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(a_refused_rate_changes_nothing, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(foreign_failures_change_nothing, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(full_tables_change_nothing, open_node, close_node),
		cmocka_unit_test_teardown(a_full_route_pool_changes_nothing, close_node),
		cmocka_unit_test_teardown(a_pool_full_of_replaced_blocks_says_try_again,
					  close_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
