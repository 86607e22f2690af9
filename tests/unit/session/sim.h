/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim.h - two ends of a tunnel whose sessions change, in memory: a simulated clock, a network that
 * loses, doubles, delays and so reorders, and dataplanes that answer later, or fail.
 *
 * What must hold at every moment is checked wherever something happens:
 *   - a packet that arrives finds the inbound SA of the session it was sent with, unless that is
 *     180 s old or a dataplane has been restarted since;
 *   - nothing is sent with a session that is 180 s old;
 *   - each side has at most SPW_SESSIONS_MAX sessions, each is dropped once, and never the one
 *     that sends.
 *
 * Who owns the memory: sim_new's result is the test's, free() it. One thread.
 */
#ifndef TEST_SESSION_SIM_H
#define TEST_SESSION_SIM_H

#include "control/daemon/session/sessions.h"

#define KEYS_MAX 4096
#define FLIGHTS_MAX 1024
#define JOBS_MAX 32
#define SIM_REJECT_MS 180000u

enum held { HELD_NEVER, HELD_MAKING, HELD_MADE, HELD_DROPPED, HELD_LOST };

/* What one side has of a session; its index is the key, which names it on both sides. */
struct half {
	uint32_t serial;
	enum held held;
	bool initiator, reported;
	uint32_t init; /* the INIT to answer */
	uint64_t born_ms;
};

/* The dataplane answers, or tells of a first packet, after a while. */
struct job {
	uint64_t at_ms; /* 0: none */
	uint32_t key;
	bool heard;
};

struct side {
	struct sim *sim;
	int me;
	struct spw_sessions s;
	struct half halves[KEYS_MAX];
	struct job jobs[JOBS_MAX];
	uint32_t sending;             /* a key; 0: none */
	uint32_t init;                /* the newest INIT, until it is answered */
	uint32_t init_last;           /* the peer's newest */
	uint32_t made_key, made_init; /* what the handshake just told of has given */
	bool made_initiator;
	uint64_t data_ms; /* mean time between two data packets; 0: silence */
	uint64_t data_at_ms, report_at_ms;
	struct spw_sessions_traffic totals;
	uint32_t inits, dummies, delivered;
};

enum flight_kind { FLIGHT_INIT, FLIGHT_RESPONSE, FLIGHT_DATA, FLIGHT_DUMMY };

struct flight {
	uint64_t at_ms; /* 0: free */
	int to;
	enum flight_kind kind;
	uint32_t init, key;
};

struct sim {
	uint64_t now_ms;
	uint32_t random;
	struct side sides[2]; /* 1 has the larger key */
	struct flight flights[FLIGHTS_MAX];
	uint32_t flights_cnt;
	uint32_t inits, keys;
	uint32_t doubles, job_fails, switch_fails; /* in 1/1000 */
	uint32_t loss[2];                          /* towards this side */
	uint32_t loss_init[2];                     /* of INITs alone, as above */
	uint32_t delay_ms, job_ms;
};

struct sim *sim_new(uint32_t seed);
uint32_t sim_draw(struct sim *sim);
void sim_start(struct side *side);
void sim_restart(struct side *side); /* its dataplane */
void sim_run(struct sim *sim, uint64_t ms);
/* Both sides are up and send with the same session, now or a second later. */
void sim_check_settled(struct sim *sim);
/* Which side began the session that this side sends with. */
int sim_initiator(const struct side *side);

#endif
