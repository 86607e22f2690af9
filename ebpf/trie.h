/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * trie.h - longest-prefix lookup in the shared tables, for BPF and native code.
 *
 * A tree bitmap (Eatherton, Varghese, Dittia 2004) of 6-bit strides. Nothing is pushed towards the
 * leaves, so a change touches one path, whatever the prefix: control copies that path and publishes
 * it with one store of the root (control/daemon/tables/trie.c is the only writer).
 *
 * Keys are 128 bits in two host-order words, left-aligned; an IPv4 address stands in the top 32.
 * Two zero bits are put in front, so that chunk k covers address bits 6k-2 to 6k+3. That keeps the
 * common lengths (/24, /48, /64 among them) off the chunk borders, where a prefix would cost a node
 * of its own, and lets no chunk straddle the two words.
 *
 * The reader brings its tables: native code a struct spw_trie, BPF the two maps route_nodes and
 * route_leaves declared before this header is included. Thread-safe for any number of readers that
 * hold an epoch (workers) or run inside the kernel's RCU (XDP).
 */
#ifndef SPW_TRIE_H
#define SPW_TRIE_H

#include "tables.h"

#define SPW_TRIE_LEVELS4 6u
#define SPW_TRIE_LEVELS6 22u

struct spw_trie_key {
	__u64 hi, lo;
};

#ifdef __bpf__

struct spw_trie; /* BPF has the maps in scope; the argument is NULL */

static __always_inline const struct spw_trie_node *spw_trie_node(const struct spw_trie *trie,
								 __u32 index)
{
	(void)trie;
	return bpf_map_lookup_elem(&route_nodes, &index);
}

static __always_inline __u32 spw_trie_leaf(const struct spw_trie *trie, __u32 index)
{
	(void)trie;
	__u32 pair = index / 2;
	const struct spw_trie_leaves *leaves = bpf_map_lookup_elem(&route_leaves, &pair);
	return leaves ? leaves->leaf[index % 2] : 0;
}

#else

#include <stddef.h>
#include <sys/cdefs.h> /* __always_inline */

struct spw_trie {
	const struct spw_trie_node *nodes;
	const struct spw_trie_leaves *leaves;
	__u32 nodes_max;  /* entries in nodes */
	__u32 leaves_max; /* single leaves, twice the entries in leaves */
};

static __always_inline const struct spw_trie_node *spw_trie_node(const struct spw_trie *trie,
								 __u32 index)
{
	return index < trie->nodes_max ? &trie->nodes[index] : NULL;
}

static __always_inline __u32 spw_trie_leaf(const struct spw_trie *trie, __u32 index)
{
	return index < trie->leaves_max ? trie->leaves[index / 2].leaf[index % 2] : 0;
}

#endif

static __always_inline struct spw_trie_key spw_trie_key4(__u32 addr)
{
	return (struct spw_trie_key){.hi = (__u64)addr << 32};
}

static __always_inline struct spw_trie_key spw_trie_key6(const __u8 addr[16])
{
	struct spw_trie_key key;
	__builtin_memcpy(&key, addr, sizeof(key));
	key.hi = __builtin_bswap64(key.hi); /* both targets (x86-64, bpfel) are little-endian */
	key.lo = __builtin_bswap64(key.lo);
	return key;
}

/* The 6-bit chunk of level 0..21. */
static __always_inline __u32 spw_trie_chunk(struct spw_trie_key key, __u32 level)
{
	if (level == 0)
		return (__u32)(key.hi >> 60);
	if (level <= 10)
		return (__u32)(key.hi >> (60 - 6 * level)) & 63;
	if (level <= 20)
		return (__u32)(key.lo >> (124 - 6 * level)) & 63;
	return (__u32)(key.lo << 2) & 63;
}

/* The bits of `prefixes` that cover a chunk: its 0 to 5 leading bits. */
static __always_inline __u64 spw_trie_covering(__u32 chunk)
{
	return 1ull << 1 | 1ull << (2 | chunk >> 5) | 1ull << (4 | chunk >> 4) |
	       1ull << (8 | chunk >> 3) | 1ull << (16 | chunk >> 2) | 1ull << (32 | chunk >> 1);
}

/* The highest bit set in a word that is not 0: the longest of the prefixes that match. */
static __always_inline __u32 spw_trie_top_bit(__u64 word)
{
	__u32 bit = 0;
	if (word >> 32)
		bit += 32, word >>= 32;
	if (word >> 16)
		bit += 16, word >>= 16;
	if (word >> 8)
		bit += 8, word >>= 8;
	if (word >> 4)
		bit += 4, word >>= 4;
	if (word >> 2)
		bit += 2, word >>= 2;
	return bit + (__u32)(word >> 1);
}

/*
 * spw_trie_lookup finds the longest prefix of the trie at `root` that covers the key.
 * root: a value of spw_tenant.route_root or an allow or deny root; 0 is the empty trie.
 * levels: SPW_TRIE_LEVELS4 or SPW_TRIE_LEVELS6, a constant at every call.
 * Returns its leaf, 0 where none covers the key.
 */
static __always_inline __u32 spw_trie_lookup(const struct spw_trie *trie, __u32 root,
					     struct spw_trie_key key, __u32 levels)
{
	__u64 best_prefixes = 0, best_match = 0;
	__u32 best_base = 0;

	if (root == 0)
		return 0;
	for (__u32 level = 0; level < levels; level++) {
		const struct spw_trie_node *node = spw_trie_node(trie, root);
		if (!node)
			break;
		__u32 chunk = spw_trie_chunk(key, level);
		__u64 match = node->prefixes & spw_trie_covering(chunk);
		if (match) {
			best_match = match;
			best_prefixes = node->prefixes;
			best_base = node->leaf_base;
		}
		if (!(node->children >> chunk & 1))
			break;
		root = node->child_base +
		       (__u32)__builtin_popcountll(node->children & ((1ull << chunk) - 1));
	}
	if (!best_match)
		return 0;
	__u64 below = (1ull << spw_trie_top_bit(best_match)) - 1;
	return spw_trie_leaf(trie, best_base + (__u32)__builtin_popcountll(best_prefixes & below));
}

#endif
