/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_direct.c - see trie_pool.h: direct tables.
 *
 * A prefix that ends within the table's bits stands in `own`, a trie of its own that only control
 * reads, and over all the slots that it covers and no longer one does. The slots that
 * none of `own` covers have the leaf of its cover: the longest prefix that the whole table lies
 * in, which stands in the trie outside. So the slots follow from these two, and a table that was
 * left half written is set right from them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

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

static uint64_t *slot_word(const struct spw_trie_pool *pool, uint32_t ref, uint32_t slot)
{
	uint32_t outside = trie_direct_outside(pool, ref);

	return slot == outside ? trie_words(pool, ref) + SPW_TRIE_OUTSIDE_WORD
			       : trie_direct_slots(pool, ref) + slot;
}

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
	return (uint32_t)(*slot_word(pool, ref, slot) >> 32);
}

uint32_t trie_direct_slot(const struct spw_trie_pool *pool, uint32_t ref,
			  const struct trie_entry *entry, unsigned int family)
{
	return spw_trie_bits(entry->key, trie_direct_at(pool, ref).pos, trie_direct_bits(pool, ref),
			     trie_levels(family));
}

uint32_t trie_direct_cover(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family)
{
	uint32_t next = trie_direct_next(pool, ref, trie_direct_outside(pool, ref)), leaf = 0;
	uint32_t pos = trie_direct_head(pool, ref)->pos;
	struct trie_at at = trie_direct_at(pool, ref);

	for (uint32_t bits = at.pos + 1; next && bits-- > pos && leaf == 0;) {
		struct trie_entry entry = {.key = trie_mask(at.key, bits), .bits = (uint8_t)bits};
		leaf = trie_find(pool, next, pos, &entry, family);
	}
	return leaf;
}

/* The leaf of a slot of which `own` and the cover are known. */
static uint32_t slot_leaf(const struct spw_trie_pool *pool, uint32_t ref, uint32_t own,
			  uint32_t cover, uint32_t slot, unsigned int family)
{
	struct trie_at at = trie_direct_at(pool, ref);
	struct spw_trie_key key = trie_key_with(at.key, at.pos, trie_direct_bits(pool, ref), slot);
	uint32_t leaf = family == 4 ? spw_trie_lookup(&pool->view, own, key, SPW_TRIE_LEVELS4)
				    : spw_trie_lookup(&pool->view, own, key, SPW_TRIE_LEVELS6);

	return leaf ? leaf : cover;
}

/* Pairs with the readers' acquire load of the slot: who sees a ref sees its block. */
static void slot_store(uint64_t *slot, uint32_t leaf, uint32_t next)
{
	uint64_t word = (uint64_t)next << 32 | leaf;

	if (*slot != word)
		__atomic_store_n(slot, word, __ATOMIC_RELEASE);
}

/* Looks the leaves of cnt slots up. */
static void slots_fill(const struct spw_trie_pool *pool, uint32_t ref, uint32_t own,
		       unsigned int family, struct trie_draft_range range)
{
	uint32_t cover = trie_direct_cover(pool, ref, family);

	for (uint32_t slot = range.first; slot < range.first + range.cnt; slot++) {
		uint64_t *word = &trie_direct_slots(pool, ref)[slot];
		slot_store(word, slot_leaf(pool, ref, own, cover, slot, family),
			   (uint32_t)(*word >> 32));
	}
}

/* ---- changing ----------------------------------------------------------------------------- */

static int draft_open(struct trie_change *change, uint32_t ref)
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
		.ref = ref, .family = change->family, .own = head->own, .cnt = head->cnt};
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

int trie_direct_ready(struct trie_change *change, uint32_t ref)
{
	if (trie_born(change->pool, ref))
		return 0;
	if (!draft_of(change->pool, ref) && draft_open(change, ref) != 0)
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
		uint64_t *word = slot_word(pool, ref, slot);
		*word = (uint64_t)next << 32 | (uint32_t)*word;
		trie_direct_head(pool, ref)->cnt += (uint32_t)delta;
		return;
	}
	struct trie_draft_slot *found = slot_find(draft, slot);
	draft->slots_cnt += found->slot1 == 0;
	*found = (struct trie_draft_slot){slot + 1, next};
	draft->cnt += (uint32_t)delta;
}

static void changed_range(const struct trie_change *change, uint32_t ref,
			  struct trie_draft_range range)
{
	struct trie_draft *draft = draft_of(change->pool, ref);

	if (draft)
		draft->ranges[draft->ranges_cnt++] = range;
	else
		slots_fill(change->pool, ref, trie_direct_head(change->pool, ref)->own,
			   change->family, range);
}

void trie_direct_set_own(struct trie_change *change, uint32_t ref, uint32_t own, int delta)
{
	struct spw_trie_pool *pool = change->pool;
	struct trie_draft *draft = draft_of(pool, ref);
	const struct trie_entry *entry = &change->entry;
	uint32_t end = trie_direct_at(pool, ref).pos + trie_direct_bits(pool, ref);

	if (draft) {
		draft->own = own;
		draft->cnt += (uint32_t)delta;
	} else {
		trie_direct_head(pool, ref)->own = own;
		trie_direct_head(pool, ref)->cnt += (uint32_t)delta;
	}
	changed_range(change, ref,
		      (struct trie_draft_range){trie_direct_slot(pool, ref, entry, change->family),
						1u << (end - entry->bits)});
}

void trie_direct_set_outside(struct trie_change *change, uint32_t ref, uint32_t next, int delta)
{
	const struct spw_trie_pool *pool = change->pool;
	const struct trie_entry *entry = &change->entry;
	struct trie_at at = trie_direct_at(pool, ref);

	trie_direct_set_next(change, ref, trie_direct_outside(pool, ref), next, delta);
	if (trie_key_order(trie_mask(at.key, entry->bits), entry->key) == 0)
		changed_range(change, ref,
			      (struct trie_draft_range){0, trie_direct_outside(pool, ref)});
}

/* ---- publishing --------------------------------------------------------------------------- */

void trie_direct_paint(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		       const struct trie_entries *own, uint32_t *leaves)
{
	uint32_t end = trie_direct_at(pool, ref).pos + trie_direct_bits(pool, ref);

	for (uint32_t i = 0; i < own->cnt; i++) {
		const struct trie_entry *entry = &own->at[i];
		uint32_t first = trie_direct_slot(pool, ref, entry, family);
		for (uint32_t k = 0; k < 1u << (end - entry->bits); k++)
			leaves[first + k] = entry->leaf;
	}
}

int trie_direct_leaves(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		       uint32_t **leaves)
{
	uint32_t slots = trie_direct_outside(pool, ref);
	uint32_t cover = trie_direct_cover(pool, ref, family);
	struct trie_entries own = {0};
	int error =
		trie_collect(pool, trie_direct_own(pool, ref), (struct trie_at){0}, family, &own);

	*leaves = error ? NULL : malloc(slots * sizeof(**leaves));
	for (uint32_t slot = 0; *leaves && slot < slots; slot++)
		(*leaves)[slot] = cover;
	if (*leaves)
		trie_direct_paint(pool, ref, family, &own, *leaves);
	free(own.at);
	return *leaves ? 0 : -ENOMEM;
}

void trie_direct_store(const struct spw_trie_pool *pool, uint32_t ref, const uint32_t *leaves)
{
	uint64_t *slots = trie_direct_slots(pool, ref);

	for (uint32_t slot = 0; slot < trie_direct_outside(pool, ref); slot++)
		slot_store(&slots[slot], leaves[slot], (uint32_t)(slots[slot] >> 32));
}

/* Above that many slots it takes less time to go through all of `own` once than to look each slot
 * up in it (some 50 ns): with 50,000 prefixes in it that takes 3 ms. */
#define LOOK_UP_MAX 8192u

int trie_draft_seal(const struct spw_trie_pool *pool, struct trie_draft *draft)
{
	uint64_t slots = 0;

	free(draft->leaves); /* of a seal that found no room in the limbo */
	draft->leaves = NULL;
	for (uint32_t i = 0; i < draft->ranges_cnt; i++)
		slots += draft->ranges[i].cnt;
	if (draft->ref == 0 || slots <= LOOK_UP_MAX)
		return 0;
	return trie_direct_leaves(pool, draft->ref, draft->family, &draft->leaves);
}

/* Each slot is stored once, though its leaf and what is below change together. */
static void publish_slots(const struct spw_trie_pool *pool, const struct trie_draft *draft)
{
	uint32_t outside = trie_direct_outside(pool, draft->ref);
	uint32_t cover = draft->ranges_cnt && !draft->leaves
				 ? trie_direct_cover(pool, draft->ref, draft->family)
				 : 0;

	for (uint32_t i = 0; i < draft->slots_room; i++) {
		const struct trie_draft_slot *changed = &draft->slots[i];
		uint32_t slot = changed->slot1 - 1;
		if (changed->slot1 == 0)
			continue;
		uint64_t *word = slot_word(pool, draft->ref, slot);
		uint32_t leaf = (uint32_t)*word;
		if (draft->leaves && slot != outside)
			leaf = draft->leaves[slot];
		else if (draft->ranges_cnt && slot != outside)
			leaf = slot_leaf(pool, draft->ref, draft->own, cover, slot, draft->family);
		slot_store(word, leaf, changed->ref);
	}
}

void trie_draft_publish(struct spw_trie_pool *pool, struct trie_draft *draft)
{
	struct spw_trie_direct_head *head;

	if (draft->ref == 0)
		return;
	head = trie_direct_head(pool, draft->ref);
	head->own = draft->own;
	head->cnt = draft->cnt;
	publish_slots(pool, draft);
	if (draft->leaves)
		trie_direct_store(pool, draft->ref, draft->leaves);
	for (uint32_t i = 0; i < draft->ranges_cnt && !draft->leaves; i++)
		slots_fill(pool, draft->ref, draft->own, draft->family, draft->ranges[i]);
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
