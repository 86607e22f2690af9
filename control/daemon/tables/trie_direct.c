/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_direct.c - see trie_pool.h: direct tables.
 *
 * A prefix that ends within the table's bits stands in `own`, a trie of its own that only control
 * reads, and over all the slots that it covers and no longer one does. So the slots follow from
 * `own`, and a table that was left half written is set right from it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

static uint32_t slots_of(uint32_t ref)
{
	return 1u << SPW_TRIE_SHAPE(ref);
}

static struct trie_draft *draft_of(const struct spw_trie_pool *pool, uint32_t ref)
{
	uint32_t mark = pool->born[SPW_TRIE_INDEX(ref)];

	return mark & TRIE_DRAFTED ? &pool->open->drafts[mark & ~TRIE_DRAFTED] : NULL;
}

/* The place of a slot in the hash, or the free one where it belongs. */
static struct trie_draft_slot *slot_find(const struct trie_draft *draft, uint32_t slot)
{
	uint32_t at = slot * 2654435761u; /* 2^32 / golden ratio: spreads neighbours */

	while (true) {
		struct trie_draft_slot *found = &draft->slots[at & (draft->slots_room - 1)];
		if (found->slot1 == 0 || found->slot1 == slot + 1)
			return found;
		at++;
	}
}

/* ---- reading ------------------------------------------------------------------------------ */

uint32_t trie_direct_own(const struct spw_trie_pool *pool, uint32_t ref)
{
	const struct trie_draft *draft = draft_of(pool, ref);

	return draft ? draft->own : trie_direct_head(pool, ref)->own;
}

uint32_t trie_direct_cnt(const struct spw_trie_pool *pool, uint32_t ref)
{
	const struct trie_draft *draft = draft_of(pool, ref);

	return draft ? draft->cnt : trie_direct_head(pool, ref)->cnt;
}

uint32_t trie_direct_next(const struct spw_trie_pool *pool, uint32_t ref, uint32_t slot)
{
	const struct trie_draft *draft = draft_of(pool, ref);

	if (draft && draft->slots_cnt) {
		const struct trie_draft_slot *found = slot_find(draft, slot);
		if (found->slot1)
			return found->ref;
	}
	return (uint32_t)(trie_direct_slots(pool, ref)[slot] >> 32);
}

uint32_t trie_direct_slot(const struct trie_entry *entry, uint32_t ref, uint32_t pos,
			  unsigned int family)
{
	return spw_trie_bits(entry->key, pos, SPW_TRIE_SHAPE(ref), trie_levels(family));
}

static struct spw_trie_key slot_key(struct trie_at at, uint32_t ref, uint32_t slot)
{
	return trie_key_with(at.key, at.pos, SPW_TRIE_SHAPE(ref), slot);
}

static uint32_t own_leaf(const struct spw_trie_pool *pool, uint32_t own, struct spw_trie_key key,
			 unsigned int family)
{
	return family == 4 ? spw_trie_lookup(&pool->view, own, key, SPW_TRIE_LEVELS4)
			   : spw_trie_lookup(&pool->view, own, key, SPW_TRIE_LEVELS6);
}

/* Pairs with the readers' acquire load of the slot: who sees a ref sees its block. */
static void slot_store(uint64_t *slot, uint32_t leaf, uint32_t next)
{
	uint64_t word = (uint64_t)next << 32 | leaf;

	if (*slot != word)
		__atomic_store_n(slot, word, __ATOMIC_RELEASE);
}

/* Looks the leaves of cnt slots up in `own`. */
static void slots_fill(const struct spw_trie_pool *pool, uint32_t ref, struct trie_at at,
		       unsigned int family, uint32_t first, uint32_t cnt)
{
	uint64_t *slots = trie_direct_slots(pool, ref);
	uint32_t own = trie_direct_head(pool, ref)->own;

	for (uint32_t slot = first; slot < first + cnt; slot++)
		slot_store(&slots[slot], own_leaf(pool, own, slot_key(at, ref, slot), family),
			   (uint32_t)(slots[slot] >> 32));
}

/* ---- changing ----------------------------------------------------------------------------- */

static int draft_open(struct trie_change *change, uint32_t ref, struct trie_at at)
{
	struct spw_trie_txn *txn = change->txn;
	const struct spw_trie_direct_head *head = trie_direct_head(change->pool, ref);

	if (txn->drafts_cnt == txn->drafts_room) {
		uint32_t room = 2 * txn->drafts_room + 8;
		struct trie_draft *drafts = realloc(txn->drafts, room * sizeof(*drafts));
		if (!drafts)
			return -ENOMEM;
		txn->drafts = drafts;
		txn->drafts_room = room;
	}
	change->pool->born[SPW_TRIE_INDEX(ref)] = TRIE_DRAFTED | txn->drafts_cnt;
	txn->drafts[txn->drafts_cnt++] = (struct trie_draft){
		.ref = ref, .family = change->family, .at = at, .own = head->own, .cnt = head->cnt};
	return 0;
}

static int slots_room(struct trie_draft *draft)
{
	struct trie_draft before = *draft;

	/* At most three quarters full. */
	if (4 * (draft->slots_cnt + 1) <= 3 * draft->slots_room)
		return 0;
	draft->slots_room = before.slots_room ? 2 * before.slots_room : 16;
	draft->slots = calloc(draft->slots_room, sizeof(*draft->slots));
	if (!draft->slots) {
		*draft = before;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < before.slots_room; i++)
		if (before.slots[i].slot1)
			*slot_find(draft, before.slots[i].slot1 - 1) = before.slots[i];
	free(before.slots);
	return 0;
}

static int ranges_room(struct trie_draft *draft)
{
	if (draft->ranges_cnt < draft->ranges_room)
		return 0;
	uint32_t room = 2 * draft->ranges_room + 8;
	struct trie_draft_range *ranges = realloc(draft->ranges, room * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	draft->ranges = ranges;
	draft->ranges_room = room;
	return 0;
}

int trie_direct_ready(struct trie_change *change, uint32_t ref, struct trie_at at)
{
	if (trie_born(change->pool, ref))
		return 0;
	if (!draft_of(change->pool, ref) && draft_open(change, ref, at) != 0)
		return -ENOMEM;
	struct trie_draft *draft = draft_of(change->pool, ref);
	return slots_room(draft) || ranges_room(draft) ? -ENOMEM : 0;
}

void trie_direct_set_next(struct trie_change *change, uint32_t ref, uint32_t slot, uint32_t next,
			  int delta)
{
	struct spw_trie_pool *pool = change->pool;
	struct trie_draft *draft = draft_of(pool, ref);

	if (!draft) {
		uint64_t *word = &trie_direct_slots(pool, ref)[slot];
		*word = (uint64_t)next << 32 | (uint32_t)*word;
		trie_direct_head(pool, ref)->cnt += (uint32_t)delta;
		return;
	}
	struct trie_draft_slot *found = slot_find(draft, slot);
	draft->slots_cnt += found->slot1 == 0;
	*found = (struct trie_draft_slot){slot + 1, next};
	draft->cnt += (uint32_t)delta;
}

void trie_direct_set_own(struct trie_change *change, uint32_t ref, struct trie_at at, uint32_t own,
			 int delta)
{
	struct spw_trie_pool *pool = change->pool;
	struct trie_draft *draft = draft_of(pool, ref);
	const struct trie_entry *entry = &change->entry;
	uint32_t first = trie_direct_slot(entry, ref, at.pos, change->family);
	uint32_t cnt = 1u << (at.pos + SPW_TRIE_SHAPE(ref) - entry->bits);

	if (!draft) {
		trie_direct_head(pool, ref)->own = own;
		trie_direct_head(pool, ref)->cnt += (uint32_t)delta;
		slots_fill(pool, ref, at, change->family, first, cnt);
		return;
	}
	draft->own = own;
	draft->cnt += (uint32_t)delta;
	draft->ranges[draft->ranges_cnt++] = (struct trie_draft_range){first, cnt};
}

/* ---- publishing --------------------------------------------------------------------------- */

void trie_direct_paint(uint32_t ref, struct trie_at at, unsigned int family,
		       const struct trie_entries *own, uint32_t *leaves)
{
	uint32_t end = at.pos + SPW_TRIE_SHAPE(ref);

	for (uint32_t i = 0; i < own->cnt; i++) {
		const struct trie_entry *entry = &own->at[i];
		uint32_t first = trie_direct_slot(entry, ref, at.pos, family);
		for (uint32_t k = 0; k < 1u << (end - entry->bits); k++)
			leaves[first + k] = entry->leaf;
	}
}

void trie_direct_store(const struct spw_trie_pool *pool, uint32_t ref, const uint32_t *leaves)
{
	uint64_t *slots = trie_direct_slots(pool, ref);

	for (uint32_t slot = 0; slot < slots_of(ref); slot++)
		slot_store(&slots[slot], leaves[slot], (uint32_t)(slots[slot] >> 32));
}

/* Above that many slots it takes less time to go through all of `own` once than to look each slot
 * up in it (some 50 ns): with 50,000 prefixes in it that takes 3 ms. */
#define LOOK_UP_MAX 8192u

int trie_draft_seal(const struct spw_trie_pool *pool, struct trie_draft *draft)
{
	struct trie_entries own = {0};
	uint64_t slots = 0;

	free(draft->leaves); /* of a seal that found no room in the limbo */
	draft->leaves = NULL;
	for (uint32_t i = 0; i < draft->ranges_cnt; i++)
		slots += draft->ranges[i].cnt;
	if (draft->ref == 0 || slots <= LOOK_UP_MAX)
		return 0;
	draft->leaves = calloc(slots_of(draft->ref), sizeof(*draft->leaves));
	int error = draft->leaves ? trie_collect(pool, draft->own, (struct trie_at){0},
						 draft->family, &own)
				  : -ENOMEM;
	if (error == 0)
		trie_direct_paint(draft->ref, draft->at, draft->family, &own, draft->leaves);
	free(own.at);
	return error;
}

static void publish_slot(const struct spw_trie_pool *pool, const struct trie_draft *draft,
			 const struct trie_draft_slot *changed)
{
	uint32_t slot = changed->slot1 - 1;
	uint64_t *word = &trie_direct_slots(pool, draft->ref)[slot];
	uint32_t leaf = (uint32_t)*word;

	if (draft->leaves)
		leaf = draft->leaves[slot];
	else if (draft->ranges_cnt)
		leaf = own_leaf(pool, draft->own, slot_key(draft->at, draft->ref, slot),
				draft->family);
	slot_store(word, leaf, changed->ref);
}

void trie_draft_publish(struct spw_trie_pool *pool, struct trie_draft *draft)
{
	struct spw_trie_direct_head *head;

	if (draft->ref == 0)
		return;
	head = trie_direct_head(pool, draft->ref);
	head->own = draft->own;
	head->cnt = draft->cnt;
	/* Once for each slot, though its leaf and what is below change together. */
	for (uint32_t i = 0; i < draft->slots_room; i++)
		if (draft->slots[i].slot1)
			publish_slot(pool, draft, &draft->slots[i]);
	if (draft->leaves)
		trie_direct_store(pool, draft->ref, draft->leaves);
	for (uint32_t i = 0; i < draft->ranges_cnt && !draft->leaves; i++)
		slots_fill(pool, draft->ref, draft->at, draft->family, draft->ranges[i].first,
			   draft->ranges[i].cnt);
	pool->born[SPW_TRIE_INDEX(draft->ref)] = 0;
	trie_draft_free(draft);
}

void trie_draft_free(struct trie_draft *draft)
{
	free(draft->slots);
	free(draft->ranges);
	free(draft->leaves);
	*draft = (struct trie_draft){0};
}
