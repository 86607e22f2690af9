/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_foreign.c - foreign SAs and their reserve: no sequence number is ever given out twice,
 * whoever dies when, and no file is trusted that may be old.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/daemon/sa/reserve.h"
#include "tests/unit/sa/world.h"

#define BLOCK (1ull << 24)
#define BLOCK_ESN (1ull << 32)
#define RX_BLOCK 1024u
#define SPI_IN 0x00001405u /* slot 5 */
#define SPI_OUT 0xc1a20001u
#define KEY_REST "112233445566778899aabbccddeeff01020304\n"
#define KEY_IN "00" KEY_REST
#define KEY_OUT "ff" KEY_REST

static struct event_base *loop;
static struct world world;
static struct spw_tunnel_obj *tunnel;

static int prepare(struct spw_tunnel_obj *object, bool first_use, bool esn, const char *key_in,
		   const char *key_out, uint32_t spi_in, struct spw_error *error)
{
	struct spw_tunnel_spec spec = {
		.name = object->name,
		.keying = SPW_KEYING_FOREIGN,
		.in = {.spi = spi_in, .key_file = world_file(&world, "in.key", key_in)},
		.out = {.spi = SPI_OUT, .key_file = world_file(&world, "out.key", key_out)},
		.esn = esn,
		.first_use = first_use,
	};

	*error = (struct spw_error){0};
	return spw_sas_prepare(&world.node, object, &spec, (struct spw_place){0}, error);
}

static void add(bool first_use, bool esn)
{
	struct spw_error error;

	tunnel = world_tunnel(&world, 1, "swan", 47699);
	if (prepare(tunnel, first_use, esn, KEY_IN, KEY_OUT, SPI_IN, &error) < 0)
		fail_msg("%s", error.text);
	if (tunnel->slot == 0)
		world_publish(&world, tunnel);
	spw_sas_start(&world.node, tunnel);
}

static int open_world(void **state)
{
	(void)state;
	loop = event_base_new();
	world_open(&world, loop, "a", 2);
	world_control_start(&world);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&world);
	event_base_free(loop);
	return 0;
}

static bool up(void *arg)
{
	(void)arg;
	return world_state_is(&world, tunnel, "up") && tunnel->tx_sa[0] != 0 &&
	       world.node.maps.spis[5].spi == SPI_IN;
}

static const struct spw_msg_sa_add *last_add(uint32_t direction)
{
	for (uint32_t i = world.fake->adds_cnt; i-- > 0;)
		if (world.fake->adds[i].direction == direction)
			return &world.fake->adds[i];
	fail_msg("no SA was made");
	return NULL;
}

static struct spw_reserve on_disk(void)
{
	struct spw_reserve reserve = {0};
	char why[512];
	uint8_t key[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
			   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

	spw_key_fingerprint(key, sizeof(key), reserve.print_in);
	key[0] = 0xff;
	spw_key_fingerprint(key, sizeof(key), reserve.print_out);
	if (spw_reserve_load(world.node.state_dir, "swan", &reserve, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	return reserve;
}

static void start_dataplane(uint64_t tx_next, uint64_t rx_top)
{
	world.fake->query[SPW_SA_OUT] = tx_next;
	world.fake->query[SPW_SA_IN] = rx_top;
	world_dataplane_start(&world);
	if (!world_until(loop, up, NULL, 2000))
		fail_msg("it does not come up");
}

static void expect_sas(uint64_t tx_from, uint64_t tx_limit, uint64_t rx_from, uint64_t rx_limit)
{
	const struct spw_msg_sa_add *in = last_add(SPW_SA_IN), *out = last_add(SPW_SA_OUT);

	assert_int_equal(out->sequence, tx_from);
	assert_int_equal(out->limit, tx_limit);
	assert_int_equal(in->sequence, rx_from);
	assert_int_equal(in->limit, rx_limit);
	assert_int_equal(on_disk().tx_limit, tx_limit);
	assert_int_equal(on_disk().rx_limit, rx_limit);
}

/* ---- start -------------------------------------------------------------------------------- */

static void test_needs_first_use(void **state)
{
	struct spw_error error = {0};

	(void)state;
	add(false, false);
	world_dataplane_start(&world);
	world_run(loop, 500);
	assert_true(world_state_is(&world, tunnel, "there is no "));
	assert_int_equal(world.fake->adds_cnt, 0);
	assert_int_equal(spw_sas_first_use(&world.node, tunnel, &error), 0);
	assert_true(world_until(loop, up, NULL, 1000));
	expect_sas(1, 1 + BLOCK, 1, 1 + RX_BLOCK);
	assert_int_equal(spw_sas_first_use(&world.node, tunnel, &error), -EALREADY);
	assert_non_null(strstr(error.text, "already"));
}

static void test_fields(void **state)
{
	static const uint8_t key[4] = {0xff, 0x11, 0x22, 0x33}, salt[4] = {1, 2, 3, 4};
	const struct spw_msg_sa_add *out, *in;
	uint64_t mask;

	(void)state;
	add(true, false);
	start_dataplane(1, 0);
	out = last_add(SPW_SA_OUT);
	in = last_add(SPW_SA_IN);
	assert_int_equal(out->spi, SPI_OUT);
	assert_int_equal(in->spi, SPI_IN);
	assert_int_equal(in->slot, 5);
	assert_int_equal(out->worker | in->worker | out->flags | in->flags, 0);
	assert_int_equal(out->key_bytes, 16);
	assert_memory_equal(out->key, key, 4);
	assert_memory_equal(out->salt, salt, 4);
	assert_int_equal(tunnel->tx_sa[1], 0); /* one owner */
	/* The mask is the key's, the same after each restart. */
	mask = out->iv_mask;
	assert_int_not_equal(mask, 0);
	world_dataplane_kill(&world);
	start_dataplane(0, 0);
	assert_int_equal(last_add(SPW_SA_OUT)->iv_mask, mask);
}

static void test_crashes_never_repeat(void **state)
{
	uint64_t tx = 1, rx = 1;

	(void)state;
	add(true, false);
	for (int i = 0; i < 4; i++) {
		start_dataplane(tx, rx - 1);
		expect_sas(tx, tx + BLOCK, rx, rx + RX_BLOCK);
		world_dataplane_kill(&world);
		world_run(loop, 50);
		assert_int_equal(world.node.maps.spis[5].spi, 0);
		tx += BLOCK, rx += RX_BLOCK;
	}
}

static void test_esn_block(void **state)
{
	(void)state;
	add(true, true);
	start_dataplane(1, 0);
	expect_sas(1, 1 + BLOCK_ESN, 1, 1 + RX_BLOCK);
	assert_int_equal(last_add(SPW_SA_OUT)->flags, SPW_SA_F_ESN);
}

static bool finals_are_in(void *arg)
{
	(void)arg;
	return on_disk().tx_limit == 500 && on_disk().rx_limit == 78;
}

static void test_clean_stop_is_exact(void **state)
{
	(void)state;
	add(true, false);
	start_dataplane(500, 77);
	world_dataplane_stop(&world);
	assert_true(world_until(loop, finals_are_in, NULL, 1000));
	start_dataplane(500, 77);
	expect_sas(500, 500 + BLOCK, 78, 78 + RX_BLOCK);
}

/* A dataplane that says that it sent less than it said before is not believed. */
static void test_final_never_goes_back(void **state)
{
	(void)state;
	add(true, false);
	start_dataplane(5000, 700);
	world_run(loop, 600); /* polled */
	world.fake->query[SPW_SA_OUT] = 10;
	world.fake->query[SPW_SA_IN] = 10;
	world_dataplane_stop(&world);
	world_run(loop, 200);
	assert_int_equal(on_disk().tx_limit, 1 + BLOCK);
	assert_true(on_disk().rx_limit > 700);
}

/* ---- renewal ------------------------------------------------------------------------------ */

static bool limits_sent(void *arg)
{
	const uint64_t *limits = arg;

	return world.fake->limit[SPW_SA_OUT][last_add(SPW_SA_OUT)->slot] == limits[0] &&
	       world.fake->limit[SPW_SA_IN][5] == limits[1];
}

static void test_renewal(void **state)
{
	uint64_t limits[2] = {1 + BLOCK, 1 + RX_BLOCK};

	(void)state;
	add(true, false);
	start_dataplane(1, 0);
	/* Not half used: nothing is written. */
	world.fake->query[SPW_SA_OUT] = BLOCK / 2 - 10;
	world.fake->query[SPW_SA_IN] = RX_BLOCK / 2 - 10;
	world_run(loop, 700);
	assert_int_equal(world.fake->limits_cnt, 0);
	expect_sas(1, 1 + BLOCK, 1, 1 + RX_BLOCK);
	/* More than half. */
	world.fake->query[SPW_SA_OUT] = limits[0] = BLOCK / 2 + 10;
	limits[0] += BLOCK;
	assert_true(world_until(loop, limits_sent, limits, 1000));
	assert_int_equal(on_disk().tx_limit, limits[0]);
	world.fake->query[SPW_SA_IN] = RX_BLOCK / 2 + 10;
	limits[1] = RX_BLOCK / 2 + 11 + RX_BLOCK;
	assert_true(world_until(loop, limits_sent, limits, 1000));
	assert_int_equal(on_disk().rx_limit, limits[1]);
	/* A peer that is far ahead is followed, and only a little further. */
	world.fake->query[SPW_SA_IN] = 1000000;
	world_run(loop, 700);
	assert_true(on_disk().rx_limit > 1000000 + RX_BLOCK);
	assert_int_equal(world.fake->limit[SPW_SA_IN][5], on_disk().rx_limit);
}

/* After a restart of the dataplane a peer that went on is followed at once, with a small block. */
static void test_peer_far_ahead(void **state)
{
	uint64_t limits[2] = {1 + BLOCK, 5000001 + RX_BLOCK};

	(void)state;
	add(true, false);
	start_dataplane(1, 5000000);
	assert_true(world_until(loop, limits_sent, limits, 1000));
	assert_int_equal(on_disk().rx_limit, limits[1]);
}

static void test_control_restart(void **state)
{
	uint64_t limits[2];
	uint32_t adds;

	(void)state;
	add(true, false);
	start_dataplane(1, 0);
	adds = world.fake->adds_cnt;
	world_control_stop(&world);
	world_tunnel_free(&world, tunnel);
	assert_int_equal(world.node.maps.spis[5].spi, SPI_IN);
	world.fake->query[SPW_SA_OUT] = BLOCK - 5;
	world_control_start(&world);
	add(false, false);
	assert_true(world_state_is(&world, tunnel, "up"));
	limits[0] = BLOCK - 5 + BLOCK;
	limits[1] = 1 + RX_BLOCK;
	assert_true(world_until(loop, limits_sent, limits, 2000));
	/* The SAs stood all the time. */
	assert_int_equal(world.fake->adds_cnt, adds);
	assert_int_equal(world.fake->dels_cnt, 0);
	assert_int_equal(world.node.maps.spis[5].spi, SPI_IN);
}

static void test_numbers_end(void **state)
{
	(void)state;
	add(true, false);
	start_dataplane(1, 0);
	world.fake->query[SPW_SA_OUT] = 1ull << 32;
	/* Beyond what it was allowed: not believed. */
	world_run(loop, 600);
	assert_int_equal(on_disk().tx_limit, 1 + BLOCK);
	for (uint64_t next = BLOCK; next <= 3 * BLOCK; next += BLOCK) {
		uint64_t limits[2] = {next + BLOCK, 1 + RX_BLOCK};
		world.fake->query[SPW_SA_OUT] = next;
		assert_true(world_until(loop, limits_sent, limits, 1000));
	}
	world_dataplane_kill(&world);
	world_run(loop, 50);
	struct spw_reserve reserve = on_disk();
	reserve.tx_limit = (1ull << 32) - 100;
	assert_int_equal(spw_reserve_store(world.node.state_dir, "swan", &reserve), 0);
	start_dataplane((1ull << 32) - 100, 0);
	assert_int_equal(last_add(SPW_SA_OUT)->limit, 1ull << 32);
	world_dataplane_kill(&world);
	world_run(loop, 50);
	world_dataplane_start(&world);
	world_run(loop, 500);
	assert_true(world_state_is(&world, tunnel, "its sequence numbers are used up"));
	assert_int_equal(tunnel->tx_sa[0], 0);
}

/* A refused start costs no block of numbers, however often it is tried. */
static void test_refused_start(void **state)
{
	(void)state;
	add(true, false);
	world.fake->refuse_adds = -ENOMEM;
	world_dataplane_start(&world);
	world_run(loop, 1500);
	assert_true(world_state_is(&world, tunnel, "the dataplane or the tables"));
	assert_int_equal(on_disk().tx_limit, 1 + BLOCK);
	world.fake->refuse_adds = 0;
	assert_true(world_until(loop, up, NULL, 1000));
	expect_sas(1, 1 + BLOCK, 1, 1 + RX_BLOCK);
}

/* ---- refusals ----------------------------------------------------------------------------- */

static void test_restored_file(void **state)
{
	char command[256];

	(void)state;
	add(true, false);
	start_dataplane(1, 0);
	snprintf(command, sizeof(command), "cp %s/swan.reserve %s/backup", world.dir, world.dir);
	assert_int_equal(system(command), 0);
	world_dataplane_kill(&world);
	world_run(loop, 50);
	start_dataplane(1 + BLOCK, 0);
	world_dataplane_kill(&world);
	snprintf(command, sizeof(command), "mv %s/backup %s/swan.reserve", world.dir, world.dir);
	assert_int_equal(system(command), 0);
	world_run(loop, 50);
	uint32_t adds = world.fake->adds_cnt;
	world_dataplane_start(&world);
	world_run(loop, 500);
	assert_false(up(NULL));
	assert_int_equal(world.fake->adds_cnt, adds);
	struct spw_error error = {0};
	assert_int_equal(spw_sas_first_use(&world.node, tunnel, &error), -EALREADY);
	assert_non_null(strstr(error.text, "is a copy or was restored"));
}

static void test_refused_specs(void **state)
{
	struct spw_tunnel_obj *object = world_tunnel(&world, 2, "t2", 47699);
	struct spw_error error;
	uint32_t used = world.node.spi_slots->used;

	(void)state;
	assert_int_equal(prepare(object, true, false, KEY_IN, KEY_IN, SPI_IN, &error), -EEXIST);
	assert_non_null(strstr(error.text, "both directions have the same key"));
	assert_int_equal(prepare(object, true, false, KEY_IN, KEY_OUT, 0x3ff, &error), -ERANGE);
	assert_int_equal(prepare(object, true, false, KEY_IN, KEY_OUT, WORLD_SAS_MAX << 10, &error),
			 -ERANGE);
	assert_non_null(strstr(error.text, "0x00000400 to 0x0003ffff"));
	assert_int_equal(prepare(object, true, false, "0011\n", KEY_OUT, SPI_IN, &error), -EINVAL);
	assert_null(object->sas);
	/* Nothing stayed: no slot, no reserve file. */
	assert_int_equal(world.node.spi_slots->used, used);
	assert_int_equal(world.node.out_slots->used, 0);
	char path[128];
	snprintf(path, sizeof(path), "%s/t2.reserve", world.dir);
	assert_int_not_equal(access(path, F_OK), 0);
	/* A slot that is taken. */
	add(true, false);
	assert_int_equal(prepare(object, true, false, "aa" KEY_REST, KEY_OUT, SPI_IN + 1, &error),
			 -EEXIST);
}

static bool slots_free(void *arg)
{
	(void)arg;
	return world.node.spi_slots->used == 0 && world.node.out_slots->used == 0;
}

static void test_stop(void **state)
{
	(void)state;
	add(true, false);
	start_dataplane(1, 0);
	world.node.maps.tunnel_roots[1].slot = 0;
	spw_sas_stop(&world.node, tunnel);
	world_tunnel_free(&world, tunnel);
	assert_int_equal(world.node.maps.spis[5].spi, 0);
	assert_true(world_until(loop, slots_free, NULL, 1000));
	assert_int_equal(world.fake->dels_cnt, 2);
	/* Added again, it goes on behind its reserve. */
	world.node.maps.tunnels[1] = (struct spw_tunnel){0};
	add(true, false);
	assert_true(world_until(loop, up, NULL, 1000));
	expect_sas(1 + BLOCK, 1 + 2 * BLOCK, 1 + RX_BLOCK, 1 + 2 * RX_BLOCK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		TEST(test_needs_first_use),
		TEST(test_fields),
		TEST(test_crashes_never_repeat),
		TEST(test_esn_block),
		TEST(test_clean_stop_is_exact),
		TEST(test_final_never_goes_back),
		TEST(test_renewal),
		TEST(test_peer_far_ahead),
		TEST(test_control_restart),
		TEST(test_numbers_end),
		TEST(test_refused_start),
		TEST(test_restored_file),
		TEST(test_refused_specs),
		TEST(test_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
