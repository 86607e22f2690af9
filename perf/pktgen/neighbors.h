/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neighbors.h - ARP (RFC 826) and neighbour discovery (RFC 4861) for the hosts that the generator
 * plays: it answers for their addresses, and asks for its gateway's MAC.
 *
 * Functions on frames without VLAN tags. Who owns the memory: the caller. Thread: the receiver
 * answers, main asks before there is one.
 */
#ifndef SPW_NEIGHBORS_H
#define SPW_NEIGHBORS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/text.h"
#include "perf/pktgen/range.h"

#define SPW_NEIGHBOR_FRAME_BYTES 86u /* of the longest frame that is written here */

/* The addresses that are ours. */
struct spw_played {
	uint32_t cnt;
	const struct spw_range *range;
	struct spw_endpoint not_ours; /* the gateway, should a range hold it */
};

/* Whether the frame is ARP, neighbour or multicast listener discovery: a kernel's talk to itself
 * that no test has sent. */
bool spw_neighbors_is_talk(const uint8_t *frame, uint32_t bytes);

/* Answers a question for an address of ours: writes the answer over the frame, which has room for
 * SPW_NEIGHBOR_FRAME_BYTES, and returns its length. 0: it is no such question. */
uint32_t spw_neighbors_answer(const struct spw_played *played, const uint8_t mac[6], uint8_t *frame,
			      uint32_t bytes);

/* Writes a question for the MAC of `target`, from `source` (both of one family); returns its
 * length. */
uint32_t spw_neighbors_ask(const struct spw_endpoint *target, const uint8_t source[16],
			   const uint8_t mac[6], uint8_t frame[SPW_NEIGHBOR_FRAME_BYTES]);

/* Whether the frame says what the MAC of `target` is. */
bool spw_neighbors_learn(const struct spw_endpoint *target, const uint8_t *frame, uint32_t bytes,
			 uint8_t mac[6]);

#endif
