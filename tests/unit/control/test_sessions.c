/* SPDX-License-Identifier: BSD-2-Clause */
/* Session tunnels in transactions: their peers, and the routes that their prefixes make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/expand.h"
#include "tests/unit/control/txn_world.h"

#define CNT(array) (sizeof(array) / sizeof((array)[0]))

static struct spw_prefix allow[2];

/* A tunnel of "green", where the world routes nothing. */
static struct spw_op session_add(const char *name, uint8_t key)
{
	struct spw_op op = tunnel_add(name, "green");

	allow[0] = prefix("10.5.0.0/24");
	allow[1] = prefix("fd00:5::/64");
	op.tunnel.keying = SPW_KEYING_SESSION;
	op.tunnel.secret_file = NULL;
	op.tunnel.remote = (struct spw_endpoint){0};
	op.tunnel.allow = allow;
	op.tunnel.peer_key[0] = key;
	return op;
}

static int open_keyed(void **state)
{
	int err = open_node(state);

	strcpy(node->key_file, "/key");
	return err;
}

static void ops_apply(const struct spw_op *ops, uint32_t ops_cnt)
{
	struct spw_error error = {0};

	if (spw_ops_apply(node, ops, ops_cnt, &error) < 0)
		fail_msg("%s", error.text);
	drain();
}

static void assert_refused(const struct spw_op *ops, uint32_t ops_cnt, int code, const char *says)
{
	struct spw_error error = {0};

	assert_int_equal(spw_ops_apply(node, ops, ops_cnt, &error), code);
	if (!strstr(error.text, says))
		fail_msg("no \"%s\" in: %s", says, error.text);
	drain();
}

static void prefixes_are_routes(void **state)
{
	struct spw_op add = session_add("s", 1), del = tunnel_del("s");
	struct spw_op more = route_add("green", "10.6.0.0/24", "s");
	struct spw_op less = route_del("green", "10.6.0.0/24");

	(void)state;
	ops_apply(&add, 1);
	assert_ptr_equal(spw_tunnel_of_peer(node, add.tunnel.peer_key), spw_tunnel_find(node, "s"));
	assert_int_equal(lookup("green", "10.5.0.9/32"), to_tunnel("s"));
	assert_int_equal(lookup("green", "fd00:5::9/128"), to_tunnel("s"));
	assert_int_equal(spw_tunnel_find(node, "s")->remote.port, 0);
	/* A route that somebody added stays in the way, and all the others stay with it. */
	ops_apply(&more, 1);
	assert_refused(&del, 1, -EBUSY, "10.6.0.0/24");
	assert_int_equal(lookup("green", "10.5.0.9/32"), to_tunnel("s"));
	ops_apply(&less, 1);
	ops_apply(&del, 1);
	assert_int_equal(lookup("green", "10.5.0.9/32"), 0);
	assert_null(spw_tunnel_find(node, "s"));
	assert_null(spw_tunnel_of_peer(node, add.tunnel.peer_key));
}

static void explicit_routes_win(void **state)
{
	struct spw_op later[] = {session_add("s", 1), route_add("green", "10.5.0.0/24", "other")};
	struct spw_op standing[] = {route_add("green", "fd00:5::/64", "other")};
	struct spw_op del = tunnel_del("s");

	(void)state;
	ops_apply(standing, 1);
	ops_apply(later, 2);
	assert_int_equal(lookup("green", "10.5.0.9/32"), to_tunnel("other"));
	assert_int_equal(lookup("green", "fd00:5::9/128"), to_tunnel("other"));
	assert_int_equal(spw_tunnel_find(node, "s")->routes_cnt, 0);
	/* And stay when it goes. */
	ops_apply(&del, 1);
	assert_int_equal(lookup("green", "10.5.0.9/32"), to_tunnel("other"));
}

static void a_lan_wins(void **state)
{
	struct spw_op add = session_add("s", 1);

	(void)state;
	add.tunnel.tenant = "blue";
	allow[0] = prefix("10.1.0.0/24");
	ops_apply(&add, 1);
	assert_int_equal(lookup("blue", "10.1.0.9/32"), SPW_LEAF(SPW_LEAF_LAN, 1));
	assert_int_equal(lookup("blue", "fd00:5::9/128"), to_tunnel("s"));
}

static void within_one_transaction(void **state)
{
	struct spw_op there_and_back[] = {session_add("s", 1), tunnel_del("s")};
	struct spw_op two[] = {session_add("s", 1), session_add("t", 2)};
	struct spw_op moved[] = {route_del("green", "10.5.0.0/24"), session_add("u", 3)};
	struct spw_op all[] = {route_del("green", "10.5.0.0/24"), tunnel_del("s"), tunnel_del("t"),
			       tunnel_del("u")};

	(void)state;
	ops_apply(there_and_back, 2);
	assert_null(spw_tunnel_find(node, "s"));
	/* The first of two keeps what both allow. */
	ops_apply(two, 2);
	assert_int_equal(lookup("green", "10.5.0.9/32"), to_tunnel("s"));
	assert_int_equal(spw_tunnel_find(node, "t")->routes_cnt, 0);
	ops_apply(moved, 2);
	assert_int_equal(lookup("green", "10.5.0.9/32"), to_tunnel("u"));
	assert_int_equal(lookup("green", "fd00:5::9/128"), to_tunnel("s"));
	ops_apply(all, 4);
	assert_int_equal(lookup("green", "fd00:5::9/128"), 0);
}

static void places_are_the_prefixes_own(void **state)
{
	struct spw_place places[2] = {{7, 3}, {7, 9}};
	struct spw_op add = session_add("s", 1), *all;
	uint32_t all_cnt;

	(void)state;
	add.tunnel.allow_places = places;
	assert_int_equal(spw_ops_expand(node, &add, 1, &all, &all_cnt), 0);
	assert_int_equal(all_cnt, 3);
	assert_int_equal(all[1].kind, SPW_OP_ROUTE_ADD);
	assert_int_equal(all[2].place.column, 9);
	free(all);
}

static void refused(void **state)
{
	struct spw_op twins[] = {session_add("s", 1), session_add("t", 1)};
	struct spw_op zero = session_add("s", 0), again[] = {tunnel_del("s"), session_add("t", 1)};

	(void)state;
	assert_refused(twins, 2, -EEXIST, "tunnel \"t\" has the same peer as tunnel \"s\"");
	assert_null(spw_tunnel_find(node, "s"));
	assert_refused(&zero, 1, -EINVAL, "all zeros");
	ops_apply(twins, 1);
	assert_refused(again, 2, -EBUSY, "is deleted in the same batch");
	assert_non_null(spw_tunnel_of_peer(node, twins[0].tunnel.peer_key));
	node->key_file[0] = '\0';
	twins[1].tunnel.peer_key[0] = 9;
	assert_refused(&twins[1], 1, -EINVAL, "spillway key generate FILE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(prefixes_are_routes, open_keyed, close_node),
		cmocka_unit_test_setup_teardown(explicit_routes_win, open_keyed, close_node),
		cmocka_unit_test_setup_teardown(a_lan_wins, open_keyed, close_node),
		cmocka_unit_test_setup_teardown(within_one_transaction, open_keyed, close_node),
		cmocka_unit_test_setup_teardown(places_are_the_prefixes_own, open_keyed,
						close_node),
		cmocka_unit_test_setup_teardown(refused, open_keyed, close_node),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
