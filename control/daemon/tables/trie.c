/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change has three parts: walk to the prefix, plan (allocate every block that the change needs,
 * which alone may fail) and apply. A block is copied once per transaction; after that it was born
 * in it and is written in place, unless its size changes. Blocks born in the transaction hang on
 * born blocks only, so that everything that a published root reaches stays as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

/* Kept back from inserts, so that a removal, which copies its path too, works in a full pool: one
 * path of full blocks, in small pools a sixteenth. */
#define KEEP_NODES (SPW_TRIE_LEVELS6 * SPW_BLOCK_UNITS_MAX)
#define KEEP_LEAVES (2 * SPW_BLOCK_UNITS_MAX)

/* The most blocks that one change makes or gives up, of one kind. */
#define CHANGE_BLOCKS_MAX (SPW_TRIE_LEVELS6 + 1)

struct block {
	uint32_t first, units;
};

struct block_list {
	struct block *at;
	uint32_t cnt, room;
};

struct spw_trie_txn {
	struct spw_trie_pool *pool;
	struct spw_grace *grace;            /* sealed when set: a place in its limbo is taken */
	struct spw_trie_txn *next;          /* retired: the next one in the limbo */
	struct block_list born[TRIE_KINDS]; /* made by this transaction */
	struct block_list old[TRIE_KINDS];  /* published blocks that it gave up */
};

/* A change under way. Levels run from the root, 0. */
struct change {
	struct spw_trie_txn *txn;
	struct trie_spot spot;
	int last;                             /* deepest level there is on the way, -1: none */
	uint32_t index[SPW_TRIE_LEVELS6];     /* node on the way, per level */
	struct block fresh[SPW_TRIE_LEVELS6]; /* new block of a level; first 0: it stays */
	struct block leaves;                  /* new leaf block; first 0: it stays */
	bool may_keep;                        /* may use what is kept back */
};

/* ---- blocks ------------------------------------------------------------------------------- */

static int list_room(struct block_list *list, uint32_t more)
{
	if (list->room - list->cnt >= more)
		return 0;
	uint32_t room = list->room * 2 > list->cnt + more ? list->room * 2 : list->cnt + more + 64;
	struct block *at = realloc(list->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	list->at = at;
	list->room = room;
	return 0;
}

/* Makes sure that `blocks` blocks of each kind can be noted in every list. */
static int txn_room(struct spw_trie_txn *txn, uint32_t blocks)
{
	for (int kind = 0; kind < TRIE_KINDS; kind++)
		if (list_room(&txn->born[kind], blocks) || list_room(&txn->old[kind], blocks))
			return -ENOMEM;
	return 0;
}

/* Zeroed, so that a reader that held on to a block for too long would find nothing there. */
static void block_free(struct spw_trie_pool *pool, int kind, struct block block)
{
	if (kind == TRIE_NODES)
		memset(&pool->nodes[block.first], 0, block.units * sizeof(*pool->nodes));
	else
		for (uint32_t i = 0; i < block.units; i++)
			*trie_leaf(pool, block.first + i) = 0;
	spw_blocks_free(&pool->blocks[kind], block.first, block.units);
}

static void block_born(struct spw_trie_txn *txn, int kind, struct block block)
{
	struct block_list *list = &txn->born[kind];

	list->at[list->cnt++] = block;
	txn->pool->born[kind][block.first] = list->cnt;
}

static void block_unborn(struct spw_trie_txn *txn, int kind, uint32_t first)
{
	struct block_list *list = &txn->born[kind];
	uint32_t *born = txn->pool->born[kind];

	struct block moved = list->at[--list->cnt];
	list->at[born[first] - 1] = moved;
	born[moved.first] = born[first];
	born[first] = 0;
}

/* The change uses the block no more: free at once if nobody else knows it, after grace if not. */
static void block_drop(struct spw_trie_txn *txn, int kind, struct block block)
{
	struct block_list *old = &txn->old[kind];

	if (txn->pool->born[kind][block.first]) {
		block_unborn(txn, kind, block.first);
		block_free(txn->pool, kind, block);
	} else {
		old->at[old->cnt++] = block;
	}
}

static void txn_free(struct spw_trie_txn *txn)
{
	for (int kind = 0; kind < TRIE_KINDS; kind++) {
		free(txn->born[kind].at);
		free(txn->old[kind].at);
	}
	free(txn);
}

/* ---- the pool ----------------------------------------------------------------------------- */

struct spw_trie_pool *spw_trie_pool_create(struct spw_trie_node *nodes, uint32_t nodes_max,
					   struct spw_trie_leaves *leaves, uint32_t leaves_max)
{
	const uint32_t max[TRIE_KINDS] = {nodes_max, leaves_max};
	struct spw_trie_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->nodes = nodes;
	pool->leaves = leaves;
	pool->retired_end = &pool->retired_first;
	for (int kind = 0; kind < TRIE_KINDS; kind++) {
		pool->born[kind] = calloc(max[kind], sizeof(*pool->born[kind]));
		if (!pool->born[kind] || spw_blocks_open(&pool->blocks[kind], max[kind]) != 0) {
			spw_trie_pool_destroy(pool);
			return NULL;
		}
	}
	return pool;
}

void spw_trie_pool_destroy(struct spw_trie_pool *pool)
{
	if (!pool)
		return;
	for (struct spw_trie_txn *txn = pool->retired_first, *next; txn; txn = next) {
		next = txn->next;
		txn_free(txn);
	}
	for (int kind = 0; kind < TRIE_KINDS; kind++) {
		spw_blocks_close(&pool->blocks[kind]);
		free(pool->born[kind]);
	}
	free(pool);
}

/* ---- walk and plan ------------------------------------------------------------------------ */

static struct spw_trie_node *node_at(const struct change *change, uint32_t level)
{
	return &change->txn->pool->nodes[change->index[level]];
}

/* The block in which the node on the way at `level` lies. */
static struct block block_at(const struct change *change, uint32_t level)
{
	if (level == 0)
		return (struct block){change->index[0], 1};
	const struct spw_trie_node *parent = node_at(change, level - 1);
	return (struct block){parent->child_base, trie_bits(parent->children)};
}

static uint64_t child_bit(const struct change *change, uint32_t level)
{
	return 1ull << spw_trie_chunk(change->spot.key, level);
}

static int change_begin(struct change *change, struct spw_trie_txn *txn, uint32_t root,
			const struct spw_prefix *prefix)
{
	memset(change, 0, sizeof(*change));
	change->txn = txn;
	change->last = -1;
	if (txn->grace || !spw_trie_spot(prefix, &change->spot))
		return -EINVAL;
	for (uint32_t level = 0; root; level++) {
		change->index[level] = root;
		change->last = (int)level;
		const struct spw_trie_node *node = node_at(change, level);
		uint64_t bit = child_bit(change, level);
		if (level == change->spot.level || !(node->children & bit))
			break;
		root = node->child_base + trie_rank(node->children, bit);
	}
	return txn_room(txn, CHANGE_BLOCKS_MAX);
}

/* The node of the prefix, NULL where the way ends before it. */
static struct spw_trie_node *node_of_prefix(const struct change *change)
{
	bool there = change->last == (int)change->spot.level;
	return there ? node_at(change, change->spot.level) : NULL;
}

static bool plan_block(const struct change *change, int kind, struct block *out, uint32_t units)
{
	struct spw_blocks *blocks = &change->txn->pool->blocks[kind];
	uint32_t keep = kind == TRIE_NODES ? KEEP_NODES : KEEP_LEAVES;

	if (keep > blocks->max / 16)
		keep = blocks->max / 16;
	if (!change->may_keep && blocks->free < units + keep)
		return false;
	out->first = spw_blocks_alloc(blocks, units);
	out->units = units;
	return out->first != 0;
}

/* Copies of the published blocks on the way, from the root down to `level`. */
static bool plan_copies(struct change *change, int level)
{
	for (int i = 0; i <= level; i++) {
		struct block block = block_at(change, (uint32_t)i);
		if (change->txn->pool->born[TRIE_NODES][block.first])
			continue;
		if (!plan_block(change, TRIE_NODES, &change->fresh[i], block.units))
			return false;
	}
	return true;
}

static int plan_fail(struct change *change)
{
	struct spw_blocks *blocks = change->txn->pool->blocks;

	for (uint32_t i = 0; i < SPW_TRIE_LEVELS6; i++)
		if (change->fresh[i].first)
			spw_blocks_free(&blocks[TRIE_NODES], change->fresh[i].first,
					change->fresh[i].units);
	if (change->leaves.first)
		spw_blocks_free(&blocks[TRIE_LEAVES], change->leaves.first, change->leaves.units);
	return -ENOSPC;
}

/* ---- apply -------------------------------------------------------------------------------- */

/* Hangs a level's block where it is looked for: on the node above, or on the root. */
static void hang(struct change *change, uint32_t level, uint32_t first, uint32_t *root)
{
	if (level == 0)
		*root = first;
	else
		node_at(change, level - 1)->child_base = first;
}

static void apply_copies(struct change *change, int level, uint32_t *root)
{
	struct spw_trie_pool *pool = change->txn->pool;

	for (uint32_t i = 0; (int)i <= level; i++) {
		struct block fresh = change->fresh[i];
		if (fresh.first == 0)
			continue;
		struct block before = block_at(change, i);
		memcpy(&pool->nodes[fresh.first], &pool->nodes[before.first],
		       fresh.units * sizeof(*pool->nodes));
		change->index[i] = fresh.first + (change->index[i] - before.first);
		hang(change, i, fresh.first, root);
		block_born(change->txn, TRIE_NODES, fresh);
		block_drop(change->txn, TRIE_NODES, before);
	}
}

/* Makes the nodes that the way to the prefix lacks: one more child for the last node there is, and
 * a chain of single nodes below it. */
static void apply_chain(struct change *change, uint32_t *root)
{
	struct spw_trie_pool *pool = change->txn->pool;

	for (uint32_t i = (uint32_t)(change->last + 1); i <= change->spot.level; i++) {
		struct block fresh = change->fresh[i];
		struct spw_trie_node *nodes = &pool->nodes[fresh.first];
		uint32_t rank = 0;
		if (i > 0) {
			struct spw_trie_node *parent = node_at(change, i - 1);
			uint64_t bit = child_bit(change, i - 1);
			struct block before = block_at(change, i);
			rank = trie_rank(parent->children, bit);
			memcpy(nodes, &pool->nodes[before.first], rank * sizeof(*nodes));
			memcpy(nodes + rank + 1, &pool->nodes[before.first] + rank,
			       (before.units - rank) * sizeof(*nodes));
			parent->children |= bit;
			if (before.units)
				block_drop(change->txn, TRIE_NODES, before);
		}
		memset(&nodes[rank], 0, sizeof(*nodes));
		change->index[i] = fresh.first + rank;
		hang(change, i, fresh.first, root);
		block_born(change->txn, TRIE_NODES, fresh);
	}
}

/* Moves the node's leaves to the planned block; `grow` opens a gap at the prefix's place, `shrink`
 * leaves its leaf out. */
static void apply_leaves(struct change *change, struct spw_trie_node *node, bool grow, bool shrink)
{
	struct spw_trie_pool *pool = change->txn->pool;
	struct block fresh = change->leaves;
	struct block before = {node->leaf_base, trie_bits(node->prefixes)};
	uint32_t rank = trie_rank(node->prefixes, change->spot.bit);

	for (uint32_t i = 0; i < before.units; i++) {
		if (i == rank && shrink)
			continue;
		uint32_t to = i + (grow && i >= rank) - (shrink && i > rank);
		*trie_leaf(pool, fresh.first + to) = *trie_leaf(pool, before.first + i);
	}
	node->leaf_base = fresh.first;
	if (fresh.first)
		block_born(change->txn, TRIE_LEAVES, fresh);
	if (before.units)
		block_drop(change->txn, TRIE_LEAVES, before);
}

/* ---- insert and remove -------------------------------------------------------------------- */

static bool plan_insert(struct change *change, const struct spw_trie_node *node, bool there)
{
	if (!plan_copies(change, change->last))
		return false;
	for (uint32_t i = (uint32_t)(change->last + 1); i <= change->spot.level; i++) {
		bool grows = i > 0 && (int)i == change->last + 1;
		uint32_t units = grows ? trie_bits(node_at(change, i - 1)->children) + 1 : 1;
		if (!plan_block(change, TRIE_NODES, &change->fresh[i], units))
			return false;
	}
	if (there && change->txn->pool->born[TRIE_LEAVES][node->leaf_base])
		return true;
	uint32_t leaves = node ? trie_bits(node->prefixes) : 0;
	return plan_block(change, TRIE_LEAVES, &change->leaves, leaves + !there);
}

int spw_trie_insert(struct spw_trie_txn *txn, uint32_t *root, const struct spw_prefix *prefix,
		    uint32_t leaf, bool replace)
{
	struct change change;
	int error = change_begin(&change, txn, *root, prefix);

	if (error)
		return error;
	if (leaf == 0)
		return -EINVAL;
	struct spw_trie_node *node = node_of_prefix(&change);
	bool there = node && (node->prefixes & change.spot.bit);
	if (there && !replace)
		return -EEXIST;
	if (!plan_insert(&change, node, there))
		return plan_fail(&change);

	apply_copies(&change, change.last, root);
	apply_chain(&change, root);
	node = node_at(&change, change.spot.level);
	if (change.leaves.first)
		apply_leaves(&change, node, !there, false);
	node->prefixes |= change.spot.bit;
	*trie_leaf(txn->pool, node->leaf_base + trie_rank(node->prefixes, change.spot.bit)) = leaf;
	return 0;
}

/* The topmost level whose node the removal of the prefix empties; below the prefix's own level:
 * none, its node still holds something. */
static uint32_t emptied_from(const struct change *change, const struct spw_trie_node *node)
{
	uint32_t level = change->spot.level;

	if (node->prefixes != change->spot.bit || node->children)
		return level + 1;
	while (level > 0 && block_at(change, level).units == 1 &&
	       node_at(change, level - 1)->prefixes == 0)
		level--;
	return level;
}

static bool plan_remove(struct change *change, const struct spw_trie_node *node, uint32_t emptied)
{
	uint32_t leaves = trie_bits(node->prefixes) - 1;

	if (!plan_copies(change, (int)emptied - 1))
		return false;
	if (emptied > change->spot.level)
		return leaves == 0 || plan_block(change, TRIE_LEAVES, &change->leaves, leaves);
	uint32_t siblings = block_at(change, emptied).units - 1;
	return siblings == 0 || plan_block(change, TRIE_NODES, &change->fresh[emptied], siblings);
}

/* Takes the nodes from level `emptied` down to the prefix's own out of the trie. */
static void apply_prune(struct change *change, uint32_t emptied, uint32_t *root)
{
	struct spw_trie_pool *pool = change->txn->pool;
	struct block fresh = change->fresh[emptied];
	struct block before = block_at(change, emptied);
	uint32_t rank = change->index[emptied] - before.first;

	for (uint32_t i = change->spot.level; i > emptied; i--)
		block_drop(change->txn, TRIE_NODES, block_at(change, i));
	if (fresh.first) {
		struct spw_trie_node *nodes = &pool->nodes[fresh.first];
		memcpy(nodes, &pool->nodes[before.first], rank * sizeof(*nodes));
		memcpy(nodes + rank, &pool->nodes[before.first + rank + 1],
		       (fresh.units - rank) * sizeof(*nodes));
		block_born(change->txn, TRIE_NODES, fresh);
	}
	if (emptied > 0)
		node_at(change, emptied - 1)->children &= ~child_bit(change, emptied - 1);
	hang(change, emptied, fresh.first, root);
	block_drop(change->txn, TRIE_NODES, before);
}

int spw_trie_remove(struct spw_trie_txn *txn, uint32_t *root, const struct spw_prefix *prefix)
{
	struct change change;
	int error = change_begin(&change, txn, *root, prefix);

	if (error)
		return error;
	struct spw_trie_node *node = node_of_prefix(&change);
	if (!node || !(node->prefixes & change.spot.bit))
		return -ENOENT;
	change.may_keep = true;
	uint32_t emptied = emptied_from(&change, node);
	if (!plan_remove(&change, node, emptied))
		return plan_fail(&change);

	apply_copies(&change, (int)emptied - 1, root);
	if (emptied > change.spot.level) {
		node = node_at(&change, change.spot.level);
		apply_leaves(&change, node, false, true);
		node->prefixes &= ~change.spot.bit;
	} else {
		block_drop(txn, TRIE_LEAVES, (struct block){node->leaf_base, 1});
		apply_prune(&change, emptied, root);
	}
	return 0;
}

/* ---- clear -------------------------------------------------------------------------------- */

static uint32_t blocks_below(const struct spw_trie_pool *pool, uint32_t index)
{
	const struct spw_trie_node *node = &pool->nodes[index];
	uint32_t blocks = 1;

	for (uint32_t i = 0; i < trie_bits(node->children); i++)
		blocks += blocks_below(pool, node->child_base + i);
	return blocks; /* of one kind, at most */
}

static void drop_below(struct spw_trie_txn *txn, uint32_t index)
{
	struct spw_trie_node *node = &txn->pool->nodes[index];
	struct block children = {node->child_base, trie_bits(node->children)};
	struct block leaves = {node->leaf_base, trie_bits(node->prefixes)};

	for (uint32_t i = 0; i < children.units; i++)
		drop_below(txn, children.first + i);
	if (children.units)
		block_drop(txn, TRIE_NODES, children);
	if (leaves.units)
		block_drop(txn, TRIE_LEAVES, leaves);
}

int spw_trie_clear(struct spw_trie_txn *txn, uint32_t *root)
{
	if (txn->grace)
		return -EINVAL;
	if (*root == 0)
		return 0;
	if (txn_room(txn, blocks_below(txn->pool, *root)) != 0)
		return -ENOMEM;
	drop_below(txn, *root);
	block_drop(txn, TRIE_NODES, (struct block){*root, 1});
	*root = 0;
	return 0;
}

/* ---- transactions ------------------------------------------------------------------------- */

int spw_trie_txn_begin(struct spw_trie_pool *pool, struct spw_trie_txn **out)
{
	if (pool->open)
		return -EBUSY;
	struct spw_trie_txn *txn = calloc(1, sizeof(*txn));
	if (!txn)
		return -ENOMEM;
	txn->pool = pool;
	pool->open = txn;
	*out = txn;
	return 0;
}

int spw_trie_txn_seal(struct spw_trie_txn *txn, struct spw_grace *grace)
{
	if (txn->grace)
		return -EINVAL;
	int error = spw_grace_reserve(grace, 1);
	if (error == 0)
		txn->grace = grace;
	return error;
}

static void retired(void *arg0, uint64_t arg1)
{
	struct spw_trie_txn *txn = arg0;
	struct spw_trie_pool *pool = txn->pool;

	(void)arg1;
	pool->retired_first = txn->next; /* the limbo keeps the order */
	if (!pool->retired_first)
		pool->retired_end = &pool->retired_first;
	for (int kind = 0; kind < TRIE_KINDS; kind++)
		for (uint32_t i = 0; i < txn->old[kind].cnt; i++)
			block_free(pool, kind, txn->old[kind].at[i]);
	txn_free(txn);
}

/* Blocks born in the transaction are published blocks from now on. */
static void born_forget(struct spw_trie_txn *txn)
{
	for (int kind = 0; kind < TRIE_KINDS; kind++)
		for (uint32_t i = 0; i < txn->born[kind].cnt; i++)
			txn->pool->born[kind][txn->born[kind].at[i].first] = 0;
}

void spw_trie_txn_retire(struct spw_trie_txn *txn)
{
	struct spw_trie_pool *pool = txn->pool;

	born_forget(txn);
	pool->open = NULL;
	*pool->retired_end = txn;
	pool->retired_end = &txn->next;
	spw_grace_defer(txn->grace, retired, txn, 0);
}

void spw_trie_txn_abort(struct spw_trie_txn *txn)
{
	if (!txn)
		return;
	if (txn->grace)
		spw_grace_unreserve(txn->grace, 1);
	born_forget(txn);
	for (int kind = 0; kind < TRIE_KINDS; kind++)
		for (uint32_t i = 0; i < txn->born[kind].cnt; i++)
			block_free(txn->pool, kind, txn->born[kind].at[i]);
	txn->pool->open = NULL;
	txn_free(txn);
}
