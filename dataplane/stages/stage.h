/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stage.h - a burst of packets on its way through the stages, and the worker's lane it runs in.
 *
 * (filter ->) classify -> esp_in -> inner -> police -> route -> esp_out -> transmit
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

struct spw_limiter;
struct spw_sa;

#define SPW_BURST_MAX 64u

/* What the packet path expects, for the compiler's order of the code. */
#define spw_likely(condition) __builtin_expect(!!(condition), 1)
#define spw_unlikely(condition) __builtin_expect(!!(condition), 0)

/* Where a packet stands. Stages are called in this order, so that one pass takes every packet. */
enum spw_state {
	SPW_DONE = 0,    /* dropped, handed off or transmitted: the mbuf is no longer the burst's */
	SPW_AT_CLASSIFY, /* as received */
	SPW_AT_ESP_IN,   /* head: the ESP header */
	SPW_AT_INNER,    /* head: the inner IP header; tunnel_in or port_in says where from */
	SPW_AT_POLICE,
	SPW_AT_ROUTE,
	SPW_AT_ESP_OUT,  /* tunnel_out is set */
	SPW_AT_TRANSMIT, /* the mbuf holds the frame, port_out is set */
	SPW_AT_KERNEL,   /* as received on a device: for the kernel, by the port's TAP */
	SPW_AT_HANDOFF,  /* worker_to and resume are set, see handoff.h */
};

/* From classify to the stage that completes the frame a packet is head and bytes: the mbuf itself
 * is as it was received, and is not touched in between. */

struct spw_burst {
	uint32_t cnt; /* packets, including the ones that are done */
	uint32_t at;  /* bit s: some packet may come to state s; for the two stages that most
			 bursts have nothing for, esp_in and esp_out */
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint8_t state[SPW_BURST_MAX];     /* enum spw_state */
	uint8_t port_in[SPW_BURST_MAX];   /* port id it was received on */
	uint8_t port_out[SPW_BURST_MAX];  /* port id it leaves by */
	uint8_t family[SPW_BURST_MAX];    /* 4 or 6: what the inner packet is announced as */
	uint8_t worker_to[SPW_BURST_MAX]; /* the worker it is handed to */
	uint8_t resume[SPW_BURST_MAX];    /* enum spw_state: where it goes on there */
	uint16_t bytes[SPW_BURST_MAX]; /* from head to the end of what belongs to the packet; from
					  police on: the length of the inner IP packet */
	uint8_t *head[SPW_BURST_MAX];  /* the current header */
	const uint8_t *outer[SPW_BURST_MAX]; /* at esp_in: the outer IP header */
	uint32_t tenant[SPW_BURST_MAX];
	uint32_t tunnel_in[SPW_BURST_MAX];          /* tunnel id, 0: came in on a lan port */
	uint32_t tunnel_out[SPW_BURST_MAX];         /* tunnel id, 0: leaves on a lan port */
	union spw_neighbor next_hop[SPW_BURST_MAX]; /* as route read it, once */
	/* The records of tunnel_in and tunnel_out where these are not 0; for this burst only. */
	const struct spw_tunnel *record_in[SPW_BURST_MAX];
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
	/* MP/SC ring into each worker, own one included. What is in it: handoff.h. */
	struct rte_ring *handoff[SPW_WORKERS_MAX];
	/* Bit w: a packet of the burst stands at SPW_AT_HANDOFF and is for worker w. */
	uint32_t handing;
	/* Bit w: a packet was put into handoff[w]; the worker's loop wakes w and clears it. */
	uint32_t handoff_wanted;
	uint16_t port_mtu_bytes[SPW_PORTS_MAX]; /* longest layer-3 packet; set at start */
	uint32_t port_native; /* bit p: port p is a device, on which no XDP program classifies */
	struct spw_limiter *limiter; /* for the filter */
	bool reserve_low; /* an SA's limit is near: the worker tells the main thread, and clears it
			   */
	bool reported;    /* likewise: there is something new in `reports` */
	struct rte_ring *reports; /* of SAs, to the main thread, see report.h */
	uint64_t now_ns;          /* CLOCK_MONOTONIC (TSC-derived), refreshed once per burst */
	struct spw_burst burst;
};

/* The receiver fills cnt, mbuf, state (SPW_AT_CLASSIFY) and port_in; the stages do the rest. */
void spw_stage_classify(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_esp_in(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_inner(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_police(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_route(struct spw_lane *lane, struct spw_burst *burst);
void spw_stage_esp_out(struct spw_lane *lane, struct spw_burst *burst);

/* Beside them: makes of an empty buffer, packet i, one without content under an outbound SA of this
 * worker (RFC 4303 2.6), which stands at SPW_AT_TRANSMIT then, or was dropped. */
void spw_esp_out_dummy(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
		       struct spw_sa *sa);

/* Before all others, for packets of devices: what the classifier in the kernel does for interfaces.
 */
void spw_stage_filter(struct spw_lane *lane, struct spw_burst *burst);
/* A packet that was received and is no ESP: relayed where XDP could not send it, out of a device;
 * else dropped. Returns its state. */
enum spw_state spw_filter_steered(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
	__attribute__((cold, noinline));
/* Before classify, for a burst that was received on a port with fewer queues than workers: shrinks
 * the burst to what is for this worker, and hands on the rest. */
void spw_stage_spread(struct spw_lane *lane, struct spw_burst *burst, uint32_t port);
/* After the last stage: gives what stands at SPW_AT_HANDOFF to other workers. */
void spw_stage_handoff(struct spw_lane *lane, struct spw_burst *burst);

/* The live image of a port, kept while packets for it follow each other, so that it is looked up
 * once and not for each of them. Starts as SPW_PORT_UNSEEN. */
struct spw_port_seen {
	const struct spw_port_image *image;
	uint32_t port;
};
#define SPW_PORT_UNSEEN                                                                            \
	{                                                                                          \
		NULL, UINT32_MAX                                                                   \
	}
static inline const struct spw_port_image *spw_port_see(const struct spw_lane *lane,
							struct spw_port_seen *seen, uint32_t port)
{
	if (spw_unlikely(seen->port != port))
		*seen = (struct spw_port_seen){spw_port_live(&lane->tables, port), port};
	return seen->image;
}

/* A counter with one writer: a relaxed store, so that a reader never sees half a word. */
static inline void spw_count(__u64 *counter, __u64 add)
{
	__atomic_store_n(counter, *counter + add, __ATOMIC_RELAXED);
}

/* Drops packet i under one reason, the only place where a stage drops (drop.c). Out of line: were
 * it inlined, its code would stand between the instructions of the packets that get through. */
void spw_drop(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, enum spw_drop reason)
	__attribute__((cold, noinline));

/* Starts to bring a line into the cache: of a table entry that a later pass over the burst reads,
 * so that the misses of a burst are under way together and not one behind the other. */
static inline void spw_prefetch(const void *at)
{
	rte_prefetch0(at);
}

#endif
