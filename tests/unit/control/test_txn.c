/* SPDX-License-Identifier: BSD-2-Clause */
/* test_txn.c - what a transaction does to the tables, and in which order. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "control/clock.h"
#include "control/daemon/model.h"
#include "control/daemon/publish.h"
#include "control/daemon/txn.h"
#include "tests/unit/control/txn_world.h"

#define BATCH_OPS 10000u

static void the_set_stands_in_the_tables(void **state)
{
	const struct spw_tunnel_obj *one = spw_tunnel_find(node, "one");
	const struct spw_tunnel *record = &node->maps.tunnels[one->slot];
	const struct spw_port *port = &node->maps.ports[1];
	/* Checksum: ~(4500 + 4000 + 4011 + c000 + 0201 + c000 + 0202) = ~4916. */
	static const uint8_t outer[28] = {0x45, 0,    0,    0,    0, 0, 0x40, 0, 64, 17,
					  0xb6, 0xe9, 192,  0,    2, 1, 192,  0, 2,  2,
					  0x11, 0x94, 0x11, 0x94, 0, 0, 0,    0};

	(void)state;
	assert_int_equal(lookup("blue", "10.2.0.7"), to_tunnel("one"));
	assert_int_equal(lookup("blue", "fd00:2::7"), to_tunnel("one"));
	assert_int_equal(lookup("blue", "10.1.0.7"), SPW_LEAF(SPW_LEAF_LAN, 1));
	assert_int_equal(lookup("green", "10.2.0.7"), 0);
	assert_int_equal(node->maps.tunnel_roots[one->id].slot, one->slot);
	assert_int_equal(record->id, one->id);
	assert_int_equal(record->tenant, one->tenant->id);
	assert_int_equal(record->outer_bytes, 28);
	/* 1500 - 28 - 32 = 1440, of which 2 are the ESP trailer. */
	assert_int_equal(record->inner_mtu_bytes, 1438);
	assert_memory_equal(record->outer, outer, sizeof(outer));
	assert_int_not_equal(record->allow_root[0], 0);
	assert_int_not_equal(record->allow_root[1], 0);
	assert_int_equal(node->maps.rates[one->id].in_cap, SPW_CAP(50000, 625000));
	assert_int_equal(node->maps.rates[one->id].out_cap, SPW_CAP(50000, 625000));
	assert_int_equal(node->maps.rates[DOUBLE_TUNNELS_MAX + one->tenant->id].in_cap,
			 SPW_CAP(1000, 65536));
	assert_int_equal(port->image[port->active].tenant, one->tenant->id);
	assert_int_not_equal(port->image[port->active].allow_root[0], 0);
	assert_int_not_equal(node->maps.meta->deny_root[0], 0);
}

static void inner_mtu(void **state)
{
	(void)state;
	assert_int_equal(spw_inner_mtu(1500, 28), 1438);
	assert_int_equal(spw_inner_mtu(1500, 48), 1418);
	assert_int_equal(spw_inner_mtu(1503, 28), 1438);
	assert_int_equal(spw_inner_mtu(1504, 28), 1442);
	assert_int_equal(spw_inner_mtu(64, 28), 2);
	assert_int_equal(spw_inner_mtu(63, 28), 0);
	assert_int_equal(spw_inner_mtu(0, 48), 0);
}

/* ---- order -------------------------------------------------------------------------------- */

static void started_before_the_route(struct spw_tunnel_obj *tunnel)
{
	assert_int_equal(node->maps.tunnel_roots[tunnel->id].slot, tunnel->slot);
	assert_int_equal(node->maps.tunnels[tunnel->slot].id, tunnel->id);
	assert_int_equal(lookup("blue", "10.44.0.1"), 0);
}

static void stopped_after_the_record(struct spw_tunnel_obj *tunnel)
{
	assert_int_equal(node->maps.tunnel_roots[tunnel->id].slot, 0);
	assert_int_equal(lookup("blue", "10.44.0.1"), 0);
}

/* Lets the periods that the workers allow for pass. */
static void run_grace(void)
{
	for (int i = 0; i < 50; i++) {
		struct timespec pause = {0, 2000000};
		spw_grace_run(node->grace);
		nanosleep(&pause, NULL);
	}
}

static void what_goes_goes_step_by_step(void **state)
{
	struct spw_op add[] = {tunnel_add("four", "blue"),
			       route_add("blue", "10.44.0.0/16", "four")};
	struct spw_op del[] = {route_del("blue", "10.44.0.0/16"), tunnel_del("four")};
	struct spw_worker_row *worker = &node->maps.workers[0];
	struct spw_trie_usage before, after;
	uint32_t id, slot, ids = node->tunnel_ids->used;
	struct spw_tunnel record;

	(void)state;
	spw_trie_usage(node->tries, &before);
	double_on_start = started_before_the_route;
	double_on_stop = stopped_after_the_record;
	must_apply(add, 2);
	assert_string_equal(double_trace, "prepare four;start four;");
	drain();
	id = spw_tunnel_find(node, "four")->id;
	slot = node->maps.tunnel_roots[id].slot;
	record = node->maps.tunnels[slot];
	node->maps.counters[id].rx_packets = 7;

	/* A worker in the middle of a burst. */
	worker->generation = 1;
	worker->epoch = node->maps.meta->epoch;
	must_apply(del, 2);
	assert_null(spw_tunnel_find(node, "four"));
	assert_int_equal(lookup("blue", "10.44.0.1"), 0);
	run_grace();
	assert_int_equal(node->maps.tunnel_roots[id].slot, slot);
	assert_string_equal(double_trace, "prepare four;start four;");
	assert_int_equal(node->dying_cnt, 1);

	/* It comes round once, and is in the next burst: it may hold the record, not the route. */
	worker->epoch = node->maps.meta->epoch;
	run_grace();
	assert_int_equal(node->maps.tunnel_roots[id].slot, 0);
	assert_string_equal(double_trace, "prepare four;start four;stop four;");
	assert_memory_equal(&node->maps.tunnels[slot], &record, sizeof(record));
	assert_true(spw_slots_taken(node->tunnel_slots, slot));
	assert_true(spw_slots_taken(node->tunnel_ids, id));

	worker->epoch = node->maps.meta->epoch;
	run_grace();
	worker->epoch = worker->generation = 0;
	drain();
	assert_false(spw_slots_taken(node->tunnel_slots, slot));
	assert_int_equal(node->tunnel_ids->used, ids);
	assert_int_equal(node->dying_cnt, 0);
	spw_trie_usage(node->tries, &after);
	assert_memory_equal(&after, &before, sizeof(before));

	/* Its number starts anew with the next tunnel. */
	double_on_stop = NULL;
	must_apply(add, 2);
	assert_int_equal(spw_tunnel_find(node, "four")->id, id);
	assert_int_equal(node->maps.counters[id].rx_packets, 0);
}

static void later_ops_build_on_earlier_ones(void **state)
{
	struct spw_op ops[] = {
		tunnel_add("four", "blue"),
		route_add("blue", "10.44.0.0/16", "four"),
		route_add("blue", "10.45.0.0/16", "four"),
		route_del("blue", "10.45.0.0/16"),
		rate_set("four", NULL, 10),
		rate_set("four", NULL, 0),
		tunnel_add("brief", "blue"),
		tunnel_del("brief"),
		route_del("blue", "10.2.0.0/24"),
		route_add("blue", "10.2.0.0/24", "four"),
		route_del("blue", "fd00:2::/64"),
		tunnel_del("one"),
	};
	struct spw_trie_usage before, after;
	uint64_t revision = node->revision;
	uint32_t used = node->tunnel_slots->used;

	(void)state;
	spw_trie_usage(node->tries, &before);
	must_apply(ops, sizeof(ops) / sizeof(ops[0]));
	drain();
	drain();
	assert_int_equal(node->revision, revision + 1);
	assert_int_equal(lookup("blue", "10.44.0.1"), to_tunnel("four"));
	assert_int_equal(lookup("blue", "10.45.0.1"), 0);
	assert_int_equal(lookup("blue", "10.2.0.1"), to_tunnel("four"));
	assert_null(spw_tunnel_find(node, "one"));
	assert_null(spw_tunnel_find(node, "brief"));
	assert_int_equal(spw_tunnel_find(node, "four")->routes_cnt, 2);
	assert_int_equal(node->maps.rates[spw_tunnel_find(node, "four")->id].in_cap, 0);
	assert_int_equal(node->tunnel_slots->used, used);
	assert_int_equal(double_sas_live, 3);
	assert_int_equal(double_nexthop_live, 3);
	/* No block has got lost: back to the old set, the pool is as it was. */
	struct spw_op back[] = {
		tunnel_add("one", "blue"),
		route_del("blue", "10.2.0.0/24"),
		route_add("blue", "10.2.0.0/24", "one"),
		route_add("blue", "fd00:2::/64", "one"),
		route_del("blue", "10.44.0.0/16"),
		tunnel_del("four"),
	};
	must_apply(back, sizeof(back) / sizeof(back[0]));
	drain();
	drain();
	drain();
	spw_trie_usage(node->tries, &after);
	assert_memory_equal(&after, &before, sizeof(before));
}

/* A record that is built anew stands in another slot, and the old one rests. */
static void publishing_rests_the_old_slot(void **state)
{
	struct spw_tunnel_obj *one = spw_tunnel_find(node, "one");
	uint32_t slot = one->slot;

	(void)state;
	assert_int_equal(spw_tunnel_publish(node, one), 0);
	assert_int_equal(one->slot, slot); /* nothing has changed */
	one->tx_sa[1] = 9;
	assert_int_equal(spw_tunnel_publish(node, one), 0);
	assert_int_not_equal(one->slot, slot);
	assert_int_equal(node->maps.tunnel_roots[one->id].slot, one->slot);
	assert_int_equal(node->maps.tunnels[one->slot].tx_sa[1], 9);
	assert_int_equal(node->maps.tunnels[slot].tx_sa[1], 0);
	assert_true(spw_slots_taken(node->tunnel_slots, slot));
	drain();
	assert_false(spw_slots_taken(node->tunnel_slots, slot));
}

static void a_port_image_waits_for_the_other(void **state)
{
	struct spw_port *port = &node->maps.ports[1];
	uint32_t active = port->active;
	struct spw_port_image resting;

	(void)state;
	node->interfaces[1].on_stop_pass = true;
	assert_int_equal(spw_port_publish(node, 1), 0);
	assert_int_equal(port->active, !active);
	resting = port->image[active];
	node->interfaces[1].on_stop_pass = false;
	assert_int_equal(spw_port_publish(node, 1), 0);
	assert_int_equal(port->active, !active);
	assert_memory_equal(&port->image[active], &resting, sizeof(resting));
	drain();
	assert_int_equal(port->active, active);
	assert_int_equal(port->image[active].on_stop_pass, 0);
}

/* ---- lan hosts ---------------------------------------------------------------------------- */

static void hosts_come_and_go(void **state)
{
	struct spw_prefix host = prefix("10.1.0.9/32"), routed = prefix("10.1.0.10/32");
	struct spw_op over = route_add("blue", "10.1.0.9/32", "one");
	struct spw_op back = route_del("blue", "10.1.0.9/32");
	struct spw_op add = route_add("blue", "10.1.0.10/32", "one");
	struct spw_error error;

	(void)state;
	assert_int_equal(spw_host_route_set(node, 1, &host, 5), 0);
	assert_int_equal(lookup("blue", "10.1.0.9"), SPW_LEAF(SPW_LEAF_NEIGHBOR, 5));
	assert_int_equal(spw_host_route_set(node, 1, &host, 6), 0);
	assert_int_equal(lookup("blue", "10.1.0.9"), SPW_LEAF(SPW_LEAF_NEIGHBOR, 6));
	assert_int_equal(apply(&back, 1, &error), -ENOENT); /* it is nobody's route */
	must_apply(&over, 1);
	assert_int_equal(lookup("blue", "10.1.0.9"), to_tunnel("one"));
	assert_int_equal(spw_host_route_set(node, 1, &host, 6), -EEXIST);
	assert_int_equal(spw_host_route_set(node, 1, &host, 0), 0);
	assert_int_equal(lookup("blue", "10.1.0.9"), to_tunnel("one"));
	must_apply(&back, 1);
	assert_int_equal(lookup("blue", "10.1.0.9"), SPW_LEAF(SPW_LEAF_LAN, 1));

	must_apply(&add, 1);
	assert_int_equal(spw_host_route_set(node, 1, &routed, 5), -EEXIST);
	assert_int_equal(spw_host_route_set(node, 1, &host, 5), 0);
	assert_int_equal(spw_host_route_set(node, 1, &host, 0), 0);
	assert_int_equal(lookup("blue", "10.1.0.9"), SPW_LEAF(SPW_LEAF_LAN, 1));
	assert_int_equal(spw_host_route_set(node, 2, &host, 0), 0); /* green has none */
}

/* A lan may be one host: its neighbor takes the place of the lan's own leaf, and gives it back. */
static void a_lan_of_one_host(void **state)
{
	struct spw_prefix host = prefix("10.9.0.5/32");
	struct spw_op lan = lan_add(1, "10.9.0.5/32");
	struct spw_op over = route_add("blue", "10.9.0.5/32", "one");
	struct spw_error error = {0};

	(void)state;
	must_apply(&lan, 1);
	drain();
	assert_int_equal(lookup("blue", "10.9.0.5"), SPW_LEAF(SPW_LEAF_LAN, 1));
	assert_int_equal(spw_host_route_set(node, 1, &host, 0), 0);
	assert_int_equal(lookup("blue", "10.9.0.5"), SPW_LEAF(SPW_LEAF_LAN, 1));
	assert_int_equal(spw_host_route_set(node, 1, &host, 5), 0);
	assert_int_equal(lookup("blue", "10.9.0.5"), SPW_LEAF(SPW_LEAF_NEIGHBOR, 5));

	/* It is the lan's all the while, also to a transaction that is completed at a restart. */
	assert_int_equal(apply(&over, 1, &error), -EEXIST);
	assert_non_null(strstr(error.text, "is the lan of interface \"lan0\""));
	error = (struct spw_error){0};
	assert_int_equal(spw_txn_apply(node, &lan, 1, false, &error), 0);
	assert_int_equal(lookup("blue", "10.9.0.5"), SPW_LEAF(SPW_LEAF_NEIGHBOR, 5));

	assert_int_equal(spw_host_route_set(node, 1, &host, 0), 0);
	assert_int_equal(lookup("blue", "10.9.0.5"), SPW_LEAF(SPW_LEAF_LAN, 1));
}

/* ---- many --------------------------------------------------------------------------------- */

static double seconds(void)
{
	return (double)spw_now_ns() / 1e9;
}

static void ten_thousand_ops_take_less_than_a_second(void **state)
{
	struct spw_op *ops = calloc(BATCH_OPS, sizeof(*ops));
	struct spw_trie_usage before, after;
	double start, limit = 1.0;

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	limit = 5.0;
#endif
	spw_trie_usage(node->tries, &before);
	for (uint32_t i = 0; i < BATCH_OPS; i++) {
		char text[32];
		snprintf(text, sizeof(text), "20.%u.%u.0/24", i / 200, i % 200);
		ops[i] = route_add("blue", text, "one");
	}
	start = seconds();
	must_apply(ops, BATCH_OPS);
	assert_true(seconds() - start < limit);
	assert_int_equal(lookup("blue", "20.49.199.3"), to_tunnel("one"));
	assert_int_equal(spw_tunnel_find(node, "one")->routes_cnt, BATCH_OPS + 2);
	for (uint32_t i = 0; i < BATCH_OPS; i++)
		ops[i].kind = SPW_OP_ROUTE_DEL;
	start = seconds();
	must_apply(ops, BATCH_OPS);
	assert_true(seconds() - start < limit);
	assert_int_equal(lookup("blue", "20.49.199.3"), 0);
	drain();
	spw_trie_usage(node->tries, &after);
	assert_memory_equal(&after, &before, sizeof(before));
	free(ops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_set_stands_in_the_tables, open_node,
						close_node),
		cmocka_unit_test(inner_mtu),
		cmocka_unit_test_setup_teardown(what_goes_goes_step_by_step, open_node, close_node),
		cmocka_unit_test_setup_teardown(later_ops_build_on_earlier_ones, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(publishing_rests_the_old_slot, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(a_port_image_waits_for_the_other, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(hosts_come_and_go, open_node, close_node),
		cmocka_unit_test_setup_teardown(a_lan_of_one_host, open_node, close_node),
		cmocka_unit_test_setup_teardown(ten_thousand_ops_take_less_than_a_second, open_node,
						close_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
