/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node_double.h - a node whose tables are plain memory, and doubles of the SA manager and of net,
 * for tests of transactions, journal and adoption.
 *
 * The doubles write what they were asked to do to a trace, and can be told to fail. One test at a
 * time; memory belongs to the helper until node_double_close.
 */
#ifndef NODE_DOUBLE_H
#define NODE_DOUBLE_H

#include "control/daemon/node.h"

#define DOUBLE_TUNNELS_MAX 65u /* ids, of which 64 can be used */
#define DOUBLE_TENANTS_MAX 9u
#define DOUBLE_SLOTS_MAX 128u
#define DOUBLE_SAS_MAX 1024u
#define DOUBLE_NEIGHBORS_MAX 32u
#define DOUBLE_UNITS_MAX 60000u

struct double_tables { /* a copy of all tables */
	struct spw_meta meta;
	struct spw_port ports[SPW_PORTS_MAX];
	struct spw_tenant tenants[DOUBLE_TENANTS_MAX];
	struct spw_tunnel_root tunnel_roots[DOUBLE_TUNNELS_MAX];
	struct spw_tunnel tunnels[DOUBLE_SLOTS_MAX];
	struct spw_spi spis[DOUBLE_SAS_MAX];
	struct spw_rate rates[DOUBLE_TUNNELS_MAX + DOUBLE_TENANTS_MAX];
	union spw_neighbor neighbors[DOUBLE_NEIGHBORS_MAX];
	struct spw_worker_row workers[SPW_WORKERS_MAX];
	struct spw_tunnel_counters counters[2 * DOUBLE_TUNNELS_MAX];
	struct spw_trie_unit route_units[DOUBLE_UNITS_MAX];
	struct spw_relay_root relay_ports[65536];
	struct spw_relay relays[SPW_RELAY_SLOTS_MAX];
	struct spw_relay_state relay_states[SPW_RELAYS_MAX];
};

/* A node "test" with two workers, port 0 wan0, port 1 lan0 of tenant blue, port 2 lan1 of tenant
 * green; empty tables, of whose units of tries `units_max` are there (2..DOUBLE_UNITS_MAX). Its run
 * folder is a new one. */
struct spw_node *node_double_open(uint32_t units_max);
/* Control ends, and what it had in its limbo with it: the object goes, tables and journal stay (a
 * test of a crash puts back the tables as they were before). node_double_reborn gives a new object
 * on the same tables, with maps, grace and model, as start.c makes them. */
void node_double_die(void);
struct spw_node *node_double_reborn(void);
void node_double_close(void);

struct double_tables *node_double_tables(void); /* the live ones */

extern char double_trace[4096];    /* "prepare a;start a;stop a;" ... */
extern int double_sas_error;       /* spw_sas_prepare fails with it */
extern int double_nexthop_error;   /* spw_nexthop_acquire (of a tunnel, of a relay's end) fails */
extern int double_sas_live;        /* tunnels prepared and neither aborted nor stopped */
extern int double_nexthop_live;    /* next hops acquired and not released */
extern uint16_t double_port_busy;  /* spw_udp_port_hold: somebody has it */
extern int double_ports_held;      /* calls of it that gave a descriptor */
extern uint32_t double_route_port; /* port id of all next hops; SPW_PORTS_MAX: no route */
extern void (*double_on_start)(struct spw_tunnel_obj *tunnel);
extern void (*double_on_stop)(struct spw_tunnel_obj *tunnel);

#endif
