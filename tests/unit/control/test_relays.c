/* SPDX-License-Identifier: BSD-2-Clause */
/* Blind relays as control keeps them: ops, records and their arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/net/net.h"
#include "tests/unit/control/relay_world.h"

/* ---- ops ---------------------------------------------------------------------------------- */

static void a_relay_comes_and_goes(void **state)
{
	uint32_t slots = node->relay_slots->used, id;

	(void)state;
	must_one(relay_add("ab", 51820, A, B));
	assert_non_null(live(51820));
	id = live(51820)->id;
	assert_int_equal(live(51820)->port_be, htons(51820));
	assert_int_equal(live(51820)->family, 4);
	assert_side(&live(51820)->side[0], A, "198.51.100.200");
	assert_side(&live(51820)->side[1], B, "203.0.113.200");
	assert_int_equal(live(51820)->side[0].neighbor,
			 spw_relay_find(node, "ab")->ends[0].nexthop->neighbor);
	assert_true(live(51820)->side[0].neighbor != live(51820)->side[1].neighbor);
	assert_int_equal(double_ports_held, 1);
	state_at(51820)->to[0].packets = 5;

	must_one(relay_del("ab"));
	assert_null(live(51820));
	assert_null(spw_relay_find(node, "ab"));
	assert_int_equal(double_nexthop_live, 3); /* those of the tunnels */
	/* Neither number is anybody's before a grace period has passed. */
	assert_true(spw_slots_taken(node->relay_ids, id));
	drain();
	assert_false(spw_slots_taken(node->relay_ids, id));
	assert_int_equal(node->relay_slots->used, slots);

	must_one(relay_add("again", 51820, A, "any"));
	assert_int_equal(live(51820)->id, id);
	assert_int_equal(state_at(51820)->to[0].packets, 0);
}

static void ipv6_and_defaults(void **state)
{
	(void)state;
	must_one(relay_add("six", 443, "[2001:db8::7]:51820", "[2001:db8:1::9]:1"));
	assert_int_equal(live(443)->family, 6);
	assert_side(&live(443)->side[0], "[2001:db8::7]:51820", "2001:db8::c8");
	/* 100,000 packets and 125,000,000 bytes a second, in units of 2^-10 ns. */
	assert_int_equal(live(443)->packet_cost_ticks, 10240000);
	assert_int_equal(live(443)->byte_cost_ticks, 8192);
	assert_int_equal(live(443)->packet_burst_ticks, 10240000000);
	assert_int_equal(live(443)->byte_burst_ticks, 51200000000);
}

/* Rounding never lets more through; every limit has room for one packet of any length at least. */
static void costs_keep_the_rate(void **state)
{
	static const uint32_t rates_kbit[] = {1, 7, 64, 999, 500000, 1000003, SPW_RELAY_KBIT_MAX};
	static const uint32_t rates_pps[] = {1, 3, 64, 6400, 6401, 99999, SPW_RELAY_PPS_MAX};

	(void)state;
	must_one(relay_add("ab", 51820, A, B));
	for (size_t i = 0; i < 7; i++) {
		const struct spw_relay *record;
		double second = 1e9 * SPW_RELAY_TICKS_PER_NS;
		must_one(relay_rate("ab", rates_kbit[i], rates_pps[i]));
		record = live(51820);
		assert_true(second / (double)record->byte_cost_ticks <= rates_kbit[i] * 125.0);
		assert_true(second / (double)record->byte_cost_ticks >= rates_kbit[i] * 124.8);
		assert_true(second / (double)record->packet_cost_ticks <= rates_pps[i]);
		assert_true(second / (double)record->packet_cost_ticks >= rates_pps[i] * 0.999);
		assert_true(record->byte_burst_ticks >= 65535 * record->byte_cost_ticks);
		assert_true(record->packet_burst_ticks >= 64 * record->packet_cost_ticks);
		drain();
	}
}

static void limits_change_alone(void **state)
{
	struct spw_relay before;
	const struct spw_relay *old;
	uint32_t slots = node->relay_slots->used;

	(void)state;
	must_one(relay_add("ab", 51820, A, B));
	old = live(51820);
	before = *old;
	state_at(51820)->to[1].bytes = 77;
	must_one(relay_rate("ab", 500000, 0));
	assert_ptr_not_equal(live(51820), old);
	assert_memory_equal(old, &before, sizeof(before)); /* a reader may have it still */
	assert_int_equal(live(51820)->byte_cost_ticks, 16384);
	assert_int_equal(live(51820)->packet_cost_ticks, before.packet_cost_ticks);
	assert_memory_equal(live(51820)->side, before.side, sizeof(before.side));
	assert_int_equal(state_at(51820)->to[1].bytes, 77);
	drain();
	assert_int_equal(node->relay_slots->used, slots + 1);
}

/* Several ops on one relay in one transaction, seen from outside as one. */
static void one_transaction_may_do_all_of_it(void **state)
{
	struct spw_op ops[] = {relay_add("ab", 51820, A, B),   relay_rate("ab", 1000, 10),
			       relay_rate("ab", 0, 20),        relay_add("brief", 1, A, B),
			       relay_rate("brief", 5, 5),      relay_del("brief"),
			       relay_add("brief", 2, A, "any")};
	struct spw_op replace[] = {relay_rate("ab", 9, 9), relay_del("ab"),
				   relay_add("ba", 51820, B, A), relay_del("brief")};
	uint32_t ids = node->relay_ids->used, slots = node->relay_slots->used, id;

	(void)state;
	must_apply(ops, 7);
	assert_int_equal(spw_relay_find(node, "ab")->limits.pps, 20);
	assert_int_equal(spw_relay_find(node, "ab")->limits.rate_kbit, 1000);
	assert_int_equal(live(51820)->byte_cost_ticks, 8192000);
	assert_null(live(1));
	assert_non_null(live(2));
	assert_int_equal(node->relay_ids->used, ids + 2);
	assert_int_equal(node->relay_slots->used, slots + 2);

	/* A relay in the place of another: the port is never without one, nor let go. */
	id = live(51820)->id;
	double_port_busy = 51820;
	must_apply(replace, 4);
	assert_side(&live(51820)->side[0], B, "203.0.113.200");
	assert_true(live(51820)->id != id);
	drain();
	assert_int_equal(node->relay_ids->used, ids + 1);
	assert_int_equal(node->relay_slots->used, slots + 1);
}

static struct double_tables *before;
static uint32_t ids_before;

static void refuse_begin(void)
{
	must_one(relay_add("ab", 51820, A, B));
	drain();
	before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));
	*before = *node_double_tables();
	ids_before = node->relay_ids->used;
}

/* As the last one of a batch whose others are right. */
static void refuse(struct spw_op bad, int code, const char *text)
{
	struct spw_op ops[] = {relay_add("new", 7, A, B), relay_rate("ab", 5, 5), relay_del("new"),
			       bad};
	struct spw_error error;

	ops[3].place.line = 44;
	assert_int_equal(apply(ops, 4, &error), code);
	if (!strstr(error.text, text))
		fail_msg("no \"%s\" in: %s", text, error.text);
	assert_int_equal(error.place.line, 44);
}

static void refuse_end(void)
{
	before->meta.epoch = node->maps.meta->epoch;
	/* Slots that were written and never published are as good as free. */
	memcpy(before->relays, node->maps.relays, sizeof(before->relays));
	assert_memory_equal(node_double_tables(), before, sizeof(*before));
	assert_int_equal(node->relay_ids->used, ids_before);
	assert_int_equal(spw_relay_find(node, "ab")->limits.pps, SPW_RELAY_PPS_DEFAULT);
	assert_int_equal(double_nexthop_live, 3 + 2);
	free(before);
}

static void a_refused_relay_changes_nothing(void **state)
{
	(void)state;
	refuse_begin();
	refuse(relay_add("ab", 5, A, B), -EEXIST, "already");
	refuse(relay_add("A b", 5, A, B), -EINVAL, "bad name");
	refuse(relay_add("x", 4500, A, B), -EINVAL, "port of the tunnels");
	refuse(relay_add("x", 51820, A, B), -EEXIST, "relay \"ab\"");
	refuse(relay_del("x"), -ENOENT, "there is no relay");
	refuse_end();
}

static void a_refused_endpoint_changes_nothing(void **state)
{
	static const char *const ends[][3] = {
		{"any", "any", "both endpoints are any"},
		{A, A, "the same"},
		{A, "[2001:db8::1]:5", "one family"},
		{"192.0.2.1", B, "no host's"}, /* no port */
		{"224.0.0.5:1", B, "no host's"},
		{"127.0.0.1:1", B, "no host's"},
		{"255.255.255.255:1", B, "no host's"},
		{"169.254.169.254:80", B, "no host's"},
		{"0.0.0.0:80", B, "no host's"},
		{"[fe80::1]:80", "any", "no host's"},
		{"[ff02::1]:80", "any", "no host's"},
		{"[::1]:80", "any", "no host's"},
	};

	(void)state;
	refuse_begin();
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		refuse(relay_add("x", 5, ends[i][0], ends[i][1]), -EINVAL, ends[i][2]);
	refuse_end();
}

static void what_the_host_refuses_changes_nothing(void **state)
{
	(void)state;
	refuse_begin();
	double_port_busy = 5353;
	refuse(relay_add("x", 5353, A, B), -EADDRINUSE, "ss -uapn");
	double_nexthop_error = -ENOSPC;
	int held = double_ports_held;
	struct spw_op add = relay_add("x", 5, A, B);
	struct spw_error error;
	assert_int_equal(apply(&add, 1, &error), -ENOSPC);
	assert_int_equal(double_ports_held, held + 1);
	double_nexthop_error = 0;
	refuse_end();
}

static void a_full_node_says_so(void **state)
{
	static struct spw_op ops[SPW_RELAYS_MAX];
	static char names[SPW_RELAYS_MAX][8];
	struct spw_error error;

	(void)state;
	double_route_port = SPW_PORTS_MAX; /* the doubles have few next hops */
	for (uint32_t i = 0; i < SPW_RELAYS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "r%u", i);
		ops[i] = relay_add(names[i], (uint16_t)(20000 + i), A, B);
	}
	assert_int_equal(apply(ops, SPW_RELAYS_MAX, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "room for 1023 relays"));
	assert_null(live(20000));
	/* 200 at a time, as the double's limbo is small; what is changed has two slots for a while.
	 */
	must_apply(ops, 200);
	for (uint32_t i = 0; i < 200; i++) {
		must_one(relay_rate(names[i], 1000 + i, 0));
		if (i % 50 == 0)
			drain();
	}
	drain();
	assert_int_equal(node->relay_slots->used, 200);
	assert_int_equal(live(20000)->side[0].neighbor, 0);
	/* Nothing can be taken for the far end of one without a route. */
	assert_side(&live(20000)->side[0], A, "0.0.0.0");
}

/* ---- arithmetic --------------------------------------------------------------------------- */

static uint16_t checksum(const uint8_t *data, size_t bytes)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < bytes; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* What carries the packet does this. */
static uint16_t add(uint16_t check_be, uint16_t delta_be)
{
	uint32_t sum = (uint32_t)check_be + delta_be;

	return (uint16_t)(sum + (sum >> 16));
}

struct wire { /* all that the checksums cover of addresses and ports, and something else */
	uint8_t source[16], destination[16];
	uint16_t sport_be, dport_be, check_be;
	uint8_t rest[10];
};

static void wire_fill(struct wire *wire, const struct spw_relay_side *side, bool in, uint16_t port)
{
	memcpy(wire->source, in ? side->remote : side->local, 16);
	memcpy(wire->destination, in ? side->local : side->remote, 16);
	wire->sport_be = in ? side->remote_port_be : port;
	wire->dport_be = in ? port : side->remote_port_be;
}

/* Against the whole checksum, over random addresses, and those whose sums carry most. */
static void deltas_are_those_of_whole_checksums(void **state)
{
	(void)state;
	srandom(4711);
	for (int round = 0; round < 200000; round++) {
		uint8_t family = round & 1 ? 6 : 4, fill = round % 7 == 0 ? 0xff : 0;
		struct spw_relay_side from = {0}, to = {0};
		uint16_t port = (uint16_t)random();
		struct wire wire = {0};
		for (int i = 0; i < (family == 4 ? 4 : 16); i++) {
			from.remote[i] = (uint8_t)random() | fill;
			from.local[i] = (uint8_t)random() | fill;
			to.remote[i] = (uint8_t)random() | fill;
			to.local[i] = (uint8_t)random() | fill;
		}
		if (round % 5 == 0) { /* the very addresses again */
			memcpy(to.local, from.local, 16);
			memcpy(to.remote, from.remote, 16);
		}
		from.remote_port_be = (uint16_t)random();
		to.remote_port_be = (uint16_t)random();
		spw_relay_deltas(&from, &to, family);

		for (size_t i = 0; i < sizeof(wire.rest); i++)
			wire.rest[i] = (uint8_t)random();
		wire_fill(&wire, &from, true, port);
		wire.check_be = htons((uint16_t)~checksum((void *)&wire, sizeof(wire)));
		wire_fill(&wire, &to, false, port);
		wire.check_be = add(wire.check_be, to.udp_delta_be);
		assert_int_equal(checksum((void *)&wire, sizeof(wire)), 0xffff);

		/* Addresses alone: the IPv4 header. */
		wire_fill(&wire, &from, true, port);
		wire.sport_be = wire.dport_be = wire.check_be = 0;
		wire.check_be = htons((uint16_t)~checksum((void *)&wire, sizeof(wire)));
		wire_fill(&wire, &to, false, port);
		wire.sport_be = wire.dport_be = 0;
		wire.check_be = add(wire.check_be, to.ip_delta_be);
		assert_int_equal(checksum((void *)&wire, sizeof(wire)), 0xffff);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_relays, close_relays)
	const struct CMUnitTest tests[] = {
		TEST(a_relay_comes_and_goes),
		TEST(ipv6_and_defaults),
		TEST(costs_keep_the_rate),
		TEST(limits_change_alone),
		TEST(one_transaction_may_do_all_of_it),
		TEST(a_refused_relay_changes_nothing),
		TEST(a_refused_endpoint_changes_nothing),
		TEST(what_the_host_refuses_changes_nothing),
		TEST(a_full_node_says_so),
		cmocka_unit_test(deltas_are_those_of_whole_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
