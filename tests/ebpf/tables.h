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
#define TEST_NEIGHBORS_MAX 16u
#define TEST_UNITS_MAX 65536u

struct test_tables {
	int fd[SPW_MAP_CNT]; /* by enum spw_map_id */
	struct spw_meta *meta;
	struct spw_port *ports;
	struct spw_tenant *tenants;
	struct spw_spi *spis;
	struct spw_trie_unit *units;
	union spw_neighbor *neighbors;
	struct spw_relay_root *relay_ports;
	struct spw_relay *relays;
	struct spw_relay_state *relay_states;
	__u32 units_cnt; /* used so far; 0 is reserved */
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

/* Appends a trie of the prefixes, no two alike, to the tables and returns its root. family: 4 or 6.
 * direct: bits of a direct table at its top, 0: none. Few prefixes are a list in any case. */
__u32 test_trie_build(struct test_tables *tables, const struct test_prefix *prefixes, __u32 cnt,
		      __u32 family, __u32 direct);

/* The lookup as its definition says it: of all prefixes that cover the key the longest. */
__u32 test_trie_scan(const struct test_prefix *prefixes, __u32 cnt, struct spw_trie_key key);

#endif
