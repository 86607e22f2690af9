/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grace.h - grace periods: when may a slot or a block that was unpublished be written again?
 *
 * After every worker was quiescent or offline once, and after every run of the classifier that was
 * under way has ended. Nobody waits for that: what is to happen then goes into the limbo, a bounded
 * list, and happens in batches. A period takes about 10 ms, and one period serves all that was
 * deferred before it began.
 *
 *	spw_grace_reserve(grace, 2)     before anything is changed; may fail
 *	... publish the new record, withdraw the old one (release stores) ...
 *	spw_grace_defer(grace, ...)     after that; cannot fail
 *	spw_grace_defer(grace, ...)
 *
 * In the event loop: when spw_grace_fd() is readable, and when the time that the last
 * spw_grace_run() returned is over, call spw_grace_run().
 *
 * Who owns the memory: spw_grace_create's result belongs to the caller until spw_grace_destroy. All
 * calls come from control's one thread, and so do the callbacks. The object runs a helper thread
 * that does nothing but sit in membarrier(2), so that the event loop never does; it has given up
 * its capabilities.
 */
#ifndef SPW_GRACE_H
#define SPW_GRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "ebpf/tables.h"

struct spw_grace;

/* Called once, from spw_grace_run or spw_grace_drain. It may reserve and defer anew. */
typedef void (*spw_grace_fn)(void *arg0, uint64_t arg1);

/* spw_grace_create: meta and workers (SPW_WORKERS_MAX rows) are the shared tables, and outlive the
 * object. limbo_max: entries that may wait, 1..1048576. 0 or a negative errno, *out set on 0. */
int spw_grace_create(struct spw_grace **out, struct spw_meta *meta, struct spw_worker_row *workers,
		     uint32_t limbo_max);

/* What still waits is never called: drain first. */
void spw_grace_destroy(struct spw_grace *grace);

/* Takes n places of the limbo: 0, or -EBUSY when it has no room (change nothing, say "try again").
 * Each spw_grace_defer uses one; what is not used is given back with spw_grace_unreserve. */
int spw_grace_reserve(struct spw_grace *grace, uint32_t n);
void spw_grace_unreserve(struct spw_grace *grace, uint32_t n);

/* Calls fn(arg0, arg1) after a grace period that begins after this call. Needs a reserved place:
 * without one it aborts the process, as there is no safe way on. */
void spw_grace_defer(struct spw_grace *grace, spw_grace_fn fn, void *arg0, uint64_t arg1);

/* Entries waiting, and places neither used nor reserved. */
uint32_t spw_grace_waiting(const struct spw_grace *grace);
uint32_t spw_grace_room(const struct spw_grace *grace);

/* Readable (level-triggered) when spw_grace_run has something to do. The caller must not read it.
 */
int spw_grace_fd(const struct spw_grace *grace);

/* Begins a period, or ends one and calls its entries. Returns in how many milliseconds to call
 * again though the descriptor stays silent (workers lag, there is no event for that), -1: only when
 * it is readable. */
int spw_grace_run(struct spw_grace *grace);

/* Blocks for one whole period at least, until all that was deferred before the call is done. For
 * shutdown, tests and once at start, when control takes up tables (maps.created is false): an
 * earlier control may have died with blocks in its limbo that a worker still reads, so nothing may
 * be allocated before this. 0, or -ETIMEDOUT: a worker does not come round; the descriptor is
 * readable then, and the event loop goes on with the period. */
int spw_grace_drain(struct spw_grace *grace, int timeout_ms);

/* Clears the rows of workers that run no more, so that no period waits for them: every row whose
 * generation is not `alive`. Call it when the dataplane is known to be gone (its socket closed and
 * its process ended) with 0, and with its instance when a dataplane says HELLO (one serves a node
 * at a time, so every other one is gone). Counters stay. */
void spw_grace_workers_gone(struct spw_grace *grace, uint64_t alive);

#endif
