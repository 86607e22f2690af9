/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * tables.h - the layout of every shared table, once.
 *
 * The tables are BPF maps pinned under /sys/fs/bpf/spillway/<node>/. This header is compiled by
 * the classifier (BPF), the dataplane and the control process alike.
 *
 * Who owns the memory: the kernel; control creates and pins the maps, and they outlive both
 * processes. Control is the only writer, except for `workers` and `counters`, which the workers
 * write, and `relay_states`, which the classifier and the workers write. Workers and control see
 * the arrays through mmap, the classifier through map lookups.
 *
 * How a change becomes visible (writer: control; readers: workers and the classifier):
 *   - a single word (a rate, a neighbour, a root, a knob) is one relaxed-or-stronger atomic store;
 *   - a multi-word record is written into a free slot, then published by one release store of the
 *     slot's index; readers load the index with acquire. The old slot is reused only after a grace
 *     period (see spw_worker_row.epoch).
 * A reader bounds-checks every index that it takes out of a table.
 *
 * Byte order: host, unless the name ends in _be. Sizes in bytes unless the name says otherwise.
 */
#ifndef SPW_TABLES_H
#define SPW_TABLES_H

#include <linux/types.h>
#ifndef __bpf__
#include <assert.h>
#endif

#ifdef __bpf__
#define SPW_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#else
#define SPW_STATIC_ASSERT(cond, text) static_assert(cond, text)
#endif

#define SPW_CACHE_LINE 64

/* Raised with every change of a layout in this file; checked in `meta` before anything else. */
#define SPW_LAYOUT_VERSION 5u

#define SPW_PORTS_MAX 16u   /* interfaces a node may serve */
#define SPW_WORKERS_MAX 16u /* workers, and so child SAs per tunnel and direction (RFC 9611) */
#define SPW_PORT_ADDRS_MAX 8u
#define SPW_RELAYS_MAX 1024u                      /* ids 0..max-1; id 0 is never used */
#define SPW_RELAY_SLOTS_MAX (2u * SPW_RELAYS_MAX) /* a changed relay has two until grace */
#define SPW_DROPS_MAX 64u                         /* room for reasons in drops.h */

/* The maps, in the order in which control hands their descriptors to the dataplane. */
#define SPW_MAP_LIST(X)                                                                            \
	X(META, meta)                                                                              \
	X(PORTS, ports)                                                                            \
	X(TENANTS, tenants)                                                                        \
	X(TUNNEL_ROOTS, tunnel_roots)                                                              \
	X(TUNNELS, tunnels)                                                                        \
	X(SPIS, spis)                                                                              \
	X(ROUTE_UNITS, route_units)                                                                \
	X(RATES, rates)                                                                            \
	X(NEIGHBORS, neighbors)                                                                    \
	X(WORKERS, workers)                                                                        \
	X(COUNTERS, counters)                                                                      \
	X(RELAY_PORTS, relay_ports)                                                                \
	X(RELAYS, relays)                                                                          \
	X(RELAY_STATES, relay_states)

enum spw_map_id {
#define SPW_MAP_ENUM(id, name) SPW_MAP_##id,
	SPW_MAP_LIST(SPW_MAP_ENUM)
#undef SPW_MAP_ENUM
		SPW_MAP_CNT
};

/* ---- meta: one record ------------------------------------------------------------------- */

struct spw_meta {
	/* Written once, before the map is pinned. Every map's max_entries follows from these: meta
	 * 1, ports SPW_PORTS_MAX, tenants tenants_max, tunnel_roots tunnels_max, tunnels
	 * tunnel_slots_max, spis sas_max, route_units route_units_max, rates tunnels_max +
	 * tenants_max, neighbors neighbors_max, workers SPW_WORKERS_MAX, counters SPW_WORKERS_MAX *
	 * tunnels_max, relay_ports 65536, relays SPW_RELAY_SLOTS_MAX, relay_states SPW_RELAYS_MAX.
	 */
	__u32 layout_version; /* SPW_LAYOUT_VERSION */
	__u32 tunnels_max;    /* ids 0..max-1; id 0 is never used */
	__u32 tunnel_slots_max;
	__u32 tenants_max; /* ids 0..max-1; id 0 is never used */
	__u32 sas_max;     /* SPI slots, and as many outbound SAs; slot 0 is never used */
	__u32 route_units_max;
	__u32 neighbors_max; /* ids 0..max-1; id 0 is never used */
	__u32 reserved0;
	__u64 tables_id; /* random; tells these tables from those of an earlier start */
	__u64 reserved[3];

	/* The grace-period clock. control: release store; workers: acquire load, once per loop. */
	__u64 epoch __attribute__((aligned(SPW_CACHE_LINE)));

	/* Knobs. control: plain atomic store; classifier: plain load. */
	__u32 deny_root[2]
		__attribute__((aligned(SPW_CACHE_LINE))); /* trie of denied outer sources: v4, v6 */
	__u32 control_per_source_pps; /* control messages and unknown SPIs let through per /32 or
					 /64 */
	__u32 control_total_pps;      /* control messages let through in all, per CPU */
	/* Sources of live tunnels, as hosts' prefixes: their control messages have a share of their
	 * own, control_live_pps in all per CPU, and take nothing of the others' total. */
	__u32 live_root[2];
	__u32 control_live_pps;
};
SPW_STATIC_ASSERT(sizeof(struct spw_meta) == 3 * SPW_CACHE_LINE, "meta layout");

/* ---- ports: an interface as the classifier and the workers see it ------------------------- */

enum spw_port_role {
	SPW_PORT_NONE = 0,
	SPW_PORT_WAN = 1, /* carries tunnels */
	SPW_PORT_LAN = 2, /* carries one tenant's plain packets */
};

struct spw_port_image {
	__u8 mac[6];
	__u16 vlan;        /* 802.1Q id this port lives in; 0: untagged */
	__u8 role;         /* enum spw_port_role */
	__u8 on_stop_pass; /* lan: 1 lets tunnel-bound packets to the kernel when no worker listens
			    */
	__u16 tunnel_port_be; /* wan: UDP port of the tunnels */
	__u32 tenant;         /* lan: tenant id */
	__u32 allow_root[2];  /* lan: trie of sources that may enter here: v4, v6 */
	__u8 addr4_cnt;
	__u8 addr6_cnt;
	__u16 mtu_bytes; /* longest IP packet that a relay may send out here; 0: not known */
	__u8 reserved[4];
	__u32 addr4_be[SPW_PORT_ADDRS_MAX]; /* the node's own addresses ("local") */
	__u8 addr6[SPW_PORT_ADDRS_MAX][16];
	__u8 pad[64];
};
SPW_STATIC_ASSERT(sizeof(struct spw_port_image) == 256, "port image layout");

/* Double image: control fills image[!active], release-stores `active`, and does not touch the
 * other image again before a grace period has passed. Indexed by port id. */
struct spw_port {
	__u32 active; /* 0 or 1; readers use & 1 */
	__u32 reserved[15];
	struct spw_port_image image[2];
};
SPW_STATIC_ASSERT(sizeof(struct spw_port) == 576, "port layout");

/* ---- tenants: a routing domain ----------------------------------------------------------- */

struct spw_tenant {
	__u32 route_root[2]; /* trie roots, v4 and v6 (see trie.h, 0: empty); release-stored
			      */
	__u32 reserved[6];
};
SPW_STATIC_ASSERT(sizeof(struct spw_tenant) == 32, "tenant layout");

/* ---- tunnels ------------------------------------------------------------------------------ */

/* tunnel_roots[tunnel id]: the slot of the tunnel's live record, 0: no such tunnel. */
struct spw_tunnel_root {
	__u32 slot; /* control: release store; readers: acquire load */
	__u32 reserved;
};
SPW_STATIC_ASSERT(sizeof(struct spw_tunnel_root) == 8, "tunnel root layout");

#define SPW_OUTER_BYTES_MAX 48u /* IPv6 (40) + UDP (8) */

/* tunnels[slot]: immutable while published. */
struct spw_tunnel {
	__u32 id;              /* tunnel id: row in counters and rates */
	__u32 tenant;          /* tenant id */
	__u32 neighbor;        /* next hop of the peer's outer address, 0: unknown */
	__u16 inner_mtu_bytes; /* longest inner packet that fits into the outer link */
	__u8 port;             /* port id the tunnel leaves by */
	__u8 outer_bytes;      /* 28: IPv4+UDP, 48: IPv6+UDP */
	__u32 allow_root[2];   /* trie of inner sources that may come out of the tunnel: v4, v6 */
	/* The outer headers as they go on the wire, with the length fields and the IPv6 UDP
	 * checksum 0, and the IPv4 header checksum computed over the header with total length 0. */
	__u8 outer[SPW_OUTER_BYTES_MAX];
	__u32 tx_sa[SPW_WORKERS_MAX]; /* outbound SA slot of each worker, 0: none yet */
	/* For control alone, after its own restart (design of static SAs): not read on packets. */
	__u64 local_epoch;
	__u64 peer_epoch;
	__u8 reserved[40];
};
SPW_STATIC_ASSERT(sizeof(struct spw_tunnel) == 192, "tunnel layout");

/* ---- SPIs --------------------------------------------------------------------------------- */

/* An SPI of ours is <22-bit slot><10-bit generation>; slot 0 is never used, so SPIs <= 1023, which
 * RFC 4303 2.1 partly reserves, never occur. Foreign peers' SAs take SPIs of the same form. */
#define SPW_SPI_GENERATION_BITS 10u
#define SPW_SPI_SLOT(spi) ((spi) >> SPW_SPI_GENERATION_BITS)

/* spis[slot]: 64 bits, one release store publishes or withdraws it. */
struct spw_spi {
	__u32 spi;    /* whole SPI, 0: free */
	__u32 tunnel; /* tunnel id */
};
SPW_STATIC_ASSERT(sizeof(struct spw_spi) == 8, "spi layout");

/* ---- routes: the blocks of all tries, see trie.h ------------------------------------------ */

/* route_units: cache lines. A block is a run of them, and a ref says which: its shape above, the
 * index of its first unit below. Ref 0 is no block; unit 0 is never used. */
#define SPW_TRIE_UNIT_WORDS 8u
struct spw_trie_unit {
	__u64 word[SPW_TRIE_UNIT_WORDS];
} __attribute__((aligned(SPW_CACHE_LINE)));
SPW_STATIC_ASSERT(sizeof(struct spw_trie_unit) == 64, "trie unit layout");

#define SPW_TRIE_SHAPE_SHIFT 27u
#define SPW_TRIE_REF(shape, index) ((__u32)(shape) << SPW_TRIE_SHAPE_SHIFT | (__u32)(index))
#define SPW_TRIE_SHAPE(ref) ((ref) >> SPW_TRIE_SHAPE_SHIFT)
#define SPW_TRIE_INDEX(ref) ((ref) & ((1u << SPW_TRIE_SHAPE_SHIFT) - 1))

/* A direct table: bits of the key say which of its slots is the key's, if the key shares all bits
 * before these with the table's base; the slot of any other key is `outside`. The head says where
 * the bits are: (key ^ base) >> shift, if that is less than the number of slots. Behind the head
 * come the slots, a word each: below, the leaf of the longest prefix that ends within these bits,
 * above, the ref of what is longer. A slot changes in one store.
 * A prefix that covers the whole table stands in the trie outside, and over the slots that no
 * longer one covers; where nothing is outside, for the base has no bits but those that lie behind
 * anyway, it is one of the table's own. */
#define SPW_TRIE_DIRECT 22u
#define SPW_TRIE_DIRECT_BITS_MIN 3u
#define SPW_TRIE_DIRECT_BITS_MAX 20u
struct spw_trie_direct_head {
	__u32 own;   /* ref: a trie of the prefixes that end within its bits; control's alone */
	__u32 cnt;   /* prefixes in all; control's alone */
	__u32 scale; /* of the number of prefixes that it was made for; control's alone */
	__u32 pos;   /* bits of the key that lie behind it where it stands; control's alone */
	__u32 reserved[4];
	__u64 base[2]; /* upper half first; bits behind the skipped ones are 0 */
	__u64 form;    /* SPW_TRIE_FORM */
	__u64 outside; /* above, a ref, below, 0 */
};
SPW_STATIC_ASSERT(sizeof(struct spw_trie_direct_head) == 64, "trie direct head layout");
#define SPW_TRIE_BASE_WORD 4u
#define SPW_TRIE_FORM_WORD 6u
#define SPW_TRIE_OUTSIDE_WORD 7u

/* A form: how far to shift the half of the key that has the bits; which half; how many bits of the
 * key lie behind the table; and how many slots there are. */
#define SPW_TRIE_FORM(end, bits)                                                                   \
	((__u64)1 << (32 + (bits)) | (__u64)(end) << 16 | (__u64)((end) > 64) << 8 |               \
	 (((end) > 64 ? 128 : 64) - (end)))
#define SPW_TRIE_FORM_SHIFT(form) ((form)&63)
#define SPW_TRIE_FORM_LOW(form) ((form) >> 8 & 1)
#define SPW_TRIE_FORM_END(form) ((__u32)(form) >> 16)
#define SPW_TRIE_FORM_SLOTS(form) ((__u32)((form) >> 32))

/* A node: 6 bits of the key, and three bitmaps: `children`, by these bits; `exact`, prefixes of
 * just these bits; `shorter`, bit (1 << l | v): a prefix of l = 1 to 5 bits of value v. Then, two
 * to a word, the refs of the children and the leaves of the prefixes, each in the order of its
 * bits. */
#define SPW_TRIE_NODE 23u
#define SPW_TRIE_NODE_BITS 6u
#define SPW_TRIE_NODE_WORDS 3u

/* A list of 2^(shape - SPW_TRIE_LIST) units of up to 7 IPv4 or 3 IPv6 prefixes each, the longest
 * first. A prefix stands there as its code: the address with one bit set behind the prefix's last
 * and zeros behind that, or, where no bit is left (a host), as the address. A code that is not used
 * is 0 and would cover everything; its leaf is 0, and it comes last.
 * In 32-bit numbers a unit of IPv4 is 7 codes, the header, 7 leaves and a 0; of IPv6 it is the
 * header, 3 leaves and 3 codes of two words, upper half first. The header: bits 0 to 6, which of
 * the unit's codes are hosts; bits 8 to 15, in the first unit: how many entries the list has.
 * A guard is a list whose first entry has a ref in the place of its leaf: to what lies below that
 * prefix, which is not a host. */
#define SPW_TRIE_LIST 24u
#define SPW_TRIE_GUARD 28u
#define SPW_TRIE_ENTRIES(header) ((header) >> 8 & 0xff)
#define SPW_TRIE_LIST4 7u
#define SPW_TRIE_LIST6 3u

/* A leaf's value: what to do with a packet whose destination (or source) it covers. */
#define SPW_LEAF_KIND_SHIFT 28u
#define SPW_LEAF_INDEX_MASK ((1u << SPW_LEAF_KIND_SHIFT) - 1)
enum spw_leaf_kind {
	SPW_LEAF_NONE = 0,
	SPW_LEAF_TUNNEL = 1,   /* index: tunnel id */
	SPW_LEAF_LAN = 2,      /* index: port id; on-link, but the host's MAC is not known yet */
	SPW_LEAF_NEIGHBOR = 3, /* index: neighbor id; a host (or router) on a lan port */
	SPW_LEAF_MEMBER = 4,   /* allow and deny sets: the address belongs to it */
};
#define SPW_LEAF(kind, index) (((__u32)(kind) << SPW_LEAF_KIND_SHIFT) | (__u32)(index))
#define SPW_LEAF_KIND(leaf) ((leaf) >> SPW_LEAF_KIND_SHIFT)
#define SPW_LEAF_INDEX(leaf) ((leaf)&SPW_LEAF_INDEX_MASK)

/* ---- neighbors ---------------------------------------------------------------------------- */

/* neighbors[id]: one 64-bit word, stored and loaded whole. */
union spw_neighbor {
	struct {
		__u8 mac[6];
		__u8 port;  /* port id it is reached by */
		__u8 state; /* enum spw_neighbor_state */
	};
	__u64 word;
};
enum spw_neighbor_state {
	SPW_NEIGHBOR_NONE = 0, /* MAC unknown: packets are dropped */
	SPW_NEIGHBOR_VALID = 1,
	SPW_NEIGHBOR_STALE = 2, /* the kernel says it failed; the last MAC serves for up to 30 s */
};
SPW_STATIC_ASSERT(sizeof(union spw_neighbor) == 8, "neighbor layout");

/* ---- rates -------------------------------------------------------------------------------- */

/* One cap: rate in units of 1 kbit/s (125 bytes/s) in the low half, burst in bytes in the high
 * half, so that both change in one store. 0: no cap. Counted in inner IP bytes. */
#define SPW_CAP(rate_kbit, burst_bytes) ((__u64)(burst_bytes) << 32 | (__u32)(rate_kbit))
#define SPW_CAP_RATE_KBIT(cap) ((__u32)(cap))
#define SPW_CAP_BURST_BYTES(cap) ((__u32)((cap) >> 32))

/* rates[tunnel id], then rates[tunnels_max + tenant id]. */
struct spw_rate {
	__u64 in_cap;  /* tunnel: from the peer; tenant: all its packets, once, where they enter */
	__u64 out_cap; /* tunnel: to the peer; tenant: unused */
};
SPW_STATIC_ASSERT(sizeof(struct spw_rate) == 16, "rate layout");

/* ---- workers: written by the workers ------------------------------------------------------ */

#define SPW_CLASSIFIED_CNT 5u /* verdicts that are no drops: enum spw_classifier_counter */

struct spw_port_counters {
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
	/* Of a device's port what the classifier counts on kernel interfaces: the verdicts, from
	 * SPW_CLASSIFIED_FIRST on, and all drops, which stand in `drops` by their reason. */
	__u64 classified[SPW_CLASSIFIED_CNT];
	__u64 dropped;
};

/* workers[worker index]. Every line has one writer: the worker (or, when its process is gone,
 * control, which clears `generation` and `epoch`). Counters only grow; relaxed stores, relaxed
 * loads; they start from where the table stands, so they outlive a restart. */
struct spw_worker_row {
	/* QSBR, as rte_rcu_qsbr: the epoch the worker has seen with no table reference held; 0: it
	 * is offline and holds none. Going online is a store and a sequentially consistent fence
	 * before the first table load (pair: control's fence between unpublishing and reading
	 * this). */
	__u64 epoch __attribute__((aligned(SPW_CACHE_LINE)));
	__u64 generation; /* the process's instance; 0: no such worker runs */
	__u64 reserved0[6];

	__u64 loops;    /* bursts polled */
	__u64 sleeps;   /* times it blocked in poll() */
	__u64 handoffs; /* packets given to another worker */
	/* Reports of SAs to the main thread that found no room; the next packet reports again. */
	__u64 reports_late;
	__u64 reserved1[4];

	/* The last destination on a lan whose MAC is missing. Seqlock: odd glean_seq: being
	 * written. */
	__u32 glean_seq;
	__u8 glean_port;   /* port id */
	__u8 glean_family; /* 4 or 6 */
	__u8 reserved2[2];
	__u8 glean_addr[16]; /* IPv4 in the first 4 bytes */
	__u8 reserved3[40];

	__u64 drops[SPW_DROPS_MAX]; /* by enum spw_drop */
	struct spw_port_counters ports[SPW_PORTS_MAX];
	__u8 reserved4[64];
};
SPW_STATIC_ASSERT(sizeof(struct spw_worker_row) == 2048, "worker row layout");

/* ---- counters ----------------------------------------------------------------------------- */

/* counters[worker * tunnels_max + tunnel id]: writer: that worker. Inner packets and bytes. */
struct spw_tunnel_counters {
	__u64 rx_packets, rx_bytes; /* authenticated, accepted, in window */
	__u64 tx_packets, tx_bytes; /* encrypted towards the peer */
	__u64 rx_drops;             /* decrypted or to be decrypted, then dropped, all reasons */
	__u64 tx_drops;
	__u64 auth_failures;
	__u64 replays;
	__u64 rx_last_ns; /* CLOCK_MONOTONIC of the last accepted packet, coarse */
	__u64 reserved[7];
};
SPW_STATIC_ASSERT(sizeof(struct spw_tunnel_counters) == 128, "tunnel counters layout");

/* ---- blind relays: UDP ports that join two endpoints ---------------------------------------- */

/* relay_ports[UDP port, host order]: the slot of the live record, 0: no relay on this port. */
struct spw_relay_root {
	__u32 slot; /* control: release store; readers: acquire load */
	__u32 reserved;
};
SPW_STATIC_ASSERT(sizeof(struct spw_relay_root) == 8, "relay root layout");

/* Time and cost in the relays' buckets: 2^-10 ns, so that a byte at 100 Gbit/s still costs 82. */
#define SPW_RELAY_TICKS_PER_NS 1024u

/* One endpoint. A packet belongs to the relay when it came from `remote` to `local` in on `port`;
 * what leaves towards this endpoint goes from `local` to `remote` by `port`. */
struct spw_relay_side {
	__u8 remote[16];      /* IPv4 in the first 4 bytes */
	__u8 local[16];       /* an address of the node's, likewise */
	__u16 remote_port_be; /* 0: the endpoint is not known yet, see spw_relay_state */
	__u8 port;            /* port id */
	__u8 reserved;
	__u32 neighbor; /* next hop towards `remote` */
	/* What is added (ones' complement) to the checksums of a packet that leaves towards this
	 * endpoint, for addresses and ports alone: they differ by constants from those it came
	 * with. ip_delta: IPv4 header; udp_delta: UDP over IPv6 (over IPv4 the checksum becomes 0).
	 * In the byte order of the wire. */
	__u16 ip_delta_be;
	__u16 udp_delta_be;
	__u32 reserved2;
};
SPW_STATIC_ASSERT(sizeof(struct spw_relay_side) == 48, "relay side layout");

/* relays[slot]: immutable while published. */
struct spw_relay {
	__u32 id;      /* relay id: row in relay_states */
	__u16 port_be; /* the relay's own UDP port, the same towards both endpoints */
	__u8 family;   /* 4 or 6, of both endpoints */
	__u8 reserved;
	/* Two buckets for each direction (generic cell rate algorithm, ITU-T I.371), in ticks:
	 * what one packet and one byte (of the IP packet) cost, and how far ahead of time a bucket
	 * may be. Never 0: a relay always has both limits. */
	__u64 packet_cost_ticks, packet_burst_ticks;
	__u64 byte_cost_ticks, byte_burst_ticks;
	__u8 reserved2[24];
	struct spw_relay_side side[2] __attribute__((aligned(SPW_CACHE_LINE)));
	__u8 reserved3[32];
};
SPW_STATIC_ASSERT(sizeof(struct spw_relay) == 192, "relay layout");

/* The state of one direction. Writers: the classifier and the workers, on any CPU: the buckets by
 * compare and swap, the counters by atomic addition. Reader: control. */
struct spw_relay_direction {
	__u64 packets_full_ticks; /* when the bucket is full again */
	__u64 bytes_full_ticks;
	__u64 packets, bytes; /* forwarded; bytes of IP packets */
	__u64 drops;          /* from the right endpoint, and dropped for whatever reason */
	__u64 reserved[3];
};
enum spw_relay_learn {
	SPW_RELAY_LEARN_OFF = 0,
	SPW_RELAY_LEARN_ARMED = 1, /* control: release store; classifier: compare and swap to... */
	SPW_RELAY_LEARN_WRITING = 2, /* ... this, fills in the fields, then release store of ... */
	SPW_RELAY_LEARN_DONE = 3,    /* ... this; control reads (acquire), pins, and stores OFF */
};
/* relay_states[relay id]. */
struct spw_relay_state {
	struct spw_relay_direction to[2]; /* towards side 0 and side 1 */
	/* The first source that sent while an unknown endpoint was armed. Its packet is dropped:
	 * only control makes an endpoint of it. */
	__u32 learn; /* enum spw_relay_learn */
	__u16 learned_port_be;
	__u8 learned_on; /* port id it came in on */
	__u8 reserved;
	__u8 learned[16];       /* its address, IPv4 in the first 4 bytes */
	__u8 learned_local[16]; /* the address of ours that it sent to */
	__u64 foreign_drops;    /* from neither endpoint; atomic addition */
	__u8 reserved2[16];
};
SPW_STATIC_ASSERT(sizeof(struct spw_relay_state) == 192, "relay state layout");

/* ---- the classifier's own counters -------------------------------------------------------- */

/* classifier_counters, a per-CPU array: index port id * SPW_CLASSIFIER_COUNTERS + counter. The
 * first SPW_DROPS_MAX are drops by reason, then the verdicts that are no drops. */
enum spw_classifier_counter {
	SPW_CLASSIFIED_FIRST = SPW_DROPS_MAX,
	SPW_CLASSIFIED_PASS = SPW_CLASSIFIED_FIRST, /* not ours: to the kernel */
	SPW_CLASSIFIED_STEER,                       /* to a worker */
	SPW_CLASSIFIED_CONTROL,                     /* to control's socket */
	SPW_CLASSIFIED_KEEPALIVE,                   /* RFC 3948 2.3 keepalive, consumed */
	SPW_CLASSIFIED_RELAY,                       /* forwarded by a blind relay */
	SPW_CLASSIFIED_END,
	SPW_CLASSIFIER_COUNTERS = 72,
};
SPW_STATIC_ASSERT(SPW_CLASSIFIED_END - SPW_CLASSIFIED_FIRST == SPW_CLASSIFIED_CNT,
		  "one verdict each");

#endif
