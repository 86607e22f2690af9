/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * topology.h - which CPU each worker runs on.
 *
 * Thread: main, once, before DPDK starts; takes 50 ms to see which CPUs are busy.
 */
#ifndef SPW_TOPOLOGY_H
#define SPW_TOPOLOGY_H

#include <stdint.h>

#include "control/handover.h"

struct spw_cpus {
	int32_t worker[SPW_WORKERS_MAX]; /* CPU number of each worker */
	char allowed[256];               /* all that this process may use, as "0-3,8" */
};

/*
 * Picks among the CPUs that the process may use: first cores that no worker of ours has yet, among
 * them those near the interfaces' PCI devices, among them the least busy. More workers than CPUs
 * share.
 * Returns 0 or a negative errno.
 */
int spw_topology_choose(struct spw_cpus *cpus, const struct spw_msg_setup *setup);

#endif
