/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * txn_commit.c - see txn.h: the order in which a transaction becomes visible, and the way back.
 *
 * What is new appears before anything leads to it, what goes disappears after nothing leads to it
 * any more:
 *
 *	caps, records of new tunnels (with their allow tries) and their SAs, relays, port images,
 *deny set, route roots; for deleted tunnels a grace period, in which workers finish bursts whose
 *routes they looked up before; then the record is withdrawn and the SAs are stopped; a second grace
 *period; then slot, id, allow tries and next hop are free.
 */
#include <stdlib.h>
#include <string.h>

#include "control/daemon/log.h"
#include "control/daemon/model.h"
#include "control/daemon/net/net.h"
#include "control/daemon/publish.h"
#include "control/daemon/sa/sas.h"
#include "control/daemon/txn.h"
#include "control/handover.h"

/* A number that another tunnel had before starts with clean counters and no caps. No worker writes
 * them: there is no record of this id, nor has there been one for a grace period. */
static void clear_rows(struct spw_node *node, uint32_t tunnel)
{
	const struct spw_maps *maps = &node->maps;

	for (uint32_t worker = 0; worker < node->workers; worker++)
		memset(&maps->counters[worker * maps->meta->tunnels_max + tunnel], 0,
		       sizeof(struct spw_tunnel_counters));
	memset(&maps->rates[tunnel], 0, sizeof(struct spw_rate));
}

/* All that was taken for a tunnel whose record was never published. Its allow tries are the trie
 * transaction's: on abort it frees them. */
static void drop_unpublished(struct spw_node *node, struct spw_tunnel_obj *tunnel, uint32_t slot)
{
	if (tunnel->sas)
		spw_sas_abort(node, tunnel);
	if (tunnel->nexthop)
		spw_nexthop_release(node, tunnel);
	spw_slots_free(node->tunnel_slots, slot);
	spw_tunnel_free(node, tunnel);
}

/* ---- abort -------------------------------------------------------------------------------- */

static void undo(struct spw_node *node, const struct spw_change *change)
{
	switch (change->kind) {
	case SPW_CHANGE_TENANT_NEW:
		spw_tenant_drop(node, change->tenant);
		break;
	case SPW_CHANGE_TUNNEL_NEW:
		spw_tunnel_hide(node, change->tunnel);
		drop_unpublished(node, change->tunnel, change->slot);
		break;
	case SPW_CHANGE_TUNNEL_GONE:
		spw_tunnel_unhide(node, change->tunnel);
		break;
	case SPW_CHANGE_ROUTE_IN:
		change->tunnel->routes_cnt--;
		break;
	case SPW_CHANGE_ROUTE_OUT:
		change->tunnel->routes_cnt++;
		break;
	case SPW_CHANGE_RELAY_NEW:
	case SPW_CHANGE_RELAY_LIMITS:
	case SPW_CHANGE_RELAY_GONE:
		spw_txn_relay_undo(node, change);
		break;
	}
}

void spw_txn_abort(struct spw_txn *txn)
{
	struct spw_node *node = txn->node;
	const struct spw_maps *maps = &node->maps;

	/* The published roots are the truth; the private copies go back to them. */
	for (uint32_t i = 0; i < txn->tenants_cnt; i++) {
		struct spw_tenant_obj *tenant = txn->tenants[i];
		memcpy(tenant->route_root, maps->tenants[tenant->id].route_root,
		       sizeof(tenant->route_root));
		tenant->roots_changed = false;
	}
	memcpy(node->deny_root, maps->meta->deny_root, sizeof(node->deny_root));
	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		const struct spw_port *record = &maps->ports[port];
		if (txn->ports_changed >> port & 1)
			memcpy(node->interfaces[port].allow_root,
			       record->image[record->active & 1].allow_root,
			       sizeof(record->image[0].allow_root));
	}
	for (uint32_t i = txn->changes_cnt; i-- > 0;)
		undo(node, &txn->changes[i]);
	spw_trie_txn_abort(txn->tries);
	spw_grace_unreserve(node->grace, txn->places);
	free(txn->graveyard);
}

/* ---- commit ------------------------------------------------------------------------------- */

static void publish_tunnels(struct spw_txn *txn)
{
	for (uint32_t i = 0; i < txn->changes_cnt; i++) {
		const struct spw_change *change = &txn->changes[i];
		if (change->kind != SPW_CHANGE_TUNNEL_NEW || change->tunnel->dying)
			continue;
		spw_tunnel_publish_at(txn->node, change->tunnel, change->slot);
		spw_sas_start(txn->node, change->tunnel);
	}
}

static void publish_ports(struct spw_txn *txn)
{
	struct spw_node *node = txn->node;

	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		if (!(txn->ports_changed >> port & 1))
			continue;
		/* It takes the place that was kept for it. */
		spw_grace_unreserve(node->grace, 1);
		spw_port_publish(node, port);
	}
}

static void publish_roots(struct spw_txn *txn)
{
	const struct spw_maps *maps = &txn->node->maps;

	for (unsigned int family = 0; family < 2; family++)
		__atomic_store_n(&maps->meta->deny_root[family], txn->node->deny_root[family],
				 __ATOMIC_RELEASE);
	/* Pairs with the dependent loads of the lookups: who sees a root sees its nodes. */
	for (uint32_t i = 0; i < txn->tenants_cnt; i++) {
		struct spw_tenant_obj *tenant = txn->tenants[i];
		for (unsigned int family = 0; family < 2; family++)
			__atomic_store_n(&maps->tenants[tenant->id].route_root[family],
					 tenant->route_root[family], __ATOMIC_RELEASE);
		tenant->roots_changed = false;
	}
}

/* Tunnels added and deleted in this very transaction go at once, others to the graveyard. */
static void sort_out_tunnels(struct spw_txn *txn)
{
	struct spw_graveyard *graveyard = txn->graveyard;

	for (uint32_t i = 0; i < txn->changes_cnt; i++) {
		const struct spw_change *change = &txn->changes[i];
		if (change->kind == SPW_CHANGE_TUNNEL_GONE && change->tunnel->slot != 0)
			graveyard->tunnels[graveyard->cnt++] = change->tunnel;
	}
	for (uint32_t i = 0; i < txn->changes_cnt; i++) {
		const struct spw_change *change = &txn->changes[i];
		if (change->kind == SPW_CHANGE_TUNNEL_NEW && change->tunnel->dying)
			drop_unpublished(txn->node, change->tunnel, change->slot);
	}
	if (!graveyard)
		return;
	if (graveyard->cnt > 0) {
		spw_graveyard_bury(graveyard);
		return;
	}
	spw_grace_unreserve(txn->node->grace, SPW_GRAVEYARD_PLACES);
	free(graveyard);
}

void spw_txn_commit(struct spw_txn *txn)
{
	for (uint32_t i = 0; i < txn->changes_cnt; i++)
		if (txn->changes[i].kind == SPW_CHANGE_TUNNEL_NEW)
			clear_rows(txn->node, txn->changes[i].tunnel->id);
	for (uint32_t i = 0; i < txn->caps_cnt; i++)
		__atomic_store_n(txn->caps[i].word, txn->caps[i].cap, __ATOMIC_RELAXED);
	publish_tunnels(txn);
	spw_txn_relays_commit(txn);
	publish_ports(txn);
	publish_roots(txn);
	spw_trie_txn_retire(txn->tries);
	sort_out_tunnels(txn);
	txn->node->revision++;
}

/* ---- deleted tunnels ---------------------------------------------------------------------- */

static void free_allow_tries(struct spw_node *node, struct spw_graveyard *graveyard)
{
	struct spw_trie_txn *tries;
	int err = spw_trie_txn_begin(node->tries, &tries);

	spw_grace_unreserve(node->grace, 1);
	for (uint32_t i = 0; err == 0 && i < graveyard->cnt; i++)
		for (unsigned int family = 0; err == 0 && family < 2; family++)
			err = spw_trie_clear(tries, &graveyard->tunnels[i]->allow_root[family],
					     family ? 6 : 4);
	if (err == 0)
		err = spw_trie_txn_seal(tries, node->grace);
	if (err == 0) {
		spw_trie_txn_retire(tries);
		return;
	}
	spw_trie_txn_abort(tries);
	spw_log("error", "txn",
		"the allow tries of %u deleted tunnels stay taken until the next "
		"start: %s",
		graveyard->cnt, strerror(-err));
}

/* No worker holds a record any more. */
static void bury(void *arg0, uint64_t arg1)
{
	struct spw_graveyard *graveyard = arg0;
	struct spw_node *node = graveyard->node;

	(void)arg1;
	free_allow_tries(node, graveyard);
	for (uint32_t i = 0; i < graveyard->cnt; i++) {
		struct spw_tunnel_obj *tunnel = graveyard->tunnels[i];
		if (tunnel->nexthop)
			spw_nexthop_release(node, tunnel);
		spw_slots_free(node->tunnel_slots, tunnel->slot);
		spw_tunnel_free(node, tunnel);
	}
	node->dying_cnt -= graveyard->cnt;
	free(graveyard);
}

/* A tunnel that was taken up without its keys: what SAs the tables name for it. */
static void discard_sas(struct spw_node *node, const struct spw_tunnel_obj *tunnel)
{
	for (uint32_t worker = 0; worker < SPW_WORKERS_MAX; worker++)
		if (tunnel->tx_sa[worker])
			spw_sas_discard(node, SPW_SA_OUT, tunnel->tx_sa[worker]);
	for (uint32_t slot = 1; slot < node->maps.meta->sas_max; slot++)
		if (node->maps.spis[slot].spi && node->maps.spis[slot].tunnel == tunnel->id)
			spw_sas_discard(node, SPW_SA_IN, slot);
}

/* No worker holds a route to them any more. */
static void withdraw(void *arg0, uint64_t arg1)
{
	struct spw_graveyard *graveyard = arg0;
	struct spw_node *node = graveyard->node;

	(void)arg1;
	for (uint32_t i = 0; i < graveyard->cnt; i++) {
		struct spw_tunnel_obj *tunnel = graveyard->tunnels[i];
		spw_tunnel_withdraw(node, tunnel);
		if (tunnel->sas)
			spw_sas_stop(node, tunnel);
		else
			discard_sas(node, tunnel);
	}
	spw_grace_defer(node->grace, bury, graveyard, 0);
}

void spw_graveyard_bury(struct spw_graveyard *graveyard)
{
	graveyard->node->dying_cnt += graveyard->cnt;
	spw_grace_defer(graveyard->node->grace, withdraw, graveyard, 0);
}
