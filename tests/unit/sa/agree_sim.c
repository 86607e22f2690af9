/* SPDX-License-Identifier: BSD-2-Clause */
/* agree_sim.c - see agree_sim.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/sa/agree_sim.h"

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

/* ---- the channel -------------------------------------------------------------------------- */

static void fly(struct sim *sim, int to, const struct spw_announce_wire *wire)
{
	for (int i = 0; i < FLIGHT_MAX; i++) {
		if (sim->flights[i].at)
			continue;
		sim->flights[i] =
			(struct flight){.at = sim->now + 1 + sim_draw(sim) % sim->delay_ms,
					.to = to,
					.wire = *wire};
		sim->flights_cnt++;
		return;
	}
}

static void op_send(void *arg, const struct spw_announce *announce)
{
	struct side *side = arg;
	struct sim *sim = side->sim;
	struct spw_announce_wire wire;

	spw_announce_build(announce, &sim->keys, &wire);
	side->sent_cnt++;
	sim->history[sim->history_cnt++ % HISTORY_MAX] = wire;
	if (chance(sim, sim->loss))
		return;
	fly(sim, !side->me, &wire);
	if (chance(sim, sim->doubles))
		fly(sim, !side->me, &wire);
}

void sim_arrive(struct sim *sim, struct flight *flight)
{
	struct side *side = &sim->sides[flight->to];
	struct spw_announce announce;

	flight->at = 0;
	sim->moved = true;
	assert_int_equal(
		spw_announce_parse(&flight->wire, sizeof(flight->wire), &sim->keys, &announce), 0);
	spw_agree_receive(&side->agree, &announce, sim->now);
}

/* ---- keys --------------------------------------------------------------------------------- */

static struct key derive(struct sim *sim, const struct spw_pair *pair, bool out, uint32_t child,
			 uint32_t spi)
{
	struct spw_static_label label = {.key_bits = 128, .child = (uint8_t)child, .spi = spi};
	struct spw_sa_secret secret;
	struct key key;

	label.sender_epoch = out ? pair->local_epoch : pair->peer_epoch;
	label.receiver_epoch = out ? pair->peer_epoch : pair->local_epoch;
	memcpy(label.sender_nonce, out ? pair->local_nonce : pair->peer_nonce, SPW_NONCE_BYTES);
	memcpy(label.receiver_nonce, out ? pair->peer_nonce : pair->local_nonce, SPW_NONCE_BYTES);
	assert_int_equal(spw_static_sa_derive(sim->keys.prk, &label, &secret), 0);
	memcpy(key.bytes, secret.key, sizeof(key.bytes));
	return key;
}

static bool known(const struct key *list, uint32_t cnt, const struct key *key)
{
	for (uint32_t i = 0; i < cnt; i++)
		if (memcmp(&list[i], key, sizeof(*key)) == 0)
			return true;
	return false;
}

static void remember(struct key *list, uint32_t *cnt, const struct key *key)
{
	assert_false(known(list, *cnt, key));
	assert_true(*cnt < KEYS_MAX);
	list[(*cnt)++] = *key;
}

static bool receives(const struct side *side, const struct key *key)
{
	for (int i = 0; i < SETS_MAX; i++)
		if (side->sets[i].serial && side->sets[i].made &&
		    known(side->sets[i].keys, side->sets[i].cnt, key))
			return true;
	return false;
}

static void check_path(struct sim *sim)
{
	for (int i = 0; i < 2; i++) {
		struct side *side = &sim->sides[i];
		for (uint32_t c = 0; c < side->out_cnt && !side->peer_reset; c++)
			assert_true(receives(&sim->sides[!i], &side->out[c]));
	}
}

/* ---- the dataplane of one side ------------------------------------------------------------ */

static void add_job(struct side *side, uint32_t serial, bool out)
{
	for (int i = 0; i < 16; i++) {
		if (side->jobs[i].at)
			continue;
		side->jobs[i] = (struct job){.at = side->sim->now + 1 +
						   sim_draw(side->sim) % side->sim->job_ms,
					     .serial = serial,
					     .out = out};
		return;
	}
	fail_msg("too many requests at once");
}

static struct in_set *find_set(struct side *side, uint32_t serial)
{
	for (int i = 0; i < SETS_MAX; i++)
		if (side->sets[i].serial == serial && !side->sets[i].adopted)
			return &side->sets[i];
	return NULL;
}

static void op_draw_nonce(void *arg, uint8_t nonce[SPW_NONCE_BYTES])
{
	struct side *side = arg;

	for (uint32_t i = 0; i < SPW_NONCE_BYTES; i++)
		nonce[i] = (uint8_t)(sim_draw(side->sim) >> 7);
}

static void op_make_in(void *arg, const struct spw_pair *pair)
{
	struct side *side = arg;
	struct in_set *set = NULL;

	for (int i = 0; i < SETS_MAX; i++)
		if (side->sets[i].serial == 0)
			set = &side->sets[i];
	assert_non_null(set);
	assert_int_equal(pair->peer_children, side->sim->sides[!side->me].children);
	*set = (struct in_set){.serial = pair->serial, .cnt = pair->peer_children};
	side->made_in_cnt++;
	add_job(side, pair->serial, false);
}

static void op_make_out(void *arg, const struct spw_pair *pair)
{
	struct side *side = arg;

	side->made_out_cnt++;
	for (uint32_t c = 0; c < side->children; c++) {
		struct key key = derive(side->sim, pair, true, c, pair->spi_out[c]);
		remember(side->sim->sent_keys, &side->sim->sent_keys_cnt, &key);
	}
	add_job(side, pair->serial, true);
}

static void op_leave(void *arg, uint32_t serial)
{
	struct side *side = arg;
	struct in_set *set = find_set(side, serial);

	assert_non_null(set);
	assert_false(set->leaving);
	set->leaving = true;
}

static void op_settled(void *arg, uint32_t serial)
{
	struct side *side = arg;

	side->settled_cnt++;
	for (int i = 0; i < SETS_MAX; i++) {
		struct in_set *set = &side->sets[i];
		if (set->serial && set->leaving && (set->adopted || set->serial < serial))
			set->retire_at = side->sim->now + LATE_MS;
	}
}

static const struct spw_agree_ops ops = {
	.send = op_send,
	.draw_nonce = op_draw_nonce,
	.make_in = op_make_in,
	.make_out = op_make_out,
	.leave = op_leave,
	.settled = op_settled,
};

static void finish_in(struct side *side, struct job job, int error)
{
	struct sim *sim = side->sim;
	struct in_set *set = find_set(side, job.serial);
	uint32_t spis[SPW_WORKERS_MAX] = {0};

	if (!set || !side->agree.has_next || side->agree.next.serial != job.serial) {
		spw_agree_in_made(&side->agree, job.serial, error, spis, sim->now);
		return;
	}
	for (uint32_t c = 0; error == 0 && c < set->cnt; c++) {
		spis[c] = ++side->spi_last << 10 | (sim_draw(sim) & 1023);
		set->keys[c] = derive(sim, &side->agree.next, false, c, spis[c]);
		remember(sim->received_keys, &sim->received_keys_cnt, &set->keys[c]);
	}
	set->made = error == 0;
	spw_agree_in_made(&side->agree, job.serial, error, spis, sim->now);
}

static void finish_out(struct side *side, struct job job, int error)
{
	struct spw_agree *agree = &side->agree;

	if (error == 0 && agree->has_next && agree->next.serial == job.serial) {
		side->out_cnt = side->children;
		for (uint32_t c = 0; c < side->children; c++)
			side->out[c] =
				derive(side->sim, &agree->next, true, c, agree->next.spi_out[c]);
		side->peer_reset = agree->next.peer_epoch != side->sim->sides[!side->me].epoch;
	}
	spw_agree_out_made(agree, job.serial, error, side->sim->now);
}

/* ---- the world ---------------------------------------------------------------------------- */

static void step_side(struct side *side)
{
	struct sim *sim = side->sim;

	for (int i = 0; i < 16; i++) {
		struct job job = side->jobs[i];
		if (!job.at || job.at > sim->now)
			continue;
		side->jobs[i].at = 0;
		sim->moved = true;
		int error = chance(sim, sim->job_fails) ? -12 : 0;
		if (job.out)
			finish_out(side, job, error);
		else
			finish_in(side, job, error);
	}
	for (int i = 0; i < SETS_MAX; i++) {
		struct in_set *set = &side->sets[i];
		/* Only what is left for ever may fill the table: see sets.c, which bounds it. */
		if (set->serial && set->retire_at && set->retire_at <= sim->now) {
			*set = (struct in_set){0};
			sim->moved = true;
		}
		if (set->serial && set->leaving && !set->made)
			*set = (struct in_set){0};
	}
	if (spw_agree_deadline(&side->agree) <= sim->now)
		spw_agree_tick(&side->agree, sim->now);
}

void sim_run(struct sim *sim, uint64_t ms)
{
	for (uint64_t end = sim->now + ms; sim->now < end; sim->now++) {
		for (int i = 0; sim->flights_cnt > 0 && i < FLIGHT_MAX; i++) {
			if (!sim->flights[i].at || sim->flights[i].at > sim->now)
				continue;
			sim->flights_cnt--;
			sim_arrive(sim, &sim->flights[i]);
		}
		if (sim->history_cnt > 0 && chance(sim, sim->replays)) {
			uint32_t cnt =
				sim->history_cnt < HISTORY_MAX ? sim->history_cnt : HISTORY_MAX;
			fly(sim, (int)(sim_draw(sim) & 1), &sim->history[sim_draw(sim) % cnt]);
		}
		step_side(&sim->sides[0]);
		step_side(&sim->sides[1]);
		if (sim->moved)
			check_path(sim);
		sim->moved = false;
	}
}

void sim_start(struct side *side)
{
	spw_agree_start(&side->agree, side->epoch, side->sim->now);
}

void sim_restart_dataplane(struct side *side)
{
	memset(side->sets, 0, sizeof(side->sets));
	memset(side->jobs, 0, sizeof(side->jobs));
	side->out_cnt = 0;
	side->epoch++;
	side->sim->sides[!side->me].peer_reset = true;
	spw_agree_stop(&side->agree);
	sim_start(side);
}

void sim_restart_control(struct side *side)
{
	uint64_t peer_epoch = side->agree.peer_epoch;

	memset(side->jobs, 0, sizeof(side->jobs));
	for (int i = 0; i < SETS_MAX; i++) {
		side->sets[i].adopted = side->sets[i].leaving = true;
		if (side->sets[i].serial && !side->sets[i].made)
			side->sets[i] = (struct in_set){0};
	}
	spw_agree_init(&side->agree, &ops, side, side->children, false, peer_epoch);
	sim_start(side);
}

struct sim *sim_new(uint32_t seed)
{
	static const uint8_t root[SPW_ROOT_BYTES] = {42};
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	sim->now = 1000;
	sim->random = seed * 2654435761u | 1;
	sim->delay_ms = 10;
	sim->job_ms = 2;
	assert_int_equal(spw_static_keys_derive(root, &sim->keys), 0);
	for (int i = 0; i < 2; i++) {
		struct side *side = &sim->sides[i];
		side->sim = sim;
		side->me = i;
		side->children = (uint8_t)(1 + sim_draw(sim) % 3);
		side->epoch = 1000 + sim_draw(sim) % 3; /* often the same on both sides */
		spw_agree_init(&side->agree, &ops, side, side->children, false, 0);
	}
	return sim;
}

static bool sim_settled(const struct sim *sim)
{
	for (int i = 0; i < 2; i++) {
		const struct side *side = &sim->sides[i];
		const struct spw_pair *live = &side->agree.live;
		if (!side->agree.has_live || side->agree.has_next || !live->sending ||
		    !live->peer_sending)
			return false;
	}
	return memcmp(sim->sides[0].agree.live.local_nonce, sim->sides[1].agree.live.peer_nonce,
		      SPW_NONCE_BYTES) == 0;
}

void sim_check_up(const struct sim *sim)
{
	assert_true(sim_settled(sim));
	for (int i = 0; i < 2; i++) {
		const struct side *side = &sim->sides[i], *peer = &sim->sides[!i];
		assert_int_equal(spw_agree_state(&side->agree), SPW_AGREE_UP);
		assert_false(side->peer_reset);
		assert_int_equal(side->out_cnt, side->children);
		for (uint32_t c = 0; c < side->out_cnt; c++) {
			assert_true(receives(peer, &side->out[c]));
			/* Never the same key for both directions. */
			assert_false(known(peer->out, peer->out_cnt, &side->out[c]));
		}
	}
}
