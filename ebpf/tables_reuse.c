/* SPDX-License-Identifier: BSD-2-Clause */
/* tables_reuse.c - see tables_reuse.h. */
#include "ebpf/tables_reuse.h"

#include <stddef.h>

#include "classifier.skel.h"

int spw_classifier_tables_reuse(struct spw_classifier *skel, const int map_fds[SPW_MAP_CNT])
{
	const struct {
		struct bpf_map *map;
		enum spw_map_id table;
	} tables[] = {
		{skel->maps.meta, SPW_MAP_META},
		{skel->maps.ports, SPW_MAP_PORTS},
		{skel->maps.tenants, SPW_MAP_TENANTS},
		{skel->maps.spis, SPW_MAP_SPIS},
		{skel->maps.route_units, SPW_MAP_ROUTE_UNITS},
		{skel->maps.neighbors, SPW_MAP_NEIGHBORS},
		{skel->maps.relay_ports, SPW_MAP_RELAY_PORTS},
		{skel->maps.relays, SPW_MAP_RELAYS},
		{skel->maps.relay_states, SPW_MAP_RELAY_STATES},
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && error == 0; i++)
		error = bpf_map__reuse_fd(tables[i].map, map_fds[tables[i].table]);
	return error;
}
