/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expand.h - what a session tunnel's allowed prefixes mean for the tenant's routes.
 *
 * They are routes into the tunnel as well: adding the tunnel adds them, deleting it deletes them.
 * An explicit route or a lan with the very prefix wins, and so does the tunnel that came first.
 * From then on they are routes like any other: the journal and a restart know nothing else.
 *
 * Control's thread only.
 */
#ifndef SPW_EXPAND_H
#define SPW_EXPAND_H

#include "control/daemon/node.h"

/* Sets *out to an array of malloc(3), the ops with such routes put in: after the op that adds the
 * tunnel, with the places of its prefixes, and before the one that deletes it. The strings stay
 * those of `ops` and of the node. 0 or -ENOMEM. */
int spw_ops_expand(const struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		   struct spw_op **out, uint32_t *out_cnt);

/* People's changes: expanded, applied as one transaction and journaled; see spw_txn_apply. */
int spw_ops_apply(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		  struct spw_error *error);

#endif
