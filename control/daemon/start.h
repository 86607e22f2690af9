/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.h - brings a node up, step by step, and down again.
 *
 * Control's thread only. The node is a zeroed struct of the caller's, with `loop` set.
 */
#ifndef SPW_START_H
#define SPW_START_H

#include "control/daemon/node.h"

/* Starts the node that config_path describes: makes its tables and fills them from the file, or,
 * where its tables are pinned already, takes those up as they stand with what the journal says.
 * 0, or a negative errno with the error set. What a fresh start has pinned is then removed again;
 * spw_node_stop must follow in either case. */
int spw_node_start(struct spw_node *node, const char *config_path, struct spw_error *error);

/* Lets go of everything. Tables stay pinned and the classifier attached: the dataplane goes on, and
 * the next start takes them up. */
void spw_node_stop(struct spw_node *node);

/* Takes the node's neighbours off the kernel's hands, detaches the classifier, unpins the tables
 * and removes the node's run folder. Refused (-EBUSY) while a control of this node runs. The state
 * folder stays: epochs and reserves must never be forgotten. */
int spw_node_remove(struct spw_node *node, const char *config_path, struct spw_error *error);

#endif
