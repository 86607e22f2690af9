/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_build.c - see trie_pool.h: a trie as a list of its prefixes, and the other way round.
 *
 * The shape of a set of prefixes:
 *   - as many as a list holds: a list;
 *   - more, and all but a few of them share bits that nothing has used yet: a guard, the few in it;
 *   - many, at the top of a trie: a direct table, whose slots hold 2 to 4 prefixes where they are
 *     spread evenly, so that one cache line follows a slot's;
 *   - else a node.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- prefixes of a trie ------------------------------------------------------------------- */

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

static int collect_direct(const struct spw_trie_pool *pool, uint32_t ref, struct trie_at at,
			  unsigned int family, struct trie_entries *entries)
{
	uint32_t bits = SPW_TRIE_SHAPE(ref), next_own = 0;
	struct trie_entries own = {0};
	struct trie_at below = {.pos = at.pos + bits};
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
		for (uint32_t slot = 0; slot < 1u << SPW_TRIE_SHAPE(ref) && error == 0; slot++)
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

/* ---- a trie of prefixes ------------------------------------------------------------------- */

/* How many of a guard's list are for prefixes outside: half of a unit or more stays free, so that
 * the trie is not built anew for each one that is added. */
#define GUARD_OUTSIDE_MAX 6u

uint32_t trie_direct_bits(uint32_t cnt, uint32_t pos, unsigned int family)
{
	/* Steps of 8 times as many, from half a prefix to a slot to 4: a table is built anew that
	 * often only, the slots of the largest take 2 MiB, and what follows the slots of a table
	 * of 10,000 prefixes stays within the second cache. */
	uint32_t bits = 6;

	if (cnt < TRIE_DIRECT_CNT_MIN)
		return 0;
	while (bits < 18 && cnt >= 1u << (bits + 2))
		bits += 3;
	if (bits > trie_width(family) - pos)
		bits = trie_width(family) - pos;
	return bits >= SPW_TRIE_DIRECT_BITS_MIN ? bits : 0;
}

/* The entries within the first `bits` bits of `key`, and longer: *first and how many. */
static uint32_t inside(const struct trie_entry *at, uint32_t cnt, struct spw_trie_key key,
		       uint32_t bits, uint32_t *first)
{
	struct spw_trie_key from = trie_mask(key, bits);
	uint32_t low = 0, high = cnt;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (trie_key_order(at[middle].key, from) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	while (low < cnt && trie_key_order(at[low].key, from) == 0 && at[low].bits <= bits)
		low++;
	*first = low;
	high = cnt;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (trie_key_order(trie_mask(at[middle].key, bits), from) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low - *first;
}

/* The most bits beyond `pos` that all entries but a few share. pos: it would not help. */
static uint32_t guard_bits(const struct trie_entry *at, uint32_t cnt, uint32_t pos,
			   unsigned int family)
{
	struct spw_trie_key key = at[cnt / 2].key;
	uint32_t outside_max = family == 4 ? GUARD_OUTSIDE_MAX : GUARD_OUTSIDE_MAX - 1;
	/* A prefix of length 0 fits into no other block. */
	uint32_t best = at[0].bits == pos ? pos : pos + SPW_TRIE_NODE_BITS - 1, first;

	if (at[0].bits != pos && inside(at, cnt, key, best + 1, &first) + outside_max < cnt)
		return pos;
	while (best + 1 < trie_width(family) &&
	       inside(at, cnt, key, best + 1, &first) + outside_max >= cnt)
		best++;
	return best;
}

static int build_list(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
		      uint32_t *ref)
{
	struct trie_list list = {0};

	for (uint32_t i = 0; i < cnt; i++)
		trie_list_add(&list, &at[i]);
	return trie_list_write(change, 0, &list, ref);
}

static int build_guard(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
		       uint32_t bits, bool top, uint32_t *ref)
{
	struct trie_list list = {.guarded = true};
	struct spw_trie_key key = at[cnt / 2].key;
	uint32_t first, within = inside(at, cnt, key, bits, &first);

	for (uint32_t i = 0; i < cnt; i++)
		if (i < first || i >= first + within)
			trie_list_add(&list, &at[i]);
	list.guard = (struct trie_entry){.key = trie_mask(key, bits), .bits = (uint8_t)bits};
	int error = trie_build(change, at + first, within, bits, top, &list.guard.leaf);
	return error ? error : trie_list_write(change, 0, &list, ref);
}

/* How many entries from the first on lie within its first `bits` bits, and are longer. */
static uint32_t group(const struct trie_entry *at, uint32_t cnt, uint32_t bits)
{
	uint32_t n = 0;

	while (n < cnt && trie_inside(&at[n], at[0].key, bits))
		n++;
	return n;
}

static int build_node(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
		      uint32_t pos, uint32_t *ref)
{
	uint32_t end = pos + SPW_TRIE_NODE_BITS;
	struct trie_node node = {{0}, {0}};

	for (uint32_t i = 0; i < cnt;) {
		struct trie_spot spot = trie_spot_of(&at[i], pos, change->family);
		uint32_t n = 1, value = at[i].leaf;
		if (spot.map == TRIE_CHILDREN) {
			n = group(at + i, cnt - i, end);
			int error = trie_build(change, at + i, n, end, false, &value);
			if (error)
				return error;
		}
		trie_node_set(&node, spot, value);
		i += n;
	}
	return trie_node_write(change, 0, &node, ref);
}

static int build_direct(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
			uint32_t pos, uint32_t bits, uint32_t *ref)
{
	struct trie_at here = {trie_mask(at[cnt - 1].key, pos), pos};
	struct trie_entries own = {0};
	uint32_t units = 1 + (1u << bits) / SPW_TRIE_UNIT_WORDS;
	int error = trie_block_make(change, bits, units, ref);

	if (error)
		return error;
	memset(trie_words(change->pool, *ref), 0, units * sizeof(*change->pool->units));
	for (uint32_t i = 0; i < cnt && error == 0;) {
		uint32_t n = 1, child;
		if (at[i].bits <= pos + bits) {
			error = trie_entries_add(&own, at[i]);
		} else {
			n = group(at + i, cnt - i, pos + bits);
			error = trie_build(change, at + i, n, pos + bits, false, &child);
			uint32_t slot = trie_direct_slot(&at[i], *ref, pos, change->family);
			if (error == 0)
				trie_direct_slots(change->pool, *ref)[slot] = (uint64_t)child << 32;
		}
		i += n;
	}
	if (error == 0) {
		struct spw_trie_direct_head *head = trie_direct_head(change->pool, *ref);
		head->cnt = cnt;
		error = trie_build(change, own.at, own.cnt, 0, false, &head->own);
	}
	uint32_t *leaves = error ? NULL : calloc(1u << bits, sizeof(*leaves));
	if (leaves) {
		trie_direct_paint(*ref, here, change->family, &own, leaves);
		trie_direct_store(change->pool, *ref, leaves);
	} else if (error == 0) {
		error = -ENOMEM;
	}
	free(leaves);
	free(own.at);
	return error;
}

int trie_build(struct trie_change *change, const struct trie_entry *at, uint32_t cnt, uint32_t pos,
	       bool top, uint32_t *ref)
{
	*ref = 0;
	if (cnt == 0)
		return 0;
	if (cnt <= trie_list_max(change->family))
		return build_list(change, at, cnt, ref);
	uint32_t guard = guard_bits(at, cnt, pos, change->family);
	uint32_t direct = top ? trie_direct_bits(cnt, pos, change->family) : 0;
	/* A direct table takes the prefix of length 0 too. */
	if (guard > pos || (at[0].bits == pos && !direct))
		return build_guard(change, at, cnt, guard, top, ref);
	return direct ? build_direct(change, at, cnt, pos, direct, ref)
		      : build_node(change, at, cnt, pos, ref);
}
