/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node.h - a node of four ports for the classifier's tests, and one packet through it.
 *
 *   port 0  wan, untagged, 192.0.2.1 to .8, 2001:db8::1 to ::8, UDP port 4500
 *   port 1  wan, VLAN 100, 203.0.113.1, 2001:db8:100::1, UDP port 4501, MTU 1400
 *   port 2  lan of tenant 1, untagged, 10.1.0.1 and fd01::1
 *   port 3  lan of tenant 2, VLAN 7, 10.3.0.1 and fd03::1, on_stop: pass
 *   port 4  not configured
 * Denied: 198.51.100.0/24, 2001:db8:bad::/48. Sources of live tunnels: NODE_LIVE4, NODE_LIVE6. An
 * SA has SPI NODE_SPI. Tenant 1: 10.2.0.0/16 and fd02::/16 into a tunnel, but 10.2.9.0/24 and
 * fd02:9::/32 on a lan; 10.1.0.0/24 and fd01::/64 on a lan. Tenant 2: 0.0.0.0/0 and ::/0 into a
 * tunnel.
 *
 * Blind relays, each from 198.18.0.10:6000 (2001:db8:a::10) by port 0, next hop NODE_HOP_A:
 *   5000  to 198.18.0.20:7000 by port 0          5003  to an endpoint that is not known
 *   5001  to 198.18.0.30:7000 by port 1          5004  to a next hop that is not known
 *   5002  to 2001:db8:b::20 port 7000, port 0    5005  to a port that cannot be reached
 *   5006  to 2001:db8:b::30 port 7000, port 1    5007  to a record that is beyond the table
 * towards A they send from 192.0.2.1 (2001:db8::1), towards B from 192.0.2.2 (2001:db8::2) or port
 * 1's address, with next hop NODE_HOP_B.
 */
#ifndef SPW_TEST_NODE_H
#define SPW_TEST_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "classifier.skel.h"
#include "frame.h"
#include "tables.h"

#define NODE_PORTS 5u
#define NODE_SLOT 5u
#define NODE_SPI (NODE_SLOT << SPW_SPI_GENERATION_BITS | 42)
#define NODE_LIVE4 "192.0.2.99"
#define NODE_LIVE6 "2001:db8:11fe::7"
#define NODE_VETH "spwt0"
#define NODE_HOP_A "02:00:00:00:aa:01"
#define NODE_HOP_B "02:00:00:00:bb:01"
#define NODE_RELAY_PORT 5000u
#define NODE_RELAY_ID(port) ((port)-NODE_RELAY_PORT + 1) /* and its slot */

struct test_node {
	struct test_tables tables;
	struct spw_classifier *instance[NODE_PORTS];
	int xsk_fd;
};

/* Opens tables and instances, in a namespace of its own with one XSK on queue 0 of NODE_VETH. 0, or
 * a negative errno: -EPERM: no right to. */
int test_node_open(struct test_node *node);
void test_node_close(struct test_node *node);

/* Whether a worker listens on queue 0 of a port: its XSK is in the map or is not. */
void test_node_listen(struct test_node *node, uint32_t port, bool listens);

/* Forgets the limiter's buckets and sets its rates; 0: no limit. total_pps: for strangers, and as
 * much for sources of live tunnels. */
void test_node_limit(struct test_node *node, uint32_t per_source_pps, uint32_t total_pps);

/* Counters of all ports in the order of the map, added up over the CPUs. */
#define NODE_COUNTERS (SPW_PORTS_MAX * SPW_CLASSIFIER_COUNTERS)
void test_node_counters(const struct test_node *node, uint64_t counters[NODE_COUNTERS]);

struct test_result {
	uint32_t counter; /* the one that moved */
	uint32_t verdict; /* enum xdp_action */
	uint32_t bytes;
	uint8_t frame[FRAME_BYTES_MAX + 64]; /* as it came out */
};

/* Runs a frame (14 bytes or more) through a port on a receive queue. The counter is not looked up,
 * which takes most of the time. */
struct test_result test_node_send(struct test_node *node, uint32_t port, uint32_t queue,
				  const uint8_t *frame, uint32_t bytes);

/* Likewise, with the counter. Asserts that exactly one moved, by one. */
struct test_result test_node_pass(struct test_node *node, uint32_t port, uint32_t queue,
				  const uint8_t *frame, uint32_t bytes);

/* Empties the relays' buckets and counters. */
void test_node_reset_relays(struct test_node *node);

/* Likewise, and asserts that the frame came out as it went in. Returns that counter, with the XDP
 * verdict in `verdict`. */
uint32_t test_node_run(struct test_node *node, uint32_t port, uint32_t queue, const uint8_t *frame,
		       uint32_t bytes, uint32_t *verdict);

/* The name of a counter, for messages. */
const char *test_counter_name(uint32_t counter);

#endif
