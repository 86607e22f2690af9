/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transmit.c - the last stage: hands the packets to their ports, grouped, one call for each port.
 */
#include <rte_ethdev.h>

#include "dataplane/worker.h"

/* The packets of a burst that leave by one port, by their place in the burst. */
struct group {
	uint32_t cnt;
	uint8_t place[SPW_BURST_MAX];
};

/* Drops in the order of the burst what was not sent, from place `sent` of the group on. */
static void drop_rest(struct spw_worker *worker, struct spw_burst *burst, const struct group *group,
		      uint32_t sent)
{
	for (uint32_t k = sent; k < group->cnt; k++)
		spw_drop(&worker->lane, burst, group->place[k], SPW_DROP_TX_FULL);
}

static void send_group(struct spw_worker *worker, struct spw_burst *burst, uint32_t port,
		       const struct group *group)
{
	struct spw_port_counters *counters = &worker->lane.row->ports[port];
	uint16_t ethdev = worker->tx_ethdev[port];
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint32_t bytes[SPW_BURST_MAX];
	uint64_t bytes_sent = 0;

	/* The lengths now: a sent mbuf is the driver's. */
	for (uint32_t k = 0; k < group->cnt; k++) {
		mbuf[k] = burst->mbuf[group->place[k]];
		bytes[k] = mbuf[k]->pkt_len;
	}
	uint16_t sent = rte_eth_tx_burst(ethdev, 0, mbuf, (uint16_t)group->cnt);
	/* Once more: the first call has had the kernel send, and so made room in the ring. */
	if (sent < group->cnt)
		sent += rte_eth_tx_burst(ethdev, 0, mbuf + sent, (uint16_t)(group->cnt - sent));
	for (uint32_t k = 0; k < sent; k++) {
		burst->state[group->place[k]] = SPW_DONE;
		bytes_sent += bytes[k];
	}
	spw_count(&counters->tx_packets, sent);
	spw_count(&counters->tx_bytes, bytes_sent);
	drop_rest(worker, burst, group, sent);
}

void spw_transmit(struct spw_worker *worker, struct spw_burst *burst)
{
	struct group groups[SPW_PORTS_MAX];
	uint32_t ports = 0; /* bit p: something leaves by port p */

	for (uint32_t i = 0; i < burst->cnt; i++) {
		uint32_t port = burst->port_out[i];
		if (burst->state[i] != SPW_AT_TRANSMIT)
			continue;
		if (port >= SPW_PORTS_MAX || worker->tx_ethdev[port] == RTE_MAX_ETHPORTS) {
			spw_drop(&worker->lane, burst, i, SPW_DROP_PORT_ABSENT);
			continue;
		}
		struct group *group = &groups[port];
		if (!(ports & 1u << port))
			group->cnt = 0;
		ports |= 1u << port;
		group->place[group->cnt++] = (uint8_t)i;
	}
	for (; ports; ports &= ports - 1) {
		uint32_t port = (uint32_t)__builtin_ctz(ports);
		send_group(worker, burst, port, &groups[port]);
	}
}
