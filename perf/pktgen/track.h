/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track.h - which packets of every flow have arrived: loss, duplicates, reordering.
 *
 * A flow's packets are numbered from 0. Each flow has a window behind the highest number that came:
 * within it every number is known to have come or not. What comes from further back is late, which
 * is taken for reordered and not for a duplicate. The fewer flows, the longer the windows: 2^23
 * numbers are shared among them, 64 to 65,536 for each.
 *
 * Who owns the memory: the caller of spw_track_create, until spw_track_destroy. Thread: one.
 */
#ifndef SPW_TRACK_H
#define SPW_TRACK_H

#include <stdint.h>

struct spw_track {
	uint32_t flows;
	uint32_t window;       /* numbers per flow, a power of two */
	uint32_t *next;        /* by flow: the highest number that came, and one */
	uint64_t *window_bits; /* flows x window bits: came */
};

enum spw_track_verdict {
	SPW_TRACK_IN_ORDER,
	SPW_TRACK_REORDERED, /* the first of its number, behind a higher one (RFC 4737) */
	SPW_TRACK_LATE,      /* the same, from behind the window */
	SPW_TRACK_DUPLICATE,
};

/* NULL: no memory. flows: 1 to 2^24. */
struct spw_track *spw_track_create(uint32_t flows);
void spw_track_destroy(struct spw_track *track);
void spw_track_reset(struct spw_track *track); /* as created: all flows start at 0 again */

/* flow: below `flows`. Numbers may wrap. */
enum spw_track_verdict spw_track_add(struct spw_track *track, uint32_t flow, uint32_t sequence);

#endif
