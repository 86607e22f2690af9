/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker.h - a worker: its queues, its lane through the stages, and how it sleeps.
 *
 * Who owns the memory: crew.c makes it on the main thread before the workers run and keeps it until
 * the process ends. From then on its worker alone writes it, but for what is noted below.
 */
#ifndef SPW_WORKER_H
#define SPW_WORKER_H

#include <poll.h>
#include <stdalign.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/ports.h"
#include "dataplane/stages/stage.h"

struct spw_crew;

struct spw_rx {
	uint16_t ethdev; /* DPDK's port number */
	uint16_t queue;  /* of the ethdev */
	uint16_t port;   /* port id */
	bool spread;     /* the port has fewer queues than there are workers */
	enum spw_wake_kind wake;
	int xsk_fd; /* AF_XDP; else -1 */
};

struct spw_tx {
	uint16_t ethdev; /* RTE_MAX_ETHPORTS: no such port */
	uint16_t queue;
	uint32_t
		worker; /* who sends: this one, or the owner of a queue, who is handed the frames */
};

/* A packet without content that the worker is to send under an outbound SA of its own. */
struct spw_dummy {
	uint32_t slot;
	uint32_t spi; /* another one stands in the slot: the SA is gone, and nothing is sent */
};

struct spw_worker {
	/* Fixed before the worker runs. */
	const struct spw_crew *crew;
	struct rte_rcu_qsbr *qsbr;
	struct rte_mempool *pool;
	struct spw_rx rx[SPW_WORKER_QUEUES_MAX];
	uint32_t rx_cnt;
	int tap_fd[SPW_PORTS_MAX];   /* by port id: its queue of the TAP; -1: no device */
	uint8_t taps[SPW_PORTS_MAX]; /* the port ids that have one */
	uint32_t taps_cnt;
	bool awake;                      /* a queue of its cannot wake it, so it never sleeps */
	struct spw_tx tx[SPW_PORTS_MAX]; /* by port id */
	/* Queues by rx, TAPs by taps, wake_fd; `revents` at run time. */
	struct pollfd sleep_on[SPW_WORKER_QUEUES_MAX + SPW_PORTS_MAX + 1];
	int wake_fd; /* eventfd; anyone writes, the worker reads */
	/* Main thread to worker: struct spw_dummy, what it has asked for. */
	struct rte_ring *dummies;

	uint64_t busy_ns;       /* lane.now_ns when the last packet was seen */
	uint32_t glean_told;    /* row->glean_seq that the main thread was told about */
	uint64_t glean_told_ns; /* and when */
	uint64_t low_told_ns;   /* when it was last told of a low reserve */
	uint64_t lost[SPW_WORKER_QUEUES_MAX]; /* by rx: what its socket had lost at the last look */
	uint64_t devices_lost_before;         /* the same of all devices */
	uint64_t looked_ns;                   /* and when that was */
	uint64_t taps_looked_ns;              /* when it last read the TAPs */
	struct spw_lane lane;

	/* 1 while it may block in poll(). Worker: rw; others read it after they have given it work.
	 * Both sides put a sequentially consistent fence between their store and their load, see
	 * idle.c. */
	alignas(RTE_CACHE_LINE_SIZE) uint32_t sleeping;

	/* Worker: release store of 1 before it wakes the main thread, which takes it (acquire). */
	uint32_t reserve_low;

	/* Packets that devices have lost, by their own count. Main thread: relaxed store into
	 * worker 0's; that worker: relaxed load. */
	uint64_t devices_lost;
};

/* The loop; argument: struct spw_worker. Runs on the worker's lcore until crew->stop. */
int spw_worker_run(void *argument);
/* Its parts, for who brings a loop of his own: once on the worker's lcore before the first round;
 * and one round over all queues, with the housekeeping. Returns how many packets it had. */
void spw_worker_begin(struct spw_worker *worker);
uint32_t spw_worker_round(struct spw_worker *worker);

/* transmit.c: sends the packets that stand at SPW_AT_TRANSMIT, and drops what the ports refuse. */
void spw_transmit(struct spw_worker *worker, struct spw_burst *burst);

/* losses.c. Worker: counts what the kernel could not hand over, at most every 10 ms. False: it is
 * too early for that, and there may be something to count; to be called again. */
bool spw_losses_count(struct spw_worker *worker);

/* idle.c. Worker: publishes itself offline, blocks until there is work, and comes online again. */
void spw_idle_sleep(struct spw_worker *worker);
/* Worker: takes part in both grace-period schemes, control's and the main thread's. */
void spw_idle_online(struct spw_worker *worker);
void spw_idle_offline(struct spw_worker *worker);
/* Any thread, after it has stored what the worker shall see: wakes it if it sleeps. */
void spw_idle_wake(struct spw_worker *worker);

#endif
