/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipeline.h - the parts of spw-bench-pipeline: a node's tables in plain memory, packets for it,
 * the ports they come in by, and what the measurements are compared to.
 *
 * The node (pipeline_node.c) has one wan and one tenant with a lan, and 64, 1,000 or 4,096 tunnels,
 * each with SAs of its own in both directions (AES-128-GCM, ESN, a window of 2048), one allowed
 * /24, one route, and caps of 1 Tbit/s both ways, as has the tenant. And it has 1,023 blind relays
 * on its wan, with rates as high.
 *
 * Who owns the memory: the node, until the process ends. One thread, the worker's.
 */
#ifndef SPW_PERF_PIPELINE_H
#define SPW_PERF_PIPELINE_H

#include "dataplane/crew.h"
#include "perf/broken.h"
#include "tests/unit/dataplane/world.h"

#define PORT_WAN 0u
#define PORT_LAN 1u
#define TUNNELS_MAX 4096u /* ids 1 to the node's number of tunnels */
#define LAN_HOSTS 64u

/* Read by the workers but for the states, which they write. */
struct relays {
	struct spw_relay_root *ports;
	struct spw_relay *relays;
	struct spw_relay_state *states;
};

struct node {
	uint32_t tunnels;
	struct relays relays;
	struct world *world;
	struct rte_mempool *pool;
	struct spw_ports ports; /* both send to a null device */
	struct spw_crew crew;   /* of one worker */
};

/* pipeline_node.c. After EAL has started; without tunnels, of which node_furnish gives it some and
 * takes away those that it had. */
void node_create(struct node *node);
void node_furnish(struct node *node, uint32_t tunnels);
/* The SA of a tunnel as it was added: the peer's half has the same key. */
struct spw_msg_sa_add node_sa(uint32_t direction, uint32_t tunnel);
/* Takes every inbound SA back to where no packet was received. */
void node_reset_windows(struct node *node);

/* pipeline_relays.c. The node's relays, once; and their place in the tables of a world. */
void relays_furnish(struct node *node);
void relays_join(const struct node *node, struct world *world);
/* A datagram of a relay (1 to SPW_RELAYS_MAX - 1), IP packet of so many bytes, from its endpoint 0
 * or 1. Returns the frame's length. */
uint32_t relay_frame(uint8_t *frame, uint32_t relay, uint32_t side, uint32_t bytes);

/* ---- packets: pipeline_packets.c ----------------------------------------------------------- */

enum path {
	PATH_ENCAP, /* lan to wan: a plain packet goes into a tunnel */
	PATH_DECAP, /* wan to lan */
	PATH_HOP,   /* wan to wan: out of one tunnel, into another */
	PATH_RELAY, /* wan to wan: a blind relay's, of which there are as many as tunnels */
};

#define SIZE_IMIX 0u

struct packet {
	uint32_t inner_bytes;
	uint32_t bytes; /* of the frame */
	uint8_t *frame;
};

/* Tunnels drawn at random, every sequence number fresh. As many packets for few tunnels as for
 * many: what they take of the caches is the same. */
#define PACKETS_CNT (2 * TUNNELS_MAX)

struct packets {
	struct packet packet[PACKETS_CNT];
	uint64_t inner_bytes; /* of all */
};

/* The inner length of the k-th packet. size: inner bytes, or SIZE_IMIX: seven of 64, four of 570
 * and one of 1408, mixed. */
uint32_t packets_inner_bytes(uint32_t size, uint32_t k);
struct packets *packets_make(uint32_t tunnels, enum path path, uint32_t size);
void packets_free(struct packets *packets);

/* ---- ports: pipeline_ports.c --------------------------------------------------------------- */

/* A port whose packets come out of a ring (DPDK's net_ring). They are laid ready a burst at a time:
 * what is measured finds them as it would find what a NIC has just written into the cache, in the
 * same few buffers over and over. */
struct source {
	uint16_t ethdev;
	struct rte_ring *ring;
	struct rte_mempool *pool;
	const struct packets *packets;
	uint32_t next; /* packet to come */
};
void source_open(struct source *source, struct rte_mempool *pool);
/* Lays the next SPW_BURST_MAX packets ready; the last of them is followed by the first. */
void source_fill(struct source *source);

/* DPDK's number of a new port that takes what is sent to it and frees it (net_null). */
uint16_t port_open_sink(struct rte_mempool *pool);

/* ---- floors: pipeline_floor.c -------------------------------------------------------------- */

/* The AEAD alone: 64 packets in 64 buffers under 64 keys, sealed or opened one after the other. */
struct floor_aead;
struct floor_aead *floor_aead_create(const struct node *node, uint32_t size, bool seal);
void floor_aead_destroy(struct floor_aead *floor);
uint64_t floor_aead_cycles(struct floor_aead *floor); /* of the 64 packets */

/* Bare I/O: bursts from a source to another port; their cycles, without those of filling. */
uint64_t floor_io_cycles(struct source *from, uint16_t to, uint32_t bursts);

/* ---- the peer: pipeline_peer.c ------------------------------------------------------------- */

/* librte_ipsec with the node's SAs of so many tunnels, one direction. NULL: DPDK's crypto driver is
 * not installed. One at a time. */
struct peer;
struct peer *peer_create(uint32_t tunnels, bool seal);
void peer_destroy(struct peer *peer); /* NULL is none */
void peer_reset_windows(struct peer *peer);
/* Bursts from a source through the peer to another port; their cycles, without those of filling. */
uint64_t peer_cycles(struct peer *peer, struct source *from, uint16_t to, uint32_t bursts);

#endif
