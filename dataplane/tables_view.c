/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/tables_view.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const map_names[SPW_MAP_CNT] = {
#define MAP_NAME(id, name) [SPW_MAP_##id] = #name,
	SPW_MAP_LIST(MAP_NAME)
#undef MAP_NAME
};

/* What a map must be at least. Bounds come from `meta`; the kernel's own size must cover them. */
struct map_need {
	uint32_t value_bytes;
	uint64_t entries_min;
	bool writable;
};

struct map_view {
	void *memory;
	uint32_t entries;
};

static int map_one(int fd, enum spw_map_id id, const struct map_need *need, struct map_view *view,
		   char *why, unsigned int why_bytes)
{
	struct bpf_map_info info = {0};
	uint32_t info_bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &info_bytes) < 0) {
		int error = -errno;
		snprintf(why, why_bytes, "table %s: its descriptor is no BPF map: %s",
			 map_names[id], strerror(-error));
		return error;
	}
	if (info.type != BPF_MAP_TYPE_ARRAY || !(info.map_flags & BPF_F_MMAPABLE) ||
	    info.value_size != need->value_bytes || info.max_entries < need->entries_min) {
		snprintf(
			why, why_bytes,
			"table %s: expected an mmapable array of at least %llu records of %u "
			"bytes, "
			"found type %u with %u of %u bytes: control and dataplane are of different "
			"versions, install both from one build",
			map_names[id], (unsigned long long)need->entries_min, need->value_bytes,
			info.type, info.max_entries, info.value_size);
		return -EPROTO;
	}
	/* The kernel rounds the length of the mapping up to whole pages, as it did the map. */
	size_t bytes = (size_t)((info.value_size + 7u) / 8 * 8) * info.max_entries;
	void *memory = mmap(NULL, bytes, need->writable ? PROT_READ | PROT_WRITE : PROT_READ,
			    MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		int error = -errno;
		snprintf(why, why_bytes, "table %s: cannot map %zu bytes: %s", map_names[id], bytes,
			 strerror(-error));
		return error;
	}
	*view = (struct map_view){memory, info.max_entries};
	return 0;
}

/* `meta` says how large the others must be, so it is mapped and checked first. */
static int map_meta(struct spw_tables *tables, int fd, char *why, unsigned int why_bytes)
{
	const struct map_need need = {sizeof(struct spw_meta), 1, false};
	struct map_view view = {0};

	int error = map_one(fd, SPW_MAP_META, &need, &view, why, why_bytes);
	if (error)
		return error;
	const struct spw_meta *meta = view.memory;
	if (meta->layout_version != SPW_LAYOUT_VERSION) {
		snprintf(why, why_bytes,
			 "the tables have layout %u, this dataplane reads layout %u: install "
			 "control "
			 "and dataplane from one build",
			 meta->layout_version, SPW_LAYOUT_VERSION);
		return -EPROTO;
	}
	tables->meta = meta;
	tables->tunnels_max = meta->tunnels_max;
	tables->tunnel_slots_max = meta->tunnel_slots_max;
	tables->tenants_max = meta->tenants_max;
	tables->sas_max = meta->sas_max;
	tables->neighbors_max = meta->neighbors_max;
	return 0;
}

int spw_tables_map(struct spw_tables *tables, const int fds[SPW_MAP_CNT], char *why,
		   unsigned int why_bytes)
{
	memset(tables, 0, sizeof(*tables));
	int error = map_meta(tables, fds[SPW_MAP_META], why, why_bytes);
	if (error)
		return error;

	const uint64_t tunnels = tables->tunnels_max;
	const struct map_need needs[SPW_MAP_CNT] = {
		[SPW_MAP_PORTS] = {sizeof(struct spw_port), SPW_PORTS_MAX, false},
		[SPW_MAP_TENANTS] = {sizeof(struct spw_tenant), tables->tenants_max, false},
		[SPW_MAP_TUNNEL_ROOTS] = {sizeof(struct spw_tunnel_root), tunnels, false},
		[SPW_MAP_TUNNELS] = {sizeof(struct spw_tunnel), tables->tunnel_slots_max, false},
		[SPW_MAP_SPIS] = {sizeof(struct spw_spi), tables->sas_max, false},
		[SPW_MAP_ROUTE_UNITS] = {sizeof(struct spw_trie_unit), 1, false},
		[SPW_MAP_RATES] = {sizeof(struct spw_rate), tunnels + tables->tenants_max, false},
		[SPW_MAP_NEIGHBORS] = {sizeof(union spw_neighbor), tables->neighbors_max, false},
		[SPW_MAP_WORKERS] = {sizeof(struct spw_worker_row), SPW_WORKERS_MAX, true},
		[SPW_MAP_COUNTERS] = {sizeof(struct spw_tunnel_counters), SPW_WORKERS_MAX * tunnels,
				      true},
		[SPW_MAP_RELAY_PORTS] = {sizeof(struct spw_relay_root), 65536, false},
		[SPW_MAP_RELAYS] = {sizeof(struct spw_relay), SPW_RELAY_SLOTS_MAX, false},
		[SPW_MAP_RELAY_STATES] = {sizeof(struct spw_relay_state), SPW_RELAYS_MAX, true},
	};
	struct map_view views[SPW_MAP_CNT];
	for (enum spw_map_id id = SPW_MAP_META + 1; id < SPW_MAP_CNT; id++) {
		error = map_one(fds[id], id, &needs[id], &views[id], why, why_bytes);
		if (error)
			return error;
	}
	tables->ports = views[SPW_MAP_PORTS].memory;
	tables->tenants = views[SPW_MAP_TENANTS].memory;
	tables->tunnel_roots = views[SPW_MAP_TUNNEL_ROOTS].memory;
	tables->tunnels = views[SPW_MAP_TUNNELS].memory;
	tables->spis = views[SPW_MAP_SPIS].memory;
	tables->rates = views[SPW_MAP_RATES].memory;
	tables->neighbors = views[SPW_MAP_NEIGHBORS].memory;
	tables->routes = (struct spw_trie){
		.units = views[SPW_MAP_ROUTE_UNITS].memory,
		.units_max = views[SPW_MAP_ROUTE_UNITS].entries,
	};
	tables->workers = views[SPW_MAP_WORKERS].memory;
	tables->counters = views[SPW_MAP_COUNTERS].memory;
	tables->relay_ports = views[SPW_MAP_RELAY_PORTS].memory;
	tables->relays = views[SPW_MAP_RELAYS].memory;
	tables->relay_states = views[SPW_MAP_RELAY_STATES].memory;
	return 0;
}
