/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * losses.c - packets that were on their way to a worker and never reached it: its socket's receive
 * ring or its free frames were used up, or a frame was longer than a buffer. Only the kernel sees
 * them, and of a device only its hardware, which the main thread asks (service.c).
 */
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include "dataplane/worker.h"

/* A look is one getsockopt for each socket, 0.2 us: at this distance nobody notices it, and nobody
 * who reads the counters notices the delay. */
#define LOOK_NS 10000000u

static uint64_t lost_of(int xsk_fd)
{
	struct xdp_statistics seen;
	socklen_t bytes = sizeof(seen);

	if (getsockopt(xsk_fd, SOL_XDP, XDP_STATISTICS, &seen, &bytes) < 0)
		return 0;
	return seen.rx_dropped + seen.rx_ring_full;
}

/* Adds what has been lost since `before`. */
static void count_more(struct spw_lane *lane, uint64_t *before, uint64_t lost)
{
	if (lost > *before) {
		spw_count(&lane->row->drops[SPW_DROP_RING_FULL], lost - *before);
		*before = lost;
	}
}

bool spw_losses_count(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;

	if (worker->looked_ns >= worker->busy_ns)
		return true;
	if (lane->now_ns - worker->looked_ns < LOOK_NS)
		return false;
	for (uint32_t q = 0; q < worker->rx_cnt; q++) {
		if (worker->rx[q].xsk_fd >= 0)
			count_more(lane, &worker->lost[q], lost_of(worker->rx[q].xsk_fd));
	}
	count_more(lane, &worker->devices_lost_before,
		   __atomic_load_n(&worker->devices_lost, __ATOMIC_RELAXED));
	worker->looked_ns = lane->now_ns;
	return true;
}
