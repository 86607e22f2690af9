/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ports.h - the node's interfaces as DPDK ports, all fed from one pool of packet buffers. Of a
 * kernel interface each receive queue is an AF_XDP socket and an ethdev of its own (ports_xdp.c); a
 * device (PCI through vfio, or one of DPDK's virtual ones) is one ethdev with several queues,
 * beside the TAP that stands for it in the kernel (ports_device.c). Behind receive there is no
 * difference.
 *
 * Who owns the memory: DPDK, until the process ends. Thread: main, at start; afterwards a queue
 * belongs to the worker that crew.c gives it to.
 */
#ifndef SPW_PORTS_H
#define SPW_PORTS_H

#include <stdbool.h>

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "control/handover.h"

/* Of all ports of a node together. A device never has more than a worker each. */
#define SPW_QUEUES_MAX (RTE_MAX_ETHPORTS + SPW_PORTS_MAX * SPW_WORKERS_MAX)
/* That one worker may own: all of AF_XDP, and one of each device. */
#define SPW_WORKER_QUEUES_MAX (RTE_MAX_ETHPORTS + SPW_PORTS_MAX)

/*
 * Descriptors of a queue's receive and transmit ring, and frames that wait in an AF_XDP fill ring.
 * On two cores that three nodes and their hosts share, a worker waits for its turn for some
 * milliseconds; 2048 frames bridge 20 ms at 100,000 packets per second. Smaller rings drop there;
 * larger ones only add latency behind a queue that is too slow anyway.
 */
#define SPW_RING_DESCRIPTORS 2048u

enum spw_wake_kind {                     /* how a queue wakes a worker that sleeps */
		     SPW_WAKE_NEVER,     /* it cannot: its worker does not sleep */
		     SPW_WAKE_READABLE,  /* wake_fd is readable as long as packets wait */
		     SPW_WAKE_INTERRUPT, /* wake_fd counts interrupts, which are switched on before
					    sleeping */
};

struct spw_queue {
	uint16_t ethdev; /* DPDK's port number */
	uint16_t queue;  /* of the ethdev */
	enum spw_wake_kind wake;
	int wake_fd; /* for poll(); -1: none */
	int xsk_fd;  /* the AF_XDP socket; -1: a device's queue */
};

struct spw_io_port {
	uint32_t queues; /* 0: no such port */
	uint32_t mtu_bytes;
	struct spw_queue *queue;
	bool device;                 /* classified by the workers; has a TAP */
	int tap_fd[SPW_WORKERS_MAX]; /* device: each worker's queue of the TAP */
};

struct spw_ports {
	struct rte_mempool *pool;
	uint32_t queues; /* of all ports */
	struct spw_queue queue[SPW_QUEUES_MAX];
	struct spw_io_port port[SPW_PORTS_MAX]; /* by port id */
};

/* Whether a device is named by a PCI address, not as a virtual one. */
bool spw_device_is_pci(const char *device);

/* What the pool will take, for spw_eal_start. */
size_t spw_ports_pool_bytes(const struct spw_msg_setup *setup);

/*
 * Opens every queue that `setup` names. Needs CAP_SYS_ADMIN (to look up the attached classifier),
 * CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK. On kernel interfaces the classifier must be attached
 * already: without it libxdp would attach a program of its own that takes all of the owner's
 * traffic. Returns 0, or a negative errno with a sentence in `why`.
 */
int spw_ports_open(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		   unsigned int why_bytes);

/* Of ports.c alone: one port each, its struct spw_io_port empty but for the MTU and the place of
 * its first queue. */
int spw_xdp_open(struct spw_ports *ports, const struct spw_msg_port *port, char *why,
		 unsigned int why_bytes);
int spw_device_open(struct spw_ports *ports, const struct spw_msg_port *port, uint32_t workers,
		    char *why, unsigned int why_bytes);

/* Packets that all devices together could not hand over since they were opened. Main thread, at any
 * time: some drivers ask their device and wait. */
uint64_t spw_devices_lost(const struct spw_ports *ports);

#endif
