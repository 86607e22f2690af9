/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.h - the anti-replay window of an inbound SA (RFC 4303 3.4.3), as RFC 6479 builds it: a
 * ring of 64-bit words in which moving the window clears whole words and shifts nothing.
 *
 * The ring holds twice the window, the least power of two that is at least a word larger than it,
 * so that the window is exactly as long as it was asked for, wherever its top stands in a word.
 *
 * Order on a packet: spw_replay_extend (ESN only), spw_replay_check, decrypt, and only when the
 * packet is authentic spw_replay_accept. A forged packet leaves no trace here.
 *
 * Who owns the memory: the SA, at whose end it stands (spw_replay_bytes). Thread: the SA's owner;
 * `top` may be read by the main thread (relaxed).
 */
#ifndef SPW_REPLAY_H
#define SPW_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPW_REPLAY_WINDOW_MIN 64u
#define SPW_REPLAY_WINDOW_MAX 8192u

enum spw_replay_verdict {
	SPW_REPLAY_OK = 0,
	SPW_REPLAY_REPLAYED, /* in the window, seen before */
	SPW_REPLAY_OLD,      /* left of the window, below the floor, or number 0 */
};

struct spw_replay {
	uint64_t top;   /* highest number accepted; before the first: floor - 1 */
	uint64_t floor; /* numbers below it are refused; at least 1: ESP never sends number 0 */
	uint32_t window_packets;
	uint32_t ring_mask; /* words in the ring - 1 */
	uint64_t ring[];
};

/* window_packets: a power of two in SPW_REPLAY_WINDOW_MIN..MAX. */
static inline bool spw_replay_window_valid(uint32_t window_packets)
{
	return window_packets >= SPW_REPLAY_WINDOW_MIN && window_packets <= SPW_REPLAY_WINDOW_MAX &&
	       (window_packets & (window_packets - 1)) == 0;
}

/* Bytes of the ring, to be allocated, zeroed, behind struct spw_replay. */
static inline size_t spw_replay_bytes(uint32_t window_packets)
{
	return (size_t)window_packets * 2 / 8;
}

/* floor: the first number that may be accepted; 0 is taken as 1. The ring must be zeroed. With ESN
 * the floor also says which 2^32 numbers are expected first, so that an SA can be taken up again.
 */
static inline void spw_replay_init(struct spw_replay *replay, uint32_t window_packets,
				   uint64_t floor)
{
	replay->floor = floor ? floor : 1;
	replay->top = replay->floor - 1;
	replay->window_packets = window_packets;
	replay->ring_mask = window_packets * 2 / 64 - 1;
}

/*
 * spw_replay_extend guesses the 64-bit number of a packet from the 32 bits that it carries: the one
 * nearest to the window (RFC 4303 appendix A2.1). Returns 0, which spw_replay_check refuses as OLD,
 * where the guess would lie below 0 or beyond 2^64. A wrong guess fails authentication.
 */
static inline uint64_t spw_replay_extend(const struct spw_replay *replay, uint32_t sequence_low)
{
	uint32_t top_low = (uint32_t)replay->top;
	uint32_t high = (uint32_t)(replay->top >> 32);
	uint32_t bottom_low = top_low - replay->window_packets + 1;

	if (top_low >= replay->window_packets - 1) { /* case A: the window lies in one subspace */
		if (sequence_low < bottom_low && ++high == 0)
			return 0;
	} else { /* case B: it reaches down into the subspace before */
		if (sequence_low >= bottom_low && high-- == 0)
			return 0;
	}
	return (uint64_t)high << 32 | sequence_low;
}

static inline enum spw_replay_verdict spw_replay_check(const struct spw_replay *replay,
						       uint64_t sequence)
{
	if (sequence < replay->floor)
		return SPW_REPLAY_OLD;
	if (sequence > replay->top)
		return SPW_REPLAY_OK;
	if (replay->top - sequence >= replay->window_packets)
		return SPW_REPLAY_OLD;
	uint64_t word = replay->ring[(sequence >> 6) & replay->ring_mask];
	return word >> (sequence & 63) & 1 ? SPW_REPLAY_REPLAYED : SPW_REPLAY_OK;
}

/* Marks a number that was found OK and whose packet is authentic, and moves the window. Returns
 * whether it is the highest so far. */
static inline bool spw_replay_accept(struct spw_replay *replay, uint64_t sequence)
{
	bool highest = sequence > replay->top;

	if (highest) {
		uint64_t words = (sequence >> 6) - (replay->top >> 6);
		if (words > replay->ring_mask + 1ull)
			words = replay->ring_mask + 1ull;
		for (uint64_t k = 0; k < words; k++)
			replay->ring[((sequence >> 6) - k) & replay->ring_mask] = 0;
		__atomic_store_n(&replay->top, sequence, __ATOMIC_RELAXED);
	}
	replay->ring[(sequence >> 6) & replay->ring_mask] |= 1ull << (sequence & 63);
	return highest;
}

#endif
