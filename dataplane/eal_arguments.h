/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eal_arguments.h - the words that DPDK's environment is started with, and its start; for the
 * dataplane (eal.h) and for other programs that have ports of DPDK's.
 *
 * Who owns the memory: the caller; what is added must stay until spw_eal_init has returned.
 * Thread: main, once.
 */
#ifndef SPW_EAL_ARGUMENTS_H
#define SPW_EAL_ARGUMENTS_H

#include <stdint.h>

#include "ebpf/tables.h"

#define SPW_EAL_ARGUMENTS_MAX (24u + 2 * SPW_PORTS_MAX)

struct spw_eal_arguments {
	int cnt;
	char *value[SPW_EAL_ARGUMENTS_MAX];
};

void spw_eal_add(struct spw_eal_arguments *arguments, const char *value);

/* Starts DPDK without telemetry, and with lcore 0 as the main one. 0, or a negative errno with a
 * sentence in `why`. */
int spw_eal_init(struct spw_eal_arguments *arguments, const char *file_prefix, const char *lcores,
		 char *why, unsigned int why_bytes);

#endif
