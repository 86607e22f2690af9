/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * losses.c - packets that were steered to a worker and never reached it: its socket's receive ring
 * or its free frames were used up, or a frame was longer than a buffer. Only the kernel sees them.
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

bool spw_losses_count(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;

	if (worker->looked_ns >= worker->busy_ns)
		return true;
	if (lane->now_ns - worker->looked_ns < LOOK_NS)
		return false;
	for (uint32_t q = 0; q < worker->rx_cnt; q++) {
		uint64_t lost = lost_of(worker->sleep_on[q].fd);
		if (lost > worker->lost[q]) {
			spw_count(&lane->row->drops[SPW_DROP_RING_FULL], lost - worker->lost[q]);
			worker->lost[q] = lost;
		}
	}
	worker->looked_ns = lane->now_ns;
	return true;
}
