/* SPDX-License-Identifier: BSD-2-Clause */
/* Tries read back: walked in order, taken up by a new pool, refused when they are damaged. */
#include "tests/unit/tables/trie_fixture.h"

#define UNITS 8192u

struct list {
	struct spw_prefix prefixes[4096];
	uint32_t leaves[4096];
	uint32_t cnt;
};

static int list_add(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	struct list *list = arg;
	if (list->cnt == 4096)
		return -E2BIG;
	list->prefixes[list->cnt] = *prefix;
	list->leaves[list->cnt++] = leaf;
	return 0;
}

static int stop_at_third(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	(void)prefix;
	(void)leaf;
	return ++*(int *)arg == 3 ? 42 : 0;
}

static void test_walk(void **state)
{
	struct list *list = calloc(1, sizeof(*list));
	struct fixture fixture;
	uint64_t seed = 2024;

	(void)state;
	assert_non_null(list);
	for (unsigned int family = 4; family <= 6; family += 2) {
		uint32_t root = 0, published = 0;
		int calls = 0;

		fixture_open(&fixture, 65536);
		assert_int_equal(spw_trie_walk(fixture.pool, 0, family, list_add, list), 0);
		list->cnt = 0;
		struct spw_trie_txn *txn = fixture_begin(&fixture);
		uint32_t filled = fill(&fixture, txn, &root, family, &seed, 2000);
		fixture_commit(&fixture, txn, &published, root);
		assert_int_equal(spw_trie_walk(fixture.pool, root, family, list_add, list), 0);
		assert_int_equal(list->cnt, filled);
		for (uint32_t i = 0; i < list->cnt; i++) {
			assert_int_equal(list->prefixes[i].family, family);
			assert_int_equal(spw_trie_get(fixture.pool, root, &list->prefixes[i]),
					 list->leaves[i]);
			if (i == 0)
				continue;
			int order = memcmp(list->prefixes[i - 1].addr, list->prefixes[i].addr, 16);
			assert_true(order < 0 || (order == 0 && list->prefixes[i - 1].bits <
									list->prefixes[i].bits));
		}
		assert_int_equal(spw_trie_walk(fixture.pool, root, family, stop_at_third, &calls),
				 42);
		assert_int_equal(calls, 3);
		fixture_close(&fixture);
	}
	free(list);
}

static void test_restart(void **state)
{
	struct fixture fixture;
	uint64_t seed = 12;
	uint32_t roots[2] = {0, 0}, published[2];

	(void)state;
	fixture_open(&fixture, 65536);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	fill(&fixture, txn, &roots[0], 4, &seed, 1000);
	fill(&fixture, txn, &roots[1], 6, &seed, 500);
	fixture_commit(&fixture, txn, &published[0], roots[0]);
	struct spw_trie_usage before = fixture_usage(&fixture), after;

	/* Control dies in the middle of a transaction; its blocks are lost and found. */
	uint32_t unpublished[2] = {roots[0], roots[1]};
	txn = fixture_begin(&fixture);
	change_much(txn, &unpublished[0], 4, &seed, 300);
	change_much(txn, &unpublished[1], 6, &seed, 300);
	assert_true(fixture_usage(&fixture).units_used > before.units_used);
	struct spw_trie_pool *dead = fixture.pool;

	fixture_pool(&fixture);
	assert_int_equal(spw_trie_mark(fixture.pool, 0, 4), 0);
	assert_int_equal(spw_trie_mark(fixture.pool, roots[0], 4), 0);
	assert_int_equal(spw_trie_mark(fixture.pool, roots[1], 6), 0);
	spw_trie_marked(fixture.pool);
	after = fixture_usage(&fixture);
	assert_memory_equal(&before, &after, sizeof(before));

	/* The new pool hands out nothing that is in use, and everything that is not. */
	struct spw_trie_txn *fresh = fixture_begin(&fixture);
	uint32_t other = 0;
	fill(&fixture, fresh, &other, 6, &seed, 1000);
	fixture_commit(&fixture, fresh, &published[1], other);
	fresh = fixture_begin(&fixture);
	assert_int_equal(spw_trie_clear(fresh, &roots[0], 4), 0);
	assert_int_equal(spw_trie_clear(fresh, &roots[1], 6), 0);
	assert_int_equal(spw_trie_clear(fresh, &other, 6), 0);
	fixture_commit(&fixture, fresh, &published[0], 0);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);

	memset(fixture.units, 0, fixture.units_max * sizeof(*fixture.units));
	spw_trie_txn_abort(txn);
	spw_trie_pool_destroy(dead);
	fixture_close(&fixture);
}

/* ---- damage ------------------------------------------------------------------------------- */

#define DAMAGES 6

/* What a trie of that shape could have gone wrong in; 0: nothing. A unit is 8 words; see tables.h
 * for what they hold. Returns the root to mark. */
static uint32_t damage_list(__u64 *word, uint32_t root, int damage)
{
	const uint32_t roots[DAMAGES] = {root, SPW_TRIE_REF(SPW_TRIE_LIST, UNITS),
					 SPW_TRIE_REF(21, 1),
					 SPW_TRIE_REF(SPW_TRIE_LIST + 2, SPW_TRIE_INDEX(root))};

	if (damage < 4)
		return roots[damage];
	if (damage == 4)
		word[3] = (word[3] & 0xffffffff) | 15ull << 40; /* entries */
	else
		word[4] &= ~0xffffffffull; /* no leaf */
	return root;
}

static uint32_t damage_guard(__u64 *word, uint32_t root, int damage)
{
	__u32 *below = (__u32 *)word + 8;

	switch (damage) {
	case 1: /* a ring */
		*below = root;
		break;
	case 2: /* to nowhere */
		*below = SPW_TRIE_REF(SPW_TRIE_NODE, UNITS);
		break;
	case 3: /* to nothing */
		*below = 0;
		break;
	case 4: /* of a host, within which nothing is */
		word[0] &= ~0xffffffffull;
		break;
	case 5: /* of no entries */
		below[-1] = 0;
		break;
	}
	return root;
}

static uint32_t damage_node(__u64 *word, uint32_t root, int damage)
{
	switch (damage) {
	case 1: /* a child that is none: what was a leaf */
		word[0] |= 1ull << 20;
		break;
	case 2:
		word[2] |= 1; /* no prefix is that short */
		break;
	case 3:
		word[0] = word[1] = word[2] = 0;
		break;
	case 4: /* more than its values */
		word[1] = ~0ull;
		break;
	case 5: /* a ring */
		word[0] = 1;
		word[3] = root;
		break;
	}
	return root;
}

static uint32_t damage_direct(__u64 *word, uint32_t root, int damage)
{
	switch (damage) {
	case 1: /* `own` is a ring */
		word[0] = root;
		break;
	case 2: /* `own` lies in another block */
		word[0] = SPW_TRIE_REF(SPW_TRIE_LIST, SPW_TRIE_INDEX(root) + 1);
		break;
	case 3: /* a slot leads to nowhere */
		word[8] = ~0ull;
		break;
	case 4: /* two slots to one block */
		for (int i = 9; i < 72; i++)
			if (word[i] >> 32)
				word[8] = word[i];
		break;
	case 5: /* more slots than there are units */
		word[6] = SPW_TRIE_FORM(20, 20);
		break;
	}
	return root;
}

/* The head of one that skips bits. */
static uint32_t damage_skipping(__u64 *word, uint32_t root, int damage)
{
	switch (damage) {
	case 1: /* bits that end behind the address */
		word[6] += 27 << 16;
		break;
	case 2: /* a shift that does not fit the bits */
		word[6]++;
		break;
	case 3: /* a base that has bits of the slots */
		word[4] |= 1ull << 41;
		break;
	case 4: /* outside is a ring */
		word[7] = (__u64)root << 32;
		break;
	case 5: /* no power of two of slots */
		word[6] += 1ull << 32;
		break;
	}
	return root;
}

/* How many prefixes, of which lengths and how far apart, make a trie of the shape. */
static const struct shape {
	uint32_t shape, cnt, step;
	uint8_t bits;
	uint32_t (*damage)(__u64 *word, uint32_t root, int damage);
} shapes[] = {
	{SPW_TRIE_LIST, 5, 1u << 24, 16, damage_list},
	{SPW_TRIE_GUARD, 40, 1u << 8, 24, damage_guard},
	{SPW_TRIE_NODE, 40, 1u << 26, 6, damage_node},
	{SPW_TRIE_DIRECT, 100, 1u << 25, 16, damage_direct},
	{SPW_TRIE_DIRECT, 40, 1u << 8, 24, damage_skipping},
};

/* Takes so much of the pool that no direct tables are made of few prefixes. */
static void fill_quarter(struct fixture *fixture)
{
	uint32_t root = 0, published = 0;
	uint64_t seed = 8;
	struct spw_trie_txn *txn = fixture_begin(fixture);

	while (fixture_usage(fixture).units_used <= UNITS / 4)
		fill(fixture, txn, &root, 6, &seed, 100);
	fixture_commit(fixture, txn, &published, root);
	assert_true(fixture_usage(fixture).units_used > UNITS / 4);
}

static uint32_t shape_build(struct fixture *fixture, const struct shape *shape)
{
	uint32_t root = 0, published = 0;

	if (shape->shape != SPW_TRIE_DIRECT)
		fill_quarter(fixture);
	struct spw_trie_txn *txn = fixture_begin(fixture);
	for (uint32_t i = 0; i < shape->cnt; i++) {
		uint32_t addr_be = htonl(i * shape->step | (shape->cnt == 100 ? i << 16 : 0));
		struct spw_prefix prefix = {.family = 4, .bits = shape->bits};
		memcpy(prefix.addr, &addr_be, sizeof(addr_be));
		assert_int_equal(spw_trie_insert(txn, &root, &prefix, i + 1, false), 0);
	}
	fixture_commit(fixture, txn, &published, root);
	if (shape->shape == SPW_TRIE_DIRECT)
		assert_int_equal(SPW_TRIE_SHAPE(root), SPW_TRIE_DIRECT);
	else
		assert_in_range(SPW_TRIE_SHAPE(root), shape->shape, shape->shape | 3);
	return root;
}

static void test_restart_finds_damage(void **state)
{
	(void)state;
	for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
		for (int damage = 0; damage < DAMAGES; damage++) {
			struct fixture fixture;

			fixture_open(&fixture, UNITS);
			uint32_t root = shape_build(&fixture, &shapes[s]);
			spw_trie_pool_destroy(fixture.pool);
			fixture_pool(&fixture);
			__u64 *word = fixture.units[SPW_TRIE_INDEX(root)].word;
			uint32_t mark = shapes[s].damage(word, root, damage);
			int error = spw_trie_mark(fixture.pool, mark, 4);
			if (error != (damage ? -EUCLEAN : 0))
				fail_msg("shape %u, damage %d: %d", shapes[s].shape, damage, error);
			if (damage == 0) /* the same root again */
				assert_int_equal(spw_trie_mark(fixture.pool, mark, 4), -EUCLEAN);
			fixture_close(&fixture);
		}
	}
}

/* Control died while it stored the slots of a direct table: some say the new route, some the old
 * one, some nothing. Taken up again they all say what `own` says. */
static void test_restart_sets_slots_right(void **state)
{
	struct fixture fixture;
	uint32_t root = 0, published = 0;

	(void)state;
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t addr_be = htonl(i << 25 | i << 16);
		struct spw_prefix prefix = {.family = 4, .bits = 20};
		memcpy(prefix.addr, &addr_be, sizeof(addr_be));
		assert_int_equal(spw_trie_insert(txn, &root, &prefix, 1000 + i, false), 0);
	}
	insert(txn, &root, "0.0.0.0/0", 7);
	insert(txn, &root, "64.0.0.0/2", 8);
	fixture_commit(&fixture, txn, &published, root);
	assert_int_equal(SPW_TRIE_SHAPE(root), SPW_TRIE_DIRECT);
	struct spw_trie_unit *image = malloc(fixture.units_max * sizeof(*image));
	assert_non_null(image);
	memcpy(image, fixture.units, fixture.units_max * sizeof(*image));

	__u64 *word = fixture.units[SPW_TRIE_INDEX(root)].word;
	word[0] = (__u32)word[0] | 5ull << 32; /* prefixes in all are counted anew */
	word[8] = word[8] >> 32 << 32;         /* the first slot */
	word[24] = (word[24] >> 32 << 32) | 9; /* and one in the second quarter */
	spw_trie_pool_destroy(fixture.pool);
	fixture_pool(&fixture);
	assert_int_equal(spw_trie_mark(fixture.pool, root, 4), 0);
	spw_trie_marked(fixture.pool);
	assert_int_equal(fixture_count(&fixture, root, 4), 102);
	assert_memory_equal(image, fixture.units, fixture.units_max * sizeof(*image));
	free(image);
	fixture_close(&fixture);
}

/* Control stops while old blocks are in the limbo: its own memory goes (the leak checker looks),
 * the blocks stay as they are. */
static void test_stop_before_the_limbo_is_empty(void **state)
{
	struct fixture fixture;
	uint64_t seed = 3;
	uint32_t root = 0, published = 0;

	(void)state;
	fixture_open(&fixture, 65536);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	fill(&fixture, txn, &root, 4, &seed, 500);
	fixture_commit(&fixture, txn, &published, root);
	struct spw_trie_usage before = fixture_usage(&fixture);

	fixture.workers[0].epoch = fixture.meta->epoch; /* a worker that lags */
	for (int i = 0; i < 2; i++) {
		txn = fixture_begin(&fixture);
		change_much(txn, &root, 4, &seed, 100);
		assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), 0);
		published = root;
		spw_trie_txn_retire(txn);
	}
	assert_int_equal(spw_grace_drain(fixture.grace, 50), -ETIMEDOUT);
	assert_int_equal(spw_grace_waiting(fixture.grace), 2);
	assert_true(fixture_usage(&fixture).units_used > before.units_used);
	spw_grace_destroy(fixture.grace);
	spw_trie_pool_destroy(fixture.pool);

	fixture.workers[0].epoch = 0;
	assert_int_equal(
		spw_grace_create(&fixture.grace, fixture.meta, fixture.workers, FIXTURE_LIMBO), 0);
	fixture_pool(&fixture);
	assert_int_equal(spw_trie_mark(fixture.pool, published, 4), 0);
	spw_trie_marked(fixture.pool);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_restart_finds_damage),
		cmocka_unit_test(test_restart_sets_slots_right),
		cmocka_unit_test(test_stop_before_the_limbo_is_empty),
	};
	return cmocka_run_group_tests_name("tables_trie_restart", tests, NULL, NULL);
}
