/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen.h - what is seen while traffic runs: a live screen on a terminal, else a line each second;
 * as CSV, or collected for JSON.
 *
 * Thread: main. Who owns the memory: the caller; spw_screen_close frees what was collected.
 */
#ifndef SPW_SCREEN_H
#define SPW_SCREEN_H

#include <jansson.h>
#include <stdbool.h>

#include "perf/pktgen/options.h"
#include "perf/pktgen/trial.h"

enum spw_screen_kind {
	SPW_SCREEN_LIVE,
	SPW_SCREEN_LINES,
	SPW_SCREEN_CSV,
	SPW_SCREEN_JSON, /* nothing is shown */
};

struct spw_screen {
	enum spw_screen_kind kind;
	const struct spw_options *options;
	const char *phase; /* "warm-up", "trial 3 at 1.2 Mpps"; NULL: the run itself */
	json_t *seconds;   /* of the run itself, one object each */
	/* As of the last line. */
	uint64_t ticks, sent, sent_bytes, second;
	struct spw_measure_counts counts;
	struct spw_histogram latency_ns;
	uint32_t lines; /* of the live screen, to be overwritten */
};

void spw_screen_open(struct spw_screen *screen, const struct spw_options *options);
void spw_screen_close(struct spw_screen *screen);

/* Before each trial. */
void spw_screen_begin(struct spw_screen *screen, const char *phase);

/* A spw_trial_watch. */
void spw_screen_watch(void *screen, const struct spw_trial *trial);

#endif
