/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trie against a linear scan: 100,000 prefixes (60,000 IPv4, 40,000 IPv6) in one pool, 100,000
 * lookups when all are added, 50,000 when half of them are removed, 50,000 when those are added
 * again with other leaves; every lookup is compared with a scan over all prefixes of the family in
 * the order in which they were made. Then all are removed. Changes come in transactions of 10,000.
 *
 * The scan knows nothing of tries or orders: for each prefix it compares the masked address and
 * keeps the longest match. It is written so that the compiler can vectorise it, and compiled
 * without sanitizers, for it makes some 10 billion comparisons.
 */
#include "tests/unit/tables/trie_fixture.h"

#include <errno.h>
#include <stdio.h>

#define V4_CNT 60000u
#define V6_CNT 40000u
#define TXN_CHANGES 10000u

#ifdef __clang__ /* vectorises at -O2 */
#define ORACLE __attribute__((no_sanitize("address", "undefined"), noinline))
#else
#define ORACLE __attribute__((no_sanitize("address", "undefined"), optimize("O3"), noinline))
#endif

/* One family's prefixes. Words are in network order, a masked compare does not care. */
struct scan {
	unsigned int family;
	uint32_t words; /* of an address: 1 or 4 */
	uint32_t cnt;
	uint32_t *addr[4], *mask[4];
	/* (bits + 1) << 16 | index, 0: the prefix is not there; longer prefixes have higher ones.
	 */
	int32_t *rank;
	uint32_t *leaf;
	struct spw_prefix *prefix;
	uint32_t root, published;
};

ORACLE static int32_t scan_longest4(const struct scan *scan, uint32_t key)
{
	const uint32_t *addr = scan->addr[0], *mask = scan->mask[0];
	const int32_t *rank = scan->rank;
	int32_t best = 0;

	for (uint32_t i = 0; i < scan->cnt; i++) {
		int32_t mine = rank[i] & -(((addr[i] ^ key) & mask[i]) == 0);
		best = mine > best ? mine : best;
	}
	return best;
}

ORACLE static int32_t scan_longest6(const struct scan *scan, const uint32_t key[4])
{
	const uint32_t *a0 = scan->addr[0], *a1 = scan->addr[1], *a2 = scan->addr[2],
		       *a3 = scan->addr[3];
	const uint32_t *m0 = scan->mask[0], *m1 = scan->mask[1], *m2 = scan->mask[2],
		       *m3 = scan->mask[3];
	const int32_t *rank = scan->rank;
	uint32_t k0 = key[0], k1 = key[1], k2 = key[2], k3 = key[3];
	int32_t best = 0;

	for (uint32_t i = 0; i < scan->cnt; i++) {
		uint32_t differs = ((a0[i] ^ k0) & m0[i]) | ((a1[i] ^ k1) & m1[i]) |
				   ((a2[i] ^ k2) & m2[i]) | ((a3[i] ^ k3) & m3[i]);
		int32_t mine = rank[i] & -(differs == 0);
		best = mine > best ? mine : best;
	}
	return best;
}

static uint32_t scan_lookup(const struct scan *scan, const uint8_t addr[16])
{
	uint32_t key[4];
	memcpy(key, addr, sizeof(key));
	int32_t best = scan->words == 1 ? scan_longest4(scan, key[0]) : scan_longest6(scan, key);
	return best ? scan->leaf[best & 0xffff] : 0;
}

/* ---- prefixes ----------------------------------------------------------------------------- */

/* A third with the lengths of real tables, a third crowded into few networks so that they nest and
 * neighbour, a third of any length. */
static struct spw_prefix make_prefix(uint64_t *seed, unsigned int family)
{
	static const uint8_t real4[8] = {24, 24, 24, 24, 22, 23, 20, 16};
	static const uint8_t real6[8] = {48, 48, 48, 32, 44, 40, 56, 64};
	struct spw_prefix prefix = {.family = (uint8_t)family};
	uint64_t words[2] = {random_next(seed), random_next(seed)};
	uint64_t dice = random_next(seed);
	unsigned int width = family == 4 ? 32 : 128;

	memcpy(prefix.addr, words, family == 4 ? 4 : 16);
	switch (dice % 3) {
	case 0:
		prefix.bits = (family == 4 ? real4 : real6)[dice >> 8 & 7];
		break;
	case 1:
		prefix.addr[0] = 10;
		prefix.addr[1] = (uint8_t)(dice >> 16 & 1);
		prefix.bits = (uint8_t)(12 + (dice >> 24) % (width - 11));
		if (family == 6)
			memset(prefix.addr + 2, (int)(dice >> 40 & 1), 8);
		break;
	default:
		/* Few short ones, or everything is covered and no lookup misses. */
		prefix.bits = (uint8_t)(dice >> 48 < 16 ? 4 + (dice >> 24) % 9
							: 13 + (dice >> 24) % (width - 12));
		break;
	}
	prefix_mask(&prefix);
	return prefix;
}

static void scan_open(struct scan *scan, unsigned int family, uint32_t room)
{
	memset(scan, 0, sizeof(*scan));
	scan->family = family;
	scan->words = family == 4 ? 1 : 4;
	for (uint32_t w = 0; w < scan->words; w++) {
		scan->addr[w] = calloc(room, sizeof(uint32_t));
		scan->mask[w] = calloc(room, sizeof(uint32_t));
		assert_true(scan->addr[w] && scan->mask[w]);
	}
	scan->rank = calloc(room, sizeof(*scan->rank));
	scan->leaf = calloc(room, sizeof(*scan->leaf));
	scan->prefix = calloc(room, sizeof(*scan->prefix));
	assert_true(scan->rank && scan->leaf && scan->prefix);
}

static void scan_close(struct scan *scan)
{
	for (uint32_t w = 0; w < scan->words; w++) {
		free(scan->addr[w]);
		free(scan->mask[w]);
	}
	free(scan->rank);
	free(scan->leaf);
	free(scan->prefix);
}

static void scan_add(struct scan *scan, uint32_t i, const struct spw_prefix *prefix, uint32_t leaf)
{
	struct spw_prefix ones = {.bits = prefix->bits};
	uint32_t addr[4], mask[4];

	memset(ones.addr, 0xff, sizeof(ones.addr));
	prefix_mask(&ones);
	memcpy(addr, prefix->addr, sizeof(addr));
	memcpy(mask, ones.addr, sizeof(mask));
	for (uint32_t w = 0; w < scan->words; w++) {
		scan->addr[w][i] = addr[w];
		scan->mask[w][i] = mask[w];
	}
	scan->prefix[i] = *prefix;
	scan->leaf[i] = leaf;
	scan->rank[i] = (int32_t)((prefix->bits + 1u) << 16 | i);
}

/* ---- changes, applied to both ------------------------------------------------------------- */

static void add_all(struct fixture *fixture, struct scan *scan, uint32_t cnt, uint64_t *seed)
{
	while (scan->cnt < cnt) {
		struct spw_trie_txn *txn = fixture_begin(fixture);
		for (uint32_t n = 0; n < TXN_CHANGES && scan->cnt < cnt;) {
			struct spw_prefix prefix = make_prefix(seed, scan->family);
			uint32_t leaf = SPW_LEAF(SPW_LEAF_TUNNEL, scan->cnt + 1);
			int error = spw_trie_insert(txn, &scan->root, &prefix, leaf, false);
			if (error == -EEXIST)
				continue;
			assert_int_equal(error, 0);
			scan_add(scan, scan->cnt, &prefix, leaf);
			scan->cnt++;
			n++;
		}
		fixture_commit(fixture, txn, &scan->published, scan->root);
	}
}

static void remove_every(struct fixture *fixture, struct scan *scan, uint32_t step, uint32_t first)
{
	uint32_t i = first;
	while (i < scan->cnt) {
		struct spw_trie_txn *txn = fixture_begin(fixture);
		for (uint32_t n = 0; n < TXN_CHANGES && i < scan->cnt; i += step) {
			if (scan->rank[i] == 0)
				continue;
			assert_int_equal(spw_trie_remove(txn, &scan->root, &scan->prefix[i]), 0);
			scan->rank[i] = 0;
			n++;
		}
		fixture_commit(fixture, txn, &scan->published, scan->root);
	}
}

static void add_removed(struct fixture *fixture, struct scan *scan)
{
	uint32_t i =
		scan->cnt; /* backwards, so that blocks do not just fall into their old places */
	while (i > 0) {
		struct spw_trie_txn *txn = fixture_begin(fixture);
		for (uint32_t n = 0; n < TXN_CHANGES && i > 0;) {
			if (scan->rank[--i])
				continue;
			struct spw_prefix prefix = scan->prefix[i];
			uint32_t leaf = SPW_LEAF(SPW_LEAF_NEIGHBOR, i + 1);
			assert_int_equal(spw_trie_insert(txn, &scan->root, &prefix, leaf, false),
					 0);
			scan_add(scan, i, &prefix, leaf);
			n++;
		}
		fixture_commit(fixture, txn, &scan->published, scan->root);
	}
}

/* ---- the comparison ----------------------------------------------------------------------- */

/* An address in or next to one of the prefixes, there or removed, or anywhere. */
static void make_address(const struct scan *scan, uint64_t *seed, uint8_t addr[16])
{
	uint64_t words[2] = {random_next(seed), random_next(seed)};
	uint64_t dice = random_next(seed);
	const struct spw_prefix *prefix = &scan->prefix[(dice >> 8) % scan->cnt];
	uint32_t bytes = scan->words * 4;
	struct spw_prefix host = {.bits = prefix->bits};

	memset(addr, 0, 16);
	memcpy(addr, words, bytes);
	if (dice % 8 == 0)
		return; /* anywhere */
	memset(host.addr, 0xff, sizeof(host.addr));
	prefix_mask(&host);
	for (uint32_t i = 0; i < bytes; i++) {
		uint8_t fill = dice % 8 == 1 ? 0 : dice % 8 == 2 ? 0xff : addr[i];
		addr[i] = (uint8_t)(prefix->addr[i] | (fill & ~host.addr[i]));
	}
	if (dice % 8 < 5)
		return;                    /* its first, its last or any address */
	if (dice % 8 == 5 && prefix->bits) /* the neighbour of its length */
		addr[(prefix->bits - 1) / 8] ^= (uint8_t)(0x80 >> (prefix->bits - 1) % 8);
	else if (dice % 8 == 6)
		addr[bytes - 1] ^= 1;
}

static void compare(const struct fixture *fixture, const struct scan *scan, uint32_t lookups,
		    uint64_t *seed)
{
	uint32_t hits = 0, there = 0;

	for (uint32_t n = 0; n < lookups; n++) {
		uint8_t addr[16];
		make_address(scan, seed, addr);
		uint32_t expected = scan_lookup(scan, addr);
		uint32_t found = lookup(fixture, scan->published, scan->family, addr);
		if (found != expected)
			fail_msg("family %u, lookup %u: %#x, the scan says %#x", scan->family, n,
				 found, expected);
		hits += expected != 0;
	}
	for (uint32_t i = 0; i < scan->cnt; i++) {
		assert_int_equal(spw_trie_get(fixture->pool, scan->root, &scan->prefix[i]),
				 scan->rank[i] ? scan->leaf[i] : 0);
		there += scan->rank[i] != 0;
	}
	assert_int_equal(fixture_count(fixture, scan->root, scan->family), there);
	assert_in_range(hits, lookups / 4, lookups - lookups / 20);
	print_message("IPv%u: %u prefixes, %u lookups, %u of them with a match\n", scan->family,
		      there, lookups, hits);
}

static void test_against_scan(void **state)
{
	struct fixture fixture;
	struct scan v4, v6;
	uint64_t seed = 88172645463325252ull;

	(void)state;
	fixture_open(&fixture, 400000);
	scan_open(&v4, 4, V4_CNT);
	scan_open(&v6, 6, V6_CNT);

	add_all(&fixture, &v4, V4_CNT, &seed);
	add_all(&fixture, &v6, V6_CNT, &seed);
	print_message("%u units\n", fixture_usage(&fixture).units_used);
	compare(&fixture, &v4, V4_CNT, &seed);
	compare(&fixture, &v6, V6_CNT, &seed);

	remove_every(&fixture, &v4, 2, 0);
	remove_every(&fixture, &v6, 2, 0);
	compare(&fixture, &v4, V4_CNT / 2, &seed);
	compare(&fixture, &v6, V6_CNT / 2, &seed);

	add_removed(&fixture, &v4);
	add_removed(&fixture, &v6);
	compare(&fixture, &v4, V4_CNT / 2, &seed);
	compare(&fixture, &v6, V6_CNT / 2, &seed);

	remove_every(&fixture, &v4, 1, 0);
	remove_every(&fixture, &v6, 1, 0);
	assert_int_equal(v4.root | v6.root, 0);
	assert_int_equal(fixture_usage(&fixture).units_used, 0);

	scan_close(&v4);
	scan_close(&v6);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_scan),
	};
	return cmocka_run_group_tests_name("tables_trie_scan", tests, NULL, NULL);
}
