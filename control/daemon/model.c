/* SPDX-License-Identifier: BSD-2-Clause */
/* model.c - see model.h. Names are found through tsearch(3) trees: 10,000 ops in one transaction
 * look up 20,000 of them. */
#include "control/daemon/model.h"

#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/relays/relays.h"

/* Both objects start with their name, so that a name is a key, too. */
static_assert(offsetof(struct spw_tenant_obj, name) == 0, "a tenant is compared as its name");
static_assert(offsetof(struct spw_tunnel_obj, name) == 0, "a tunnel is compared as its name");

static int compare_names(const void *left, const void *right)
{
	return strcmp(left, right);
}

static void *find_name(void *const *tree, const char *name)
{
	void *const *found = tfind(name, tree, compare_names);

	return found ? *found : NULL;
}

struct spw_tenant_obj *spw_tenant_find(struct spw_node *node, const char *name)
{
	return find_name(&node->tenant_names, name);
}

struct spw_tenant_obj *spw_tenant_only(struct spw_node *node, uint32_t *cnt)
{
	struct spw_tenant_obj *only = NULL;

	*cnt = 0;
	for (uint32_t id = 0; id < node->maps.meta->tenants_max; id++) {
		if (!node->tenants[id])
			continue;
		only = node->tenants[id];
		(*cnt)++;
	}
	return *cnt == 1 ? only : NULL;
}

struct spw_tunnel_obj *spw_tunnel_find(struct spw_node *node, const char *name)
{
	return find_name(&node->tunnel_names, name);
}

static int compare_peers(const void *left, const void *right)
{
	const struct spw_tunnel_obj *a = left, *b = right;

	return memcmp(a->spec.peer_key, b->spec.peer_key, sizeof(a->spec.peer_key));
}

struct spw_tunnel_obj *spw_tunnel_of_peer(struct spw_node *node,
					  const uint8_t peer_key[SPW_PUBLIC_KEY_BYTES])
{
	struct spw_tunnel_obj key, **found;

	memcpy(key.spec.peer_key, peer_key, sizeof(key.spec.peer_key));
	found = tfind(&key, &node->tunnel_peers, compare_peers);
	return found ? *found : NULL;
}

/* A tunnel stands in both trees, or in that of names alone. False: no memory. */
static bool index_tunnel(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	if (!tsearch(tunnel, &node->tunnel_names, compare_names))
		return false;
	if (tunnel->spec.keying != SPW_KEYING_SESSION ||
	    tsearch(tunnel, &node->tunnel_peers, compare_peers))
		return true;
	tdelete(tunnel->name, &node->tunnel_names, compare_names);
	return false;
}

static struct spw_slots *pool_new(uint32_t max)
{
	struct spw_slots *slots = calloc(1, sizeof(*slots));

	if (slots && spw_slots_open(slots, max) < 0) {
		free(slots);
		return NULL;
	}
	return slots;
}

static void pool_free(struct spw_slots *slots)
{
	if (slots)
		spw_slots_close(slots);
	free(slots);
}

int spw_model_open(struct spw_node *node)
{
	const struct spw_meta *meta = node->maps.meta;

	node->tenant_ids = pool_new(meta->tenants_max);
	node->tunnel_ids = pool_new(meta->tunnels_max);
	node->tunnel_slots = pool_new(meta->tunnel_slots_max);
	node->neighbor_ids = pool_new(meta->neighbors_max);
	node->spi_slots = pool_new(meta->sas_max);
	node->out_slots = pool_new(meta->sas_max);
	node->relay_ids = pool_new(SPW_RELAYS_MAX);
	node->relay_slots = pool_new(SPW_RELAY_SLOTS_MAX);
	node->tenants = calloc(meta->tenants_max, sizeof(struct spw_tenant_obj *));
	node->tunnels = calloc(meta->tunnels_max, sizeof(struct spw_tunnel_obj *));
	if (!node->tenant_ids || !node->tunnel_ids || !node->tunnel_slots || !node->neighbor_ids ||
	    !node->spi_slots || !node->out_slots || !node->relay_ids || !node->relay_slots ||
	    !node->tenants || !node->tunnels)
		return -ENOMEM;
	return 0;
}

void spw_model_close(struct spw_node *node)
{
	for (uint32_t id = 0; node->tunnels && id < node->maps.meta->tunnels_max; id++) {
		struct spw_tunnel_obj *tunnel = node->tunnels[id];
		if (!tunnel)
			continue;
		spw_tunnel_hide(node, tunnel);
		spw_tunnel_free(node, tunnel);
	}
	for (uint32_t id = 0; node->tenants && id < node->maps.meta->tenants_max; id++)
		if (node->tenants[id])
			spw_tenant_drop(node, node->tenants[id]);
	spw_relays_close(node);
	free(node->tunnels);
	free(node->tenants);
	pool_free(node->relay_slots);
	pool_free(node->relay_ids);
	pool_free(node->out_slots);
	pool_free(node->spi_slots);
	pool_free(node->neighbor_ids);
	pool_free(node->tunnel_slots);
	pool_free(node->tunnel_ids);
	pool_free(node->tenant_ids);
	node->tunnels = NULL;
	node->tenants = NULL;
	node->out_slots = node->spi_slots = node->neighbor_ids = NULL;
	node->tunnel_slots = node->tunnel_ids = node->tenant_ids = NULL;
	node->relay_slots = node->relay_ids = NULL;
}

/* The id asked for, or any when that is 0; 0 with errno set: there is none. */
static uint32_t take_id(struct spw_slots *ids, uint32_t id)
{
	int err = id ? spw_slots_mark(ids, id) : 0;

	if (id == 0) {
		id = spw_slots_alloc(ids);
		err = id ? 0 : -ENOSPC;
	}
	if (err < 0)
		errno = -err;
	return err < 0 ? 0 : id;
}

struct spw_tenant_obj *spw_tenant_new(struct spw_node *node, const char *name, uint32_t id)
{
	struct spw_tenant_obj *tenant;

	id = take_id(node->tenant_ids, id);
	if (id == 0)
		return NULL;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		goto fail_id;
	strncpy(tenant->name, name, sizeof(tenant->name) - 1);
	tenant->id = id;
	if (!tsearch(tenant, &node->tenant_names, compare_names))
		goto fail_tenant;
	node->tenants[id] = tenant;
	return tenant;

fail_tenant:
	free(tenant);
fail_id:
	spw_slots_free(node->tenant_ids, id);
	errno = ENOMEM;
	return NULL;
}

void spw_tenant_drop(struct spw_node *node, struct spw_tenant_obj *tenant)
{
	tdelete(tenant->name, &node->tenant_names, compare_names);
	node->tenants[tenant->id] = NULL;
	spw_slots_free(node->tenant_ids, tenant->id);
	free(tenant);
}

static void free_spec(struct spw_tunnel_obj *tunnel)
{
	free((char *)tunnel->spec.secret_file);
	free((char *)tunnel->spec.in.key_file);
	free((char *)tunnel->spec.out.key_file);
	free((char *)tunnel->spec.psk_file);
	free(tunnel->allow);
}

/* Key files are named from the root, as the next control may be started in another folder. */
static bool copy_path(const char **copy, const char *path)
{
	char folder[PATH_MAX];
	char *text = NULL;

	if (path && path[0] != '/' && getcwd(folder, sizeof(folder)) &&
	    asprintf(&text, "%s/%s", folder, path) < 0)
		return false;
	*copy = text ? text : path ? strdup(path) : NULL;
	return !path || *copy;
}

static bool copy_spec(struct spw_tunnel_obj *tunnel, const struct spw_tunnel_spec *spec)
{
	struct spw_tunnel_spec *copy = &tunnel->spec;

	*copy = *spec;
	copy->name = tunnel->name;
	copy->tenant = tunnel->tenant ? tunnel->tenant->name : NULL;
	copy->allow_places = NULL;
	copy->secret_file = copy->in.key_file = copy->out.key_file = copy->psk_file = NULL;
	/* One more than needed, so that an empty set is no failure of malloc. */
	tunnel->allow = malloc((spec->allow_cnt + 1) * sizeof(*tunnel->allow));
	copy->allow = tunnel->allow;
	if (!tunnel->allow || !copy_path(&copy->secret_file, spec->secret_file) ||
	    !copy_path(&copy->in.key_file, spec->in.key_file) ||
	    !copy_path(&copy->out.key_file, spec->out.key_file) ||
	    !copy_path(&copy->psk_file, spec->psk_file))
		return false;
	if (spec->allow_cnt > 0)
		memcpy(tunnel->allow, spec->allow, spec->allow_cnt * sizeof(*tunnel->allow));
	tunnel->allow_cnt = spec->allow_cnt;
	return true;
}

struct spw_tunnel_obj *spw_tunnel_new(struct spw_node *node, const struct spw_tunnel_spec *spec,
				      struct spw_tenant_obj *tenant, uint32_t id)
{
	struct spw_tunnel_obj *tunnel;

	id = take_id(node->tunnel_ids, id);
	if (id == 0)
		return NULL;
	tunnel = calloc(1, sizeof(*tunnel));
	if (!tunnel)
		goto fail_id;
	strncpy(tunnel->name, spec->name, sizeof(tunnel->name) - 1);
	tunnel->id = id;
	tunnel->tenant = tenant;
	tunnel->remote = spec->remote;
	if (tunnel->remote.family != 0 && tunnel->remote.port == 0)
		tunnel->remote.port = node->listen_port;
	tunnel->local = spec->local;
	tunnel->mtu_bytes = spec->mtu_bytes;
	tunnel->foreign = spec->keying == SPW_KEYING_FOREIGN;
	if (!copy_spec(tunnel, spec) || !index_tunnel(node, tunnel))
		goto fail_tunnel;
	node->tunnels[id] = tunnel;
	return tunnel;

fail_tunnel:
	free_spec(tunnel);
	free(tunnel);
fail_id:
	spw_slots_free(node->tunnel_ids, id);
	errno = ENOMEM;
	return NULL;
}

void spw_tunnel_hide(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	tdelete(tunnel->name, &node->tunnel_names, compare_names);
	if (tunnel->spec.keying == SPW_KEYING_SESSION)
		tdelete(tunnel, &node->tunnel_peers, compare_peers);
	node->tunnels[tunnel->id] = NULL;
	tunnel->dying = true;
}

void spw_tunnel_unhide(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	/* A failing tsearch would leave a tunnel without a name: no memory for one node of a tree,
	 * right after one was freed, does not happen. */
	if (!index_tunnel(node, tunnel))
		abort();
	node->tunnels[tunnel->id] = tunnel;
	tunnel->dying = false;
}

void spw_tunnel_free(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	spw_slots_free(node->tunnel_ids, tunnel->id);
	free_spec(tunnel);
	free(tunnel);
}
