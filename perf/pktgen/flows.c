/* SPDX-License-Identifier: BSD-2-Clause */
/* flows.c - makes the flows of a generator; see generate.h. */
#include <stdio.h>
#include <stdlib.h>

#include "perf/pktgen/generate.h"
#include "perf/pktgen/options.h"
#include "perf/pktgen/random.h"
#include "perf/pktgen/tag.h"

#define INNER_TTL 64u
#define PORT_DISCARD 9u

/* The IP and UDP headers of a flow, and their sums as far as they are known. */
static void write_headers(struct spw_flow *flow, uint8_t family, const uint8_t src[16],
			  const uint8_t dst[16], uint16_t source_port)
{
	uint32_t address_bytes = family == 4 ? 4 : 16;
	uint8_t *ip = flow->header;
	uint8_t *addresses = ip + (family == 4 ? 12 : 8), *udp = addresses + 2 * address_bytes;

	if (family == 4) {
		ip[0] = 0x45;
		ip[8] = INNER_TTL;
		ip[9] = SPW_PROTO_UDP;
	} else {
		ip[0] = 0x60;
		ip[6] = SPW_PROTO_UDP;
		ip[7] = INNER_TTL;
	}
	memcpy(addresses, src, address_bytes);
	memcpy(addresses + address_bytes, dst, address_bytes);
	spw_put_be16(udp, source_port);
	spw_put_be16(udp + 2, PORT_DISCARD);
	flow->header_bytes = (uint16_t)(udp + SPW_UDP_BYTES - ip);
	flow->ether_type = family == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6;
	flow->ip_sum = family == 4 ? spw_sum_fold(spw_sum(ip, SPW_IPV4_BYTES, 0)) : 0;
	flow->udp_sum = spw_sum_fold(spw_sum(addresses, 2 * address_bytes + 4, SPW_PROTO_UDP));
}

/* The `index`-th flow of two ranges: first all pairs of addresses, then the next source port. */
static void make_flow(struct spw_flow *flow, const struct spw_range *src,
		      const struct spw_range *dst, uint64_t index)
{
	uint8_t from[16], to[16];

	spw_range_address(dst, index, to);
	index /= dst->cnt;
	spw_range_address(src, index, from);
	index /= src->cnt;
	write_headers(flow, src->family, from, to,
		      (uint16_t)(SPW_SOURCE_PORT_FIRST + index % SPW_SOURCE_PORTS));
}

/* A random order of the SAs, the same in every run: neighbours in the file are not neighbours on
 * the wire, or what is tested could prefetch one tunnel after the other. */
static uint32_t *shuffled(uint32_t cnt)
{
	uint32_t *order = malloc(cnt * sizeof(*order));
	uint64_t state = SPW_RANDOM_SEED;

	for (uint32_t i = 0; order && i < cnt; i++)
		order[i] = i;
	for (uint32_t i = cnt; order && i > 1; i--) {
		uint32_t j = (uint32_t)(spw_random_next(&state) >> 33) % i, other = order[j];
		order[j] = order[i - 1];
		order[i - 1] = other;
	}
	return order;
}

static bool make_flows(struct spw_generator *generator, const struct spw_flow_plan *plan)
{
	const struct spw_sas *of = plan->ranges_of;

	if (!of) {
		for (uint32_t i = 0; i < generator->flows_cnt; i++)
			make_flow(&generator->flow[i], &plan->src, &plan->dst, i);
		return true;
	}
	uint32_t *order = shuffled(of->cnt);
	for (uint32_t i = 0; order && i < generator->flows_cnt; i++) {
		struct spw_peer_sa *sa = &of->sa[order[i % of->cnt]];
		make_flow(&generator->flow[i], &sa->inner_src, &sa->inner_dst, i / of->cnt);
		generator->flow[i].sa = plan->sas ? sa : NULL;
	}
	free(order);
	return order;
}

/* The pattern, and its sum for every size. Headers of both families are of even length, so the
 * payload's words are the datagram's. */
static void make_pattern(struct spw_generator *generator, uint32_t bytes)
{
	const struct spw_mix *mix = generator->mix;
	uint32_t header_bytes = generator->flow[0].header_bytes + SPW_TAG_BYTES;

	for (uint32_t i = 0; i < bytes; i++)
		generator->pattern[i] = (uint8_t)(i * 7 + 1);
	for (uint32_t s = 0; s < mix->sizes_cnt; s++)
		generator->pattern_sum[s] =
			spw_sum_fold(spw_sum(generator->pattern, mix->bytes[s] - header_bytes, 0));
}

/* All flows are of one family, else the pattern's sums would not be. */
static bool check_flows(const struct spw_generator *generator, char *why, unsigned int why_bytes)
{
	uint32_t header_bytes = generator->flow[0].header_bytes;

	for (uint32_t i = 0; i < generator->flows_cnt; i++) {
		if (generator->flow[i].header_bytes == header_bytes)
			continue;
		snprintf(
			why, why_bytes,
			"the inner addresses of all SAs in use must be of one family; run IPv4 and "
			"IPv6 one after the other");
		return false;
	}
	for (uint32_t s = 0; s < generator->mix->sizes_cnt; s++) {
		uint32_t bytes = generator->mix->bytes[s];
		if (bytes >= header_bytes + SPW_TAG_BYTES && bytes <= SPW_SIZE_BYTES_MAX)
			continue;
		snprintf(why, why_bytes,
			 "--size %u: expected %u (headers, and %u bytes that a packet is known by) "
			 "to %u",
			 bytes, header_bytes + SPW_TAG_BYTES, SPW_TAG_BYTES, SPW_SIZE_BYTES_MAX);
		return false;
	}
	return true;
}

struct spw_generator *spw_generator_create(const struct spw_flow_plan *plan, char *why,
					   unsigned int why_bytes)
{
	struct spw_generator *generator = calloc(1, sizeof(*generator) + SPW_SIZE_BYTES_MAX);

	if (!generator)
		goto no_memory;
	generator->mix = plan->mix;
	generator->sas = plan->sas;
	generator->flows_cnt = plan->flows       ? plan->flows
			       : plan->ranges_of ? plan->ranges_of->cnt
						 : 1;
	generator->flow = calloc(generator->flows_cnt, sizeof(*generator->flow));
	if (!generator->flow || !make_flows(generator, plan))
		goto no_memory;
	if (!check_flows(generator, why, why_bytes)) {
		spw_generator_destroy(generator);
		return NULL;
	}
	make_pattern(generator, SPW_SIZE_BYTES_MAX);
	return generator;

no_memory:
	snprintf(why, why_bytes, "no memory for the flows");
	spw_generator_destroy(generator);
	return NULL;
}

void spw_generator_destroy(struct spw_generator *generator)
{
	if (!generator)
		return;
	free(generator->flow);
	free(generator);
}

void spw_generator_reset(struct spw_generator *generator, uint16_t trial)
{
	generator->trial = trial;
	generator->next_flow = generator->next_size = 0;
	for (uint32_t i = 0; i < generator->flows_cnt; i++)
		generator->flow[i].sequence = 0;
}

uint32_t spw_generator_frame_bytes(const struct spw_generator *generator)
{
	uint32_t bytes = 0, extra = SPW_ETHER_BYTES;

	for (uint32_t s = 0; s < generator->mix->sizes_cnt; s++)
		bytes = RTE_MAX(bytes, (uint32_t)generator->mix->bytes[s]);
	for (uint32_t i = 0; generator->sas && i < generator->sas->cnt; i++)
		extra = RTE_MAX(extra, SPW_ETHER_BYTES + generator->sas->sa[i].outer_bytes +
					       SPW_ESP_BYTES + 3 + SPW_ESP_TRAILER_BYTES +
					       SPW_ICV_BYTES);
	return bytes + extra;
}
