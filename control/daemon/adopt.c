/* SPDX-License-Identifier: BSD-2-Clause */
/* adopt.c - see adopt.h. What is done to the model and the pools; adopt_finish.c: the rest. */
#include "control/daemon/adopt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/journal.h"
#include "control/daemon/model.h"
#include "control/daemon/publish.h"
#include "control/daemon/relays/relays.h"
#include "control/daemon/txn.h"

static const struct spw_place nowhere;

static int damaged(struct spw_error *error, const struct spw_node *node, const char *what)
{
	return spw_error_set(error, -EUCLEAN, nowhere,
			     "the tables of node \"%s\" or their journal are damaged (%s); free "
			     "them with `spillway-control --config %s --remove`, then start anew",
			     node->name, what, node->config_path);
}

int spw_adopt_journal(struct spw_node *node, struct spw_adoption *adoption, struct spw_error *error)
{
	adoption->lines = spw_journal_read(node, error);
	if (!adoption->lines)
		return error->code;
	if (spw_journal_node(node, json_array_get(adoption->lines, 0), &adoption->tables_id) < 0)
		return damaged(error, node, "the journal's first line");
	return 0;
}

void spw_adopt_close(struct spw_adoption *adoption)
{
	for (uint32_t i = 0; i < adoption->ops_cnt; i++)
		free(adoption->allows[i]);
	free(adoption->allows);
	free(adoption->ops);
	free(adoption->orphans);
	json_decref(adoption->lines);
	memset(adoption, 0, sizeof(*adoption));
}

/* ---- names -------------------------------------------------------------------------------- */

static bool published(const struct spw_node *node, uint32_t id)
{
	const struct spw_meta *meta = node->maps.meta;
	uint32_t slot;

	if (id == 0 || id >= meta->tunnels_max)
		return false;
	slot = node->maps.tunnel_roots[id].slot;
	return slot != 0 && slot < meta->tunnel_slots_max;
}

/* Puts an op aside for spw_adopt_finish. Owns `allow` from then on, if it returns 0. */
static int put_aside(struct spw_adoption *adoption, const struct spw_op *op,
		     struct spw_prefix *allow)
{
	uint32_t cnt = adoption->ops_cnt;

	/* Room grows at powers of two. */
	if ((cnt & (cnt - 1)) == 0) {
		size_t room = cnt ? 2 * (size_t)cnt : 1;
		struct spw_op *ops = reallocarray(adoption->ops, room, sizeof(*ops));
		if (!ops)
			return -ENOMEM;
		adoption->ops = ops;
		struct spw_prefix **allows = reallocarray(adoption->allows, room, sizeof(*allows));
		if (!allows)
			return -ENOMEM;
		adoption->allows = allows;
	}
	adoption->ops[cnt] = *op;
	adoption->allows[cnt] = allow;
	adoption->ops_cnt++;
	return 0;
}

static int name_tunnel(struct spw_node *node, const struct spw_tunnel_spec *spec, uint32_t id)
{
	struct spw_tenant_obj *tenant = spw_tenant_find(node, spec->tenant);

	if (!tenant || spw_tunnel_find(node, spec->name))
		return -EUCLEAN;
	return spw_tunnel_new(node, spec, tenant, id) ? 0 : -EUCLEAN;
}

/* The relay whose record stands at a port, or NULL. */
static const struct spw_relay *relay_record(const struct spw_node *node, uint32_t port)
{
	uint32_t slot = node->maps.relay_ports[port].slot;

	return slot > 0 && slot < SPW_RELAY_SLOTS_MAX ? &node->maps.relays[slot] : NULL;
}

static bool relay_published(const struct spw_node *node, uint16_t port, uint32_t id)
{
	const struct spw_relay *record = relay_record(node, port);

	return record && record->id == id;
}

static int name_relay(struct spw_node *node, const struct spw_relay_spec *spec, uint32_t id)
{
	if (spw_relay_find(node, spec->name) || id >= SPW_RELAYS_MAX)
		return -EUCLEAN;
	return spw_relay_new(node, spec, id) ? 0 : -EUCLEAN;
}

static void unname_relay(struct spw_node *node, const char *name)
{
	struct spw_relay_obj *relay = spw_relay_find(node, name);

	if (!relay) /* it did not outlive its own transaction */
		return;
	spw_relay_hide(node, relay);
	spw_slots_free(node->relay_ids, relay->id);
	spw_relay_free(relay);
}

/* Of a transaction that was published: what its record was built with. */
static void limit_relay(struct spw_node *node, const struct spw_op *op)
{
	struct spw_relay_obj *relay = spw_relay_find(node, op->rate.relay);

	if (relay && op->rate.pps)
		relay->limits.pps = op->rate.pps;
	if (relay && op->rate.rate_kbit)
		relay->limits.rate_kbit = op->rate.rate_kbit;
}

static int unname_tunnel(struct spw_node *node, const char *name)
{
	struct spw_tunnel_obj *tunnel = spw_tunnel_find(node, name);

	if (!tunnel) /* it did not outlive its own transaction */
		return 0;
	spw_tunnel_hide(node, tunnel);
	spw_tunnel_free(node, tunnel);
	return 0;
}

/* Takes one op of the journal into the model. last: of the last transaction, of which the tables
 * may lack any part. */
static int replay_op(struct spw_node *node, struct spw_adoption *adoption, const json_t *json,
		     bool last)
{
	struct spw_prefix *allow = NULL;
	struct spw_op op;
	uint32_t id;
	int err = spw_journal_op(json, &op, &allow, &id);

	if (err < 0)
		goto done;
	switch (op.kind) {
	case SPW_OP_TENANT_ADD:
		if (spw_tenant_find(node, op.tenant.name) ||
		    !spw_tenant_new(node, op.tenant.name, id))
			err = -EUCLEAN;
		break;
	case SPW_OP_TUNNEL_ADD:
		if (last && id != 0 && !published(node, id)) {
			err = put_aside(adoption, &op, allow);
			allow = err < 0 ? allow : NULL;
		} else if (id != 0) {
			err = name_tunnel(node, &op.tunnel, id);
		}
		break;
	case SPW_OP_TUNNEL_DEL:
		err = unname_tunnel(node, op.tunnel.name);
		break;
	case SPW_OP_RELAY_ADD:
		if (last && id != 0 && !relay_published(node, op.relay.port, id))
			err = put_aside(adoption, &op, NULL);
		else if (id != 0)
			err = name_relay(node, &op.relay, id);
		break;
	case SPW_OP_RELAY_DEL:
		unname_relay(node, op.relay.name);
		break;
	default:
		if (last)
			err = put_aside(adoption, &op, NULL);
		else if (op.kind == SPW_OP_RATE_SET && op.rate.relay)
			limit_relay(node, &op);
	}
done:
	free(allow);
	return err;
}

static int replay_list(struct spw_node *node, struct spw_adoption *adoption, const json_t *list,
		       bool last)
{
	int err = json_is_array(list) ? 0 : -EUCLEAN;

	for (size_t i = 0; err == 0 && i < json_array_size(list); i++)
		err = replay_op(node, adoption, json_array_get(list, i), last);
	return err;
}

static int replay_lines(struct spw_node *node, struct spw_adoption *adoption,
			struct spw_error *error)
{
	const json_t *lines = adoption->lines;
	const json_t *snapshot = json_array_get(lines, 0);
	size_t cnt = json_array_size(lines);

	if (replay_list(node, adoption, json_object_get(snapshot, "tenants"), false) < 0 ||
	    replay_list(node, adoption, json_object_get(snapshot, "tunnels"), false) < 0 ||
	    replay_list(node, adoption, json_object_get(snapshot, "relays"), false) < 0)
		return damaged(error, node, "the journal's first line");
	for (size_t i = 1; i < cnt; i++) {
		const json_t *line = json_array_get(lines, i);
		char what[48];
		snprintf(what, sizeof(what), "line %zu of the journal", i + 1);
		if (replay_list(node, adoption, json_object_get(line, "ops"), i == cnt - 1) < 0)
			return damaged(error, node, what);
		node->revision = (uint64_t)json_integer_value(json_object_get(line, "txn"));
	}
	/* The last one is completed, and counted, by spw_adopt_finish. */
	if (adoption->ops_cnt > 0)
		node->revision--;
	return 0;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* A number may be in use more than once (a next hop is shared). */
static bool mark_shared(struct spw_slots *slots, uint32_t number)
{
	int err = number ? spw_slots_mark(slots, number) : 0;

	return err == 0 || err == -EEXIST;
}

static struct spw_graveyard *orphan_room(struct spw_node *node, struct spw_graveyard *orphans)
{
	uint32_t cnt = orphans ? orphans->cnt : 0;

	orphans = realloc(orphans, sizeof(*orphans) + (cnt + 1) * sizeof(orphans->tunnels[0]));
	if (orphans) {
		orphans->node = node;
		orphans->cnt = cnt;
	}
	return orphans;
}

/* A record whose tunnel the journal deletes: an object without a name, for the graveyard. */
static struct spw_tunnel_obj *new_orphan(struct spw_node *node, struct spw_adoption *adoption,
					 uint32_t id)
{
	struct spw_graveyard *orphans = orphan_room(node, adoption->orphans);
	struct spw_tunnel_obj *tunnel = orphans ? calloc(1, sizeof(*tunnel)) : NULL;

	if (orphans)
		adoption->orphans = orphans;
	if (!tunnel || spw_slots_mark(node->tunnel_ids, id) < 0) {
		free(tunnel);
		return NULL;
	}
	tunnel->id = id;
	tunnel->dying = true;
	orphans->tunnels[orphans->cnt++] = tunnel;
	return tunnel;
}

static int adopt_record(struct spw_node *node, struct spw_adoption *adoption, uint32_t id)
{
	uint32_t slot = node->maps.tunnel_roots[id].slot;
	const struct spw_tunnel *record = &node->maps.tunnels[slot];
	struct spw_tunnel_obj *tunnel = node->tunnels[id];

	if (!tunnel)
		tunnel = new_orphan(node, adoption, id);
	if (!tunnel)
		return -ENOMEM;
	if (spw_slots_mark(node->tunnel_slots, slot) < 0 ||
	    !mark_shared(node->neighbor_ids, record->neighbor))
		return -EUCLEAN;
	for (uint32_t worker = 0; worker < SPW_WORKERS_MAX; worker++)
		if (record->tx_sa[worker] &&
		    spw_slots_mark(node->out_slots, record->tx_sa[worker]) < 0)
			return -EUCLEAN;
	tunnel->slot = slot;
	memcpy(tunnel->allow_root, record->allow_root, sizeof(tunnel->allow_root));
	memcpy(tunnel->tx_sa, record->tx_sa, sizeof(tunnel->tx_sa));
	if (tunnel->spec.keying == SPW_KEYING_SESSION) /* the peer may have moved */
		spw_record_remote(record, &tunnel->remote);
	tunnel->local_epoch = record->local_epoch;
	tunnel->peer_epoch = record->peer_epoch;
	return 0;
}

/* A pinned endpoint stands in the record alone. */
static void adopt_pinned(struct spw_relay_obj *relay, const struct spw_relay *record)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct spw_relay_side *side = &record->side[i];
		struct spw_relay_end *end = &relay->ends[i];
		if (!end->any || !side->remote_port_be)
			continue;
		end->remote = (struct spw_endpoint){.family = relay->family,
						    .port = ntohs(side->remote_port_be)};
		end->local = (struct spw_endpoint){.family = relay->family};
		memcpy(end->remote.addr, side->remote, sizeof(side->remote));
		memcpy(end->local.addr, side->local, sizeof(side->local));
	}
}

static int adopt_relay_record(struct spw_node *node, struct spw_relay_obj *relay,
			      const struct spw_relay *record)
{
	relay->slot = node->maps.relay_ports[relay->port].slot;
	if (spw_slots_mark(node->relay_slots, relay->slot) < 0 ||
	    !mark_shared(node->neighbor_ids, record->side[0].neighbor) ||
	    !mark_shared(node->neighbor_ids, record->side[1].neighbor))
		return -EUCLEAN;
	adopt_pinned(relay, record);
	return 0;
}

/* A record whose relay the journal deletes goes at once; before anything can take its slot or id
 * again, start.c waits for a grace period. */
static int adopt_relays(struct spw_node *node)
{
	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		const struct spw_relay *record = relay_record(node, port);
		uint32_t id = record && record->id < SPW_RELAYS_MAX ? record->id : 0;
		struct spw_relay_obj *relay = node->relays[id];
		if (record && (!relay || relay->port != port))
			__atomic_store_n(&node->maps.relay_ports[port].slot, 0, __ATOMIC_RELEASE);
		else if (record && adopt_relay_record(node, relay, record) < 0)
			return -EUCLEAN;
	}
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (node->relays[id] && !node->relays[id]->slot)
			return -EUCLEAN;
	return 0;
}

static int adopt_numbers(struct spw_node *node, struct spw_adoption *adoption)
{
	const struct spw_meta *meta = node->maps.meta;

	for (uint32_t id = 1; id < meta->tunnels_max; id++) {
		int err = published(node, id) ? adopt_record(node, adoption, id) : 0;
		if (err == 0 && node->tunnels[id] && node->tunnels[id]->slot == 0)
			err = -EUCLEAN;
		if (err < 0)
			return err;
	}
	for (uint32_t slot = 1; slot < meta->sas_max; slot++)
		if (node->maps.spis[slot].spi && spw_slots_mark(node->spi_slots, slot) < 0)
			return -EUCLEAN;
	return 0;
}

/* ---- tries -------------------------------------------------------------------------------- */

static int mark_roots(struct spw_trie_pool *tries, const uint32_t roots[2])
{
	int err = spw_trie_mark(tries, roots[0], 4);

	return err < 0 ? err : spw_trie_mark(tries, roots[1], 6);
}

static int adopt_tries(struct spw_node *node, const struct spw_adoption *adoption)
{
	const struct spw_maps *maps = &node->maps;
	int err = 0;

	for (uint32_t id = 0; err == 0 && id < maps->meta->tenants_max; id++) {
		struct spw_tenant_obj *tenant = node->tenants[id];
		if (!tenant)
			continue;
		memcpy(tenant->route_root, maps->tenants[id].route_root,
		       sizeof(tenant->route_root));
		err = mark_roots(node->tries, tenant->route_root);
	}
	for (uint32_t port = 0; err == 0 && port < node->interfaces_cnt; port++) {
		const struct spw_port *record = &maps->ports[port];
		struct spw_interface *interface = &node->interfaces[port];
		memcpy(interface->allow_root, record->image[record->active & 1].allow_root,
		       sizeof(interface->allow_root));
		err = mark_roots(node->tries, interface->allow_root);
	}
	/* The counts of live.c have ended with the control before. Before anything can take the
	 * blocks again, start.c waits for a grace period. */
	for (unsigned int family = 0; family < 2; family++)
		__atomic_store_n(&maps->meta->live_root[family], 0, __ATOMIC_RELEASE);
	memcpy(node->deny_root, maps->meta->deny_root, sizeof(node->deny_root));
	if (err == 0)
		err = mark_roots(node->tries, node->deny_root);
	for (uint32_t id = 0; err == 0 && id < maps->meta->tunnels_max; id++)
		if (node->tunnels[id])
			err = mark_roots(node->tries, node->tunnels[id]->allow_root);
	for (uint32_t i = 0; err == 0 && adoption->orphans && i < adoption->orphans->cnt; i++)
		err = mark_roots(node->tries, adoption->orphans->tunnels[i]->allow_root);
	if (err == 0)
		spw_trie_marked(node->tries);
	return err;
}

/* Counts the routes into each tunnel, and marks the neighbors of lan hosts. */
static int adopt_leaf(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	struct spw_node *node = arg;
	uint32_t index = SPW_LEAF_INDEX(leaf);

	(void)prefix;
	if (SPW_LEAF_KIND(leaf) == SPW_LEAF_TUNNEL && index < node->maps.meta->tunnels_max &&
	    node->tunnels[index])
		node->tunnels[index]->routes_cnt++;
	if (SPW_LEAF_KIND(leaf) == SPW_LEAF_NEIGHBOR && !mark_shared(node->neighbor_ids, index))
		return -EUCLEAN;
	return 0;
}

static int adopt_routes(struct spw_node *node)
{
	int err = 0;

	for (uint32_t id = 0; err == 0 && id < node->maps.meta->tenants_max; id++)
		for (unsigned int family = 0; err == 0 && node->tenants[id] && family < 2; family++)
			err = spw_trie_walk(node->tries, node->tenants[id]->route_root[family],
					    family ? 6 : 4, adopt_leaf, node);
	return err;
}

int spw_adopt_tables(struct spw_node *node, struct spw_adoption *adoption, struct spw_error *error)
{
	const struct spw_meta *meta = node->maps.meta;
	int err;

	if (meta->tables_id != adoption->tables_id)
		return damaged(error, node, "they do not belong together");
	err = replay_lines(node, adoption, error);
	if (err < 0)
		return err;
	if (adopt_numbers(node, adoption) < 0)
		return damaged(error, node, "a tunnel's record");
	if (adopt_relays(node) < 0)
		return damaged(error, node, "a relay's record");
	node->tries = spw_trie_pool_create(node->maps.route_units, meta->route_units_max);
	if (!node->tries)
		return spw_error_set(error, -ENOMEM, nowhere, "no memory for the route tables");
	if (adopt_tries(node, adoption) < 0 || adopt_routes(node) < 0)
		return damaged(error, node, "a route trie");
	return 0;
}
