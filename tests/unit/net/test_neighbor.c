/* SPDX-License-Identifier: BSD-2-Clause */
/* test_neighbor.c - neighbours, lan hosts and restarts against the kernel (world.h). Root only. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/clock.h"
#include "tests/unit/net/world.h"

#define MAC_PEER0 "02:00:00:00:00:20"
#define MAC_PEER2 "02:00:00:00:02:20"

static struct spw_followed *followed(uint32_t port, const char *address)
{
	struct spw_endpoint endpoint = world_address(address);

	return spw_followed_find(world_node->net, port, &endpoint);
}

static void glean(uint32_t port, const char *address)
{
	struct spw_endpoint endpoint = world_address(address);

	spw_net_glean(world_node, port, &endpoint);
}

/* ---- next hops ---------------------------------------------------------------------------- */

static bool valid(void)
{
	return world_valid(world_record(1)->neighbor, MAC_PEER0);
}

static bool moved(void)
{
	return world_valid(world_record(1)->neighbor, "02:00:00:00:00:21");
}

static void test_mac_changes(void **state)
{
	uint32_t id;
	(void)state;

	world_tunnel(1, "192.0.2.2", NULL);
	assert_true(world_until(valid, 2000));
	id = world_record(1)->neighbor;
	peer("ip link set peer0 address 02:00:00:00:00:21");
	peer("ping -q -c 1 192.0.2.1 >/dev/null");
	assert_true(world_until(moved, 300));
	assert_int_equal(world_record(1)->neighbor, id);
}

static bool stale(void)
{
	return world_word(world_record(1)->neighbor).state == SPW_NEIGHBOR_STALE;
}

static bool none(void)
{
	return world_word(world_record(1)->neighbor).state == SPW_NEIGHBOR_NONE;
}

/* The last MAC serves for 30 s, then packets are dropped, and an answer ends it all. */
static void test_failure(void **state)
{
	struct spw_followed *hop;
	union spw_neighbor word;
	(void)state;

	world_tunnel(1, "192.0.2.2", NULL);
	assert_true(world_until(valid, 2000));
	hop = followed(0, "192.0.2.2");
	peer("ip link set peer0 arp off");
	here("ip neigh change 192.0.2.2 dev wan0 nud failed");
	assert_true(world_until(stale, 500));
	word = world_word(hop->hop.neighbor);
	assert_memory_equal(word.mac, "\x02\0\0\0\0\x20", 6);
	assert_int_equal(hop->failures, 1);
	assert_in_range(hop->stale_until_ms, spw_now_ms() + 28000, spw_now_ms() + 30000);

	hop->stale_until_ms = spw_now_ms();
	assert_true(world_until(none, 1500));
	assert_int_equal(world_word(hop->hop.neighbor).port, 0);
	peer("ip link set peer0 arp on");
	assert_true(world_until(valid, 10000));
	assert_int_equal(hop->stale_until_ms, 0);
}

static bool managed_again(void)
{
	return valid() && says("ip neigh show 192.0.2.2 dev wan0", "managed");
}

static void test_forgotten_by_kernel(void **state)
{
	(void)state;
	world_tunnel(1, "192.0.2.2", NULL);
	assert_true(world_until(valid, 2000));
	here("ip neigh del 192.0.2.2 dev wan0");
	assert_true(world_until(stale, 300));
	assert_true(world_until(managed_again, 2000));
	/* Someone else's change takes the mark off. */
	here("ip neigh replace 192.0.2.2 dev wan0 lladdr 02:00:00:00:00:20 nud reachable");
	assert_false(says("ip neigh show 192.0.2.2 dev wan0", "managed"));
	assert_true(world_until(managed_again, 2000));
	/* So does the interface, as it goes down. */
	here("ip link set wan0 down; ip link set wan0 up");
	assert_true(world_until(managed_again, 3000));
}

static bool fixed(void)
{
	return world_valid(world_record(1)->neighbor, "02:00:00:00:00:55");
}

static void test_static_entry(void **state)
{
	struct spw_tunnel_obj *tunnel;
	(void)state;

	here("ip neigh add 192.0.2.2 dev wan0 lladdr 02:00:00:00:00:55 nud permanent");
	tunnel = world_tunnel(1, "192.0.2.2", NULL);
	assert_true(fixed());
	world_run(1200);
	assert_true(fixed());
	assert_true(says("ip neigh show 192.0.2.2 dev wan0", "PERMANENT"));
	here("ip neigh replace 192.0.2.2 dev wan0 lladdr 02:00:00:00:00:20 nud permanent");
	assert_true(world_until(valid, 300));
	world_tunnel_free(tunnel);
	world_run(1200);
	assert_true(says("ip neigh show 192.0.2.2 dev wan0", "PERMANENT"));
}

static void test_describe(void **state)
{
	json_t *list, *wanted;
	(void)state;

	world_tunnel(1, "192.0.2.2", NULL);
	assert_true(world_until(valid, 2000));
	list = spw_net_describe_neighbors(world_node);
	wanted = json_pack("[{s:s, s:s, s:s, s:s, s:i}]", "address", "192.0.2.2", "interface",
			   "wan0", "mac", MAC_PEER0, "state", "valid", "failures", 0);
	assert_non_null(wanted);
	assert_true(json_equal(list, wanted));
	json_decref(list);
	json_decref(wanted);
}

static void test_ids_run_out(void **state)
{
	struct spw_tunnel_obj tunnel = {.name = "full", .id = 1};
	struct spw_error error = {0};
	(void)state;

	while (spw_slots_alloc(world_node->neighbor_ids) != 0)
		;
	tunnel.remote = world_address("192.0.2.2");
	assert_int_equal(spw_nexthop_acquire(world_node, &tunnel, 0, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "\"full\": all 159 neighbors"));
	assert_null(tunnel.nexthop);
	assert_null(followed(0, "192.0.2.2"));
}

/* ---- lan hosts ---------------------------------------------------------------------------- */

static bool host4(void)
{
	return SPW_LEAF_KIND(world_leaf("10.1.0.10")) == SPW_LEAF_NEIGHBOR;
}

static bool host6(void)
{
	return SPW_LEAF_KIND(world_leaf("fd00:1::10")) == SPW_LEAF_NEIGHBOR;
}

static void test_hosts(void **state)
{
	(void)state;
	glean(2, "10.1.0.10");
	glean(2, "fd00:1::10");
	assert_false(host4()); /* not before it has answered */
	assert_true(world_until(host4, 1000));
	assert_true(world_until(host6, 2000));
	assert_true(world_valid(SPW_LEAF_INDEX(world_leaf("10.1.0.10")), MAC_PEER2));
	assert_true(world_valid(SPW_LEAF_INDEX(world_leaf("fd00:1::10")), MAC_PEER2));
	assert_int_equal(world_word(SPW_LEAF_INDEX(world_leaf("10.1.0.10"))).port, 2);
	assert_true(says("ip neigh show 10.1.0.10 dev lan0", "managed"));
}

static bool no_ids(void)
{
	return world_node->neighbor_ids->used == 0;
}

static void test_no_hosts(void **state)
{
	static const char *const addresses[] = {"10.1.0.1", "10.1.0.255", "10.1.0.0", "fd00:1::1"};
	(void)state;

	glean(2, "10.2.0.10"); /* outside of the lan */
	glean(0, "192.0.2.2"); /* no lan */
	glean(9, "10.1.0.10"); /* no port */
	assert_int_equal(world_node->neighbor_ids->used, 0);
	/* The node itself, and broadcasts. */
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		glean(2, addresses[i]);
	assert_true(world_until(no_ids, 6000));
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		assert_int_equal(world_leaf(addresses[i]), 0);
	/* Not when the kernel knows them already, either. */
	glean(2, "10.1.0.255");
	world_run(200);
	assert_int_equal(world_leaf("10.1.0.255"), 0);
	/* A person's route for the host stays. */
	world_route("10.1.0.10", SPW_LEAF(SPW_LEAF_TUNNEL, 3));
	glean(2, "10.1.0.10");
	world_run(200);
	assert_int_equal(world_leaf("10.1.0.10"), SPW_LEAF(SPW_LEAF_TUNNEL, 3));
}

static bool all_forgotten(void)
{
	return world_node->neighbor_ids->used == 1;
}

/* A scan takes a bounded share of the kernel's table, and hosts that answer are not harmed by it.
 */
static void test_scan(void **state)
{
	char address[32];
	(void)state;

	glean(2, "10.1.0.10");
	assert_true(world_until(host4, 1000));
	for (int i = 20; i < 250; i++) {
		snprintf(address, sizeof(address), "10.1.0.%d", i);
		glean(2, address);
	}
	assert_int_equal(world_node->neighbor_ids->used, 1 + 64);
	assert_true(world_until(all_forgotten, 8000));
	assert_true(host4());
	assert_false(says("ip neigh show dev lan0", "10.1.0.20"));
}

static bool host_gone(void)
{
	return world_leaf("10.1.0.10") == 0;
}

static void test_host_leaves(void **state)
{
	struct spw_followed *host;
	(void)state;

	glean(2, "10.1.0.10");
	assert_true(world_until(host4, 1000));
	host = followed(2, "10.1.0.10");
	peer("ip addr del 10.1.0.10/24 dev peer2");
	here("ip neigh change 10.1.0.10 dev lan0 nud failed");
	world_run(1500);
	assert_true(host4()); /* for 30 s */
	assert_int_equal(world_word(host->hop.neighbor).state, SPW_NEIGHBOR_STALE);
	host->stale_until_ms = spw_now_ms();
	assert_true(world_until(host_gone, 1500));
	/* And back. */
	peer("ip addr add 10.1.0.10/24 dev peer2");
	glean(2, "10.1.0.10");
	assert_true(world_until(host4, 2000));
}

/* A person's route took the place of the host's and is gone again. */
static void test_host_route_replaced(void **state)
{
	(void)state;
	glean(2, "10.1.0.10");
	assert_true(world_until(host4, 1000));
	world_route("10.1.0.10", SPW_LEAF(SPW_LEAF_TUNNEL, 3));
	world_route("10.1.0.10", 0);
	glean(2, "10.1.0.10");
	assert_true(host4());
}

/* ---- restarts ----------------------------------------------------------------------------- */

static bool nothing_left(void)
{
	return world_node->neighbor_ids->used == 2;
}

static void test_restart(void **state)
{
	struct spw_prefix prefix = {.family = 4, .bits = 32, .addr = {10, 1, 0, 10}};
	uint32_t marked[3], host;
	struct spw_tunnel_obj *tunnel;
	struct spw_error error = {0};
	(void)state;

	tunnel = world_tunnel(1, "192.0.2.2", NULL);
	world_tunnel(2, "192.0.2.3", NULL);
	glean(2, "10.1.0.10");
	assert_true(world_until(valid, 2000));
	assert_true(world_until(host4, 2000));
	marked[0] = tunnel->nexthop->neighbor;
	marked[1] = SPW_LEAF_INDEX(world_leaf("10.1.0.10"));
	marked[2] = world_record(2)->neighbor; /* nothing will come to use it */
	host = marked[1];
	world_tunnel_free(world_node->tunnels[2]);

	world_restart(marked, 3);
	assert_true(valid());
	assert_int_equal(spw_nexthop_acquire(world_node, tunnel, marked[0], &error), 0);
	spw_net_adopt_host(world_node, 2, &prefix, host);
	/* Same ids, same words, and not for a moment another one. */
	assert_int_equal(tunnel->nexthop->neighbor, marked[0]);
	assert_int_equal(world_record(1)->neighbor, marked[0]);
	assert_true(valid());
	assert_true(world_valid(host, MAC_PEER2));
	assert_true(world_until(nothing_left, 2500));
	assert_true(host4());
	/* They are followed again. */
	peer("ip link set peer0 address 02:00:00:00:00:21");
	peer("ping -q -c 1 192.0.2.1 >/dev/null");
	assert_true(world_until(moved, 300));
	followed(2, "10.1.0.10")->stale_until_ms = spw_now_ms();
	assert_true(world_until(host_gone, 1500));
}

/* The route moved while control was away. */
static void test_restart_elsewhere(void **state)
{
	struct spw_tunnel_obj *tunnel;
	struct spw_error error = {0};
	uint32_t marked;
	(void)state;

	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	tunnel = world_tunnel(1, "203.0.113.1", NULL);
	assert_true(world_until(valid, 2000));
	marked = tunnel->nexthop->neighbor;
	here("ip route replace 203.0.113.0/24 via 198.51.100.2");
	world_restart(&marked, 1);
	assert_int_equal(spw_nexthop_acquire(world_node, tunnel, marked, &error), 0);
	/* The old id is another port's: published anew under its own, and the old one given back.
	 */
	assert_int_equal(world_record(1)->port, 1);
	assert_int_not_equal(world_record(1)->neighbor, marked);
	world_run(1500);
	assert_int_equal(world_node->neighbor_ids->used, 1);
}

/* A host route whose id the tables give to something else. */
static void test_restart_damaged(void **state)
{
	struct spw_prefix prefix = {.family = 4, .bits = 32, .addr = {10, 1, 0, 10}};
	uint32_t marked = 1;
	(void)state;

	world_route("10.1.0.10", SPW_LEAF(SPW_LEAF_NEIGHBOR, 1));
	world_restart(&marked, 1);
	spw_net_adopt_host(world_node, 2, &prefix, 1); /* neighbors[1] is of port 0 */
	assert_true(world_until(host_gone, 2000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mac_changes),
		TEST(test_failure),
		TEST(test_forgotten_by_kernel),
		TEST(test_static_entry),
		TEST(test_describe),
		TEST(test_ids_run_out),
		TEST(test_hosts),
		TEST(test_no_hosts),
		TEST(test_scan),
		TEST(test_host_leaves),
		TEST(test_host_route_replaced),
		TEST(test_restart),
		TEST(test_restart_elsewhere),
		TEST(test_restart_damaged),
	};

	return world_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
