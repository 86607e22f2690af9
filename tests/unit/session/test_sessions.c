/* SPDX-License-Identifier: BSD-2-Clause */
/* test_sessions.c - one end of a tunnel: each rule by itself, silence apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/session/end.h"

/* ---- handshakes --------------------------------------------------------------------------- */

static void test_initiator(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	assert_int_equal(end.inits, 1);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_HANDSHAKING);
	end.answer = ANSWER_NEVER;
	uint32_t serial = spw_sessions_response_heard(&end.s, end.now_ms);
	assert_int_not_equal(serial, 0);
	assert_int_equal(end.made, serial);
	assert_int_equal(end.sending, 0);
	/* One RESP for an INIT. */
	assert_int_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
	spw_sessions_made(&end.s, serial, 0, end.now_ms);
	assert_int_equal(end.sending, serial);
	assert_int_equal(end.dummies, 1);
	assert_int_equal(end.responses, 0);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_UP);
	/* Dummies until the peer is heard, but not for ever. */
	end_pass(&end, 249);
	assert_int_equal(end.dummies, 1);
	end_pass(&end, 1);
	assert_int_equal(end.dummies, 2);
	end_pass(&end, 500);
	assert_int_equal(end.dummies, 3);
	spw_sessions_heard(&end.s, serial, end.now_ms);
	end_pass(&end, 110000);
	assert_int_equal(end.dummies, 3);
	assert_int_equal(end.inits, 1);
}

/* An INIT waits for its turn and keeps it; the next one waits for another. */
static void test_turns(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, false);
	end.turn_ms = end.now_ms + 700;
	spw_sessions_set_initiate(&end.s, true);
	spw_sessions_tick(&end.s, end.now_ms);
	assert_int_equal(spw_sessions_deadline(&end.s), end.turn_ms);
	end.turn_ms = end.now_ms + 5000;
	end_pass(&end, 699);
	assert_int_equal(end.inits, 0);
	end_pass(&end, 1);
	assert_int_equal(end.inits, 1);
	end_pass(&end, 4299);
	assert_int_equal(end.inits, 1);
	end_pass(&end, 1);
	assert_int_equal(end.inits, 2);
	/* The peer's own handshake makes the one that waits needless. */
	end.turn_ms = end.now_ms + 5000;
	end_up_as_responder(&end);
	end_pass(&end, 10000);
	assert_int_equal(end.inits, 0);
}

static void test_dummies_unanswered(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	spw_sessions_response_heard(&end.s, end.now_ms);
	end_pass(&end, 100000);
	assert_int_equal(end.dummies, 8);
}

static void test_responder(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, false, false);
	assert_int_equal(end.inits, 0);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_NO_ENDPOINT);
	end.answer = ANSWER_NEVER;
	uint32_t serial = spw_sessions_init_heard(&end.s, end.now_ms);
	assert_int_equal(end.made, serial);
	assert_int_equal(end.responses, 0);
	spw_sessions_made(&end.s, serial, 0, end.now_ms);
	spw_sessions_made(&end.s, serial, 0, end.now_ms);
	assert_int_equal(end.responses, 1);
	assert_int_equal(end.sending, 0);
	spw_sessions_heard(&end.s, serial, end.now_ms);
	assert_int_equal(end.sending, serial);
	assert_int_equal(end.dummies, 1);
	/* Nothing is answered twice. */
	spw_sessions_heard(&end.s, serial, end.now_ms);
	end_pass(&end, 100000);
	assert_int_equal(end.dummies, 1);
	assert_int_equal(end.inits, 0);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_UP);
}

static void test_pace(void **state)
{
	struct end end;
	uint64_t at_ms = START_MS;

	(void)state;
	end_new(&end, true, true);
	static const struct {
		uint32_t min_ms, max_ms;
	} pace[] = {{250, 266}, {500, 533}, {1000, 1066}, {2000, 2133}, {4000, 4267}, {5000, 5334}};
	for (uint32_t i = 0; at_ms < START_MS + 90000; i++) {
		uint32_t k = i < 5 ? i : 5;
		uint64_t next_ms = spw_sessions_deadline(&end.s);
		assert_in_range(next_ms - at_ms, pace[k].min_ms, pace[k].max_ms);
		end_pass(&end, next_ms - end.now_ms);
		at_ms = next_ms;
		assert_int_equal(end.inits, i + 2);
	}
	for (uint32_t i = 0; i < 20; i++) {
		uint64_t next_ms = spw_sessions_deadline(&end.s);
		assert_in_range(next_ms - at_ms, 15000, 20000);
		end_pass(&end, next_ms - end.now_ms);
		at_ms = next_ms;
	}
	/* Another endpoint, or the machine has slept: quickly again. */
	spw_sessions_set_initiate(&end.s, false);
	assert_true(spw_sessions_deadline(&end.s) == UINT64_MAX);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_NO_ENDPOINT);
	spw_sessions_set_initiate(&end.s, true);
	end_pass(&end, 1);
	assert_in_range(spw_sessions_deadline(&end.s) - end.now_ms, 248, 266);
	end_pass(&end, 200000);
	end.now_ms += 7200000;
	spw_sessions_tick(&end.s, end.now_ms);
	assert_in_range(spw_sessions_deadline(&end.s) - end.now_ms, 250, 266);
}

static void test_late_response_is_void(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end_pass(&end, 120000);
	end_pass(&end, spw_sessions_deadline(&end.s) - end.now_ms);
	end.now_ms += 5000;
	assert_int_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
	end_pass(&end, spw_sessions_deadline(&end.s) - end.now_ms);
	end.now_ms += 4999;
	assert_int_not_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
}

static void test_inits_are_limited(void **state)
{
	struct end end;
	uint32_t accepted = 0;

	(void)state;
	end_new(&end, true, false);
	for (uint32_t i = 0; i < 1000; i++, end.now_ms++)
		accepted += spw_sessions_init_heard(&end.s, end.now_ms) != 0;
	assert_in_range(accepted, 50, 55);
	/* Each replaced the one before. */
	assert_int_equal(end.drops_cnt, accepted - 1);
}

static void test_make_fails(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end.answer = ANSWER_ERROR;
	assert_int_not_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
	assert_int_equal(end.drops_cnt, 1);
	assert_int_equal(end.drops[0], end.made);
	end_pass(&end, 300);
	assert_int_equal(end.inits, 2);
	assert_int_not_equal(spw_sessions_init_heard(&end.s, end.now_ms), 0);
	assert_int_equal(end.drops_cnt, 2);
	assert_int_equal(end.responses, 0);
	end.answer = ANSWER_AT_ONCE;
	end_up_as_initiator(&end);
}

static void test_make_never_answers(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end.answer = ANSWER_NEVER;
	uint32_t serial = spw_sessions_response_heard(&end.s, end.now_ms);
	end_pass(&end, 4999);
	assert_int_equal(end.inits, 1);
	end_pass(&end, 1);
	assert_int_equal(end.inits, 2);
	assert_int_not_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
	assert_int_equal(end.drops_cnt, 1);
	assert_int_equal(end.drops[0], serial);
	/* Too late. */
	spw_sessions_made(&end.s, serial, 0, end.now_ms);
	assert_int_equal(end.sending, 0);
}

/* ---- change of keys ----------------------------------------------------------------------- */

static void test_initiator_rekeys(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	uint32_t old = end_up_as_initiator(&end);
	end_pass(&end, 119999);
	assert_int_equal(end.inits, 0);
	end_pass(&end, 10001);
	assert_in_range(end.inits, 1, 6);
	uint32_t new = end_up_as_initiator(&end);
	assert_true(new != old);
	assert_int_equal(end.drops_cnt, 0);
	/* The old one receives until it is 180 s old. */
	end_pass(&end, 49999);
	assert_int_equal(end.drops_cnt, 0);
	end_pass(&end, 1);
	assert_int_equal(end.drops_cnt, 1);
	assert_int_equal(end.drops[0], old);
	struct spw_sessions_status status;
	spw_sessions_status(&end.s, end.now_ms, &status);
	assert_int_equal(status.rekeys, 1);
	assert_true(status.shaken);
	assert_int_equal(status.handshake_ms, 50000);
}

static void test_responder_rekeys_late(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end_up_as_responder(&end);
	end_pass(&end, 164999);
	assert_int_equal(end.inits, 0);
	end_pass(&end, 1);
	assert_int_equal(end.inits, 1);
}

static void test_keys_end(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, false);
	uint32_t serial = end_up_as_responder(&end);
	end_pass(&end, 179999);
	assert_int_equal(end.sending, serial);
	/* They cannot be taken away at first. */
	end.switch_error = -11;
	end_pass(&end, 1000);
	assert_int_equal(end.drops_cnt, 0);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_NO_ENDPOINT);
	end.switch_error = 0;
	end_pass(&end, 100);
	assert_int_equal(end.sending, 0);
	assert_int_equal(end.drops_cnt, 1);
	assert_true(spw_sessions_deadline(&end.s) == UINT64_MAX);
}

/* Whatever is called first after a long sleep, nothing is sent with old keys. */
static void test_sleep(void **state)
{
	(void)state;
	for (int call = 0; call < 7; call++) {
		struct end end;
		end_new(&end, true, true);
		spw_sessions_set_behind_nat(&end.s, true);
		uint32_t serial = end_up_as_initiator(&end);
		spw_sessions_init_heard(&end.s, end.now_ms);
		end.now_ms += 3600000;
		end.totals.rx_packets = end.totals.rx_bytes = end.totals.tx_packets = 1000;
		if (call == 0)
			spw_sessions_tick(&end.s, end.now_ms);
		else if (call == 1)
			spw_sessions_heard(&end.s, serial, end.now_ms);
		else if (call == 2)
			spw_sessions_traffic(&end.s, &end.totals, end.now_ms);
		else if (call == 3)
			spw_sessions_rekey(&end.s, end.now_ms);
		else if (call == 4)
			spw_sessions_heard(&end.s, serial + 1, end.now_ms);
		else if (call == 5)
			assert_int_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
		else
			assert_int_not_equal(spw_sessions_init_heard(&end.s, end.now_ms), 0);
		spw_sessions_tick(&end.s, end.now_ms);
		assert_int_equal(end.sending, 0);
		assert_int_equal(end.drops_cnt, 2);
		assert_int_equal(end.dummies, 0);
		assert_int_equal(end.inits, 1);
	}
}

static void test_worn(void **state)
{
	static const struct {
		struct spw_sessions_traffic below, above;
	} cases[] = {
		{{.tx_packets = (1u << 30) - 1}, {.tx_packets = 1u << 30}},
		{{.rx_packets = (1u << 30) - 1}, {.rx_packets = 1u << 30}},
		{{.tx_bytes = (1ull << 41) - 1}, {.tx_bytes = 1ull << 41}},
		{{.rx_bytes = (1ull << 41) - 1}, {.rx_bytes = 1ull << 41}},
		{{.tx_bytes = (1ull << 41) - 17, .tx_packets = 1},
		 {.tx_bytes = (1ull << 41) - 16, .tx_packets = 1}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct end end;
		end_new(&end, true, true);
		end_up_as_initiator(&end);
		spw_sessions_traffic(&end.s, &cases[i].below, end.now_ms);
		assert_int_equal(end.inits, 0);
		spw_sessions_traffic(&end.s, &cases[i].above, end.now_ms);
		assert_int_equal(end.inits, 1);
		/* The next keys are new. */
		end_up_as_initiator(&end);
		spw_sessions_traffic(&end.s, &cases[i].above, end.now_ms);
		end_pass(&end, 1000);
		assert_int_equal(end.inits, 0);
	}
}

static void test_person_asks(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end_up_as_initiator(&end);
	spw_sessions_rekey(&end.s, end.now_ms);
	end_pass(&end, 4999);
	assert_int_equal(end.inits, 0);
	end_pass(&end, 1);
	assert_int_equal(end.inits, 1);
	end_up_as_initiator(&end);
	end_pass(&end, 100000);
	assert_int_equal(end.inits, 0);
	spw_sessions_rekey(&end.s, end.now_ms);
	assert_int_equal(end.inits, 1);
}

/* Not before it is known which of ours the peer sends with ... */
static void test_person_waits_for_the_peer(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	uint32_t serial = spw_sessions_response_heard(&end.s, end.now_ms);
	spw_sessions_rekey(&end.s, end.now_ms);
	end_pass(&end, 10000);
	assert_int_equal(end.inits, 1);
	spw_sessions_heard(&end.s, serial, end.now_ms);
	assert_int_equal(end.inits, 2);
}

/* ... nor while one of the peer's is under way. */
static void test_person_waits_for_a_handshake(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, false, true);
	uint32_t serial = spw_sessions_response_heard(&end.s, end.now_ms);
	end_pass(&end, 4000);
	assert_int_not_equal(spw_sessions_init_heard(&end.s, end.now_ms), 0);
	spw_sessions_rekey(&end.s, end.now_ms);
	spw_sessions_heard(&end.s, serial, end.now_ms);
	end_pass(&end, 4999);
	assert_int_equal(end.inits, 1);
	end_pass(&end, 1);
	assert_int_equal(end.inits, 2);
}

static void test_switch_fails(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end.switch_error = -11;
	uint32_t serial = spw_sessions_response_heard(&end.s, end.now_ms);
	assert_int_equal(end.sending, 0);
	assert_int_equal(end.dummies, 0);
	end_pass(&end, 1000);
	assert_int_equal(end.inits, 1);
	end.switch_error = 0;
	end_pass(&end, 100);
	assert_int_equal(end.sending, serial);
	assert_int_equal(end.dummies, 1);
}

static void test_stop_forgets(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	uint32_t serial = end_up_as_initiator(&end);
	spw_sessions_stop(&end.s);
	assert_int_equal(end.drops_cnt, 0);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_STOPPED);
	end_pass(&end, 1000000);
	assert_int_equal(spw_sessions_init_heard(&end.s, end.now_ms), 0);
	assert_int_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
	end.sending = 0;
	spw_sessions_start(&end.s, end.now_ms);
	assert_int_equal(end.inits, 1);
	spw_sessions_heard(&end.s, serial, end.now_ms);
	assert_true(end_up_as_initiator(&end) > serial);
}

/* ---- both begin --------------------------------------------------------------------------- */

static void test_smaller_yields(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, false, true);
	uint32_t theirs = spw_sessions_init_heard(&end.s, end.now_ms);
	assert_int_equal(end.responses, 1);
	assert_int_equal(spw_sessions_response_heard(&end.s, end.now_ms), 0);
	end_pass(&end, 4999);
	assert_int_equal(end.inits, 1);
	/* Theirs came to nothing. */
	end_pass(&end, 1);
	assert_int_equal(end.inits, 2);
	spw_sessions_heard(&end.s, theirs, end.now_ms);
	assert_int_equal(end.sending, theirs);
}

static void test_smaller_gives_up_what_is_made(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, false, true);
	end.answer = ANSWER_NEVER;
	uint32_t ours = spw_sessions_response_heard(&end.s, end.now_ms);
	uint32_t theirs = spw_sessions_init_heard(&end.s, end.now_ms);
	assert_int_equal(end.drops_cnt, 1);
	assert_int_equal(end.drops[0], ours);
	spw_sessions_made(&end.s, ours, 0, end.now_ms);
	assert_int_equal(end.sending, 0);
	spw_sessions_made(&end.s, theirs, 0, end.now_ms);
	assert_int_equal(end.responses, 1);
}

static void test_larger_insists(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	uint32_t theirs = spw_sessions_init_heard(&end.s, end.now_ms);
	uint32_t ours = spw_sessions_response_heard(&end.s, end.now_ms);
	assert_int_equal(end.sending, ours);
	/* What they send with theirs until they hear ours is received. */
	spw_sessions_heard(&end.s, theirs, end.now_ms);
	assert_int_equal(end.sending, ours);
	assert_int_equal(end.drops_cnt, 0);
	/* A later one of theirs, as they have been restarted. */
	end_pass(&end, 1000);
	theirs = spw_sessions_init_heard(&end.s, end.now_ms);
	spw_sessions_heard(&end.s, theirs, end.now_ms);
	assert_int_equal(end.sending, theirs);
}

/* A session that the peer may be in use of is not dropped for its next INIT. */
static void test_next_in_doubt_stays(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, false);
	uint32_t first = spw_sessions_init_heard(&end.s, end.now_ms);
	end_pass(&end, 5000);
	uint32_t second = spw_sessions_init_heard(&end.s, end.now_ms);
	assert_int_equal(end.drops_cnt, 0);
	end_pass(&end, 4999);
	uint32_t third = spw_sessions_init_heard(&end.s, end.now_ms);
	assert_int_equal(end.drops_cnt, 1);
	assert_int_equal(end.drops[0], second);
	spw_sessions_heard(&end.s, first, end.now_ms);
	assert_int_equal(end.sending, first);
	spw_sessions_heard(&end.s, third, end.now_ms);
	assert_int_equal(end.sending, third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initiator),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_dummies_unanswered),
		cmocka_unit_test(test_responder),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_late_response_is_void),
		cmocka_unit_test(test_inits_are_limited),
		cmocka_unit_test(test_make_fails),
		cmocka_unit_test(test_make_never_answers),
		cmocka_unit_test(test_initiator_rekeys),
		cmocka_unit_test(test_responder_rekeys_late),
		cmocka_unit_test(test_keys_end),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_worn),
		cmocka_unit_test(test_person_asks),
		cmocka_unit_test(test_person_waits_for_the_peer),
		cmocka_unit_test(test_person_waits_for_a_handshake),
		cmocka_unit_test(test_switch_fails),
		cmocka_unit_test(test_stop_forgets),
		cmocka_unit_test(test_smaller_yields),
		cmocka_unit_test(test_smaller_gives_up_what_is_made),
		cmocka_unit_test(test_larger_insists),
		cmocka_unit_test(test_next_in_doubt_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
