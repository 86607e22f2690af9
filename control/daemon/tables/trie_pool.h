/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_pool.h - the pool of the tries as the files behind trie.h share it:
 *
 *	trie.c		insert, remove, clear: which blocks a change replaces
 *	trie_block.c	lists and nodes read from and written to the pool; blocks made and given up
 *	trie_direct.c	direct tables: slots and what a transaction wants of them
 *	trie_collect.c	a trie as a list of its prefixes
 *	trie_plan.c	which direct table a list of prefixes deserves
 *	trie_build.c	a list of prefixes as a trie: its shape
 *	trie_txn.c	the pool, transactions and what they leave to the limbo
 *	trie_read.c	get, walk
 *	trie_mark.c	the tries that an earlier control left
 *
 * Private to them. Control's one thread.
 */
#ifndef SPW_TRIE_POOL_H
#define SPW_TRIE_POOL_H

#include "control/daemon/tables/blocks.h"
#include "control/daemon/tables/trie.h"
#include "ebpf/trie.h"

/* ---- prefixes ----------------------------------------------------------------------------- */

struct trie_entry {
	struct spw_trie_key key; /* bits behind the prefix are 0 */
	uint32_t leaf;           /* in a guard's first entry: a ref */
	uint8_t bits;
};

/* In the order of addresses, a covering prefix before those within it. */
struct trie_entries {
	struct trie_entry *at;
	uint32_t cnt, room;
};

static inline uint32_t trie_width(unsigned int family)
{
	return family == 4 ? 32 : 128;
}

/* The key's first `bits` bits (0..128), the others 0. */
static inline struct spw_trie_key trie_mask(struct spw_trie_key key, uint32_t bits)
{
	key.hi = bits == 0 ? 0 : bits < 64 ? key.hi >> (64 - bits) << (64 - bits) : key.hi;
	key.lo = bits <= 64 ? 0 : bits < 128 ? key.lo >> (128 - bits) << (128 - bits) : key.lo;
	return key;
}

/* The key with `value` in the `cnt` bits from `pos` on, which were 0. */
static inline struct spw_trie_key trie_key_with(struct spw_trie_key key, uint32_t pos, uint32_t cnt,
						uint64_t value)
{
	unsigned __int128 wide = (unsigned __int128)value << (128 - cnt) >> pos;

	key.hi |= (uint64_t)(wide >> 64);
	key.lo |= (uint64_t)wide;
	return key;
}

static inline int trie_key_order(struct spw_trie_key a, struct spw_trie_key b)
{
	if (a.hi != b.hi)
		return a.hi < b.hi ? -1 : 1;
	return a.lo == b.lo ? 0 : a.lo < b.lo ? -1 : 1;
}

/* Whether `entry` lies within the prefix of `bits` bits of `key`, and is longer. */
static inline bool trie_inside(const struct trie_entry *entry, struct spw_trie_key key,
			       uint32_t bits)
{
	return entry->bits > bits &&
	       trie_key_order(trie_mask(entry->key, bits), trie_mask(key, bits)) == 0;
}

static inline uint32_t trie_levels(unsigned int family)
{
	return family == 4 ? SPW_TRIE_LEVELS4 : SPW_TRIE_LEVELS6;
}

/* False: it is no prefix. The entry's leaf is 0. */
bool trie_entry_of(const struct spw_prefix *prefix, struct trie_entry *entry);

int trie_entries_add(struct trie_entries *entries, struct trie_entry entry); /* 0 or -ENOMEM */

/* ---- blocks ------------------------------------------------------------------------------- */

struct trie_refs {
	uint32_t *at;
	uint32_t cnt, room;
};

int trie_refs_room(struct trie_refs *refs, uint32_t more); /* 0 or -ENOMEM */

struct spw_trie_txn {
	struct spw_trie_pool *pool;
	struct spw_grace *grace;   /* sealed when set: a place in its limbo is taken */
	struct spw_trie_txn *next; /* retired: the next one in the limbo */
	struct trie_refs born;     /* blocks that it made */
	struct trie_refs old;      /* published blocks that it gave up */
	/* Published direct tables that it changes; freed ones have ref 0. */
	struct trie_draft *drafts;
	uint32_t drafts_cnt, drafts_room;
	bool changed;
};

#define TRIE_DRAFTED 0x80000000u

struct spw_trie_pool {
	struct spw_trie_unit *units;
	struct spw_blocks blocks;
	struct spw_trie view; /* for lookups of our own */
	/* At the first unit of a block that the open transaction made: 1 + its place in `born`; of
	 * a published direct table that it changes: TRIE_DRAFTED + its place in `drafts`; else 0.
	 * Born blocks are written in place, no reader knows them. */
	uint32_t *born;
	struct spw_trie_txn *open; /* NULL: none */
	/* Retired ones whose old blocks are in the limbo, in the order in which they leave it. */
	struct spw_trie_txn *retired_first, **retired_end;
	struct trie_refs fresh, gone; /* of the change under way */
};

static inline bool trie_born(const struct spw_trie_pool *pool, uint32_t ref)
{
	uint32_t mark = pool->born[SPW_TRIE_INDEX(ref)];
	return mark && !(mark & TRIE_DRAFTED);
}

static inline uint64_t *trie_words(const struct spw_trie_pool *pool, uint32_t ref)
{
	return (uint64_t *)pool->units[SPW_TRIE_INDEX(ref)].word;
}

static inline bool trie_is_direct(uint32_t ref)
{
	return SPW_TRIE_SHAPE(ref) == SPW_TRIE_DIRECT;
}

static inline bool trie_is_list(uint32_t ref) /* or a guard */
{
	return SPW_TRIE_SHAPE(ref) >= SPW_TRIE_LIST;
}

/* One change: what it makes and gives up is noted, and takes effect when it has succeeded. */
struct trie_change {
	struct spw_trie_txn *txn;
	struct spw_trie_pool *pool;
	unsigned int family;
	bool may_keep; /* may use what is kept back for removals */
	bool adds;     /* insert: the prefix is not there yet */
	struct trie_entry entry;
};

uint32_t trie_block_units(const struct spw_trie_pool *pool, uint32_t ref);
/* 0, -ENOSPC or -ENOMEM; what is in the block is anything. */
int trie_block_make(struct trie_change *change, uint32_t shape, uint32_t units, uint32_t *ref);
/* 0 or -ENOMEM. */
int trie_block_gone(struct trie_change *change, uint32_t ref);
/* Frees it at once: zeroed, so that a reader that held on to it for too long finds nothing. */
void trie_block_free(struct spw_trie_pool *pool, uint32_t ref);

/* Takes back what the change made and gave up since there were so many. */
void trie_change_back(struct trie_change *change, uint32_t fresh, uint32_t gone);
/* Ends the change; returns error. */
int trie_change_end(struct trie_change *change, int error);

/* ---- lists -------------------------------------------------------------------------------- */

#define TRIE_LIST_MAX 14u

struct trie_list {
	uint32_t cnt; /* prefixes, longest first; without the guard's */
	struct trie_entry at[TRIE_LIST_MAX];
	bool guarded;
	struct trie_entry guard; /* leaf: the ref of what lies within that prefix */
};

/* The most entries of a list, its guard's one counted: two units of IPv4, four of IPv6. */
static inline uint32_t trie_list_max(unsigned int family)
{
	return family == 4 ? TRIE_LIST_MAX : 12;
}

void trie_list_read(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		    struct trie_list *list);
/* Without reading it: how many entries it has, the guard's one counted, and the guard's ref. */
uint32_t trie_list_entries(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family);
uint32_t trie_guard_below(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family);
/* Whether the block is a list of the family, as long as its entries need. */
bool trie_list_sane(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family);
void trie_list_add(struct trie_list *list, const struct trie_entry *entry); /* has room */
/* Writes it in the place of ref (0: of nothing); *out may be ref again. */
int trie_list_write(struct trie_change *change, uint32_t ref, const struct trie_list *list,
		    uint32_t *out);

/* ---- nodes -------------------------------------------------------------------------------- */

enum trie_map { TRIE_CHILDREN, TRIE_EXACT, TRIE_SHORTER, TRIE_MAPS };

struct trie_node {
	uint64_t map[TRIE_MAPS];
	uint32_t value[64 + 64 + 62]; /* in the order of the maps and their bits */
};

/* Where a prefix longer than `pos` stands in the node at pos, or the way to it. */
struct trie_spot {
	enum trie_map map;
	uint64_t bit;
};

struct trie_spot trie_spot_of(const struct trie_entry *entry, uint32_t pos, unsigned int family);

/* The place of a spot among the node's values. map: TRIE_MAPS words. */
uint32_t trie_spot_index(const uint64_t *map, struct trie_spot spot);

static inline uint32_t trie_values(const uint64_t *map)
{
	return spw_trie_ones(map[TRIE_CHILDREN]) + spw_trie_ones(map[TRIE_EXACT]) +
	       spw_trie_ones(map[TRIE_SHORTER]);
}

void trie_node_read(const struct spw_trie_pool *pool, uint32_t ref, struct trie_node *node);
/* The value of a spot that is there, else 0, without reading the node. */
uint32_t trie_node_get(const struct spw_trie_pool *pool, uint32_t ref, struct trie_spot spot);
/* Sets or adds a value, which is not 0; 0 takes it out. */
void trie_node_set(struct trie_node *node, struct trie_spot spot, uint32_t value);
int trie_node_write(struct trie_change *change, uint32_t ref, const struct trie_node *node,
		    uint32_t *out);

/* ---- direct tables ------------------------------------------------------------------------ */

/* Where a block stands: behind the first `pos` bits of `key`, whose others are 0. */
struct trie_at {
	struct spw_trie_key key;
	uint32_t pos;
};

/* What an open transaction wants of a published direct table. */
struct trie_draft {
	uint32_t ref; /* 0: the table has gone */
	unsigned int family;
	uint32_t own, cnt;
	/* Changed slots: 1 + slot and its new ref, hashed by slot. A power of two of them. */
	struct trie_draft_slot {
		uint32_t slot1, ref;
	} * slots;
	uint32_t slots_cnt, slots_room;
	/* Ranges of slots over which a prefix changed: their leaves are looked up anew. */
	struct trie_draft_range {
		uint32_t first, cnt;
	} * ranges;
	uint32_t ranges_cnt, ranges_room;
	uint32_t *leaves; /* of all slots, where so many changed; else NULL */
};

static inline struct spw_trie_direct_head *trie_direct_head(const struct spw_trie_pool *pool,
							    uint32_t ref)
{
	return (struct spw_trie_direct_head *)trie_words(pool, ref);
}

static inline uint64_t *trie_direct_slots(const struct spw_trie_pool *pool, uint32_t ref)
{
	return trie_words(pool, ref) + SPW_TRIE_UNIT_WORDS;
}

static inline uint32_t trie_direct_bits(const struct spw_trie_pool *pool, uint32_t ref)
{
	return (uint32_t)__builtin_ctz(SPW_TRIE_FORM_SLOTS(trie_direct_head(pool, ref)->form));
}

/* Where its bits begin: where the table stands, or behind bits that it skips. */
static inline struct trie_at trie_direct_at(const struct spw_trie_pool *pool, uint32_t ref)
{
	const struct spw_trie_direct_head *head = trie_direct_head(pool, ref);

	return (struct trie_at){{head->base[0], head->base[1]},
				SPW_TRIE_FORM_END(head->form) - trie_direct_bits(pool, ref)};
}

/* The number of the slot for what is outside of the table. */
static inline uint32_t trie_direct_outside(const struct spw_trie_pool *pool, uint32_t ref)
{
	return SPW_TRIE_FORM_SLOTS(trie_direct_head(pool, ref)->form);
}

static inline bool trie_direct_skips(const struct spw_trie_pool *pool, uint32_t ref)
{
	return trie_direct_at(pool, ref).pos > trie_direct_head(pool, ref)->pos;
}

/* Whether an entry of the trie stands in the table, not outside. */
static inline bool trie_direct_holds(const struct spw_trie_pool *pool, uint32_t ref,
				     const struct trie_entry *entry)
{
	struct trie_at at = trie_direct_at(pool, ref);

	return !trie_direct_skips(pool, ref) || trie_inside(entry, at.key, at.pos);
}

/* The table as the open transaction has it. */
uint32_t trie_direct_own(const struct spw_trie_pool *pool, uint32_t ref);
uint32_t trie_direct_cnt(const struct spw_trie_pool *pool, uint32_t ref);
uint32_t trie_direct_next(const struct spw_trie_pool *pool, uint32_t ref, uint32_t slot);
/* The slot of the way to a prefix that it holds or, where that ends within it, its first one. */
uint32_t trie_direct_slot(const struct spw_trie_pool *pool, uint32_t ref,
			  const struct trie_entry *entry, unsigned int family);

/* Makes room for one change of the table: of a slot or of `own`. 0 or -ENOMEM. */
int trie_direct_ready(struct trie_change *change, uint32_t ref);
/* That change; delta: by how many prefixes the table has more. They cannot fail. The entry of a
 * change outside may cover the table. */
void trie_direct_set_next(struct trie_change *change, uint32_t ref, uint32_t slot, uint32_t next,
			  int delta);
void trie_direct_set_own(struct trie_change *change, uint32_t ref, uint32_t own, int delta);
void trie_direct_set_outside(struct trie_change *change, uint32_t ref, uint32_t next, int delta);
/* Puts the leaf of each prefix of `own`, in the order of a walk, over all the slots that it covers:
 * of those that cover a slot the longest comes last. leaves: one to a slot. */
void trie_direct_paint(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		       const struct trie_entries *own, uint32_t *leaves);
/* The leaf of the longest prefix outside that covers the whole table, 0: none. */
uint32_t trie_direct_cover(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family);
/* Looks all leaves up: those of `own`, and behind them that of the cover. 0 or -ENOMEM; *leaves is
 * the caller's to free. */
int trie_direct_leaves(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		       uint32_t **leaves);
/* Stores leaves where the slots have others. */
void trie_direct_store(const struct spw_trie_pool *pool, uint32_t ref, const uint32_t *leaves);

/* Prepares what the draft wants, 0 or -ENOMEM; stores it, which cannot fail, and frees its memory.
 */
int trie_draft_seal(const struct spw_trie_pool *pool, struct trie_draft *draft);
void trie_draft_publish(struct spw_trie_pool *pool, struct trie_draft *draft);
void trie_draft_free(struct trie_draft *draft);

/* ---- whole tries -------------------------------------------------------------------------- */

/* Which tables a place in a trie may have:
 *   TRIE_TOP, TRIE_OUTSIDE	at the top, and outside of a table there: any. Their slots change
 *in place, so that a short prefix does not copy them.
 *   TRIE_BELOW			in such a table's slot: a small one, copied as lists and nodes are.
 *So a destination's routes change in one store: its slot's. TRIE_DEEP			none. */
enum trie_place { TRIE_DEEP, TRIE_BELOW, TRIE_OUTSIDE, TRIE_TOP };

/* Tables above so many bits are made for so many prefixes that memory counts more than time. */
#define TRIE_BELOW_BITS_MAX 15u

/* The place in a table's slots, and outside of it. */
static inline enum trie_place trie_place_below(enum trie_place place, uint32_t bits)
{
	return place >= TRIE_OUTSIDE && bits <= TRIE_BELOW_BITS_MAX ? TRIE_BELOW : TRIE_DEEP;
}

static inline enum trie_place trie_place_outside(enum trie_place place)
{
	return place == TRIE_TOP ? TRIE_OUTSIDE : TRIE_DEEP;
}

/* The leaf of exactly this prefix in the trie at `ref`, behind `pos` bits; 0: it is not there. */
uint32_t trie_find(const struct spw_trie_pool *pool, uint32_t ref, uint32_t pos,
		   const struct trie_entry *entry, unsigned int family);

/* Adds every prefix of a block at `at` and below to entries. 0 or -ENOMEM. */
int trie_collect(const struct spw_trie_pool *pool, uint32_t ref, struct trie_at at,
		 unsigned int family, struct trie_entries *entries);
/* The same for a node that is not in the pool. */
int trie_collect_node(const struct spw_trie_pool *pool, const struct trie_node *node,
		      struct trie_at at, unsigned int family, struct trie_entries *entries);

/* How many prefixes there are in a block and below, or limit + 1: more than limit. */
uint32_t trie_count(const struct spw_trie_pool *pool, uint32_t ref, unsigned int family,
		    uint32_t limit);

/* Gives up a block and all below. 0 or -ENOMEM. */
int trie_all_gone(struct trie_change *change, uint32_t ref);

/* The first of the entries within the first `bits` bits of `key`, and longer, and how many. */
uint32_t trie_within(const struct trie_entry *at, uint32_t cnt, struct spw_trie_key key,
		     uint32_t bits, uint32_t *first);

/* The direct table that a set of prefixes gets. */
struct trie_plan {
	uint32_t skip, bits; /* bits 0: none */
	struct spw_trie_key base;
};
void trie_plan(const struct spw_trie_pool *pool, const struct trie_entry *at, uint32_t cnt,
	       uint32_t pos, unsigned int family, enum trie_place place, struct trie_plan *plan);
/* Whether so many prefixes may get one. */
bool trie_plan_wanted(const struct spw_trie_pool *pool, uint32_t cnt, unsigned int family,
		      enum trie_place place);
/* The scale of a number of prefixes: a table is made anew when it has grown to another. */
uint32_t trie_plan_scale(uint32_t cnt);

/* Makes a trie of cnt prefixes, all within the first `pos` bits of each other and longer, or as
 * long at pos 0. */
int trie_build(struct trie_change *change, const struct trie_entry *at, uint32_t cnt, uint32_t pos,
	       enum trie_place place, uint32_t *ref);

#endif
