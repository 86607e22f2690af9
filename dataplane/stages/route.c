/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route.c - where to: the tenant's longest route for the inner destination, and whether the packet
 * may and can go there: into a tunnel (esp_out is next) or to a host on a lan (transmit is next).
 */
#include "dataplane/stages/ether.h"
#include "dataplane/stages/handoff.h"
#include "dataplane/stages/lookup.h"
#include "dataplane/stages/sa.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* A tenant's tries, kept while its packets follow each other. */
struct tenant_routes {
	uint32_t tenant;
	__u32 root[2]; /* IPv4, IPv6 */
	bool far[2];   /* see spw_lookup_is_far */
};

static __attribute__((noinline)) struct tenant_routes open_tenant(const struct spw_lane *lane,
								  uint32_t tenant)
{
	struct tenant_routes routes = {tenant, {0, 0}, {false, false}};

	/* Pairs with control's release store when it publishes a changed trie. */
	for (uint32_t k = 0; tenant < lane->tables.tenants_max && k < 2; k++) {
		routes.root[k] = __atomic_load_n(&lane->tables.tenants[tenant].route_root[k],
						 __ATOMIC_ACQUIRE);
		routes.far[k] = spw_lookup_is_far(&lane->tables.routes, routes.root[k]);
	}
	return routes;
}

/* IPv4 and IPv6 alike: the leaves of the packets' destinations in their tenants' routes. */
static inline void lookup_all(const struct spw_lane *lane, const struct spw_burst *burst,
			      __u32 leaf[SPW_BURST_MAX])
{
	struct tenant_routes routes = {0}; /* no tenant has id 0 */
	struct spw_lookups far[2];

	far[0].cnt = far[1].cnt = 0;
	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (burst->state[i] != SPW_AT_ROUTE)
			continue;
		if (spw_unlikely(burst->tenant[i] != routes.tenant))
			routes = open_tenant(lane, burst->tenant[i]);
		uint32_t family = burst->family[i], six = family != 4;
		const uint8_t *address = burst->head[i] + (six ? 24 : 16);
		if (spw_unlikely(routes.far[six]))
			spw_lookups_add(&far[six], routes.root[six], family, address, i);
		else
			leaf[i] =
				spw_lookup(&lane->tables.routes, routes.root[six], family, address);
	}
	for (uint32_t six = 0; six < 2; six++) {
		if (far[six].cnt)
			spw_lookups_run(&lane->tables.routes, &far[six], six ? 6 : 4, leaf);
	}
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

/* Where this worker has no outbound SA: the tunnel may have one in all (foreign peers) and it may
 * be another's. Then the packet goes there and is looked up again: tables may change meanwhile.
 * Returns whether it was handed on. */
static __attribute__((cold, noinline)) bool hand_to_sealer(struct spw_lane *lane,
							   struct spw_burst *burst, uint32_t i,
							   const struct spw_tunnel *record)
{
	for (uint32_t worker = 0; worker < lane->workers && worker < SPW_WORKERS_MAX; worker++) {
		if (record->tx_sa[worker] == 0)
			continue;
		burst->tunnel_out[i] = 0;
		spw_hand_off(lane, burst, i, worker, SPW_AT_ROUTE);
		return true;
	}
	return false;
}

static inline void to_tunnel(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			     uint32_t tunnel)
{
	const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, tunnel);
	uint32_t bytes = burst->bytes[i];

	/* Never into another tenant's tunnel, nor back into the one it came from: two nodes whose
	 * routes point at each other would pass it to and fro until its TTL is used up. */
	if (spw_unlikely(!record || record->tenant != burst->tenant[i] ||
			 record->port >= SPW_PORTS_MAX || tunnel == burst->tunnel_in[i])) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	burst->tunnel_out[i] = tunnel;
	burst->record_out[i] = record;
	burst->port_out[i] = record->port;
	if (spw_unlikely(bytes > record->inner_mtu_bytes)) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_TOO_BIG);
		return;
	}
	if (spw_unlikely(!spw_resolve(lane, record->neighbor, &burst->next_hop[i]))) {
		spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
		return;
	}
	if (spw_unlikely(record->tx_sa[lane->worker % SPW_WORKERS_MAX] == 0) &&
	    hand_to_sealer(lane, burst, i, record))
		return;
	/* Last, so that only a packet that will go out is charged. */
	uint64_t cap = __atomic_load_n(&lane->tables.rates[tunnel].out_cap, __ATOMIC_RELAXED);
	if (spw_unlikely(!spw_bucket_charge(&lane->tunnel_out_buckets[tunnel], cap, lane->now_ns,
					    bytes, lane->workers))) {
		spw_drop(lane, burst, i, SPW_DROP_RATE_TUNNEL_OUT);
		return;
	}
	burst->state[i] = SPW_AT_ESP_OUT;
	burst->at |= 1u << SPW_AT_ESP_OUT;
}

/* Whether a port, with this image, is a lan of the tenant. */
static inline bool lan_of(const struct spw_port_image *image, uint32_t port, uint32_t tenant)
{
	return port < SPW_PORTS_MAX && image->role == SPW_PORT_LAN && image->tenant == tenant;
}

static inline void to_neighbor(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			       uint32_t id, struct spw_port_seen *seen)
{
	uint8_t *ip = burst->head[i];

	if (spw_unlikely(!spw_resolve(lane, id, &burst->next_hop[i]))) {
		spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
		return;
	}
	uint32_t port = burst->next_hop[i].port;
	const struct spw_port_image *image = spw_port_see(lane, seen, port);
	if (spw_unlikely(!lan_of(image, port, burst->tenant[i]))) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	if (spw_unlikely(burst->bytes[i] > lane->port_mtu_bytes[port])) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_TOO_BIG);
		return;
	}
	if (spw_unlikely(ip - (uint8_t *)burst->mbuf[i]->buf_addr <
			 (ptrdiff_t)(SPW_ETHER_BYTES + SPW_VLAN_BYTES))) {
		spw_drop(lane, burst, i, SPW_DROP_PACKET_TOO_LONG);
		return;
	}
	burst->port_out[i] = (uint8_t)port;
	spw_ether_push(burst, i, image, ip, burst->bytes[i],
		       burst->family[i] == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6);
	burst->state[i] = SPW_AT_TRANSMIT;
}

/* A host on a lan that no neighbor is known for yet. */
static void to_unknown_host(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			    uint32_t port, const uint8_t *ip)
{
	if (!lan_of(spw_port_live(&lane->tables, port), port, burst->tenant[i])) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	glean(lane->row, port, burst->family[i], ip);
	spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
}

static inline void route_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, __u32 leaf,
			     struct spw_port_seen *seen)
{
	__u32 index = SPW_LEAF_INDEX(leaf);

	if (spw_likely(SPW_LEAF_KIND(leaf) == SPW_LEAF_TUNNEL)) {
		to_tunnel(lane, burst, i, index);
		return;
	}
	switch (SPW_LEAF_KIND(leaf)) {
	case SPW_LEAF_NEIGHBOR:
		to_neighbor(lane, burst, i, index, seen);
		return;
	case SPW_LEAF_LAN:
		to_unknown_host(lane, burst, i, index, burst->head[i]);
		return;
	default:
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
	}
}

/* The tunnel of a leaf, 0 where it is not one. */
static inline uint32_t tunnel_of(const struct spw_lane *lane, __u32 leaf)
{
	uint32_t tunnel = SPW_LEAF_INDEX(leaf);

	return SPW_LEAF_KIND(leaf) == SPW_LEAF_TUNNEL && tunnel < lane->tables.tunnels_max ? tunnel
											   : 0;
}

/* Asks for what the tunnels of the burst need: first for what stands at their ids, then for their
 * records. */
static __attribute__((noinline)) void prefetch_tunnels(const struct spw_lane *lane,
						       const struct spw_burst *burst,
						       const __u32 leaf[SPW_BURST_MAX])
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		uint32_t tunnel = burst->state[i] == SPW_AT_ROUTE ? tunnel_of(lane, leaf[i]) : 0;
		spw_prefetch(&lane->tables.tunnel_roots[tunnel]);
		spw_prefetch(&lane->tables.rates[tunnel]);
		spw_prefetch(&lane->tunnel_out_buckets[tunnel]);
		spw_prefetch(&lane->counters[tunnel]);
	}
	for (uint32_t i = 0; i < burst->cnt; i++) {
		uint32_t tunnel = burst->state[i] == SPW_AT_ROUTE ? tunnel_of(lane, leaf[i]) : 0;
		const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, tunnel);
		if (record) {
			spw_prefetch(record);
			spw_prefetch(record->tx_sa);
		}
	}
}

void spw_stage_route(struct spw_lane *lane, struct spw_burst *burst)
{
	struct spw_port_seen seen = SPW_PORT_UNSEEN;
	__u32 leaf[SPW_BURST_MAX];

	lookup_all(lane, burst, leaf);
	if (spw_sas_far(lane->sas))
		prefetch_tunnels(lane, burst, leaf);
	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (burst->state[i] == SPW_AT_ROUTE)
			route_one(lane, burst, i, leaf[i], &seen);
	}
}
