/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sas.c - the SA manager as a whole: two nodes on loopback, each with its tables and a
 * dataplane's double, agree on static SAs and live through restarts of everything.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/sa/world.h"

#define SECRET_1 "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\n"
#define SECRET_2 "201112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\n"

static struct event_base *loop;
static struct world a, b;
static struct spw_tunnel_obj *tunnel_a, *tunnel_b;

static struct spw_tunnel_obj *add_static(struct world *world, uint32_t id, uint16_t remote_port,
					 const char *secret)
{
	struct spw_tunnel_obj *tunnel = world_tunnel(world, id, "t1", remote_port);
	struct spw_tunnel_spec spec = {.name = "t1",
				       .keying = SPW_KEYING_STATIC,
				       .key_bits = 16,
				       .secret_file = world_file(world, "secret", secret)};
	struct spw_error error = {0};

	if (spw_sas_prepare(&world->node, tunnel, &spec, (struct spw_place){0}, &error) < 0)
		fail_msg("%s", error.text);
	if (tunnel->slot == 0)
		world_publish(world, tunnel);
	spw_sas_start(&world->node, tunnel);
	return tunnel;
}

static int open_pair(void **state)
{
	(void)state;
	loop = event_base_new();
	world_open(&a, loop, "a", 2);
	world_open(&b, loop, "b", 3);
	world_control_start(&a);
	world_control_start(&b);
	tunnel_a = add_static(&a, 1, b.node.listen_port, SECRET_1);
	tunnel_b = add_static(&b, 2, a.node.listen_port, SECRET_1);
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	world_close(&a);
	world_close(&b);
	event_base_free(loop);
	return 0;
}

static bool both_up(void *arg)
{
	(void)arg;
	return world_state_is(&a, tunnel_a, "up") && world_state_is(&b, tunnel_b, "up") &&
	       world_sends_to(&a, tunnel_a, &b, 2) && world_sends_to(&b, tunnel_b, &a, 1);
}

static bool tables_are(uint32_t a_in, uint32_t a_out, uint32_t b_in, uint32_t b_out)
{
	uint32_t cnt[4] = {0};

	for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++) {
		cnt[0] += a.fake->taken[SPW_SA_IN][slot];
		cnt[1] += a.fake->taken[SPW_SA_OUT][slot];
		cnt[2] += b.fake->taken[SPW_SA_IN][slot];
		cnt[3] += b.fake->taken[SPW_SA_OUT][slot];
	}
	return cnt[0] == a_in && cnt[1] == a_out && cnt[2] == b_in && cnt[3] == b_out &&
	       a.node.spi_slots->used == a_in && a.node.out_slots->used == a_out &&
	       b.node.spi_slots->used == b_in && b.node.out_slots->used == b_out;
}

/* One agreement's SAs and nothing besides. */
static bool clean(void *arg)
{
	(void)arg;
	return tables_are(3, 2, 2, 3);
}

static bool empty(void *arg)
{
	(void)arg;
	return tables_are(0, 0, 0, 0);
}

/* ---- static ------------------------------------------------------------------------------- */

static void test_up(void **state)
{
	const struct spw_msg_sa_add *add;

	(void)state;
	assert_true(world_state_is(&a, tunnel_a, "waiting for the dataplane"));
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 1000));
	assert_true(world_until(loop, clean, NULL, 100));
	world_check_keys(&a, &b);
	for (uint32_t i = 0; i < a.fake->adds_cnt; i++) {
		add = &a.fake->adds[i];
		assert_int_equal(add->tunnel, 1);
		assert_int_equal(add->flags, SPW_SA_F_ESN);
		assert_int_equal(add->key_bytes, 16);
		assert_int_equal(add->limit, UINT64_MAX);
		assert_true(add->worker < 2);
		assert_int_equal(add->window_packets, add->direction == SPW_SA_IN ? 2048 : 0);
		assert_int_equal(add->sequence, add->direction == SPW_SA_IN ? 0 : 1);
		if (add->direction == SPW_SA_IN)
			assert_int_equal(SPW_SPI_SLOT(add->spi), add->slot);
	}
	assert_int_not_equal(tunnel_a->local_epoch, 0);
	assert_int_equal(tunnel_a->local_epoch, tunnel_b->peer_epoch);
	assert_int_equal(tunnel_b->local_epoch, tunnel_a->peer_epoch);
}

static bool b_withdrawn(void *arg)
{
	(void)arg;
	for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++)
		if (b.node.maps.spis[slot].spi)
			return false;
	return tunnel_b->tx_sa[0] == 0 && b.node.maps.tunnels[2].tx_sa[0] == 0;
}

static void test_dataplane_restart(void **state)
{
	uint64_t epoch;

	(void)state;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 1000));
	for (int i = 0; i < 3; i++) {
		epoch = tunnel_b->local_epoch;
		world_dataplane_kill(&b);
		assert_true(world_until(loop, b_withdrawn, NULL, 500));
		assert_true(world_state_is(&b, tunnel_b, "waiting for the dataplane"));
		world_dataplane_start(&b);
		assert_true(world_until(loop, both_up, NULL, 1000));
		assert_int_equal(tunnel_b->local_epoch, epoch + 1);
		assert_int_equal(tunnel_a->peer_epoch, epoch + 1);
		world_check_keys(&a, &b);
	}
	assert_true(world_until(loop, clean, NULL, 4000));
}

static void test_control_restart(void **state)
{
	uint32_t spis[WORLD_SAS_MAX], epoch_same = 0, adds;
	uint64_t epoch;

	(void)state;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 1000));
	assert_true(world_until(loop, clean, NULL, 4000));
	epoch = tunnel_a->local_epoch;
	adds = a.fake->adds_cnt;
	for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++)
		spis[slot] = a.node.maps.spis[slot].spi;
	world_control_stop(&a);
	world_tunnel_free(&a, tunnel_a);
	/* Without control nothing moves. */
	world_run(loop, 300);
	for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++)
		assert_int_equal(a.node.maps.spis[slot].spi, spis[slot]);

	world_control_start(&a);
	tunnel_a = add_static(&a, 1, b.node.listen_port, SECRET_1);
	assert_int_equal(tunnel_a->local_epoch, epoch);
	/* New SAs are agreed on; the old ones stand meanwhile, and 2 s longer. */
	for (int i = 0; i < 100; i++) {
		world_run(loop, 10);
		for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++)
			if (spis[slot])
				assert_int_equal(a.node.maps.spis[slot].spi, spis[slot]);
		assert_int_not_equal(a.node.maps.tunnels[1].tx_sa[0], 0);
		epoch_same += tunnel_a->local_epoch == epoch;
	}
	assert_int_equal(epoch_same, 100);
	assert_true(a.fake->adds_cnt > adds);
	assert_true(world_until(loop, both_up, NULL, 1000));
	assert_true(world_until(loop, clean, NULL, 5000));
	world_check_keys(&a, &b);
	assert_int_equal(a.fake->connections, 2);
}

/* Control is started anew, and finds that its dataplane has died meanwhile. */
static void test_both_restart(void **state)
{
	uint64_t epoch;

	(void)state;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 1000));
	epoch = tunnel_a->local_epoch;
	world_control_stop(&a);
	world_tunnel_free(&a, tunnel_a);
	world_dataplane_kill(&a);
	world_control_start(&a);
	tunnel_a = add_static(&a, 1, b.node.listen_port, SECRET_1);
	world_dataplane_start(&a);
	assert_true(world_until(loop, both_up, NULL, 1500));
	assert_int_equal(tunnel_a->local_epoch, epoch + 1);
	assert_true(world_until(loop, clean, NULL, 5000));
	world_check_keys(&a, &b);
}

static void test_stop(void **state)
{
	(void)state;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 1000));
	/* In the midst of an agreement, too. */
	world_dataplane_kill(&b);
	world_dataplane_start(&b);
	world_run(loop, 30);
	a.node.maps.tunnel_roots[1].slot = 0;
	spw_sas_stop(&a.node, tunnel_a);
	assert_null(tunnel_a->sas);
	world_tunnel_free(&a, tunnel_a);
	b.node.maps.tunnel_roots[2].slot = 0;
	spw_sas_stop(&b.node, tunnel_b);
	world_tunnel_free(&b, tunnel_b);
	assert_true(world_until(loop, empty, NULL, 1000));
}

static void test_refused_sas(void **state)
{
	(void)state;
	a.fake->refuse_adds = -ENOMEM;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	world_run(loop, 700);
	assert_false(both_up(NULL));
	assert_int_equal(tunnel_a->tx_sa[0], 0);
	a.fake->refuse_adds = 0;
	assert_true(world_until(loop, both_up, NULL, 6000));
	world_check_keys(&a, &b);
	assert_true(world_until(loop, clean, NULL, 5000));
}

/* An SA that an earlier control asked for and nobody knows of. */
static void test_leftover_sas(void **state)
{
	(void)state;
	world_dataplane_start(&a);
	for (uint32_t slot = 1; slot < 4; slot++)
		a.fake->taken[SPW_SA_IN][slot] = a.fake->taken[SPW_SA_OUT][slot] = 1;
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 4000));
	world_check_keys(&a, &b);
}

static void test_full_tables(void **state)
{
	(void)state;
	a.publish_error = -ENOSPC;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	world_run(loop, 700);
	assert_int_equal(tunnel_a->tx_sa[0], 0);
	a.publish_error = 0;
	assert_true(world_until(loop, both_up, NULL, 6000));
	/* The record cannot be changed when the dataplane goes: its slots stay taken until it can.
	 */
	a.publish_error = -ENOSPC;
	world_dataplane_kill(&a);
	world_run(loop, 300);
	assert_int_not_equal(a.node.maps.tunnels[1].tx_sa[0], 0);
	assert_true(spw_slots_taken(a.node.out_slots, a.node.maps.tunnels[1].tx_sa[0]));
	a.publish_error = 0;
	world_run(loop, 200);
	assert_int_equal(a.node.maps.tunnels[1].tx_sa[0], 0);
	world_dataplane_start(&a);
	assert_true(world_until(loop, both_up, NULL, 3000));
	world_check_keys(&a, &b);
}

/* What is said of SAs that belong to no session changes nothing. */
static void test_reports(void **state)
{
	struct spw_msg_heard heard = {.head.type = SPW_MSG_HEARD, .slot = 5, .spi = 5 << 10};
	struct spw_msg_roamed roamed = {.head.type = SPW_MSG_ROAMED,
					.slot = 5,
					.spi = 5 << 10,
					.tunnel = 1,
					.family = 4,
					.port = 9,
					.addr = {127, 0, 0, 9}};

	(void)state;
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	assert_true(world_until(loop, both_up, NULL, 4000));
	world_dataplane_says(&a, &heard, sizeof(heard));
	world_dataplane_says(&a, &roamed, sizeof(roamed));
	world_run(loop, 200);
	assert_int_equal(a.fake->said_cnt, 2);
	assert_int_equal(a.fake->connections, 1);
	assert_true(both_up(NULL));
}

static void test_same_secret_twice(void **state)
{
	struct spw_tunnel_obj *other = world_tunnel(&a, 3, "t3", b.node.listen_port);
	struct spw_tunnel_spec spec = {.name = "t3",
				       .keying = SPW_KEYING_STATIC,
				       .key_bits = 32,
				       .secret_file = world_file(&a, "again", SECRET_1)};
	struct spw_error error = {0};

	(void)state;
	assert_int_equal(spw_sas_prepare(&a.node, other, &spec, (struct spw_place){4, 2}, &error),
			 -EEXIST);
	assert_non_null(strstr(error.text, "same key as tunnel \"t1\""));
	assert_int_equal(error.place.line, 4);
	assert_null(other->sas);
	spec.secret_file = world_file(&a, "again", SECRET_2);
	error = (struct spw_error){0};
	assert_int_equal(spw_sas_prepare(&a.node, other, &spec, (struct spw_place){0}, &error), 0);
	spw_sas_abort(&a.node, other);
	assert_null(other->sas);
	assert_int_equal(a.node.spi_slots->used, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
	const struct CMUnitTest tests[] = {
		TEST(test_up),
		TEST(test_dataplane_restart),
		TEST(test_control_restart),
		TEST(test_both_restart),
		TEST(test_stop),
		TEST(test_refused_sas),
		TEST(test_leftover_sas),
		TEST(test_full_tables),
		TEST(test_reports),
		TEST(test_same_secret_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
