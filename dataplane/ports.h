/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ports.h - the node's interfaces as DPDK ports: one AF_XDP socket and one vdev per receive queue,
 * all fed from one pool of packet buffers.
 *
 * Who owns the memory: DPDK, until the process ends. Thread: main, at start; afterwards a queue
 * belongs to the worker that crew.c gives it to.
 */
#ifndef SPW_PORTS_H
#define SPW_PORTS_H

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "control/handover.h"

#define SPW_QUEUES_MAX RTE_MAX_ETHPORTS /* of all ports of a node together */

struct spw_queue {
	uint16_t ethdev; /* DPDK's port number */
	int xsk_fd;      /* the AF_XDP socket, for poll() */
};

struct spw_io_port {
	uint32_t queues; /* 0: no such port */
	uint32_t mtu_bytes;
	struct spw_queue *queue;
};

struct spw_ports {
	struct rte_mempool *pool;
	uint32_t queues; /* of all ports */
	struct spw_queue queue[SPW_QUEUES_MAX];
	struct spw_io_port port[SPW_PORTS_MAX]; /* by port id */
};

/* What the pool will take, for spw_eal_start. */
size_t spw_ports_pool_bytes(const struct spw_msg_setup *setup);

/*
 * Opens every queue that `setup` names. Needs CAP_SYS_ADMIN (to look up the attached classifier),
 * CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK. The classifier must be attached already: without
 * it libxdp would attach a program of its own that takes all of the owner's traffic.
 * Returns 0, or a negative errno with a sentence in `why`.
 */
int spw_ports_open(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		   unsigned int why_bytes);

#endif
