/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_build.c - see trie_pool.h: a list of prefixes as a trie.
 *
 * The shape of a set of prefixes:
 *   - a direct table, where one pays (trie_plan.c);
 *   - as many as a list holds: a list;
 *   - more, and all but a few of them share bits that nothing has used yet: a guard, the few in it;
 *   - else a node.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

/* ---- a trie of prefixes ------------------------------------------------------------------- */

/* How many of a guard's list are for prefixes outside: half of a unit or more stays free, so that
 * the trie is not built anew for each one that is added. */
#define GUARD_OUTSIDE_MAX 6u

/* The most bits beyond `pos` that all entries but a few share. pos: it would not help. */
static uint32_t guard_bits(const struct trie_entry *at, uint32_t cnt, uint32_t pos,
			   unsigned int family)
{
	struct spw_trie_key key = at[cnt / 2].key;
	uint32_t outside_max = family == 4 ? GUARD_OUTSIDE_MAX : GUARD_OUTSIDE_MAX - 1;
	/* A prefix of length 0 fits into no other block. */
	uint32_t best = at[0].bits == pos ? pos : pos + SPW_TRIE_NODE_BITS - 1, first;

	if (at[0].bits != pos && trie_within(at, cnt, key, best + 1, &first) + outside_max < cnt)
		return pos;
	while (best + 1 < trie_width(family) &&
	       trie_within(at, cnt, key, best + 1, &first) + outside_max >= cnt)
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
		       uint32_t bits, enum trie_place place, uint32_t *ref)
{
	struct trie_list list = {.guarded = true};
	struct spw_trie_key key = at[cnt / 2].key;
	uint32_t first, within = trie_within(at, cnt, key, bits, &first);

	for (uint32_t i = 0; i < cnt; i++)
		if (i < first || i >= first + within)
			trie_list_add(&list, &at[i]);
	list.guard = (struct trie_entry){.key = trie_mask(key, bits), .bits = (uint8_t)bits};
	int error = trie_build(change, at + first, within, bits, place, &list.guard.leaf);
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
			int error = trie_build(change, at + i, n, end, TRIE_DEEP, &value);
			if (error)
				return error;
		}
		trie_node_set(&node, spot, value);
		i += n;
	}
	return trie_node_write(change, 0, &node, ref);
}

/* What the plan leaves outside, made where the table stands. */
static int build_outside(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
			 uint32_t pos, struct trie_at inside, enum trie_place place, uint32_t *ref)
{
	struct trie_entries outside = {0};
	int error = 0;

	for (uint32_t i = 0; i < cnt && error == 0; i++)
		if (!trie_inside(&at[i], inside.key, inside.pos))
			error = trie_entries_add(&outside, at[i]);
	if (error == 0)
		error = trie_build(change, outside.at, outside.cnt, pos, place, ref);
	free(outside.at);
	return error;
}

/* The slots' refs, and the prefixes that the table is to hold itself. */
static int build_slots(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
		       uint32_t ref, enum trie_place place, struct trie_entries *own)
{
	uint32_t bits = trie_direct_bits(change->pool, ref);
	uint32_t end = trie_direct_at(change->pool, ref).pos + bits;
	int error = 0;

	for (uint32_t i = 0; i < cnt && error == 0;) {
		uint32_t n = 1, child;
		if (at[i].bits <= end) {
			error = trie_entries_add(own, at[i]);
		} else {
			n = group(at + i, cnt - i, end);
			error = trie_build(change, at + i, n, end, trie_place_below(place, bits),
					   &child);
			uint32_t slot = trie_direct_slot(change->pool, ref, &at[i], change->family);
			if (error == 0)
				trie_direct_slots(change->pool, ref)[slot] = (uint64_t)child << 32;
		}
		i += n;
	}
	return error;
}

static int build_direct(struct trie_change *change, const struct trie_entry *at, uint32_t cnt,
			uint32_t pos, const struct trie_plan *plan, enum trie_place place,
			uint32_t *ref)
{
	struct spw_trie_pool *pool = change->pool;
	uint32_t units = 1 + (1u << plan->bits) / SPW_TRIE_UNIT_WORDS, first = 0, within = cnt;
	uint32_t next = 0, *leaves;
	struct trie_entries own = {0};
	int error = trie_block_make(change, SPW_TRIE_DIRECT, units, ref);

	if (error)
		return error;
	memset(trie_words(pool, *ref), 0, units * sizeof(*pool->units));
	struct spw_trie_direct_head *head = trie_direct_head(pool, *ref);
	*head = (struct spw_trie_direct_head){
		.cnt = cnt,
		.scale = trie_plan_scale(cnt),
		.pos = pos,
		.base = {plan->base.hi, plan->base.lo},
		.form = SPW_TRIE_FORM(plan->skip + plan->bits, plan->bits)};
	if (plan->skip > pos) {
		within = trie_within(at, cnt, plan->base, plan->skip, &first);
		error = build_outside(change, at, cnt, pos, trie_direct_at(pool, *ref),
				      trie_place_outside(place), &next);
		head->outside = (uint64_t)next << 32;
	}
	if (error == 0)
		error = build_slots(change, at + first, within, *ref, place, &own);
	if (error == 0)
		error = trie_build(change, own.at, own.cnt, 0, TRIE_DEEP, &head->own);
	free(own.at);
	if (error == 0)
		error = trie_direct_leaves(pool, *ref, change->family, &leaves);
	if (error == 0) {
		trie_direct_store(pool, *ref, leaves);
		free(leaves);
	}
	return error;
}

int trie_build(struct trie_change *change, const struct trie_entry *at, uint32_t cnt, uint32_t pos,
	       enum trie_place place, uint32_t *ref)
{
	struct trie_plan plan;

	*ref = 0;
	if (cnt == 0)
		return 0;
	trie_plan(change->pool, at, cnt, pos, change->family, place, &plan);
	if (plan.bits)
		return build_direct(change, at, cnt, pos, &plan, place, ref);
	if (cnt <= trie_list_max(change->family))
		return build_list(change, at, cnt, ref);
	uint32_t guard = guard_bits(at, cnt, pos, change->family);
	if (guard > pos || at[0].bits == pos)
		return build_guard(change, at, cnt, guard, place, ref);
	return build_node(change, at, cnt, pos, ref);
}
