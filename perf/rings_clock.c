/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rings_clock.c - see rings.h.
 *
 * A gap between two looks that is longer than a round of the worker can take is an absence. The
 * thread's CPU time does not tell: a virtual machine's host takes the CPU without the kernel's
 * knowledge, and so does an interrupt, whose time the kernel counts as the thread's. A program that
 * did nothing but read the clock, on a virtual CPU with nothing else to run, had 150 gaps above
 * 60 us a second, of which 40 lacked CPU time, and each of the 250 ticks of a second took 40 to
 * 80 us.
 *
 * That long rounds of the worker's own are not taken for absences is seen from outside: by its page
 * faults (rings.py counts them), and by bare trials, in which absences are as many.
 */
#include <rte_cycles.h>

#include "perf/rings.h"

/* A round takes at most this, and for each packet half as much again as it is worth in the quickest
 * round with a whole burst: a virtual CPU whose core does something else as well has been seen to
 * do the same in 1.7 times the time, for seconds. Shorter interruptions stay in the latencies. */
#define ROUND_US 15u
#define PACKET_TIMES 1.5
/* A round without packets, and what is no reason to call one slow. */
#define EMPTY_US 2u

void rings_clock_start(struct rings_clock *clock, uint64_t burst_tsc)
{
	uint64_t now = rte_rdtsc();

	*clock = (struct rings_clock){.start_tsc = now, .last_tsc = now, .burst_tsc = burst_tsc};
}

uint64_t rings_clock_now(struct rings_clock *clock, uint32_t packets)
{
	uint64_t now = rte_rdtsc(), mhz = rte_get_tsc_hz() / 1000000u;
	uint64_t gap = now - clock->last_tsc;

	if (packets == RINGS_BURST && (gap < clock->burst_tsc || !clock->burst_tsc))
		clock->burst_tsc = gap;
	uint64_t usual = packets * clock->burst_tsc / RINGS_BURST;
	if (gap > usual + EMPTY_US * mhz)
		clock->slow_tsc += gap - usual;
	if (gap > (uint64_t)(PACKET_TIMES * (double)usual) + ROUND_US * mhz) {
		clock->away_tsc += gap - usual;
		clock->away_max_tsc = RTE_MAX(clock->away_max_tsc, gap - usual);
		clock->away_cnt++;
	}
	clock->last_tsc = now;
	return now - clock->start_tsc - clock->away_tsc;
}
