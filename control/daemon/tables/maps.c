/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/tables/maps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "control/daemon/tables/pin_dir.h"

#define SPIS_MAX (1u << 22) /* what 32 bits of SPI leave for the slot */
#define CHILDREN_PER_SA 4u  /* a child SA, its successor, and as many again on their way out */

struct map_spec {
	const char *name;     /* of the pin */
	const char *bpf_name; /* for bpftool, 15 characters at most */
	uint32_t value_bytes;
};

static const struct map_spec specs[SPW_MAP_CNT] = {
	[SPW_MAP_META] = {"meta", "spw_meta", sizeof(struct spw_meta)},
	[SPW_MAP_PORTS] = {"ports", "spw_ports", sizeof(struct spw_port)},
	[SPW_MAP_TENANTS] = {"tenants", "spw_tenants", sizeof(struct spw_tenant)},
	[SPW_MAP_TUNNEL_ROOTS] = {"tunnel_roots", "spw_tunnel_root",
				  sizeof(struct spw_tunnel_root)},
	[SPW_MAP_TUNNELS] = {"tunnels", "spw_tunnels", sizeof(struct spw_tunnel)},
	[SPW_MAP_SPIS] = {"spis", "spw_spis", sizeof(struct spw_spi)},
	[SPW_MAP_ROUTE_UNITS] = {"route_units", "spw_route_units", sizeof(struct spw_trie_unit)},
	[SPW_MAP_RATES] = {"rates", "spw_rates", sizeof(struct spw_rate)},
	[SPW_MAP_NEIGHBORS] = {"neighbors", "spw_neighbors", sizeof(union spw_neighbor)},
	[SPW_MAP_WORKERS] = {"workers", "spw_workers", sizeof(struct spw_worker_row)},
	[SPW_MAP_COUNTERS] = {"counters", "spw_counters", sizeof(struct spw_tunnel_counters)},
	[SPW_MAP_RELAY_PORTS] = {"relay_ports", "spw_relay_ports", sizeof(struct spw_relay_root)},
	[SPW_MAP_RELAYS] = {"relays", "spw_relays", sizeof(struct spw_relay)},
	[SPW_MAP_RELAY_STATES] = {"relay_states", "spw_relay_state",
				  sizeof(struct spw_relay_state)},
};

/* ---- sizes -------------------------------------------------------------------------------- */

static int limits_check(const struct spw_limits *limits, char *why, size_t why_bytes)
{
	const struct {
		const char *name;
		uint32_t value, max;
	} checks[] = {
		{"tunnels", limits->tunnels, 1048575},
		{"tenants", limits->tenants, 65535},
		{"routes", limits->routes, 8388608},
		{"workers", limits->workers, SPW_WORKERS_MAX},
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		if (checks[i].value >= 1 && checks[i].value <= checks[i].max)
			continue;
		snprintf(why, why_bytes, "the limit `%s` is %u; expected 1 to %u", checks[i].name,
			 checks[i].value, checks[i].max);
		return -EINVAL;
	}
	if ((uint64_t)limits->tunnels * limits->workers * CHILDREN_PER_SA >= SPIS_MAX) {
		snprintf(
			why, why_bytes,
			"%u tunnels x %u workers need more SPIs than there are; with %u workers up "
			"to %u tunnels are possible",
			limits->tunnels, limits->workers, limits->workers,
			(SPIS_MAX - 1) / (limits->workers * CHILDREN_PER_SA));
		return -EINVAL;
	}
	return 0;
}

/* The sizes that tables for these limits have. */
static struct spw_meta meta_for(const struct spw_limits *limits)
{
	return (struct spw_meta){
		.layout_version = SPW_LAYOUT_VERSION,
		.tunnels_max = limits->tunnels + 1,
		/* Every change of a tunnel needs a second slot until its grace period is over. */
		.tunnel_slots_max = limits->tunnels + limits->tunnels / 4 + 64,
		.tenants_max = limits->tenants + 1,
		.sas_max = limits->tunnels * limits->workers * CHILDREN_PER_SA + 1,
		.route_units_max = SPW_ROUTE_UNITS_MAX(limits->routes),
		.neighbors_max = SPW_NEIGHBORS_MAX,
	};
}

static uint32_t entries_for(const struct spw_meta *meta, int id)
{
	switch ((enum spw_map_id)id) {
	case SPW_MAP_META:
		return 1;
	case SPW_MAP_PORTS:
		return SPW_PORTS_MAX;
	case SPW_MAP_TENANTS:
		return meta->tenants_max;
	case SPW_MAP_TUNNEL_ROOTS:
		return meta->tunnels_max;
	case SPW_MAP_TUNNELS:
		return meta->tunnel_slots_max;
	case SPW_MAP_SPIS:
		return meta->sas_max;
	case SPW_MAP_ROUTE_UNITS:
		return meta->route_units_max;
	case SPW_MAP_RATES:
		return meta->tunnels_max + meta->tenants_max;
	case SPW_MAP_NEIGHBORS:
		return meta->neighbors_max;
	case SPW_MAP_WORKERS:
		return SPW_WORKERS_MAX;
	case SPW_MAP_COUNTERS:
		return SPW_WORKERS_MAX * meta->tunnels_max;
	case SPW_MAP_RELAY_PORTS:
		return 65536;
	case SPW_MAP_RELAYS:
		return SPW_RELAY_SLOTS_MAX;
	case SPW_MAP_RELAY_STATES:
		return SPW_RELAYS_MAX;
	case SPW_MAP_CNT:
		break;
	}
	return 0;
}

/* ---- one map ------------------------------------------------------------------------------ */

static int pin_path(char path[PATH_MAX], const char *pin_dir, const char *name)
{
	int bytes = snprintf(path, PATH_MAX, "%s/%s", pin_dir, name);
	return bytes < 0 || bytes >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int map_view(struct spw_maps *maps, int id, uint32_t entries, char *why, size_t why_bytes)
{
	size_t bytes = (size_t)entries * specs[id].value_bytes;
	void *view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, maps->fd[id], 0);

	if (view == MAP_FAILED) {
		int error = -errno;
		snprintf(why, why_bytes, "the table `%s` cannot be mapped: %s", specs[id].name,
			 strerror(-error));
		return error;
	}
	maps->view[id] = view;
	maps->view_bytes[id] = bytes;
	return 0;
}

static int map_create(struct spw_maps *maps, int id, uint32_t entries, char *why, size_t why_bytes)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);

	maps->fd[id] = bpf_map_create(BPF_MAP_TYPE_ARRAY, specs[id].bpf_name, sizeof(uint32_t),
				      specs[id].value_bytes, entries, &opts);
	if (maps->fd[id] < 0) {
		int error = -errno;
		snprintf(why, why_bytes, "the table `%s` (%u entries) cannot be made: %s%s",
			 specs[id].name, entries, strerror(-error),
			 error == -EPERM ? "; spillway-control needs CAP_BPF (run it as root)"
					 : "");
		return error;
	}
	return map_view(maps, id, entries, why, why_bytes);
}

static int map_pin(const struct spw_maps *maps, int id, const char *pin_dir, char *why,
		   size_t why_bytes)
{
	char path[PATH_MAX];
	int error = pin_path(path, pin_dir, specs[id].name);

	if (error == 0 && bpf_obj_pin(maps->fd[id], path) != 0)
		error = -errno;
	if (error)
		snprintf(why, why_bytes, "the table `%s` cannot be pinned in %s: %s",
			 specs[id].name, pin_dir, strerror(-error));
	return error;
}

/* Opens a pinned map and checks its shape. entries 0: whatever it has. -ENOENT is left to the
 * caller, without a sentence. */
static int map_take(struct spw_maps *maps, int id, const char *pin_dir, uint32_t entries, char *why,
		    size_t why_bytes)
{
	struct bpf_map_info info = {0};
	uint32_t info_bytes = sizeof(info);
	char path[PATH_MAX];
	int error = pin_path(path, pin_dir, specs[id].name);

	if (error)
		return error;
	maps->fd[id] = bpf_obj_get(path);
	if (maps->fd[id] < 0) {
		error = -errno;
		if (error != -ENOENT)
			snprintf(why, why_bytes, "%s cannot be opened: %s%s", path,
				 strerror(-error),
				 error == -EPERM
					 ? "; spillway-control needs CAP_BPF (run it as root)"
					 : "");
		return error;
	}
	if (bpf_obj_get_info_by_fd(maps->fd[id], &info, &info_bytes) != 0) {
		error = -errno;
		snprintf(why, why_bytes, "%s is not a table: %s", path, strerror(-error));
		return error;
	}
	if (info.type != BPF_MAP_TYPE_ARRAY || !(info.map_flags & BPF_F_MMAPABLE) ||
	    info.value_size != specs[id].value_bytes || (entries && info.max_entries != entries)) {
		snprintf(why, why_bytes,
			 "the table `%s` in %s has %u entries of %u bytes, expected %u of %u; "
			 "`spillway-control --config FILE --remove` frees the tables, then start "
			 "again",
			 specs[id].name, pin_dir, info.max_entries, info.value_size,
			 entries ? entries : info.max_entries, specs[id].value_bytes);
		return -ESTALE;
	}
	return map_view(maps, id, info.max_entries, why, why_bytes);
}

static void views_name(struct spw_maps *maps)
{
#define VIEW(id, name) maps->name = maps->view[SPW_MAP_##id];
	SPW_MAP_LIST(VIEW)
#undef VIEW
}

/* ---- all maps ----------------------------------------------------------------------------- */

static int maps_create(struct spw_maps *maps, const char *pin_dir, const struct spw_meta *meta,
		       char *why, size_t why_bytes)
{
	int error;

	for (int id = 0; id < SPW_MAP_CNT; id++) {
		error = map_create(maps, id, entries_for(meta, id), why, why_bytes);
		if (error)
			return error;
	}
	views_name(maps);
	*maps->meta = *meta;
	maps->meta->epoch = 1; /* 0 in a worker's row says that it is offline */
	if (getrandom(&maps->meta->tables_id, sizeof(maps->meta->tables_id), 0) !=
	    sizeof(maps->meta->tables_id)) {
		snprintf(why, why_bytes, "no random number for the tables' id: %s",
			 strerror(errno));
		return -EIO;
	}
	/* meta, the first in the list, comes last: with it the folder is whole. */
	for (int id = SPW_MAP_CNT - 1; id >= 0; id--) {
		error = map_pin(maps, id, pin_dir, why, why_bytes);
		if (error)
			return error;
	}
	maps->created = true;
	return 0;
}

static int meta_check(const struct spw_meta *found, const struct spw_meta *meta,
		      const char *pin_dir, char *why, size_t why_bytes)
{
	/* What people set is named and counted as they set it: id 0 is never used. */
	const struct {
		const char *name;
		uint32_t found, expected;
	} checks[] = {
		{"layout version", found->layout_version, meta->layout_version},
		{"tunnels", found->tunnels_max - 1, meta->tunnels_max - 1},
		{"tenants", found->tenants_max - 1, meta->tenants_max - 1},
		{"route units (11/32 x routes + 32768)", found->route_units_max,
		 meta->route_units_max},
		{"SAs (4 x tunnels x workers)", found->sas_max - 1, meta->sas_max - 1},
		{"tunnel slots", found->tunnel_slots_max, meta->tunnel_slots_max},
		{"neighbors", found->neighbors_max, meta->neighbors_max},
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		if (checks[i].found == checks[i].expected)
			continue;
		snprintf(why, why_bytes,
			 "the tables in %s were made with other limits or by another version: "
			 "%s %u, expected %u; either set the limits back, or free the tables with "
			 "`spillway-control --config FILE --remove` and start again",
			 pin_dir, checks[i].name, checks[i].found, checks[i].expected);
		return -ESTALE;
	}
	return 0;
}

/* -ENOENT without a sentence: there is no meta, so no whole set of tables. */
static int maps_take(struct spw_maps *maps, const char *pin_dir, const struct spw_meta *meta,
		     char *why, size_t why_bytes)
{
	int error = map_take(maps, SPW_MAP_META, pin_dir, 0, why, why_bytes);

	if (error)
		return error;
	error = meta_check(maps->view[SPW_MAP_META], meta, pin_dir, why, why_bytes);
	if (error)
		return error;
	for (int id = 0; id < SPW_MAP_CNT; id++) {
		if (id == SPW_MAP_META)
			continue;
		error = map_take(maps, id, pin_dir, entries_for(meta, id), why, why_bytes);
		if (error == -ENOENT) {
			snprintf(why, why_bytes,
				 "the table `%s` is missing in %s though `meta` is there; "
				 "`spillway-control --config FILE --remove` frees the rest, then "
				 "start again",
				 specs[id].name, pin_dir);
			return -ESTALE;
		}
		if (error)
			return error;
	}
	views_name(maps);
	return 0;
}

int spw_maps_open(struct spw_maps *maps, const char *pin_dir, const struct spw_limits *limits,
		  char *why, size_t why_bytes)
{
	memset(maps, 0, sizeof(*maps));
	for (int id = 0; id < SPW_MAP_CNT; id++)
		maps->fd[id] = -1;

	int error = limits_check(limits, why, why_bytes);
	if (error)
		return error;
	error = spw_pin_dir_make(pin_dir, why, why_bytes);
	if (error)
		return error;
	struct spw_meta meta = meta_for(limits);
	error = maps_take(maps, pin_dir, &meta, why, why_bytes);
	if (error == -ENOENT) {
		/* Nothing, or what a control left that died while it made the tables. */
		error = spw_pin_dir_empty(pin_dir, why, why_bytes);
		if (error == 0) {
			error = maps_create(maps, pin_dir, &meta, why, why_bytes);
			if (error) /* `why` says already what was wrong */
				spw_maps_remove(pin_dir, (char[1]){0}, 1);
		}
	}
	if (error)
		spw_maps_close(maps);
	return error;
}

void spw_maps_close(struct spw_maps *maps)
{
	for (int id = 0; id < SPW_MAP_CNT; id++) {
		if (maps->view[id])
			munmap(maps->view[id], maps->view_bytes[id]);
		/* 0 stands for "never opened" in a zeroed struct; a table never gets it. */
		if (maps->fd[id] > 0)
			close(maps->fd[id]);
	}
	memset(maps, 0, sizeof(*maps));
}
