/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_peers.c - tunnels with sessions as a whole: two nodes on loopback, each with its tables and
 * a dataplane's double, shake hands for real. What the doubles' packets would bring about, the test
 * tells the other side: a dummy that is sent arrives as the first authentic packet of its SA.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/noise/noise.h"
#include "tests/unit/sa/world.h"

#define KEY_A "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\n"
#define KEY_B "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n" /* in base64 */
#define PSK_1 "301112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\n"
#define PSK_2 "401112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\n"

static const uint8_t private_a[32] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
				      0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
				      0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
				      0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f};
static const uint8_t private_b[32] = {0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
				      0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
				      0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37,
				      0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f};

static struct event_base *loop;
static struct world a, b;
static struct spw_tunnel_obj *tunnel_a, *tunnel_b;
static uint32_t carried[2]; /* dummies of each side that have arrived */

static struct spw_tunnel_obj *add_peer(struct world *world, uint32_t id, uint16_t remote_port,
				       const uint8_t other_private[32], const char *psk,
				       uint8_t key_bytes)
{
	struct spw_tunnel_obj *tunnel = world_tunnel(world, id, "t1", remote_port);
	struct spw_tunnel_spec spec = {
		.name = "t1",
		.keying = SPW_KEYING_SESSION,
		.key_bits = key_bytes,
		.psk_file =
			psk ? world_file(world, psk[0] == PSK_1[0] ? "psk1" : "psk2", psk) : NULL};
	struct spw_error error = {0};

	if (remote_port == 0)
		tunnel->remote = (struct spw_endpoint){0};
	assert_int_equal(spw_noise_public(other_private, spec.peer_key), 0);
	if (spw_sas_prepare(&world->node, tunnel, &spec, (struct spw_place){0}, &error) < 0)
		fail_msg("%s", error.text);
	if (tunnel->slot == 0)
		world_publish(world, tunnel);
	spw_sas_start(&world->node, tunnel);
	return tunnel;
}

static void start_control(struct world *world, const char *key)
{
	snprintf(world->node.key_file, sizeof(world->node.key_file), "%s",
		 world_file(world, "key", key));
	world_control_start(world);
}

static int open_pair(void **state)
{
	(void)state;
	loop = event_base_new();
	memset(carried, 0, sizeof(carried));
	world_open(&a, loop, "a", 2);
	world_open(&b, loop, "b", 3);
	start_control(&a, KEY_A);
	start_control(&b, KEY_B);
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

/* The dummies that one side has sent since reach the other, which finds a new sender's address. */
static void carry(struct world *from, struct world *to, uint32_t to_tunnel, uint32_t *carried_cnt)
{
	for (; *carried_cnt < __atomic_load_n(&from->fake->dummies_cnt, __ATOMIC_ACQUIRE);
	     ++*carried_cnt) {
		const struct spw_msg_sa_add *out =
			world_made(from, SPW_SA_OUT, from->fake->dummies[*carried_cnt].slot);
		struct spw_msg_heard heard = {.head.type = SPW_MSG_HEARD};
		struct spw_msg_roamed roamed = {.head.type = SPW_MSG_ROAMED,
						.tunnel = to_tunnel,
						.family = 4,
						.port = from->node.listen_port,
						.addr = {127, 0, 0, 1}};
		if (!out || !to->fake->taken[SPW_SA_IN][SPW_SPI_SLOT(out->spi)])
			continue;
		heard.spi = roamed.spi = out->spi;
		heard.slot = roamed.slot = SPW_SPI_SLOT(out->spi);
		world_dataplane_says(to, &heard, sizeof(heard));
		world_dataplane_says(to, &roamed, sizeof(roamed));
	}
}

static bool both_up(void *arg)
{
	(void)arg;
	carry(&a, &b, 2, &carried[0]);
	carry(&b, &a, 1, &carried[1]);
	return world_state_is(&a, tunnel_a, "up") && world_state_is(&b, tunnel_b, "up") &&
	       world_sends_to(&a, tunnel_a, &b, 2) && world_sends_to(&b, tunnel_b, &a, 1);
}

static void add_both(const char *psk_a, const char *psk_b)
{
	tunnel_a = add_peer(&a, 1, b.node.listen_port, private_b, psk_a, 16);
	tunnel_b = add_peer(&b, 2, a.node.listen_port, private_a, psk_b, 16);
	world_dataplane_start(&a);
	world_dataplane_start(&b);
}

static json_int_t failures(struct world *world, const struct spw_tunnel_obj *tunnel,
			   const char *cause)
{
	json_t *text = tunnel ? spw_sas_describe(&world->node, tunnel)
			      : spw_handshakes_describe(&world->node);
	json_int_t cnt =
		json_integer_value(json_object_get(json_object_get(text, "failures"), cause));

	json_decref(text);
	return cnt;
}

/* SAs that the tunnel is said to send with ("out") or to receive with ("in"). */
static size_t told_cnt(struct world *world, const struct spw_tunnel_obj *tunnel, const char *way)
{
	json_t *text = spw_sas_describe(&world->node, tunnel);
	size_t cnt = json_array_size(json_object_get(text, way));

	json_decref(text);
	return cnt;
}

static uint32_t sas_cnt(const struct world *world, uint32_t direction)
{
	uint32_t cnt = 0;

	for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++)
		cnt += world->fake->taken[direction][slot];
	return cnt;
}

/* ---- sessions ----------------------------------------------------------------------------- */

static void test_up(void **state)
{
	(void)state;
	add_both(PSK_1, PSK_1);
	assert_true(world_until(loop, both_up, NULL, 3000));
	world_check_keys(&a, &b);
	assert_int_equal(a.lives, 1);
	for (uint32_t i = 0; i < a.fake->adds_cnt; i++) {
		const struct spw_msg_sa_add *add = &a.fake->adds[i];
		bool in = add->direction == SPW_SA_IN;
		assert_int_equal(add->tunnel, 1);
		assert_int_equal(add->flags, SPW_SA_F_ESN | (in ? SPW_SA_F_SESSION : 0));
		assert_int_equal(add->key_bytes, 16);
		assert_int_equal(add->lifetime_ms, 180000);
		assert_true(add->limit == (in ? UINT64_MAX : UINT64_C(1) << 32));
		assert_true(add->worker < 2);
		assert_int_equal(add->window_packets, in ? 2048 : 0);
		assert_int_equal(add->sequence, in ? 0 : 1);
	}
}

static bool a_sends_anew(void *arg)
{
	uint32_t *before = arg;

	return both_up(NULL) && tunnel_a->tx_sa[0] != before[0] && tunnel_b->tx_sa[0] != before[1];
}

/* What was received with before is kept; each side changes to keys that the other has. */
static void test_rekey(void **state)
{
	struct spw_error error = {0};
	uint32_t before[2];

	(void)state;
	add_both(NULL, NULL);
	assert_true(world_until(loop, both_up, NULL, 3000));
	for (int i = 0; i < 3; i++) {
		before[0] = tunnel_a->tx_sa[0];
		before[1] = tunnel_b->tx_sa[0];
		world_run(loop, 5100); /* keys that are younger stay */
		assert_int_equal(spw_sas_rekey(&a.node, tunnel_a, &error), 0);
		assert_true(world_until(loop, a_sends_anew, before, 3000));
	}
	world_check_keys(&a, &b);
	/* Two sessions: one that sends, one that receives what is late. */
	assert_int_equal(sas_cnt(&a, SPW_SA_OUT), 2);
	assert_true(sas_cnt(&a, SPW_SA_IN) >= 4);
	assert_int_equal(told_cnt(&a, tunnel_a, "out"), 2);
	assert_int_equal(told_cnt(&a, tunnel_a, "in"), sas_cnt(&a, SPW_SA_IN));
}

/* A sends with the SPIs that B offered before it knew how many workers A has, and the reverse. */
static void test_children(void **state)
{
	struct spw_error error = {0};
	uint32_t before[2];

	(void)state;
	add_both(NULL, NULL);
	assert_true(world_until(loop, both_up, NULL, 3000));
	before[0] = tunnel_a->tx_sa[0];
	before[1] = tunnel_b->tx_sa[0];
	world_run(loop, 5100);
	assert_int_equal(spw_sas_rekey(&a.node, tunnel_a, &error), 0);
	assert_true(world_until(loop, a_sends_anew, before, 3000));
	/* Now every worker has an SA of its own. */
	assert_int_not_equal(tunnel_a->tx_sa[0], tunnel_a->tx_sa[1]);
	assert_int_not_equal(tunnel_b->tx_sa[0], tunnel_b->tx_sa[1]);
	assert_int_not_equal(tunnel_b->tx_sa[0], tunnel_b->tx_sa[2]);
	assert_int_not_equal(tunnel_b->tx_sa[1], tunnel_b->tx_sa[2]);
	for (uint32_t w = 0; w < 3; w++)
		assert_int_equal(world_made(&b, SPW_SA_OUT, tunnel_b->tx_sa[w])->worker, w);
}

static void test_peer_without_endpoint(void **state)
{
	(void)state;
	tunnel_b = add_peer(&b, 2, 0, private_a, NULL, 16);
	world_dataplane_start(&b);
	world_run(loop, 300);
	assert_true(world_state_is(&b, tunnel_b, "waiting for the peer"));
	tunnel_a = add_peer(&a, 1, b.node.listen_port, private_b, NULL, 16);
	world_dataplane_start(&a);
	assert_true(world_until(loop, both_up, NULL, 3000));
	assert_int_equal(tunnel_b->remote.family, 4);
	assert_int_equal(tunnel_b->remote.port, a.node.listen_port);
}

/* ---- what goes wrong ---------------------------------------------------------------------- */

static void test_wrong_psk(void **state)
{
	(void)state;
	add_both(PSK_1, PSK_2);
	for (int i = 0; i < 20; i++) {
		both_up(NULL);
		world_run(loop, 50);
	}
	assert_true(world_state_is(&a, tunnel_a, "shaking hands with the peer"));
	assert_true(failures(&a, tunnel_a, "not_authentic") > 0);
	/* The pre-shared key comes last: who answers an INIT makes SAs, but never sends with them.
	 */
	assert_int_equal(tunnel_a->tx_sa[0], 0);
	assert_int_equal(tunnel_b->tx_sa[0], 0);
}

static void test_unknown_peer(void **state)
{
	static const uint8_t private_c[32] = {0x77, [31] = 0x40};

	(void)state;
	tunnel_a = add_peer(&a, 1, b.node.listen_port, private_b, NULL, 16);
	tunnel_b = add_peer(&b, 2, a.node.listen_port, private_c, NULL, 16);
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	world_run(loop, 600);
	assert_true(failures(&b, NULL, "unknown_peer") > 0);
	/* B speaks to somebody whose key A does not have: it cannot even make a mac1. */
	assert_true(failures(&a, NULL, "mac1") > 0);
	assert_int_equal(sas_cnt(&b, SPW_SA_IN) + sas_cnt(&b, SPW_SA_OUT), 0);
}

static void test_other_cipher(void **state)
{
	(void)state;
	tunnel_a = add_peer(&a, 1, b.node.listen_port, private_b, NULL, 16);
	tunnel_b = add_peer(&b, 2, a.node.listen_port, private_a, NULL, 32);
	world_dataplane_start(&a);
	world_dataplane_start(&b);
	world_run(loop, 600);
	assert_true(failures(&b, tunnel_b, "cipher") > 0);
	assert_true(failures(&a, tunnel_a, "cipher") > 0);
	assert_int_equal(sas_cnt(&b, SPW_SA_IN), 0);
}

static void test_own_key(void **state)
{
	struct spw_tunnel_obj *tunnel = world_tunnel(&a, 1, "t1", 4500);
	struct spw_tunnel_spec spec = {.name = "t1", .keying = SPW_KEYING_SESSION, .key_bits = 16};
	struct spw_error error = {0};

	(void)state;
	assert_int_equal(spw_noise_public(private_a, spec.peer_key), 0);
	assert_int_equal(spw_sas_prepare(&a.node, tunnel, &spec, (struct spw_place){0}, &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "own public key"));
	world_tunnel_free(&a, tunnel);
}

/* ---- restarts ----------------------------------------------------------------------------- */

static void test_dataplane_restart(void **state)
{
	(void)state;
	add_both(NULL, NULL);
	assert_true(world_until(loop, both_up, NULL, 3000));
	for (int i = 0; i < 3; i++) {
		world_dataplane_kill(i % 2 ? &a : &b);
		world_run(loop, 200);
		carried[i % 2 ? 0 : 1] = 0; /* its double counts from zero again */
		world_dataplane_start(i % 2 ? &a : &b);
		assert_true(world_until(loop, both_up, NULL, 3000));
	}
	world_check_keys(&a, &b);
}

static void test_control_restart(void **state)
{
	uint32_t old[2], slots[WORLD_SAS_MAX] = {0};

	(void)state;
	add_both(NULL, NULL);
	assert_true(world_until(loop, both_up, NULL, 3000));
	old[0] = tunnel_a->tx_sa[0];
	old[1] = tunnel_b->tx_sa[0];
	for (uint32_t slot = 1; slot < WORLD_SAS_MAX; slot++)
		slots[slot] = a.node.maps.spis[slot].spi;
	world_control_stop(&a);
	world_tunnel_free(&a, tunnel_a);
	world_run(loop, 200);
	start_control(&a, KEY_A);
	tunnel_a = add_peer(&a, 1, b.node.listen_port, private_b, NULL, 16);
	assert_int_equal(tunnel_a->tx_sa[0], old[0]);
	assert_true(world_until(loop, a_sends_anew, old, 3000));
	/* What it received with before stands two seconds longer, and goes then. */
	for (uint32_t slot = 1; slot < WORLD_SAS_MAX; slot++)
		if (slots[slot])
			assert_int_equal(a.node.maps.spis[slot].spi, slots[slot]);
	for (int i = 0; i < 70; i++) {
		both_up(NULL);
		world_run(loop, 50);
	}
	for (uint32_t slot = 1; slot < WORLD_SAS_MAX; slot++)
		if (slots[slot])
			assert_int_not_equal(a.node.maps.spis[slot].spi, slots[slot]);
	world_check_keys(&a, &b);
}

static bool empty(void *arg)
{
	(void)arg;
	return sas_cnt(&a, SPW_SA_IN) + sas_cnt(&a, SPW_SA_OUT) == 0 &&
	       a.node.spi_slots->used == 0 && a.node.out_slots->used == 0;
}

static void test_delete(void **state)
{
	(void)state;
	add_both(NULL, NULL);
	assert_true(world_until(loop, both_up, NULL, 3000));
	a.node.maps.tunnel_roots[1].slot = 0;
	tunnel_a->dying = true;
	spw_sas_stop(&a.node, tunnel_a);
	assert_int_equal(a.lives, 0);
	assert_true(world_until(loop, empty, NULL, 1000));
	world_tunnel_free(&a, tunnel_a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
	const struct CMUnitTest tests[] = {
		TEST(test_up),
		TEST(test_rekey),
		TEST(test_children),
		TEST(test_peer_without_endpoint),
		TEST(test_wrong_psk),
		TEST(test_unknown_peer),
		TEST(test_other_cipher),
		TEST(test_own_key),
		TEST(test_dataplane_restart),
		TEST(test_control_restart),
		TEST(test_delete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
