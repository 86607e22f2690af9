// SPDX-License-Identifier: BSD-2-Clause
/* test_lookup.c - the trie lookup in BPF, in native code and by its definition agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "ebpf/trie_bulk.h"
#include "lookup.skel.h"
#include "tables.h"

#define PREFIXES 2000u
#define KEYS 10000u

static struct test_tables tables;
static struct spw_lookup *probe;
static uint64_t random_state = 0x5eed;

static uint64_t random_word(void) /* xorshift64*: the same run every time */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

static struct spw_trie_key mask_key(struct spw_trie_key key, uint32_t bits)
{
	if (bits < 64)
		key.hi = bits ? key.hi & ~0ull << (64 - bits) : 0;
	if (bits <= 64)
		key.lo = 0;
	else if (bits < 128)
		key.lo &= ~0ull << (128 - bits);
	return key;
}

/* Near an earlier prefix three times of four, so that prefixes nest and keys hit. */
static struct spw_trie_key random_key(const struct test_prefix *prefixes, uint32_t cnt,
				      uint32_t family)
{
	struct spw_trie_key key = {random_word(), random_word()};

	if (cnt && random_word() % 4) {
		const struct test_prefix *near = &prefixes[random_word() % cnt];
		struct spw_trie_key kept = mask_key(key, near->bits);
		key.hi = (key.hi ^ kept.hi) | near->key.hi;
		key.lo = (key.lo ^ kept.lo) | near->key.lo;
	}
	return family == 4 ? mask_key(key, 32) : key;
}

static uint32_t random_prefixes(struct test_prefix *prefixes, uint32_t family)
{
	uint32_t cnt = 0;

	while (cnt < PREFIXES) {
		struct test_prefix *new = &prefixes[cnt];
		bool known = false;
		new->bits = (uint32_t)(random_word() % (family == 4 ? 33 : 129));
		new->key = mask_key(random_key(prefixes, cnt, family), new->bits);
		new->leaf = SPW_LEAF(SPW_LEAF_TUNNEL, cnt + 1);
		for (uint32_t i = 0; i < cnt && !known; i++)
			known = prefixes[i].bits == new->bits &&prefixes[i].key.hi ==
				new->key.hi &&prefixes[i].key.lo == new->key.lo;
		cnt += !known;
	}
	return cnt;
}

static uint32_t lookup_in_bpf(uint32_t root, uint32_t family, struct spw_trie_key key)
{
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));

	probe->bss->key_hi = key.hi;
	probe->bss->key_lo = key.lo;
	probe->bss->root = root;
	probe->bss->family = family;
	probe->bss->leaf = UINT32_MAX;
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(probe->progs.lookup), &run), 0);
	return probe->bss->leaf;
}

static struct spw_trie_key bulk_keys[SPW_TRIE_BULK_MAX];
static uint32_t bulk_wanted[SPW_TRIE_BULK_MAX];

/* The last lookups once more, and together; every third in an empty trie. */
static void check_bulk(const struct spw_trie *native, uint32_t root, uint32_t family)
{
	uint32_t roots[SPW_TRIE_BULK_MAX] = {0}, leaves[SPW_TRIE_BULK_MAX];
	uint32_t cnt = (uint32_t)(random_word() % (SPW_TRIE_BULK_MAX + 1));

	for (uint32_t i = 0; i < cnt; i++)
		roots[i] = i % 3 ? root : 0;
	if (family == 4)
		spw_trie_lookup_bulk(native, roots, bulk_keys, leaves, cnt, SPW_TRIE_LEVELS4);
	else
		spw_trie_lookup_bulk(native, roots, bulk_keys, leaves, cnt, SPW_TRIE_LEVELS6);
	for (uint32_t i = 0; i < cnt; i++)
		assert_int_equal(leaves[i], i % 3 ? bulk_wanted[i] : 0);
}

static void check_trie(const struct test_prefix *prefixes, uint32_t cnt, uint32_t family,
		       uint32_t direct)
{
	const struct spw_trie native = {tables.units, TEST_UNITS_MAX};
	uint32_t root = test_trie_build(&tables, prefixes, cnt, family, direct), hits = 0;

	for (uint32_t i = 0; i < KEYS; i++) {
		struct spw_trie_key key = random_key(prefixes, cnt, family);
		uint32_t wanted = test_trie_scan(prefixes, cnt, key);
		uint32_t found = family == 4
					 ? spw_trie_lookup(&native, root, key, SPW_TRIE_LEVELS4)
					 : spw_trie_lookup(&native, root, key, SPW_TRIE_LEVELS6);
		assert_int_equal(found, wanted);
		bulk_keys[i % SPW_TRIE_BULK_MAX] = key;
		bulk_wanted[i % SPW_TRIE_BULK_MAX] = wanted;
		if ((i + 1) % SPW_TRIE_BULK_MAX == 0)
			check_bulk(&native, root, family);
		assert_int_equal(lookup_in_bpf(root, family, key), wanted);
		hits += wanted != 0;
	}
	assert_true(hits > KEYS / 4); /* else the test says little */
}

/* Lists, nodes and guards; and below direct tables of several sizes. */
static void check_family(uint32_t family)
{
	static struct test_prefix prefixes[PREFIXES];
	const uint32_t direct[] = {0, 3, 7, 13};
	const uint32_t cnts[] = {1, 3, 7, 12, 40};

	random_prefixes(prefixes, family);
	for (uint32_t i = 0; i < 4; i++)
		check_trie(prefixes, PREFIXES, family, direct[i]);
	for (uint32_t i = 0; i < 5; i++)
		check_trie(prefixes, cnts[i], family, 0);
}

static void test_ipv4(void **state)
{
	(void)state;
	check_family(4);
}

static void test_ipv6(void **state)
{
	(void)state;
	check_family(6);
}

static void check_nothing(uint32_t root, uint32_t family)
{
	const struct spw_trie native = {tables.units, TEST_UNITS_MAX};
	struct spw_trie_key key = {.hi = 0x0a000001ull << 32};

	assert_int_equal(lookup_in_bpf(root, family, key), 0);
	assert_int_equal(spw_trie_lookup(&native, root, key, SPW_TRIE_LEVELS4), 0);
	assert_int_equal(spw_trie_lookup(&native, root, key, SPW_TRIE_LEVELS6), 0);
}

/* Refs that point nowhere, or in a ring: no match, never a fault. */
static void test_broken_tables(void **state)
{
	uint32_t unit = tables.units_cnt;
	__u64 *word = tables.units[unit].word;

	(void)state;
	tables.units_cnt += 2;
	for (uint32_t family = 4; family <= 6; family += 2) {
		check_nothing(0, family);
		for (uint32_t shape = 0; shape < 32; shape++) {
			check_nothing(SPW_TRIE_REF(shape, TEST_UNITS_MAX), family);
			check_nothing(SPW_TRIE_REF(shape, SPW_TRIE_INDEX(~0u)), family);
		}
		word[0] = ~0ull; /* a node that is its own child, or leads out of the table */
		word[1] = word[2] = 0;
		for (int i = 3; i < 8; i++)
			word[i] = SPW_TRIE_REF(SPW_TRIE_NODE, unit) * 0x100000001ull;
		check_nothing(SPW_TRIE_REF(SPW_TRIE_NODE, unit), family);
		word[1] = ~0ull;
		check_nothing(SPW_TRIE_REF(SPW_TRIE_NODE, TEST_UNITS_MAX - 1), family);
	}
	/* Guards of everything that lead back to themselves. */
	memset(word, 0, 64);
	word[0] = 1ull << 31;
	word[4] = SPW_TRIE_REF(SPW_TRIE_GUARD, unit);
	check_nothing(SPW_TRIE_REF(SPW_TRIE_GUARD, unit), 4);
	memset(word, 0, 64);
	word[0] = (__u64)SPW_TRIE_REF(SPW_TRIE_GUARD, unit) << 32;
	word[2] = 1ull << 63;
	check_nothing(SPW_TRIE_REF(SPW_TRIE_GUARD, unit), 6);
}

static int open_probe(void)
{
	probe = spw_lookup__open();
	if (!probe)
		return -1;
	if (bpf_map__reuse_fd(probe->maps.route_units, tables.fd[SPW_MAP_ROUTE_UNITS]))
		return -1;
	return spw_lookup__load(probe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_broken_tables),
	};
	int error = test_tables_open(&tables);

	if (error) {
		printf("skipped: BPF maps cannot be made (%s); run as root\n", strerror(-error));
		return 77;
	}
	if (open_probe() != 0) {
		printf("the lookup program does not load\n");
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	spw_lookup__destroy(probe);
	test_tables_close(&tables);
	return failed;
}
