/* SPDX-License-Identifier: BSD-2-Clause */
/* test_live.c - which addresses the classifier takes for those of live tunnels. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/adopt.h"
#include "control/daemon/live.h"
#include "tests/unit/control/txn_world.h"

static struct spw_endpoint endpoint(const char *text)
{
	struct spw_endpoint endpoint;
	const char *expected;

	assert_int_equal(spw_endpoint_parse(text, &endpoint, &expected), 0);
	return endpoint;
}

static bool stands(const char *text)
{
	struct spw_endpoint source = endpoint(text);
	struct spw_prefix host = {.family = source.family, .bits = source.family == 4 ? 32 : 128};

	memcpy(host.addr, source.addr, sizeof(host.addr));
	return spw_trie_get(node->tries, node->maps.meta->live_root[source.family == 6], &host) ==
	       SPW_LEAF(SPW_LEAF_MEMBER, 0);
}

static int add(const char *text)
{
	struct spw_endpoint source = endpoint(text);

	return spw_live_add(node, &source);
}

static int del(const char *text)
{
	struct spw_endpoint source = endpoint(text);

	return spw_live_del(node, &source);
}

/* From the first tunnel behind an address to the last one. */
static void counted(void **state)
{
	const struct spw_endpoint none = {0};

	(void)state;
	assert_int_equal(spw_live_add(node, &none), -EINVAL);
	assert_int_equal(spw_live_del(node, &none), -EINVAL);
	assert_int_equal(del("192.0.2.7"), -ENOENT);
	assert_int_equal(add("192.0.2.7:4500"), 0);
	assert_int_equal(add("192.0.2.7:1024"), 0);
	assert_int_equal(add("[2001:db8::7]:4500"), 0);
	assert_true(stands("192.0.2.7"));
	assert_true(stands("2001:db8::7"));
	assert_false(stands("192.0.2.6"));
	assert_false(stands("2001:db8::6"));
	assert_int_equal(del("192.0.2.7:9"), 0);
	assert_true(stands("192.0.2.7"));
	assert_int_equal(del("192.0.2.7"), 0);
	assert_false(stands("192.0.2.7"));
	assert_int_equal(del("192.0.2.7"), -ENOENT);
	assert_int_equal(del("2001:db8::7"), 0);
	assert_int_equal(node->maps.meta->live_root[0], 0);
	assert_int_equal(node->maps.meta->live_root[1], 0);
	assert_int_equal(add("192.0.2.7"), 0);
	spw_live_close(node);
}

/* What finds no room changes nothing, and goes later. */
static void tried_again(void **state)
{
	struct spw_trie_txn *open;
	uint32_t room = spw_grace_room(node->grace);

	(void)state;
	assert_int_equal(spw_trie_txn_begin(node->tries, &open), 0);
	assert_int_equal(add("192.0.2.7"), -EBUSY);
	spw_trie_txn_abort(open);
	assert_false(stands("192.0.2.7"));
	assert_int_equal(del("192.0.2.7"), -ENOENT);
	assert_int_equal(spw_grace_reserve(node->grace, room), 0);
	assert_int_equal(add("192.0.2.7"), -EBUSY);
	spw_grace_unreserve(node->grace, room);
	assert_int_equal(add("192.0.2.7"), 0);
	room = spw_grace_room(node->grace);
	assert_int_equal(spw_grace_reserve(node->grace, room), 0);
	assert_int_equal(del("192.0.2.7"), -EBUSY);
	assert_true(stands("192.0.2.7"));
	assert_int_equal(add("192.0.2.7"), 0); /* a count needs no room */
	assert_int_equal(del("192.0.2.7"), 0);
	spw_grace_unreserve(node->grace, room);
	assert_int_equal(del("192.0.2.7"), 0);
	assert_false(stands("192.0.2.7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counted, open_node, close_node),
		cmocka_unit_test_setup_teardown(tried_again, open_node, close_node),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
