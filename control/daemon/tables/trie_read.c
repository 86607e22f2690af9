/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

static uint32_t levels(unsigned int family)
{
	return family == 4 ? SPW_TRIE_LEVELS4 : SPW_TRIE_LEVELS6;
}

bool spw_trie_spot(const struct spw_prefix *prefix, struct trie_spot *spot)
{
	uint32_t len = prefix->bits;

	if ((prefix->family != 4 || len > 32) && (prefix->family != 6 || len > 128))
		return false;
	if (len % 8 && (prefix->addr[len / 8] & 0xff >> len % 8))
		return false;
	for (uint32_t i = (len + 7) / 8; i < sizeof(prefix->addr); i++)
		if (prefix->addr[i])
			return false;

	/* Both families are left-aligned, and the bytes behind an IPv4 address are 0. */
	spot->key = spw_trie_key6(prefix->addr);
	spot->level = (len + 2) / 6;
	uint32_t rest = (len + 2) % 6;
	/* A prefix that ends on a chunk border needs no bits of the next chunk. */
	uint32_t value = rest ? spw_trie_chunk(spot->key, spot->level) >> (6 - rest) : 0;
	spot->bit = 1ull << (1u << rest | value);
	return true;
}

uint32_t spw_trie_get(const struct spw_trie_pool *pool, uint32_t root,
		      const struct spw_prefix *prefix)
{
	struct trie_spot spot;

	if (root == 0 || !spw_trie_spot(prefix, &spot))
		return 0;
	for (uint32_t level = 0; level < spot.level; level++) {
		const struct spw_trie_node *node = &pool->nodes[root];
		uint64_t bit = 1ull << spw_trie_chunk(spot.key, level);
		if (!(node->children & bit))
			return 0;
		root = node->child_base + trie_rank(node->children, bit);
	}
	const struct spw_trie_node *node = &pool->nodes[root];
	if (!(node->prefixes & spot.bit))
		return 0;
	return *trie_leaf(pool, node->leaf_base + trie_rank(node->prefixes, spot.bit));
}

/* ---- walk --------------------------------------------------------------------------------- */

struct walk {
	const struct spw_trie_pool *pool;
	unsigned int family;
	spw_trie_walk_fn fn;
	void *arg;
};

/* The key with a chunk put at its level; the reverse of spw_trie_chunk. */
static struct spw_trie_key key_with(struct spw_trie_key key, uint32_t level, uint64_t chunk)
{
	if (level <= 10)
		key.hi |= chunk << (60 - 6 * level);
	else if (level <= 20)
		key.lo |= chunk << (124 - 6 * level);
	else
		key.lo |= chunk >> 2;
	return key;
}

static int walk_leaf(const struct walk *walk, struct spw_trie_key key, uint32_t len, uint32_t index)
{
	struct spw_prefix prefix = {.family = (uint8_t)walk->family, .bits = (uint8_t)len};
	uint64_t words[2] = {__builtin_bswap64(key.hi), __builtin_bswap64(key.lo)};

	memcpy(prefix.addr, words, sizeof(prefix.addr));
	return walk->fn(&prefix, *trie_leaf(walk->pool, index), walk->arg);
}

static int walk_node(const struct walk *walk, uint32_t index, struct spw_trie_key key,
		     uint32_t level);

/* The prefixes and children below `value`, the leading `bits` bits of the node's chunk. */
static int walk_below(const struct walk *walk, const struct spw_trie_node *node,
		      struct spw_trie_key key, uint32_t level, uint32_t bits, uint32_t value)
{
	struct spw_trie_key here = key_with(key, level, (uint64_t)value << (6 - bits));
	int result = 0;

	if (bits == 6) {
		uint64_t child = 1ull << value;
		if (node->children & child)
			result =
				walk_node(walk, node->child_base + trie_rank(node->children, child),
					  here, level + 1);
		return result;
	}
	uint64_t bit = 1ull << (1u << bits | value);
	if (node->prefixes & bit)
		result = walk_leaf(walk, here, 6 * level - 2 + bits,
				   node->leaf_base + trie_rank(node->prefixes, bit));
	if (result == 0)
		result = walk_below(walk, node, key, level, bits + 1, value << 1);
	if (result == 0)
		result = walk_below(walk, node, key, level, bits + 1, value << 1 | 1);
	return result;
}

static int walk_node(const struct walk *walk, uint32_t index, struct spw_trie_key key,
		     uint32_t level)
{
	/* Level 0 starts behind the two zero bits in front of every key. */
	return walk_below(walk, &walk->pool->nodes[index], key, level, level == 0 ? 2 : 0, 0);
}

int spw_trie_walk(const struct spw_trie_pool *pool, uint32_t root, unsigned int family,
		  spw_trie_walk_fn fn, void *arg)
{
	struct walk walk = {.pool = pool, .family = family, .fn = fn, .arg = arg};

	return root ? walk_node(&walk, root, (struct spw_trie_key){0}, 0) : 0;
}

/* ---- mark --------------------------------------------------------------------------------- */

/* What a node may hold: nothing in front of the first address bit, nothing behind the last. */
static bool node_sane(const struct spw_trie_node *node, uint32_t level, uint32_t levels_cnt)
{
	if (node->prefixes & 1)
		return false;
	if (level == 0 && (node->children >> 16 || node->prefixes & 0xe))
		return false;
	return level + 1 < levels_cnt || (node->children == 0 && node->prefixes >> 32 == 0);
}

static bool mark_node(struct spw_trie_pool *pool, uint32_t index, uint32_t level,
		      uint32_t levels_cnt)
{
	const struct spw_trie_node *node = &pool->nodes[index];

	if (!node_sane(node, level, levels_cnt))
		return false;
	if (node->prefixes && !spw_blocks_mark(&pool->blocks[TRIE_LEAVES], node->leaf_base,
					       trie_bits(node->prefixes)))
		return false;
	uint32_t children = trie_bits(node->children);
	if (children && !spw_blocks_mark(&pool->blocks[TRIE_NODES], node->child_base, children))
		return false;
	for (uint32_t i = 0; i < children; i++)
		if (!mark_node(pool, node->child_base + i, level + 1, levels_cnt))
			return false;
	return true;
}

int spw_trie_mark(struct spw_trie_pool *pool, uint32_t root, unsigned int family)
{
	if (root == 0)
		return 0;
	if (!spw_blocks_mark(&pool->blocks[TRIE_NODES], root, 1))
		return -EUCLEAN;
	return mark_node(pool, root, 0, levels(family)) ? 0 : -EUCLEAN;
}

void spw_trie_marked(struct spw_trie_pool *pool)
{
	for (int kind = 0; kind < TRIE_KINDS; kind++)
		spw_blocks_marked(&pool->blocks[kind]);
}

void spw_trie_usage(const struct spw_trie_pool *pool, struct spw_trie_usage *usage)
{
	const struct spw_blocks *nodes = &pool->blocks[TRIE_NODES];
	const struct spw_blocks *leaves = &pool->blocks[TRIE_LEAVES];

	usage->nodes_max = nodes->max - 1;
	usage->nodes_used = usage->nodes_max - nodes->free;
	usage->leaves_max = leaves->max - 1;
	usage->leaves_used = leaves->max - 1 - leaves->free;
}
