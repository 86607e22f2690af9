/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables_view.h - the shared tables as the dataplane sees them: mapped read-only, except the
 * workers' own rows and the relays' state.
 *
 * Who owns the memory: the kernel's maps (ebpf/tables.h); mapped once at start by the main thread
 * (tables_view.c), unmapped never. Any worker reads it while it is online.
 */
#ifndef SPW_TABLES_VIEW_H
#define SPW_TABLES_VIEW_H

#include <stdint.h>

#include "ebpf/tables.h"
#include "ebpf/trie.h"

struct spw_tables {
	const struct spw_meta *meta;
	const struct spw_port *ports;
	const struct spw_tenant *tenants;
	const struct spw_tunnel_root *tunnel_roots;
	const struct spw_tunnel *tunnels;
	const struct spw_spi *spis;
	const struct spw_rate *rates;
	const union spw_neighbor *neighbors;
	struct spw_trie routes;
	const struct spw_relay_root *relay_ports;
	const struct spw_relay *relays;
	struct spw_relay_state *relay_states; /* writable */
	struct spw_worker_row *workers;       /* writable */
	struct spw_tunnel_counters *counters; /* writable */
	/* Copied from `meta` before the first packet: bounds must not change under a reader. */
	uint32_t tunnels_max, tunnel_slots_max, tenants_max, sas_max, neighbors_max;
};

/* spw_tables_map maps all SPW_MAP_CNT descriptors and checks the layout version and every size.
 * Returns 0, or a negative errno with a sentence in `why` (why_bytes long). */
int spw_tables_map(struct spw_tables *tables, const int fds[SPW_MAP_CNT], char *why,
		   unsigned int why_bytes);

/* The live record of a tunnel, or NULL. Valid until the worker's next quiescent state. */
static inline const struct spw_tunnel *spw_tunnel_record(const struct spw_tables *tables,
							 __u32 tunnel)
{
	if (tunnel >= tables->tunnels_max)
		return NULL;
	/* Pairs with control's release store when it publishes the slot. */
	__u32 slot = __atomic_load_n(&tables->tunnel_roots[tunnel].slot, __ATOMIC_ACQUIRE);
	if (slot - 1 >= tables->tunnel_slots_max - 1) /* 0 is none */
		return NULL;
	return &tables->tunnels[slot];
}

/* The live image of a port; port ids are below SPW_PORTS_MAX. */
static inline const struct spw_port_image *spw_port_live(const struct spw_tables *tables,
							 __u32 port)
{
	const struct spw_port *record = &tables->ports[port % SPW_PORTS_MAX];
	return &record->image[__atomic_load_n(&record->active, __ATOMIC_ACQUIRE) & 1];
}

#endif
