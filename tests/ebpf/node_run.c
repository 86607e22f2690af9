// SPDX-License-Identifier: BSD-2-Clause
/* node_run.c - packets through the classifier's test node. See node.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "node.h"

#include <cmocka.h>

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "ebpf/drops.h"
#include "frame.h"

void test_node_listen(struct test_node *node, uint32_t port, bool listens)
{
	int fd = bpf_map__fd(node->instance[port]->maps.xsks_map);
	uint32_t queue = 0;

	if (listens)
		assert_int_equal(bpf_map_update_elem(fd, &queue, &node->xsk_fd, BPF_ANY), 0);
	else
		bpf_map_delete_elem(fd, &queue);
}

void test_node_limit(struct test_node *node, uint32_t per_source_pps, uint32_t total_pps)
{
	int sources = bpf_map__fd(node->instance[0]->maps.sources);
	int total = bpf_map__fd(node->instance[0]->maps.control_total);
	int cpus = libbpf_num_possible_cpus();
	uint64_t *zeros = calloc((size_t)cpus, sizeof(*zeros));
	uint8_t source[16]; /* struct spw_source of ebpf/limit.h */

	while (bpf_map_get_next_key(sources, NULL, source) == 0)
		bpf_map_delete_elem(sources, source);
	for (uint32_t share = 0; share < 2; share++)
		assert_int_equal(bpf_map_update_elem(total, &share, zeros, BPF_ANY), 0);
	free(zeros);
	node->tables.meta->control_per_source_pps = per_source_pps;
	node->tables.meta->control_total_pps = total_pps;
	node->tables.meta->control_live_pps = total_pps;
}

void test_node_reset_relays(struct test_node *node)
{
	memset(node->tables.relay_states, 0, SPW_RELAYS_MAX * sizeof(struct spw_relay_state));
}

void test_node_counters(const struct test_node *node, uint64_t counters[NODE_COUNTERS])
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	int fd = bpf_map__fd(node->instance[0]->maps.classifier_counters);
	uint32_t cpus = (uint32_t)libbpf_num_possible_cpus(), next = 0, cnt = NODE_COUNTERS;
	uint32_t *keys = calloc(NODE_COUNTERS, sizeof(*keys));
	uint64_t *values = calloc((size_t)NODE_COUNTERS * cpus, sizeof(*values));
	int error = bpf_map_lookup_batch(fd, NULL, &next, keys, values, &cnt, &options);

	assert_true(error == 0 || error == -ENOENT); /* -ENOENT: that was all */
	assert_int_equal(cnt, NODE_COUNTERS);
	for (uint32_t i = 0; i < NODE_COUNTERS; i++) {
		counters[keys[i]] = 0;
		for (uint32_t cpu = 0; cpu < cpus; cpu++)
			counters[keys[i]] += values[i * cpus + cpu];
	}
	free(keys);
	free(values);
}

static uint32_t moved_counter(const uint64_t *before, const uint64_t *after, uint32_t port)
{
	uint32_t moved = UINT32_MAX;

	for (uint32_t i = 0; i < NODE_COUNTERS; i++) {
		if (before[i] == after[i])
			continue;
		assert_int_equal(moved, UINT32_MAX); /* one counter only */
		assert_int_equal(after[i] - before[i], 1);
		assert_int_equal(i / SPW_CLASSIFIER_COUNTERS, port);
		moved = i % SPW_CLASSIFIER_COUNTERS;
	}
	assert_int_not_equal(moved, UINT32_MAX);
	return moved;
}

struct test_result test_node_send(struct test_node *node, uint32_t port, uint32_t queue,
				  const uint8_t *frame, uint32_t bytes)
{
	struct test_result result = {.counter = UINT32_MAX};
	struct xdp_md context = {.data_end = bytes,
				 .ingress_ifindex = if_nametoindex(NODE_VETH),
				 .rx_queue_index = queue};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = bytes,
		    .data_out = result.frame, .data_size_out = sizeof(result.frame),
		    .ctx_in = &context, .ctx_size_in = sizeof(context));
	int fd = bpf_program__fd(node->instance[port]->progs.xsk_def_prog);

	assert_int_equal(bpf_prog_test_run_opts(fd, &run), 0);
	result.bytes = run.data_size_out;
	result.verdict = run.retval;
	return result;
}

struct test_result test_node_pass(struct test_node *node, uint32_t port, uint32_t queue,
				  const uint8_t *frame, uint32_t bytes)
{
	static uint64_t before[NODE_COUNTERS], after[NODE_COUNTERS];

	test_node_counters(node, before);
	struct test_result result = test_node_send(node, port, queue, frame, bytes);
	test_node_counters(node, after);
	result.counter = moved_counter(before, after, port);
	return result;
}

uint32_t test_node_run(struct test_node *node, uint32_t port, uint32_t queue, const uint8_t *frame,
		       uint32_t bytes, uint32_t *verdict)
{
	struct test_result result = test_node_pass(node, port, queue, frame, bytes);

	assert_int_equal(result.bytes, bytes);
	assert_memory_equal(result.frame, frame, bytes);
	*verdict = result.verdict;
	return result.counter;
}

const char *test_counter_name(uint32_t counter)
{
	static const char *const drops[] = {
#define DROP_NAME(id, name, where, text) name,
		SPW_DROP_LIST(DROP_NAME)
#undef DROP_NAME
	};
	static const char *const verdicts[] = {"pass", "steer", "control", "keepalive", "relay"};

	if (counter < SPW_DROP_CNT)
		return drops[counter];
	if (counter >= SPW_CLASSIFIED_FIRST && counter <= SPW_CLASSIFIED_RELAY)
		return verdicts[counter - SPW_CLASSIFIED_FIRST];
	return "unknown";
}
