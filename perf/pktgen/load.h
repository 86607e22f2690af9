/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.h - from options to a load that trials can run: files, flows, ports, the gateway's MAC.
 *
 * Thread: main. Who owns the memory: spw_load_open to spw_load_close.
 */
#ifndef SPW_LOAD_H
#define SPW_LOAD_H

#include "perf/pktgen/options.h"
#include "perf/pktgen/trial.h"

/* 0, or a negative errno with a sentence; -EINVAL: what was asked for makes no sense. Whatever the
 * answer, spw_load_close must follow. */
int spw_load_open(struct spw_load *load, const struct spw_options *options, char *why,
		  unsigned int why_bytes);

/* Closes ports and files; sequence numbers are written. 0, or a negative errno with a sentence. */
int spw_load_close(struct spw_load *load, char *why, unsigned int why_bytes);

#endif
