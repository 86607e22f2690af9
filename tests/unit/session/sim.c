/* SPDX-License-Identifier: BSD-2-Clause */
/* sim.c - see sim.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/session/sim.h"

uint32_t sim_draw(struct sim *sim)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 17;
	sim->random ^= sim->random << 5;
	return sim->random;
}

static bool chance(struct sim *sim, uint32_t per_mille)
{
	return sim_draw(sim) % 1000 < per_mille;
}

/* ---- the network -------------------------------------------------------------------------- */

static void fly_once(struct sim *sim, struct flight flight)
{
	flight.at_ms = sim->now_ms + 1 + sim_draw(sim) % sim->delay_ms;
	for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
		if (sim->flights[i].at_ms)
			continue;
		sim->flights[i] = flight;
		sim->flights_cnt = i >= sim->flights_cnt ? i + 1 : sim->flights_cnt;
		return;
	}
	fail_msg("too many packets on their way");
}

static void fly(struct side *side, enum flight_kind kind, uint32_t init, uint32_t key)
{
	struct sim *sim = side->sim;
	struct flight flight = {.to = !side->me, .kind = kind, .init = init, .key = key};

	if (chance(sim, sim->loss[flight.to]) ||
	    (kind == FLIGHT_INIT && chance(sim, sim->loss_init[flight.to])))
		return;
	fly_once(sim, flight);
	if (chance(sim, sim->doubles))
		fly_once(sim, flight);
}

/* ---- ops ---------------------------------------------------------------------------------- */

static struct half *half_of(struct side *side, uint32_t serial)
{
	for (uint32_t key = side->sim->keys; key > 0; key--)
		if (side->halves[key].serial == serial)
			return &side->halves[key];
	fail_msg("serial %u is unknown", serial);
	return NULL;
}

static void add_job(struct side *side, uint32_t key, bool heard)
{
	for (uint32_t i = 0; i < JOBS_MAX; i++) {
		if (side->jobs[i].at_ms)
			continue;
		side->jobs[i] = (struct job){.at_ms = side->sim->now_ms + 1 +
						      sim_draw(side->sim) % side->sim->job_ms,
					     .key = key,
					     .heard = heard};
		return;
	}
	fail_msg("too many requests at once");
}

static void do_job(struct side *side, uint32_t key, bool heard)
{
	struct half *half = &side->halves[key];
	struct sim *sim = side->sim;

	if (heard) {
		if (half->held == HELD_MADE)
			spw_sessions_heard(&side->s, half->serial, sim->now_ms);
	} else if (half->held == HELD_MAKING) {
		bool failed = chance(sim, sim->job_fails);
		half->held = failed ? HELD_MAKING : HELD_MADE;
		spw_sessions_made(&side->s, half->serial, failed ? -12 : 0, sim->now_ms);
	} else {
		/* An answer for one that was dropped while it was made. */
		spw_sessions_made(&side->s, half->serial, 0, sim->now_ms);
	}
}

static void op_send_init(void *arg)
{
	struct side *side = arg;

	side->init = ++side->sim->inits;
	side->inits++;
	fly(side, FLIGHT_INIT, side->init, 0);
}

static void op_make(void *arg, uint32_t serial)
{
	struct side *side = arg;
	uint32_t held = 0;

	side->halves[side->made_key] = (struct half){.serial = serial,
						     .held = HELD_MAKING,
						     .initiator = side->made_initiator,
						     .init = side->made_init,
						     .born_ms = side->sim->now_ms};
	for (uint32_t key = 1; key <= side->sim->keys; key++)
		held += side->halves[key].held == HELD_MAKING ||
			side->halves[key].held == HELD_MADE;
	assert_in_range(held, 1, SPW_SESSIONS_MAX);
	if (sim_draw(side->sim) % 4 == 0)
		do_job(side, side->made_key, false);
	else
		add_job(side, side->made_key, false);
}

static void op_send_response(void *arg, uint32_t serial)
{
	struct side *side = arg;
	struct half *half = half_of(side, serial);

	assert_int_equal(half->held, HELD_MADE);
	assert_false(half->initiator);
	fly(side, FLIGHT_RESPONSE, half->init, (uint32_t)(half - side->halves));
}

static int op_send_with(void *arg, uint32_t serial)
{
	struct side *side = arg;

	if (chance(side->sim, side->sim->switch_fails))
		return -11;
	side->sending = 0;
	if (serial != 0) {
		struct half *half = half_of(side, serial);
		assert_int_equal(half->held, HELD_MADE);
		side->sending = (uint32_t)(half - side->halves);
	}
	return 0;
}

static void check_age(const struct side *side)
{
	const struct half *half = &side->halves[side->sending];

	assert_int_not_equal(side->sending, 0);
	assert_int_equal(half->held, HELD_MADE);
	assert_true(side->sim->now_ms - half->born_ms < SIM_REJECT_MS);
}

static void op_send_dummy(void *arg)
{
	struct side *side = arg;

	check_age(side);
	side->dummies++;
	fly(side, FLIGHT_DUMMY, 0, side->sending);
}

static void op_drop(void *arg, uint32_t serial)
{
	struct side *side = arg;
	struct half *half = half_of(side, serial);

	assert_true(half->held == HELD_MAKING || half->held == HELD_MADE);
	assert_true(half != &side->halves[side->sending]);
	half->held = HELD_DROPPED;
}

static const struct spw_sessions_ops ops = {
	.send_init = op_send_init,
	.make = op_make,
	.send_response = op_send_response,
	.send_with = op_send_with,
	.send_dummy = op_send_dummy,
	.drop = op_drop,
};

/* ---- what arrives ------------------------------------------------------------------------- */

static void arrive_init(struct side *side, uint32_t init)
{
	if (init <= side->init_last)
		return;
	side->init_last = side->made_init = init;
	side->made_key = ++side->sim->keys;
	assert_true(side->made_key < KEYS_MAX);
	side->made_initiator = false;
	spw_sessions_init_heard(&side->s, side->sim->now_ms);
}

static void arrive_response(struct side *side, uint32_t init, uint32_t key)
{
	if (init != side->init)
		return;
	side->init = 0;
	side->made_key = key;
	side->made_initiator = true;
	spw_sessions_response_heard(&side->s, side->sim->now_ms);
}

static void arrive_packet(struct side *side, uint32_t key, bool data)
{
	struct half *half = &side->halves[key];
	bool old = side->sim->now_ms >= half->born_ms + SIM_REJECT_MS;

	/* Nor does a sender that is restarted care for what it had sent. */
	if (half->held == HELD_LOST || (half->held == HELD_DROPPED && old) ||
	    side->sim->sides[!side->me].halves[key].held == HELD_LOST)
		return;
	if (half->held != HELD_MADE)
		fail_msg("at %lu a packet is lost: side %d, key %u, held %d, %lu ms old",
			 side->sim->now_ms, side->me, key, half->held,
			 side->sim->now_ms - half->born_ms);
	side->totals.rx_packets++;
	side->totals.rx_bytes += data ? 100 : 0;
	side->delivered += data;
	if (!half->reported)
		add_job(side, key, true);
	half->reported = true;
}

static void arrive(struct sim *sim, struct flight *flight)
{
	struct side *side = &sim->sides[flight->to];
	struct flight copy = *flight;

	flight->at_ms = 0;
	if (copy.kind == FLIGHT_INIT)
		arrive_init(side, copy.init);
	else if (copy.kind == FLIGHT_RESPONSE)
		arrive_response(side, copy.init, copy.key);
	else
		arrive_packet(side, copy.key, copy.kind == FLIGHT_DATA);
}

/* ---- time --------------------------------------------------------------------------------- */

static void send_data(struct side *side)
{
	side->data_at_ms = side->sim->now_ms + 1 + sim_draw(side->sim) % (2 * side->data_ms);
	if (side->sending == 0)
		return;
	/* The dataplane itself sends with nothing that is too old: where the core could not yet
	 * say so, that is no fault of its own. */
	if (side->s.switch_failed &&
	    side->sim->now_ms >= side->halves[side->sending].born_ms + SIM_REJECT_MS)
		return;
	check_age(side);
	side->totals.tx_packets++;
	side->totals.tx_bytes += 100;
	fly(side, FLIGHT_DATA, 0, side->sending);
}

static void step_side(struct side *side)
{
	struct sim *sim = side->sim;

	/* First, as at the very same moment a session may become too old. */
	if (spw_sessions_deadline(&side->s) <= sim->now_ms)
		spw_sessions_tick(&side->s, sim->now_ms);
	assert_true(spw_sessions_deadline(&side->s) > sim->now_ms);
	for (uint32_t i = 0; i < JOBS_MAX; i++) {
		struct job job = side->jobs[i];
		if (!job.at_ms || job.at_ms > sim->now_ms)
			continue;
		side->jobs[i].at_ms = 0;
		do_job(side, job.key, job.heard);
	}
	if (side->data_ms && side->data_at_ms <= sim->now_ms)
		send_data(side);
	if (side->report_at_ms <= sim->now_ms) {
		side->report_at_ms = sim->now_ms + 1000;
		spw_sessions_traffic(&side->s, &side->totals, sim->now_ms);
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_event(const struct sim *sim, uint64_t end)
{
	for (uint32_t i = 0; i < sim->flights_cnt; i++)
		if (sim->flights[i].at_ms)
			end = earlier(end, sim->flights[i].at_ms);
	for (uint32_t k = 0; k < 2; k++) {
		const struct side *side = &sim->sides[k];
		end = earlier(end, spw_sessions_deadline(&side->s));
		end = earlier(end, side->report_at_ms);
		if (side->data_ms)
			end = earlier(end, side->data_at_ms);
		for (uint32_t i = 0; i < JOBS_MAX; i++)
			if (side->jobs[i].at_ms)
				end = earlier(end, side->jobs[i].at_ms);
	}
	return end > sim->now_ms ? end : sim->now_ms + 1;
}

void sim_run(struct sim *sim, uint64_t ms)
{
	for (uint64_t end = sim->now_ms + ms; sim->now_ms < end;) {
		sim->now_ms = next_event(sim, end);
		for (uint32_t i = 0; i < sim->flights_cnt; i++)
			if (sim->flights[i].at_ms && sim->flights[i].at_ms <= sim->now_ms)
				arrive(sim, &sim->flights[i]);
		while (sim->flights_cnt > 0 && !sim->flights[sim->flights_cnt - 1].at_ms)
			sim->flights_cnt--;
		step_side(&sim->sides[0]);
		step_side(&sim->sides[1]);
	}
}

/* ---- the two ends ------------------------------------------------------------------------- */

struct sim *sim_new(uint32_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	sim->now_ms = 1000000;
	sim->random = seed * 2654435761u | 1;
	sim->delay_ms = 10;
	sim->job_ms = 2;
	for (int i = 0; i < 2; i++) {
		struct side *side = &sim->sides[i];
		side->sim = sim;
		side->me = i;
		side->data_ms = 100;
		side->report_at_ms = sim->now_ms + sim_draw(sim) % 1000;
		spw_sessions_init(&side->s, &ops, side, i == 1, sim_draw(sim));
		spw_sessions_set_initiate(&side->s, true);
	}
	return sim;
}

void sim_start(struct side *side)
{
	spw_sessions_start(&side->s, side->sim->now_ms);
}

void sim_restart(struct side *side)
{
	for (uint32_t key = 1; key <= side->sim->keys; key++)
		if (side->halves[key].held != HELD_NEVER)
			side->halves[key].held = HELD_LOST;
	memset(side->jobs, 0, sizeof(side->jobs));
	side->sending = 0;
	side->totals = (struct spw_sessions_traffic){0};
	spw_sessions_stop(&side->s);
	assert_int_equal(spw_sessions_state(&side->s), SPW_SESSIONS_STOPPED);
	sim_start(side);
}

void sim_check_settled(struct sim *sim)
{
	const struct side *a = &sim->sides[0], *b = &sim->sides[1];

	/* Just now they change keys. */
	if (a->sending != b->sending)
		sim_run(sim, 1000);
	assert_int_equal(spw_sessions_state(&a->s), SPW_SESSIONS_UP);
	assert_int_equal(spw_sessions_state(&b->s), SPW_SESSIONS_UP);
	assert_int_not_equal(a->sending, 0);
	assert_int_equal(a->sending, b->sending);
	assert_int_not_equal(a->halves[a->sending].initiator, b->halves[b->sending].initiator);
}

int sim_initiator(const struct side *side)
{
	return side->halves[side->sending].initiator ? side->me : !side->me;
}
