/* SPDX-License-Identifier: BSD-2-Clause */
/* txn.c - see txn.h: all ops of a transaction, or none. */
#include "control/daemon/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/journal.h"

/* How long a transaction that adds a tunnel waits for deleted ones, whose keys it may want to use
 * again: two grace periods of about 10 ms. */
#define BURIAL_TIMEOUT_MS 200

void *spw_txn_room(struct spw_txn *txn, struct spw_place place, void *array, uint32_t cnt,
		   uint32_t *max, size_t item_bytes)
{
	uint32_t more = *max ? *max * 2 : 64;
	void *grown;

	if (cnt < *max)
		return array;
	grown = reallocarray(array, more, item_bytes);
	if (!grown) {
		spw_error_set(txn->error, -ENOMEM, place, "no memory for the transaction");
		return NULL;
	}
	*max = more;
	return grown;
}

int spw_txn_log(struct spw_txn *txn, struct spw_place place, struct spw_change change)
{
	struct spw_change *changes = spw_txn_room(txn, place, txn->changes, txn->changes_cnt,
						  &txn->changes_max, sizeof(*changes));

	if (!changes)
		return -ENOMEM;
	txn->changes = changes;
	txn->changes[txn->changes_cnt++] = change;
	return 0;
}

static bool adds_tunnel(const struct spw_op *ops, uint32_t ops_cnt)
{
	for (uint32_t i = 0; i < ops_cnt; i++)
		if (ops[i].kind == SPW_OP_TUNNEL_ADD)
			return true;
	return false;
}

/* A tunnel that was deleted a moment ago holds its keys until it is buried. */
static void await_burials(struct spw_node *node)
{
	for (int period = 0; period < 2 && node->dying_cnt > 0; period++)
		spw_grace_drain(node->grace, BURIAL_TIMEOUT_MS);
}

/* Takes all that the commit will need and that no op takes for itself. */
static int take_the_rest(struct spw_txn *txn)
{
	struct spw_node *node = txn->node;
	struct spw_place nowhere = {0};
	uint32_t places = (uint32_t)__builtin_popcount(txn->ports_changed) + txn->relay_places;
	int err;

	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		if (txn->ports_changed >> port & 1 && node->interfaces[port].image_resting)
			return spw_error_set(txn->error, -EBUSY, nowhere,
					     "interface %s is being changed; try again",
					     node->interfaces[port].ifname);
	if (txn->gone_cnt > 0) {
		txn->graveyard = calloc(1, sizeof(*txn->graveyard) +
						   txn->gone_cnt * sizeof(struct spw_tunnel_obj *));
		if (!txn->graveyard)
			return spw_error_set(txn->error, -ENOMEM, nowhere,
					     "no memory for the transaction");
		txn->graveyard->node = node;
		places += SPW_GRAVEYARD_PLACES;
	}
	err = spw_grace_reserve(node->grace, places);
	if (err < 0)
		return spw_error_set(txn->error, err, nowhere,
				     "too many changes wait for the workers to take notice "
				     "(%u of them); try again in a second",
				     spw_grace_waiting(node->grace));
	txn->places = places;
	err = spw_trie_txn_seal(txn->tries, node->grace);
	if (err == -ENOMEM)
		return spw_error_set(txn->error, err, nowhere, "no memory for the routes' change");
	if (err < 0)
		return spw_error_set(txn->error, err, nowhere,
				     "too many changes wait for the workers to take notice "
				     "(%u of them); try again in a second",
				     spw_grace_waiting(node->grace));
	return 0;
}

int spw_txn_apply(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt, bool journal,
		  struct spw_error *error)
{
	struct spw_txn txn = {.node = node, .error = error, .replay = !journal};
	struct spw_place nowhere = {0};
	int err;

	if (node->dying_cnt > 0 && adds_tunnel(ops, ops_cnt))
		await_burials(node);
	if (journal)
		spw_journal_tidy(node);
	err = spw_trie_txn_begin(node->tries, &txn.tries);
	if (err < 0)
		return spw_error_set(error, err, nowhere, "no transaction can be opened: %s",
				     strerror(-err));
	for (uint32_t i = 0; i < ops_cnt && err == 0; i++)
		err = spw_txn_prepare(&txn, &ops[i]);
	if (err == 0)
		err = take_the_rest(&txn);
	if (err == 0 && journal)
		err = spw_journal_append(node, ops, ops_cnt, error);
	if (err == 0)
		spw_txn_commit(&txn);
	else
		spw_txn_abort(&txn);
	free(txn.tenants);
	free(txn.caps);
	free(txn.changes);
	return err;
}

/* ---- lan hosts ---------------------------------------------------------------------------- */

static int change_host(struct spw_node *node, struct spw_trie_txn *tries,
		       const struct spw_tenant_obj *tenant, uint32_t *root,
		       const struct spw_prefix *host, uint32_t neighbor)
{
	uint32_t leaf = spw_trie_get(node->tries, *root, host);
	uint32_t lan = spw_txn_lan_leaf(node, tenant, host);

	if (neighbor)
		return leaf && leaf != lan && SPW_LEAF_KIND(leaf) != SPW_LEAF_NEIGHBOR
			       ? -EEXIST
			       : spw_trie_insert(tries, root, host,
						 SPW_LEAF(SPW_LEAF_NEIGHBOR, neighbor), true);
	if (SPW_LEAF_KIND(leaf) != SPW_LEAF_NEIGHBOR)
		return 0;
	/* A lan of this one host is there again when the host has gone. */
	return lan ? spw_trie_insert(tries, root, host, lan, true)
		   : spw_trie_remove(tries, root, host);
}

int spw_host_route_set(struct spw_node *node, uint32_t port, const struct spw_prefix *host,
		       uint32_t neighbor)
{
	struct spw_tenant_obj *tenant = spw_tenant_find(node, node->interfaces[port].tenant);
	unsigned int family = host->family == 6;
	struct spw_trie_txn *tries = NULL;
	uint32_t root;
	int err;

	if (!tenant)
		return -ENOENT;
	root = tenant->route_root[family];
	err = spw_trie_txn_begin(node->tries, &tries);
	if (err < 0)
		return err;
	err = change_host(node, tries, tenant, &root, host, neighbor);
	if (err < 0 || !spw_trie_txn_changed(tries))
		goto fail;
	err = spw_trie_txn_seal(tries, node->grace);
	if (err < 0)
		goto fail;
	tenant->route_root[family] = root;
	__atomic_store_n(&node->maps.tenants[tenant->id].route_root[family], root,
			 __ATOMIC_RELEASE);
	spw_trie_txn_retire(tries);
	return 0;

fail:
	spw_trie_txn_abort(tries);
	return err;
}
