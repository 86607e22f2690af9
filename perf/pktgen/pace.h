/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pace.h - when how many packets are due, on the clock of the CPU (TSC ticks).
 *
 * The schedule is absolute: after t ticks floor(t x rate) packets are due, so that the rate is
 * exact however long a burst took. Who comes late catches up at twice the rate, not in one burst
 * that would overrun the rings of what is tested; and what is more than 20 ms behind is given up,
 * and counted, since a generator that was not running cannot say what the tested would have done.
 *
 * Who owns the memory: the caller. Thread: the one that sends.
 */
#ifndef SPW_PACE_H
#define SPW_PACE_H

#include <stdint.h>

struct spw_pace {
	uint64_t start_ticks;
	uint64_t packets_per_tick; /* 2^64 is 1; 0: as fast as it goes */
	uint64_t half_gap_ticks;   /* per packet, 2^16 is 1: at twice the rate */
	uint64_t lag_packets_max;
	uint64_t next_ticks; /* no packet before that */
	uint64_t taken;      /* packets so far */
	uint64_t given_up;
};

/* packets_per_s: more than 0 and at most ticks_per_s; 0: as fast as it goes. */
static inline void spw_pace_start(struct spw_pace *pace, double packets_per_s, double ticks_per_s,
				  uint64_t now_ticks)
{
	*pace = (struct spw_pace){.start_ticks = now_ticks, .next_ticks = now_ticks};
	if (packets_per_s <= 0)
		return;
	double share = packets_per_s / ticks_per_s * 0x1p64;
	pace->packets_per_tick = share < 0x1p64 ? (uint64_t)share : UINT64_MAX;
	pace->half_gap_ticks = (uint64_t)(ticks_per_s / packets_per_s / 2 * 65536);
	/* 20 ms: longer than a scheduler lets a thread wait, short against a second. */
	pace->lag_packets_max = (uint64_t)(packets_per_s / 50) + 64;
}

/* How many packets are to be sent now, at most `max`. They count as sent. */
static inline uint32_t spw_pace_take(struct spw_pace *pace, uint64_t now_ticks, uint32_t max)
{
	if (!pace->packets_per_tick) {
		pace->taken += max;
		return max;
	}
	if (now_ticks < pace->next_ticks)
		return 0;
	uint64_t due = (uint64_t)((unsigned __int128)(now_ticks - pace->start_ticks) *
					  pace->packets_per_tick >>
				  64);
	uint64_t lag = due - pace->given_up - pace->taken;
	if (lag > pace->lag_packets_max) {
		pace->given_up += lag - pace->lag_packets_max;
		lag = pace->lag_packets_max;
	}
	uint32_t packets = lag < max ? (uint32_t)lag : max;
	pace->taken += packets;
	pace->next_ticks = now_ticks + (packets * pace->half_gap_ticks >> 16);
	return packets;
}

#endif
