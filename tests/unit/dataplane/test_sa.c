/* SPDX-License-Identifier: BSD-2-Clause */
/* test_sa.c - the SA table: what is accepted, what is refused, what is left behind. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/arena.h"
#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/world.h"

static int setup(void **state)
{
	*state = spw_sa_table_create(16);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	spw_sa_table_destroy(*state);
	assert_int_equal(arena_live_cnt, 0);
	return 0;
}

static void add_and_remove(void **state)
{
	struct spw_sa_table *table = *state;
	struct spw_msg_sa_add in = world_sa(SPW_SA_IN, 2), out = world_sa(SPW_SA_OUT, 3);
	uint64_t sequence;

	in.sequence = 70;
	out.sequence = 90;
	assert_int_equal(spw_sa_add(table, &in, 0), 0);
	assert_int_equal(spw_sa_add(table, &in, 0), -EEXIST);
	assert_int_equal(spw_sa_add(table, &out, 0), 0);
	assert_int_equal(spw_sa_query(table, SPW_SA_IN, 2, &sequence), 0);
	assert_int_equal(sequence, 69); /* the highest that may have been accepted */
	assert_int_equal(spw_sa_query(table, SPW_SA_OUT, 3, &sequence), 0);
	assert_int_equal(sequence, 90);
	assert_int_equal(spw_sa_limit(table, SPW_SA_OUT, 3, 4711), 0);
	assert_int_equal(table->out[3]->limit, 4711);

	struct spw_sa *sa = spw_sa_unpublish(table, SPW_SA_IN, 2);
	assert_non_null(sa);
	assert_null(spw_sa_get(table->in, table->sas_max, 2));
	assert_null(spw_sa_unpublish(table, SPW_SA_IN, 2));
	spw_sa_destroy(sa);
	assert_int_equal(spw_sa_query(table, SPW_SA_IN, 2, &sequence), -ENOENT);
	assert_int_equal(spw_sa_limit(table, SPW_SA_IN, 2, 1), -ENOENT);
	assert_int_equal(spw_sa_add(table, &in, 0), 0);
}

static void out_of_range(void **state)
{
	struct spw_sa_table *table = *state;
	uint64_t sequence;

	assert_null(spw_sa_get(table->in, table->sas_max, 16));
	assert_null(spw_sa_get(table->in, table->sas_max, UINT32_MAX));
	for (uint32_t direction = 0; direction < 4; direction++) {
		static const uint32_t slots[] = {0, 16, UINT32_MAX};
		for (int k = 0; k < 3; k++) {
			assert_int_equal(spw_sa_query(table, direction, slots[k], &sequence),
					 -EINVAL);
			assert_int_equal(spw_sa_limit(table, direction, slots[k], 1), -EINVAL);
			assert_null(spw_sa_unpublish(table, direction, slots[k]));
		}
	}
	assert_int_equal(spw_sa_query(table, 2, 1, &sequence), -EINVAL);
}

#define REFUSED(direction, change)                                                                 \
	do {                                                                                       \
		struct spw_msg_sa_add msg = world_sa(direction, 2);                                \
		msg.change;                                                                        \
		assert_int_equal(spw_sa_add(*state, &msg, 0), -EINVAL);                            \
	} while (0)

static void bad_fields(void **state)
{
	REFUSED(SPW_SA_IN, direction = 2);
	REFUSED(SPW_SA_IN, slot = 0);
	REFUSED(SPW_SA_IN, slot = 16);
	REFUSED(SPW_SA_IN, slot = 3); /* not the SPI's */
	REFUSED(SPW_SA_IN, spi = WORLD_SPI_IN(3));
	REFUSED(SPW_SA_IN, tunnel = 0);
	REFUSED(SPW_SA_IN, worker = SPW_WORKERS_MAX);
	REFUSED(SPW_SA_IN, flags = 4);
	REFUSED(SPW_SA_OUT, flags = SPW_SA_F_SESSION);
	REFUSED(SPW_SA_IN, key_bytes = 0);
	REFUSED(SPW_SA_IN, key_bytes = 24);
	REFUSED(SPW_SA_IN, key_bytes = 33);
	REFUSED(SPW_SA_IN, window_packets = 0);
	REFUSED(SPW_SA_IN, window_packets = 100);
	REFUSED(SPW_SA_IN, window_packets = 16384);
	REFUSED(SPW_SA_OUT, spi = 0);
	REFUSED(SPW_SA_OUT, spi = 255);
	REFUSED(SPW_SA_OUT, sequence = 0);
	assert_int_equal(arena_live_cnt, 0);
}

static int add_for(struct spw_sa_table *table, uint32_t direction, uint32_t slot,
		   uint32_t lifetime_ms, uint64_t now_ms)
{
	struct spw_msg_sa_add msg = world_sa(direction, slot);

	msg.lifetime_ms = lifetime_ms;
	return spw_sa_add(table, &msg, now_ms);
}

/* Ends come in the order of time, each SA's once, and not before their time. */
static void lifetimes(void **state)
{
	static const struct {
		uint32_t direction, slot;
		uint64_t end_ms;
	} order[] = {{SPW_SA_OUT, 3, 1100},
		     {SPW_SA_IN, 4, 1100},
		     {SPW_SA_IN, 2, 1200},
		     {SPW_SA_OUT, 1, 1000ull + UINT32_MAX}};
	struct spw_sa_table *table = *state;

	assert_int_equal(spw_sa_ends_in_ms(table, 1000), -1);
	assert_int_equal(add_for(table, SPW_SA_IN, 1, 0, 1000), 0);
	assert_int_equal(spw_sa_ends_in_ms(table, 1000), -1);
	assert_int_equal(add_for(table, SPW_SA_OUT, 1, UINT32_MAX, 1000), 0);
	assert_int_equal(spw_sa_ends_in_ms(table, 1000), INT32_MAX);
	assert_int_equal(add_for(table, SPW_SA_IN, 2, 200, 1000), 0);
	assert_int_equal(add_for(table, SPW_SA_OUT, 2, 150, 1000), 0);
	assert_int_equal(add_for(table, SPW_SA_OUT, 3, 100, 1000), 0);
	assert_int_equal(add_for(table, SPW_SA_IN, 4, 90, 1010), 0);
	spw_sa_destroy(spw_sa_unpublish(table, SPW_SA_OUT, 2)); /* control was first */
	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
		struct spw_sa **place = order[k].direction == SPW_SA_IN ? table->in : table->out;
		struct spw_sa *sa = place[order[k].slot];
		assert_null(k == 1 ? NULL : spw_sa_unpublish_ended(table, order[k].end_ms - 1));
		assert_ptr_equal(spw_sa_unpublish_ended(table, order[k].end_ms), sa);
		assert_null(place[order[k].slot]);
		spw_sa_destroy(sa);
	}
	assert_int_equal(spw_sa_ends_in_ms(table, UINT64_MAX), -1);
	assert_null(spw_sa_unpublish_ended(table, UINT64_MAX));
	assert_non_null(table->in[1]);
	assert_int_equal(add_for(table, SPW_SA_OUT, 1, 5, 7000), 0); /* what stands at the end */
	assert_int_equal(spw_sa_ends_in_ms(table, 7001), 4);
	assert_int_equal(spw_sa_ends_in_ms(table, 7006), 0);
}

/* A full arena is an error with nothing changed. */
static void arena_full(void **state)
{
	struct spw_msg_sa_add msg = world_sa(SPW_SA_IN, 2);
	msg.lifetime_ms = 1;
	arena_allowed_cnt = 0;
	assert_int_equal(spw_sa_add(*state, &msg, 0), -ENOMEM);
	assert_int_equal(arena_live_cnt, 0);
	arena_allowed_cnt = -1;
	assert_int_equal(spw_sa_add(*state, &msg, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(add_and_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(lifetimes, setup, teardown),
		cmocka_unit_test_setup_teardown(arena_full, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
