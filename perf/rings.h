/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rings.h - spw-perf-rings: the dataplane with rings in place of its interfaces, and a generator
 * behind them.
 *
 * It is the product's process, main() and all, with one file of its own in place of ports.c:
 * control hands it tables, SAs and ports as it would to spillway-dataplane. The generator runs
 * inside the worker's receive call (a receive callback of the ethdev), so worker and generator
 * share one CPU and leave the others to control, and no third thread has to be in time for
 * anything.
 *
 * Its clock is the worker's: packets become due at even distances, and what has become due since
 * the last receive call is put into the port's ring; what does not fit is counted, as a NIC would.
 * While the kernel or the host takes the CPU away, the schedule stands still (see rings_clock.c):
 * else these would be measured, who take their time from the generator on a machine of its own as
 * little as from the wire. How often and how long that was is reported, and how many packets a wire
 * would have lost meanwhile.
 *
 * Latency is from when a packet was due until the generator finds it in the ring that the worker
 * sent it to, at its next receive call.
 *
 * Commands, one to a line on stdin, each answered by one JSON object on stdout:
 *
 *   frame HEX          adds a frame; the generator takes them in turn, from a random start
 *   run PPS SECONDS    sends at that rate, and says what became of it
 *   bare PPS SECONDS   the same, but the worker gets nothing: packets go on to the other port as
 *                      they come, which is what the machine itself does to them
 *
 * Threads: `commands` is a thread of this file's, the rest runs on the worker's.
 */
#ifndef SPW_PERF_RINGS_H
#define SPW_PERF_RINGS_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "perf/pktgen/histogram.h"

#define RINGS_PACKETS 2048u /* as the product's AF_XDP rings */
#define RINGS_BURST 64u     /* of the worker */
#define RINGS_FRAMES_MAX 4096u
#define RINGS_FRAME_BYTES_MAX 1536u

struct rings_frame {
	uint32_t bytes;
	uint8_t data[RINGS_FRAME_BYTES_MAX];
};

/* rings_clock.c: a clock that stands still while the thread has no CPU. */
struct rings_clock {
	uint64_t start_tsc;
	uint64_t last_tsc;     /* at the last look */
	uint64_t away_tsc;     /* cycles without a CPU, since the start */
	uint64_t away_max_tsc; /* the longest of them */
	uint64_t away_cnt;
	uint64_t slow_tsc;  /* cycles above those of the quickest rounds, absences included */
	uint64_t burst_tsc; /* the quickest round with a whole burst so far, 0: none yet */
};
void rings_clock_start(struct rings_clock *clock, uint64_t burst_tsc);
/* TSC cycles since the start in which the thread had a CPU. packets: what the worker has handled
 * since the last look. */
uint64_t rings_clock_now(struct rings_clock *clock, uint32_t packets);

/* One measurement. Writer: the worker; `commands` fills in what is wanted before it sets `running`,
 * and reads the rest after the worker has cleared it. */
struct rings_trial {
	uint32_t running;       /* commands: release store of 1; worker: of 0 at the end */
	bool bare;              /* past the worker */
	uint64_t gap_q16;       /* cycles from packet to packet, times 65536 */
	uint64_t packets;       /* to be sent in all */
	uint64_t offered;       /* that were due */
	uint64_t ring_full;     /* of these: the ring had no room */
	uint64_t buffers_short; /* or there was no buffer */
	uint64_t received;      /* that the worker has sent on */
	uint64_t lost_away;     /* were never due: no room for them while the CPU was away */
	uint64_t drained_tsc;   /* when the last of them was seen */
	struct rings_clock clock;
	struct spw_histogram latency_cycles;
};

/* rings_generator.c. Worker: one receive call's worth of generating and taking in. */
struct rings_generator {
	struct rte_mempool *pool;
	struct rte_ring *in;  /* to the worker */
	struct rte_ring *out; /* from it */
	int stamp_offset;     /* of the time a packet was due, in the mbuf */
	uint32_t frames_cnt, next;
	struct rings_frame *frames; /* RINGS_FRAMES_MAX; commands writes, while no trial runs */
	uint64_t burst_tsc[2];      /* of the clocks of earlier trials: worker's, bare */
	struct rings_trial trial;
};
void rings_generate(struct rings_generator *generator);
/* In a bare trial: sends on what was received. Returns whether it is one. */
bool rings_pass_on(struct rings_generator *generator, struct rte_mbuf *mbuf[], uint32_t cnt);

/* rings_commands.c. The thread's function; argument: struct rings_commands. */
struct rings_commands {
	struct rings_generator *generator;
	int awake_fd; /* eventfd; readable: the worker does not block */
	/* The dataplane runs no thread that keeps a capability: posted when this one has none. */
	sem_t started;
	int error; /* of dropping them; 0: done */
};
void *rings_commands_run(void *argument);

#endif
