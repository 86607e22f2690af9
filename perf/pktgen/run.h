/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.h - what a load is used for: one measurement, or the search for the highest rates.
 *
 * Thread: main. Both print their results as the options ask. 0, or a negative errno with a
 * sentence.
 */
#ifndef SPW_RUN_H
#define SPW_RUN_H

#include "perf/pktgen/options.h"
#include "perf/pktgen/screen.h"
#include "perf/pktgen/trial.h"

int spw_run_once(struct spw_load *load, const struct spw_options *options, char *why,
		 unsigned int why_bytes);

int spw_run_search(struct spw_load *load, const struct spw_options *options, char *why,
		   unsigned int why_bytes);

/* Traffic that is not measured: neighbours resolve, reserves grow, caches warm up. */
int spw_run_warmup(struct spw_load *load, const struct spw_options *options, double packets_per_s,
		   struct spw_screen *screen, struct spw_trial_result *result, char *why,
		   unsigned int why_bytes);

#endif
