/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shapes that a trie takes as it grows and shrinks, and changes of direct tables in place: what
 * readers see before and after, and that the answers are the scan's throughout, alone and in bulk.
 */
#include "tests/unit/tables/trie_fixture.h"

#include "ebpf/trie_bulk.h"

#define UNITS 60000u
#define MANY 3000u

/* ---- the scan ----------------------------------------------------------------------------- */

struct set {
	unsigned int family;
	uint32_t cnt;
	struct spw_prefix at[MANY + 64];
	uint32_t leaf[MANY + 64]; /* 0: not there */
	uint32_t root, published;
};

static bool covers(const struct spw_prefix *prefix, const uint8_t addr[16])
{
	for (unsigned int bit = 0; bit < prefix->bits; bit++)
		if ((prefix->addr[bit / 8] ^ addr[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

static uint32_t scan(const struct set *set, const uint8_t addr[16])
{
	int best = -1;

	for (uint32_t i = 0; i < set->cnt; i++)
		if (set->leaf[i] && covers(&set->at[i], addr) &&
		    (best < 0 || set->at[i].bits > set->at[best].bits))
			best = (int)i;
	return best < 0 ? 0 : set->leaf[best];
}

static struct spw_trie_key key_of(const struct set *set, const uint8_t addr[16])
{
	struct spw_trie_key key = spw_trie_key6(addr);

	return set->family == 4 ? spw_trie_key4((uint32_t)(key.hi >> 32)) : key;
}

/* An address in one of the prefixes, or anywhere. */
static void some_address(const struct set *set, uint64_t *seed, uint8_t addr[16])
{
	uint64_t words[2] = {random_next(seed), random_next(seed)}, dice = random_next(seed);
	const struct spw_prefix *prefix = &set->at[dice % set->cnt];

	memset(addr, 0, 16);
	memcpy(addr, words, set->family == 4 ? 4 : 16);
	for (unsigned int bit = 0; dice >> 60 && bit < prefix->bits; bit++) {
		addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		addr[bit / 8] |= prefix->addr[bit / 8] & (uint8_t)(0x80 >> bit % 8);
	}
}

/* `cnt` lookups in what is published, each alone and in a burst with others. */
static void compare(const struct fixture *fixture, const struct set *set, uint32_t cnt,
		    uint64_t *seed)
{
	while (cnt > 0) {
		struct spw_trie_key keys[SPW_TRIE_BULK_MAX];
		uint32_t wanted[SPW_TRIE_BULK_MAX], roots[SPW_TRIE_BULK_MAX],
			leaves[SPW_TRIE_BULK_MAX];
		uint32_t burst = cnt < SPW_TRIE_BULK_MAX ? cnt : SPW_TRIE_BULK_MAX;
		for (uint32_t i = 0; i < burst; i++) {
			uint8_t addr[16];
			some_address(set, seed, addr);
			keys[i] = key_of(set, addr);
			roots[i] = random_next(seed) % 16 ? set->published : 0;
			wanted[i] = roots[i] ? scan(set, addr) : 0;
			assert_int_equal(lookup(fixture, roots[i], set->family, addr), wanted[i]);
		}
		if (set->family == 4)
			spw_trie_lookup_bulk(&fixture->view, roots, keys, leaves, burst,
					     SPW_TRIE_LEVELS4);
		else
			spw_trie_lookup_bulk(&fixture->view, roots, keys, leaves, burst,
					     SPW_TRIE_LEVELS6);
		assert_memory_equal(leaves, wanted, burst * sizeof(*leaves));
		cnt -= burst;
	}
	uint32_t there = 0;
	for (uint32_t i = 0; i < set->cnt; i++)
		there += set->leaf[i] != 0;
	assert_int_equal(fixture_count(fixture, set->root, set->family), there);
}

static void put(struct set *set, struct spw_trie_txn *txn, uint32_t i, uint32_t leaf)
{
	bool there = set->leaf[i] != 0;

	set->leaf[i] = leaf;
	if (leaf)
		assert_int_equal(spw_trie_insert(txn, &set->root, &set->at[i], leaf, there), 0);
	else
		assert_int_equal(spw_trie_remove(txn, &set->root, &set->at[i]), 0);
}

/* ---- growing and shrinking ---------------------------------------------------------------- */

/* Kinds of sets, by what their tables are to be: prefixes anywhere; hosts and /24s of a relay's
 * tenant, in two networks, with a default route; networks crowded with prefixes, so that slots get
 * tables of their own. */
enum kind { ANYWHERE, TENANT, CROWDED, KINDS };

static struct spw_prefix some_prefix(enum kind kind, unsigned int family, uint32_t i,
				     uint64_t *seed)
{
	uint64_t words[2] = {random_next(seed), random_next(seed)}, dice = random_next(seed);
	struct spw_prefix prefix = {.family = (uint8_t)family};
	uint8_t first = family == 4 ? 16 : 48; /* bits before what differs */

	memcpy(prefix.addr, words, family == 4 ? 4 : 16);
	prefix.bits = (uint8_t)(first + dice % (family == 4 ? 13 : 17));
	if (kind == TENANT) {
		memset(prefix.addr, i % 3 ? 10 : 172, first / 8);
		prefix.addr[first / 8] &= i % 3 ? 1 : 0x7f;
		prefix.bits = i == 50 ? 0 : (uint8_t)(first + (i % 3 ? 16 : 8));
	} else if (kind == CROWDED && dice >> 40 & 3) {
		memset(prefix.addr, 40 + (int)(dice >> 50 & 15), first / 8);
		prefix.bits = (uint8_t)(first + 4 + dice % 5 + (dice >> 44 & 15 ? 0 : 5));
	}
	prefix_mask(&prefix);
	return prefix;
}

static void make_set(struct set *set, enum kind kind, unsigned int family, uint32_t cnt,
		     uint64_t *seed)
{
	memset(set, 0, sizeof(*set));
	set->family = family;
	while (set->cnt < cnt) {
		struct spw_prefix *new = &set->at[set->cnt];
		*new = some_prefix(kind, family, set->cnt, seed);
		bool known = false;
		for (uint32_t i = 0; i < set->cnt && !known; i++)
			known = memcmp(&set->at[i], new, sizeof(*new)) == 0;
		set->cnt += !known;
	}
}

/* All in, then all out in another order; one at a time while they are few. */
static void grow_and_shrink(enum kind kind, unsigned int family, uint32_t cnt)
{
	static struct set set;
	struct fixture fixture;
	uint64_t seed = 20 + family;
	bool tables = false;

	make_set(&set, kind, family, cnt, &seed);
	fixture_open(&fixture, UNITS);
	for (uint32_t i = 0; i < 2 * cnt;) {
		uint32_t left = 2 * cnt - i, step = i < 30 || left < 30 ? 1 : 61;
		struct spw_trie_txn *txn = fixture_begin(&fixture);
		for (uint32_t n = 0; n < step && i < 2 * cnt && (n == 0 || i != cnt); n++, i++)
			put(&set, txn, i < cnt ? i : i * 7 % cnt, i < cnt ? 1000 + i : 0);
		fixture_commit(&fixture, txn, &set.published, set.root);
		compare(&fixture, &set, 32, &seed);
		tables |= SPW_TRIE_SHAPE(set.root) == SPW_TRIE_DIRECT;
	}
	assert_true(tables);
	assert_int_equal(set.root, 0);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);
	fixture_close(&fixture);
}

static void test_grow_and_shrink(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) /* 7 divides neither count */
		for (unsigned int family = 4; family <= 6; family += 2)
			grow_and_shrink(kind, family, kind == TENANT ? 120 : 400);
}

/* What a restart finds is what was left: every table is taken up, slots and all. */
static void test_restart_of_each(void **state)
{
	static struct set set;

	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++)
		for (unsigned int family = 4; family <= 6; family += 2) {
			struct fixture fixture;
			uint64_t seed = 77;
			make_set(&set, kind, family, 300, &seed);
			fixture_open(&fixture, UNITS);
			struct spw_trie_txn *txn = fixture_begin(&fixture);
			for (uint32_t i = 0; i < set.cnt; i++)
				put(&set, txn, i, i + 1);
			fixture_commit(&fixture, txn, &set.published, set.root);
			uint32_t used = fixture_usage(&fixture).units_used;
			spw_trie_pool_destroy(fixture.pool);
			fixture_pool(&fixture);
			assert_int_equal(spw_trie_mark(fixture.pool, set.root, family), 0);
			spw_trie_marked(fixture.pool);
			assert_int_equal(fixture_usage(&fixture).units_used, used);
			compare(&fixture, &set, 256, &seed);
			fixture_close(&fixture);
		}
}

/* ---- in place ----------------------------------------------------------------------------- */

/* A large table: a change leaves its root, is seen by readers when it is retired and not
 * before, and by control at once; an aborted one is never seen. */
static void test_in_place(void **state)
{
	static struct set set;
	struct fixture fixture;
	uint64_t seed = 5;
	const char *const texts[] = {"0.0.0.0/0",  "128.0.0.0/1", "20.0.0.0/6",
				     "20.0.0.0/7", "20.1.0.0/16", "20.1.2.128/25"};

	(void)state;
	make_set(&set, ANYWHERE, 4, MANY, &seed);
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	for (uint32_t i = 0; i < MANY; i++)
		put(&set, txn, i, i + 1);
	for (size_t t = 0; t < sizeof(texts) / sizeof(*texts); t++)
		set.at[set.cnt++] = prefix_of(texts[t]);
	fixture_commit(&fixture, txn, &set.published, set.root);
	assert_int_equal(SPW_TRIE_SHAPE(set.root), SPW_TRIE_DIRECT);
	compare(&fixture, &set, 256, &seed);

	for (int round = 0; round < 3; round++) {
		for (uint32_t i = MANY; i < set.cnt; i++) { /* in; other leaves; out */
			uint32_t before = set.leaf[i],
				 leaf = round < 2 ? 70000 + 10 * i + round : 0;
			const struct spw_prefix *prefix = &set.at[i];
			for (int commit = 0; commit < 2; commit++) {
				txn = fixture_begin(&fixture);
				put(&set, txn, i, leaf);
				assert_int_equal(set.root, set.published);
				assert_int_equal(spw_trie_get(fixture.pool, set.root, prefix),
						 leaf);
				assert_true(spw_trie_txn_changed(txn));
				assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), 0);
				set.leaf[i] = before;
				uint8_t addr[16];
				memcpy(addr, prefix->addr, 16);
				addr[3] |= 200;
				assert_int_equal(lookup(&fixture, set.published, 4, addr),
						 scan(&set, addr));
				if (!commit) {
					spw_trie_txn_abort(txn);
				} else {
					set.leaf[i] = leaf;
					spw_trie_txn_retire(txn);
					assert_int_equal(spw_grace_drain(fixture.grace, 5000), 0);
				}
				assert_int_equal(spw_trie_get(fixture.pool, set.root, prefix),
						 set.leaf[i]);
			}
			compare(&fixture, &set, 128, &seed);
		}
	}
	fixture_close(&fixture);
}

/* Short and long ones over the same slots in one transaction, and the table given up after it was
 * changed: what was kept aside for it must not be stored. */
static void test_changed_then_gone(void **state)
{
	static struct set set;
	struct fixture fixture;
	uint64_t seed = 9;

	(void)state;
	make_set(&set, ANYWHERE, 4, 600, &seed);
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	for (uint32_t i = 0; i < 300; i++)
		put(&set, txn, i, i + 1);
	fixture_commit(&fixture, txn, &set.published, set.root);
	uint32_t old = set.published;

	fixture.workers[0].epoch = fixture.meta->epoch; /* a reader in the middle of a burst */
	txn = fixture_begin(&fixture);
	for (uint32_t i = 0; i < 600; i++) /* the table is made anew */
		put(&set, txn, i, 2000 + i);
	for (uint32_t i = 0; i < 600; i += 3)
		put(&set, txn, i, 0);
	assert_int_not_equal(set.root, old);
	assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), 0);
	__atomic_store_n(&set.published, set.root, __ATOMIC_RELEASE);
	spw_trie_txn_retire(txn);
	compare(&fixture, &set, 512, &seed);
	for (uint32_t i = 0; i < 300; i++) { /* and the reader finds what was */
		uint32_t leaf = lookup(&fixture, old, 4, set.at[i].addr);
		assert_in_range(leaf, 1, 300);
	}
	fixture.workers[0].epoch = 0;
	assert_int_equal(spw_grace_drain(fixture.grace, 5000), 0);

	txn = fixture_begin(&fixture);
	put(&set, txn, 1, 7);
	assert_int_equal(spw_trie_clear(txn, &set.root, 4), 0);
	fixture_commit(&fixture, txn, &set.published, set.root);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grow_and_shrink),
		cmocka_unit_test(test_restart_of_each),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_changed_then_gone),
	};
	return cmocka_run_group_tests_name("tables_trie_shapes", tests, NULL, NULL);
}
