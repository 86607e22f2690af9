/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * txn_world.h - ops in one line each, and a node with a small running set, for tests of
 * transactions. Failures in here end the test. Memory: node_double's.
 */
#ifndef TXN_WORLD_H
#define TXN_WORLD_H

#include "tests/unit/control/node_double.h"

extern struct spw_node *node;

struct spw_prefix prefix(const char *text);
struct spw_op tenant_add(const char *name);
struct spw_op tunnel_add(const char *name, const char *tenant);
struct spw_op tunnel_del(const char *name);
struct spw_op route_add(const char *tenant, const char *text, const char *tunnel);
struct spw_op route_del(const char *tenant, const char *text);
struct spw_op lan_add(uint32_t port, const char *text);
struct spw_op deny_add(const char *text);
struct spw_op rate_set(const char *tunnel, const char *tenant, uint32_t rate_kbit);

int apply(const struct spw_op *ops, uint32_t ops_cnt, struct spw_error *error);
void must_apply(const struct spw_op *ops, uint32_t ops_cnt);
void drain(void); /* waits for a grace period */

/* Where a packet of the tenant would go, by the tables: a leaf. */
uint32_t lookup(const char *tenant, const char *text);
uint32_t to_tunnel(const char *name); /* that leaf, of a tunnel */

/* Setup: tenants blue and green; lan 10.1.0.0/24 and fd00:1::/64 of blue on port 1; tunnels one and
 * two of blue and other of green; 10.2.0.0/24 and fd00:2::/64 of blue lead into one, which is
 * capped at 50 Mbit/s, blue at 1; 198.51.100.0/24 is denied. */
int open_node(void **state);
int close_node(void **state);

#endif
