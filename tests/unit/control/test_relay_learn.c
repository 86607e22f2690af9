/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arming and pinning the endpoints of blind relays, and a restart. The carriers of packets are
 * played by writing what they would into relay_states.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/adopt.h"
#include "control/daemon/journal.h"
#include "tests/unit/control/relay_world.h"

/* ---- arming ------------------------------------------------------------------------------- */

/* As the classifier notes who came. */
static void come(uint16_t port, const char *remote, const char *local, uint8_t on)
{
	struct spw_relay_state *state = state_at(port);
	struct spw_endpoint there = endpoint(remote), here = endpoint(local);

	assert_int_equal(state->learn, SPW_RELAY_LEARN_ARMED);
	state->learned_port_be = htons(there.port);
	state->learned_on = on;
	memcpy(state->learned, there.addr, 16);
	memcpy(state->learned_local, here.addr, 16);
	__atomic_store_n(&state->learn, SPW_RELAY_LEARN_DONE, __ATOMIC_RELEASE);
	spw_relays_poll(node);
}

static struct spw_relay_obj *armed_relay(void)
{
	struct spw_error error = {0};
	struct spw_relay_obj *relay;

	must_one(relay_add("roam", 51820, A, "any"));
	relay = spw_relay_find(node, "roam");
	assert_int_equal(live(51820)->side[1].remote_port_be, 0);
	assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_OFF);
	assert_int_equal(spw_relay_arm(node, relay, 60, &error), 0);
	assert_int_equal(spw_relay_armed_seconds(relay), 60);
	return relay;
}

static void the_first_source_is_pinned(void **state)
{
	struct spw_relay_obj *relay = armed_relay();
	struct spw_error error = {0};

	(void)state;
	come(51820, B, "192.0.2.1", 0);
	assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_OFF);
	assert_int_equal(spw_relay_armed_seconds(relay), 0);
	assert_side(&live(51820)->side[1], B, "192.0.2.1");
	assert_side(&live(51820)->side[0], A, "198.51.100.200");
	assert_int_equal(double_nexthop_live, 3 + 2);
	/* Armed again, it is forgotten; the next one may be another. */
	drain();
	assert_int_equal(spw_relay_arm(node, relay, 60, &error), 0);
	assert_int_equal(live(51820)->side[1].remote_port_be, 0);
	assert_int_equal(double_nexthop_live, 3 + 1);
	come(51820, "203.0.113.10:5", "192.0.2.1", 0);
	assert_side(&live(51820)->side[1], "203.0.113.10:5", "192.0.2.1");
	/* A change of the limits keeps it. */
	must_one(relay_rate("roam", 5000, 0));
	assert_side(&live(51820)->side[1], "203.0.113.10:5", "192.0.2.1");
}

static void sources_that_no_endpoint_can_be(void **state)
{
	static const char *const bad[] = {"127.0.0.1:5", "203.0.113.9", "224.0.0.1:5",
					  "169.254.0.1:5", A};
	struct spw_relay_obj *relay = armed_relay();
	struct spw_relay before = *live(51820);

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		come(51820, bad[i], "192.0.2.1", 0);
		assert_memory_equal(live(51820), &before, sizeof(before));
		assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_ARMED);
	}
	/* The way back leads by another port, or there is none; or it is an address of ours. */
	come(51820, B, "192.0.2.1", 1);
	double_route_port = SPW_PORTS_MAX;
	come(51820, B, "192.0.2.1", 0);
	double_route_port = 0;
	double_nexthop_error = -EINVAL;
	come(51820, B, "192.0.2.1", 0);
	double_nexthop_error = 0;
	assert_memory_equal(live(51820), &before, sizeof(before));
	assert_int_equal(double_nexthop_live, 3 + 1);
	assert_true(relay->refused);
	/* Who came meanwhile in vain does not keep the right one out. */
	come(51820, B, "192.0.2.1", 0);
	assert_side(&live(51820)->side[1], B, "192.0.2.1");
}

static void time_runs_out(void **state)
{
	struct spw_relay_obj *relay = armed_relay();
	uint64_t long_ago = 1, just_now;
	struct spw_error error = {0};

	(void)state;
	relay->armed_until_ms = long_ago;
	spw_relays_poll(node);
	assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_OFF);
	assert_int_equal(relay->armed_until_ms, 0);
	/* Who has begun to write is waited for, but not for ever. */
	assert_int_equal(spw_relay_arm(node, relay, 1, &error), 0);
	state_at(51820)->learn = SPW_RELAY_LEARN_WRITING;
	just_now = relay->armed_until_ms - 1000;
	relay->armed_until_ms = just_now;
	spw_relays_poll(node);
	assert_int_equal(relay->armed_until_ms, just_now);
	assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_WRITING);
	relay->armed_until_ms = long_ago;
	spw_relays_poll(node);
	assert_int_equal(relay->armed_until_ms, 0);
	assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_OFF);
	/* A configured one cannot be armed. */
	must_one(relay_add("ab", 1, A, B));
	assert_int_equal(spw_relay_arm(node, spw_relay_find(node, "ab"), 1, &error), -EINVAL);
	assert_non_null(strstr(error.text, "both endpoints are configured"));
	assert_int_equal(state_at(1)->learn, SPW_RELAY_LEARN_OFF);
}

static int ticks;

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ticks++;
	event_base_loopbreak(arg);
}

/* The timer looks by itself, and rests when there is nothing to look for. */
static void the_timer_pins(void **state)
{
	struct timeval second = {.tv_sec = 1};
	struct event *stop = evtimer_new(node->loop, on_second, node->loop);

	(void)state;
	armed_relay();
	state_at(51820)->learned_port_be = htons(5);
	memcpy(state_at(51820)->learned, (uint8_t[]){203, 0, 113, 9}, 4);
	memcpy(state_at(51820)->learned_local, (uint8_t[]){192, 0, 2, 1}, 4);
	state_at(51820)->learn = SPW_RELAY_LEARN_DONE;
	event_add(stop, &second);
	while (live(51820)->side[1].remote_port_be == 0 && ticks == 0)
		event_base_loop(node->loop, EVLOOP_ONCE);
	assert_side(&live(51820)->side[1], "203.0.113.9:5", "192.0.2.1");
	assert_false(evtimer_pending(node->relay_timer, NULL));
	event_free(stop);
}

/* ---- a restart ---------------------------------------------------------------------------- */

static void must_adopt(void)
{
	struct spw_adoption adoption = {0};
	struct event_base *loop = node ? node->loop : NULL;
	struct spw_error error = {0};
	int err;

	node = node_double_reborn();
	node->loop = loop;
	err = spw_adopt_journal(node, &adoption, &error);
	if (err == 0)
		err = spw_adopt_tables(node, &adoption, &error);
	if (err == 0)
		err = spw_grace_drain(node->grace, 1000); /* as start.c */
	if (err == 0)
		err = spw_adopt_finish(node, &adoption, &error);
	if (err == 0)
		err = spw_journal_start(node, &error);
	spw_adopt_close(&adoption);
	if (err < 0)
		fail_msg("%s", error.text);
}

static void restart(void)
{
	struct event_base *loop = node->loop;

	node_double_die();
	node = NULL;
	must_adopt();
	node->loop = loop;
}

static void a_restart_keeps_them(void **state)
{
	struct double_tables *before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));
	struct spw_relay_obj *relay = armed_relay();
	struct spw_error error = {0};

	(void)state;
	come(51820, B, "192.0.2.1", 0);
	must_one(relay_rate("roam", 4000, 44));
	must_one(relay_add("ab", 7, "[2001:db8::7]:51820", "[2001:db8::8]:51820"));
	must_one(relay_add("gone", 8, A, B));
	must_one(relay_del("gone"));
	drain();
	state_at(7)->to[0].packets = 99;
	for (int times = 0; times < 2; times++) { /* the journal, then its snapshot */
		int held = double_ports_held;
		*before = *node_double_tables();
		restart();
		before->meta.epoch = node->maps.meta->epoch;
		assert_memory_equal(node_double_tables(), before, sizeof(*before));
		assert_int_equal(double_ports_held, held + 2);
		assert_int_equal(node->relay_ids->used, 2);
		assert_int_equal(node->relay_slots->used, 2);
		relay = spw_relay_find(node, "roam");
		assert_int_equal(relay->limits.pps, 44);
		assert_int_equal(relay->limits.rate_kbit, 4000);
		assert_true(relay->ends[1].any);
		assert_true(spw_endpoint_equal(&relay->ends[1].remote,
					       (struct spw_endpoint[]){endpoint(B)}));
	}
	/* What was pinned can be forgotten still. */
	assert_int_equal(spw_relay_arm(node, relay, 5, &error), 0);
	assert_int_equal(live(51820)->side[1].remote_port_be, 0);
	/* An arming does not outlive its control. */
	restart();
	assert_int_equal(state_at(51820)->learn, SPW_RELAY_LEARN_OFF);
	assert_int_equal(live(51820)->side[1].remote_port_be, 0);
	free(before);
}

/* Control dies after the journal's line, before anything of it is published. */
static void the_last_transaction_is_completed(void **state)
{
	struct spw_op ops[] = {relay_del("old"),
			       relay_add("new", 7, B, "any"), /* in its place */
			       relay_rate("kept", 2000, 22),
			       relay_add("brief", 9, A, B),
			       relay_rate("brief", 5, 5),
			       relay_del("brief"),
			       relay_add("more", 10, A, B),
			       relay_rate("more", 3000, 0),
			       relay_rate("old2", 5, 5),
			       relay_del("old2")};
	struct double_tables *before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));
	struct event_base *loop = node->loop;

	(void)state;
	must_one(relay_add("old", 7, A, B));
	must_one(relay_add("old2", 11, A, B));
	must_one(relay_add("kept", 8, A, B));
	for (int stage = 0; stage < 2; stage++) { /* nothing, then all of it is published */
		if (stage == 0) {
			*before = *node_double_tables();
			must_apply(ops, 10);
			node_double_die();
			before->meta.epoch = node_double_tables()->meta.epoch;
			*node_double_tables() = *before;
			node = NULL;
			must_adopt();
			node->loop = loop;
		} else {
			restart();
		}
		drain();
		assert_null(spw_relay_find(node, "old"));
		assert_null(spw_relay_find(node, "old2"));
		assert_null(spw_relay_find(node, "brief"));
		assert_side(&live(7)->side[0], B, "203.0.113.200");
		assert_int_equal(live(8)->byte_cost_ticks, 4096000);
		assert_null(live(9));
		assert_null(live(11));
		assert_int_equal(spw_relay_find(node, "more")->limits.rate_kbit, 3000);
		assert_int_equal(node->relay_ids->used, 3);
		assert_int_equal(node->relay_slots->used, 3);
	}
	free(before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_relays, close_relays)
	const struct CMUnitTest tests[] = {
		TEST(the_first_source_is_pinned),
		TEST(sources_that_no_endpoint_can_be),
		TEST(time_runs_out),
		TEST(the_timer_pins),
		TEST(a_restart_keeps_them),
		TEST(the_last_transaction_is_completed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
