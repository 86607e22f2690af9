// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_relay.c - what a blind relay keeps: counters, rates, the endpoint it learns; and checksums
 * over many packets. What it does to one packet stands in fixtures.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "control/clock.h"
#include "ebpf/drops.h"
#include "frame.h"
#include "node.h"

static struct test_node node;

static const struct frame_spec a_to_b = {
	.src = "198.18.0.10", .dst = "192.0.2.1", .src_port = 6000, .dst_port = 5000};
static const struct frame_spec b_to_a = {
	.src = "198.18.0.20", .dst = "192.0.2.2", .src_port = 7000, .dst_port = 5000};

static struct spw_relay_state *state_of(uint16_t port)
{
	return &node.tables.relay_states[NODE_RELAY_ID(port)];
}

static struct spw_relay *relay_of(uint16_t port)
{
	return &node.tables.relays[NODE_RELAY_ID(port)];
}

static uint32_t counter_of(const struct frame_spec *spec)
{
	uint8_t frame[FRAME_BYTES_MAX];

	return test_node_pass(&node, 0, 0, frame, frame_build(spec, frame)).counter;
}

static void expect(const struct frame_spec *spec, uint32_t counter)
{
	uint32_t got = counter_of(spec);

	if (got != counter)
		fail_msg("counted as %s, expected %s", test_counter_name(got),
			 test_counter_name(counter));
}

static uint64_t now_ticks(void)
{
	return spw_now_ns() * SPW_RELAY_TICKS_PER_NS;
}

static int reset(void **state)
{
	(void)state;
	test_node_reset_relays(&node);
	test_node_limit(&node, 0, 0);
	return 0;
}

static void test_counters(void **state)
{
	const struct spw_relay_direction *to = state_of(5000)->to;
	struct frame_spec spec = a_to_b;

	(void)state;
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	spec.payload_bytes = 1000;
	spec.padding = 7; /* is not counted */
	expect(&spec, SPW_CLASSIFIED_RELAY);
	expect(&b_to_a, SPW_CLASSIFIED_RELAY);
	assert_int_equal(to[1].packets, 2);
	assert_int_equal(to[1].bytes, 28 + 64 + 28 + 1000);
	assert_int_equal(to[0].packets, 1);
	assert_int_equal(to[0].bytes, 28 + 64);
	spec.ttl = 1;
	expect(&spec, SPW_DROP_RELAY_TTL_EXPIRED);
	assert_int_equal(to[1].drops, 1);
	spec.src_port = 1;
	expect(&spec, SPW_DROP_RELAY_SOURCE_FOREIGN);
	assert_int_equal(state_of(5000)->foreign_drops, 1);
	assert_int_equal(to[0].drops, 0);
	assert_int_equal(to[1].packets, 2);
	/* a relay's id, not its slot, is the row */
	relay_of(5000)->id = 77;
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	assert_int_equal(node.tables.relay_states[77].to[1].packets, 1);
	assert_int_equal(to[1].packets, 2);
	relay_of(5000)->id = SPW_RELAYS_MAX; /* a wrong table */
	expect(&a_to_b, SPW_DROP_OUTER_BAD);
	relay_of(5000)->id = NODE_RELAY_ID(5000);
}

static void test_published(void **state)
{
	struct spw_relay_root *root = &node.tables.relay_ports[5000];

	(void)state;
	__atomic_store_n(&root->slot, 0, __ATOMIC_RELEASE);
	expect(&a_to_b, SPW_CLASSIFIED_PASS);
	__atomic_store_n(&root->slot, NODE_RELAY_ID(5000), __ATOMIC_RELEASE);
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	node.tables.neighbors[2].state = SPW_NEIGHBOR_NONE;
	expect(&a_to_b, SPW_DROP_NEIGHBOR_UNRESOLVED);
	node.tables.neighbors[2].state = SPW_NEIGHBOR_STALE; /* its last MAC serves */
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	node.tables.neighbors[2].state = SPW_NEIGHBOR_VALID;
	relay_of(5000)->side[1].neighbor = TEST_NEIGHBORS_MAX;
	expect(&a_to_b, SPW_DROP_NEIGHBOR_UNRESOLVED);
	relay_of(5000)->side[1].neighbor = 2;
	relay_of(5000)->side[1].port = SPW_PORTS_MAX;
	expect(&a_to_b, SPW_DROP_PORT_ABSENT);
	relay_of(5000)->side[1].port = 0;
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
}

/* Out of a port that XDP has no interface for, as a device is: a worker does all of it. */
static void test_for_a_worker(void **state)
{
	const struct spw_relay_direction *to = state_of(5000)->to;

	(void)state;
	relay_of(5000)->side[1].port = 2;
	test_node_listen(&node, 0, true);
	expect(&a_to_b, SPW_CLASSIFIED_STEER);
	assert_int_equal(to[1].packets + to[1].drops, 0);
	assert_int_equal(to[1].packets_full_ticks, 0);
	test_node_listen(&node, 0, false);
	expect(&a_to_b, SPW_DROP_PORT_ABSENT);
	assert_int_equal(to[1].drops, 1);
	relay_of(5000)->side[1].port = 4; /* not configured */
	test_node_listen(&node, 0, true);
	expect(&a_to_b, SPW_DROP_PORT_ABSENT);
	test_node_listen(&node, 0, false);
	relay_of(5000)->side[1].port = 0;
}

/* One packet a day, but a burst of some. */
#define DAY_TICKS (86400ull * 1000000000 * SPW_RELAY_TICKS_PER_NS)

static void test_packet_rate(void **state)
{
	struct spw_relay *relay = relay_of(5000), was = *relay;
	const struct spw_relay_direction *to = state_of(5000)->to;

	(void)state;
	relay->packet_cost_ticks = DAY_TICKS;
	relay->packet_burst_ticks = 3 * DAY_TICKS;
	for (int i = 0; i < 3; i++)
		expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	expect(&a_to_b, SPW_DROP_RELAY_RATE);
	expect(&b_to_a, SPW_CLASSIFIED_RELAY); /* a bucket of its own */
	assert_int_equal(to[1].drops, 1);
	assert_int_equal(to[1].packets, 3);
	*relay = was;
}

static void test_byte_rate(void **state)
{
	struct spw_relay *relay = relay_of(5000), was = *relay;
	struct spw_relay_direction *to = state_of(5000)->to;
	struct frame_spec large = a_to_b;

	(void)state;
	large.payload_bytes = 1000;
	relay->byte_cost_ticks = DAY_TICKS / 1000;
	relay->byte_burst_ticks = 2000 * (DAY_TICKS / 1000);
	expect(&large, SPW_CLASSIFIED_RELAY);
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	uint64_t packets_full_ticks = to[1].packets_full_ticks;
	expect(&large, SPW_DROP_RELAY_RATE);
	/* It has not paid for the packet either: the bucket is no fuller than time made it. */
	assert_true(to[1].packets_full_ticks <= now_ticks() + relay->packet_cost_ticks);
	assert_true(packets_full_ticks > 0);
	expect(&a_to_b, SPW_CLASSIFIED_RELAY); /* for which there is still room */
	*relay = was;
}

#define CPU_RUNS 2000u

struct sender {
	uint32_t passed;
	bool failed;
};

static void *send_many(void *argument)
{
	struct sender *sender = argument;
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes = frame_build(&a_to_b, frame);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = bytes);

	for (uint32_t i = 0; i < CPU_RUNS && !sender->failed; i++) {
		sender->failed = bpf_prog_test_run_opts(
			bpf_program__fd(node.instance[0]->progs.xsk_def_prog), &run);
		sender->passed += run.retval == XDP_TX;
	}
	return NULL;
}

/* The rate holds, and is used up, whatever CPUs the packets come in on: no race loses a token, nor
 * lets one be spent twice. */
static void test_rate_on_all_cpus(void **state)
{
	struct spw_relay *relay = relay_of(5000), was = *relay;
	struct sender senders[4] = {0};
	pthread_t threads[4];
	uint32_t passed = 0;

	(void)state;
	relay->packet_cost_ticks = 1ull << 50; /* 20 minutes */
	relay->packet_burst_ticks = CPU_RUNS * relay->packet_cost_ticks;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_false(senders[i].failed);
		passed += senders[i].passed;
	}
	assert_int_equal(passed, CPU_RUNS);
	assert_int_equal(state_of(5000)->to[1].packets, CPU_RUNS);
	assert_int_equal(state_of(5000)->to[1].drops, 3 * CPU_RUNS);
	*relay = was;
}

/* Tokens come back with time, and no more than the burst, and what a tick of the kernel's timer
 * (10 ms at most) adds to it. */
static void test_rate_over_time(void **state)
{
	struct spw_relay *relay = relay_of(5000), was = *relay;
	const uint64_t cost_ticks = 10000000ull * SPW_RELAY_TICKS_PER_NS; /* 100 a second */
	uint32_t passed = 0;

	(void)state;
	relay->packet_cost_ticks = cost_ticks;
	relay->packet_burst_ticks = 5 * cost_ticks;
	uint64_t from_ticks = now_ticks(), ticks = from_ticks;
	while (ticks < from_ticks + 30 * cost_ticks) {
		passed += counter_of(&a_to_b) == SPW_CLASSIFIED_RELAY;
		ticks = now_ticks();
	}
	assert_in_range(passed, 6, 5 + (ticks - from_ticks) / cost_ticks + 1 + 1);
	*relay = was;
}

/* A bucket that was filled under a larger burst, or before the clock went round, is empty once and
 * then fills as any other. */
static void test_rate_implausible(void **state)
{
	struct spw_relay_direction *to = state_of(5000)->to;
	const uint64_t far[] = {1ull << 40, 1ull << 62, (1ull << 63) - (1ull << 50)};

	(void)state;
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		to[1].packets_full_ticks = now_ticks() + far[i];
		expect(&a_to_b, SPW_DROP_RELAY_RATE);
		assert_true(to[1].packets_full_ticks <=
			    now_ticks() + relay_of(5000)->packet_burst_ticks);
		while (now_ticks() < to[1].packets_full_ticks)
			;
		expect(&a_to_b, SPW_CLASSIFIED_RELAY);
	}
	to[1].packets_full_ticks = now_ticks() - (1ull << 62); /* long ago */
	to[1].bytes_full_ticks = now_ticks() + (1ull << 63) + (1ull << 50);
	expect(&a_to_b, SPW_CLASSIFIED_RELAY);
}

static const struct frame_spec stranger = {
	.src = "203.0.113.99", .dst = "192.0.2.2", .src_port = 9000, .dst_port = 5003};
static const struct frame_spec known = {
	.src = "198.18.0.10", .dst = "192.0.2.1", .src_port = 6000, .dst_port = 5003};

static void test_learn(void **state)
{
	struct spw_relay_state *relay_state = state_of(5003);
	struct frame_spec other_way = known, no_port = stranger, other_family = stranger,
			  late = stranger;
	const uint8_t learned[16] = {203, 0, 113, 99}, local[16] = {192, 0, 2, 2};

	(void)state;
	other_way.dst = "192.0.2.3";
	no_port.src_port = FRAME_PORT_0;
	other_family.src = "2001:db8::99";
	other_family.dst = "2001:db8::1";
	late.src = "203.0.113.98";
	expect(&stranger, SPW_DROP_RELAY_SOURCE_FOREIGN);
	assert_int_equal(relay_state->learn, SPW_RELAY_LEARN_OFF);

	memset(relay_state->learned, 0xee, 16); /* left there by an earlier one */
	memset(relay_state->learned_local, 0xee, 16);
	__atomic_store_n(&relay_state->learn, SPW_RELAY_LEARN_ARMED, __ATOMIC_RELEASE);
	expect(&known, SPW_DROP_RELAY_ENDPOINT_UNKNOWN);
	expect(&other_way, SPW_DROP_RELAY_SOURCE_FOREIGN);
	expect(&no_port, SPW_DROP_RELAY_SOURCE_FOREIGN);
	expect(&other_family, SPW_DROP_RELAY_SOURCE_FOREIGN);
	assert_int_equal(relay_state->learn, SPW_RELAY_LEARN_ARMED);
	expect(&stranger, SPW_DROP_RELAY_ENDPOINT_UNKNOWN);
	assert_int_equal(__atomic_load_n(&relay_state->learn, __ATOMIC_ACQUIRE),
			 SPW_RELAY_LEARN_DONE);
	assert_memory_equal(relay_state->learned, learned, 16);
	assert_memory_equal(relay_state->learned_local, local, 16);
	assert_int_equal(ntohs(relay_state->learned_port_be), 9000);
	assert_int_equal(relay_state->learned_on, 0);
	expect(&late, SPW_DROP_RELAY_SOURCE_FOREIGN); /* the first one stays */
	expect(&stranger, SPW_DROP_RELAY_SOURCE_FOREIGN);
	assert_memory_equal(relay_state->learned, learned, 16);
	assert_int_equal(relay_state->foreign_drops, 6);
	assert_int_equal(relay_state->to[1].drops, 1);

	/* A relay that knows both endpoints learns nothing, armed or not. */
	state_of(5000)->learn = SPW_RELAY_LEARN_ARMED;
	struct frame_spec spec = stranger;
	spec.dst_port = 5000;
	expect(&spec, SPW_DROP_RELAY_SOURCE_FOREIGN);
	assert_int_equal(state_of(5000)->learn, SPW_RELAY_LEARN_ARMED);
}

static void test_learn_ipv6(void **state)
{
	struct spw_relay *relay = relay_of(5002), was = *relay;
	const struct frame_spec spec = {
		.src = "2001:db8:99::7", .dst = "2001:db8::2", .src_port = 9000, .dst_port = 5002};
	uint8_t learned[16], local[16];

	(void)state;
	inet_pton(AF_INET6, spec.src, learned);
	inet_pton(AF_INET6, spec.dst, local);
	relay->side[0].remote_port_be = 0;
	state_of(5002)->learn = SPW_RELAY_LEARN_ARMED;
	expect(&spec, SPW_DROP_RELAY_ENDPOINT_UNKNOWN);
	assert_memory_equal(state_of(5002)->learned, learned, 16);
	assert_memory_equal(state_of(5002)->learned_local, local, 16);
	*relay = was;
}

/* Every value that a checksum can have: what goes out is right, and never 0 over IPv6. frame_build
 * adds up the whole packet, the relay only what has changed. */
static void sweep_sums(struct frame_spec in, struct frame_spec out)
{
	uint8_t frame[FRAME_BYTES_MAX], expected[FRAME_BYTES_MAX];

	in.payload_bytes = out.payload_bytes = 32;
	in.sum = FRAME_SUM_RIGHT;
	for (uint32_t value = 0; value < 65536; value++) {
		in.spi = out.spi = value; /* anywhere in the payload */
		uint32_t bytes = frame_build(&in, frame);
		assert_int_equal(frame_build(&out, expected), bytes);
		struct test_result got = test_node_send(&node, 0, 0, frame, bytes);
		assert_int_equal(got.verdict, XDP_TX);
		assert_memory_equal(got.frame, expected, bytes);
	}
}

static void test_sums_ipv6(void **state)
{
	(void)state;
	sweep_sums((struct frame_spec){.src = "2001:db8:a::10",
				       .dst = "2001:db8::1",
				       .src_port = 6000,
				       .dst_port = 5002},
		   (struct frame_spec){.src = "2001:db8::2",
				       .dst = "2001:db8:b::20",
				       .src_port = 5002,
				       .dst_port = 7000,
				       .dst_mac = NODE_HOP_B,
				       .src_mac = FRAME_MAC,
				       .ttl = 63,
				       .sum = FRAME_SUM_RIGHT});
}

/* Over IPv4 the header's: its identification takes every value. */
static void test_sums_ipv4(void **state)
{
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes = frame_build(&a_to_b, frame), sum;

	(void)state;
	for (uint32_t id = 0; id < 65536; id++) {
		uint8_t *ip = frame + 14;
		ip[4] = (uint8_t)(id >> 8);
		ip[5] = (uint8_t)id;
		ip[10] = ip[11] = 0;
		sum = 0;
		for (int i = 0; i < 20; i += 2)
			sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = ~((sum & 0xffff) + (sum >> 16));
		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
		struct test_result got = test_node_send(&node, 0, 0, frame, bytes);
		assert_int_equal(got.verdict, XDP_TX);
		sum = 0;
		for (int i = 0; i < 20; i += 2)
			sum += (uint32_t)(got.frame[14 + i] << 8 | got.frame[15 + i]);
		sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
		assert_true(got.frame[24] != 0xff || got.frame[25] != 0xff);
	}
}

/* A relay's packets never circle: two relays that point at each other use the TTL up. */
static void test_loop(void **state)
{
	struct spw_relay *relay = relay_of(5000), was = *relay;
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t hops = 0, bytes = frame_build(&a_to_b, frame);

	(void)state;
	/* What B gets comes back as A's, with our MAC. */
	inet_pton(AF_INET, "192.0.2.1", relay->side[1].remote);
	inet_pton(AF_INET, "198.18.0.10", relay->side[1].local);
	relay->side[1].remote_port_be = htons(5000);
	relay->side[0].remote_port_be = htons(5000);
	frame[14 + 20] = 5000 >> 8;
	frame[14 + 21] = 5000 & 255;
	for (;;) {
		struct test_result got = test_node_pass(&node, 0, 0, frame, bytes);
		if (got.counter != SPW_CLASSIFIED_RELAY) {
			assert_int_equal(got.counter, SPW_DROP_RELAY_TTL_EXPIRED);
			break;
		}
		hops++;
		memcpy(frame + 12, got.frame + 12, bytes - 12);
	}
	assert_int_equal(hops, 63);
	*relay = was;
}

#define TEST(function) cmocka_unit_test_setup(function, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counters),         TEST(test_published),      TEST(test_packet_rate),
		TEST(test_byte_rate),        TEST(test_rate_over_time), TEST(test_rate_on_all_cpus),
		TEST(test_rate_implausible), TEST(test_learn),          TEST(test_learn_ipv6),
		TEST(test_sums_ipv4),        TEST(test_sums_ipv6),      TEST(test_loop),
		TEST(test_for_a_worker),
	};
	int error = test_node_open(&node);

	if (error == -EPERM) {
		printf("skipped: needs root, for a network namespace and BPF\n");
		return 77;
	}
	if (error) {
		printf("the test node cannot be made: %s\n", strerror(-error));
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_node_close(&node);
	return failed != 0;
}
