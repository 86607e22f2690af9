/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_read.c - see trie.h: single prefixes, walks, and the tries that an earlier control left. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

bool trie_entry_of(const struct spw_prefix *prefix, struct trie_entry *entry)
{
	uint32_t len = prefix->bits;

	if ((prefix->family != 4 || len > 32) && (prefix->family != 6 || len > 128))
		return false;
	/* Both families are left-aligned, and the bytes behind an IPv4 address are 0. */
	*entry = (struct trie_entry){.key = spw_trie_key6(prefix->addr), .bits = prefix->bits};
	return trie_key_order(trie_mask(entry->key, len), entry->key) == 0;
}

/* ---- get ---------------------------------------------------------------------------------- */

static uint32_t list_get(const struct spw_trie_pool *pool, uint32_t *ref, uint32_t *pos,
			 const struct trie_entry *entry, unsigned int family)
{
	struct trie_list list;

	trie_list_read(pool, *ref, family, &list);
	*ref = 0;
	if (list.guarded && trie_inside(entry, list.guard.key, list.guard.bits)) {
		*ref = list.guard.leaf;
		*pos = list.guard.bits;
		return 0;
	}
	for (uint32_t i = 0; i < list.cnt; i++)
		if (list.at[i].bits == entry->bits &&
		    trie_key_order(list.at[i].key, entry->key) == 0)
			return list.at[i].leaf;
	return 0;
}

uint32_t spw_trie_get(const struct spw_trie_pool *pool, uint32_t root,
		      const struct spw_prefix *prefix)
{
	struct trie_entry entry;
	uint32_t ref = root, pos = 0, leaf = 0;

	if (!trie_entry_of(prefix, &entry))
		return 0;
	while (ref) {
		if (trie_is_list(ref)) {
			leaf = list_get(pool, &ref, &pos, &entry, prefix->family);
		} else if (trie_is_direct(ref)) {
			uint32_t slot = trie_direct_slot(&entry, ref, pos, prefix->family);
			uint32_t end = pos + SPW_TRIE_SHAPE(ref);
			ref = entry.bits <= end ? trie_direct_own(pool, ref)
						: trie_direct_next(pool, ref, slot);
			pos = entry.bits <= end ? 0 : end;
		} else if (entry.bits == pos) {
			return 0; /* /0, which no node holds */
		} else {
			struct trie_spot spot = trie_spot_of(&entry, pos, prefix->family);
			leaf = trie_node_get(pool, ref, spot);
			ref = spot.map == TRIE_CHILDREN ? leaf : 0;
			pos += SPW_TRIE_NODE_BITS;
		}
	}
	return leaf;
}

/* ---- walk --------------------------------------------------------------------------------- */

int spw_trie_walk(const struct spw_trie_pool *pool, uint32_t root, unsigned int family,
		  spw_trie_walk_fn fn, void *arg)
{
	struct trie_entries entries = {0};
	int result = trie_collect(pool, root, (struct trie_at){0}, family, &entries);

	for (uint32_t i = 0; i < entries.cnt && result == 0; i++) {
		const struct trie_entry *entry = &entries.at[i];
		struct spw_prefix prefix = {.family = (uint8_t)family, .bits = entry->bits};
		uint64_t words[2] = {__builtin_bswap64(entry->key.hi),
				     __builtin_bswap64(entry->key.lo)};
		memcpy(prefix.addr, words, sizeof(prefix.addr));
		result = fn(&prefix, entry->leaf, arg);
	}
	free(entries.at);
	return result;
}

/* ---- mark --------------------------------------------------------------------------------- */

struct mark {
	struct spw_trie_pool *pool;
	unsigned int family;
	uint32_t cnt; /* prefixes so far */
};

static bool mark_block(struct mark *mark, uint32_t ref, struct trie_at at, bool top);

static bool mark_below(struct mark *mark, uint32_t ref, struct trie_at at, bool top)
{
	return ref == 0 || mark_block(mark, ref, at, top);
}

static bool entry_sane(const struct trie_entry *entry, struct trie_at at, unsigned int family)
{
	struct spw_trie_key key = trie_mask(entry->key, entry->bits);

	return entry->bits <= trie_width(family) && entry->leaf &&
	       trie_key_order(key, entry->key) == 0 &&
	       trie_key_order(trie_mask(key, at.pos), at.key) == 0 &&
	       (entry->bits > at.pos || at.pos == 0);
}

static bool mark_list(struct mark *mark, uint32_t ref, struct trie_at at, bool top)
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
	       mark_block(mark, below, (struct trie_at){list.guard.key, list.guard.bits}, top);
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
		if (!mark_block(mark, node.value[index++], below, false))
			return false;
	}
	mark->cnt += trie_values(node.map) - index;
	return true;
}

/* Sets the leaves of a direct table right. */
static bool mark_leaves(const struct mark *mark, uint32_t ref, struct trie_at at)
{
	uint32_t own_ref = trie_direct_head(mark->pool, ref)->own;
	uint32_t *leaves = calloc(1u << SPW_TRIE_SHAPE(ref), sizeof(*leaves));
	struct trie_entries own = {0};
	bool good = leaves &&
		    trie_collect(mark->pool, own_ref, (struct trie_at){0}, mark->family, &own) == 0;

	/* What does not lie within its bits is not its own. */
	for (uint32_t i = 0; i < own.cnt && good; i++)
		good = own.at[i].bits <= at.pos + SPW_TRIE_SHAPE(ref) && own.at[i].bits >= at.pos &&
		       trie_key_order(trie_mask(own.at[i].key, at.pos), at.key) == 0;
	if (good) {
		trie_direct_paint(ref, at, mark->family, &own, leaves);
		trie_direct_store(mark->pool, ref, leaves);
	}
	free(leaves);
	free(own.at);
	return good;
}

static bool mark_direct(struct mark *mark, uint32_t ref, struct trie_at at)
{
	uint32_t bits = SPW_TRIE_SHAPE(ref), before = mark->cnt;
	struct spw_trie_direct_head *head = trie_direct_head(mark->pool, ref);

	if (at.pos + bits > trie_width(mark->family) ||
	    !mark_below(mark, head->own, (struct trie_at){0}, false))
		return false;
	for (uint32_t slot = 0; slot < 1u << bits; slot++) {
		struct trie_at below = {trie_key_with(at.key, at.pos, bits, slot), at.pos + bits};
		uint32_t next = (uint32_t)(trie_direct_slots(mark->pool, ref)[slot] >> 32);
		if (!mark_below(mark, next, below, false))
			return false;
	}
	head->cnt = mark->cnt - before;
	return mark_leaves(mark, ref, at);
}

static bool mark_block(struct mark *mark, uint32_t ref, struct trie_at at, bool top)
{
	struct spw_trie_pool *pool = mark->pool;
	uint32_t shape = SPW_TRIE_SHAPE(ref), index = SPW_TRIE_INDEX(ref);
	bool direct = shape >= SPW_TRIE_DIRECT_BITS_MIN && shape <= SPW_TRIE_DIRECT_BITS_MAX;

	if (!direct && shape < SPW_TRIE_NODE)
		return false;
	if (index >= pool->blocks.max || (direct && !top) ||
	    !spw_blocks_mark(&pool->blocks, index, trie_block_units(pool, ref)))
		return false;
	if (direct)
		return mark_direct(mark, ref, at);
	return trie_is_list(ref) ? mark_list(mark, ref, at, top) : mark_node(mark, ref, at);
}

int spw_trie_mark(struct spw_trie_pool *pool, uint32_t root, unsigned int family)
{
	struct mark mark = {.pool = pool, .family = family};

	return mark_below(&mark, root, (struct trie_at){0}, true) ? 0 : -EUCLEAN;
}

void spw_trie_marked(struct spw_trie_pool *pool)
{
	spw_blocks_marked(&pool->blocks);
}
