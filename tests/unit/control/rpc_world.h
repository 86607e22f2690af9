/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rpc_world.h - a node that is asked by lines of JSON-RPC: the tenants blue and green, blue's lan
 * 10.1.0.0/24 on port 1.
 *
 * Who owns the memory: the node, from rpc_open_node to rpc_close_node. One thread.
 */
#ifndef TEST_RPC_WORLD_H
#define TEST_RPC_WORLD_H

#include <jansson.h>

#include "control/daemon/node.h"

extern struct spw_node *node;

int rpc_open_node(void **state); /* cmocka fixtures */
int rpc_close_node(void **state);

/* The answer to a line, or to a call, a new reference. Quotes are written ' to keep the lines
 * readable. */
json_t *ask(const char *line);
json_t *call(const char *method, const char *params);

/* Fails the test where the call is refused. result_of: a new reference. */
void must(const char *method, const char *params);
json_t *result_of(const char *method, const char *params);

#endif
