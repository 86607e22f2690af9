/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_mark.c - see trie.h: the tries that an earlier control left. */
#include <errno.h>
#include <stdlib.h>

#include "control/daemon/tables/trie_pool.h"

/* ---- mark --------------------------------------------------------------------------------- */

struct mark {
	struct spw_trie_pool *pool;
	unsigned int family;
	uint32_t cnt; /* prefixes so far */
};

static bool mark_block(struct mark *mark, uint32_t ref, struct trie_at at, enum trie_place place);

static bool mark_below(struct mark *mark, uint32_t ref, struct trie_at at, enum trie_place place)
{
	return ref == 0 || mark_block(mark, ref, at, place);
}

static bool entry_sane(const struct trie_entry *entry, struct trie_at at, unsigned int family)
{
	struct spw_trie_key key = trie_mask(entry->key, entry->bits);

	return entry->bits <= trie_width(family) && entry->leaf &&
	       trie_key_order(key, entry->key) == 0 &&
	       trie_key_order(trie_mask(key, at.pos), at.key) == 0 &&
	       (entry->bits > at.pos || at.pos == 0);
}

static bool mark_list(struct mark *mark, uint32_t ref, struct trie_at at, enum trie_place place)
{
	struct trie_list list;
	uint32_t entries = trie_list_entries(mark->pool, ref, mark->family);

	if (!trie_list_sane(mark->pool, ref, mark->family))
		return false;
	trie_list_read(mark->pool, ref, mark->family, &list);
	for (uint32_t i = 0; i < list.cnt; i++)
		if (!entry_sane(&list.at[i], at, mark->family))
			return false;
	mark->cnt += entries - list.guarded;
	if (!list.guarded)
		return true;
	/* A guard that skips nothing stands before no other, or the way would have no end. */
	uint32_t below = list.guard.leaf;
	return entry_sane(&list.guard, at, mark->family) &&
	       (list.guard.bits > at.pos || SPW_TRIE_SHAPE(below) < SPW_TRIE_LIST) &&
	       mark_block(mark, below, (struct trie_at){list.guard.key, list.guard.bits}, place);
}

static bool mark_node(struct mark *mark, uint32_t ref, struct trie_at at)
{
	struct trie_node node;
	uint32_t left = trie_width(mark->family) - at.pos, index = 0;

	trie_node_read(mark->pool, ref, &node);
	if (trie_width(mark->family) <= at.pos || trie_values(node.map) == 0)
		return false;
	/* Nothing behind the address's end. */
	if ((left <= SPW_TRIE_NODE_BITS && node.map[TRIE_CHILDREN]) ||
	    (left < SPW_TRIE_NODE_BITS &&
	     (node.map[TRIE_EXACT] || (left < 5 && node.map[TRIE_SHORTER] >> (2u << left)))) ||
	    node.map[TRIE_SHORTER] & 3)
		return false;
	for (uint32_t i = 0; i < trie_values(node.map); i++)
		if (node.value[i] == 0)
			return false;
	for (uint64_t rest = node.map[TRIE_CHILDREN]; rest; rest &= rest - 1) {
		uint64_t chunk = (uint64_t)__builtin_ctzll(rest);
		struct trie_at below = {trie_key_with(at.key, at.pos, SPW_TRIE_NODE_BITS, chunk),
					at.pos + SPW_TRIE_NODE_BITS};
		if (!mark_block(mark, node.value[index++], below, TRIE_DEEP))
			return false;
	}
	mark->cnt += trie_values(node.map) - index;
	return true;
}

/* Whether a direct table's head is what control writes. */
static bool head_sane(const struct mark *mark, uint32_t ref, struct trie_at at)
{
	const struct spw_trie_direct_head *head = trie_direct_head(mark->pool, ref);
	uint32_t slots = SPW_TRIE_FORM_SLOTS(head->form), width = trie_width(mark->family);

	if (spw_trie_ones(slots) != 1 || slots < 1u << SPW_TRIE_DIRECT_BITS_MIN ||
	    slots > 1u << SPW_TRIE_DIRECT_BITS_MAX)
		return false;
	uint32_t bits = trie_direct_bits(mark->pool, ref), end = SPW_TRIE_FORM_END(head->form);
	if (end > width || end < at.pos + bits || head->form != SPW_TRIE_FORM(end, bits) ||
	    head->pos != at.pos)
		return false;
	struct trie_at own = trie_direct_at(mark->pool, ref);
	if (trie_key_order(trie_mask(own.key, own.pos), own.key) != 0 ||
	    trie_key_order(trie_mask(own.key, at.pos), at.key) != 0)
		return false;
	/* Its bits lie in one half of the key. */
	return (end <= 64 || own.pos >= 64) && (own.pos > at.pos || head->outside == 0);
}

/* Sets the leaves of a direct table right. */
static bool mark_leaves(const struct mark *mark, uint32_t ref)
{
	struct trie_at at = trie_direct_at(mark->pool, ref);
	uint32_t end = at.pos + trie_direct_bits(mark->pool, ref), *leaves;
	struct trie_entries own = {0};
	bool good = trie_collect(mark->pool, trie_direct_own(mark->pool, ref), (struct trie_at){0},
				 mark->family, &own) == 0;

	/* What does not lie within its bits is not its own. */
	for (uint32_t i = 0; i < own.cnt && good; i++)
		good = own.at[i].bits <= end &&
		       own.at[i].bits >= at.pos + trie_direct_skips(mark->pool, ref) &&
		       trie_key_order(trie_mask(own.at[i].key, at.pos), at.key) == 0;
	free(own.at);
	if (!good || trie_direct_leaves(mark->pool, ref, mark->family, &leaves) != 0)
		return false;
	trie_direct_store(mark->pool, ref, leaves);
	free(leaves);
	return true;
}

static bool mark_direct(struct mark *mark, uint32_t ref, struct trie_at at, enum trie_place place)
{
	uint32_t before = mark->cnt, bits = trie_direct_bits(mark->pool, ref);
	struct spw_trie_direct_head *head = trie_direct_head(mark->pool, ref);
	struct trie_at slots = trie_direct_at(mark->pool, ref);

	if (!mark_below(mark, head->own, (struct trie_at){0}, TRIE_DEEP))
		return false;
	for (uint32_t slot = 0; slot < 1u << bits; slot++) {
		struct trie_at below = {trie_key_with(slots.key, slots.pos, bits, slot),
					slots.pos + bits};
		uint32_t next = (uint32_t)(trie_direct_slots(mark->pool, ref)[slot] >> 32);
		if (!mark_below(mark, next, below, trie_place_below(place, bits)))
			return false;
	}
	if ((uint32_t)head->outside ||
	    !mark_below(mark, (uint32_t)(head->outside >> 32), at, trie_place_outside(place)))
		return false;
	head->cnt = mark->cnt - before;
	return mark_leaves(mark, ref);
}

static bool mark_block(struct mark *mark, uint32_t ref, struct trie_at at, enum trie_place place)
{
	struct spw_trie_pool *pool = mark->pool;
	uint32_t shape = SPW_TRIE_SHAPE(ref), index = SPW_TRIE_INDEX(ref);
	bool direct = shape == SPW_TRIE_DIRECT;

	if (shape < SPW_TRIE_DIRECT)
		return false;
	if (index >= pool->blocks.max ||
	    (direct && (place == TRIE_DEEP || !head_sane(mark, ref, at))) ||
	    !spw_blocks_mark(&pool->blocks, index, trie_block_units(pool, ref)))
		return false;
	if (direct)
		return mark_direct(mark, ref, at, place);
	return trie_is_list(ref) ? mark_list(mark, ref, at, place) : mark_node(mark, ref, at);
}

int spw_trie_mark(struct spw_trie_pool *pool, uint32_t root, unsigned int family)
{
	struct mark mark = {.pool = pool, .family = family};

	return mark_below(&mark, root, (struct trie_at){0}, TRIE_TOP) ? 0 : -EUCLEAN;
}

void spw_trie_marked(struct spw_trie_pool *pool)
{
	spw_blocks_marked(&pool->blocks);
}
