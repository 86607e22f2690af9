// SPDX-License-Identifier: BSD-2-Clause
/* node.c - the classifier's test node. See node.h. */
#include "node.h"

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
#include "ebpf/tables_reuse.h"
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
	const struct test_prefix live4[] = {test_prefix(NODE_LIVE4 "/32", member)};
	const struct test_prefix live6[] = {test_prefix(NODE_LIVE6 "/128", member)};
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

	tables->meta->deny_root[0] = test_trie_build(tables, deny4, 1, 4, 0);
	tables->meta->deny_root[1] = test_trie_build(tables, deny6, 1, 6, 0);
	tables->meta->live_root[0] = test_trie_build(tables, live4, 1, 4, 0);
	tables->meta->live_root[1] = test_trie_build(tables, live6, 1, 6, 0);
	tables->tenants[1].route_root[0] = test_trie_build(tables, routes4, 4, 4, 0);
	tables->tenants[1].route_root[1] = test_trie_build(tables, routes6, 3, 6, 0);
	tables->tenants[2].route_root[0] = test_trie_build(tables, default4, 1, 4, 0);
	tables->tenants[2].route_root[1] = test_trie_build(tables, default6, 1, 6, 0);
}

/* What a ones' complement sum becomes with these bytes; at first 0. */
static uint32_t sum_bytes(uint32_t sum, const void *bytes, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		sum += i % 2 ? ((const uint8_t *)bytes)[i]
			     : (uint32_t)((const uint8_t *)bytes)[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What is added to a checksum when the sum of what it covers goes from one value to another. */
static uint16_t delta_be(uint32_t from, uint32_t to)
{
	uint32_t delta = from + (uint16_t)~to;

	return htons((uint16_t)((delta & 0xffff) + (delta >> 16)));
}

static void set_deltas(const struct spw_relay_side *from, struct spw_relay_side *to)
{
	uint32_t was = sum_bytes(sum_bytes(0, from->remote, 16), from->local, 16);
	uint32_t is = sum_bytes(sum_bytes(0, to->remote, 16), to->local, 16);

	to->ip_delta_be = delta_be(was, is);
	to->udp_delta_be = delta_be(sum_bytes(was, &from->remote_port_be, 2),
				    sum_bytes(is, &to->remote_port_be, 2));
}

static struct spw_relay_side relay_side(const char *remote, uint16_t remote_port, const char *local,
					uint8_t port, uint32_t neighbor)
{
	struct spw_relay_side side = {
		.remote_port_be = htons(remote_port), .port = port, .neighbor = neighbor};
	int family = strchr(local, ':') ? AF_INET6 : AF_INET;

	inet_pton(family, remote, side.remote);
	inet_pton(family, local, side.local);
	return side;
}

static void set_neighbor(struct test_tables *tables, uint32_t id, const char *mac)
{
	union spw_neighbor *neighbor = &tables->neighbors[id];

	neighbor->state = SPW_NEIGHBOR_VALID;
	sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &neighbor->mac[0], &neighbor->mac[1],
	       &neighbor->mac[2], &neighbor->mac[3], &neighbor->mac[4], &neighbor->mac[5]);
}

/* Rates far above what a test sends. */
static void set_relay(struct test_tables *tables, uint16_t port, struct spw_relay_side b)
{
	uint32_t id = NODE_RELAY_ID(port);
	bool ipv6 = b.local[15] != 0;
	struct spw_relay *relay = &tables->relays[id];

	*relay = (struct spw_relay){
		.id = id,
		.port_be = htons(port),
		.family = ipv6 ? 6 : 4,
		.packet_cost_ticks = 1,
		.packet_burst_ticks = 1 << 20,
		.byte_cost_ticks = 1,
		.byte_burst_ticks = 1 << 30,
		.side = {ipv6 ? relay_side("2001:db8:a::10", 6000, "2001:db8::1", 0, 1)
			      : relay_side("198.18.0.10", 6000, "192.0.2.1", 0, 1),
			 b},
	};
	set_deltas(&relay->side[0], &relay->side[1]);
	set_deltas(&relay->side[1], &relay->side[0]);
	tables->relay_ports[port].slot = id;
}

static void set_relays(struct test_tables *tables)
{
	set_neighbor(tables, 1, NODE_HOP_A);
	set_neighbor(tables, 2, NODE_HOP_B);
	set_relay(tables, 5000, relay_side("198.18.0.20", 7000, "192.0.2.2", 0, 2));
	set_relay(tables, 5001, relay_side("198.18.0.30", 7000, "203.0.113.1", 1, 2));
	set_relay(tables, 5002, relay_side("2001:db8:b::20", 7000, "2001:db8::2", 0, 2));
	set_relay(tables, 5003, relay_side("0.0.0.0", 0, "192.0.2.2", 0, 2));
	set_relay(tables, 5004, relay_side("198.18.0.20", 7000, "192.0.2.2", 0, 3));
	set_relay(tables, 5005, relay_side("198.18.0.20", 7000, "192.0.2.2", 7, 2));
	set_relay(tables, 5006, relay_side("2001:db8:b::30", 7000, "2001:db8:100::1", 1, 2));
	tables->relay_ports[5007].slot = SPW_RELAY_SLOTS_MAX;
}

static void set_tables(struct test_tables *tables)
{
	tables->meta->layout_version = SPW_LAYOUT_VERSION;
	set_port(tables, 0,
		 (struct spw_port_image){.role = SPW_PORT_WAN, .tunnel_port_be = htons(4500)});
	set_port(tables, 1,
		 (struct spw_port_image){.role = SPW_PORT_WAN,
					 .vlan = 100,
					 .tunnel_port_be = htons(4501),
					 .mtu_bytes = 1400});
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
	add_addr(tables, 1, "2001:db8:100::1");
	add_addr(tables, 2, "10.1.0.1");
	add_addr(tables, 2, "fd01::1");
	add_addr(tables, 3, "10.3.0.1");
	add_addr(tables, 3, "fd03::1");
	set_routes(tables);
	set_relays(tables);
	tables->spis[NODE_SLOT] = (struct spw_spi){.spi = NODE_SPI, .tunnel = 1};
}

/* All instances share the first one's maps, except xsks_map. */
static int load_instance(struct test_node *node, uint32_t port)
{
	struct spw_classifier *skel = spw_classifier__open();
	struct spw_classifier *first = node->instance[0];

	if (!skel)
		return -errno;
	node->instance[port] = skel;
	skel->rodata->port_id = port;
	int error = spw_classifier_tables_reuse(skel, node->tables.fd);
	if (port > 0) {
		error |= bpf_map__reuse_fd(skel->maps.classifier_counters,
					   bpf_map__fd(first->maps.classifier_counters));
		error |= bpf_map__reuse_fd(skel->maps.sources, bpf_map__fd(first->maps.sources));
		error |= bpf_map__reuse_fd(skel->maps.control_total,
					   bpf_map__fd(first->maps.control_total));
		error |= bpf_map__reuse_fd(skel->maps.tx_ports, bpf_map__fd(first->maps.tx_ports));
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
	uint32_t ifindex = if_nametoindex(NODE_VETH);
	for (uint32_t port = 0; port < 2 && error == 0; port++)
		error = bpf_map_update_elem(bpf_map__fd(node->instance[0]->maps.tx_ports), &port,
					    &ifindex, BPF_ANY);
	return error;
}

void test_node_close(struct test_node *node)
{
	for (uint32_t port = 0; port < NODE_PORTS; port++)
		spw_classifier__destroy(node->instance[port]);
	test_tables_close(&node->tables);
	close(node->xsk_fd);
}
