/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client.h - one connection to a node's control socket (docs/control-api.md).
 *
 * Blocking; the caller closes the descriptor with close(2).
 */
#ifndef SPW_CLI_CLIENT_H
#define SPW_CLI_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

#define SPW_NODES_MAX 64 /* nodes of one host that are looked at */

struct spw_running { /* a node whose control process answers on its socket */
	char name[32];
	pid_t pid;
};

/* Fills in the running nodes in the order of their names; returns how many, or a negative errno:
 * -EACCES when there may be some that we may not speak to. */
int spw_nodes_find(struct spw_running *nodes, size_t nodes_max);

/* Connects to a node; NULL: to the only one that runs. -1: *error says why. */
int spw_client_open(const char *node, json_t **error);

/* One request. The result, a new reference; NULL: *error. params may be NULL. */
json_t *spw_client_call(int fd, const char *method, const json_t *params, json_t **error);

#endif
