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

#include "lookup.skel.h"
#include "tables.h"

#define PREFIXES 2000u
#define KEYS 20000u

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

static void check_family(uint32_t family)
{
	static struct test_prefix prefixes[PREFIXES];
	const struct spw_trie native = {tables.nodes, tables.leaves, TEST_NODES_MAX,
					TEST_LEAVES_MAX};
	uint32_t cnt = random_prefixes(prefixes, family), hits = 0;
	uint32_t root = test_trie_build(&tables, prefixes, cnt);

	for (uint32_t i = 0; i < KEYS; i++) {
		struct spw_trie_key key = random_key(prefixes, cnt, family);
		uint32_t wanted = test_trie_scan(prefixes, cnt, key);
		uint32_t levels = family == 4 ? SPW_TRIE_LEVELS4 : SPW_TRIE_LEVELS6;
		assert_int_equal(spw_trie_lookup(&native, root, key, levels), wanted);
		assert_int_equal(lookup_in_bpf(root, family, key), wanted);
		hits += wanted != 0;
	}
	assert_true(hits > KEYS / 4); /* else the test says little */
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

/* The root, and indexes that point nowhere: no match, never a fault. */
static void test_broken_tables(void **state)
{
	struct spw_trie_key key = {.hi = 0x0a000001ull << 32};
	uint32_t root = tables.nodes_cnt++;

	(void)state;
	assert_int_equal(lookup_in_bpf(0, 4, key), 0);
	assert_int_equal(lookup_in_bpf(TEST_NODES_MAX, 4, key), 0);
	assert_int_equal(lookup_in_bpf(UINT32_MAX, 6, key), 0);
	tables.nodes[root] = (struct spw_trie_node){.children = ~0ull, .child_base = UINT32_MAX};
	assert_int_equal(lookup_in_bpf(root, 4, key), 0);
	tables.nodes[root] =
		(struct spw_trie_node){.prefixes = ~0ull, .leaf_base = UINT32_MAX - 99};
	assert_int_equal(lookup_in_bpf(root, 6, key), 0);
	tables.nodes[root] = (struct spw_trie_node){.children = ~0ull, .child_base = root};
	assert_int_equal(lookup_in_bpf(root, 6, (struct spw_trie_key){0}), 0); /* a loop ends */
}

static int open_probe(void)
{
	probe = spw_lookup__open();
	if (!probe)
		return -1;
	if (bpf_map__reuse_fd(probe->maps.route_nodes, tables.fd[SPW_MAP_ROUTE_NODES]) ||
	    bpf_map__reuse_fd(probe->maps.route_leaves, tables.fd[SPW_MAP_ROUTE_LEAVES]))
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
