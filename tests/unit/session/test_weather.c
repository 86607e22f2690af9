/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_weather.c - two ends of a tunnel change keys (sim.h), in good weather and in bad, while
 * either end restarts and people ask for new keys: no packet is lost to it, and both settle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/session/sim.h"

static void test_comes_up_at_once(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct sim *sim = sim_new(seed);
		sim->sides[seed % 2].data_ms = seed % 3 ? 100 : 0;
		sim_start(&sim->sides[seed & 1]);
		sim_run(sim, sim_draw(sim) % 300 + 1);
		sim_start(&sim->sides[!(seed & 1)]);
		sim_run(sim, 400);
		sim_check_settled(sim);
		free(sim);
	}
}

/* Both at the very same time: the larger key's session wins, and that side changes it. */
static void test_both_begin(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++) {
		struct sim *sim = sim_new(seed);
		sim->delay_ms = 1 + sim_draw(sim) % 100;
		sim->job_ms = 1 + sim_draw(sim) % 50;
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		sim_run(sim, 2000);
		sim_check_settled(sim);
		assert_int_equal(sim_initiator(&sim->sides[0]), 1);
		uint32_t key = sim->sides[0].sending;
		sim_run(sim, 117000);
		assert_int_equal(sim->sides[0].sending, key);
		sim_run(sim, 13000);
		sim_check_settled(sim);
		assert_int_not_equal(sim->sides[0].sending, key);
		assert_int_equal(sim_initiator(&sim->sides[0]), 1);
		free(sim);
	}
}

/* People at both ends ask for new keys again and again, at the same time. */
static void test_people_hurry(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 100; seed++) {
		struct sim *sim = sim_new(seed);
		sim->delay_ms = 1 + sim_draw(sim) % 1000;
		sim->job_ms = 1 + sim_draw(sim) % 300;
		sim->doubles = sim_draw(sim) % 200;
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		for (uint32_t i = 0; i < 60; i++) {
			spw_sessions_rekey(&sim->sides[0].s, sim->now_ms);
			spw_sessions_rekey(&sim->sides[1].s, sim->now_ms);
			sim_run(sim, 1 + sim_draw(sim) % 1500);
		}
		sim_run(sim, 20000);
		sim_check_settled(sim);
		assert_in_range(sim->keys, 4, 150);
		free(sim);
	}
}

/* INITs towards one side never arrive: the other's handshakes are as good. */
static void test_one_way_inits(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 30; seed++) {
		struct sim *sim = sim_new(seed);
		int deaf = (int)(seed & 1);
		sim->loss_init[deaf] = 1000;
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		for (uint32_t i = 0; i < 4; i++) {
			sim_run(sim, 180000);
			sim_check_settled(sim);
			assert_int_equal(sim_initiator(&sim->sides[0]), deaf);
		}
		free(sim);
	}
}

static void test_restarts_heal_at_once(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct sim *sim = sim_new(seed);
		sim->sides[seed & 1].data_ms = 500;
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		for (uint32_t i = 0; i < 10; i++) {
			sim_run(sim, 400 + (i % 2 ? sim_draw(sim) % 200000 : 0));
			sim_check_settled(sim);
			sim_restart(&sim->sides[sim_draw(sim) & 1]);
		}
		free(sim);
	}
}

static void storm(struct sim *sim)
{
	sim->loss[0] = sim_draw(sim) % (sim_draw(sim) & 1 ? 100 : 900);
	sim->loss[1] = sim_draw(sim) % (sim_draw(sim) & 1 ? 100 : 900);
	sim->doubles = sim_draw(sim) % 300;
	sim->delay_ms = 1 + sim_draw(sim) % 1500;
	sim->job_fails = sim_draw(sim) & 1 ? sim_draw(sim) % 300 : 0;
	sim->switch_fails = sim_draw(sim) & 1 ? sim_draw(sim) % 500 : 0;
	sim->job_ms = 1 + sim_draw(sim) % 300;
	for (int i = 0; i < 2; i++)
		sim->sides[i].data_ms = sim_draw(sim) & 1 ? 20 + sim_draw(sim) % 1000 : 0;
}

static void calm(struct sim *sim)
{
	sim->loss[0] = sim->loss[1] = sim->doubles = sim->job_fails = sim->switch_fails = 0;
	sim->delay_ms = 20;
	sim->job_ms = 10;
	sim->sides[0].data_ms = sim->sides[1].data_ms = 100;
}

static void test_storms(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 500; seed++) {
		struct sim *sim = sim_new(seed);
		storm(sim);
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		for (uint32_t i = 0; i < 6; i++) {
			struct side *side = &sim->sides[sim_draw(sim) & 1];
			sim_run(sim, sim_draw(sim) % (sim_draw(sim) & 1 ? 200000 : 4000));
			switch (sim_draw(sim) % 4) {
			case 0:
				sim_restart(side);
				break;
			case 1:
				storm(sim);
				break;
			default:
				spw_sessions_rekey(&side->s, sim->now_ms);
			}
		}
		calm(sim);
		sim_run(sim, 30000);
		sim_check_settled(sim);
		/* And stay so, while keys change. */
		sim->sides[0].data_ms = sim->sides[1].data_ms = 2000;
		sim_run(sim, 200000);
		sim_check_settled(sim);
		free(sim);
	}
}

/* Nobody sends data: keys change all the same, and nobody babbles. */
static void test_idle(void **state)
{
	struct sim *sim = sim_new(3);

	(void)state;
	sim->sides[0].data_ms = sim->sides[1].data_ms = 0;
	sim_start(&sim->sides[0]);
	sim_start(&sim->sides[1]);
	sim_run(sim, 1000);
	sim_check_settled(sim);
	sim_run(sim, 3600000);
	sim_check_settled(sim);
	assert_in_range(sim->sides[1].s.rekeys, 3600 / 131, 3600 / 120);
	assert_in_range(sim->sides[0].dummies + sim->sides[1].dummies, 2 * 27, 4 * 31);
	free(sim);
}

/* One hears nothing of the other, whose data flows: new keys are asked for until it is back. */
static void test_outage(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct sim *sim = sim_new(seed);
		sim_start(&sim->sides[0]);
		sim_start(&sim->sides[1]);
		sim_run(sim, 1000 + sim_draw(sim) % 130000);
		sim->loss[0] = sim->loss[1] = 1000;
		sim_run(sim, 18000);
		assert_int_equal(spw_sessions_state(&sim->sides[0].s), SPW_SESSIONS_SILENT);
		assert_int_equal(spw_sessions_state(&sim->sides[1].s), SPW_SESSIONS_SILENT);
		sim_run(sim, sim_draw(sim) % 400000);
		sim->loss[0] = sim->loss[1] = 0;
		sim_run(sim, 21000);
		sim_check_settled(sim);
		free(sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_up_at_once),
		cmocka_unit_test(test_both_begin),
		cmocka_unit_test(test_people_hurry),
		cmocka_unit_test(test_one_way_inits),
		cmocka_unit_test(test_restarts_heal_at_once),
		cmocka_unit_test(test_storms),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_outage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
