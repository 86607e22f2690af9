/* SPDX-License-Identifier: BSD-2-Clause */
/* Tries read back: walked in order, taken up by a new pool, refused when they are damaged. */
#include "tests/unit/tables/trie_fixture.h"

#define NODES 8192u
#define LEAVES 8192u

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

		fixture_open(&fixture, 65536, 32768);
		assert_int_equal(spw_trie_walk(fixture.pool, 0, family, list_add, list), 0);
		list->cnt = 0;
		struct spw_trie_txn *txn = fixture_begin(&fixture);
		fill(txn, &root, family, &seed, 2000);
		fixture_commit(&fixture, txn, &published, root);
		assert_int_equal(spw_trie_walk(fixture.pool, root, family, list_add, list), 0);
		assert_int_equal(list->cnt, fixture_usage(&fixture).leaves_used);
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
	fixture_open(&fixture, 65536, 32768);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	fill(txn, &roots[0], 4, &seed, 1000);
	fill(txn, &roots[1], 6, &seed, 500);
	fixture_commit(&fixture, txn, &published[0], roots[0]);
	struct spw_trie_usage before = fixture_usage(&fixture), after;

	/* Control dies in the middle of a transaction; its blocks are lost and found. */
	uint32_t unpublished[2] = {roots[0], roots[1]};
	txn = fixture_begin(&fixture);
	change_much(txn, &unpublished[0], 4, &seed, 300);
	change_much(txn, &unpublished[1], 6, &seed, 300);
	assert_true(fixture_usage(&fixture).nodes_used > before.nodes_used);
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
	fill(fresh, &other, 6, &seed, 1000);
	fixture_commit(&fixture, fresh, &published[1], other);
	fresh = fixture_begin(&fixture);
	assert_int_equal(spw_trie_clear(fresh, &roots[0]), 0);
	assert_int_equal(spw_trie_clear(fresh, &roots[1]), 0);
	assert_int_equal(spw_trie_clear(fresh, &other), 0);
	fixture_commit(&fixture, fresh, &published[0], 0);
	assert_int_equal(fixture_usage(&fixture).nodes_used, 0);
	assert_int_equal(fixture_usage(&fixture).leaves_used, 0);

	memset(fixture.nodes, 0, fixture.nodes_max * sizeof(*fixture.nodes));
	spw_trie_txn_abort(txn);
	spw_trie_pool_destroy(dead);
	fixture_close(&fixture);
}

static void test_restart_finds_damage(void **state)
{
	static const char *const prefixes[] = {"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"};

	(void)state;
	for (int damage = 0; damage < 8; damage++) {
		struct fixture fixture;
		uint32_t root = 0, published = 0;

		fixture_open(&fixture, NODES, LEAVES);
		struct spw_trie_txn *txn = fixture_begin(&fixture);
		for (uint32_t i = 0; i < 3; i++)
			insert(txn, &root, prefixes[i], i + 1);
		fixture_commit(&fixture, txn, &published, root);
		spw_trie_pool_destroy(fixture.pool);
		fixture_pool(&fixture);

		struct spw_trie_node *node = &fixture.nodes[root];
		uint32_t mark = root;
		switch (damage) {
		case 0: /* whole */
			break;
		case 1:
			mark = NODES;
			break;
		case 2:
			node->child_base = NODES - 1;
			node->children |= 3;
			break;
		case 3: /* a ring */
			node->child_base = root;
			break;
		case 4:
			node->children |= 1ull << 20;
			break;
		case 5:
			fixture.nodes[node->child_base].prefixes |= 2;
			fixture.nodes[node->child_base].leaf_base = LEAVES;
			break;
		case 6:
			node->prefixes = 2;
			break;
		case 7:
			node->child_base = 0;
			break;
		}
		assert_int_equal(spw_trie_mark(fixture.pool, mark, 4), damage ? -EUCLEAN : 0);
		if (damage == 0) /* the same root again */
			assert_int_equal(spw_trie_mark(fixture.pool, mark, 4), -EUCLEAN);
		fixture_close(&fixture);
	}
}

/* Control stops while old blocks are in the limbo: its own memory goes (the leak checker looks),
 * the blocks stay as they are. */
static void test_stop_before_the_limbo_is_empty(void **state)
{
	struct fixture fixture;
	uint64_t seed = 3;
	uint32_t root = 0, published = 0;

	(void)state;
	fixture_open(&fixture, 65536, 32768);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	fill(txn, &root, 4, &seed, 500);
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
	assert_true(fixture_usage(&fixture).nodes_used > before.nodes_used);
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
		cmocka_unit_test(test_stop_before_the_limbo_is_empty),
	};
	return cmocka_run_group_tests_name("tables_trie_restart", tests, NULL, NULL);
}
