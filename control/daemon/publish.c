/* SPDX-License-Identifier: BSD-2-Clause */
/* publish.c - see publish.h and node.h. */
#include "control/daemon/publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#include "control/daemon/checksum.h"
#include "control/daemon/net/net.h"

#define OUTER4_BYTES (sizeof(struct iphdr) + sizeof(struct udphdr))
#define OUTER6_BYTES (sizeof(struct ip6_hdr) + sizeof(struct udphdr))
#define ESP_BYTES (8u + 8u + 16u) /* header, IV, ICV */
#define ESP_TRAILER_BYTES 2u      /* pad length, next header */
#define OUTER_TTL 64
#define OUTER_MTU_UNKNOWN_BYTES 1500u /* until the kernel has a route to the peer */

static_assert(OUTER6_BYTES == SPW_OUTER_BYTES_MAX, "the template is as long as its longest header");

uint32_t spw_inner_mtu(uint32_t outer_mtu_bytes, uint32_t outer_bytes)
{
	if (outer_mtu_bytes < outer_bytes + ESP_BYTES + 4)
		return 0;
	return ((outer_mtu_bytes - outer_bytes - ESP_BYTES) & ~3u) - ESP_TRAILER_BYTES;
}

static void outer_template(const struct spw_node *node, const struct spw_tunnel_obj *tunnel,
			   const struct spw_endpoint *source, struct spw_tunnel *record)
{
	struct udphdr udp = {.source = htons(node->listen_port),
			     .dest = htons(tunnel->remote.port)};
	size_t ip_bytes;

	if (tunnel->remote.family == 4) {
		struct iphdr ip = {.version = 4,
				   .ihl = 5,
				   .ttl = OUTER_TTL,
				   .protocol = IPPROTO_UDP,
				   .frag_off = htons(IP_DF)};
		ip_bytes = sizeof(ip);
		memcpy(&ip.saddr, source->addr, 4);
		memcpy(&ip.daddr, tunnel->remote.addr, 4);
		ip.check = (uint16_t)~spw_sum_fold_be(spw_sum_add(0, &ip, sizeof(ip)));
		memcpy(record->outer, &ip, sizeof(ip));
	} else {
		struct ip6_hdr ip = {
			.ip6_flow = htonl(6u << 28), .ip6_nxt = IPPROTO_UDP, .ip6_hlim = OUTER_TTL};
		ip_bytes = sizeof(ip);
		memcpy(&ip.ip6_src, source->addr, 16);
		memcpy(&ip.ip6_dst, tunnel->remote.addr, 16);
		memcpy(record->outer, &ip, sizeof(ip));
	}
	memcpy(record->outer + ip_bytes, &udp, sizeof(udp));
	record->outer_bytes = (uint8_t)(ip_bytes + sizeof(udp));
}

/* Where no next hop is known yet: any wan port; neighbor 0 keeps packets from leaving by it. */
static uint8_t first_wan(const struct spw_node *node)
{
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		if (node->interfaces[port].role == SPW_PORT_WAN)
			return (uint8_t)port;
	return 0;
}

static void fill_record(struct spw_node *node, const struct spw_tunnel_obj *tunnel,
			struct spw_tunnel *record)
{
	const struct spw_nexthop *nexthop = tunnel->nexthop;
	struct spw_endpoint source = {0};
	uint32_t outer_mtu_bytes = OUTER_MTU_UNKNOWN_BYTES, inner_mtu_bytes;

	memset(record, 0, sizeof(*record));
	record->id = tunnel->id;
	record->tenant = tunnel->tenant->id;
	record->port = first_wan(node);
	if (nexthop && nexthop->neighbor) {
		record->neighbor = nexthop->neighbor;
		record->port = (uint8_t)nexthop->port;
		if (nexthop->mtu_bytes)
			outer_mtu_bytes = nexthop->mtu_bytes;
	}
	/* Without a route there is no source, and no neighbour either: nothing is sent. */
	if (spw_net_source(node, tunnel, &source) < 0)
		record->neighbor = 0;
	if (tunnel->remote.family)
		outer_template(node, tunnel, &source, record);
	else /* until the peer is heard: the longer header, to be sure of the MTU */
		record->outer_bytes = OUTER6_BYTES;
	inner_mtu_bytes = spw_inner_mtu(outer_mtu_bytes, record->outer_bytes);
	if (tunnel->mtu_bytes && tunnel->mtu_bytes < inner_mtu_bytes)
		inner_mtu_bytes = tunnel->mtu_bytes;
	record->inner_mtu_bytes =
		(uint16_t)(inner_mtu_bytes < UINT16_MAX ? inner_mtu_bytes : UINT16_MAX);
	memcpy(record->allow_root, tunnel->allow_root, sizeof(record->allow_root));
	memcpy(record->tx_sa, tunnel->tx_sa, sizeof(record->tx_sa));
	record->local_epoch = tunnel->local_epoch;
	record->peer_epoch = tunnel->peer_epoch;
}

void spw_record_remote(const struct spw_tunnel *record, struct spw_endpoint *remote)
{
	struct udphdr udp;

	*remote = (struct spw_endpoint){0};
	if (record->outer_bytes != OUTER4_BYTES && record->outer_bytes != OUTER6_BYTES)
		return;
	memcpy(&udp, record->outer + record->outer_bytes - sizeof(udp), sizeof(udp));
	if (!udp.dest)
		return;
	remote->port = ntohs(udp.dest);
	remote->family = record->outer_bytes == OUTER4_BYTES ? 4 : 6;
	if (remote->family == 4)
		memcpy(remote->addr, record->outer + offsetof(struct iphdr, daddr), 4);
	else
		memcpy(remote->addr, record->outer + offsetof(struct ip6_hdr, ip6_dst), 16);
}

void spw_tunnel_publish_at(struct spw_node *node, struct spw_tunnel_obj *tunnel, uint32_t slot)
{
	fill_record(node, tunnel, &node->maps.tunnels[slot]);
	tunnel->slot = slot;
	/* Pairs with the readers' acquire load (spw_tunnel_record): who sees the slot sees the
	 * record. */
	__atomic_store_n(&node->maps.tunnel_roots[tunnel->id].slot, slot, __ATOMIC_RELEASE);
}

uint32_t spw_slot_take_next(struct spw_node *node, struct spw_slots *slots)
{
	uint32_t slot = spw_slots_alloc(slots);

	if (slot && spw_grace_reserve(node->grace, 1) < 0) {
		spw_slots_free(slots, slot);
		return 0;
	}
	return slot;
}

int spw_tunnel_publish(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	uint32_t slot, old_slot = tunnel->slot;
	struct spw_tunnel record;

	if (old_slot == 0 || tunnel->dying)
		return 0;
	fill_record(node, tunnel, &record);
	if (memcmp(&record, &node->maps.tunnels[old_slot], sizeof(record)) == 0)
		return 0;
	slot = spw_slot_take_next(node, node->tunnel_slots);
	if (slot == 0)
		return -ENOSPC;
	spw_tunnel_publish_at(node, tunnel, slot);
	spw_grace_defer(node->grace, spw_slots_free_later, node->tunnel_slots, old_slot);
	return 0;
}

void spw_tunnel_withdraw(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	__atomic_store_n(&node->maps.tunnel_roots[tunnel->id].slot, 0, __ATOMIC_RELEASE);
}

/* ---- ports -------------------------------------------------------------------------------- */

static void fill_image(struct spw_node *node, uint32_t port, struct spw_port_image *image)
{
	const struct spw_interface *interface = &node->interfaces[port];
	const struct spw_tenant_obj *tenant;

	memset(image, 0, sizeof(*image));
	image->role = interface->role;
	image->vlan = interface->vlan;
	if (interface->role == SPW_PORT_WAN)
		image->tunnel_port_be = htons(node->listen_port);
	if (interface->role == SPW_PORT_LAN) {
		tenant = spw_tenant_find(node, interface->tenant);
		image->tenant = tenant ? tenant->id : 0;
		image->on_stop_pass = interface->on_stop_pass;
		memcpy(image->allow_root, interface->allow_root, sizeof(image->allow_root));
	}
	spw_net_port_fill(node, port, image);
}

static void image_rested(void *arg0, uint64_t port)
{
	struct spw_node *node = arg0;

	node->interfaces[port].image_resting = false;
}

int spw_port_publish(struct spw_node *node, uint32_t port)
{
	struct spw_interface *interface = &node->interfaces[port];
	struct spw_port *record = &node->maps.ports[port];
	uint32_t active = record->active & 1;
	struct spw_port_image image;

	fill_image(node, port, &image);
	interface->image_wanted = memcmp(&image, &record->image[active], sizeof(image)) != 0;
	if (!interface->image_wanted || interface->image_resting ||
	    spw_grace_reserve(node->grace, 1) < 0)
		return 0;
	record->image[!active] = image;
	/* Pairs with the readers' acquire load (spw_port_live). */
	__atomic_store_n(&record->active, !active, __ATOMIC_RELEASE);
	interface->image_wanted = false;
	interface->image_resting = true;
	spw_grace_defer(node->grace, image_rested, node, port);
	return 0;
}

void spw_ports_publish_wanted(struct spw_node *node)
{
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		if (node->interfaces[port].image_wanted)
			spw_port_publish(node, port);
}
