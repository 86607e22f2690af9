/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generate.h - test packets: UDP in IPv4 or IPv6, of many flows, plain or inside ESP.
 *
 * Flows take turns. A flow has its addresses and its source port; with SAs it belongs to one of
 * them, and takes its inner addresses from there. The UDP payload is a tag (tag.h) and a constant
 * pattern, so that a packet's checksums follow from few additions.
 *
 * Who owns the memory: spw_generator_create to spw_generator_destroy. Thread: main creates and
 * resets, the sender generates.
 */
#ifndef SPW_GENERATE_H
#define SPW_GENERATE_H

#include <stdint.h>

#include <rte_mbuf.h>

#include "perf/pktgen/mix.h"
#include "perf/pktgen/range.h"
#include "perf/pktgen/sas.h"

/* What a frame has more than the IP packet in it, at most: Ethernet, outer headers, ESP. */
#define SPW_FRAME_EXTRA_BYTES                                                                      \
	(SPW_ETHER_BYTES + SPW_OUTER_HEADER_BYTES + SPW_ESP_BYTES + 3 + SPW_ESP_TRAILER_BYTES +    \
	 SPW_ICV_BYTES)

struct spw_flow {
	uint8_t header[SPW_IPV6_BYTES + SPW_UDP_BYTES]; /* IP and UDP, lengths and sums open */
	uint16_t header_bytes;
	uint16_t ether_type;
	uint32_t ip_sum;  /* of the IPv4 header */
	uint32_t udp_sum; /* of addresses, protocol and ports */
	uint32_t sequence;
	struct spw_peer_sa *sa; /* NULL: sent plain */
};

struct spw_generator {
	const struct spw_mix *mix;
	struct spw_sas *sas; /* NULL: plain */
	uint8_t macs[12];    /* destination and source of every frame */
	uint16_t trial;
	uint32_t flows_cnt;
	uint32_t next_flow, next_size;
	struct spw_flow *flow;
	uint32_t pattern_sum[SPW_MIX_SIZES_MAX];
	uint8_t pattern[]; /* of the payload behind the tag */
};

/* Where the addresses of flows come from: two ranges, or the inner ranges of SAs. */
struct spw_flow_plan {
	uint32_t flows; /* 0: one for each SA */
	const struct spw_mix *mix;
	struct spw_range src, dst; /* where `ranges_of` is NULL */
	const struct spw_sas *ranges_of;
	struct spw_sas *sas; /* to send through, or NULL */
};

/* NULL with a sentence in `why`: no memory, or a size is below the headers of a flow. */
struct spw_generator *spw_generator_create(const struct spw_flow_plan *plan, char *why,
					   unsigned int why_bytes);
void spw_generator_destroy(struct spw_generator *generator);

/* Begins a trial: all flows at sequence 0. */
void spw_generator_reset(struct spw_generator *generator, uint16_t trial);

/* The longest frame, without FCS. */
uint32_t spw_generator_frame_bytes(const struct spw_generator *generator);

/*
 * Writes one frame into each of `cnt` empty mbufs, which have room for it, and the length of its IP
 * packet, with ESP the inner one, into hash.usr. Returns how many were written: fewer only when an
 * SA has no sequence number left for now.
 */
uint32_t spw_generate(struct spw_generator *generator, struct rte_mbuf **mbufs, uint32_t cnt,
		      uint64_t now_ticks);

#endif
