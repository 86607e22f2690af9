/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_collect.c - see trie_pool.h: a trie as a list of its prefixes. */
#include <errno.h>
#include <stdlib.h>

#include "control/daemon/tables/trie_pool.h"

int trie_entries_add(struct trie_entries *entries, struct trie_entry entry)
{
	if (entries->cnt == entries->room) {
		uint32_t room = 2 * entries->room + 64;
		struct trie_entry *at = realloc(entries->at, room * sizeof(*at));
		if (!at)
			return -ENOMEM;
		entries->at = at;
		entries->room = room;
	}
	entries->at[entries->cnt++] = entry;
	return 0;
}

static bool sorts_before(const struct trie_entry *a, const struct trie_entry *b)
{
	int order = trie_key_order(a->key, b->key);

	return order < 0 || (order == 0 && a->bits < b->bits);
}

static int collect_list(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
			struct trie_entries *entries)
{
	struct trie_list list;
	int error = 0;

	trie_list_read(pool, ref, family, &list);
	for (uint32_t i = 1; i < list.cnt; i++) {
		struct trie_entry entry = list.at[i];
		uint32_t k = i;
		for (; k > 0 && sorts_before(&entry, &list.at[k - 1]); k--)
			list.at[k] = list.at[k - 1];
		list.at[k] = entry;
	}
	bool below = list.guarded;
	struct trie_at at = {list.guard.key, list.guard.bits};
	for (uint32_t i = 0; i < list.cnt && error == 0; i++) {
		if (below && sorts_before(&list.guard, &list.at[i])) {
			error = trie_collect(pool, list.guard.leaf, at, family, entries);
			below = false;
		}
		if (error == 0)
			error = trie_entries_add(entries, list.at[i]);
	}
	return below && error == 0 ? trie_collect(pool, list.guard.leaf, at, family, entries)
				   : error;
}

/* What a node says at one spot; 0 where it says nothing. */
static uint32_t node_value(const struct trie_node *node, enum trie_map map, uint32_t bit)
{
	struct trie_spot spot = {map, 1ull << bit};

	return node->map[map] & spot.bit ? node->value[trie_spot_index(node->map, spot)] : 0;
}

int trie_collect_node(const struct spw_trie_pool *pool, const struct trie_node *node,
		      struct trie_at at, unsigned int family, struct trie_entries *entries)
{
	int error = 0;

	for (uint32_t chunk = 0; chunk < 64 && error == 0; chunk++) {
		struct spw_trie_key key = trie_key_with(at.key, at.pos, SPW_TRIE_NODE_BITS, chunk);
		/* The shorter ones that begin here: of l bits, if the others of the chunk are 0. */
		for (uint32_t l = 1; l <= SPW_TRIE_NODE_BITS && error == 0; l++) {
			uint32_t rest = SPW_TRIE_NODE_BITS - l;
			if (chunk & ((1u << rest) - 1))
				continue;
			uint32_t leaf =
				l == SPW_TRIE_NODE_BITS
					? node_value(node, TRIE_EXACT, chunk)
					: node_value(node, TRIE_SHORTER, 1u << l | chunk >> rest);
			if (leaf)
				error = trie_entries_add(
					entries,
					(struct trie_entry){key, leaf, (uint8_t)(at.pos + l)});
		}
		uint32_t child = node_value(node, TRIE_CHILDREN, chunk);
		if (child && error == 0)
			error = trie_collect(pool, child,
					     (struct trie_at){key, at.pos + SPW_TRIE_NODE_BITS},
					     family, entries);
	}
	return error;
}

/* The prefixes that a table holds itself, or whose way leads through its slots. */
static int collect_inside(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
			  struct trie_entries *entries)
{
	uint32_t bits = trie_direct_bits(pool, ref), next_own = 0;
	struct trie_at at = trie_direct_at(pool, ref), below = {.pos = at.pos + bits};
	struct trie_entries own = {0};
	int error =
		trie_collect(pool, trie_direct_own(pool, ref), (struct trie_at){0}, family, &own);

	for (uint32_t slot = 0; slot < 1u << bits && error == 0; slot++) {
		uint32_t child = trie_direct_next(pool, ref, slot);
		below.key = trie_key_with(at.key, at.pos, bits, slot);
		while (error == 0 && next_own < own.cnt &&
		       trie_key_order(own.at[next_own].key, below.key) <= 0)
			error = trie_entries_add(entries, own.at[next_own++]);
		if (error == 0)
			error = trie_collect(pool, child, below, family, entries);
	}
	free(own.at);
	return error;
}

static int collect_direct(const struct spw_trie_pool *pool, uint32_t ref, struct trie_at at,
			  unsigned int family, struct trie_entries *entries)
{
	uint32_t next = trie_direct_next(pool, ref, trie_direct_outside(pool, ref)), i = 0;
	struct trie_at base = trie_direct_at(pool, ref);
	/* All that is inside sorts behind what covers it. */
	struct trie_entry first = {.key = base.key, .bits = (uint8_t)base.pos};
	struct trie_entries outside = {0};
	int error = trie_collect(pool, next, at, family, &outside);

	while (error == 0 && i < outside.cnt && !sorts_before(&first, &outside.at[i]))
		error = trie_entries_add(entries, outside.at[i++]);
	if (error == 0)
		error = collect_inside(pool, ref, family, entries);
	while (error == 0 && i < outside.cnt)
		error = trie_entries_add(entries, outside.at[i++]);
	free(outside.at);
	return error;
}

int trie_collect(const struct spw_trie_pool *pool, uint32_t ref, struct trie_at at,
		 unsigned int family, struct trie_entries *entries)
{
	if (ref == 0)
		return 0;
	if (trie_is_list(ref))
		return collect_list(pool, ref, family, entries);
	if (trie_is_direct(ref))
		return collect_direct(pool, ref, at, family, entries);
	struct trie_node node;
	trie_node_read(pool, ref, &node);
	return trie_collect_node(pool, &node, at, family, entries);
}

uint32_t trie_count(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		    uint32_t limit)
{
	uint32_t cnt = 0;

	if (ref == 0)
		return 0;
	if (trie_is_direct(ref)) {
		cnt = trie_direct_cnt(pool, ref);
	} else if (trie_is_list(ref)) {
		cnt = trie_list_entries(pool, ref, family);
		if (SPW_TRIE_SHAPE(ref) >= SPW_TRIE_GUARD)
			cnt += trie_count(pool, trie_guard_below(pool, ref, family), family,
					  limit) -
			       1;
	} else {
		const uint64_t *map = trie_words(pool, ref);
		const uint32_t *value = (const uint32_t *)(map + SPW_TRIE_NODE_WORDS);
		uint32_t children = spw_trie_ones(map[TRIE_CHILDREN]);
		cnt = trie_values(map) - children;
		for (uint32_t i = 0; i < children && cnt <= limit; i++)
			cnt += trie_count(pool, value[i], family, limit - cnt);
	}
	return cnt <= limit ? cnt : limit + 1;
}

int trie_all_gone(struct trie_change *change, uint32_t ref)
{
	struct spw_trie_pool *pool = change->pool;
	int error = 0;

	if (ref == 0)
		return 0;
	if (trie_is_direct(ref)) {
		error = trie_all_gone(change, trie_direct_own(pool, ref));
		/* The last one is what lies outside. */
		for (uint32_t slot = 0; slot <= trie_direct_outside(pool, ref) && error == 0;
		     slot++)
			error = trie_all_gone(change, trie_direct_next(pool, ref, slot));
	} else if (SPW_TRIE_SHAPE(ref) >= SPW_TRIE_GUARD) {
		error = trie_all_gone(change, trie_guard_below(pool, ref, change->family));
	} else if (SPW_TRIE_SHAPE(ref) == SPW_TRIE_NODE) {
		const uint64_t *map = trie_words(pool, ref);
		const uint32_t *value = (const uint32_t *)(map + SPW_TRIE_NODE_WORDS);
		for (uint32_t i = 0; i < spw_trie_ones(map[TRIE_CHILDREN]) && error == 0; i++)
			error = trie_all_gone(change, value[i]);
	}
	return error ? error : trie_block_gone(change, ref);
}
