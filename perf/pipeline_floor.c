/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipeline_floor.c - what no pipeline can do without: the cipher and the ports, see pipeline.h.
 *
 * The floors are measured in the process and in the minute of what they are compared to. The
 * cipher's are those of 64 keys that are in the cache, however many tunnels there are.
 */
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include "perf/pipeline.h"

#define FLOOR_PACKETS SPW_BURST_MAX

struct floor_aead {
	bool seal;
	struct rte_mbuf *mbuf[FLOOR_PACKETS];
	uint8_t *sealed[FLOOR_PACKETS]; /* text and tag: what is to be opened */
	uint32_t bytes[FLOOR_PACKETS];
	struct spw_aead *aead[FLOOR_PACKETS];
	uint8_t nonce[FLOOR_PACKETS][SPW_NONCE_BYTES];
	uint8_t aad[FLOOR_PACKETS][12];
};

static uint8_t *text_of(const struct floor_aead *floor, uint32_t k)
{
	return rte_pktmbuf_mtod_offset(floor->mbuf[k], uint8_t *, SPW_ESP_BYTES);
}

/* What opens under the SA of a tunnel: sealed under the same key in the other direction. */
static void prepare_sealed(struct floor_aead *floor, uint32_t k, const struct spw_msg_sa_add *sa)
{
	struct spw_aead *peer = spw_aead_create(0, sa->key, sa->key_bytes, true);

	floor->sealed[k] = calloc(1, floor->bytes[k] + SPW_ICV_BYTES);
	if (!peer || !floor->sealed[k] ||
	    !spw_aead_seal(peer, floor->nonce[k], floor->aad[k], 12, floor->sealed[k],
			   floor->bytes[k], floor->sealed[k] + floor->bytes[k]))
		broken("the AEAD does not seal");
	spw_aead_destroy(peer);
}

struct floor_aead *floor_aead_create(const struct node *node, uint32_t size, bool seal)
{
	struct floor_aead *floor = calloc(1, sizeof(*floor));
	const struct spw_sa_table *sas = node->world->lane.sas;

	if (!floor || rte_pktmbuf_alloc_bulk(node->pool, floor->mbuf, FLOOR_PACKETS) != 0)
		broken("no buffers for the AEAD alone");
	floor->seal = seal;
	for (uint32_t k = 0; k < FLOOR_PACKETS; k++) {
		uint32_t tunnel = 1 + (k * 37) % 64;
		struct spw_msg_sa_add in = node_sa(SPW_SA_IN, tunnel);
		floor->bytes[k] = RTE_ALIGN_CEIL(packets_inner_bytes(size, k) + 2, 4u);
		floor->aead[k] = seal ? sas->out[tunnel]->aead : sas->in[tunnel]->aead;
		memset(floor->nonce[k], (int)k, SPW_NONCE_BYTES);
		prepare_sealed(floor, k, &in);
	}
	return floor;
}

void floor_aead_destroy(struct floor_aead *floor)
{
	rte_pktmbuf_free_bulk(floor->mbuf, FLOOR_PACKETS);
	for (uint32_t k = 0; k < FLOOR_PACKETS; k++)
		free(floor->sealed[k]);
	free(floor);
}

uint64_t floor_aead_cycles(struct floor_aead *floor)
{
	uint32_t done = 0;

	for (uint32_t k = 0; k < FLOOR_PACKETS; k++)
		memcpy(text_of(floor, k), floor->sealed[k], floor->bytes[k] + SPW_ICV_BYTES);
	uint64_t start = rte_rdtsc_precise();
	for (uint32_t k = 0; k < FLOOR_PACKETS; k++) {
		uint8_t *text = text_of(floor, k), *tag = text + floor->bytes[k];
		done += floor->seal ? spw_aead_seal(floor->aead[k], floor->nonce[k], floor->aad[k],
						    12, text, floor->bytes[k], tag)
				    : spw_aead_open(floor->aead[k], floor->nonce[k], floor->aad[k],
						    12, text, floor->bytes[k], tag);
	}
	uint64_t cycles = rte_rdtsc_precise() - start;
	if (done != FLOOR_PACKETS)
		broken("the AEAD alone refused a packet");
	return cycles;
}

uint64_t floor_io_cycles(struct source *from, uint16_t to, uint32_t bursts)
{
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint64_t cycles = 0;

	for (uint32_t k = 0; k < bursts; k++) {
		source_fill(from);
		uint64_t start = rte_rdtsc_precise();
		uint16_t got = rte_eth_rx_burst(from->ethdev, 0, mbuf, SPW_BURST_MAX);
		uint16_t sent = rte_eth_tx_burst(to, 0, mbuf, got);
		cycles += rte_rdtsc_precise() - start;
		if (sent != SPW_BURST_MAX)
			broken("the bare ports have lost packets");
	}
	return cycles;
}
