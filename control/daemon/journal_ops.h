/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal_ops.h - what stands in the journal's lines (journal.h has the way back).
 *
 * Control's thread only. Results are new references of the caller; NULL: no memory.
 */
#ifndef SPW_JOURNAL_OPS_H
#define SPW_JOURNAL_OPS_H

#include <jansson.h>

#include "control/daemon/node.h"

json_t *spw_journal_snapshot(struct spw_node *node);
json_t *spw_journal_line(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt);

#endif
