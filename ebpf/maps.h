/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * maps.h - the maps of the classifier, for BPF code only.
 *
 * The tables are the node's (tables.h): control creates them and puts their descriptors in place of
 * these declarations before it loads the program, so the sizes here are only a minimum. The
 * program reads them, inside the kernel's RCU; it writes `relay_states` alone.
 *
 * Its own maps: `xsks_map` belongs to one interface, the others are shared by all interfaces of a
 * node. control/daemon/net/attach.c pins them, so that they outlive control.
 */
#ifndef SPW_EBPF_MAPS_H
#define SPW_EBPF_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "tables.h"

struct spw_frame;

/* A table, and the function that reads it (classify.h says what for): NULL beyond its end. */
#define SPW_TABLE(table, record)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, record);                                                             \
	} table SEC(".maps");                                                                      \
	static __always_inline record *spw_##table##_at(const struct spw_frame *frame,             \
							__u32 index)                               \
	{                                                                                          \
		(void)frame;                                                                       \
		return bpf_map_lookup_elem(&table, &index);                                        \
	}

SPW_TABLE(meta, struct spw_meta)
SPW_TABLE(ports, struct spw_port)
SPW_TABLE(tenants, struct spw_tenant)
SPW_TABLE(spis, struct spw_spi)
SPW_TABLE(route_units, struct spw_trie_unit)
SPW_TABLE(neighbors, union spw_neighbor)
SPW_TABLE(relay_ports, struct spw_relay_root)
SPW_TABLE(relays, struct spw_relay)
SPW_TABLE(relay_states, struct spw_relay_state)

/* Receive queue -> XSK; the dataplane's libxdp finds it by this name and fills it. 64 queues are
 * more than the workers (SPW_WORKERS_MAX) could serve. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} xsks_map SEC(".maps");

/* Port id -> interface, for what a blind relay sends out of another port than it came in on. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, SPW_PORTS_MAX);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} tx_ports SEC(".maps");

/* Port id * SPW_CLASSIFIER_COUNTERS + counter. Writer: this CPU; reader: control. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPW_PORTS_MAX *SPW_CLASSIFIER_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} classifier_counters SEC(".maps");

#endif
