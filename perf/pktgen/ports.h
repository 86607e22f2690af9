/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ports.h - the generator's ports, of any kind that DPDK has: kernel interfaces through AF_XDP, PCI
 * devices, virtual devices. EAL is started as the dataplane starts it: without hugepages and files.
 *
 * An interface of the generator carries nothing else: an XDP program takes all that comes in, until
 * the port is closed.
 *
 * Who owns the memory: DPDK, until spw_test_ports_close. Thread: main; afterwards the receiver and
 * the sender use the queues.
 */
#ifndef SPW_TEST_PORTS_H
#define SPW_TEST_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "perf/pktgen/options.h"

#define SPW_TEST_QUEUES_MAX 16u

struct spw_test_port {
	const char *name;             /* as the user gave it */
	struct spw_take_all *program; /* of an interface, else NULL */
	uint8_t mac[6];
	uint32_t queues;
	uint16_t ethdev[SPW_TEST_QUEUES_MAX]; /* one device for each receive queue of an interface,
						 else one in all; packets leave through the first */
	uint32_t mtu_bytes;                   /* 0: not known */
	uint64_t missed_before;
};

struct spw_test_ports {
	struct rte_mempool *pool;      /* of all packets, sent and received */
	struct spw_test_port *tx, *rx; /* the same where one port does both */
	struct spw_test_port port[2];
	unsigned int lcores[2]; /* of sender and receiver; equal: one thread does both */
};

/* Starts EAL and opens the ports. 0, or a negative errno with a sentence in `why`. */
int spw_test_ports_open(struct spw_test_ports *ports, const struct spw_options *options, char *why,
			unsigned int why_bytes);
void spw_test_ports_close(struct spw_test_ports *ports);

/* Packets that the receiving port had to drop because the generator was too slow to take them,
 * since the last call. */
uint64_t spw_test_port_missed(struct spw_test_port *port);

#endif
