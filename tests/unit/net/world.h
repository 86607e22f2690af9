/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.h - a node whose net/ talks to a real kernel: this process stands in a network namespace of
 * its own, and a peer in another one, with wires between them:
 *
 *	wan0 (port 0)  192.0.2.1/24, 2001:db8::1/64         peer0  192.0.2.2, 192.0.2.3, 2001:db8::2
 *	wan1 (port 1)  198.51.100.1/24                      peer1  198.51.100.2
 *	lan0 (port 2)  10.1.0.1/24, fd00:1::1/64 (blue)     peer2  10.1.0.10, fd00:1::10
 *
 * The tables are in this process's own memory. Real are net/, publish.c and tables/; the tenant's
 * route trie is changed by a double of txn.c. One thread.
 */
#ifndef SPW_TEST_NET_WORLD_H
#define SPW_TEST_NET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/daemon/net/net_private.h"

#define WORLD_NEIGHBORS_MAX 160u
#define WORLD_TUNNELS_MAX 8u

/* Makes both namespaces, runs the tests in them, and returns what main returns. */
int world_run_tests(const struct CMUnitTest *tests, size_t cnt);

/* cmocka: fresh wires, and a node with net running; world_node is set. */
int world_setup(void **state);
int world_teardown(void **state);

extern struct spw_node *world_node;

/* As world_setup, in steps. */
void world_wires(void);
void world_tables(void);
int world_start(struct spw_error *error);

/* Ends net and its node, keeps wires and tables; the ids of `marked` neighbours are taken up in the
 * new one, as control does at a restart. */
void world_restart(const uint32_t *marked, uint32_t marked_cnt);

/* Runs a shell command here, or in the peer's namespace; it must succeed. */
__attribute__((format(printf, 1, 2))) void here(const char *format, ...);
__attribute__((format(printf, 1, 2))) void peer(const char *format, ...);
/* Whether the output of a command here has the text. */
bool says(const char *command, const char *text);

/* Runs the loop until `done` holds; false: not within the time. */
bool world_until(bool (*done)(void), int timeout_ms);
void world_run(int ms);

/* A tunnel of tenant blue with that id, acquired and published. */
struct spw_tunnel_obj *world_tunnel(uint32_t id, const char *remote, const char *local);
void world_tunnel_free(struct spw_tunnel_obj *tunnel);
const struct spw_tunnel *world_record(uint32_t id);

union spw_neighbor world_word(uint32_t neighbor);
/* Whether the word is valid with that MAC. */
bool world_valid(uint32_t neighbor, const char *mac);

struct spw_endpoint world_address(const char *text);
/* The leaf of exactly this prefix in the tenant's routes. */
uint32_t world_leaf(const char *prefix);
void world_route(const char *prefix, uint32_t leaf); /* leaf 0 removes it */

#endif
