/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agree_sim.h - two ends of a static tunnel in memory: a simulated clock, a channel that loses,
 * doubles, delays, replays and reflects messages, and dataplanes that answer after a while.
 *
 * What must hold at every moment is checked wherever something changes:
 *   - no key is ever made twice for sending, nor for receiving;
 *   - whoever sends, sends with a key that the other end receives with, unless the other end's
 *     dataplane has been restarted since.
 *
 * Who owns the memory: sim_new's result is the test's, free() it. One thread.
 */
#ifndef TEST_SA_AGREE_SIM_H
#define TEST_SA_AGREE_SIM_H

#include "control/daemon/sa/agree.h"

#define KEYS_MAX 60000
#define FLIGHT_MAX 512
#define HISTORY_MAX 4096
#define SETS_MAX 64
#define LATE_MS 2000

struct key {
	uint8_t bytes[16];
};

struct in_set {
	uint32_t serial; /* 0: free */
	bool made, leaving, adopted;
	uint64_t retire_at; /* 0: not yet */
	uint32_t cnt;
	struct key keys[SPW_WORKERS_MAX];
};

/* The dataplane answers after a while. */
struct job {
	uint64_t at; /* 0: none */
	uint32_t serial;
	bool out;
};

struct side {
	struct sim *sim;
	int me;
	struct spw_agree agree;
	uint8_t children;
	uint64_t epoch;
	uint32_t spi_last;
	struct in_set sets[SETS_MAX];
	struct job jobs[16];
	uint32_t out_cnt; /* keys it sends with */
	struct key out[SPW_WORKERS_MAX];
	bool peer_reset; /* the peer's dataplane was restarted since these came into use */
	uint32_t settled_cnt, sent_cnt, made_in_cnt, made_out_cnt;
};

struct flight {
	uint64_t at; /* 0: free */
	int to;
	struct spw_announce_wire wire;
};

struct sim {
	uint64_t now;
	uint32_t random;
	struct spw_static_keys keys;
	struct side sides[2];
	struct flight flights[FLIGHT_MAX];
	struct spw_announce_wire history[HISTORY_MAX];
	uint32_t history_cnt;
	uint32_t flights_cnt;
	bool moved; /* something changed in this millisecond */
	uint32_t loss, doubles, delay_ms, replays, job_fails; /* in 1/1000, but delay_ms */
	uint32_t job_ms;
	struct key sent_keys[KEYS_MAX], received_keys[KEYS_MAX];
	uint32_t sent_keys_cnt, received_keys_cnt;
};

struct sim *sim_new(uint32_t seed);
uint32_t sim_draw(struct sim *sim); /* a random number */
void sim_run(struct sim *sim, uint64_t ms);
void sim_arrive(struct sim *sim, struct flight *flight); /* hands a message to its receiver */

void sim_start(struct side *side);
void sim_restart_dataplane(struct side *side);
/* Control forgets all but what the tables hold: SAs and the peer's epoch. */
void sim_restart_control(struct side *side);

/* Both ends are up, with the same keys, and with other ones in the other direction. */
void sim_check_up(const struct sim *sim);

#endif
