/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * end.h - one end of a tunnel whose peer, dataplane and clock are the test: what the core asks for
 * is counted.
 *
 * Who owns the memory: the test. One thread.
 */
#ifndef TEST_SESSION_END_H
#define TEST_SESSION_END_H

#include "control/daemon/session/sessions.h"

#define START_MS 5000u
#define DROPS_MAX 64

enum answer { ANSWER_AT_ONCE, ANSWER_NEVER, ANSWER_ERROR };

struct end {
	struct spw_sessions s;
	uint64_t now_ms;
	uint64_t turn_ms; /* no INIT before */
	enum answer answer;
	int switch_error;
	uint32_t inits, responses, dummies, drops_cnt;
	uint32_t made, sending, drops[DROPS_MAX];
	struct spw_sessions_traffic totals;
};

/* Started, with counters at zero. */
void end_new(struct end *end, bool larger_key, bool can_initiate);
/* Time passes, with a tick whenever one is due. */
void end_pass(struct end *end, uint64_t ms);
void end_count(struct end *end, uint32_t sent, uint32_t heard, uint32_t heard_dummies);
/* Sends with a new session, and something was heard on it. Counting begins anew. */
uint32_t end_up_as_initiator(struct end *end);
uint32_t end_up_as_responder(struct end *end);

#endif
