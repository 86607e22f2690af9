/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node_config.h - writes what a load test of many tunnels needs: a node's configuration, the
 * commands that add its tunnels, their keys, and the SAs for the generator.
 *
 * Thread: main.
 */
#ifndef SPW_NODE_CONFIG_H
#define SPW_NODE_CONFIG_H

#include <stdint.h>

/* `dir` must not be there yet: its keys would be used twice. tunnels: 1 to SPW_TUNNELS_MAX. 0, or a
 * negative errno with a sentence. */
int spw_node_config_write(const char *dir, uint32_t tunnels, char *why, unsigned int why_bytes);

#endif
