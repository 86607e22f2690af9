/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.h - shared tables made for a test: small, not pinned, written straight through mmap.
 *
 * The trie writer here is independent of control's: it builds a whole trie from a list, once, so
 * that the lookup is tested against the format and not against the writer's idea of it.
 */
#ifndef SPW_TEST_TABLES_H
#define SPW_TEST_TABLES_H

#include "ebpf/tables.h"
#include "ebpf/trie.h"

#define TEST_SAS_MAX 64u
#define TEST_TENANTS_MAX 8u
#define TEST_NODES_MAX 65536u
#define TEST_LEAVES_MAX 65536u

struct test_tables {
	int fd[SPW_MAP_CNT]; /* by enum spw_map_id */
	struct spw_meta *meta;
	struct spw_port *ports;
	struct spw_tenant *tenants;
	struct spw_spi *spis;
	struct spw_trie_node *nodes;
	struct spw_trie_leaves *leaves;
	__u32 nodes_cnt, leaves_cnt; /* used so far; 0 of the nodes is reserved */
};

struct test_prefix {
	struct spw_trie_key key; /* bits beyond `bits` are 0 */
	__u32 bits;              /* 0..32 or 0..128 */
	__u32 leaf;
};

/* Creates and maps the tables. 0, or a negative errno (no right to use BPF). */
int test_tables_open(struct test_tables *tables);
void test_tables_close(struct test_tables *tables);

/* "10.0.0.0/8" or "fd00::/8". */
struct test_prefix test_prefix(const char *text, __u32 leaf);

/* Appends a trie of the prefixes, no two alike, to the tables and returns its root. */
__u32 test_trie_build(struct test_tables *tables, const struct test_prefix *prefixes, __u32 cnt);

/* The lookup as its definition says it: of all prefixes that cover the key the longest. */
__u32 test_trie_scan(const struct test_prefix *prefixes, __u32 cnt, struct spw_trie_key key);

#endif
