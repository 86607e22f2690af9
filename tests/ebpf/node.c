// SPDX-License-Identifier: BSD-2-Clause
/* node.c - the classifier's test node. See node.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "node.h"

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "ebpf/drops.h"
#include "frame.h"
#include "veth.h"

static void set_port(struct test_tables *tables, uint32_t id, struct spw_port_image image)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct spw_port *port = &tables->ports[id];

	memcpy(image.mac, mac, sizeof(mac));
	port->active = id & 1; /* both images are in use */
	port->image[port->active] = image;
}

static void add_addr(struct test_tables *tables, uint32_t id, const char *text)
{
	struct spw_port *port = &tables->ports[id];
	struct spw_port_image *image = &port->image[port->active];

	if (strchr(text, ':'))
		inet_pton(AF_INET6, text, image->addr6[image->addr6_cnt++]);
	else
		inet_pton(AF_INET, text, &image->addr4_be[image->addr4_cnt++]);
}

static void set_routes(struct test_tables *tables)
{
	const uint32_t tunnel = SPW_LEAF(SPW_LEAF_TUNNEL, 1), lan = SPW_LEAF(SPW_LEAF_LAN, 2);
	const uint32_t member = SPW_LEAF(SPW_LEAF_MEMBER, 0);
	const struct test_prefix deny4[] = {test_prefix("198.51.100.0/24", member)};
	const struct test_prefix deny6[] = {test_prefix("2001:db8:bad::/48", member)};
	const struct test_prefix routes4[] = {
		test_prefix("10.2.0.0/16", tunnel),
		test_prefix("10.2.9.0/24", lan),
		test_prefix("10.1.0.0/24", lan),
		test_prefix("10.1.0.50/32", SPW_LEAF(SPW_LEAF_NEIGHBOR, 3)),
	};
	const struct test_prefix routes6[] = {
		test_prefix("fd02::/16", tunnel),
		test_prefix("fd02:9::/32", lan),
		test_prefix("fd01::/64", lan),
	};
	const struct test_prefix default4[] = {test_prefix("0.0.0.0/0", tunnel)};
	const struct test_prefix default6[] = {test_prefix("::/0", tunnel)};

	tables->meta->deny_root[0] = test_trie_build(tables, deny4, 1);
	tables->meta->deny_root[1] = test_trie_build(tables, deny6, 1);
	tables->tenants[1].route_root[0] = test_trie_build(tables, routes4, 4);
	tables->tenants[1].route_root[1] = test_trie_build(tables, routes6, 3);
	tables->tenants[2].route_root[0] = test_trie_build(tables, default4, 1);
	tables->tenants[2].route_root[1] = test_trie_build(tables, default6, 1);
}

static void set_tables(struct test_tables *tables)
{
	tables->meta->layout_version = SPW_LAYOUT_VERSION;
	set_port(tables, 0,
		 (struct spw_port_image){.role = SPW_PORT_WAN, .tunnel_port_be = htons(4500)});
	set_port(tables, 1,
		 (struct spw_port_image){
			 .role = SPW_PORT_WAN, .vlan = 100, .tunnel_port_be = htons(4501)});
	set_port(tables, 2, (struct spw_port_image){.role = SPW_PORT_LAN, .tenant = 1});
	set_port(tables, 3,
		 (struct spw_port_image){
			 .role = SPW_PORT_LAN, .tenant = 2, .vlan = 7, .on_stop_pass = 1});
	for (uint32_t i = 1; i <= SPW_PORT_ADDRS_MAX; i++) {
		char text[32];
		snprintf(text, sizeof(text), "192.0.2.%u", i);
		add_addr(tables, 0, text);
		snprintf(text, sizeof(text), "2001:db8::%u", i);
		add_addr(tables, 0, text);
	}
	/* Left there by an earlier image, and beyond the count: not the node's any more. */
	inet_pton(AF_INET, "203.0.113.2", &tables->ports[1].image[1].addr4_be[1]);
	add_addr(tables, 1, "203.0.113.1");
	add_addr(tables, 2, "10.1.0.1");
	add_addr(tables, 2, "fd01::1");
	add_addr(tables, 3, "10.3.0.1");
	add_addr(tables, 3, "fd03::1");
	set_routes(tables);
	tables->spis[NODE_SLOT] = (struct spw_spi){.spi = NODE_SPI, .tunnel = 1};
}

/* All instances share the first one's maps, except xsks_map. */
static int load_instance(struct test_node *node, uint32_t port)
{
	struct spw_classifier *skel = spw_classifier__open();
	struct spw_classifier *first = node->instance[0];
	const int *fd = node->tables.fd;
	int error = 0;

	if (!skel)
		return -errno;
	node->instance[port] = skel;
	skel->rodata->port_id = port;
	error |= bpf_map__reuse_fd(skel->maps.meta, fd[SPW_MAP_META]);
	error |= bpf_map__reuse_fd(skel->maps.ports, fd[SPW_MAP_PORTS]);
	error |= bpf_map__reuse_fd(skel->maps.tenants, fd[SPW_MAP_TENANTS]);
	error |= bpf_map__reuse_fd(skel->maps.spis, fd[SPW_MAP_SPIS]);
	error |= bpf_map__reuse_fd(skel->maps.route_nodes, fd[SPW_MAP_ROUTE_NODES]);
	error |= bpf_map__reuse_fd(skel->maps.route_leaves, fd[SPW_MAP_ROUTE_LEAVES]);
	if (port > 0) {
		error |= bpf_map__reuse_fd(skel->maps.classifier_counters,
					   bpf_map__fd(first->maps.classifier_counters));
		error |= bpf_map__reuse_fd(skel->maps.sources, bpf_map__fd(first->maps.sources));
		error |= bpf_map__reuse_fd(skel->maps.control_total,
					   bpf_map__fd(first->maps.control_total));
	}
	return error ? -EINVAL : spw_classifier__load(skel);
}

int test_node_open(struct test_node *node)
{
	memset(node, 0, sizeof(*node));
	node->xsk_fd = -1;
	int error = test_netns_enter();
	if (error)
		return error;
	error = test_tables_open(&node->tables);
	if (error)
		return error;
	set_tables(&node->tables);
	if (test_veth_create(NODE_VETH, 2) != 0)
		return -ENODEV;
	node->xsk_fd = test_xsk_open(NODE_VETH, 0);
	if (node->xsk_fd < 0)
		return node->xsk_fd;
	for (uint32_t port = 0; port < NODE_PORTS && error == 0; port++)
		error = load_instance(node, port);
	return error;
}

void test_node_close(struct test_node *node)
{
	for (uint32_t port = 0; port < NODE_PORTS; port++)
		spw_classifier__destroy(node->instance[port]);
	test_tables_close(&node->tables);
	close(node->xsk_fd);
}

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
	uint32_t key = 0;
	uint8_t source[16]; /* struct spw_source of ebpf/limit.h */

	while (bpf_map_get_next_key(sources, NULL, source) == 0)
		bpf_map_delete_elem(sources, source);
	assert_int_equal(bpf_map_update_elem(total, &key, zeros, BPF_ANY), 0);
	free(zeros);
	node->tables.meta->control_per_source_pps = per_source_pps;
	node->tables.meta->control_total_pps = total_pps;
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

uint32_t test_node_run(struct test_node *node, uint32_t port, uint32_t queue, const uint8_t *frame,
		       uint32_t bytes, uint32_t *verdict)
{
	static uint64_t before[NODE_COUNTERS], after[NODE_COUNTERS];
	uint8_t out[FRAME_BYTES_MAX + 64];
	struct xdp_md context = {.data_end = bytes,
				 .ingress_ifindex = if_nametoindex(NODE_VETH),
				 .rx_queue_index = queue};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = bytes,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
		    .ctx_size_in = sizeof(context));
	int fd = bpf_program__fd(node->instance[port]->progs.xsk_def_prog);

	test_node_counters(node, before);
	assert_int_equal(bpf_prog_test_run_opts(fd, &run), 0);
	test_node_counters(node, after);
	assert_int_equal(run.data_size_out, bytes);
	assert_memory_equal(out, frame, bytes);
	*verdict = run.retval;
	return moved_counter(before, after, port);
}

const char *test_counter_name(uint32_t counter)
{
	static const char *const drops[] = {
#define DROP_NAME(id, name, where, text) name,
		SPW_DROP_LIST(DROP_NAME)
#undef DROP_NAME
	};
	static const char *const verdicts[] = {"pass", "steer", "control", "keepalive"};

	if (counter < SPW_DROP_CNT)
		return drops[counter];
	if (counter >= SPW_CLASSIFIED_FIRST && counter <= SPW_CLASSIFIED_KEEPALIVE)
		return verdicts[counter - SPW_CLASSIFIED_FIRST];
	return "unknown";
}
