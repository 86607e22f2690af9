/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.h - the shared tables as control has them: made or taken up, pinned, mapped read-write.
 *
 * Who owns the memory: the kernel; the pins keep the tables alive when control is gone. struct
 * spw_maps owns the descriptors and the mappings until spw_maps_close. Control's one thread.
 *
 * Under <pin_dir>, a folder of mode 0700 on a bpf filesystem, each map of SPW_MAP_LIST is pinned
 * under its name. `meta` is pinned last: a folder without it is half made, and is made anew.
 */
#ifndef SPW_MAPS_H
#define SPW_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebpf/tables.h"

#define SPW_NEIGHBORS_MAX 4096u /* ids, of which 0 is never used */

/* Units (64 bytes) of the pool that all tries share: for the slots of one large table; and 11/32 a
 * prefix, or 8 of the first 32,768 prefixes, so that small tables, whose prefixes take more where
 * that makes lookups quicker (trie_plan.c), have room for it. */
#define SPW_ROUTE_UNITS_LEAST(routes) ((routes)*11u / 32u)
#define SPW_ROUTE_UNITS_EASY(routes) ((routes) < 32768u ? (routes)*8u : 262144u)
#define SPW_ROUTE_UNITS_MAX(routes)                                                                \
	(32768u + (SPW_ROUTE_UNITS_LEAST(routes) > SPW_ROUTE_UNITS_EASY(routes)                    \
			   ? SPW_ROUTE_UNITS_LEAST(routes)                                         \
			   : SPW_ROUTE_UNITS_EASY(routes)))

/* What the tables must hold. The tables are made for these numbers once; others need new tables. */
struct spw_limits {
	uint32_t tunnels; /* 1..1048575; tunnels x workers x 4 <= 2^22 */
	uint32_t tenants; /* 1..65535 */
	uint32_t routes;  /* 1..8388608 prefixes: routes of all tenants, allow and deny sets */
	uint32_t workers; /* 1..SPW_WORKERS_MAX */
	/* Messages a second that the classifier lets through to control, 0: as start.c has them. */
	uint32_t control_per_source_pps, control_total_pps;
};

struct spw_maps {
	int fd[SPW_MAP_CNT]; /* by enum spw_map_id, as SETUP hands them over */
	bool created;        /* false: taken up as an earlier control left them */

	/* The tables. Sizes stand in *meta; tables.h says what may be written how. */
	struct spw_meta *meta;
	struct spw_port *ports;
	struct spw_tenant *tenants;
	struct spw_tunnel_root *tunnel_roots;
	struct spw_tunnel *tunnels;
	struct spw_spi *spis;
	struct spw_trie_unit *route_units;
	struct spw_rate *rates;
	union spw_neighbor *neighbors;
	struct spw_worker_row *workers;
	struct spw_tunnel_counters *counters;
	struct spw_relay_root *relay_ports;
	struct spw_relay *relays;
	struct spw_relay_state *relay_states;

	/* Of maps.c alone. */
	void *view[SPW_MAP_CNT];
	size_t view_bytes[SPW_MAP_CNT];
};

/* spw_maps_pin_dir writes the folder of a node's pins, <base>/<node>, where base is the environment
 * variable SPW_BPFFS_DIR or /sys/fs/bpf/spillway. 0, or -ENAMETOOLONG, or -EINVAL for a node name
 * that is empty, starts with '.' or holds '/'. */
int spw_maps_pin_dir(const char *node, char *dir, size_t dir_bytes);

/* spw_maps_open takes up the tables pinned in pin_dir, or makes them: every record zero, meta.epoch
 * 1 and meta.tables_id random. Makes pin_dir and its parent where they are missing, and mounts the
 * bpf filesystem on /sys/fs/bpf where nothing stands there. Returns 0, or with a whole sentence in
 * `why` (what was found, what was expected, what to do) and nothing held open:
 *   -EINVAL  a limit or the path is out of range
 *   -EPERM   a folder belongs to someone else or is open to others; or no CAP_BPF
 *   -ESTALE  the tables standing there have another layout or other sizes
 *   others   what the kernel said */
int spw_maps_open(struct spw_maps *maps, const char *pin_dir, const struct spw_limits *limits,
		  char *why, size_t why_bytes);

/* Unmaps and closes; the pinned tables stay. A struct that was never opened must be zeroed. */
void spw_maps_close(struct spw_maps *maps);

/* spw_maps_remove unpins all that stands in pin_dir, links of attached programs (link_<ifname>)
 * first, and removes the folder, and the one above where no other node is in it. 0, also when there
 * was none, or a negative errno with a sentence in `why`. */
int spw_maps_remove(const char *pin_dir, char *why, size_t why_bytes);

#endif
