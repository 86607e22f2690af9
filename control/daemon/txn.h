/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * txn.h - a transaction's inside, shared by txn.c (all or nothing), txn_ops.c, txn_tunnels.c,
 * txn_routes.c and txn_relays.c (what each op needs), and txn_commit.c (the order in which it
 * becomes visible).
 * The way in is spw_txn_apply (node.h).
 *
 * prepare   each op in turn: checked against the model as the ops before it left it, and everything
 *           it needs allocated. Only control's own objects and private copies of trie roots change,
 *           and each such change is logged so that abort can take it back.
 * commit    stores; nothing that can fail.
 * abort     the log backwards.
 *
 * Who owns the memory: struct spw_txn lives on the stack of spw_txn_apply. Control's thread only.
 */
#ifndef SPW_TXN_H
#define SPW_TXN_H

#include "control/daemon/node.h"

enum spw_change_kind {
	SPW_CHANGE_TENANT_NEW,
	SPW_CHANGE_TUNNEL_NEW,
	SPW_CHANGE_TUNNEL_GONE,
	SPW_CHANGE_ROUTE_IN,  /* a route into the tunnel more */
	SPW_CHANGE_ROUTE_OUT, /* a route into the tunnel less */
	SPW_CHANGE_RELAY_NEW,
	SPW_CHANGE_RELAY_LIMITS,
	SPW_CHANGE_RELAY_GONE,
};

struct spw_change {
	enum spw_change_kind kind;
	union {
		struct spw_tenant_obj *tenant;
		struct spw_tunnel_obj *tunnel;
		struct spw_relay_obj *relay;
	};
	/* TUNNEL_NEW, RELAY_NEW: the slot of its first record. RELAY_LIMITS: that of the next one,
	 * where an earlier change of the transaction has not taken one. */
	uint32_t slot;
	struct spw_relay_limits limits; /* RELAY_LIMITS: what they were */
};

struct spw_cap_store {
	__u64 *word; /* in maps.rates */
	uint64_t cap;
};

/* Tunnels that one transaction deleted, on their way out (txn_commit.c). */
struct spw_graveyard {
	struct spw_node *node;
	uint32_t cnt;
	struct spw_tunnel_obj *tunnels[];
};
/* Places in the limbo that a graveyard needs: two periods, and the retirement of its tries. */
#define SPW_GRAVEYARD_PLACES 3u

#define SPW_PREFIX_TEXT_BYTES 64 /* room for a prefix in a sentence */

struct spw_txn {
	struct spw_node *node;
	struct spw_error *error;
	bool replay; /* the ops come from the journal: what is done already is no error */
	struct spw_trie_txn *tries;

	struct spw_change *changes;
	uint32_t changes_cnt, changes_max;
	struct spw_cap_store *caps;
	uint32_t caps_cnt, caps_max;
	struct spw_tenant_obj **tenants; /* whose routes change */
	uint32_t tenants_cnt, tenants_max;
	uint32_t ports_changed; /* bit per port id: its image changes */
	struct spw_graveyard *graveyard;
	uint32_t gone_cnt;     /* TUNNEL_GONE in changes */
	uint32_t relay_places; /* that the relays' records need in the limbo, at most */
	uint32_t places;       /* taken in the limbo besides the tries' own */
};

/* txn_ops.c: prepares one op. 0 or a negative errno with the error set. */
int spw_txn_prepare(struct spw_txn *txn, const struct spw_op *op);

/* txn_ops.c: what several ops ask for. NULL, or a negative errno, with the error set. */
struct spw_tenant_obj *spw_txn_tenant(struct spw_txn *txn, const struct spw_op *op,
				      const char *name);
struct spw_tunnel_obj *spw_txn_tunnel(struct spw_txn *txn, const struct spw_op *op,
				      const char *name);
/* Whether something new may have this name; there: it is taken. */
int spw_txn_name(struct spw_txn *txn, const struct spw_op *op, const char *what, const char *name,
		 bool there);
/* Puts an error of the trie into words, and returns it. what: "route", "denied source", ... */
int spw_txn_trie_failed(struct spw_txn *txn, struct spw_place place, const char *what,
			const struct spw_prefix *prefix, int err);

/* txn_tunnels.c, txn_routes.c */
int spw_txn_tunnel_add(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_tunnel_del(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_route_add(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_route_del(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_lan_add(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_deny_add(struct spw_txn *txn, const struct spw_op *op);

/* txn_relays.c. spw_txn_relay_limits: of a RATE_SET. spw_txn_relays_commit gives back what it did
 * not use of txn->relay_places. */
int spw_txn_relay_add(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_relay_del(struct spw_txn *txn, const struct spw_op *op);
int spw_txn_relay_limits(struct spw_txn *txn, const struct spw_op *op);
void spw_txn_relays_commit(struct spw_txn *txn);
void spw_txn_relay_undo(struct spw_node *node, const struct spw_change *change);

/* txn_routes.c: the leaf of the tenant's lan whose prefix is exactly this one, 0: there is none.
 * The trie may hold a host in its place, where the prefix is that of a single host. */
uint32_t spw_txn_lan_leaf(const struct spw_node *node, const struct spw_tenant_obj *tenant,
			  const struct spw_prefix *prefix);

/* txn_commit.c */
void spw_txn_commit(struct spw_txn *txn);
void spw_txn_abort(struct spw_txn *txn);
/* Hands deleted tunnels to two grace periods; SPW_GRAVEYARD_PLACES must be reserved. Their routes
 * must be withdrawn. Owns the graveyard from then on. */
void spw_graveyard_bury(struct spw_graveyard *graveyard);

/* txn.c: logs a change; -ENOMEM with the error set. */
int spw_txn_log(struct spw_txn *txn, struct spw_place place, struct spw_change change);
/* txn.c: makes room for one more in an array: NULL with the error set, or the array. */
void *spw_txn_room(struct spw_txn *txn, struct spw_place place, void *array, uint32_t cnt,
		   uint32_t *max, size_t item_bytes);

#endif
