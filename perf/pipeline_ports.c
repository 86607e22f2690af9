/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline_ports.c - where the packets of spw-bench-pipeline come from and go to, see pipeline.h.
 */
#include <stdio.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_memcpy.h>

#include "perf/pipeline.h"

#define RING_PACKETS 512u

static void start(uint16_t ethdev, struct rte_mempool *pool)
{
	const struct rte_eth_conf config = {0};

	int error = rte_eth_dev_configure(ethdev, 1, 1, &config);
	if (!error)
		error = rte_eth_rx_queue_setup(ethdev, 0, RING_PACKETS, SOCKET_ID_ANY, NULL, pool);
	if (!error)
		error = rte_eth_tx_queue_setup(ethdev, 0, RING_PACKETS, SOCKET_ID_ANY, NULL);
	if (!error)
		error = rte_eth_dev_start(ethdev);
	if (error)
		broken("a DPDK port does not start: %s", strerror(-error));
}

/* Receives by copying, as pcap ports, memif and AF_XDP in copy mode do: a packet that nobody has
 * read yet is in no cache of a core, and who reads it first, the AEAD or the port, would pay. */
static uint16_t copy_burst(uint16_t ethdev, uint16_t queue, struct rte_mbuf *mbuf[], uint16_t cnt,
			   uint16_t max, void *pool)
{
	struct rte_mbuf *copy[SPW_BURST_MAX];

	(void)ethdev, (void)queue, (void)max;
	if (cnt == 0 || rte_pktmbuf_alloc_bulk(pool, copy, cnt) != 0)
		return cnt;
	for (uint32_t i = 0; i < cnt; i++) {
		rte_memcpy(rte_pktmbuf_mtod(copy[i], void *), rte_pktmbuf_mtod(mbuf[i], void *),
			   mbuf[i]->data_len);
		copy[i]->data_len = mbuf[i]->data_len;
		copy[i]->pkt_len = mbuf[i]->pkt_len;
		copy[i]->port = mbuf[i]->port;
	}
	rte_pktmbuf_free_bulk(mbuf, cnt);
	memcpy(mbuf, copy, cnt * sizeof(copy[0]));
	return cnt;
}

void source_open(struct source *source, struct rte_mempool *pool)
{
	static uint32_t opened;
	char name[32];

	snprintf(name, sizeof(name), "source%u", opened++);
	struct rte_ring *ring =
		rte_ring_create(name, RING_PACKETS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	int ethdev = ring ? rte_eth_from_ring(ring) : -1;
	if (ethdev < 0)
		broken("no port over a ring: %s", rte_strerror(rte_errno));
	*source = (struct source){.ethdev = (uint16_t)ethdev, .ring = ring, .pool = pool};
	if (!rte_eth_add_rx_callback(source->ethdev, 0, copy_burst, pool))
		broken("no callback: %s", rte_strerror(rte_errno));
	start(source->ethdev, pool);
}

void source_fill(struct source *source)
{
	struct rte_mbuf *mbuf[SPW_BURST_MAX];

	if (rte_pktmbuf_alloc_bulk(source->pool, mbuf, SPW_BURST_MAX) != 0)
		broken("packet buffers were lost");
	for (uint32_t i = 0; i < SPW_BURST_MAX; i++) {
		const struct packet *packet = &source->packets->packet[source->next];
		source->next = (source->next + 1) % PACKETS_CNT;
		memcpy(rte_pktmbuf_mtod(mbuf[i], void *), packet->frame, packet->bytes);
		mbuf[i]->data_len = (uint16_t)packet->bytes;
		mbuf[i]->pkt_len = packet->bytes;
		mbuf[i]->port = source->ethdev;
	}
	if (rte_ring_enqueue_bulk(source->ring, (void **)mbuf, SPW_BURST_MAX, NULL) == 0)
		broken("packets were left over in a source");
}

uint16_t port_open_sink(struct rte_mempool *pool)
{
	static uint32_t opened;
	char name[32];
	uint16_t ethdev;

	snprintf(name, sizeof(name), "net_null%u", opened++);
	int error = rte_eal_hotplug_add("vdev", name, "");
	if (!error)
		error = rte_eth_dev_get_port_by_name(name, &ethdev);
	if (error)
		broken("DPDK port %s: %s", name, strerror(-error));
	start(ethdev, pool);
	return ethdev;
}
