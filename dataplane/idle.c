/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * idle.c - how a worker sleeps when nothing comes, and how it takes part in grace periods.
 *
 * Blocking. Work comes from the kernel or from another worker. A packet in an AF_XDP ring keeps its
 * socket readable, so it cannot be missed between the last look and poll(). A packet in the handoff
 * ring is announced by the other worker:
 *
 *     sleeper                        giver
 *     sleeping = 1                   put the packet into the ring
 *     fence seq_cst                  fence seq_cst
 *     ring empty? poll(), else stay  sleeping == 1? write the eventfd
 *
 * Of two such fences one comes first in the one order of all of them. If it is the sleeper's, the
 * giver reads sleeping == 1 and writes; if the giver's, the sleeper finds the packet. The same pair
 * serves what the main thread gives: crew->stop, and packets to send without content.
 *
 * Devices. A PCI queue announces packets by an interrupt, which is on only while its worker sleeps.
 * Whether one came in between is asked afterwards, of drivers that can tell, and no such sleep is
 * longer than 10 ms. DPDK's virtual devices, but for net_tap, wake nobody: a worker that polls one
 * never sleeps.
 *
 * Grace periods. Online, a worker holds references into the tables and to SAs between two quiescent
 * states. Two clocks watch it: control's (meta->epoch, row->epoch), and the main thread's
 * (rte_rcu_qsbr) for SAs, which control's clock says nothing about. Offline it holds none.
 */
#include <stdint.h>
#include <unistd.h>

#include <rte_atomic.h>
#include <rte_ethdev.h>

#include "dataplane/crew.h"
#include "dataplane/worker.h"

/* What the rate limits of housekeeping held back is done when the worker wakes for it. */
#define HOUSE_RETRY_MS 10

void spw_idle_online(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	uint64_t epoch = __atomic_load_n(&lane->tables.meta->epoch, __ATOMIC_ACQUIRE);

	__atomic_store_n(&lane->row->epoch, epoch, __ATOMIC_RELAXED);
	/* Ends with a sequentially consistent fence, which stands between the store above, the one
	 * inside, and the first load from a table. Its pair is the fence between unpublishing and
	 * reading row->epoch in control, and that of rte_rcu_qsbr_check in the main thread. */
	rte_rcu_qsbr_thread_online(worker->qsbr, lane->worker);
}

void spw_idle_offline(struct spw_worker *worker)
{
	rte_rcu_qsbr_thread_offline(worker->qsbr, worker->lane.worker);
	/* Release: every load from a table comes before it. */
	__atomic_store_n(&worker->lane.row->epoch, 0, __ATOMIC_RELEASE);
}

void spw_idle_wake(struct spw_worker *worker)
{
	const uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* A full eventfd (EAGAIN) is readable, which is all that is wanted. */
	if (__atomic_load_n(&worker->sleeping, __ATOMIC_RELAXED) &&
	    write(worker->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* Switches the interrupts of the worker's queues on. Returns how long it may sleep, 0: not at all.
 */
static int arm(const struct spw_worker *worker, int timeout_ms)
{
	for (uint32_t q = 0; q < worker->rx_cnt; q++) {
		const struct spw_rx *rx = &worker->rx[q];
		if (rx->wake != SPW_WAKE_INTERRUPT)
			continue;
		if (rte_eth_dev_rx_intr_enable(rx->ethdev, rx->queue) != 0 ||
		    rte_eth_rx_queue_count(rx->ethdev, rx->queue) > 0)
			timeout_ms = 0;
		else if (timeout_ms < 0)
			timeout_ms = HOUSE_RETRY_MS;
	}
	return timeout_ms;
}

static void disarm(const struct spw_worker *worker)
{
	uint64_t interrupts;

	for (uint32_t q = 0; q < worker->rx_cnt; q++) {
		const struct spw_rx *rx = &worker->rx[q];
		if (rx->wake != SPW_WAKE_INTERRUPT)
			continue;
		rte_eth_dev_rx_intr_disable(rx->ethdev, rx->queue);
		/* That it came is known; an unread one would end the next sleep at once. */
		if (worker->sleep_on[q].revents &&
		    read(worker->sleep_on[q].fd, &interrupts, sizeof(interrupts)) < 0)
			continue;
	}
}

void spw_idle_sleep(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	uint64_t wakeups;
	bool undone = lane->row->glean_seq != worker->glean_told || lane->reserve_low ||
		      !spw_losses_count(worker);

	spw_idle_offline(worker);
	__atomic_store_n(&worker->sleeping, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (rte_ring_empty(lane->handoff[lane->worker]) && rte_ring_empty(worker->dummies) &&
	    !__atomic_load_n(&worker->crew->stop, __ATOMIC_ACQUIRE)) {
		spw_count(&lane->row->sleeps, 1);
		uint32_t polled = worker->rx_cnt + worker->taps_cnt;
		poll(worker->sleep_on, polled + 1, arm(worker, undone ? HOUSE_RETRY_MS : -1));
		disarm(worker);
		worker->taps_looked_ns = 0; /* it may be one of them that woke it */
		/* Usually nobody wrote: then the read fails, and nothing is lost by that. */
		if (worker->sleep_on[polled].revents &&
		    read(worker->wake_fd, &wakeups, sizeof(wakeups)) < 0)
			wakeups = 0;
	}
	__atomic_store_n(&worker->sleeping, 0, __ATOMIC_RELAXED);
	spw_idle_online(worker);
}
