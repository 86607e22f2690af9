/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transmit.c - the last stage: hands the packets to their ports, grouped, one call for each port. A
 * port with fewer queues than workers is sent through by some of them, for all.
 */
#include <rte_ethdev.h>

#include "dataplane/stages/handoff.h"
#include "dataplane/tap.h"
#include "dataplane/worker.h"

/* The packets of a burst that leave by one port, and their places in the burst. */
struct group {
	uint32_t cnt;
	uint64_t bytes;
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint8_t place[SPW_BURST_MAX];
};

/* Drops in the order of the burst what was not sent, from place `sent` of the group on. */
static __attribute__((cold, noinline)) void
drop_rest(struct spw_worker *worker, struct spw_burst *burst, struct group *group, uint32_t sent)
{
	for (uint32_t k = sent; k < group->cnt; k++) {
		group->bytes -= group->mbuf[k]->pkt_len;
		spw_drop(&worker->lane, burst, group->place[k], SPW_DROP_TX_FULL);
	}
}

static void send_group(struct spw_worker *worker, struct spw_burst *burst, uint32_t port,
		       struct group *group)
{
	struct spw_port_counters *counters = &worker->lane.row->ports[port];
	const struct spw_tx *tx = &worker->tx[port];

	uint16_t sent = rte_eth_tx_burst(tx->ethdev, tx->queue, group->mbuf, (uint16_t)group->cnt);
	/* Once more: the first call has had the kernel send, and so made room in the ring. */
	if (sent < group->cnt)
		sent += rte_eth_tx_burst(tx->ethdev, tx->queue, group->mbuf + sent,
					 (uint16_t)(group->cnt - sent));
	if (sent < group->cnt)
		drop_rest(worker, burst, group, sent);
	spw_count(&counters->tx_packets, sent);
	spw_count(&counters->tx_bytes, group->bytes);
}

/* Where a packet for a port goes; NULL: not to this worker's group of the port, it was dropped or
 * handed on. */
static struct group *group_of(struct spw_worker *worker, struct spw_burst *burst, uint32_t i,
			      struct group groups[SPW_PORTS_MAX], uint32_t *ports)
{
	uint32_t port = burst->port_out[i];

	if (port >= SPW_PORTS_MAX || worker->tx[port].ethdev == RTE_MAX_ETHPORTS) {
		spw_drop(&worker->lane, burst, i, SPW_DROP_PORT_ABSENT);
		return NULL;
	}
	if (worker->tx[port].worker != worker->lane.worker) {
		spw_hand_off(&worker->lane, burst, i, worker->tx[port].worker, SPW_AT_TRANSMIT);
		return NULL;
	}
	if (!(*ports & 1u << port)) {
		groups[port].cnt = 0;
		groups[port].bytes = 0;
	}
	*ports |= 1u << port;
	return &groups[port];
}

void spw_transmit(struct spw_worker *worker, struct spw_burst *burst)
{
	struct group groups[SPW_PORTS_MAX], *group = NULL;
	uint32_t ports = 0;         /* bit p: something leaves by port p */
	uint32_t port = UINT32_MAX; /* `group` is the one of this port */
	bool kernel = false;

	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (burst->state[i] != SPW_AT_TRANSMIT) {
			kernel |= burst->state[i] == SPW_AT_KERNEL;
			continue;
		}
		if (burst->port_out[i] != port || !group) {
			port = burst->port_out[i];
			group = group_of(worker, burst, i, groups, &ports);
			if (!group)
				continue;
		}
		/* The length now: a sent mbuf is the driver's. */
		group->bytes += burst->mbuf[i]->pkt_len;
		group->mbuf[group->cnt] = burst->mbuf[i];
		group->place[group->cnt++] = (uint8_t)i;
	}
	for (; ports; ports &= ports - 1) {
		port = (uint32_t)__builtin_ctz(ports);
		send_group(worker, burst, port, &groups[port]);
	}
	if (kernel)
		spw_taps_give(worker, burst);
}
