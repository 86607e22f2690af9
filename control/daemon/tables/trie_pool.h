/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_pool.h - the pool of the tries as trie.c (changes) and trie_read.c (reading) share it.
 * Private to the two. Control's one thread.
 */
#ifndef SPW_TRIE_POOL_H
#define SPW_TRIE_POOL_H

#include "control/daemon/tables/blocks.h"
#include "control/daemon/tables/trie.h"
#include "ebpf/trie.h"

enum trie_kind { TRIE_NODES, TRIE_LEAVES, TRIE_KINDS };

struct spw_trie_pool {
	struct spw_trie_node *nodes;
	struct spw_trie_leaves *leaves;
	struct spw_blocks blocks[TRIE_KINDS];
	/* At the first unit of a block that the open transaction made: 1 + its place in the
	 * transaction's list, else 0. Such blocks are written in place, no reader knows them. */
	uint32_t *born[TRIE_KINDS];
	struct spw_trie_txn *open; /* NULL: none */
	/* Retired ones whose old blocks are in the limbo, in the order in which they leave it. */
	struct spw_trie_txn *retired_first, **retired_end;
};

/* Where in a trie a prefix stands: in the node of this level, under this bit of `prefixes`. */
struct trie_spot {
	struct spw_trie_key key;
	uint32_t level;
	uint64_t bit;
};

/* False: it is no prefix. */
bool spw_trie_spot(const struct spw_prefix *prefix, struct trie_spot *spot);

static inline uint32_t trie_bits(uint64_t word)
{
	return (uint32_t)__builtin_popcountll(word);
}

/* How many of the bits of `word` lie below `bit` (one bit). */
static inline uint32_t trie_rank(uint64_t word, uint64_t bit)
{
	return trie_bits(word & (bit - 1));
}

static inline uint32_t *trie_leaf(const struct spw_trie_pool *pool, uint32_t index)
{
	return &pool->leaves[index / 2].leaf[index % 2];
}

#endif
