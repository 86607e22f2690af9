/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_block.c - see trie_pool.h: blocks made and given up, lists and nodes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

/* Kept back from inserts, so that a removal, which replaces blocks too, works in a full pool: one
 * path of full nodes, in small pools a sixteenth. */
#define NODE_UNITS_MAX 13u
#define KEEP_UNITS (SPW_TRIE_LEVELS6 * NODE_UNITS_MAX)

/* ---- blocks ------------------------------------------------------------------------------- */

int trie_refs_room(struct trie_refs *refs, uint32_t more)
{
	if (refs->room - refs->cnt >= more)
		return 0;
	uint32_t room = refs->room * 2 > refs->cnt + more ? refs->room * 2 : refs->cnt + more + 64;
	uint32_t *at = realloc(refs->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	refs->at = at;
	refs->room = room;
	return 0;
}

static uint32_t node_units(const uint64_t *map)
{
	uint32_t words = SPW_TRIE_NODE_WORDS + (trie_values(map) + 1) / 2;

	return (words + SPW_TRIE_UNIT_WORDS - 1) / SPW_TRIE_UNIT_WORDS;
}

uint32_t trie_block_units(const struct spw_trie_pool *pool, uint32_t ref)
{
	if (trie_is_list(ref))
		return 1u << (SPW_TRIE_SHAPE(ref) & 3);
	if (trie_is_direct(ref))
		return 1 + trie_direct_outside(pool, ref) / SPW_TRIE_UNIT_WORDS;
	return node_units(trie_words(pool, ref));
}

int trie_block_make(struct trie_change *change, uint32_t shape, uint32_t units, uint32_t *ref)
{
	struct spw_trie_pool *pool = change->pool;
	struct spw_blocks *blocks = &pool->blocks;
	uint32_t keep = KEEP_UNITS < blocks->max / 16 ? KEEP_UNITS : blocks->max / 16;

	if (trie_refs_room(&pool->fresh, 1) ||
	    trie_refs_room(&change->txn->born, pool->fresh.cnt + 1))
		return -ENOMEM;
	if (!change->may_keep && blocks->free < units + keep)
		return -ENOSPC;
	uint32_t first = spw_blocks_alloc(blocks, units);
	if (first == 0)
		return -ENOSPC;
	*ref = SPW_TRIE_REF(shape, first);
	pool->fresh.at[pool->fresh.cnt++] = *ref;
	return 0;
}

int trie_block_gone(struct trie_change *change, uint32_t ref)
{
	struct trie_refs *gone = &change->pool->gone;

	if (trie_refs_room(gone, 1) || trie_refs_room(&change->txn->old, gone->cnt + 1))
		return -ENOMEM;
	gone->at[gone->cnt++] = ref;
	return 0;
}

void trie_block_free(struct spw_trie_pool *pool, uint32_t ref)
{
	uint32_t units = trie_block_units(pool, ref);

	memset(trie_words(pool, ref), 0, units * sizeof(*pool->units));
	spw_blocks_free(&pool->blocks, SPW_TRIE_INDEX(ref), units);
}

static void unborn(struct spw_trie_txn *txn, uint32_t ref)
{
	uint32_t *born = txn->pool->born, index = SPW_TRIE_INDEX(ref);

	uint32_t moved = txn->born.at[--txn->born.cnt];
	txn->born.at[born[index] - 1] = moved;
	born[SPW_TRIE_INDEX(moved)] = born[index];
	born[index] = 0;
}

/* Free at once if nobody else knows the block, after grace if not. */
static void give_up(struct spw_trie_txn *txn, uint32_t ref)
{
	uint32_t *mark = &txn->pool->born[SPW_TRIE_INDEX(ref)];

	if (trie_born(txn->pool, ref)) {
		unborn(txn, ref);
		trie_block_free(txn->pool, ref);
		return;
	}
	if (*mark & TRIE_DRAFTED) {
		trie_draft_free(&txn->drafts[*mark & ~TRIE_DRAFTED]);
		*mark = 0;
	}
	txn->old.at[txn->old.cnt++] = ref;
}

void trie_change_back(struct trie_change *change, uint32_t fresh, uint32_t gone)
{
	struct spw_trie_pool *pool = change->pool;

	while (pool->fresh.cnt > fresh)
		trie_block_free(pool, pool->fresh.at[--pool->fresh.cnt]);
	pool->gone.cnt = gone;
}

int trie_change_end(struct trie_change *change, int error)
{
	struct spw_trie_pool *pool = change->pool;
	struct spw_trie_txn *txn = change->txn;

	if (error < 0) {
		trie_change_back(change, 0, 0);
		return error;
	}
	for (uint32_t i = 0; i < pool->fresh.cnt; i++) {
		txn->born.at[txn->born.cnt++] = pool->fresh.at[i];
		pool->born[SPW_TRIE_INDEX(pool->fresh.at[i])] = txn->born.cnt;
	}
	for (uint32_t i = 0; i < pool->gone.cnt; i++)
		give_up(txn, pool->gone.at[i]);
	pool->fresh.cnt = 0;
	pool->gone.cnt = 0;
	txn->changed = true;
	return 0;
}

/* Where to write a block of the shape: in the place of ref, when no reader knows that and it is of
 * the same size, or in a new block; ref is given up then. */
static int place_block(struct trie_change *change, uint32_t ref, uint32_t shape, uint32_t units,
		       uint32_t *out)
{
	struct spw_trie_pool *pool = change->pool;

	if (ref && trie_born(pool, ref) && SPW_TRIE_SHAPE(ref) == shape &&
	    trie_block_units(pool, ref) == units) {
		*out = ref;
		return 0;
	}
	int error = ref ? trie_block_gone(change, ref) : 0;
	return error ? error : trie_block_make(change, shape, units, out);
}

/* ---- lists -------------------------------------------------------------------------------- */

/* Where entry i of a list stands; see tables.h. */
struct place {
	uint32_t *header, *leaf;
	uint32_t *code; /* IPv4: one; IPv6: two words */
	uint32_t in_unit;
};

static struct place place_of(const struct spw_trie_pool *pool, uint32_t ref, uint32_t i,
			     unsigned int family)
{
	uint32_t per_unit = family == 4 ? SPW_TRIE_LIST4 : SPW_TRIE_LIST6;
	uint32_t *unit = (uint32_t *)(trie_words(pool, ref) + SPW_TRIE_UNIT_WORDS * (i / per_unit));
	uint32_t in_unit = i % per_unit;

	if (family == 6)
		return (struct place){unit, unit + 1 + in_unit, unit + 4 + 4 * in_unit, in_unit};
	return (struct place){unit + SPW_TRIE_LIST4, unit + SPW_TRIE_LIST4 + 1 + in_unit,
			      unit + in_unit, in_unit};
}

static struct trie_entry entry_read(const struct spw_trie_pool *pool, uint32_t ref, uint32_t i,
				    unsigned int family)
{
	struct place place = place_of(pool, ref, i, family);
	struct trie_entry entry = {.leaf = *place.leaf, .bits = (uint8_t)trie_width(family)};

	if (family == 6)
		memcpy(&entry.key, place.code, sizeof(entry.key));
	else
		entry.key.hi = (uint64_t)*place.code << 32;
	if (*place.header >> place.in_unit & 1)
		return entry;
	/* The last bit that is set is behind the prefix. */
	if (entry.key.lo) {
		entry.bits = (uint8_t)(127 - __builtin_ctzll(entry.key.lo));
		entry.key.lo &= entry.key.lo - 1;
	} else if (entry.key.hi) {
		entry.bits = (uint8_t)(63 - __builtin_ctzll(entry.key.hi));
		entry.key.hi &= entry.key.hi - 1;
	}
	return entry;
}

static void entry_write(const struct spw_trie_pool *pool, uint32_t ref, uint32_t i,
			unsigned int family, const struct trie_entry *entry)
{
	struct place place = place_of(pool, ref, i, family);
	struct spw_trie_key key = entry->key;

	if (entry->bits == trie_width(family))
		*place.header |= 1u << place.in_unit;
	else
		key = trie_key_with(key, entry->bits, 1, 1);
	*place.leaf = entry->leaf;
	if (family == 6)
		memcpy(place.code, &key, sizeof(key));
	else
		*place.code = (uint32_t)(key.hi >> 32);
}

static uint32_t list_log_units(uint32_t entries, unsigned int family)
{
	uint32_t unit = family == 4 ? SPW_TRIE_LIST4 : SPW_TRIE_LIST6;

	return entries <= unit ? 0 : entries <= 2 * unit ? 1 : 2;
}

uint32_t trie_list_entries(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family)
{
	return *place_of(pool, ref, 0, family).header >> 8 & 0xff;
}

uint32_t trie_guard_below(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family)
{
	return *place_of(pool, ref, 0, family).leaf;
}

bool trie_list_sane(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family)
{
	uint32_t entries = trie_list_entries(pool, ref, family);

	return entries > 0 && entries <= trie_list_max(family) &&
	       list_log_units(entries, family) == (SPW_TRIE_SHAPE(ref) & 3);
}

void trie_list_read(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		    struct trie_list *list)
{
	uint32_t entries = trie_list_entries(pool, ref, family), i = 0;

	list->cnt = 0;
	list->guarded = SPW_TRIE_SHAPE(ref) >= SPW_TRIE_GUARD;
	if (list->guarded)
		list->guard = entry_read(pool, ref, i++, family);
	while (i < entries)
		list->at[list->cnt++] = entry_read(pool, ref, i++, family);
}

void trie_list_add(struct trie_list *list, const struct trie_entry *entry)
{
	uint32_t i = list->cnt++;

	for (; i > 0 && list->at[i - 1].bits < entry->bits; i--)
		list->at[i] = list->at[i - 1];
	list->at[i] = *entry;
}

int trie_list_write(struct trie_change *change, uint32_t ref, const struct trie_list *list,
		    uint32_t *out)
{
	const struct spw_trie_pool *pool = change->pool;
	unsigned int family = change->family;
	uint32_t entries = list->cnt + list->guarded, i = 0;
	uint32_t log_units = list_log_units(entries, family);
	uint32_t shape = (list->guarded ? SPW_TRIE_GUARD : SPW_TRIE_LIST) + log_units;
	int error = place_block(change, ref, shape, 1u << log_units, out);

	if (error)
		return error;
	memset(trie_words(pool, *out), 0, sizeof(*pool->units) << log_units);
	if (list->guarded)
		entry_write(pool, *out, i++, family, &list->guard);
	for (uint32_t k = 0; k < list->cnt; k++)
		entry_write(pool, *out, i++, family, &list->at[k]);
	*place_of(pool, *out, 0, family).header |= entries << 8;
	return 0;
}

/* ---- nodes -------------------------------------------------------------------------------- */

struct trie_spot trie_spot_of(const struct trie_entry *entry, uint32_t pos, unsigned int family)
{
	uint32_t chunk = spw_trie_bits(entry->key, pos, SPW_TRIE_NODE_BITS, trie_levels(family));
	uint32_t bits = entry->bits - pos;

	if (bits > SPW_TRIE_NODE_BITS)
		return (struct trie_spot){TRIE_CHILDREN, 1ull << chunk};
	if (bits == SPW_TRIE_NODE_BITS)
		return (struct trie_spot){TRIE_EXACT, 1ull << chunk};
	return (struct trie_spot){TRIE_SHORTER,
				  1ull << (1u << bits | chunk >> (SPW_TRIE_NODE_BITS - bits))};
}

uint32_t trie_spot_index(const uint64_t *map, struct trie_spot spot)
{
	uint32_t index = spw_trie_ones(map[spot.map] & (spot.bit - 1));

	for (int i = 0; i < (int)spot.map; i++)
		index += spw_trie_ones(map[i]);
	return index;
}

void trie_node_read(const struct spw_trie_pool *pool, uint32_t ref, struct trie_node *node)
{
	const uint64_t *words = trie_words(pool, ref);

	memcpy(node->map, words, sizeof(node->map));
	memcpy(node->value, words + SPW_TRIE_NODE_WORDS,
	       trie_values(node->map) * sizeof(*node->value));
}

uint32_t trie_node_get(const struct spw_trie_pool *pool, uint32_t ref, struct trie_spot spot)
{
	const uint64_t *words = trie_words(pool, ref);

	if (!(words[spot.map] & spot.bit))
		return 0;
	return ((const uint32_t *)(words + SPW_TRIE_NODE_WORDS))[trie_spot_index(words, spot)];
}

void trie_node_set(struct trie_node *node, struct trie_spot spot, uint32_t value)
{
	uint32_t values = trie_values(node->map), index = trie_spot_index(node->map, spot);
	bool there = node->map[spot.map] & spot.bit;
	uint32_t *at = &node->value[index];

	if (value && !there)
		memmove(at + 1, at, (values - index) * sizeof(*at));
	if (!value && there)
		memmove(at, at + 1, (values - index - 1) * sizeof(*at));
	if (value) {
		*at = value;
		node->map[spot.map] |= spot.bit;
	} else {
		node->map[spot.map] &= ~spot.bit;
	}
}

int trie_node_write(struct trie_change *change, uint32_t ref, const struct trie_node *node,
		    uint32_t *out)
{
	uint32_t units = node_units(node->map), values = trie_values(node->map);
	int error = place_block(change, ref, SPW_TRIE_NODE, units, out);

	if (error)
		return error;
	uint64_t *words = trie_words(change->pool, *out);
	memset(words, 0, units * sizeof(*change->pool->units));
	memcpy(words, node->map, sizeof(node->map));
	memcpy(words + SPW_TRIE_NODE_WORDS, node->value, values * sizeof(*node->value));
	return 0;
}
