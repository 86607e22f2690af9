/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stage.h - a burst of packets on its way through the stages, and the worker's lane it runs in.
 *
 * classify -> esp_in -> inner -> police -> route -> esp_out -> transmit
 *
 * Each stage is one file with one function over a burst. It handles the packets whose state says
 * that they stand before it, and moves each one on, drops it or hands it to another worker. No
 * stage logs, allocates, locks or makes a system call.
 *
 * Who owns the memory: a lane and its burst belong to one worker, which alone calls the stages. A
 * packet's mbuf belongs to the burst until transmit or a handoff takes it, or until it is dropped.
 */
#ifndef SPW_STAGE_H
#define SPW_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/stages/bucket.h"
#include "dataplane/tables_view.h"
#include "ebpf/drops.h"

#define SPW_BURST_MAX 64u

/* Where a packet stands. Stages are called in this order, so that one pass takes every packet. */
enum spw_state {
	SPW_DONE = 0,    /* dropped, handed off or transmitted: the mbuf is no longer the burst's */
	SPW_AT_CLASSIFY, /* as received */
	SPW_AT_ESP_IN,   /* offset: of the ESP header */
	SPW_AT_INNER,    /* offset: of the inner IP header; tunnel_in or port_in says where from */
	SPW_AT_POLICE,
	SPW_AT_ROUTE,
	SPW_AT_ESP_OUT,  /* tunnel_out is set */
	SPW_AT_TRANSMIT, /* data starts at the Ethernet header, port_out is set */
};

struct spw_burst {
	uint32_t cnt; /* packets, including the ones that are done */
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint8_t state[SPW_BURST_MAX];    /* enum spw_state */
	uint8_t port_in[SPW_BURST_MAX];  /* port id it was received on */
	uint8_t port_out[SPW_BURST_MAX]; /* port id it leaves by */
	uint8_t family[SPW_BURST_MAX];   /* 4 or 6: what the inner packet is announced as */
	uint16_t offset[SPW_BURST_MAX]; /* bytes from the start of the data to the current header */
	uint16_t inner_bytes[SPW_BURST_MAX]; /* length of the inner IP packet */
	uint32_t tenant[SPW_BURST_MAX];
	uint32_t tunnel_in[SPW_BURST_MAX];                 /* tunnel id, 0: came in on a lan port */
	uint32_t tunnel_out[SPW_BURST_MAX];                /* tunnel id, 0: leaves on a lan port */
	union spw_neighbor next_hop[SPW_BURST_MAX];        /* as route read it, once */
	const struct spw_tunnel *record_in[SPW_BURST_MAX]; /* valid within this burst only */
	const struct spw_tunnel *record_out[SPW_BURST_MAX];
};

/* One worker's world. Written by its worker alone after start, except where noted. */
struct spw_lane {
	uint32_t worker;                       /* worker index */
	uint32_t workers;                      /* how many there are */
	struct spw_tables tables;              /* read-only views, but for the own rows below */
	struct spw_worker_row *row;            /* own row of `workers` */
	struct spw_tunnel_counters *counters;  /* own rows of `counters`, by tunnel id */
	struct spw_bucket *tunnel_in_buckets;  /* by tunnel id, tunnels_max of them */
	struct spw_bucket *tunnel_out_buckets; /* by tunnel id */
	struct spw_bucket *tenant_buckets;     /* by tenant id */
	struct spw_sa_table *sas;              /* shared with the main thread, see sa.h */
	/* MP/SC ring into each worker, own one included. A packet in it is as it was received, but
	 * for Ethernet padding; mbuf->port is the port id (not DPDK's) that it came in on, and it
	 * goes through the owner's stages from classify on. */
	struct rte_ring *handoff[SPW_WORKERS_MAX];
	/* Bit w: a packet was put into handoff[w]; the worker's loop wakes w and clears it. */
	uint32_t handoff_wanted;
	uint16_t port_mtu_bytes[SPW_PORTS_MAX]; /* longest layer-3 packet; set at start */
	bool reserve_low; /* an SA's limit is near: the worker tells the main thread, and clears it
			   */
	uint64_t now_ns;  /* CLOCK_MONOTONIC (TSC-derived), refreshed once per burst */
	struct spw_burst burst;
};

/* The receiver fills cnt, mbuf, state (SPW_AT_CLASSIFY) and port_in; the stages do the rest. */
void spw_stage_classify(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_esp_in(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_inner(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_police(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_route(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_esp_out(struct spw_lane *lane, struct spw_burst *burst);

/* A counter with one writer: a relaxed store, so that a reader never sees half a word. */
static inline void spw_count(__u64 *counter, __u64 add)
{
	__atomic_store_n(counter, *counter + add, __ATOMIC_RELAXED);
}

/* Drops packet i under one reason, the only place where a stage drops. */
static inline void spw_drop(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			    enum spw_drop reason)
{
	spw_count(&lane->row->drops[reason], 1);
	if (burst->tunnel_in[i])
		spw_count(&lane->counters[burst->tunnel_in[i]].rx_drops, 1);
	else if (burst->tunnel_out[i])
		spw_count(&lane->counters[burst->tunnel_out[i]].tx_drops, 1);
	burst->state[i] = SPW_DONE;
	rte_pktmbuf_free(burst->mbuf[i]);
}

#endif
