/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live.h - the addresses from which live tunnels' peers speak, as the classifier has them: their
 * control messages have a share of their own (ebpf/classify.h).
 *
 * Several tunnels may be behind one address; it stands in the trie of its family from the first to
 * the last of them. Not journaled: after a restart the set is empty, and tunnels that come up again
 * are added anew.
 *
 * Who owns the memory: the node, until spw_live_close. Control's thread only.
 */
#ifndef SPW_LIVE_H
#define SPW_LIVE_H

#include "control/daemon/node.h"

/* One more, or one less, tunnel that lives at the address; the port does not matter. 0, or with
 * nothing changed: -EINVAL no address; -ENOENT (del) no tunnel was added there; -ENOMEM, -ENOSPC,
 * -EBUSY no room in memory, the pool or the limbo, or a transaction is open: try again later. */
int spw_live_add(struct spw_node *node, const struct spw_endpoint *source);
int spw_live_del(struct spw_node *node, const struct spw_endpoint *source);

/* Frees the counts; the tables stay as they are. */
void spw_live_close(struct spw_node *node);

#endif
