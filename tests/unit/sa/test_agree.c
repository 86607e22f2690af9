/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_agree.c - two ends agree on SAs (agree_sim.h), in good weather and in bad, while either end
 * restarts: in the end both are up with the same keys, and no key was ever used twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/sa/agree_sim.h"

static void test_comes_up_at_once(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++) {
		struct sim *sim = sim_new(seed);
		sim_start(&sim->sides[seed & 1]);
		sim_run(sim, sim_draw(sim) % 300);
		sim_start(&sim->sides[!(seed & 1)]);
		sim_run(sim, 200);
		sim_check_up(sim);
		/* One agreement, not several. */
		assert_int_equal(sim->sides[0].made_out_cnt, 1);
		assert_int_equal(sim->sides[1].made_out_cnt, 1);
		free(sim);
	}
}

static void test_restarts_heal_at_once(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++) {
		struct sim *sim = sim_new(seed);
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		sim_run(sim, 500 + sim_draw(sim) % 30000);
		sim_check_up(sim);
		for (int i = 0; i < 4; i++) {
			struct side *side = &sim->sides[sim_draw(sim) & 1];
			if (sim_draw(sim) & 1)
				sim_restart_dataplane(side);
			else
				sim_restart_control(side);
			sim_run(sim, 500);
			sim_check_up(sim);
			sim_run(sim, sim_draw(sim) % 5000);
		}
		free(sim);
	}
}

/* A storm of everything, then good weather: always converges. */
static void test_converges(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 100; seed++) {
		struct sim *sim = sim_new(seed);
		sim->loss = sim_draw(sim) % 700;
		sim->doubles = sim_draw(sim) % 300;
		sim->delay_ms = 1 + sim_draw(sim) % 1500;
		sim->replays = sim_draw(sim) % 20;
		sim->job_fails = sim_draw(sim) % 200;
		sim->job_ms = 1 + sim_draw(sim) % 100;
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		for (int i = 0; i < 8; i++) {
			sim_run(sim, sim_draw(sim) % 4000);
			struct side *side = &sim->sides[sim_draw(sim) & 1];
			if (sim_draw(sim) & 1)
				sim_restart_dataplane(side);
			else
				sim_restart_control(side);
		}
		sim_run(sim, 2000);
		sim->loss = sim->doubles = sim->replays = sim->job_fails = 0;
		sim->delay_ms = 20;
		sim_run(sim, 20000);
		sim_check_up(sim);
		free(sim);
	}
}

/* All that was ever said, again and again, to both ends: nothing moves, and little is said. */
static void test_replays_change_nothing(void **state)
{
	struct sim *sim = sim_new(7);

	(void)state;
	sim_start(&sim->sides[0]);
	sim_start(&sim->sides[1]);
	sim_run(sim, 1000);
	sim_restart_dataplane(&sim->sides[1]);
	sim_run(sim, 1000);
	sim_restart_control(&sim->sides[0]);
	sim_run(sim, 3000);
	sim_check_up(sim);

	struct spw_agree before[2] = {sim->sides[0].agree, sim->sides[1].agree};
	uint32_t history = sim->history_cnt, sent = sim->sides[0].sent_cnt + sim->sides[1].sent_cnt;
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < history; i++) {
			struct flight flight = {.to = 0, .wire = sim->history[i]};
			sim_arrive(sim, &flight);
			flight.to = 1;
			sim_arrive(sim, &flight);
		}
		sim_run(sim, 50);
	}
	for (int i = 0; i < 2; i++) {
		const struct spw_agree *after = &sim->sides[i].agree;
		assert_false(after->has_next);
		assert_int_equal(after->serial, before[i].serial);
		assert_int_equal(after->peer_epoch, before[i].peer_epoch);
		assert_memory_equal(&after->live, &before[i].live, sizeof(after->live));
		assert_memory_equal(after->offer, before[i].offer, sizeof(after->offer));
	}
	/* 8 at once and 10 a second from each, for one second. */
	assert_true(sim->sides[0].sent_cnt + sim->sides[1].sent_cnt - sent <= 2 * (8 + 11));
	sim_check_up(sim);
	free(sim);
}

static void test_reflection_is_ignored(void **state)
{
	struct sim *sim = sim_new(9);
	struct side *side = &sim->sides[0];

	(void)state;
	sim_start(side);
	for (int i = 0; i < 50; i++) {
		for (uint32_t k = 0; k < sim->history_cnt; k++) {
			struct flight flight = {.to = 0, .wire = sim->history[k]};
			sim_arrive(sim, &flight);
		}
		sim_run(sim, 20);
	}
	assert_int_equal(spw_agree_state(&side->agree), SPW_AGREE_WAITING);
	assert_int_equal(side->made_in_cnt, 0);
	free(sim);
}

static void test_stale_epoch_is_ignored(void **state)
{
	struct sim *sim = sim_new(11);
	struct side *side = &sim->sides[1];

	(void)state;
	sim_start(&sim->sides[0]);
	sim_start(&sim->sides[1]);
	sim_run(sim, 500);
	sim_check_up(sim);
	uint32_t made = side->made_in_cnt;
	/* A peer that has fallen back behind an epoch that was agreed on. */
	sim->sides[0].epoch -= 2;
	sim_restart_dataplane(&sim->sides[0]);
	sim_run(sim, 5000);
	assert_int_equal(side->made_in_cnt, made);
	assert_int_not_equal(spw_agree_state(&sim->sides[0].agree), SPW_AGREE_UP);
	sim->sides[0].epoch += 2;
	sim_restart_dataplane(&sim->sides[0]);
	sim_run(sim, 500);
	sim_check_up(sim);
	free(sim);
}

static void test_other_cipher(void **state)
{
	struct sim *sim = sim_new(13);

	(void)state;
	sim->sides[1].agree.key256 = true;
	sim_start(&sim->sides[0]);
	sim_start(&sim->sides[1]);
	sim_run(sim, 3000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(spw_agree_state(&sim->sides[i].agree), SPW_AGREE_CIPHER);
		assert_int_equal(sim->sides[i].made_in_cnt, 0);
	}
	free(sim);
}

/* Every message lost: the pace is 200 ms, doubling to 5 s; when up, one question in 10 s. */
static void test_pace(void **state)
{
	struct sim *sim = sim_new(15);
	struct side *side = &sim->sides[0];

	(void)state;
	sim->loss = 1000;
	sim_start(side);
	assert_int_equal(side->sent_cnt, 1);
	sim_run(sim, 201);
	assert_int_equal(side->sent_cnt, 2);
	sim_run(sim, 400);
	assert_int_equal(side->sent_cnt, 3);
	sim_run(sim, 60000);
	assert_in_range(side->sent_cnt, 3 + 10, 3 + 16);
	sim->loss = 0;
	sim_start(&sim->sides[1]);
	sim_run(sim, 6000);
	sim_check_up(sim);
	uint32_t sent = side->sent_cnt + sim->sides[1].sent_cnt;
	sim_run(sim, 60000);
	assert_in_range(side->sent_cnt + sim->sides[1].sent_cnt - sent, 10, 26);
	/* The peer is gone for good: it is noticed, and traffic is not touched. */
	sim->loss = 1000;
	sim_run(sim, 60000);
	assert_int_equal(spw_agree_state(&side->agree), SPW_AGREE_SILENT);
	sim->loss = 0;
	sim_run(sim, 11000);
	sim_check_up(sim);
	free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_up_at_once),
		cmocka_unit_test(test_restarts_heal_at_once),
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_replays_change_nothing),
		cmocka_unit_test(test_reflection_is_ignored),
		cmocka_unit_test(test_stale_epoch_is_ignored),
		cmocka_unit_test(test_other_cipher),
		cmocka_unit_test(test_pace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
