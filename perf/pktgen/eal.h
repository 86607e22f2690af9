/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eal.h - DPDK's environment for the generator: no hugepages, no files, only the devices asked for.
 *
 * Thread: main, once.
 */
#ifndef SPW_TEST_EAL_H
#define SPW_TEST_EAL_H

#include <stddef.h>

#include "perf/pktgen/interface.h"
#include "perf/pktgen/ports.h"

/* Starts EAL with lcore 0, main, on all allowed CPUs, and sender and receiver on the cores of the
 * options, or on the last allowed one; sets ports->lcores. 0, or a negative errno with a sentence.
 */
int spw_test_eal_start(struct spw_test_ports *ports, const struct spw_options *options,
		       const struct spw_interface_facts *facts, uint32_t facts_cnt,
		       size_t pool_bytes, char *why, unsigned int why_bytes);

#endif
