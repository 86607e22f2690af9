/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options_check.h - which options belong together, and what they are when they were left out.
 *
 * Thread: main.
 */
#ifndef SPW_OPTIONS_CHECK_H
#define SPW_OPTIONS_CHECK_H

#include "perf/pktgen/options.h"

/* 0, or -EINVAL with a sentence in `why`. */
int spw_options_check(struct spw_options *options, char *why, unsigned int why_bytes);

#endif
