/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handoff.c - gives packets to other workers, see handoff.h: one call of the ring for each of them,
 * as the ring's ends are what all givers share.
 */
#include "dataplane/stages/handoff.h"

/* What spw_handoff_take reads. */
static void pack(const struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	enum spw_state resume = burst->resume[i];

	mbuf->packet_type = (uint32_t)resume | (uint32_t)burst->family[i] << 8;
	if (resume == SPW_AT_ROUTE) {
		mbuf->data_off = (uint16_t)(burst->head[i] - (uint8_t *)mbuf->buf_addr);
		mbuf->data_len = burst->bytes[i];
		mbuf->pkt_len = burst->bytes[i];
	}
	mbuf->port = burst->port_in[i];
	mbuf->vlan_tci = burst->port_out[i];
	mbuf->hash.fdir.lo = resume == SPW_AT_ROUTE ? burst->tenant[i] : burst->tunnel_out[i];
	mbuf->hash.fdir.hi = burst->tunnel_in[i];
}

static void give(struct spw_lane *lane, struct spw_burst *burst, uint32_t worker)
{
	struct rte_ring *ring = lane->handoff[worker];
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint8_t place[SPW_BURST_MAX];
	uint32_t cnt = 0, given = 0;

	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] != SPW_AT_HANDOFF || burst->worker_to[i] != worker)
			continue;
		pack(burst, i);
		mbuf[cnt] = burst->mbuf[i];
		place[cnt++] = (uint8_t)i;
	}
	if (ring)
		given = rte_ring_enqueue_burst(ring, (void **)mbuf, cnt, NULL);
	for (uint32_t k = 0; k < given; k++)
		burst->state[place[k]] = SPW_DONE;
	for (uint32_t k = given; k < cnt; k++)
		spw_drop(lane, burst, place[k], SPW_DROP_HANDOFF_FULL);
	if (given) {
		lane->handoff_wanted |= 1u << worker;
		spw_count(&lane->row->handoffs, given);
	}
}

void spw_stage_handoff(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t to = lane->handing; to; to &= to - 1)
		give(lane, burst, (uint32_t)__builtin_ctz(to));
	lane->handing = 0;
}
