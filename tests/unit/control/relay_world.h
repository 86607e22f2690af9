/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_world.h - what tests of blind relays share, on top of txn_world.h. Failures in here end the
 * test.
 */
#ifndef RELAY_WORLD_H
#define RELAY_WORLD_H

#include "control/daemon/relays/relays.h"
#include "tests/unit/control/txn_world.h"

#define A "198.51.100.7:51820"
#define B "203.0.113.9:4711"

struct spw_endpoint endpoint(const char *text); /* "any" too */
struct spw_op relay_add(const char *name, uint16_t port, const char *a, const char *b);
struct spw_op relay_del(const char *name);
struct spw_op relay_rate(const char *name, uint32_t rate_kbit, uint32_t pps);
void must_one(struct spw_op op);

/* The record as a reader finds it, NULL: no relay on the port; and its state. */
const struct spw_relay *live(uint16_t port);
struct spw_relay_state *state_at(uint16_t port);
void assert_side(const struct spw_relay_side *side, const char *remote, const char *local);

/* open_node and close_node, with an event loop. */
int open_relays(void **state);
int close_relays(void **state);

#endif
