/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal.h - what people named, kept as long as the pinned tables stand.
 *
 * The tables know ids; the journal knows which tunnel and tenant they are. It is a file of JSON
 * lines, run_dir/journal, mode 0600: first a snapshot of the node (interfaces, limits, tenants,
 * tunnels, relays), then one line for each transaction, written before the transaction is
 * published. Tables and journal both vanish with a reboot, so nothing is fsynced. The file never
 * holds a key, only the names of key files.
 *
 * Who owns the memory: struct spw_journal belongs to the node until spw_journal_close. Control's
 * thread only.
 */
#ifndef SPW_JOURNAL_H
#define SPW_JOURNAL_H

#include <jansson.h>

#include "control/daemon/node.h"

/* Writes a new journal that holds the node as it is now, in place of any other, and keeps it open
 * for spw_journal_append. 0 or a negative errno with the error set (then the former one stands). */
int spw_journal_start(struct spw_node *node, struct spw_error *error);
void spw_journal_close(struct spw_node *node);

/* Appends one transaction, prepared and not yet committed. On failure nothing is appended. */
int spw_journal_append(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		       struct spw_error *error);

/* Before a transaction: starts the journal anew where it has grown long. */
void spw_journal_tidy(struct spw_node *node);

/* A new reference to an array: the snapshot, then the transactions. A torn last line is left out.
 * NULL with the error set: -ENOENT there is none, -EUCLEAN it is damaged. */
json_t *spw_journal_read(const struct spw_node *node, struct spw_error *error);

/* Fills the node's fixed part (listen port, workers, limits, interfaces) from a snapshot, and says
 * for which tables it was written. -EUCLEAN: it lacks something. */
int spw_journal_node(struct spw_node *node, const json_t *snapshot, uint64_t *tables_id);

/* Decodes one op, or one tenant, tunnel or relay of a snapshot. The strings of `op` live in `json`;
 * allow: what an earlier call left or NULL, free it at the end. *id: of what is added, 0
 * where it did not outlive its own transaction. -EUCLEAN: it is no op. */
int spw_journal_op(const json_t *json, struct spw_op *op, struct spw_prefix **allow, uint32_t *id);

#endif
