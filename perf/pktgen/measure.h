/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * measure.h - what comes back: which test packets, in which order, how long they were under way.
 *
 * Who owns the memory: spw_measure_create to spw_measure_destroy. Threads: the receiver calls
 * spw_measure_frame and writes all fields (relaxed stores); main reads them at any time (relaxed
 * loads), and resets them while there is no receiver.
 */
#ifndef SPW_MEASURE_H
#define SPW_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "perf/pktgen/histogram.h"
#include "perf/pktgen/sas.h"
#include "perf/pktgen/track.h"

struct spw_measure_counts {
	uint64_t packets; /* test packets, each counted once */
	uint64_t bytes;   /* of their IP packets, after decryption */
	uint64_t duplicates;
	uint64_t reordered; /* of `packets`: behind a later one of their flow */
	uint64_t late;      /* of `reordered`: so far behind that they might be duplicates */
	uint64_t unopened;  /* ESP packets whose keys are not known: counted, not measured */
	uint64_t refused;   /* ESP packets of known SAs that are not authentic */
	uint64_t stale;     /* test packets of an earlier trial */
	uint64_t other;     /* whatever else came in */
};

struct spw_measure {
	uint16_t trial;
	bool any; /* a capture is replayed: every frame counts in `packets`, none is measured */
	uint16_t esp_port;
	struct spw_sas *sas; /* NULL: nothing is decrypted */
	struct spw_track *track;
	double ns_per_tick;
	struct spw_measure_counts counts;
	struct spw_histogram latency_ns;
};

/* NULL: no memory. sas: rx SAs or NULL, must outlive the measure. */
struct spw_measure *spw_measure_create(uint32_t flows, struct spw_sas *sas, double ticks_per_s);
void spw_measure_destroy(struct spw_measure *measure);
void spw_measure_reset(struct spw_measure *measure, uint16_t trial);

/* Takes a frame that arrived at now_ticks; ESP is decrypted in place. False: it is no traffic but
 * neighbours' talk (neighbors.h). */
bool spw_measure_frame(struct spw_measure *measure, uint8_t *frame, uint32_t bytes,
		       uint64_t now_ticks);

#endif
