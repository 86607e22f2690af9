/* SPDX-License-Identifier: BSD-2-Clause */
/* The writer of the tries: small cases, every length, transactions, a full pool. */
#include "tests/unit/tables/trie_fixture.h"

#define UNITS 8192u

static uint32_t get(const struct fixture *fixture, uint32_t root, const char *text)
{
	struct spw_prefix prefix = prefix_of(text);
	return spw_trie_get(fixture->pool, root, &prefix);
}

/* ---- truth table -------------------------------------------------------------------------- */

struct truth {
	const char *name;
	const char *prefixes[6]; /* leaves 1, 2, ... in this order */
	struct {
		const char *addr;
		uint32_t leaf;
	} lookups[8];
};

static const struct truth truths[] = {
	{"empty", {NULL}, {{"0.0.0.0", 0}, {"10.1.2.3", 0}, {"::", 0}, {"2a00::1", 0}}},
	{"default v4", {"0.0.0.0/0"}, {{"0.0.0.0", 1}, {"10.1.2.3", 1}, {"255.255.255.255", 1}}},
	{"default v6",
	 {"::/0"},
	 {{"::", 1}, {"2a00::1", 1}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1}}},
	{"halves",
	 {"0.0.0.0/1", "128.0.0.0/1"},
	 {{"0.0.0.0", 1}, {"127.255.255.255", 1}, {"128.0.0.0", 2}}},
	{"one host",
	 {"192.0.2.7/32"},
	 {{"192.0.2.7", 1}, {"192.0.2.6", 0}, {"192.0.2.8", 0}, {"0.0.0.0", 0}}},
	{"first and last host",
	 {"0.0.0.0/32", "255.255.255.255/32"},
	 {{"0.0.0.0", 1}, {"0.0.0.1", 0}, {"255.255.255.255", 2}, {"255.255.255.254", 0}}},
	{"one v6 host",
	 {"2001:db8::7/128"},
	 {{"2001:db8::7", 1}, {"2001:db8::6", 0}, {"2001:db8::8", 0}, {"::7", 0}}},
	{"last v6 host",
	 {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"},
	 {{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1},
	  {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 0}}},
	{"nested",
	 {"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32"},
	 {{"11.0.0.0", 1},
	  {"10.0.0.1", 2},
	  {"10.2.0.0", 2},
	  {"10.1.0.1", 3},
	  {"10.1.1.0", 4},
	  {"10.1.1.1", 5},
	  {"10.1.1.2", 4},
	  {"9.255.255.255", 1}}},
	{"nested, a gap inside",
	 {"10.0.0.0/8", "10.1.1.1/32"},
	 {{"10.1.1.0", 1}, {"10.1.1.1", 2}, {"10.1.1.2", 1}, {"11.1.1.1", 0}}},
	{"nested v6 across the words of the key",
	 {"2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:1:8000::/65",
	  "2001:db8:1:1:8000::1/128"},
	 {{"2001:db8:2::1", 1},
	  {"2001:db8:1:2::1", 2},
	  {"2001:db8:1:1::1", 3},
	  {"2001:db8:1:1:8000::", 4},
	  {"2001:db8:1:1:8000::1", 5},
	  {"2001:db8:1:1:8000::2", 4},
	  {"2001:db9::", 0}}},
	{"border /4",
	 {"160.0.0.0/4", "176.0.0.0/5"},
	 {{"160.0.0.0", 1},
	  {"175.255.255.255", 1},
	  {"159.255.255.255", 0},
	  {"176.0.0.0", 2},
	  {"184.0.0.0", 0}}},
	{"border /10",
	 {"100.64.0.0/10", "100.64.0.0/11", "100.0.0.0/9"},
	 {{"100.64.0.0", 2}, {"100.96.0.0", 1}, {"100.128.0.0", 0}, {"100.63.255.255", 3}}},
	{"border /16",
	 {"172.16.0.0/16", "172.17.0.0/16", "172.16.0.0/15", "172.16.128.0/17"},
	 {{"172.16.0.1", 1},
	  {"172.16.128.1", 4},
	  {"172.17.255.255", 2},
	  {"172.18.0.0", 0},
	  {"172.15.255.255", 0}}},
	{"border /22",
	 {"198.51.100.0/22", "198.51.100.0/23", "198.51.102.0/23"},
	 {{"198.51.100.1", 2}, {"198.51.102.1", 3}, {"198.51.104.0", 0}, {"198.51.99.255", 0}}},
	{"border /28",
	 {"203.0.113.16/28", "203.0.113.16/29", "203.0.113.0/27"},
	 {{"203.0.113.15", 3}, {"203.0.113.16", 2}, {"203.0.113.24", 1}, {"203.0.113.32", 0}}},
};

static void test_truth_table(void **state)
{
	(void)state;
	for (size_t t = 0; t < sizeof(truths) / sizeof(*truths); t++) {
		const struct truth *truth = &truths[t];
		struct fixture fixture;
		uint32_t roots[2] = {0, 0}, published = 0;

		fixture_open(&fixture, UNITS);
		struct spw_trie_txn *txn = fixture_begin(&fixture);
		for (uint32_t i = 0; i < 6 && truth->prefixes[i]; i++)
			insert(txn, &roots[strchr(truth->prefixes[i], ':') != NULL],
			       truth->prefixes[i], i + 1);
		fixture_commit(&fixture, txn, &published, roots[0]);
		for (uint32_t i = 0; i < 8 && truth->lookups[i].addr; i++) {
			const char *addr = truth->lookups[i].addr;
			uint32_t leaf =
				lookup_text(&fixture, roots[strchr(addr, ':') != NULL], addr);
			if (leaf != truth->lookups[i].leaf)
				fail_msg("%s: %s gives %u, expected %u", truth->name, addr, leaf,
					 truth->lookups[i].leaf);
		}
		for (uint32_t i = 0; i < 6 && truth->prefixes[i]; i++)
			assert_int_equal(get(&fixture,
					     roots[strchr(truth->prefixes[i], ':') != NULL],
					     truth->prefixes[i]),
					 i + 1);
		fixture_close(&fixture);
	}
}

/* ---- every length ------------------------------------------------------------------------- */

static struct spw_prefix prefix_cut(unsigned int family, const uint8_t addr[16], unsigned int bits)
{
	struct spw_prefix prefix = {.family = (uint8_t)family, .bits = (uint8_t)bits};
	memcpy(prefix.addr, addr, sizeof(prefix.addr));
	prefix_mask(&prefix);
	return prefix;
}

/* All prefixes of one address are there whose bit in `there` is set (leaf: length + 1). An address
 * that differs from it in bit b first must find the longest of those of length <= b. */
static void chain_check(const struct fixture *fixture, uint32_t root, unsigned int family,
			const uint8_t addr[16], const bool there[129])
{
	unsigned int width = family == 4 ? 32 : 128;
	uint32_t expected = 0;

	for (unsigned int bits = 0; bits <= width; bits++) {
		struct spw_prefix prefix = prefix_cut(family, addr, bits);
		uint8_t other[16];

		assert_int_equal(spw_trie_get(fixture->pool, root, &prefix),
				 there[bits] ? bits + 1 : 0);
		if (there[bits])
			expected = bits + 1;
		memcpy(other, addr, sizeof(other));
		if (bits < width)
			other[bits / 8] ^= (uint8_t)(0x80 >> bits % 8);
		assert_int_equal(lookup(fixture, root, family, other), expected);
	}
}

/* step: 1 removes from the shortest, -1 from the longest, 3 every third first. */
static void chain_run(unsigned int family, const uint8_t addr[16], int step)
{
	unsigned int width = family == 4 ? 32 : 128, cnt = width + 1;
	struct fixture fixture;
	uint32_t root = 0, published = 0;
	bool there[129] = {false};

	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	for (unsigned int i = 0; i < cnt; i++) {
		unsigned int bits = i * 7 % cnt; /* 7 divides neither 33 nor 129 */
		struct spw_prefix prefix = prefix_cut(family, addr, bits);
		assert_int_equal(spw_trie_insert(txn, &root, &prefix, bits + 1, false), 0);
		there[bits] = true;
		chain_check(&fixture, root, family, addr, there);
	}
	fixture_commit(&fixture, txn, &published, root);

	for (unsigned int i = 0; i < cnt; i++) {
		unsigned int bits = step == 1 ? i : step == -1 ? width - i : i * 5 % cnt;
		struct spw_prefix prefix = prefix_cut(family, addr, bits);
		txn = fixture_begin(&fixture);
		assert_int_equal(spw_trie_remove(txn, &root, &prefix), 0);
		fixture_commit(&fixture, txn, &published, root);
		there[bits] = false;
		chain_check(&fixture, root, family, addr, there);
	}
	assert_int_equal(root, 0);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);
	fixture_close(&fixture);
}

static void test_every_length(void **state)
{
	static const uint8_t addrs[3][16] = {
		{0x0a, 0x5a, 0xc3, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{0x2a, 0x5a, 0xc3, 0x81, 0x7e, 0xff, 0x13, 0x99, 0xa5, 1, 2, 3, 0x80, 0xfe, 0x55,
		 0x77},
		{0},
	};
	(void)state;
	for (int step = -1; step <= 3; step += 2) {
		chain_run(4, addrs[0], step);
		chain_run(4, addrs[2], step);
		chain_run(6, addrs[1], step);
		chain_run(6, addrs[2], step);
	}
}

/* ---- errors ------------------------------------------------------------------------------- */

static void test_bad_prefixes(void **state)
{
	const struct spw_prefix good = prefix_of("10.0.0.0/8");
	struct spw_prefix bad[6];
	struct fixture fixture;
	uint32_t root = 0;

	(void)state;
	for (int i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].family = 5;
	bad[1].bits = 33;
	bad[2].addr[1] = 1; /* a host bit */
	bad[3].addr[4] = 1; /* a bit behind an IPv4 address */
	bad[4].bits = 6;    /* the last bit behind the prefix */
	bad[4].addr[0] = 0x0a;
	bad[5].family = 6;
	bad[5].bits = 129;
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(spw_trie_insert(txn, &root, &bad[i], 1, true), -EINVAL);
		assert_int_equal(spw_trie_remove(txn, &root, &bad[i]), -EINVAL);
		assert_int_equal(spw_trie_get(fixture.pool, root, &bad[i]), 0);
	}
	assert_int_equal(spw_trie_insert(txn, &root, &good, 0, false), -EINVAL);
	assert_int_equal(root, 0);
	spw_trie_txn_abort(txn);
	fixture_close(&fixture);
}

static void test_absent_and_present(void **state)
{
	const struct spw_prefix there = prefix_of("10.0.0.0/8");
	const struct spw_prefix absent[] = {prefix_of("10.0.0.0/9"), prefix_of("10.0.0.0/7"),
					    prefix_of("10.0.0.0/30")};
	struct fixture fixture;
	uint32_t root = 0;

	(void)state;
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	assert_int_equal(spw_trie_remove(txn, &root, &there), -ENOENT);
	insert(txn, &root, "10.0.0.0/8", 1);
	assert_int_equal(spw_trie_insert(txn, &root, &there, 2, false), -EEXIST);
	assert_int_equal(get(&fixture, root, "10.0.0.0/8"), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(spw_trie_remove(txn, &root, &absent[i]), -ENOENT);
	spw_trie_txn_abort(txn);
	fixture_close(&fixture);
}

static void test_sealed(void **state)
{
	const struct spw_prefix one = prefix_of("10.0.0.0/8"), other = prefix_of("10.0.0.0/9");
	struct spw_trie_txn *second;
	struct fixture fixture;
	uint32_t root = 0;

	(void)state;
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	assert_int_equal(spw_trie_txn_begin(fixture.pool, &second), -EBUSY);
	insert(txn, &root, "10.0.0.0/8", 1);
	assert_int_equal(spw_grace_reserve(fixture.grace, FIXTURE_LIMBO), 0);
	assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), -EBUSY);
	spw_grace_unreserve(fixture.grace, FIXTURE_LIMBO);
	assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), 0);
	assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), -EINVAL);
	assert_int_equal(spw_trie_insert(txn, &root, &other, 1, false), -EINVAL);
	assert_int_equal(spw_trie_remove(txn, &root, &one), -EINVAL);
	assert_int_equal(spw_trie_clear(txn, &root, 4), -EINVAL);
	uint32_t published = root;
	spw_trie_txn_retire(txn);
	assert_int_equal(lookup_text(&fixture, published, "10.9.9.9"), 1);
	fixture_close(&fixture);
}

/* ---- transactions ------------------------------------------------------------------------- */

struct image {
	struct spw_trie_unit *units;
	struct spw_trie_usage usage;
};

static struct image image_take(const struct fixture *fixture)
{
	struct image image = {.units = malloc(fixture->units_max * sizeof(*image.units)),
			      .usage = fixture_usage(fixture)};
	assert_non_null(image.units);
	memcpy(image.units, fixture->units, fixture->units_max * sizeof(*image.units));
	return image;
}

/* Every byte of the tables, and how much of them is in use. */
static void image_check(const struct fixture *fixture, struct image *image)
{
	struct spw_trie_usage usage = fixture_usage(fixture);
	assert_memory_equal(image->units, fixture->units,
			    fixture->units_max * sizeof(*image->units));
	assert_memory_equal(&image->usage, &usage, sizeof(usage));
}

static void image_free(struct image *image)
{
	free(image->units);
}

static void test_abort_changes_nothing(void **state)
{
	struct fixture fixture;
	uint64_t seed = 4711;
	uint32_t roots[2] = {0, 0}, published = 0;

	(void)state;
	fixture_open(&fixture, 65536);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	fill(&fixture, txn, &roots[0], 4, &seed, 1000);
	fill(&fixture, txn, &roots[1], 6, &seed, 500);
	fixture_commit(&fixture, txn, &published, roots[0]);

	for (int round = 0; round < 4; round++) {
		struct image image = image_take(&fixture);
		uint32_t changed[2] = {roots[0], roots[1]};

		txn = fixture_begin(&fixture);
		change_much(txn, &changed[0], 4, &seed, 500);
		change_much(txn, &changed[1], 6, &seed, 300);
		if (round & 1)
			assert_int_equal(
				spw_trie_clear(txn, &changed[round / 2], round / 2 ? 6 : 4), 0);
		if (round & 2)
			assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), 0);
		assert_memory_not_equal(image.units, fixture.units,
					fixture.units_max * sizeof(*image.units));
		spw_trie_txn_abort(txn);
		image_check(&fixture, &image);
		assert_int_equal(spw_grace_room(fixture.grace), FIXTURE_LIMBO);
		image_free(&image);
	}
	fixture_close(&fixture);
}

/* What a published root reaches is not written until the grace period is over. */
static void test_published_stays_until_retired(void **state)
{
	struct fixture fixture;
	uint64_t seed = 99;
	uint32_t published = 0, root = 0;

	(void)state;
	fixture_open(&fixture, 65536);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	fill(&fixture, txn, &root, 4, &seed, 1000);
	fixture_commit(&fixture, txn, &published, root);

	/* A worker that sits in the middle of a burst. */
	fixture.workers[0].epoch = fixture.meta->epoch;
	uint8_t addrs[256][16] = {{0}};
	uint32_t before[256], old_root = root;
	for (int i = 0; i < 256; i++) {
		uint64_t word = random_next(&seed) & 0x0303030703030703ull;
		memcpy(addrs[i], &word, 4);
		before[i] = lookup(&fixture, old_root, 4, addrs[i]);
	}
	txn = fixture_begin(&fixture);
	assert_int_equal(spw_trie_clear(txn, &root, 4), 0);
	assert_int_equal(spw_trie_txn_seal(txn, fixture.grace), 0);
	published = root;
	spw_trie_txn_retire(txn);
	assert_int_equal(spw_grace_drain(fixture.grace, 100), -ETIMEDOUT);
	assert_int_not_equal(fixture_usage(&fixture).units_used, 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(lookup(&fixture, old_root, 4, addrs[i]), before[i]);

	fixture.workers[0].epoch = 0;
	assert_int_equal(spw_grace_drain(fixture.grace, 5000), 0);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);
	for (uint32_t i = 0; i < fixture.units_max; i++)
		for (uint32_t w = 0; w < SPW_TRIE_UNIT_WORDS; w++)
			assert_int_equal(fixture.units[i].word[w], 0);
	fixture_close(&fixture);
}

static void test_replace(void **state)
{
	struct fixture fixture;
	uint32_t published = 0, root = 0;
	struct spw_prefix prefix = prefix_of("10.1.0.0/16");

	(void)state;
	fixture_open(&fixture, UNITS);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	insert(txn, &root, "10.1.0.0/16", 1);
	insert(txn, &root, "10.1.128.0/17", 2);
	fixture_commit(&fixture, txn, &published, root);

	struct spw_trie_usage usage = fixture_usage(&fixture), after;
	txn = fixture_begin(&fixture);
	for (uint32_t leaf = 5; leaf < 9; leaf++)
		assert_int_equal(spw_trie_insert(txn, &root, &prefix, leaf, true), 0);
	assert_int_equal(lookup_text(&fixture, published, "10.1.0.1"), 1);
	assert_int_equal(lookup_text(&fixture, root, "10.1.0.1"), 8);
	fixture_commit(&fixture, txn, &published, root);
	assert_int_equal(lookup_text(&fixture, published, "10.1.128.1"), 2);
	after = fixture_usage(&fixture);
	assert_memory_equal(&usage, &after, sizeof(usage));
	fixture_close(&fixture);
}

/* ---- a full pool -------------------------------------------------------------------------- */

static void test_full_pool(void **state)
{
	struct fixture fixture;
	uint64_t seed = 31337;
	uint32_t published = 0, root = 0;
	struct spw_prefix in[512], refused;
	uint32_t cnt = 0;
	int error = 0;

	(void)state;
	fixture_open(&fixture, 128);
	while (error == 0) { /* each in a transaction of its own, as a person does */
		struct spw_trie_txn *txn = fixture_begin(&fixture);
		struct image image = image_take(&fixture);
		uint32_t changed = root;
		refused = random_prefix(&seed, cnt % 2 ? 4 : 6);
		refused.family = 6;
		error = spw_trie_insert(txn, &changed, &refused, cnt + 1, false);
		if (error == -EEXIST) {
			error = 0;
			spw_trie_txn_abort(txn);
		} else if (error == 0) {
			assert_true(cnt < 512);
			in[cnt++] = refused;
			root = changed;
			fixture_commit(&fixture, txn, &published, root);
		} else {
			assert_int_equal(error, -ENOSPC);
			assert_int_equal(changed, root);
			image_check(&fixture, &image);
			spw_trie_txn_abort(txn);
			image_check(&fixture, &image);
		}
		image_free(&image);
	}
	assert_true(cnt > 16);
	for (uint32_t i = 0; i < cnt; i++)
		assert_int_equal(spw_trie_get(fixture.pool, root, &in[i]), i + 1);

	/* Removals go on; then there is room again, for the refused one too. */
	struct spw_trie_txn *txn;
	for (uint32_t i = 0; i < cnt; i++) {
		txn = fixture_begin(&fixture);
		assert_int_equal(spw_trie_remove(txn, &root, &in[i]), 0);
		fixture_commit(&fixture, txn, &published, root);
	}
	assert_int_equal(root, 0);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);
	txn = fixture_begin(&fixture);
	assert_int_equal(spw_trie_insert(txn, &root, &refused, 1, false), 0);
	fixture_commit(&fixture, txn, &published, root);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truth_table),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_bad_prefixes),
		cmocka_unit_test(test_absent_and_present),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_abort_changes_nothing),
		cmocka_unit_test(test_published_stays_until_retired),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_full_pool),
	};
	return cmocka_run_group_tests_name("tables_trie", tests, NULL, NULL);
}
