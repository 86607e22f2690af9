/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eal.h - DPDK's environment, started without telemetry or files; with the PCI devices that are
 * ports and no other, and with hugepages where a port is a device and they suffice.
 *
 * Thread: main, once. Lcore 0 is the main thread, free to run on every allowed CPU; worker w is
 * lcore 1 + w, pinned to its CPU. Nothing is torn down: closing the ports would need bpf(2), and
 * the kernel removes an XSK from the classifier's map when the process goes.
 */
#ifndef SPW_EAL_H
#define SPW_EAL_H

#include <stddef.h>

#include "dataplane/topology.h"

#define SPW_WORKER_LCORE(worker) ((worker) + 1u)

/* pool_bytes: what the packet buffers take. 0, or a negative errno with a sentence in `why`. */
int spw_eal_start(const struct spw_msg_setup *setup, const struct spw_cpus *cpus, size_t pool_bytes,
		  char *why, unsigned int why_bytes);

#endif
