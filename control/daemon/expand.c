/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/expand.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/txn.h"

/* What the ops so far say about one prefix of one tenant; or, with a prefix of family 0 and the
 * tunnel's name in place of the tenant's, about a session tunnel that they add. */
struct said {
	const char *name;
	struct spw_prefix prefix;
	bool taken;         /* by an explicit route or a lan, anywhere in the transaction */
	bool gone;          /* the node's route is deleted by an op before this one */
	const char *tunnel; /* that an allowed prefix leads into, NULL: none */
	const struct spw_tunnel_spec *added;
};

struct expansion {
	const struct spw_node *node;
	void *said; /* tsearch(3) tree of struct said */
	struct spw_op *ops;
	uint32_t ops_cnt, ops_max;
};

static int compare_said(const void *a, const void *b)
{
	const struct said *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order ? order : memcmp(&left->prefix, &right->prefix, sizeof(left->prefix));
}

/* NULL: no memory. */
static struct said *said_of(struct expansion *expansion, const char *name,
			    const struct spw_prefix *prefix)
{
	struct said key = {.name = name}, *entry;
	struct said **found;

	if (prefix)
		key.prefix = *prefix;
	found = tfind(&key, &expansion->said, compare_said);
	if (found)
		return *found;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return NULL;
	*entry = key;
	if (tsearch(entry, &expansion->said, compare_said))
		return entry;
	free(entry);
	return NULL;
}

static struct spw_op *push(struct expansion *expansion)
{
	if (expansion->ops_cnt == expansion->ops_max) {
		uint32_t more = expansion->ops_max * 2 + 16;
		struct spw_op *grown = reallocarray(expansion->ops, more, sizeof(*grown));
		if (!grown)
			return NULL;
		expansion->ops = grown;
		expansion->ops_max = more;
	}
	return memset(&expansion->ops[expansion->ops_cnt++], 0, sizeof(struct spw_op));
}

static int push_copy(struct expansion *expansion, const struct spw_op *op)
{
	struct spw_op *copy = push(expansion);

	if (!copy)
		return -ENOMEM;
	*copy = *op;
	return 0;
}

static int push_route(struct expansion *expansion, enum spw_op_kind kind, struct spw_place place,
		      const char *tenant, const struct spw_prefix *prefix, const char *tunnel)
{
	struct spw_op *op = push(expansion);

	if (!op)
		return -ENOMEM;
	op->kind = kind;
	op->place = place;
	op->route.tenant = tenant;
	op->route.prefix = *prefix;
	op->route.tunnel = tunnel;
	return 0;
}

/* Where the node's own table leads for exactly this prefix: 0, or a leaf that people made. */
static uint32_t standing_leaf(const struct expansion *expansion, const char *name,
			      const struct spw_prefix *prefix)
{
	const struct spw_node *node = expansion->node;
	const struct spw_tenant_obj *tenant = spw_tenant_find((struct spw_node *)node, name);
	uint32_t leaf;

	if (!tenant)
		return 0;
	leaf = spw_trie_get(node->tries, tenant->route_root[prefix->family == 6], prefix);
	/* A learned host gives way, but to a lan of that one host it does not lead elsewhere. */
	return SPW_LEAF_KIND(leaf) == SPW_LEAF_NEIGHBOR ? spw_txn_lan_leaf(node, tenant, prefix)
							: leaf;
}

/* What the transaction routes itself, before or after the tunnel. */
static int note_explicit(struct expansion *expansion, const struct spw_op *op)
{
	const struct spw_node *node = expansion->node;
	struct said *said;

	if (op->kind == SPW_OP_ROUTE_ADD)
		said = said_of(expansion, op->route.tenant, &op->route.prefix);
	else if (op->kind == SPW_OP_LAN_ADD && op->lan.port < node->interfaces_cnt)
		said = said_of(expansion, node->interfaces[op->lan.port].tenant, &op->lan.prefix);
	else
		return 0;
	if (!said)
		return -ENOMEM;
	said->taken = true;
	return 0;
}

static int add_session(struct expansion *expansion, const struct spw_op *op)
{
	const struct spw_tunnel_spec *spec = &op->tunnel;
	struct said *said = said_of(expansion, spec->name, NULL);

	if (!said || push_copy(expansion, op) < 0)
		return -ENOMEM;
	said->added = spec;
	for (uint32_t i = 0; i < spec->allow_cnt; i++) {
		const struct spw_prefix *prefix = &spec->allow[i];
		said = said_of(expansion, spec->tenant, prefix);
		if (!said)
			return -ENOMEM;
		if (said->taken || said->tunnel ||
		    (!said->gone && standing_leaf(expansion, spec->tenant, prefix)))
			continue;
		if (push_route(expansion, SPW_OP_ROUTE_ADD,
			       spec->allow_places ? spec->allow_places[i] : op->place, spec->tenant,
			       prefix, spec->name) < 0)
			return -ENOMEM;
		said->tunnel = spec->name;
	}
	return 0;
}

/* tunnel: as the node has it, NULL: the transaction itself adds it. */
static int del_session(struct expansion *expansion, const struct spw_op *op, const char *tenant,
		       const struct spw_tunnel_spec *spec, const struct spw_tunnel_obj *tunnel)
{
	for (uint32_t i = 0; i < spec->allow_cnt; i++) {
		const struct spw_prefix *prefix = &spec->allow[i];
		struct said *said = said_of(expansion, tenant, prefix);
		bool leads;
		if (!said)
			return -ENOMEM;
		leads = tunnel ? !said->gone && standing_leaf(expansion, tenant, prefix) ==
							SPW_LEAF(SPW_LEAF_TUNNEL, tunnel->id)
			       : said->tunnel && strcmp(said->tunnel, spec->name) == 0;
		if (!leads)
			continue;
		if (push_route(expansion, SPW_OP_ROUTE_DEL, op->place, tenant, prefix, NULL) < 0)
			return -ENOMEM;
		said->gone = true;
		said->tunnel = NULL;
	}
	return push_copy(expansion, op);
}

static int expand_del(struct expansion *expansion, const struct spw_op *op)
{
	struct spw_node *node = (struct spw_node *)expansion->node;
	const struct spw_tunnel_obj *tunnel = spw_tunnel_find(node, op->tunnel.name);
	struct said *said;

	if (tunnel)
		return tunnel->spec.keying == SPW_KEYING_SESSION
			       ? del_session(expansion, op, tunnel->tenant->name, &tunnel->spec,
					     tunnel)
			       : push_copy(expansion, op);
	said = said_of(expansion, op->tunnel.name, NULL);
	if (!said)
		return -ENOMEM;
	return said->added ? del_session(expansion, op, said->added->tenant, said->added, NULL)
			   : push_copy(expansion, op);
}

static int expand_route_del(struct expansion *expansion, const struct spw_op *op)
{
	struct said *said = said_of(expansion, op->route.tenant, &op->route.prefix);

	if (!said)
		return -ENOMEM;
	said->gone = true;
	said->tunnel = NULL;
	return push_copy(expansion, op);
}

static int expand_one(struct expansion *expansion, const struct spw_op *op)
{
	if (op->kind == SPW_OP_TUNNEL_ADD && op->tunnel.keying == SPW_KEYING_SESSION)
		return add_session(expansion, op);
	if (op->kind == SPW_OP_TUNNEL_DEL)
		return expand_del(expansion, op);
	if (op->kind == SPW_OP_ROUTE_DEL)
		return expand_route_del(expansion, op);
	return push_copy(expansion, op);
}

int spw_ops_expand(const struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		   struct spw_op **out, uint32_t *out_cnt)
{
	struct expansion expansion = {.node = node, .ops_max = ops_cnt + 1};
	int err = 0;

	expansion.ops = calloc(expansion.ops_max, sizeof(*expansion.ops));
	if (!expansion.ops)
		return -ENOMEM;
	for (uint32_t i = 0; err == 0 && i < ops_cnt; i++)
		err = note_explicit(&expansion, &ops[i]);
	for (uint32_t i = 0; err == 0 && i < ops_cnt; i++)
		err = expand_one(&expansion, &ops[i]);
	tdestroy(expansion.said, free);
	if (err < 0) {
		free(expansion.ops);
		return err;
	}
	*out = expansion.ops;
	*out_cnt = expansion.ops_cnt;
	return 0;
}

/* Others need no expansion, and a large set of routes no tree of them. */
static bool touches_tunnels(const struct spw_op *ops, uint32_t ops_cnt)
{
	for (uint32_t i = 0; i < ops_cnt; i++)
		if (ops[i].kind == SPW_OP_TUNNEL_DEL ||
		    (ops[i].kind == SPW_OP_TUNNEL_ADD &&
		     ops[i].tunnel.keying == SPW_KEYING_SESSION))
			return true;
	return false;
}

int spw_ops_apply(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		  struct spw_error *error)
{
	struct spw_op *all;
	uint32_t all_cnt;
	int err;

	if (!touches_tunnels(ops, ops_cnt))
		return spw_txn_apply(node, ops, ops_cnt, true, error);
	err = spw_ops_expand(node, ops, ops_cnt, &all, &all_cnt);
	if (err < 0)
		return spw_error_set(error, err, (struct spw_place){0},
				     "no memory for the transaction");
	err = spw_txn_apply(node, all, all_cnt, true, error);
	free(all);
	return err;
}
