/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node_name.h - the one thing that control needs from config.yaml even when its tables stand: whose
 * they are.
 *
 * A file that has been edited into something wrong meanwhile must not keep control from coming back
 * to a node that works, so nothing else in it is looked at.
 */
#ifndef SPW_NODE_NAME_H
#define SPW_NODE_NAME_H

#include "control/daemon/error.h"
#include "control/daemon/op.h"

/* Reads the top-level key `node`. 0, or a negative errno with the error set. */
int spw_node_name_read(const char *path, char name[SPW_NAME_BYTES], struct spw_error *error);

#endif
