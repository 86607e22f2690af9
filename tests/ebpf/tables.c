// SPDX-License-Identifier: BSD-2-Clause
/* tables.c - shared tables for tests. See tables.h. */
#include "tables.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

static size_t map_bytes(__u32 record_bytes, __u32 entries)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return ((size_t)record_bytes * entries + page - 1) / page * page;
}

static int open_table(struct test_tables *tables, enum spw_map_id id, const char *name,
		      __u32 record_bytes, __u32 entries, void *view)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, record_bytes, entries, &options);

	if (fd < 0)
		return fd;
	tables->fd[id] = fd;
	void *memory = mmap(NULL, map_bytes(record_bytes, entries), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	memcpy(view, &memory, sizeof(memory));
	return 0;
}

int test_tables_open(struct test_tables *tables)
{
	int error;

	memset(tables, 0, sizeof(*tables));
	for (int i = 0; i < SPW_MAP_CNT; i++)
		tables->fd[i] = -1;
	error = open_table(tables, SPW_MAP_META, "spw_meta", sizeof(struct spw_meta), 1,
			   &tables->meta);
	if (!error)
		error = open_table(tables, SPW_MAP_PORTS, "spw_ports", sizeof(struct spw_port),
				   SPW_PORTS_MAX, &tables->ports);
	if (!error)
		error = open_table(tables, SPW_MAP_TENANTS, "spw_tenants",
				   sizeof(struct spw_tenant), TEST_TENANTS_MAX, &tables->tenants);
	if (!error)
		error = open_table(tables, SPW_MAP_SPIS, "spw_spis", sizeof(struct spw_spi),
				   TEST_SAS_MAX, &tables->spis);
	if (!error)
		error = open_table(tables, SPW_MAP_ROUTE_NODES, "spw_nodes",
				   sizeof(struct spw_trie_node), TEST_NODES_MAX, &tables->nodes);
	if (!error)
		error = open_table(tables, SPW_MAP_ROUTE_LEAVES, "spw_leaves",
				   sizeof(struct spw_trie_leaves), TEST_LEAVES_MAX / 2,
				   &tables->leaves);
	if (error)
		test_tables_close(tables);
	else
		tables->nodes_cnt = 1;
	return error;
}

void test_tables_close(struct test_tables *tables)
{
	const struct {
		void *memory;
		size_t bytes;
	} views[] = {
		{tables->meta, map_bytes(sizeof(*tables->meta), 1)},
		{tables->ports, map_bytes(sizeof(*tables->ports), SPW_PORTS_MAX)},
		{tables->tenants, map_bytes(sizeof(*tables->tenants), TEST_TENANTS_MAX)},
		{tables->spis, map_bytes(sizeof(*tables->spis), TEST_SAS_MAX)},
		{tables->nodes, map_bytes(sizeof(*tables->nodes), TEST_NODES_MAX)},
		{tables->leaves, map_bytes(sizeof(*tables->leaves), TEST_LEAVES_MAX / 2)},
	};

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		if (views[i].memory)
			munmap(views[i].memory, views[i].bytes);
	for (int i = 0; i < SPW_MAP_CNT; i++)
		if (tables->fd[i] >= 0)
			close(tables->fd[i]);
}

struct test_prefix test_prefix(const char *text, __u32 leaf)
{
	struct test_prefix prefix = {.leaf = leaf};
	char addr_text[64];
	__u8 addr[16];

	if (sscanf(text, "%63[^/]/%u", addr_text, &prefix.bits) != 2)
		abort();
	if (inet_pton(AF_INET6, addr_text, addr) == 1) {
		prefix.key = spw_trie_key6(addr);
	} else if (inet_pton(AF_INET, addr_text, addr) == 1) {
		__u32 word;
		memcpy(&word, addr, sizeof(word));
		prefix.key = spw_trie_key4(ntohl(word));
	} else {
		abort();
	}
	return prefix;
}

/* Bit i of a key with the two zero bits in front; 130 bits in all, and zeros behind them. */
static unsigned int padded_bit(struct spw_trie_key key, __u32 i)
{
	if (i < 2 || i >= 130)
		return 0;
	i -= 2;
	return (unsigned int)((i < 64 ? key.hi >> (63 - i) : key.lo >> (127 - i)) & 1);
}

static __u32 padded_bits(struct spw_trie_key key, __u32 from, __u32 cnt)
{
	__u32 value = 0;

	for (__u32 i = 0; i < cnt; i++)
		value = value << 1 | padded_bit(key, from + i);
	return value;
}

/* The prefixes all share the first 6 * level padded bits. */
static void build_node(struct test_tables *tables, __u32 index, const struct test_prefix *prefixes,
		       __u32 cnt, __u32 level)
{
	struct spw_trie_node node = {0};
	const struct test_prefix *ending[64] = {NULL};

	for (__u32 i = 0; i < cnt; i++) {
		__u32 left = prefixes[i].bits + 2 - 6 * level;
		if (left < 6) {
			__u32 bit = 1u << left | padded_bits(prefixes[i].key, 6 * level, left);
			assert(!ending[bit]);
			ending[bit] = &prefixes[i];
			node.prefixes |= 1ull << bit;
		} else {
			node.children |= 1ull << padded_bits(prefixes[i].key, 6 * level, 6);
		}
	}
	node.leaf_base = tables->leaves_cnt;
	for (__u32 bit = 0; bit < 64; bit++) {
		if (!ending[bit])
			continue;
		assert(tables->leaves_cnt < TEST_LEAVES_MAX);
		__u32 leaf = tables->leaves_cnt++;
		tables->leaves[leaf / 2].leaf[leaf % 2] = ending[bit]->leaf;
	}
	node.child_base = tables->nodes_cnt;
	tables->nodes_cnt += (__u32)__builtin_popcountll(node.children);
	assert(tables->nodes_cnt <= TEST_NODES_MAX);
	tables->nodes[index] = node;

	struct test_prefix *below = calloc(cnt + 1, sizeof(*below));
	__u32 child = node.child_base;
	for (__u32 chunk = 0; chunk < 64; chunk++) {
		__u32 below_cnt = 0;
		if (!(node.children >> chunk & 1))
			continue;
		for (__u32 i = 0; i < cnt; i++)
			if (prefixes[i].bits + 2 >= 6 * (level + 1) &&
			    padded_bits(prefixes[i].key, 6 * level, 6) == chunk)
				below[below_cnt++] = prefixes[i];
		build_node(tables, child++, below, below_cnt, level + 1);
	}
	free(below);
}

__u32 test_trie_build(struct test_tables *tables, const struct test_prefix *prefixes, __u32 cnt)
{
	__u32 root = tables->nodes_cnt++;

	build_node(tables, root, prefixes, cnt, 0);
	return root;
}

static bool covers(const struct test_prefix *prefix, struct spw_trie_key key)
{
	for (__u32 i = 0; i < prefix->bits; i++)
		if (padded_bit(prefix->key, i + 2) != padded_bit(key, i + 2))
			return false;
	return true;
}

__u32 test_trie_scan(const struct test_prefix *prefixes, __u32 cnt, struct spw_trie_key key)
{
	const struct test_prefix *best = NULL;

	for (__u32 i = 0; i < cnt; i++)
		if ((!best || prefixes[i].bits > best->bits) && covers(&prefixes[i], key))
			best = &prefixes[i];
	return best ? best->leaf : 0;
}
