/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie.c - see trie.h: changes.
 *
 * A change walks to where its prefix stands and replaces the block there by a new one, then the
 * block above that names it, and so on; until it meets one that it may write: a block that this
 * transaction made, or a direct table. What is made and given up on the way takes effect when all
 * of it has succeeded (trie_change_end), and nothing above a block that was written can fail.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

/* A node at the top is counted up to so many: more make a direct table in any case. */
#define NODE_CNT_MAX 48u

static struct trie_at here(const struct trie_change *change, uint32_t pos)
{
	return (struct trie_at){trie_mask(change->entry.key, pos), pos};
}

/* ---- other shapes ------------------------------------------------------------------------- */

/* The entry's place among the others, in order. */
static int entries_insert(struct trie_entries *entries, const struct trie_entry *entry)
{
	int error = trie_entries_add(entries, *entry);
	uint32_t i = entries->cnt - 1;

	if (error)
		return error;
	for (; i > 0; i--) {
		int order = trie_key_order(entry->key, entries->at[i - 1].key);
		if (order > 0 || (order == 0 && entry->bits > entries->at[i - 1].bits))
			break;
		entries->at[i] = entries->at[i - 1];
	}
	entries->at[i] = *entry;
	return 0;
}

static void entries_remove(struct trie_entries *entries, const struct trie_entry *entry)
{
	uint32_t i = 0;

	while (entries->at[i].bits != entry->bits ||
	       trie_key_order(entries->at[i].key, entry->key) != 0)
		i++;
	entries->cnt--;
	memmove(&entries->at[i], &entries->at[i + 1], (entries->cnt - i) * sizeof(*entries->at));
}

/* Builds the block and all below anew, with the change's entry in it or without it. When that fails
 * what it made is taken back, and another way may be tried. */
static int rebuild(struct trie_change *change, uint32_t ref, uint32_t pos, enum trie_place place,
		   uint32_t *out)
{
	uint32_t fresh = change->pool->fresh.cnt, gone = change->pool->gone.cnt;
	struct trie_entries entries = {0};
	int error = trie_collect(change->pool, ref, here(change, pos), change->family, &entries);

	if (error == 0 && change->adds)
		error = entries_insert(&entries, &change->entry);
	else if (error == 0)
		entries_remove(&entries, &change->entry);
	if (error == 0)
		error = trie_build(change, entries.at, entries.cnt, pos, place, out);
	if (error == 0)
		error = trie_all_gone(change, ref);
	if (error)
		trie_change_back(change, fresh, gone);
	free(entries.at);
	return error;
}

/* ---- direct tables ------------------------------------------------------------------------ */

/* A direct table that this change may write, at *out: itself, whose slots change in place or which
 * this transaction made, or a copy. */
static int make_writable(struct trie_change *change, uint32_t ref, enum trie_place place,
			 uint32_t *out)
{
	struct spw_trie_pool *pool = change->pool;
	uint32_t units = trie_block_units(pool, ref);

	*out = ref;
	if (place != TRIE_BELOW)
		return trie_direct_ready(change, ref);
	if (trie_born(pool, ref))
		return 0;
	int error = trie_block_gone(change, ref);
	if (error == 0)
		error = trie_block_make(change, SPW_TRIE_SHAPE(ref), units, out);
	if (error == 0)
		memcpy(trie_words(pool, *out), trie_words(pool, ref), units * sizeof(*pool->units));
	return error;
}

/* A small table that a prefix does not fit into is made anew at once: it takes some 20 us, and the
 * lookups of a small tenant end in its table's slots. */
#define REFIT_CNT_MAX 256u

/* Too small by now, or the wrong one. If there is no room for another, this one does until it has a
 * sixteenth more. A small one in another's slot is made anew with that. */
static bool outgrown(const struct trie_change *change, uint32_t ref, enum trie_place place)
{
	const struct spw_trie_pool *pool = change->pool;
	uint32_t end = SPW_TRIE_FORM_END(trie_direct_head(pool, ref)->form);
	uint32_t cnt = trie_direct_cnt(pool, ref) + 1;
	uint32_t step = 1u << (31 - __builtin_clz(cnt)) >> 4;

	if (place == TRIE_BELOW)
		return false;
	if (cnt <= REFIT_CNT_MAX &&
	    (!trie_direct_holds(pool, ref, &change->entry) || change->entry.bits > end))
		return true;
	return trie_plan_scale(cnt) > trie_direct_head(pool, ref)->scale &&
	       (step == 0 || cnt % step == 0);
}

/* Too large: at a quarter of what made it so large. The last prefix takes it away. */
static bool outlived(const struct trie_change *change, uint32_t ref, enum trie_place place)
{
	uint32_t cnt = trie_direct_cnt(change->pool, ref) - 1;

	if (place == TRIE_BELOW)
		return cnt <= trie_list_max(change->family) / 2;
	return trie_plan_scale(cnt > UINT32_MAX / 4 ? cnt : 4 * cnt) <
	       trie_direct_head(change->pool, ref)->scale;
}

/* ---- insert ------------------------------------------------------------------------------- */

static int insert_at(struct trie_change *change, uint32_t ref, uint32_t pos, enum trie_place place,
		     uint32_t *out);

static struct trie_entry *list_find(struct trie_list *list, const struct trie_entry *entry)
{
	for (uint32_t i = 0; i < list->cnt; i++)
		if (list->at[i].bits == entry->bits &&
		    trie_key_order(list->at[i].key, entry->key) == 0)
			return &list->at[i];
	return NULL;
}

static int insert_list(struct trie_change *change, uint32_t ref, uint32_t pos,
		       enum trie_place place, uint32_t *out)
{
	struct trie_list list;

	trie_list_read(change->pool, ref, change->family, &list);
	struct trie_entry *found = list_find(&list, &change->entry);
	if (list.guarded && trie_inside(&change->entry, list.guard.key, list.guard.bits)) {
		uint32_t below = list.guard.leaf;
		int error = insert_at(change, below, list.guard.bits, place, &list.guard.leaf);
		if (error || list.guard.leaf == below) {
			*out = ref;
			return error;
		}
	} else if (found) {
		found->leaf = change->entry.leaf;
	} else if (list.cnt + list.guarded < trie_list_max(change->family) &&
		   !trie_plan_wanted(change->pool, list.cnt + 1, change->family, place)) {
		trie_list_add(&list, &change->entry);
	} else {
		return rebuild(change, ref, pos, place, out);
	}
	return trie_list_write(change, ref, &list, out);
}

static int insert_node(struct trie_change *change, uint32_t ref, uint32_t pos,
		       enum trie_place place, uint32_t *out)
{
	struct spw_trie_pool *pool = change->pool;
	struct trie_spot spot = trie_spot_of(&change->entry, pos, change->family);
	uint32_t child = trie_node_get(pool, ref, spot), value = change->entry.leaf;
	struct trie_node node;

	if (place >= TRIE_OUTSIDE && change->adds) {
		uint32_t cnt = trie_count(pool, ref, change->family, NODE_CNT_MAX) + 1;
		if (trie_plan_wanted(pool, cnt, change->family, place) &&
		    rebuild(change, ref, pos, place, out) == 0)
			return 0;
	}
	if (spot.map == TRIE_CHILDREN) {
		int error = insert_at(change, child, pos + SPW_TRIE_NODE_BITS, TRIE_DEEP, &value);
		if (error || value == child) {
			*out = ref;
			return error;
		}
	}
	trie_node_read(pool, ref, &node);
	trie_node_set(&node, spot, value);
	return trie_node_write(change, ref, &node, out);
}

static int insert_direct(struct trie_change *change, uint32_t ref, uint32_t pos,
			 enum trie_place place, uint32_t *out)
{
	struct spw_trie_pool *pool = change->pool;
	uint32_t bits = trie_direct_bits(pool, ref), next;
	uint32_t end = trie_direct_at(pool, ref).pos + bits;

	if (change->adds && outgrown(change, ref, place) &&
	    rebuild(change, ref, pos, place, out) == 0)
		return 0;
	int error = make_writable(change, ref, place, out);
	if (error)
		return error;
	if (!trie_direct_holds(pool, ref, &change->entry)) {
		error = insert_at(change, trie_direct_next(pool, *out, 1u << bits), pos,
				  trie_place_outside(place), &next);
		if (error == 0)
			trie_direct_set_outside(change, *out, next, change->adds);
		return error;
	}
	if (change->entry.bits <= end) {
		error = insert_at(change, trie_direct_own(pool, *out), 0, TRIE_DEEP, &next);
		if (error == 0)
			trie_direct_set_own(change, *out, next, change->adds);
		return error;
	}
	uint32_t slot = trie_direct_slot(pool, ref, &change->entry, change->family);
	error = insert_at(change, trie_direct_next(pool, *out, slot), end,
			  trie_place_below(place, bits), &next);
	if (error == 0)
		trie_direct_set_next(change, *out, slot, next, change->adds);
	return error;
}

/* Puts the entry into the trie below `ref` (0: none), which stands behind `pos` bits; *out is what
 * the block above is to name, ref itself where that does not change. */
static int insert_at(struct trie_change *change, uint32_t ref, uint32_t pos, enum trie_place place,
		     uint32_t *out)
{
	if (ref == 0)
		return trie_build(change, &change->entry, 1, pos, place, out);
	if (trie_is_list(ref))
		return insert_list(change, ref, pos, place, out);
	if (trie_is_direct(ref))
		return insert_direct(change, ref, pos, place, out);
	if (change->entry.bits > pos)
		return insert_node(change, ref, pos, place, out);
	/* A prefix of no bits: a guard in front of the node holds it. */
	struct trie_list list = {
		.cnt = 1, .at = {change->entry}, .guarded = true, .guard = {.leaf = ref}};
	return trie_list_write(change, 0, &list, out);
}

/* ---- remove ------------------------------------------------------------------------------- */

static int remove_at(struct trie_change *change, uint32_t ref, uint32_t pos, enum trie_place place,
		     uint32_t *out);

/* A guard whose trie became short takes its prefixes in. */
static int take_in(struct trie_change *change, struct trie_list *list)
{
	struct trie_list below;
	uint32_t ref = list->guard.leaf;

	if (!list->guarded || (ref && SPW_TRIE_SHAPE(ref) - SPW_TRIE_LIST > 3))
		return 0;
	if (ref == 0) {
		list->guarded = false;
		return 0;
	}
	trie_list_read(change->pool, ref, change->family, &below);
	if (list->cnt + below.cnt > trie_list_max(change->family) / 2)
		return 0;
	for (uint32_t i = 0; i < below.cnt; i++)
		trie_list_add(list, &below.at[i]);
	list->guarded = false;
	return trie_block_gone(change, ref);
}

static int remove_list(struct trie_change *change, uint32_t ref, uint32_t pos,
		       enum trie_place place, uint32_t *out)
{
	struct trie_list list;
	int error = 0;

	trie_list_read(change->pool, ref, change->family, &list);
	if (list.guarded && trie_inside(&change->entry, list.guard.key, list.guard.bits)) {
		uint32_t below = list.guard.leaf;
		error = remove_at(change, below, list.guard.bits, place, &list.guard.leaf);
		if (error || list.guard.leaf == below) {
			*out = ref;
			return error;
		}
	} else {
		struct trie_entry *found = list_find(&list, &change->entry);
		list.cnt--;
		memmove(found, found + 1, (size_t)(&list.at[list.cnt] - found) * sizeof(*found));
	}
	error = take_in(change, &list);
	if (error)
		return error;
	/* Nothing left, or nothing but a guard that guards against nothing. */
	if (list.cnt == 0 && (!list.guarded || list.guard.bits == pos)) {
		*out = list.guarded ? list.guard.leaf : 0;
		return trie_block_gone(change, ref);
	}
	return trie_list_write(change, ref, &list, out);
}

/* Few prefixes become a list again, at half of what made them a node. */
static int node_to_list(struct trie_change *change, uint32_t ref, const struct trie_node *node,
			uint32_t pos, uint32_t *out)
{
	uint32_t children = spw_trie_ones(node->map[TRIE_CHILDREN]);
	struct trie_entries entries = {0};
	int error =
		trie_collect_node(change->pool, node, here(change, pos), change->family, &entries);

	for (uint32_t i = 0; i < children && error == 0; i++)
		error = trie_all_gone(change, node->value[i]);
	if (error == 0)
		error = trie_block_gone(change, ref);
	if (error == 0)
		error = trie_build(change, entries.at, entries.cnt, pos, TRIE_DEEP, out);
	free(entries.at);
	return error;
}

static int remove_node(struct trie_change *change, uint32_t ref, uint32_t pos, uint32_t *out)
{
	struct spw_trie_pool *pool = change->pool;
	struct trie_spot spot = trie_spot_of(&change->entry, pos, change->family);
	uint32_t value = 0, few = trie_list_max(change->family) / 2;
	struct trie_node node;

	if (spot.map == TRIE_CHILDREN) {
		uint32_t child = trie_node_get(pool, ref, spot);
		int error = remove_at(change, child, pos + SPW_TRIE_NODE_BITS, TRIE_DEEP, &value);
		if (error || value == child) {
			*out = ref;
			return error;
		}
	}
	trie_node_read(pool, ref, &node);
	trie_node_set(&node, spot, value);
	uint32_t children = spw_trie_ones(node.map[TRIE_CHILDREN]);
	uint32_t cnt = trie_values(node.map) - children;
	for (uint32_t i = 0; i < children && cnt <= few; i++)
		cnt += trie_count(pool, node.value[i], change->family, few - cnt);
	return cnt <= few ? node_to_list(change, ref, &node, pos, out)
			  : trie_node_write(change, ref, &node, out);
}

static int remove_direct(struct trie_change *change, uint32_t ref, uint32_t pos,
			 enum trie_place place, uint32_t *out)
{
	struct spw_trie_pool *pool = change->pool;
	uint32_t bits = trie_direct_bits(pool, ref), next;
	uint32_t end = trie_direct_at(pool, ref).pos + bits;

	if (outlived(change, ref, place)) {
		int error = rebuild(change, ref, pos, place, out);
		if (error == 0 || trie_direct_cnt(pool, ref) == 1)
			return error;
	}
	int error = make_writable(change, ref, place, out);
	if (error)
		return error;
	if (!trie_direct_holds(pool, ref, &change->entry)) {
		error = remove_at(change, trie_direct_next(pool, *out, 1u << bits), pos,
				  trie_place_outside(place), &next);
		if (error == 0)
			trie_direct_set_outside(change, *out, next, -1);
		return error;
	}
	if (change->entry.bits <= end) {
		error = remove_at(change, trie_direct_own(pool, *out), 0, TRIE_DEEP, &next);
		if (error == 0)
			trie_direct_set_own(change, *out, next, -1);
		return error;
	}
	uint32_t slot = trie_direct_slot(pool, ref, &change->entry, change->family);
	error = remove_at(change, trie_direct_next(pool, *out, slot), end,
			  trie_place_below(place, bits), &next);
	if (error == 0)
		trie_direct_set_next(change, *out, slot, next, -1);
	return error;
}

/* Takes the entry, which is there, out of the trie below `ref`; *out as insert_at has it. */
static int remove_at(struct trie_change *change, uint32_t ref, uint32_t pos, enum trie_place place,
		     uint32_t *out)
{
	if (trie_is_list(ref))
		return remove_list(change, ref, pos, place, out);
	return trie_is_direct(ref) ? remove_direct(change, ref, pos, place, out)
				   : remove_node(change, ref, pos, out);
}

/* ---- the calls ---------------------------------------------------------------------------- */

static int change_begin(struct trie_change *change, struct spw_trie_txn *txn,
			const struct spw_prefix *prefix)
{
	memset(change, 0, sizeof(*change));
	change->txn = txn;
	change->pool = txn->pool;
	change->family = prefix->family;
	return txn->grace || !trie_entry_of(prefix, &change->entry) ? -EINVAL : 0;
}

int spw_trie_insert(struct spw_trie_txn *txn, uint32_t *root, const struct spw_prefix *prefix,
		    uint32_t leaf, bool replace)
{
	struct trie_change change;
	uint32_t changed;
	int error = change_begin(&change, txn, prefix);

	if (error || leaf == 0)
		return -EINVAL;
	change.adds = spw_trie_get(txn->pool, *root, prefix) == 0;
	if (!change.adds && !replace)
		return -EEXIST;
	change.entry.leaf = leaf;
	error = trie_change_end(&change, insert_at(&change, *root, 0, TRIE_TOP, &changed));
	if (error == 0)
		*root = changed;
	return error;
}

int spw_trie_remove(struct spw_trie_txn *txn, uint32_t *root, const struct spw_prefix *prefix)
{
	struct trie_change change;
	uint32_t changed;
	int error = change_begin(&change, txn, prefix);

	if (error)
		return error;
	if (spw_trie_get(txn->pool, *root, prefix) == 0)
		return -ENOENT;
	change.may_keep = true;
	error = trie_change_end(&change, remove_at(&change, *root, 0, TRIE_TOP, &changed));
	if (error == 0)
		*root = changed;
	return error;
}

int spw_trie_clear(struct spw_trie_txn *txn, uint32_t *root, unsigned int family)
{
	struct trie_change change = {.txn = txn, .pool = txn->pool, .family = family};

	if (txn->grace)
		return -EINVAL;
	if (*root == 0)
		return 0;
	int error = trie_change_end(&change, trie_all_gone(&change, *root));
	if (error == 0)
		*root = 0;
	return error;
}
