/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crew.h - all workers of the process, as the main thread handles them.
 *
 * Who owns the memory: made once at start, kept until the process ends. Thread: main.
 */
#ifndef SPW_CREW_H
#define SPW_CREW_H

#include "dataplane/ports.h"
#include "dataplane/stages/sa.h"
#include "dataplane/worker.h"

/* Packets on their way to another worker: 20 ms at 100,000 packets per second, as much as a port's
 * ring holds (ports.c), as all that a port receives may be on its way to one worker. */
#define SPW_HANDOFF_PACKETS 2048u

/* Dummies that a worker may be asked for before it has sent them: one for each of a thousand peers
 * that begin at once. With room for 64, of 1,000 peers on one core up to 428 got none. */
#define SPW_DUMMIES_MAX 1024u

struct spw_crew {
	uint32_t workers;
	struct spw_worker *worker[SPW_WORKERS_MAX];
	struct rte_rcu_qsbr
		*qsbr; /* over the workers; for SAs alone, tables have their own clock */
	/* eventfd; workers write: a glean slot was filled, a reserve is low, there are reports */
	int events_fd;
	uint32_t stop; /* main: release store of 1; workers: acquire load per loop */
};

/* Makes the workers, gives queue q of every port to worker q % workers, and the counter rows. With
 * fewer queues than workers, worker w sends through queue w % queues by way of its owner.
 * Returns 0 or a negative errno. */
int spw_crew_create(struct spw_crew *crew, uint32_t workers, const struct spw_tables *tables,
		    const struct spw_ports *ports, struct spw_sa_table *sas);

/* Says in the workers' rows that they are those of this process. instance: as in HELLO. */
void spw_crew_mark(struct spw_crew *crew, uint64_t instance);
/* Starts the loops on their lcores. */
int spw_crew_start(struct spw_crew *crew);
/* Returns when every worker has left its loop. */
void spw_crew_stop(struct spw_crew *crew);

/* Has the owner of an outbound SA send one packet without content under it. -EBUSY: it has been
 * asked for SPW_DUMMIES_MAX already. */
int spw_crew_send_dummy(struct spw_crew *crew, uint32_t slot, const struct spw_sa *sa);

/* Returns when no worker can hold an SA any more that was unpublished before the call: after one
 * loop of each worker that is awake, some microseconds when they have a core. */
void spw_crew_grace(struct spw_crew *crew);

#endif
