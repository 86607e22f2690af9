// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_classifier.c - the classifier as a function: packet in; verdict, counter and packet out.
 *
 * Every run checks that one counter moved by one and that no byte of the packet changed (node.c).
 * Behind the fixtures come sweeps, the limits, and changes of the tables between packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "ebpf/drops.h"
#include "fixtures.h"
#include "frame.h"
#include "node.h"

#define FIXTURES_MAX 250u

static struct test_node node;

static void expect_frame(const char *what, uint32_t port, const uint8_t *frame, uint32_t bytes,
			 uint32_t verdict, uint32_t counter)
{
	uint32_t got_verdict;
	uint32_t got = test_node_run(&node, port, 0, frame, bytes, &got_verdict);

	if (got != counter || got_verdict != verdict)
		fail_msg("%s: counted as %s with verdict %u, expected %s with %u", what,
			 test_counter_name(got), got_verdict, test_counter_name(counter), verdict);
}

static void expect(const char *what, uint32_t port, struct frame_spec spec, uint32_t verdict,
		   uint32_t counter)
{
	uint8_t frame[FRAME_BYTES_MAX];

	expect_frame(what, port, frame, frame_build(&spec, frame), verdict, counter);
}

static void listen_everywhere(bool listens)
{
	for (uint32_t port = 0; port < NODE_PORTS; port++)
		test_node_listen(&node, port, listens);
}

static void test_fixture(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes = frame_build(&fixture->frame, frame);
	uint8_t expected[FRAME_BYTES_MAX];
	uint32_t expected_bytes =
		frame_build(fixture->out.src ? &fixture->out : &fixture->frame, expected);

	listen_everywhere(!fixture->absent);
	test_node_limit(&node, 0, 0);
	struct test_result got = test_node_pass(&node, fixture->port, fixture->queue, frame, bytes);
	if (got.counter != fixture->counter || got.verdict != fixture->verdict)
		fail_msg("counted as %s with verdict %u, expected %s with %u",
			 test_counter_name(got.counter), got.verdict,
			 test_counter_name(fixture->counter), fixture->verdict);
	assert_int_equal(got.bytes, expected_bytes);
	assert_memory_equal(got.frame, expected, expected_bytes);
}

/* A valid tunnel packet, cut at every byte: the owner's until its UDP ports are there, then short
 * of what its headers say, and never a worker's. */
static void cut_everywhere(struct frame_spec spec, uint32_t ip_bytes)
{
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t whole = frame_build(&spec, frame);
	uint32_t ports_end = 14 + ip_bytes + 4;

	listen_everywhere(true);
	for (uint32_t bytes = 14; bytes < ports_end; bytes++)
		expect_frame("cut", 0, frame, bytes, XDP_PASS, SPW_CLASSIFIED_PASS);
	for (uint32_t bytes = ports_end; bytes < whole; bytes++)
		expect_frame("cut", 0, frame, bytes, XDP_DROP, SPW_DROP_OUTER_TRUNCATED);
	expect_frame("whole", 0, frame, whole, XDP_REDIRECT, SPW_CLASSIFIED_STEER);
}

static void test_cut_ipv4(void **state)
{
	(void)state;
	cut_everywhere(
		(struct frame_spec){.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI}, 20);
}

static void test_cut_ipv4_options(void **state)
{
	(void)state;
	cut_everywhere((struct frame_spec){.src = "192.0.2.77",
					   .dst = "192.0.2.1",
					   .spi = NODE_SPI,
					   .option_words = 3},
		       32);
}

static void test_cut_ipv6(void **state)
{
	(void)state;
	cut_everywhere(
		(struct frame_spec){.src = "2001:db8::77", .dst = "2001:db8::1", .spi = NODE_SPI},
		40);
}

static void test_cut_ipv6_extensions(void **state)
{
	(void)state;
	cut_everywhere((struct frame_spec){.src = "2001:db8::77",
					   .dst = "2001:db8::1",
					   .spi = NODE_SPI,
					   .extension = {255, 60, 44}},
		       40 + 16 + 16 + 8);
}

/* A lan packet needs no more than its addresses to be kept from leaking. */
static void test_cut_lan(void **state)
{
	const struct frame_spec spec = {.src = "10.1.0.7", .dst = "10.2.3.4"};
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t whole = frame_build(&spec, frame);

	(void)state;
	listen_everywhere(true);
	for (uint32_t bytes = 14; bytes < 14 + 20; bytes++)
		expect_frame("cut", 2, frame, bytes, XDP_PASS, SPW_CLASSIFIED_PASS);
	for (uint32_t bytes = 14 + 20; bytes <= whole; bytes++)
		expect_frame("cut", 2, frame, bytes, XDP_REDIRECT, SPW_CLASSIFIED_STEER);
}

/* Bytes changed at random, and lengths: one counter each and a verdict that belongs to it, which
 * test_node_run and this check; a worker gets nothing without a known SPI. */
static void test_mutations(void **state)
{
	const struct frame_spec specs[] = {
		{.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI},
		{.src = "2001:db8::77", .dst = "2001:db8::1", .spi = NODE_SPI, .extension = {44}},
		{.src = "192.0.2.77",
		 .dst = "203.0.113.1",
		 .spi = NODE_SPI,
		 .dst_port = 4501,
		 .tag = {0x81000064}},
	};
	uint32_t stolen = 0, kept = 0;

	(void)state;
	srand(1);
	listen_everywhere(true);
	for (uint32_t i = 0; i < 6000; i++) {
		uint8_t frame[FRAME_BYTES_MAX];
		uint32_t verdict, bytes = frame_build(&specs[i % 3], frame);
		for (int flips = rand() % 4; flips >= 0; flips--)
			frame[(uint32_t)rand() % bytes] ^= (uint8_t)(1 << rand() % 8);
		uint32_t counter = test_node_run(&node, i % 3 == 2, 0, frame, bytes, &verdict);
		if (counter < SPW_DROP_CNT || counter == SPW_CLASSIFIED_KEEPALIVE)
			assert_int_equal(verdict, XDP_DROP);
		else if (counter == SPW_CLASSIFIED_STEER)
			assert_int_equal(verdict, XDP_REDIRECT);
		else
			assert_int_equal(verdict, XDP_PASS);
		const uint8_t spi[4] = {0, 0, NODE_SPI >> 8, NODE_SPI & 255};
		stolen += counter == SPW_CLASSIFIED_STEER && !memmem(frame, bytes, spi, 4);
		kept += counter == SPW_CLASSIFIED_STEER;
	}
	assert_int_equal(stolen, 0);
	assert_true(kept > 1000); /* flips in payloads: else the test says little */
}

static const struct frame_spec control4 = {.src = "192.0.2.77", .dst = "192.0.2.1"};
static const struct frame_spec control4_other = {.src = "192.0.2.78", .dst = "192.0.2.1"};
static const struct frame_spec unknown4 = {
	.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI + 1};

static void sleep_ms(long ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static void test_limit_per_source(void **state)
{
	(void)state;
	listen_everywhere(true);
	test_node_limit(&node, 1, 0);
	expect("first", 0, control4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("second", 0, control4, XDP_DROP, SPW_DROP_CONTROL_LIMITED);
	expect("another source", 0, control4_other, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	sleep_ms(1050);
	expect("after a second", 0, control4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("and again", 0, control4, XDP_DROP, SPW_DROP_CONTROL_LIMITED);
}

/* The burst is one second's worth, not more. */
static void test_limit_burst(void **state)
{
	uint32_t passed = 0;

	(void)state;
	test_node_limit(&node, 100, 0);
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t verdict, bytes = frame_build(&control4, frame);
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (uint32_t i = 0; i < 200; i++)
		passed += test_node_run(&node, 0, 0, frame, bytes, &verdict) ==
			  SPW_CLASSIFIED_CONTROL;
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds =
		(double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
	assert_true(passed >= 100);
	assert_true(passed <= 101 + 100 * seconds);
}

static void test_limit_spi(void **state)
{
	(void)state;
	test_node_limit(&node, 1, 0);
	expect("first", 0, unknown4, XDP_DROP, SPW_DROP_SPI_UNKNOWN);
	expect("second", 0, unknown4, XDP_DROP, SPW_DROP_SPI_LIMITED);
	expect("its control messages have a bucket of their own", 0, control4, XDP_PASS,
	       SPW_CLASSIFIED_CONTROL);
	struct frame_spec known = unknown4;
	known.spi = NODE_SPI;
	expect("known SPIs are not limited", 0, known, XDP_REDIRECT, SPW_CLASSIFIED_STEER);
}

/* One IPv6 host has a whole /64 of addresses. */
static void test_limit_ipv6_prefix(void **state)
{
	(void)state;
	test_node_limit(&node, 1, 0);
	expect("first", 0, (struct frame_spec){.src = "2001:db8:1:1::7", .dst = "2001:db8::1"},
	       XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("the same /64", 0,
	       (struct frame_spec){.src = "2001:db8:1:1:ffff::8", .dst = "2001:db8::1"}, XDP_DROP,
	       SPW_DROP_CONTROL_LIMITED);
	expect("another /64", 0,
	       (struct frame_spec){.src = "2001:db8:1:2::7", .dst = "2001:db8::1"}, XDP_PASS,
	       SPW_CLASSIFIED_CONTROL);
}

/* An IPv4 source and the IPv6 prefix of the same bits are two. */
static void test_limit_families(void **state)
{
	(void)state;
	test_node_limit(&node, 1, 0);
	expect("IPv6", 0, (struct frame_spec){.src = "c000:24d::1", .dst = "2001:db8::1"}, XDP_PASS,
	       SPW_CLASSIFIED_CONTROL);
	expect("IPv4", 0, control4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
}

static void test_limit_total(void **state)
{
	(void)state;
	test_node_limit(&node, 0, 1);
	expect("first", 0, control4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("another source", 0, control4_other, XDP_DROP, SPW_DROP_CONTROL_LIMITED);
	expect("the total is not for unknown SPIs", 0, unknown4, XDP_DROP, SPW_DROP_SPI_UNKNOWN);
}

/* Neither strangers nor those who have a tunnel can use up what is the others'. */
static void test_limit_live(void **state)
{
	const struct frame_spec live4 = {.src = NODE_LIVE4, .dst = "192.0.2.1"};
	const struct frame_spec live6 = {.src = NODE_LIVE6, .dst = "2001:db8::1"};
	const struct frame_spec near6 = {.src = "2001:db8:11fe::8", .dst = "2001:db8::1"};

	(void)state;
	test_node_limit(&node, 0, 1);
	expect("a stranger", 0, control4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	for (int i = 0; i < 3; i++)
		expect("strangers' share is used up", 0, control4_other, XDP_DROP,
		       SPW_DROP_CONTROL_LIMITED);
	expect("the other share is not", 0, live4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("now it is", 0, live6, XDP_DROP, SPW_DROP_CONTROL_LIMITED);

	test_node_limit(&node, 0, 1);
	expect("IPv6", 0, live6, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("live sources' share is used up", 0, live4, XDP_DROP, SPW_DROP_CONTROL_LIMITED);
	expect("another host of the /64 is a stranger", 0, near6, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("and takes of their share", 0, control4, XDP_DROP, SPW_DROP_CONTROL_LIMITED);

	test_node_limit(&node, 1, 100);
	expect("a live source has its own bucket", 0, live4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("of the same rate", 0, live4, XDP_DROP, SPW_DROP_CONTROL_LIMITED);

	uint32_t root = node.tables.meta->live_root[0];
	test_node_limit(&node, 0, 1);
	__atomic_store_n(&node.tables.meta->live_root[0], 0, __ATOMIC_RELEASE);
	expect("its tunnel has gone", 0, live4, XDP_PASS, SPW_CLASSIFIED_CONTROL);
	expect("it was a stranger", 0, control4, XDP_DROP, SPW_DROP_CONTROL_LIMITED);
	__atomic_store_n(&node.tables.meta->live_root[0], root, __ATOMIC_RELEASE);
}

/* More sources than there is room for: each gets through, the memory stays the same. */
static void test_limit_memory(void **state)
{
	int fd = bpf_map__fd(node.instance[0]->maps.sources);
	uint32_t max = bpf_map__max_entries(node.instance[0]->maps.sources), entries = 0;
	uint8_t frame[FRAME_BYTES_MAX], key[16], next[16];
	uint32_t bytes = frame_build(&control4, frame);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = bytes);

	(void)state;
	test_node_limit(&node, 1, 0);
	for (uint32_t i = 0; i < max + max / 2; i++) {
		const uint8_t source[4] = {11, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
		memcpy(frame + 14 + 12, source, sizeof(source));
		run.data_size_out = 0;
		assert_int_equal(
			bpf_prog_test_run_opts(
				bpf_program__fd(node.instance[0]->progs.xsk_def_prog), &run),
			0);
		assert_int_equal(run.retval, XDP_PASS);
	}
	for (int error = bpf_map_get_next_key(fd, NULL, next); error == 0;
	     error = bpf_map_get_next_key(fd, key, next)) {
		memcpy(key, next, sizeof(key));
		entries++;
	}
	assert_in_range(entries, max / 2, max);
}

/* Control publishes by single stores; the next packet sees them. */
static void test_publish(void **state)
{
	struct test_tables *tables = &node.tables;
	const struct frame_spec known = {.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI};
	const struct frame_spec routed = {.src = "10.1.0.7", .dst = "10.2.3.4"};
	uint32_t root = tables->tenants[1].route_root[0], deny = tables->meta->deny_root[0];

	(void)state;
	listen_everywhere(true);
	test_node_limit(&node, 0, 0);
	__atomic_store_n(&tables->spis[NODE_SLOT].spi, 0, __ATOMIC_RELEASE);
	expect("SPI withdrawn", 0, known, XDP_DROP, SPW_DROP_SPI_UNKNOWN);
	__atomic_store_n(&tables->spis[NODE_SLOT].spi, NODE_SPI, __ATOMIC_RELEASE);
	expect("SPI published", 0, known, XDP_REDIRECT, SPW_CLASSIFIED_STEER);

	__atomic_store_n(&tables->tenants[1].route_root[0], 0, __ATOMIC_RELEASE);
	expect("no routes", 2, routed, XDP_PASS, SPW_CLASSIFIED_PASS);
	__atomic_store_n(&tables->tenants[1].route_root[0], TEST_UNITS_MAX, __ATOMIC_RELEASE);
	expect("a root beyond the table", 2, routed, XDP_PASS, SPW_CLASSIFIED_PASS);
	__atomic_store_n(&tables->tenants[1].route_root[0], root, __ATOMIC_RELEASE);
	expect("routes again", 2, routed, XDP_REDIRECT, SPW_CLASSIFIED_STEER);

	__atomic_store_n(&tables->meta->deny_root[0], 0, __ATOMIC_RELEASE);
	expect("nobody denied", 0,
	       (struct frame_spec){.src = "198.51.100.9", .dst = "192.0.2.1", .spi = NODE_SPI},
	       XDP_REDIRECT, SPW_CLASSIFIED_STEER);
	__atomic_store_n(&tables->meta->deny_root[0], deny, __ATOMIC_RELEASE);
}

static void test_port_images(void **state)
{
	struct spw_port *port = &node.tables.ports[2];
	const struct frame_spec routed = {.src = "10.1.0.7", .dst = "10.2.3.4"};

	(void)state;
	listen_everywhere(true);
	port->image[1] = port->image[0];
	port->image[1].tenant = 2;
	__atomic_store_n(&port->active, 1, __ATOMIC_RELEASE);
	expect("the other tenant's routes", 2,
	       (struct frame_spec){.src = "10.1.0.7", .dst = "8.8.8.8"}, XDP_REDIRECT,
	       SPW_CLASSIFIED_STEER);
	port->image[0].tenant = TEST_TENANTS_MAX;
	__atomic_store_n(&port->active, 2, __ATOMIC_RELEASE); /* only its lowest bit counts */
	expect("a tenant beyond the table", 2, routed, XDP_PASS, SPW_CLASSIFIED_PASS);
	port->image[0].tenant = 1;
	port->image[0].role = 77;
	expect("a role that does not exist", 2, routed, XDP_PASS, SPW_CLASSIFIED_PASS);
	port->image[0].role = SPW_PORT_LAN;
	__atomic_store_n(&port->active, 0, __ATOMIC_RELEASE);
	expect("as it was", 2, routed, XDP_REDIRECT, SPW_CLASSIFIED_STEER);
}

/* The total limit is per CPU: the test must not move between two packets. */
static int stay_on_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(test_cut_ipv4),         cmocka_unit_test(test_cut_ipv4_options),
	cmocka_unit_test(test_cut_ipv6),         cmocka_unit_test(test_cut_ipv6_extensions),
	cmocka_unit_test(test_cut_lan),          cmocka_unit_test(test_mutations),
	cmocka_unit_test(test_limit_per_source), cmocka_unit_test(test_limit_burst),
	cmocka_unit_test(test_limit_spi),        cmocka_unit_test(test_limit_ipv6_prefix),
	cmocka_unit_test(test_limit_families),   cmocka_unit_test(test_limit_total),
	cmocka_unit_test(test_limit_live),       cmocka_unit_test(test_limit_memory),
	cmocka_unit_test(test_publish),          cmocka_unit_test(test_port_images),
};
#define OTHERS_CNT (sizeof(others) / sizeof(others[0]))

int main(void)
{
	static struct CMUnitTest tests[FIXTURES_MAX + OTHERS_CNT];
	unsigned int cnt = 0;
	int error = test_node_open(&node);

	if (error == -EPERM) {
		printf("skipped: needs root, for a network namespace and BPF\n");
		return 77;
	}
	if (error || stay_on_cpu() != 0) {
		printf("the test node cannot be made: %s\n", strerror(-error));
		return 1;
	}
	for (; cnt < fixtures_cnt && cnt < FIXTURES_MAX; cnt++)
		tests[cnt] = (struct CMUnitTest){.name = fixtures[cnt].name,
						 .test_func = test_fixture,
						 .initial_state = (void *)&fixtures[cnt]};
	memcpy(&tests[cnt], others, sizeof(others));
	cnt += OTHERS_CNT;
	int failed = _cmocka_run_group_tests("classifier", tests, cnt, NULL, NULL);
	test_node_close(&node);
	return failed != 0;
}
