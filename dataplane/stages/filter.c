/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter.c - the classifier for packets of ports that XDP does not see: ebpf/classify.h, compiled
 * for a worker. This file is what it stands on here, and its way out.
 *
 * So are packets that XDP has steered here because a relay sends them out of such a port.
 */
#include "dataplane/stages/limiter.h"
#include "dataplane/stages/stage.h"

struct spw_frame {
	uint8_t *data, *end;
	uint32_t port_in, port_out;
	struct spw_lane *lane;
	struct rte_mbuf *mbuf;
};

#define TABLE(table, record, entries)                                                              \
	static inline record *spw_##table##_at(const struct spw_frame *frame, uint32_t index)      \
	{                                                                                          \
		const struct spw_tables *tables = &frame->lane->tables;                            \
		return index < (entries) ? &tables->table[index] : NULL;                           \
	}

TABLE(meta, const struct spw_meta, 1)
TABLE(ports, const struct spw_port, SPW_PORTS_MAX)
TABLE(tenants, const struct spw_tenant, tables->tenants_max)
TABLE(spis, const struct spw_spi, tables->sas_max)
TABLE(neighbors, const union spw_neighbor, tables->neighbors_max)
TABLE(relay_ports, const struct spw_relay_root, 65536)
TABLE(relays, const struct spw_relay, SPW_RELAY_SLOTS_MAX)
TABLE(relay_states, struct spw_relay_state, SPW_RELAYS_MAX)

static inline uint32_t spw_frame_leaf(const struct spw_frame *frame, uint32_t root, uint32_t family,
				      struct spw_trie_key key)
{
	return spw_trie_lookup(&frame->lane->tables.routes, root, key,
			       family == 4 ? SPW_TRIE_LEVELS4 : SPW_TRIE_LEVELS6);
}

static inline uint64_t spw_frame_now_ns(const struct spw_frame *frame)
{
	return frame->lane->now_ns;
}

/* The clock is read once in a burst: it costs a packet nothing. */
static inline uint64_t spw_frame_tick_ns(const struct spw_frame *frame)
{
	return frame->lane->now_ns;
}

/* It is in a worker's hands already. */
static inline bool spw_frame_steer(const struct spw_frame *frame)
{
	(void)frame;
	return true;
}

/* A port that is open has an MTU. */
static inline bool spw_frame_reaches(const struct spw_frame *frame, uint32_t port)
{
	return port < SPW_PORTS_MAX && frame->lane->port_mtu_bytes[port] != 0;
}

static inline bool spw_frame_defers(const struct spw_frame *frame)
{
	(void)frame;
	return false;
}

static inline bool spw_frame_grow(struct spw_frame *frame, int bytes)
{
	struct rte_mbuf *mbuf = frame->mbuf;
	void *data = bytes > 0 ? rte_pktmbuf_prepend(mbuf, (uint16_t)bytes)
			       : rte_pktmbuf_adj(mbuf, (uint16_t)-bytes);

	if (data)
		frame->data = data;
	return data != NULL;
}

static inline bool spw_limit_source(struct spw_frame *frame, struct spw_trie_key src,
				    uint32_t family, enum spw_limit_kind kind, uint32_t pps,
				    uint64_t now_ns)
{
	struct spw_limiter *limiter = frame->lane->limiter;

	return pps == 0 ||
	       spw_limit_take(&spw_limiter_buckets(limiter, src.hi, family)->full_ns[kind], now_ns,
			      pps);
}

static inline bool spw_limit_total(struct spw_frame *frame, enum spw_limit_share share,
				   uint32_t pps, uint64_t now_ns)
{
	return pps == 0 || spw_limit_take(&frame->lane->limiter->total_full_ns[share], now_ns, pps);
}

#include "ebpf/classify.h"

/* Decides about packet i, and counts nothing. */
static uint32_t classify(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	struct spw_frame frame = {.data = data,
				  .end = data + mbuf->data_len,
				  .port_in = burst->port_in[i],
				  .lane = lane,
				  .mbuf = mbuf};
	uint32_t counter = spw_classify(&frame);

	if (counter == SPW_CLASSIFIED_RELAY) {
		burst->port_out[i] = (uint8_t)frame.port_out;
		burst->state[i] = SPW_AT_TRANSMIT;
	}
	return counter;
}

static void filter_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	struct spw_port_counters *counters = &lane->row->ports[burst->port_in[i]];
	uint32_t counter = classify(lane, burst, i);

	spw_count(counter < SPW_CLASSIFIED_FIRST
			  ? &counters->dropped
			  : &counters->classified[counter - SPW_CLASSIFIED_FIRST],
		  1);
	switch (counter) {
	case SPW_CLASSIFIED_STEER:
	case SPW_CLASSIFIED_RELAY:
		return;
	case SPW_CLASSIFIED_CONTROL:
	case SPW_CLASSIFIED_PASS:
		burst->state[i] = SPW_AT_KERNEL;
		return;
	case SPW_CLASSIFIED_KEEPALIVE:
		burst->state[i] = SPW_DONE;
		rte_pktmbuf_free(mbuf);
		return;
	default:
		/* Of a frame in several buffers only the first was looked at. */
		if (counter == SPW_DROP_OUTER_TRUNCATED && mbuf->nb_segs != 1)
			counter = SPW_DROP_PACKET_TOO_LONG;
		spw_drop(lane, burst, i, counter);
	}
}

enum spw_state spw_filter_steered(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	uint32_t port = burst->port_in[i], counter = SPW_DROP_OUTER_BAD;

	/* Without a device there is nothing that XDP could not send itself. */
	if (lane->port_native && !(lane->port_native & 1u << port))
		counter = classify(lane, burst, i);
	if (counter == SPW_CLASSIFIED_RELAY) {
		spw_count(&lane->row->ports[port].classified[counter - SPW_CLASSIFIED_FIRST], 1);
		return SPW_AT_TRANSMIT;
	}
	spw_drop(lane, burst, i,
		 counter < SPW_CLASSIFIED_FIRST ? (enum spw_drop)counter : SPW_DROP_OUTER_BAD);
	return SPW_DONE;
}

void spw_stage_filter(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		burst->tunnel_in[i] = 0;
		burst->tunnel_out[i] = 0;
		if (burst->state[i] == SPW_AT_CLASSIFY)
			filter_one(lane, burst, i);
	}
}
