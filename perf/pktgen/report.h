/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - what a run has come to, for people and as JSON.
 *
 * Thread: main. Who owns the memory: the caller; JSON values are new references.
 */
#ifndef SPW_REPORT_H
#define SPW_REPORT_H

#include <jansson.h>

#include "perf/pktgen/options.h"
#include "perf/pktgen/trial.h"

/* How it was asked for: ports, sizes, flows, tunnels. */
json_t *spw_report_setup_json(const struct spw_options *options, const struct spw_load *load);

/* wanted_pps: 0 where none was. */
json_t *spw_report_trial_json(const struct spw_trial_result *result, double wanted_pps);

void spw_report_trial_print(const struct spw_trial_result *result, double wanted_pps);

/* "12.3 us / 20 us / ..." of a trial's percentiles, for one line. */
void spw_report_latency_print(const struct spw_histogram *latency_ns);

#endif
