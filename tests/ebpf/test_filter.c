// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_filter.c - the classifier in the kernel and in a worker are one: the same frame over the
 * same tables gets the same verdict, moves the same counter, comes out with the same bytes, and
 * leaves the relays' state the same.
 *
 * The frames: all fixtures, and random mutations of them. The two differ where the ports do: here a
 * worker always takes what is steered, so it always listens in the kernel too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "control/clock.h"
#include "dataplane/stages/limiter.h"
#include "dataplane/stages/stage.h"
#include "ebpf/drops.h"
#include "fixtures.h"
#include "frame.h"
#include "node.h"
#include "tests/unit/dataplane/world.h"

static struct test_node node;
static struct spw_lane lane;
static struct spw_worker_row row;
static struct spw_limiter limiter;
static struct rte_mempool *pool;
static uint64_t reached[SPW_CLASSIFIER_COUNTERS]; /* by native runs */
static uint64_t kernel_runs;

static void open_lane(void)
{
	const struct test_tables *tables = &node.tables;

	lane.row = &row;
	lane.limiter = &limiter;
	lane.port_mtu_bytes[0] = lane.port_mtu_bytes[1] = 1500;
	lane.tables = (struct spw_tables){
		.meta = tables->meta,
		.ports = tables->ports,
		.tenants = tables->tenants,
		.spis = tables->spis,
		.neighbors = tables->neighbors,
		.routes = {tables->units, TEST_UNITS_MAX},
		.relay_ports = tables->relay_ports,
		.relays = tables->relays,
		.relay_states = tables->relay_states,
		.tenants_max = TEST_TENANTS_MAX,
		.sas_max = TEST_SAS_MAX,
		.neighbors_max = TEST_NEIGHBORS_MAX,
	};
	pool = rte_pktmbuf_pool_create("filter", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(pool);
}

/* The one counter that a run of the stage moved, as the classifier numbers them. */
static uint32_t native_counter(const struct spw_worker_row *before, uint32_t port,
			       enum spw_state state)
{
	const struct spw_port_counters *was = &before->ports[port], *now = &row.ports[port];
	uint32_t counter = UINT32_MAX, moved = 0;

	for (uint32_t i = 0; i < SPW_DROPS_MAX; i++) {
		if (row.drops[i] == before->drops[i])
			continue;
		moved += row.drops[i] - before->drops[i];
		counter = i;
	}
	for (uint32_t i = 0; i < SPW_CLASSIFIED_CNT; i++) {
		if (now->classified[i] == was->classified[i])
			continue;
		moved += now->classified[i] - was->classified[i];
		counter = SPW_CLASSIFIED_FIRST + i;
	}
	assert_int_equal(moved, 1);
	assert_int_equal(now->dropped - was->dropped, counter < SPW_CLASSIFIED_FIRST);
	if (counter == SPW_CLASSIFIED_STEER)
		assert_int_equal(state, SPW_AT_CLASSIFY);
	else if (counter == SPW_CLASSIFIED_RELAY)
		assert_int_equal(state, SPW_AT_TRANSMIT);
	else if (counter == SPW_CLASSIFIED_PASS || counter == SPW_CLASSIFIED_CONTROL)
		assert_int_equal(state, SPW_AT_KERNEL);
	else
		assert_int_equal(state, SPW_DONE);
	return counter;
}

static uint32_t verdict_of(uint32_t counter, uint32_t port_in, uint32_t port_out)
{
	switch (counter) {
	case SPW_CLASSIFIED_PASS:
	case SPW_CLASSIFIED_CONTROL:
		return XDP_PASS;
	case SPW_CLASSIFIED_STEER:
		return XDP_REDIRECT;
	case SPW_CLASSIFIED_RELAY:
		return port_in == port_out ? XDP_TX : XDP_REDIRECT;
	default:
		return XDP_DROP;
	}
}

/* The frame through the stage, in a buffer as a port would hand it over. */
static struct test_result run_native(uint32_t port, const uint8_t *frame, uint32_t bytes)
{
	struct test_result result = {.bytes = bytes};
	struct spw_worker_row before = row;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), frame, bytes);
	lane.now_ns = spw_now_ns();
	memset(&lane.burst, 0xee, sizeof(lane.burst));
	lane.burst.cnt = 1;
	lane.burst.mbuf[0] = mbuf;
	lane.burst.state[0] = SPW_AT_CLASSIFY;
	lane.burst.port_in[0] = (uint8_t)port;
	spw_stage_filter(&lane, &lane.burst);
	result.counter = native_counter(&before, port, lane.burst.state[0]);
	result.verdict = verdict_of(result.counter, port, lane.burst.port_out[0]);
	reached[result.counter]++;
	memcpy(result.frame, frame, bytes); /* what was dropped is not to be looked at */
	if (lane.burst.state[0] != SPW_DONE) {
		result.bytes = mbuf->data_len;
		memcpy(result.frame, rte_pktmbuf_mtod(mbuf, void *), result.bytes);
		rte_pktmbuf_free(mbuf);
	}
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return result;
}

static struct test_result run_kernel(uint32_t port, const uint8_t *frame, uint32_t bytes)
{
	kernel_runs++;
	return test_node_send(&node, port, 0, frame, bytes);
}

static uint64_t kernel_count(uint32_t port, uint32_t counter)
{
	int fd = bpf_map__fd(node.instance[0]->maps.classifier_counters);
	uint32_t index = port * SPW_CLASSIFIER_COUNTERS + counter;
	uint64_t values[256], sum = 0; /* room for 256 CPUs */

	assert_in_range(libbpf_num_possible_cpus(), 1, 256);
	assert_int_equal(bpf_map_lookup_elem(fd, &index, values), 0);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		sum += values[cpu];
	return sum;
}

/* The state of the relays, but for the time at which each of them ran. */
static void copy_states(struct spw_relay_state *to)
{
	for (uint32_t i = 0; i < 16; i++) {
		to[i] = node.tables.relay_states[i];
		for (int k = 0; k < 2; k++)
			to[i].to[k].packets_full_ticks = to[i].to[k].bytes_full_ticks = 0;
	}
}

static void print_frame(const char *what, const uint8_t *frame, uint32_t bytes)
{
	printf("%s:", what);
	for (uint32_t i = 0; i < bytes; i++)
		printf(" %02x", frame[i]);
	printf("\n");
}

/* Both, from the same state; in the kernel exactly the counter moves that moved here: nothing else
 * can, as the sum of all counters is checked in the end. */
static void compare(const char *name, uint32_t port, const uint8_t *frame, uint32_t bytes)
{
	struct spw_relay_state before[16], native_states[16], kernel_states[16];

	memcpy(before, node.tables.relay_states, sizeof(before));
	struct test_result native = run_native(port, frame, bytes);
	copy_states(native_states);
	memcpy(node.tables.relay_states, before, sizeof(before));
	uint64_t count = kernel_count(port, native.counter);
	struct test_result kernel = run_kernel(port, frame, bytes);
	copy_states(kernel_states);

	bool same = kernel_count(port, native.counter) == count + 1 &&
		    kernel.verdict == native.verdict && kernel.bytes == native.bytes &&
		    memcmp(kernel.frame, native.frame, native.bytes) == 0 &&
		    memcmp(kernel_states, native_states, sizeof(kernel_states)) == 0;
	if (same)
		return;
	print_frame("in", frame, bytes);
	print_frame("worker", native.frame, native.bytes);
	print_frame("kernel", kernel.frame, kernel.bytes);
	fail_msg("%s: %s with verdict %u in the worker, verdict %u in the kernel", name,
		 test_counter_name(native.counter), native.verdict, kernel.verdict);
}

static void test_fixtures(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < fixtures_cnt; i++) {
		uint8_t frame[FRAME_BYTES_MAX];
		uint32_t bytes = frame_build(&fixtures[i].frame, frame);
		compare(fixtures[i].name, fixtures[i].port, frame, bytes);
	}
}

static void test_armed(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < fixtures_cnt; i++) {
		uint8_t frame[FRAME_BYTES_MAX];
		uint32_t bytes = frame_build(&fixtures[i].frame, frame);
		node.tables.relay_states[NODE_RELAY_ID(5003)].learn = SPW_RELAY_LEARN_ARMED;
		compare(fixtures[i].name, fixtures[i].port, frame, bytes);
	}
}

#define MUTATIONS 30000u

/* Half of the flips in the headers, where they matter; now and then a frame that ends early, or a
 * port that it is not meant for. */
static void test_mutations(void **state)
{
	(void)state;
	srand(7);
	for (uint32_t i = 0; i < MUTATIONS; i++) {
		const struct fixture *fixture = &fixtures[(uint32_t)rand() % fixtures_cnt];
		uint8_t frame[FRAME_BYTES_MAX];
		uint32_t bytes = frame_build(&fixture->frame, frame);
		uint32_t port = rand() % 8 ? fixture->port : (uint32_t)rand() % NODE_PORTS;
		for (int flips = rand() % 5; flips > 0; flips--) {
			uint32_t range = rand() % 2 && bytes > 64 ? 64 : bytes;
			frame[(uint32_t)rand() % range] ^= (uint8_t)(1 << rand() % 8);
		}
		if (rand() % 8 == 0)
			bytes = 14 + (uint32_t)rand() % (bytes - 13);
		compare(fixture->name, port, frame, bytes);
	}
}

/* The limits, each as the other has it: the first packets pass, then none. */
static void test_limits(void **state)
{
	const struct frame_spec specs[] = {
		{.src = "192.0.2.77", .dst = "192.0.2.1"},
		{.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI + 1},
		{.src = "2001:db8::77", .dst = "2001:db8::1"},
		{.src = "2001:db8::78", .dst = "2001:db8::1"}, /* the same /64 */
		{.src = "192.0.2.78", .dst = "192.0.2.1"},
		{.src = "192.0.2.79", .dst = "192.0.2.1"}, /* strangers have had their share */
		{.src = NODE_LIVE4, .dst = "192.0.2.1"},
		{.src = NODE_LIVE6, .dst = "2001:db8::1"},
	};
	const uint32_t specs_cnt = sizeof(specs) / sizeof(specs[0]);

	(void)state;
	for (uint32_t total_pps = 1; total_pps <= 3; total_pps++) {
		memset(&limiter, 0, sizeof(limiter));
		test_node_limit(&node, 1, total_pps);
		for (uint32_t i = 0; i < 2 * specs_cnt; i++) {
			uint8_t frame[FRAME_BYTES_MAX];
			compare("limits", 0, frame, frame_build(&specs[i % specs_cnt], frame));
		}
	}
	memset(&limiter, 0, sizeof(limiter));
	test_node_limit(&node, 0, 0);
}

/* What a relay pays for: both drain the same buckets, here one after the other. */
static void test_rates(void **state)
{
	struct spw_relay *relay = &node.tables.relays[NODE_RELAY_ID(5000)], was = *relay;
	uint8_t frame[FRAME_BYTES_MAX];
	const struct frame_spec spec = {
		.src = "198.18.0.10", .dst = "192.0.2.1", .src_port = 6000, .dst_port = 5000};
	uint32_t bytes = frame_build(&spec, frame);

	(void)state;
	test_node_reset_relays(&node);
	relay->packet_cost_ticks = 1ull << 50; /* 20 minutes */
	relay->packet_burst_ticks = 3ull << 50;
	assert_int_equal(run_native(0, frame, bytes).counter, SPW_CLASSIFIED_RELAY);
	assert_int_equal(run_kernel(0, frame, bytes).verdict, XDP_TX);
	compare("the last one", 0, frame, bytes);
	compare("one too many", 0, frame, bytes);
	*relay = was;
}

/* Whatever the classifier may say, some frame above made the worker say it. */
static void test_all_reached(void **state)
{
	static const char *const where[] = {
#define WHERE(id, name, where, text) [SPW_DROP_##id] = where,
		SPW_DROP_LIST(WHERE)
#undef WHERE
	};

	(void)state;
	for (uint32_t i = 0; i < SPW_DROP_CNT; i++) {
		bool ours = strncmp(where[i], "classifier", 10) == 0 &&
			    i != SPW_DROP_WORKER_ABSENT && /* it is there */
			    i != SPW_DROP_PACKET_TOO_LONG; /* test_segments */
		if ((reached[i] != 0) != ours)
			fail_msg("%s: %s", test_counter_name(i), ours ? "not reached" : "not ours");
	}
	for (uint32_t i = SPW_CLASSIFIED_FIRST; i <= SPW_CLASSIFIED_RELAY; i++)
		assert_true(reached[i] > 100);
	uint64_t counters[NODE_COUNTERS], sum = 0;
	test_node_counters(&node, counters);
	for (uint32_t i = 0; i < NODE_COUNTERS; i++)
		sum += counters[i];
	assert_int_equal(sum, kernel_runs);
}

/* A frame in two buffers, and one with no room in front for the tag. */
static void test_segments(void **state)
{
	uint8_t frame[FRAME_BYTES_MAX];
	const struct frame_spec spec = {
		.src = "198.18.0.10", .dst = "192.0.2.1", .src_port = 6000, .dst_port = 5001};
	uint32_t bytes = frame_build(&spec, frame);
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *second = rte_pktmbuf_alloc(pool);

	(void)state;
	memcpy(rte_pktmbuf_append(first, 60), frame, 60);
	memcpy(rte_pktmbuf_append(second, (uint16_t)(bytes - 60)), frame + 60, bytes - 60);
	rte_pktmbuf_chain(first, second);
	struct spw_worker_row before = row;
	lane.burst.cnt = 2;
	lane.burst.mbuf[0] = first;
	lane.burst.mbuf[1] = rte_pktmbuf_alloc(pool);
	rte_pktmbuf_prepend(lane.burst.mbuf[1], RTE_PKTMBUF_HEADROOM);
	rte_pktmbuf_append(lane.burst.mbuf[1], (uint16_t)(bytes - RTE_PKTMBUF_HEADROOM));
	memcpy(rte_pktmbuf_mtod(lane.burst.mbuf[1], void *), frame, bytes);
	for (int i = 0; i < 2; i++) {
		lane.burst.state[i] = SPW_AT_CLASSIFY;
		lane.burst.port_in[i] = 0;
	}
	spw_stage_filter(&lane, &lane.burst);
	assert_int_equal(row.drops[SPW_DROP_PACKET_TOO_LONG],
			 before.drops[SPW_DROP_PACKET_TOO_LONG] + 2);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

/* A frame that XDP has left to a worker, on a port that is no device. Returns its state. */
static enum spw_state run_steered(const struct frame_spec *spec)
{
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes = frame_build(spec, frame);

	lane.burst.mbuf[0] = rte_pktmbuf_alloc(pool);
	memcpy(rte_pktmbuf_append(lane.burst.mbuf[0], (uint16_t)bytes), frame, bytes);
	lane.burst.state[0] = SPW_AT_CLASSIFY;
	lane.burst.port_in[0] = 0;
	enum spw_state state = spw_filter_steered(&lane, &lane.burst, 0);
	assert_int_equal(state, lane.burst.state[0]);
	if (state != SPW_DONE)
		rte_pktmbuf_free(lane.burst.mbuf[0]);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return state;
}

static void test_steered(void **state)
{
	struct frame_spec spec = {.src = "198.18.0.10",
				  .dst = "192.0.2.1",
				  .src_port = 6000,
				  .dst_port = 5001, /* leaves by port 1 */
				  .payload_bytes = 64};
	struct spw_worker_row before = row;
	const __u64 *relayed =
		&row.ports[0].classified[SPW_CLASSIFIED_RELAY - SPW_CLASSIFIED_FIRST];

	(void)state;
	test_node_reset_relays(&node);
	assert_int_equal(run_steered(&spec), SPW_DONE); /* a node without devices */
	assert_int_equal(row.drops[SPW_DROP_OUTER_BAD], before.drops[SPW_DROP_OUTER_BAD] + 1);
	lane.port_native = 1u << 1;
	assert_int_equal(run_steered(&spec), SPW_AT_TRANSMIT);
	assert_int_equal(lane.burst.port_out[0], 1);
	assert_int_equal(*relayed,
			 before.ports[0].classified[SPW_CLASSIFIED_RELAY - SPW_CLASSIFIED_FIRST] +
				 1);
	lane.port_mtu_bytes[1] = 0;
	assert_int_equal(run_steered(&spec), SPW_DONE);
	assert_int_equal(row.drops[SPW_DROP_PORT_ABSENT], before.drops[SPW_DROP_PORT_ABSENT] + 1);
	lane.port_mtu_bytes[1] = 1500;
	spec.dst_port = 9; /* of nobody here */
	assert_int_equal(run_steered(&spec), SPW_DONE);
	assert_int_equal(row.drops[SPW_DROP_OUTER_BAD], before.drops[SPW_DROP_OUTER_BAD] + 2);
	assert_int_equal(row.ports[0].dropped, before.ports[0].dropped);
	lane.port_native = 0;
}

/* New sources take the places of the oldest ones, so a flood of them leaves the newest limited. */
static void test_limiter(void **state)
{
	uint32_t kept = 0;

	(void)state;
	memset(&limiter, 0, sizeof(limiter));
	for (uint64_t i = 0; i < 100000; i++)
		*spw_limiter_buckets(&limiter, i << 32, 4)->full_ns = i + 1;
	for (uint64_t i = 100000 - 1000; i < 100000; i++)
		kept += *spw_limiter_buckets(&limiter, i << 32, 4)->full_ns == i + 1;
	assert_true(kept > 900); /* 1,000 in 1,024 sets of 4 */
	assert_true(spw_limiter_buckets(&limiter, 5, 4) != spw_limiter_buckets(&limiter, 5, 6));
	memset(&limiter, 0, sizeof(limiter));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),  cmocka_unit_test(test_armed),
		cmocka_unit_test(test_limits),    cmocka_unit_test(test_rates),
		cmocka_unit_test(test_mutations), cmocka_unit_test(test_all_reached),
		cmocka_unit_test(test_segments),  cmocka_unit_test(test_limiter),
		cmocka_unit_test(test_steered),
	};
	int error = test_node_open(&node);

	if (error == -EPERM) {
		printf("skipped: needs root, for a network namespace and BPF\n");
		return 77;
	}
	if (error || world_eal_start() != 0) {
		printf("the test node cannot be made: %s\n", strerror(-error));
		return 1;
	}
	open_lane();
	for (uint32_t port = 0; port < NODE_PORTS; port++)
		test_node_listen(&node, port, true);
	test_node_limit(&node, 0, 0);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_node_close(&node);
	return failed != 0;
}
