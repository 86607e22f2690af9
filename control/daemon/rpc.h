/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rpc.h - the control socket: JSON-RPC 2.0, one object to a line (docs/control-api.md).
 *
 * rpc.c has the socket and its clients, dispatch.c turns a line into an answer, methods*.c do what
 * was asked. A client costs bounded memory: one line in, and while an answer waits to be read, no
 * further line is taken. Control's thread only; no handler blocks. The process must ignore SIGPIPE.
 */
#ifndef SPW_RPC_H
#define SPW_RPC_H

#include <jansson.h>
#include <stddef.h>

#include "control/daemon/node.h"

#define SPW_RPC_LINE_BYTES_MAX (16u << 20)
#define SPW_RPC_CLIENTS_MAX 64u

/* Listens on run_dir/control.sock and sets node->rpc. What another control of the node left there
 * is replaced: the caller holds run_dir/lock. 0 or a negative errno with the error set. */
int spw_rpc_create(struct spw_node *node, struct spw_error *error);
void spw_rpc_destroy(struct spw_node *node); /* cuts all clients off; node->rpc may be NULL */

/* dispatch.c: the answer to one line: a new reference, or NULL where none is due (a notification,
 * or no memory). */
json_t *spw_rpc_answer(struct spw_node *node, const char *line, size_t line_bytes);

/* An answer that says only what was wrong with a line. */
json_t *spw_rpc_failure(int code, const char *text);

#endif
