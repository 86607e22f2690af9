/* SPDX-License-Identifier: BSD-2-Clause */
/* relay_world.c - see relay_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/control/relay_world.h"

struct spw_endpoint endpoint(const char *text)
{
	struct spw_endpoint value = {0};
	const char *expected;

	if (strcmp(text, "any") != 0 && spw_endpoint_parse(text, &value, &expected) < 0)
		fail_msg("%s", text);
	return value;
}

struct spw_op relay_add(const char *name, uint16_t port, const char *a, const char *b)
{
	return (struct spw_op){
		.kind = SPW_OP_RELAY_ADD,
		.relay = {.name = name, .port = port, .between = {endpoint(a), endpoint(b)}}};
}

struct spw_op relay_del(const char *name)
{
	return (struct spw_op){.kind = SPW_OP_RELAY_DEL, .relay.name = name};
}

struct spw_op relay_rate(const char *name, uint32_t rate_kbit, uint32_t pps)
{
	return (struct spw_op){
		.kind = SPW_OP_RATE_SET,
		.rate = {.relay = name, .rate_kbit = rate_kbit, .pps = pps, .in = true}};
}

void must_one(struct spw_op op)
{
	must_apply(&op, 1);
}

const struct spw_relay *live(uint16_t port)
{
	uint32_t slot = node->maps.relay_ports[port].slot;

	assert_true(slot < SPW_RELAY_SLOTS_MAX);
	return slot ? &node->maps.relays[slot] : NULL;
}

struct spw_relay_state *state_at(uint16_t port)
{
	return &node->maps.relay_states[live(port)->id];
}

int open_relays(void **state)
{
	open_node(state);
	node->loop = event_base_new();
	return 0;
}

int close_relays(void **state)
{
	struct event_base *loop = node->loop;

	(void)state;
	drain();
	drain();
	node_double_close();
	event_base_free(loop);
	return 0;
}

void assert_side(const struct spw_relay_side *side, const char *remote, const char *local)
{
	struct spw_endpoint there = endpoint(remote), here = endpoint(local);

	assert_memory_equal(side->remote, there.addr, 16);
	assert_int_equal(side->remote_port_be, htons(there.port));
	assert_memory_equal(side->local, here.addr, 16);
}
