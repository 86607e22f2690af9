/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folders.h - where a node keeps its files, and the locks that show who runs.
 *
 *	/run/spillway/<node>/        sockets, journal, locks   (base: SPW_RUN_DIR)
 *	/var/lib/spillway/<node>/    epoch, reserves           (base: SPW_STATE_DIR)
 *	/sys/fs/bpf/spillway/<node>/ tables                    (base: SPW_BPFFS_DIR)
 *
 * Control's thread only.
 */
#ifndef SPW_FOLDERS_H
#define SPW_FOLDERS_H

#include "control/daemon/node.h"

/* Fills run_dir, state_dir and pin_dir from node->name. -ENAMETOOLONG with the error set. */
int spw_folders_name(struct spw_node *node, struct spw_error *error);

/* Writes the names of this host's nodes that have a journal, so that the next start of each takes
 * its tables up: "a, b". Empty: there are none. */
void spw_folders_standing(char *names, size_t names_bytes);

/* Makes the run and state folders where they are missing: ours, and closed to others. The run
 * folder may be entered, not listed, by the group `spillway` where there is one, for control.sock.
 * -EPERM: one is there, but somebody else's or open. */
int spw_folders_make(struct spw_node *node, struct spw_error *error);

/* Locks the node for this process until it ends. Returns the descriptor, or -EBUSY with the other
 * control's pid in the error. */
int spw_folders_lock(struct spw_node *node, struct spw_error *error);

/* Whether a dataplane runs that has the node's tables mapped. In doubt: true. */
bool spw_folders_dataplane_lives(const struct spw_node *node);

/* Removes the run folder and what is in it. */
int spw_folders_remove_run(struct spw_node *node, struct spw_error *error);

#endif
