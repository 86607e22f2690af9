/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/crew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_ring_elem.h>

#include "dataplane/eal.h"
#include "dataplane/stages/limiter.h"
#include "dataplane/stages/report.h"

static void *array_of(size_t count, size_t bytes)
{
	/* Whole cache lines of its own: what one worker writes is never on another's line. */
	size_t all = RTE_ALIGN_CEIL(count * bytes + 1, (size_t)RTE_CACHE_LINE_SIZE);
	void *memory = aligned_alloc(RTE_CACHE_LINE_SIZE, all);

	return memory ? memset(memory, 0, all) : NULL;
}

static void give_rx(struct spw_worker *worker, uint32_t p, const struct spw_queue *queue,
		    bool spread)
{
	worker->awake |= queue->wake == SPW_WAKE_NEVER;
	worker->sleep_on[worker->rx_cnt] = (struct pollfd){queue->wake_fd, POLLIN, 0};
	worker->rx[worker->rx_cnt++] = (struct spw_rx){
		.ethdev = queue->ethdev,
		.queue = queue->queue,
		.port = (uint16_t)p,
		.spread = spread,
		.wake = queue->wake,
		.xsk_fd = queue->xsk_fd,
	};
}

static void give_queues(struct spw_worker *worker, const struct spw_ports *ports, uint32_t workers)
{
	for (uint32_t p = 0; p < SPW_PORTS_MAX; p++) {
		const struct spw_io_port *port = &ports->port[p];
		worker->tx[p].ethdev = RTE_MAX_ETHPORTS;
		worker->tap_fd[p] = -1;
		if (port->queues == 0)
			continue;
		for (uint32_t q = worker->lane.worker; q < port->queues; q += workers)
			give_rx(worker, p, &port->queue[q], port->queues < workers);
		if (port->device) {
			worker->lane.port_native |= 1u << p;
			worker->tap_fd[p] = port->tap_fd[worker->lane.worker];
			worker->taps[worker->taps_cnt++] = (uint8_t)p;
		}
		/* No two threads send through one queue: who has none of its own hands its frames
		 * to one that has. */
		uint32_t sender = worker->lane.worker % port->queues;
		worker->tx[p] = (struct spw_tx){port->queue[sender].ethdev,
						port->queue[sender].queue, sender};
		worker->lane.port_mtu_bytes[p] = (uint16_t)port->mtu_bytes;
	}
	for (uint32_t t = 0; t < worker->taps_cnt; t++)
		worker->sleep_on[worker->rx_cnt + t] =
			(struct pollfd){worker->tap_fd[worker->taps[t]], POLLIN, 0};
	worker->sleep_on[worker->rx_cnt + worker->taps_cnt] =
		(struct pollfd){worker->wake_fd, POLLIN, 0};
}

static int make_lane(struct spw_lane *lane, const struct spw_tables *tables,
		     struct spw_sa_table *sas)
{
	char name[32];

	lane->tables = *tables;
	lane->row = &tables->workers[lane->worker];
	lane->counters = &tables->counters[(size_t)lane->worker * tables->tunnels_max];
	lane->sas = sas;
	lane->tunnel_in_buckets = array_of(tables->tunnels_max, sizeof(struct spw_bucket));
	lane->tunnel_out_buckets = array_of(tables->tunnels_max, sizeof(struct spw_bucket));
	lane->tenant_buckets = array_of(tables->tenants_max, sizeof(struct spw_bucket));
	snprintf(name, sizeof(name), "spw_handoff%u", lane->worker);
	lane->handoff[lane->worker] =
		rte_ring_create(name, SPW_HANDOFF_PACKETS, SOCKET_ID_ANY, RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "spw_reports%u", lane->worker);
	lane->reports = rte_ring_create_elem(name, sizeof(union spw_report), SPW_REPORTS_MAX,
					     SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	lane->limiter = array_of(1, sizeof(struct spw_limiter));
	if (!lane->tunnel_in_buckets || !lane->tunnel_out_buckets || !lane->tenant_buckets ||
	    !lane->limiter || !lane->handoff[lane->worker] || !lane->reports)
		return -ENOMEM;
	return 0;
}

static int make_worker(struct spw_crew *crew, uint32_t w, const struct spw_tables *tables,
		       const struct spw_ports *ports, struct spw_sa_table *sas)
{
	struct spw_worker *worker = array_of(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	crew->worker[w] = worker;
	worker->crew = crew;
	worker->qsbr = crew->qsbr;
	worker->lane.worker = w;
	worker->lane.workers = crew->workers;
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_fd < 0)
		return -errno;
	char name[32];
	snprintf(name, sizeof(name), "spw_dummies%u", w);
	worker->dummies =
		rte_ring_create_elem(name, sizeof(struct spw_dummy), SPW_DUMMIES_MAX, SOCKET_ID_ANY,
				     RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	if (!worker->dummies)
		return -ENOMEM;
	worker->pool = ports->pool;
	give_queues(worker, ports, crew->workers);
	/* A slot that an earlier process left must not be told again. */
	worker->glean_told = (tables->workers[w].glean_seq + 1) & ~1u;
	return make_lane(&worker->lane, tables, sas);
}

int spw_crew_create(struct spw_crew *crew, uint32_t workers, const struct spw_tables *tables,
		    const struct spw_ports *ports, struct spw_sa_table *sas)
{
	*crew = (struct spw_crew){.workers = workers};
	crew->events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (crew->events_fd < 0)
		return -errno;
	crew->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, rte_rcu_qsbr_get_memsize(workers));
	if (!crew->qsbr || rte_rcu_qsbr_init(crew->qsbr, workers) != 0)
		return -ENOMEM;
	for (uint32_t w = 0; w < workers; w++) {
		int error = make_worker(crew, w, tables, ports, sas);
		if (error)
			return error;
	}
	for (uint32_t w = 0; w < workers; w++) {
		for (uint32_t other = 0; other < workers; other++)
			crew->worker[w]->lane.handoff[other] =
				crew->worker[other]->lane.handoff[other];
	}
	return 0;
}

void spw_crew_mark(struct spw_crew *crew, uint64_t instance)
{
	for (uint32_t w = 0; w < crew->workers; w++)
		__atomic_store_n(&crew->worker[w]->lane.row->generation, instance,
				 __ATOMIC_RELEASE);
}

int spw_crew_start(struct spw_crew *crew)
{
	for (uint32_t w = 0; w < crew->workers; w++) {
		struct spw_worker_row *row = crew->worker[w]->lane.row;
		/* An epoch that a killed process left must not hold control up, nor its
		 * half-written glean slot (odd) turn the seqlock over. */
		__atomic_store_n(&row->epoch, 0, __ATOMIC_RELEASE);
		row->glean_seq += row->glean_seq & 1;
		int error =
			rte_eal_remote_launch(spw_worker_run, crew->worker[w], SPW_WORKER_LCORE(w));
		if (error)
			return error;
	}
	return 0;
}

void spw_crew_stop(struct spw_crew *crew)
{
	__atomic_store_n(&crew->stop, 1, __ATOMIC_RELEASE);
	for (uint32_t w = 0; w < crew->workers; w++)
		spw_idle_wake(crew->worker[w]);
	rte_eal_mp_wait_lcore();
	spw_crew_mark(crew, 0);
}

int spw_crew_send_dummy(struct spw_crew *crew, uint32_t slot, const struct spw_sa *sa)
{
	struct spw_worker *worker = crew->worker[sa->worker];
	struct spw_dummy dummy = {slot, sa->spi};

	if (rte_ring_sp_enqueue_elem(worker->dummies, &dummy, sizeof(dummy)) != 0)
		return -EBUSY;
	spw_idle_wake(worker);
	return 0;
}

void spw_crew_grace(struct spw_crew *crew)
{
	/* Shorter than a scheduler's slice and longer than a loop: when the main thread and a
	 * worker share a core, sleeping lets the worker come to its quiescent state. */
	const struct timespec pause = {.tv_nsec = 50000};

	/* Between unpublishing and looking at the workers; pairs with the fence of going online. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint64_t token = rte_rcu_qsbr_start(crew->qsbr);

	while (rte_rcu_qsbr_check(crew->qsbr, token, false) == 0)
		nanosleep(&pause, NULL);
}
