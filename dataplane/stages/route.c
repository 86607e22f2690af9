/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route.c - where to: the tenant's longest route for the inner destination, and whether the packet
 * may and can go there: into a tunnel (esp_out is next) or to a host on a lan (transmit is next).
 */
#include "dataplane/stages/ether.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* IPv4 and IPv6 alike: the destination's leaf in the tenant's routes. */
static __u32 lookup(const struct spw_lane *lane, uint32_t tenant, uint32_t family,
		    const uint8_t *ip)
{
	const struct spw_trie *trie = &lane->tables.routes;
	const __u32 *root = lane->tables.tenants[tenant].route_root;

	/* Pairs with control's release store when it publishes a changed trie. */
	if (family == 4)
		return spw_trie_lookup(trie, __atomic_load_n(&root[0], __ATOMIC_ACQUIRE),
				       spw_trie_key4(spw_get_be32(ip + 16)), SPW_TRIE_LEVELS4);
	return spw_trie_lookup(trie, __atomic_load_n(&root[1], __ATOMIC_ACQUIRE),
			       spw_trie_key6(ip + 24), SPW_TRIE_LEVELS6);
}

/* Reads a neighbor's word, once. False: unknown id, or no MAC to send to. */
static bool resolve(const struct spw_lane *lane, uint32_t id, union spw_neighbor *neighbor)
{
	if (id == 0 || id >= lane->tables.neighbors_max)
		return false;
	neighbor->word = __atomic_load_n(&lane->tables.neighbors[id].word, __ATOMIC_RELAXED);
	return neighbor->state != SPW_NEIGHBOR_NONE;
}

/* Leaves word for control that a lan host's MAC is wanted. Seqlock: the reader pairs its acquire
 * load of glean_seq with the last store here, and its acquire fence with the release fence. */
static void glean(struct spw_worker_row *row, uint32_t port, uint32_t family, const uint8_t *ip)
{
	uint32_t seq = row->glean_seq;

	__atomic_store_n(&row->glean_seq, seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	row->glean_port = (__u8)port;
	row->glean_family = (__u8)family;
	memset(row->glean_addr, 0, sizeof(row->glean_addr));
	memcpy(row->glean_addr, ip + (family == 4 ? 16 : 24), family == 4 ? 4 : 16);
	__atomic_store_n(&row->glean_seq, seq + 2, __ATOMIC_RELEASE);
}

static void to_tunnel(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, uint32_t tunnel)
{
	const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, tunnel);
	uint32_t bytes = burst->inner_bytes[i];

	/* Never into another tenant's tunnel, nor back into the one it came from: two nodes whose
	 * routes point at each other would pass it to and fro until its TTL is used up. */
	if (!record || record->tenant != burst->tenant[i] || record->port >= SPW_PORTS_MAX ||
	    tunnel == burst->tunnel_in[i]) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	burst->tunnel_out[i] = tunnel;
	burst->record_out[i] = record;
	burst->port_out[i] = record->port;
	if (bytes > record->inner_mtu_bytes) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_TOO_BIG);
		return;
	}
	if (!resolve(lane, record->neighbor, &burst->next_hop[i])) {
		spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
		return;
	}
	/* Last, so that only a packet that will go out is charged. */
	uint64_t cap = __atomic_load_n(&lane->tables.rates[tunnel].out_cap, __ATOMIC_RELAXED);
	struct spw_bucket *bucket = &lane->tunnel_out_buckets[tunnel];
	if (!spw_bucket_admits(bucket, cap, lane->now_ns, bytes, lane->workers)) {
		spw_drop(lane, burst, i, SPW_DROP_RATE_TUNNEL_OUT);
		return;
	}
	spw_bucket_take(bucket, bytes, lane->workers);
	burst->state[i] = SPW_AT_ESP_OUT;
}

/* Whether a port is a lan of the tenant. */
static bool lan_of(const struct spw_lane *lane, uint32_t port, uint32_t tenant)
{
	if (port >= SPW_PORTS_MAX)
		return false;
	const struct spw_port_image *image = spw_port_live(&lane->tables, port);
	return image->role == SPW_PORT_LAN && image->tenant == tenant;
}

static void to_neighbor(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, uint32_t id)
{
	union spw_neighbor neighbor;

	if (!resolve(lane, id, &neighbor)) {
		spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
		return;
	}
	if (!lan_of(lane, neighbor.port, burst->tenant[i])) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	if (burst->inner_bytes[i] > lane->port_mtu_bytes[neighbor.port]) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_TOO_BIG);
		return;
	}
	burst->next_hop[i] = neighbor;
	burst->port_out[i] = neighbor.port;
	rte_pktmbuf_adj(burst->mbuf[i], burst->offset[i]);
	burst->offset[i] = 0;
	if (!spw_ether_push(lane, burst, i,
			    burst->family[i] == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6)) {
		spw_drop(lane, burst, i, SPW_DROP_PACKET_TOO_LONG);
		return;
	}
	burst->state[i] = SPW_AT_TRANSMIT;
}

/* A host on a lan that no neighbor is known for yet. */
static void to_unknown_host(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			    uint32_t port, const uint8_t *ip)
{
	if (!lan_of(lane, port, burst->tenant[i])) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	glean(lane->row, port, burst->family[i], ip);
	spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
}

static void route_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(burst->mbuf[i], uint8_t *, burst->offset[i]);
	__u32 leaf = 0;

	if (burst->tenant[i] < lane->tables.tenants_max)
		leaf = lookup(lane, burst->tenant[i], burst->family[i], ip);
	__u32 index = SPW_LEAF_INDEX(leaf);

	switch (SPW_LEAF_KIND(leaf)) {
	case SPW_LEAF_TUNNEL:
		to_tunnel(lane, burst, i, index);
		return;
	case SPW_LEAF_NEIGHBOR:
		to_neighbor(lane, burst, i, index);
		return;
	case SPW_LEAF_LAN:
		to_unknown_host(lane, burst, i, index, ip);
		return;
	default:
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
	}
}

void spw_stage_route(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_AT_ROUTE)
			route_one(lane, burst, i);
	}
}
