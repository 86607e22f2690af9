/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * trie_bulk.h - many lookups at once (see trie.h), for native code.
 *
 * A lookup alone waits for each of its blocks. Here all of a burst go one step before any goes the
 * next, so that their misses are under way together; and what differs from lookup to lookup is
 * computed without branches, which nobody could predict. Of a million routes in a random order that
 * makes a lookup five times as fast; of a small tenant's, which ends in a slot of its table, twice
 * as slow (110 instructions, where one alone takes 51), so the packet path does without.
 *
 * Who owns the memory, and who may call: as for trie.h.
 */
#ifndef SPW_TRIE_BULK_H
#define SPW_TRIE_BULK_H

#include <immintrin.h>

#include "trie.h"

#define SPW_TRIE_BULK_MAX 64u

/* Fetches a block, two lines of a node: there its values lie. Out of bounds it does nothing. */
static __always_inline void spw_trie_fetch(const struct spw_trie *trie, __u32 ref)
{
	const __u64 *at = spw_trie_at(trie, SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS);

	__builtin_prefetch(at);
	__builtin_prefetch(at + (SPW_TRIE_SHAPE(ref) == SPW_TRIE_NODE ? SPW_TRIE_UNIT_WORDS : 0));
}

/* The state of a bulk. */
struct spw_trie_bulk {
	__u32 ref[SPW_TRIE_BULK_MAX];  /* the block that is next */
	__u32 slot[SPW_TRIE_BULK_MAX]; /* word of the direct table's slot */
	/* Word of a list of one unit, where most lookups end; 0: unit 0 is empty, and says so. */
	__u32 list[SPW_TRIE_BULK_MAX];
	__u8 pos[SPW_TRIE_BULK_MAX];
	__u8 direct[SPW_TRIE_BULK_MAX + 1], others[SPW_TRIE_BULK_MAX + 1]; /* who waits for one */
	__u32 others_cnt;
};

/* Up to the lists: the roots, and the direct tables among them. */
static __always_inline void spw_trie_bulk_tops(const struct spw_trie *trie,
					       struct spw_trie_bulk *bulk, const __u32 *roots,
					       const struct spw_trie_key *keys, __u32 *leaves,
					       __u32 cnt, __u32 levels)
{
	__u32 direct_cnt = 0, others_cnt = 0;

	for (__u32 i = 0; i < cnt; i++) {
		__u32 pos = 0;
		__u32 ref = roots[i], shape = SPW_TRIE_SHAPE(ref);
		__u32 word = SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS;
		leaves[i] = 0;
		bulk->ref[i] = ref;
		bulk->list[i] = 0;
		/* Which tables a burst asks does vary little: branches. */
		if (shape == SPW_TRIE_DIRECT) {
			word = spw_trie_slot(trie, ref, keys[i], levels, &pos);
			bulk->slot[i] = word;
			bulk->direct[direct_cnt++] = (__u8)i;
		} else if (shape == SPW_TRIE_LIST) {
			bulk->list[i] = word;
		} else {
			bulk->others[others_cnt] = (__u8)i;
			others_cnt += shape != 0;
		}
		bulk->pos[i] = (__u8)pos;
		__builtin_prefetch(spw_trie_at(trie, word));
	}
	for (__u32 k = 0; k < direct_cnt; k++) {
		__u32 i = bulk->direct[k];
		__u64 slot = 0;
		if (!spw_trie_word(trie, bulk->slot[i], &slot))
			continue;
		__u32 ref = (__u32)(slot >> 32), shape = SPW_TRIE_SHAPE(ref);
		__u32 word = SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS;
		__u32 is_list = shape == SPW_TRIE_LIST;
		leaves[i] = (__u32)slot;
		bulk->ref[i] = ref;
		bulk->list[i] = word & -is_list;
		bulk->others[others_cnt] = (__u8)i;
		others_cnt += (shape != 0) & !is_list;
		spw_trie_fetch(trie, ref);
	}
	bulk->others_cnt = others_cnt;
}

static __always_inline void spw_trie_bulk_lists(const struct spw_trie *trie,
						const struct spw_trie_bulk *bulk,
						const struct spw_trie_key *keys, __u32 *leaves,
						__u32 cnt, __u32 levels)
{
	for (__u32 i = 0; i < cnt; i++) {
		__u32 mask = spw_trie_mask(trie, bulk->list[i], keys[i], levels);
		__u32 leaf = spw_trie_leaf(trie, bulk->list[i], mask, levels);
		leaves[i] = spw_trie_longer(leaf, leaves[i]);
	}
}

#define SPW_TRIE_AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))

/* The same for IPv4, a unit's codes at once. */
SPW_TRIE_AVX2 static __always_inline void spw_trie_bulk_lists_avx2(const struct spw_trie *trie,
								   const struct spw_trie_bulk *bulk,
								   const struct spw_trie_key *keys,
								   __u32 *leaves, __u32 cnt)
{
	const __m256i ones = _mm256_set1_epi32(-1), none = _mm256_setzero_si256();
	__u32 words_max = trie->units_max * SPW_TRIE_UNIT_WORDS;

	for (__u32 i = 0; i < cnt; i++) {
		__u32 word = bulk->list[i] < words_max ? bulk->list[i] : 0;
		const __u32 *unit = (const __u32 *)spw_trie_at(trie, word);
		__m256i addr = _mm256_set1_epi32((int)(keys[i].hi >> 32));
		__m256i codes = _mm256_load_si256((const __m256i *)unit);
		__m256i behind = _mm256_xor_si256(codes, _mm256_add_epi32(codes, ones));
		__m256i differs = _mm256_andnot_si256(behind, _mm256_xor_si256(codes, addr));
		__u32 mask = (__u32)_mm256_movemask_ps(
			_mm256_castsi256_ps(_mm256_cmpeq_epi32(differs, none)));
		__u32 hosts = unit[SPW_TRIE_LIST4] & 0x7f;
		if (hosts) {
			__u32 same = (__u32)_mm256_movemask_ps(
				_mm256_castsi256_ps(_mm256_cmpeq_epi32(codes, addr)));
			mask = (mask & ~hosts) | (same & hosts);
		}
		/* Behind the last code is the header, behind the last leaf a 0. */
		__u32 first = spw_trie_low_bit(mask | 1u << SPW_TRIE_LIST4);
		leaves[i] = spw_trie_longer(unit[SPW_TRIE_LIST4 + 1 + first], leaves[i]);
	}
}

/* What goes on through nodes, guards and longer lists. */
static __always_inline void spw_trie_bulk_others(const struct spw_trie *trie,
						 struct spw_trie_bulk *bulk,
						 const struct spw_trie_key *keys, __u32 *leaves,
						 __u32 levels)
{
	__u32 cnt = bulk->others_cnt;

	for (__u32 level = 0; level < levels && cnt; level++) {
		__u32 again = 0;
		for (__u32 k = 0; k < cnt; k++) {
			__u32 i = bulk->others[k];
			struct spw_trie_way way = {bulk->ref[i], bulk->pos[i], leaves[i]};
			spw_trie_step(trie, keys[i], levels, &way);
			leaves[i] = way.best;
			bulk->pos[i] = (__u8)way.pos;
			bulk->ref[i] = way.ref;
			spw_trie_fetch(trie, way.ref);
			bulk->others[again] = (__u8)i;
			again += way.ref != 0;
		}
		cnt = again;
	}
}

SPW_TRIE_AVX2 static __attribute__((noinline, unused)) void
spw_trie_bulk4_avx2(const struct spw_trie *trie, const __u32 *roots,
		    const struct spw_trie_key *keys, __u32 *leaves, __u32 cnt)
{
	const struct spw_trie copy = *trie; /* as in spw_trie_lookup_rest4 */
	struct spw_trie_bulk bulk;

	spw_trie_bulk_tops(&copy, &bulk, roots, keys, leaves, cnt, SPW_TRIE_LEVELS4);
	spw_trie_bulk_lists_avx2(&copy, &bulk, keys, leaves, cnt);
	spw_trie_bulk_others(&copy, &bulk, keys, leaves, SPW_TRIE_LEVELS4);
}

static __attribute__((noinline, unused)) void spw_trie_bulk4(const struct spw_trie *trie,
							     const __u32 *roots,
							     const struct spw_trie_key *keys,
							     __u32 *leaves, __u32 cnt)
{
	const struct spw_trie copy = *trie; /* as in spw_trie_lookup_rest4 */
	struct spw_trie_bulk bulk;

	spw_trie_bulk_tops(&copy, &bulk, roots, keys, leaves, cnt, SPW_TRIE_LEVELS4);
	spw_trie_bulk_lists(&copy, &bulk, keys, leaves, cnt, SPW_TRIE_LEVELS4);
	spw_trie_bulk_others(&copy, &bulk, keys, leaves, SPW_TRIE_LEVELS4);
}

static __attribute__((noinline, unused)) void spw_trie_bulk6(const struct spw_trie *trie,
							     const __u32 *roots,
							     const struct spw_trie_key *keys,
							     __u32 *leaves, __u32 cnt)
{
	const struct spw_trie copy = *trie; /* as in spw_trie_lookup_rest4 */
	struct spw_trie_bulk bulk;

	spw_trie_bulk_tops(&copy, &bulk, roots, keys, leaves, cnt, SPW_TRIE_LEVELS6);
	spw_trie_bulk_lists(&copy, &bulk, keys, leaves, cnt, SPW_TRIE_LEVELS6);
	spw_trie_bulk_others(&copy, &bulk, keys, leaves, SPW_TRIE_LEVELS6);
}

/*
 * spw_trie_lookup_bulk does cnt (0..SPW_TRIE_BULK_MAX) lookups, each in a trie of its own, all of
 * one family. roots, keys, levels: as for spw_trie_lookup; leaves: what it returns.
 */
static inline void spw_trie_lookup_bulk(const struct spw_trie *trie, const __u32 *roots,
					const struct spw_trie_key *keys, __u32 *leaves, __u32 cnt,
					__u32 levels)
{
	if (levels != SPW_TRIE_LEVELS4)
		spw_trie_bulk6(trie, roots, keys, leaves, cnt);
	else if (__builtin_cpu_supports("avx2"))
		spw_trie_bulk4_avx2(trie, roots, keys, leaves, cnt);
	else
		spw_trie_bulk4(trie, roots, keys, leaves, cnt);
}

#endif
