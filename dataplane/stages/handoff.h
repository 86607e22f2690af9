/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handoff.h - a packet's way from one worker to another: which worker it goes to, where it goes on
 * there, and what travels with it.
 *
 * What it carries lies in fields of the mbuf that no driver reads of a packet without offloads. All
 * kinds go through one ring, so that an owner has one place to look at, and packets of a flow stay
 * in order whatever is done to them elsewhere.
 *
 * Thread: the burst's worker.
 */
#ifndef SPW_HANDOFF_H
#define SPW_HANDOFF_H

#include "dataplane/stages/stage.h"

/*
 * Marks packet i for `worker`, where it goes on at `resume`:
 *   SPW_AT_CLASSIFY  as it was received
 *   SPW_AT_ROUTE     its IP packet, with tenant, tunnel_in and family
 *   SPW_AT_TRANSMIT  a finished frame for port_out
 * spw_stage_handoff gives it away. A worker that cannot exist: dropped.
 */
static inline void spw_hand_off(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
				uint32_t worker, enum spw_state resume)
{
	if (worker >= SPW_WORKERS_MAX) {
		spw_drop(lane, burst, i, SPW_DROP_HANDOFF_FULL);
		return;
	}
	burst->worker_to[i] = (uint8_t)worker;
	burst->resume[i] = (uint8_t)resume;
	burst->state[i] = SPW_AT_HANDOFF;
	lane->handing |= 1u << worker;
}

/* Puts a packet that came through the ring at place i of the burst. Every field that the stages
 * from its state on read is set. */
static inline void spw_handoff_take(struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];

	burst->state[i] = (uint8_t)mbuf->packet_type;
	burst->family[i] = (uint8_t)(mbuf->packet_type >> 8);
	burst->port_in[i] = (uint8_t)mbuf->port;
	burst->port_out[i] = (uint8_t)mbuf->vlan_tci;
	burst->head[i] = rte_pktmbuf_mtod(mbuf, uint8_t *);
	burst->bytes[i] = mbuf->data_len;
	burst->tenant[i] = burst->tunnel_out[i] = mbuf->hash.fdir.lo;
	if (burst->state[i] == SPW_AT_ROUTE)
		burst->tunnel_out[i] = 0;
	burst->tunnel_in[i] = mbuf->hash.fdir.hi;
}

#endif
