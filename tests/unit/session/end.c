/* SPDX-License-Identifier: BSD-2-Clause */
/* end.c - see end.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/session/end.h"

static uint64_t op_init_turn(void *arg, uint64_t now_ms)
{
	struct end *end = arg;

	return end->turn_ms > now_ms ? end->turn_ms : now_ms;
}

static void op_send_init(void *arg)
{
	struct end *end = arg;

	end->inits++;
}

static void op_make(void *arg, uint32_t serial)
{
	struct end *end = arg;

	end->made = serial;
	if (end->answer != ANSWER_NEVER)
		spw_sessions_made(&end->s, serial, end->answer == ANSWER_ERROR ? -12 : 0,
				  end->now_ms);
}

static void op_send_response(void *arg, uint32_t serial)
{
	struct end *end = arg;

	assert_int_equal(serial, end->made);
	end->responses++;
}

static int op_send_with(void *arg, uint32_t serial)
{
	struct end *end = arg;

	if (end->switch_error == 0)
		end->sending = serial;
	return end->switch_error;
}

static void op_send_dummy(void *arg)
{
	struct end *end = arg;

	assert_int_not_equal(end->sending, 0);
	end->dummies++;
}

static void op_drop(void *arg, uint32_t serial)
{
	struct end *end = arg;

	assert_int_not_equal(serial, end->sending);
	assert_true(end->drops_cnt < DROPS_MAX);
	end->drops[end->drops_cnt++] = serial;
}

static const struct spw_sessions_ops ops = {
	.init_turn = op_init_turn,
	.send_init = op_send_init,
	.make = op_make,
	.send_response = op_send_response,
	.send_with = op_send_with,
	.send_dummy = op_send_dummy,
	.drop = op_drop,
};

void end_new(struct end *end, bool larger_key, bool can_initiate)
{
	*end = (struct end){.now_ms = START_MS};
	spw_sessions_init(&end->s, &ops, end, larger_key, 7);
	assert_int_equal(spw_sessions_state(&end->s), SPW_SESSIONS_STOPPED);
	assert_true(spw_sessions_deadline(&end->s) == UINT64_MAX);
	spw_sessions_set_initiate(&end->s, can_initiate);
	spw_sessions_start(&end->s, end->now_ms);
	spw_sessions_traffic(&end->s, &end->totals, end->now_ms);
}

void end_pass(struct end *end, uint64_t ms)
{
	uint64_t until = end->now_ms + ms;

	while (spw_sessions_deadline(&end->s) <= until) {
		if (spw_sessions_deadline(&end->s) > end->now_ms)
			end->now_ms = spw_sessions_deadline(&end->s);
		spw_sessions_tick(&end->s, end->now_ms);
		assert_true(spw_sessions_deadline(&end->s) > end->now_ms);
	}
	end->now_ms = until;
}

void end_count(struct end *end, uint32_t sent, uint32_t heard, uint32_t heard_dummies)
{
	end->totals.tx_packets += sent;
	end->totals.tx_bytes += 100ull * sent;
	end->totals.rx_packets += heard + heard_dummies;
	end->totals.rx_bytes += 100ull * heard;
	spw_sessions_traffic(&end->s, &end->totals, end->now_ms);
}

uint32_t end_up_as_initiator(struct end *end)
{
	uint32_t serial = spw_sessions_response_heard(&end->s, end->now_ms);

	assert_int_not_equal(serial, 0);
	assert_int_equal(end->sending, serial);
	spw_sessions_heard(&end->s, serial, end->now_ms);
	end->inits = end->dummies = end->responses = 0;
	return serial;
}

uint32_t end_up_as_responder(struct end *end)
{
	uint32_t serial = spw_sessions_init_heard(&end->s, end->now_ms);

	assert_int_not_equal(serial, 0);
	spw_sessions_heard(&end->s, serial, end->now_ms);
	assert_int_equal(end->sending, serial);
	end->inits = end->dummies = end->responses = 0;
	return serial;
}
