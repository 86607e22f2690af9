/* SPDX-License-Identifier: BSD-2-Clause */
/* rings_clock.c - see rings.h. */
#include <time.h>

#include <rte_cycles.h>

#include "perf/rings.h"

/* The thread's CPU time is only read when two looks lie further apart than any round of the worker
 * takes (64 packets of 1408 bytes with OpenSSL: some 40 us): the reading is a system call. Shorter
 * interruptions stay in the schedule and in the latencies. */
#define LOOK_US 60u

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void rings_clock_start(struct rings_clock *clock)
{
	uint64_t now = rte_rdtsc();

	*clock = (struct rings_clock){.last_tsc = now, .read_tsc = now, .read_cpu_ns = cpu_ns()};
	clock->start_tsc = now;
}

uint64_t rings_clock_now(struct rings_clock *clock)
{
	uint64_t now = rte_rdtsc(), mhz = rte_get_tsc_hz() / 1000000u;

	if (now - clock->last_tsc > LOOK_US * mhz) {
		uint64_t used_ns = cpu_ns();
		uint64_t had = (used_ns - clock->read_cpu_ns) * mhz / 1000u;
		uint64_t passed = now - clock->read_tsc;
		if (passed > had) {
			/* Never more than this gap: the clock must not go back. */
			clock->away_tsc += RTE_MIN(passed - had, now - clock->last_tsc);
			clock->away_cnt++;
		}
		clock->read_tsc = now;
		clock->read_cpu_ns = used_ns;
	}
	clock->last_tsc = now;
	return now - clock->start_tsc - clock->away_tsc;
}
