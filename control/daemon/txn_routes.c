/* SPDX-License-Identifier: BSD-2-Clause */
/* txn_routes.c - see txn.h: what ops on prefixes demand, and what they take: routes, lan prefixes,
 * denied sources. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/model.h"
#include "control/daemon/txn.h"

static int touch_tenant(struct spw_txn *txn, struct spw_place place, struct spw_tenant_obj *tenant)
{
	struct spw_tenant_obj **tenants;

	if (tenant->roots_changed)
		return 0;
	tenants = spw_txn_room(txn, place, txn->tenants, txn->tenants_cnt, &txn->tenants_max,
			       sizeof(*tenants));
	if (!tenants)
		return -ENOMEM;
	txn->tenants = tenants;
	txn->tenants[txn->tenants_cnt++] = tenant;
	tenant->roots_changed = true;
	return 0;
}

/* Says where a prefix leads that a new route would need. */
static int refuse_routed(struct spw_txn *txn, struct spw_place place,
			 const struct spw_tenant_obj *tenant, const struct spw_prefix *prefix,
			 uint32_t leaf)
{
	const struct spw_node *node = txn->node;
	uint32_t index = SPW_LEAF_INDEX(leaf);
	char text[SPW_PREFIX_TEXT_BYTES];
	bool lan = SPW_LEAF_KIND(leaf) == SPW_LEAF_LAN;
	const char *where = "";

	spw_prefix_format(prefix, text, sizeof(text));
	if (lan && index < node->interfaces_cnt)
		where = node->interfaces[index].ifname;
	else if (!lan && index < node->maps.meta->tunnels_max && node->tunnels[index])
		where = node->tunnels[index]->name;
	return spw_error_set(txn->error, -EEXIST, place,
			     lan ? "%s of tenant \"%s\" is the lan of interface \"%s\"; expected "
				   "another prefix"
				 : "%s of tenant \"%s\" is routed to tunnel \"%s\" already; delete "
				   "that route first",
			     text, tenant->name, where);
}

uint32_t spw_txn_lan_leaf(const struct spw_node *node, const struct spw_tenant_obj *tenant,
			  const struct spw_prefix *prefix)
{
	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		const struct spw_interface *interface = &node->interfaces[port];
		if (interface->role == SPW_PORT_LAN &&
		    strcmp(interface->tenant, tenant->name) == 0 &&
		    spw_trie_get(node->tries, interface->allow_root[prefix->family == 6], prefix))
			return SPW_LEAF(SPW_LEAF_LAN, port);
	}
	return 0;
}

static int insert_route(struct spw_txn *txn, const struct spw_op *op, struct spw_tenant_obj *tenant,
			const struct spw_prefix *prefix, uint32_t leaf)
{
	uint32_t *root = &tenant->route_root[prefix->family == 6];
	uint32_t old = spw_trie_get(txn->node->tries, *root, prefix);
	uint32_t said = old;
	int err = touch_tenant(txn, op->place, tenant);

	if (err < 0)
		return err;
	/* A host that was learned gives way to what a person says. */
	if (SPW_LEAF_KIND(old) == SPW_LEAF_NEIGHBOR)
		said = spw_txn_lan_leaf(txn->node, tenant, prefix);
	if (said && !(txn->replay && said == leaf))
		return refuse_routed(txn, op->place, tenant, prefix, said);
	if (said == leaf)
		return 0;
	err = spw_trie_insert(txn->tries, root, prefix, leaf, old != 0);
	return err < 0 ? spw_txn_trie_failed(txn, op->place, "route", prefix, err) : 0;
}

int spw_txn_route_add(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_tenant_obj *tenant = spw_txn_tenant(txn, op, op->route.tenant);
	struct spw_tunnel_obj *tunnel;
	uint32_t *root;
	int err;

	if (!tenant)
		return -ENOENT;
	tunnel = spw_txn_tunnel(txn, op, op->route.tunnel);
	if (!tunnel)
		return -ENOENT;
	if (tunnel->tenant != tenant)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\" belongs to tenant \"%s\", and packets never "
				     "cross tenants; expected a tunnel of \"%s\"",
				     tunnel->name, tunnel->tenant->name, tenant->name);
	root = &tenant->route_root[op->route.prefix.family == 6];
	if (txn->replay && spw_trie_get(txn->node->tries, *root, &op->route.prefix) ==
				   SPW_LEAF(SPW_LEAF_TUNNEL, tunnel->id))
		return 0;
	err = insert_route(txn, op, tenant, &op->route.prefix,
			   SPW_LEAF(SPW_LEAF_TUNNEL, tunnel->id));
	if (err == 0)
		err = spw_txn_log(txn, op->place,
				  (struct spw_change){SPW_CHANGE_ROUTE_IN, .tunnel = tunnel});
	if (err == 0)
		tunnel->routes_cnt++;
	return err;
}

int spw_txn_route_del(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_tenant_obj *tenant = spw_txn_tenant(txn, op, op->route.tenant);
	struct spw_tunnel_obj *tunnel;
	char text[SPW_PREFIX_TEXT_BYTES];
	uint32_t *root, leaf, id;
	int err;

	if (!tenant)
		return -ENOENT;
	root = &tenant->route_root[op->route.prefix.family == 6];
	leaf = spw_trie_get(txn->node->tries, *root, &op->route.prefix);
	if (SPW_LEAF_KIND(leaf) != SPW_LEAF_TUNNEL && txn->replay)
		return 0;
	spw_prefix_format(&op->route.prefix, text, sizeof(text));
	if (SPW_LEAF_KIND(leaf) == SPW_LEAF_LAN)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "%s of tenant \"%s\" is the prefix of a lan interface; only "
				     "config.yaml changes it",
				     text, tenant->name);
	if (SPW_LEAF_KIND(leaf) != SPW_LEAF_TUNNEL)
		return spw_error_set(txn->error, -ENOENT, op->place,
				     "tenant \"%s\" has no route %s; expected one that `spillway "
				     "route list` shows",
				     tenant->name, text);
	err = touch_tenant(txn, op->place, tenant);
	if (err < 0)
		return err;
	err = spw_trie_remove(txn->tries, root, &op->route.prefix);
	if (err < 0)
		return spw_txn_trie_failed(txn, op->place, "route", &op->route.prefix, err);
	id = SPW_LEAF_INDEX(leaf);
	tunnel = id < txn->node->maps.meta->tunnels_max ? txn->node->tunnels[id] : NULL;
	if (!tunnel) /* at a restart: of a tunnel that was on its way out */
		return 0;
	err = spw_txn_log(txn, op->place,
			  (struct spw_change){SPW_CHANGE_ROUTE_OUT, .tunnel = tunnel});
	if (err == 0)
		tunnel->routes_cnt--;
	return err;
}

int spw_txn_lan_add(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_node *node = txn->node;
	const struct spw_prefix *prefix = &op->lan.prefix;
	struct spw_interface *interface;
	struct spw_tenant_obj *tenant;
	int err;

	if (op->lan.port >= node->interfaces_cnt ||
	    node->interfaces[op->lan.port].role != SPW_PORT_LAN)
		return spw_error_set(txn->error, -EINVAL, op->place, "port %u is no lan interface",
				     op->lan.port);
	interface = &node->interfaces[op->lan.port];
	tenant = spw_txn_tenant(txn, op, interface->tenant);
	if (!tenant)
		return -ENOENT;
	err = insert_route(txn, op, tenant, prefix, SPW_LEAF(SPW_LEAF_LAN, op->lan.port));
	if (err < 0)
		return err;
	txn->ports_changed |= 1u << op->lan.port;
	err = spw_trie_insert(txn->tries, &interface->allow_root[prefix->family == 6], prefix,
			      SPW_LEAF(SPW_LEAF_MEMBER, 0), false);
	if (err < 0 && !(txn->replay && err == -EEXIST))
		return spw_txn_trie_failed(txn, op->place, "lan prefix", prefix, err);
	return 0;
}

int spw_txn_deny_add(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_prefix *prefix = &op->deny.prefix;
	int err = spw_trie_insert(txn->tries, &txn->node->deny_root[prefix->family == 6], prefix,
				  SPW_LEAF(SPW_LEAF_MEMBER, 0), false);

	if (err < 0 && !(txn->replay && err == -EEXIST))
		return spw_txn_trie_failed(txn, op->place, "denied source", prefix, err);
	return 0;
}
