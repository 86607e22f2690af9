/* SPDX-License-Identifier: BSD-2-Clause */
/* test_silence.c - one end of a tunnel: what it does about silence, its own and the peer's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/session/end.h"

static void test_keepalive(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, false);
	end_up_as_responder(&end);
	end_count(&end, 0, 1, 0);
	end_pass(&end, 5000);
	end_count(&end, 0, 1, 0);
	end_pass(&end, 4999);
	assert_int_equal(end.dummies, 0);
	end_pass(&end, 1);
	assert_int_equal(end.dummies, 1);
	/* Dummies are not answered; what was sent is an answer. */
	end_count(&end, 0, 0, 5);
	end_pass(&end, 20000);
	assert_int_equal(end.dummies, 1);
	end_count(&end, 0, 1, 0);
	end_pass(&end, 9000);
	end_count(&end, 1, 0, 0);
	end_pass(&end, 30000);
	assert_int_equal(end.dummies, 1);
}

static void test_behind_nat(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, false);
	end_up_as_responder(&end);
	spw_sessions_set_behind_nat(&end.s, true);
	end_pass(&end, 19999);
	assert_int_equal(end.dummies, 0);
	end_pass(&end, 1);
	assert_int_equal(end.dummies, 1);
	end_pass(&end, 10000);
	end_count(&end, 1, 0, 0);
	end_pass(&end, 19999);
	assert_int_equal(end.dummies, 1);
	end_pass(&end, 1);
	assert_int_equal(end.dummies, 2);
}

static void test_silent(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	end_up_as_initiator(&end);
	end_pass(&end, 1000);
	end_count(&end, 1, 0, 0);
	end_pass(&end, 14999);
	end_count(&end, 1, 0, 0);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_UP);
	assert_int_equal(end.inits, 0);
	end_pass(&end, 335);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_SILENT);
	assert_in_range(end.inits, 1, 2);
	/* Even a dummy tells that the peer is there. */
	uint32_t inits = end.inits;
	end_count(&end, 0, 0, 1);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_UP);
	end_pass(&end, 20000);
	assert_int_equal(end.inits, inits);
}

static void test_silent_peer_comes_back(void **state)
{
	struct end end;

	(void)state;
	end_new(&end, true, true);
	uint32_t old = end_up_as_initiator(&end);
	end_count(&end, 1, 0, 0);
	end_pass(&end, 30000);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_SILENT);
	assert_int_equal(end.sending, old);
	end_pass(&end, spw_sessions_deadline(&end.s) - end.now_ms);
	end_up_as_initiator(&end);
	assert_int_equal(spw_sessions_state(&end.s), SPW_SESSIONS_UP);
	end_pass(&end, 60000);
	assert_int_equal(end.inits, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_behind_nat),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_silent_peer_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
