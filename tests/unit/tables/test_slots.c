/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools of slot numbers, and the runs of units under the tries, against plain arrays of flags. */
#include "tests/unit/tables/trie_fixture.h"

#include <errno.h>

#include "control/daemon/tables/blocks.h"
#include "control/daemon/tables/slots.h"

static void test_slots_lowest_first(void **state)
{
	static const uint32_t maxima[] = {2, 63, 64, 65, 128, 1000};

	(void)state;
	for (size_t m = 0; m < sizeof(maxima) / sizeof(*maxima); m++) {
		struct spw_slots slots;
		uint32_t max = maxima[m];

		assert_int_equal(spw_slots_open(&slots, max), 0);
		assert_int_equal(spw_slots_left(&slots), max - 1);
		for (uint32_t i = 1; i < max; i++)
			assert_int_equal(spw_slots_alloc(&slots), i);
		assert_int_equal(spw_slots_alloc(&slots), 0);
		assert_int_equal(spw_slots_left(&slots), 0);
		spw_slots_free_later(&slots, max - 1);
		spw_slots_free(&slots, 1);
		spw_slots_free(&slots, 1);   /* twice: no effect */
		spw_slots_free(&slots, 0);   /* never handed out */
		spw_slots_free(&slots, max); /* out of range */
		assert_int_equal(spw_slots_left(&slots), max > 2 ? 2 : 1);
		assert_int_equal(spw_slots_alloc(&slots), 1);
		assert_int_equal(spw_slots_alloc(&slots), max > 2 ? max - 1 : 0);
		spw_slots_close(&slots);
	}
}

static void test_slots_mark(void **state)
{
	struct spw_slots slots;

	(void)state;
	assert_int_equal(spw_slots_open(&slots, 0), -EINVAL);
	assert_int_equal(spw_slots_open(&slots, 200), 0);
	assert_int_equal(spw_slots_mark(&slots, 0), -EINVAL);
	assert_int_equal(spw_slots_mark(&slots, 200), -EINVAL);
	assert_int_equal(spw_slots_mark(&slots, UINT32_MAX), -EINVAL);
	assert_int_equal(spw_slots_mark(&slots, 1), 0);
	assert_int_equal(spw_slots_mark(&slots, 199), 0);
	assert_int_equal(spw_slots_mark(&slots, 199), -EEXIST);
	assert_true(spw_slots_taken(&slots, 199));
	assert_false(spw_slots_taken(&slots, 2));
	assert_false(spw_slots_taken(&slots, 200));
	assert_int_equal(slots.used, 2);
	for (uint32_t i = 2; i < 199; i++)
		assert_int_equal(spw_slots_alloc(&slots), i);
	assert_int_equal(spw_slots_alloc(&slots), 0);
	spw_slots_close(&slots);
}

static void test_slots_random(void **state)
{
	bool taken[500] = {true};
	struct spw_slots slots;
	uint64_t seed = 5;

	(void)state;
	assert_int_equal(spw_slots_open(&slots, 500), 0);
	for (int n = 0; n < 100000; n++) {
		uint32_t slot = (uint32_t)(random_next(&seed) % 500);
		uint32_t lowest = 1;
		/* Times of growth and of decline, so that it runs full and empty. */
		if (random_next(&seed) % 10 < (n / 5000 % 2 ? 6 : 4)) {
			while (lowest < 500 && taken[lowest])
				lowest++;
			assert_int_equal(spw_slots_alloc(&slots), lowest % 500);
			taken[lowest % 500] = true;
		} else if (slot) {
			assert_int_equal(spw_slots_taken(&slots, slot), taken[slot]);
			spw_slots_free(&slots, slot);
			taken[slot] = false;
		}
	}
	spw_slots_close(&slots);
}

/* ---- blocks ------------------------------------------------------------------------------- */

#define UNITS 3000u

struct model {
	uint8_t owner[UNITS]; /* 0: free */
	struct {
		uint32_t first, units;
	} held[UNITS];
	uint32_t held_cnt;
};

/* Longest run of free units. */
static uint32_t model_longest(const struct model *model)
{
	uint32_t longest = 0, run = 0;
	for (uint32_t i = 1; i < UNITS; i++) {
		run = model->owner[i] ? 0 : run + 1;
		longest = run > longest ? run : longest;
	}
	return longest;
}

static void model_take(struct model *model, struct spw_blocks *blocks, uint32_t units)
{
	uint32_t first = spw_blocks_alloc(blocks, units);

	/* A run that is long enough is always found, so freed neighbours were joined. */
	if (first == 0) {
		assert_true(model_longest(model) < units);
		return;
	}
	assert_true(first + units <= UNITS);
	for (uint32_t i = first; i < first + units; i++) {
		assert_int_equal(model->owner[i], 0);
		model->owner[i] = 1;
	}
	model->held[model->held_cnt].first = first;
	model->held[model->held_cnt++].units = units;
}

static void model_give(struct model *model, struct spw_blocks *blocks, uint32_t n)
{
	uint32_t first = model->held[n].first, units = model->held[n].units;

	spw_blocks_free(blocks, first, units);
	memset(&model->owner[first], 0, units);
	model->held[n] = model->held[--model->held_cnt];
}

static void test_blocks_random(void **state)
{
	struct model *model = calloc(1, sizeof(*model));
	struct spw_blocks blocks, again;
	uint64_t seed = 77;

	(void)state;
	assert_non_null(model);
	assert_int_equal(spw_blocks_open(&blocks, UNITS), 0);
	assert_int_equal(spw_blocks_alloc(&blocks, 1), 0); /* nothing is known to be free yet */
	spw_blocks_marked(&blocks);
	assert_int_equal(blocks.free, UNITS - 1);
	for (int n = 0; n < 50000; n++) {
		if (random_next(&seed) % 10 < (n / 3000 % 2 ? 4 : 6)) {
			uint64_t dice = random_next(&seed);
			uint32_t most = dice % 4 ? 4 : SPW_BLOCK_LISTS + 8;
			model_take(model, &blocks, 1 + (uint32_t)(dice >> 8) % most);
		} else if (model->held_cnt) {
			model_give(model, &blocks,
				   (uint32_t)(random_next(&seed) % model->held_cnt));
		}
		uint32_t free_units = 0;
		for (uint32_t i = 1; n % 500 == 0 && i < UNITS; i++)
			free_units += model->owner[i] == 0;
		if (n % 500 == 0)
			assert_int_equal(blocks.free, free_units);
	}

	/* The same free units are found again from what is held. */
	assert_int_equal(spw_blocks_open(&again, UNITS), 0);
	for (uint32_t i = 0; i < model->held_cnt; i++) {
		assert_true(spw_blocks_mark(&again, model->held[i].first, model->held[i].units));
		assert_false(spw_blocks_mark(&again, model->held[i].first, 1));
	}
	spw_blocks_marked(&again);
	assert_int_equal(again.free, blocks.free);
	assert_memory_equal(again.is_free, blocks.is_free, (UNITS / 64 + 1) * 8);
	assert_int_equal(again.lists, blocks.lists);
	spw_blocks_close(&blocks);

	while (model->held_cnt)
		model_give(model, &again, model->held_cnt / 2);
	assert_int_equal(again.free, UNITS - 1);
	assert_int_equal(again.run[1], UNITS - 1); /* one run again */
	spw_blocks_close(&again);
	free(model);
}

static void test_blocks_mark_refuses(void **state)
{
	struct spw_blocks blocks;

	(void)state;
	assert_int_equal(spw_blocks_open(&blocks, 100), 0);
	assert_false(spw_blocks_mark(&blocks, 0, 1));
	assert_false(spw_blocks_mark(&blocks, 100, 1));
	assert_false(spw_blocks_mark(&blocks, 99, 2));
	assert_false(spw_blocks_mark(&blocks, UINT32_MAX, 64));
	assert_true(spw_blocks_mark(&blocks, 98, 2));
	assert_false(spw_blocks_mark(&blocks, 97, 2));
	spw_blocks_marked(&blocks);
	assert_int_equal(blocks.free, 97);
	spw_blocks_close(&blocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_lowest_first),  cmocka_unit_test(test_slots_mark),
		cmocka_unit_test(test_slots_random),        cmocka_unit_test(test_blocks_random),
		cmocka_unit_test(test_blocks_mark_refuses),
	};
	return cmocka_run_group_tests_name("tables_slots", tests, NULL, NULL);
}
