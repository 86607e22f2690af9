/* SPDX-License-Identifier: BSD-2-Clause */
/* adopt_finish.c - see adopt.h: what the kernel and the keys have to be asked for. */
#include <stdlib.h>
#include <string.h>

#include "control/daemon/adopt.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/relays/relays.h"
#include "control/daemon/sa/sas.h"
#include "control/daemon/txn.h"
#include "control/handover.h"

static const struct spw_place nowhere;

/* Gives lan hosts back to net. */
static int adopt_host(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	struct spw_node *node = arg;
	union spw_neighbor neighbor;

	if (SPW_LEAF_KIND(leaf) != SPW_LEAF_NEIGHBOR)
		return 0;
	neighbor.word = node->maps.neighbors[SPW_LEAF_INDEX(leaf)].word;
	if (neighbor.port < node->interfaces_cnt)
		spw_net_adopt_host(node, neighbor.port, prefix, SPW_LEAF_INDEX(leaf));
	return 0;
}

static void adopt_hosts(struct spw_node *node)
{
	for (uint32_t id = 0; id < node->maps.meta->tenants_max; id++) {
		const struct spw_tenant_obj *tenant = node->tenants[id];
		if (!tenant)
			continue;
		spw_trie_walk(node->tries, tenant->route_root[0], 4, adopt_host, node);
		spw_trie_walk(node->tries, tenant->route_root[1], 6, adopt_host, node);
	}
}

static void adopt_tunnel(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	uint32_t neighbor = node->maps.tunnels[tunnel->slot].neighbor;
	struct spw_error error = {0};

	if (spw_nexthop_acquire(node, tunnel, neighbor, &error) < 0)
		spw_log("warning", "adopt", "tunnel %s: %s; it keeps the next hop it has",
			tunnel->name, error.text);
	error = (struct spw_error){0};
	if (spw_sas_prepare(node, tunnel, &tunnel->spec, nowhere, &error) < 0)
		spw_log("warning", "adopt",
			"tunnel %s: %s; it keeps the SAs it has until control is started again",
			tunnel->name, error.text);
	else
		spw_sas_start(node, tunnel);
}

/* An arming ends with the control that counted its time. */
static void adopt_relay(struct spw_node *node, struct spw_relay_obj *relay)
{
	const struct spw_relay *record = &node->maps.relays[relay->slot];
	uint32_t hints[2] = {record->side[0].neighbor, record->side[1].neighbor};

	spw_relay_disarm(node, relay);
	relay->port_fd = spw_udp_port_hold(relay->port);
	if (relay->port_fd < 0)
		spw_log("warning", "adopt",
			"relay %s: cannot keep UDP port %u from other programs: %s", relay->name,
			relay->port, strerror(-relay->port_fd));
	for (unsigned int i = 0; i < 2; i++) {
		struct spw_error error = {0};
		if (spw_nexthop_acquire_end(node, relay, &relay->ends[i], hints[i], &error) < 0)
			spw_log("warning", "adopt", "%s; the relay waits", error.text);
	}
	if (spw_relay_publish(node, relay) < 0)
		spw_log("warning", "adopt", "relay %s: no room to bring its record up to date",
			relay->name);
}

/* SAs whose tunnel was deleted; those of a record that still stands go with it. */
static void discard_orphan_sas(struct spw_node *node)
{
	const struct spw_maps *maps = &node->maps;

	for (uint32_t slot = 1; slot < maps->meta->sas_max; slot++) {
		const struct spw_spi *spi = &maps->spis[slot];
		if (spi->spi && (spi->tunnel >= maps->meta->tunnels_max ||
				 !maps->tunnel_roots[spi->tunnel].slot))
			spw_sas_discard(node, SPW_SA_IN, slot);
	}
}

static int bury_orphans(struct spw_node *node, struct spw_adoption *adoption,
			struct spw_error *error)
{
	int err;

	discard_orphan_sas(node);
	if (!adoption->orphans)
		return 0;
	err = spw_grace_reserve(node->grace, SPW_GRAVEYARD_PLACES);
	if (err < 0)
		return spw_error_set(error, err, nowhere, "no room to remove deleted tunnels");
	spw_log("info", "adopt", "removing %u tunnels that were deleted when control stopped",
		adoption->orphans->cnt);
	spw_graveyard_bury(adoption->orphans);
	adoption->orphans = NULL;
	return 0;
}

/* What an op needs to be there: the name of a tunnel or (*relay) a relay, or NULL. */
static const char *needed(const struct spw_op *op, bool *relay)
{
	*relay = op->kind == SPW_OP_RATE_SET && op->rate.relay;
	if (op->kind == SPW_OP_ROUTE_ADD)
		return op->route.tunnel;
	if (op->kind == SPW_OP_RATE_SET)
		return *relay ? op->rate.relay : op->rate.tunnel;
	return NULL;
}

static bool adds(const struct spw_op *op, const char *name, bool relay)
{
	if (relay)
		return op->kind == SPW_OP_RELAY_ADD && strcmp(op->relay.name, name) == 0;
	return op->kind == SPW_OP_TUNNEL_ADD && strcmp(op->tunnel.name, name) == 0;
}

/* Ops on what the rest of the last transaction deleted again are left out. */
static void drop_stale_ops(struct spw_node *node, struct spw_adoption *adoption)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < adoption->ops_cnt; i++) {
		const struct spw_op *op = &adoption->ops[i];
		bool relay;
		const char *name = needed(op, &relay);
		bool known = !name ||
			     (relay ? !!spw_relay_find(node, name) : !!spw_tunnel_find(node, name));
		for (uint32_t j = 0; !known && j < kept; j++)
			known = adds(&adoption->ops[j], name, relay);
		if (!known) {
			free(adoption->allows[i]);
			continue;
		}
		adoption->ops[kept] = *op;
		adoption->allows[kept++] = adoption->allows[i];
	}
	adoption->ops_cnt = kept;
}

int spw_adopt_finish(struct spw_node *node, struct spw_adoption *adoption, struct spw_error *error)
{
	int err;

	for (uint32_t id = 0; id < node->maps.meta->tunnels_max; id++)
		if (node->tunnels[id])
			adopt_tunnel(node, node->tunnels[id]);
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (node->relays[id])
			adopt_relay(node, node->relays[id]);
	adopt_hosts(node);
	if (adoption->ops_cnt > 0) {
		drop_stale_ops(node, adoption);
		err = spw_txn_apply(node, adoption->ops, adoption->ops_cnt, false, error);
		if (err < 0)
			return err;
	}
	return bury_orphans(node, adoption, error);
}
