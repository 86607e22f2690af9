/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * trie.h - longest-prefix lookup in the shared tables, for BPF and native code.
 *
 * A trie is made of blocks of four shapes (tables.h, "routes"), each for what it is best at: a
 * direct table turns up to 20 bits of the key, behind others that most of its prefixes share, into
 * one load; a list compares up to 14 prefixes without a branch, and costs one or two cache lines; a
 * node is a bitmap of 6 bits, for prefixes that crowd where memory is short; a guard skips bits
 * that all the prefixes below it share. Control chooses the shapes by number and lengths
 * (control/daemon/tables/trie.h, the only writer).
 *
 * Nothing is pushed into lists and nodes, and a direct table's slot keeps the leaf of the shorter
 * prefixes apart from what lies below: the longest match is the last leaf seen on the way down.
 *
 * Keys are 128 bits in two host-order words, left-aligned; an IPv4 address stands in the top 32.
 *
 * The reader brings its tables: native code a struct spw_trie, BPF the map route_units declared
 * before this header is included. Thread-safe for any number of readers that hold an epoch
 * (workers) or run inside the kernel's RCU (XDP). Every index out of a table is bounds-checked.
 */
#ifndef SPW_TRIE_H
#define SPW_TRIE_H

#include "tables.h"

/* The most blocks on a way: each but the last takes 6 bits of the key at least, but for four: the
 * slots outside of up to three direct tables, and a guard for the prefix of length 0. They also
 * tell the families apart. */
#define SPW_TRIE_LEVELS4 10u
#define SPW_TRIE_LEVELS6 26u

struct spw_trie_key {
	__u64 hi, lo;
};

#ifdef __bpf__

struct spw_trie; /* BPF has the map in scope; the argument is NULL */

/* A unit, NULL: there is none. */
static __always_inline const struct spw_trie_unit *spw_trie_unit(const struct spw_trie *trie,
								 __u32 index)
{
	(void)trie;
	return bpf_map_lookup_elem(&route_units, &index);
}

/* Word `index` of the table, in words of 8 bytes, into *word. False: there is none. */
static __always_inline int spw_trie_word(const struct spw_trie *trie, __u32 index, __u64 *word)
{
	const struct spw_trie_unit *found = spw_trie_unit(trie, index / SPW_TRIE_UNIT_WORDS);
	if (!found)
		return 0;
	*word = *(const volatile __u64 *)&found->word[index % SPW_TRIE_UNIT_WORDS];
	return 1;
}

#else

#include <emmintrin.h> /* SSE2, which every x86-64 has */
#include <stddef.h>
#include <sys/cdefs.h> /* __always_inline */

struct spw_trie {
	const struct spw_trie_unit *units;
	__u32 units_max; /* entries in units */
};

static __always_inline const struct spw_trie_unit *spw_trie_unit(const struct spw_trie *trie,
								 __u32 index)
{
	return index < trie->units_max ? trie->units + index : NULL;
}

/* A word of the whole table, which may lie outside it. */
static __always_inline const __u64 *spw_trie_at(const struct spw_trie *trie, __u32 word)
{
	return &trie->units->word[0] + word;
}

static __always_inline int spw_trie_word(const struct spw_trie *trie, __u32 index, __u64 *word)
{
	if (index / SPW_TRIE_UNIT_WORDS >= trie->units_max)
		return 0;
	/* Pairs with control's release store of a slot; free on x86-64. */
	*word = __atomic_load_n(spw_trie_at(trie, index), __ATOMIC_ACQUIRE);
	return 1;
}

#endif

static __always_inline struct spw_trie_key spw_trie_key4(__u32 addr)
{
	return (struct spw_trie_key){.hi = (__u64)addr << 32};
}

static __always_inline struct spw_trie_key spw_trie_key6(const __u8 addr[16])
{
	struct spw_trie_key key;
	__builtin_memcpy(&key, addr, sizeof(key));
	key.hi = __builtin_bswap64(key.hi); /* both targets (x86-64, bpfel) are little-endian */
	key.lo = __builtin_bswap64(key.lo);
	return key;
}

/* `cnt` (1..20) bits of the key from bit `pos` (0: the first) on; zeros behind its end. */
static __always_inline __u32 spw_trie_bits(struct spw_trie_key key, __u32 pos, __u32 cnt,
					   __u32 levels)
{
	__u64 word = key.hi << (pos & 63);

	if (levels != SPW_TRIE_LEVELS4)
		word = pos < 64 ? word | key.lo >> 1 >> (63 - (pos & 63)) : key.lo << (pos & 63);
	return (__u32)(word >> ((64 - cnt) & 63));
}

static __always_inline __u32 spw_trie_ones(__u64 word)
{
	return (__u32)__builtin_popcountll(word);
}

/* The lowest bit that is set; the word is not 0. */
static __always_inline __u32 spw_trie_low_bit(__u64 word)
{
#ifdef __bpf__
	return spw_trie_ones((word & -word) - 1); /* has no instruction, nor code, to count zeros */
#else
	return (__u32)__builtin_ctzll(word);
#endif
}

/* ---- lists and guards --------------------------------------------------------------------- */

/* The 32-bit number `index` from word `word` on. */
static __always_inline __u32 spw_trie_number(const struct spw_trie *trie, __u32 word, __u32 index)
{
	__u64 pair = 0;

	if (!spw_trie_word(trie, word + index / 2, &pair))
		return 0;
	return (__u32)(pair >> (index % 2 * 32));
}

#ifdef __bpf__

/* Bit i: code i of the unit covers the key. */
static __always_inline __u32 spw_trie_mask4(const struct spw_trie *trie, __u32 word,
					    struct spw_trie_key key)
{
	__u32 addr = (__u32)(key.hi >> 32), mask = 0;
	__u32 hosts = spw_trie_number(trie, word, SPW_TRIE_LIST4);

	for (__u32 i = 0; i < SPW_TRIE_LIST4; i++) {
		__u32 code = spw_trie_number(trie, word, i);
		__u32 behind = hosts >> i & 1 ? 0 : code ^ (code - 1);
		mask |= (((addr ^ code) & ~behind) == 0) << i;
	}
	return mask;
}

#else

/* Four codes at once: all ones where one covers the address. */
static __always_inline __m128i spw_trie_covers4(__m128i codes, __m128i addr)
{
	__m128i behind = _mm_xor_si128(codes, _mm_add_epi32(codes, _mm_set1_epi32(-1)));

	return _mm_cmpeq_epi32(_mm_andnot_si128(behind, _mm_xor_si128(codes, addr)),
			       _mm_setzero_si128());
}

static __always_inline __u32 spw_trie_mask8(__m128i low, __m128i high)
{
	__m128i both = _mm_packs_epi32(low, high);

	return (__u32)_mm_movemask_epi8(_mm_packs_epi16(both, both));
}

/* Bit i: code i of the unit covers the key. Bit 7, the header's, means nothing. */
static __always_inline __u32 spw_trie_mask4(const struct spw_trie *trie, __u32 word,
					    struct spw_trie_key key)
{
	if (word / SPW_TRIE_UNIT_WORDS >= trie->units_max)
		return 0;
	const __m128i *codes = (const __m128i *)spw_trie_at(trie, word);
	__m128i addr = _mm_set1_epi32((int)(key.hi >> 32));
	__u32 mask =
		spw_trie_mask8(spw_trie_covers4(codes[0], addr), spw_trie_covers4(codes[1], addr));
	__u32 hosts = ((const __u32 *)codes)[SPW_TRIE_LIST4] & 0x7f;

	if (hosts) {
		__u32 same = spw_trie_mask8(_mm_cmpeq_epi32(codes[0], addr),
					    _mm_cmpeq_epi32(codes[1], addr));
		mask = (mask & ~hosts) | (same & hosts);
	}
	return mask;
}

#endif

/* The same of a unit of IPv6. */
static __always_inline __u32 spw_trie_mask6(const struct spw_trie *trie, __u32 word,
					    struct spw_trie_key key)
{
	__u32 hosts = spw_trie_number(trie, word, 0), mask = 0;

#pragma GCC unroll 3
	for (__u32 i = 0; i < SPW_TRIE_LIST6; i++) {
		__u64 hi = 0, lo = 0;
		if (!spw_trie_word(trie, word + 2 + 2 * i, &hi) ||
		    !spw_trie_word(trie, word + 3 + 2 * i, &lo))
			return 0;
		__u64 host = (__u64)(hosts >> i & 1) - 1; /* 0 for a host */
		__u64 hi_behind = host & (hi ^ (hi - (lo == 0))),
		      lo_behind = host & (lo ^ (lo - 1));
		mask |= (__u32)((((key.hi ^ hi) & ~hi_behind) | ((key.lo ^ lo) & ~lo_behind)) == 0)
			<< i;
	}
	return mask;
}

static __always_inline __u32 spw_trie_mask(const struct spw_trie *trie, __u32 word,
					   struct spw_trie_key key, __u32 levels)
{
	return levels == SPW_TRIE_LEVELS4 ? spw_trie_mask4(trie, word, key)
					  : spw_trie_mask6(trie, word, key);
}

/* The leaf of the first code in the mask, the longest; mask 0: 0. */
static __always_inline __u32 spw_trie_leaf(const struct spw_trie *trie, __u32 word, __u32 mask,
					   __u32 levels)
{
	if (levels == SPW_TRIE_LEVELS4)
		return spw_trie_number(trie, word,
				       SPW_TRIE_LIST4 + 1 +
					       spw_trie_low_bit(mask | 1u << SPW_TRIE_LIST4));
	return mask ? spw_trie_number(trie, word, 1 + spw_trie_low_bit(mask)) : 0;
}

#ifndef __bpf__
/* Whether a list of IPv4 holds one code only, as most allow sets and guards do: then it is compared
 * by itself, with 20 instructions where a unit takes 60. *leaf: 0 where it does not cover the key.
 */
static __always_inline int spw_trie_single4(const struct spw_trie *trie, __u32 word,
					    struct spw_trie_key key, __u32 *leaf)
{
	const __u32 *number = (const __u32 *)spw_trie_at(trie, word);

	if (word / SPW_TRIE_UNIT_WORDS >= trie->units_max ||
	    SPW_TRIE_ENTRIES(number[SPW_TRIE_LIST4]) != 1)
		return 0;
	__u32 behind = number[SPW_TRIE_LIST4] & 1 ? 0 : number[0] ^ (number[0] - 1);
	__u32 differs = ((__u32)(key.hi >> 32) ^ number[0]) & ~behind;
	*leaf = differs ? 0 : number[SPW_TRIE_LIST4 + 1];
	return 1;
}

/* spw_trie_lookup in a list of one unit (shape SPW_TRIE_LIST) of IPv4. */
static __always_inline __u32 spw_trie_lookup_unit4(const struct spw_trie *trie, __u32 root,
						   struct spw_trie_key key)
{
	__u32 word = SPW_TRIE_INDEX(root) * SPW_TRIE_UNIT_WORDS, leaf;

	if (spw_trie_single4(trie, word, key, &leaf))
		return leaf;
	return spw_trie_leaf(trie, word, spw_trie_mask4(trie, word, key), SPW_TRIE_LEVELS4);
}
#endif

/* The longer of two matches: the later one, if it is one. Without a branch: see spw_trie_queue. */
static __always_inline __u32 spw_trie_longer(__u32 later, __u32 before)
{
	return later | (before & -(__u32)(later == 0));
}

/* What a block says about a key, as the slot of a direct table has it: below, the leaf of the
 * longest of its prefixes that covers the key (0: none), above, the ref of the block that is next.
 */
static __always_inline __u64 spw_trie_list(const struct spw_trie *trie, __u32 ref,
					   struct spw_trie_key key, __u32 levels)
{
	__u32 word = SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS;
#ifndef __bpf__
	__u32 single;

	if (levels == SPW_TRIE_LEVELS4 && spw_trie_single4(trie, word, key, &single))
		return (__u64)single << (SPW_TRIE_SHAPE(ref) >= SPW_TRIE_GUARD ? 32 : 0);
#endif
	__u32 mask = spw_trie_mask(trie, word, key, levels);
	__u64 below = 0;

	if (SPW_TRIE_SHAPE(ref) >= SPW_TRIE_GUARD) {
		if (mask & 1)
			below = (__u64)spw_trie_leaf(trie, word, 1, levels) << 32;
		mask &= ~1u;
	}
	__u32 leaf = spw_trie_leaf(trie, word, mask, levels);
	for (__u32 unit = 1; unit < (levels == SPW_TRIE_LEVELS4 ? 2 : 4); unit++) {
		if (leaf || unit >= 1u << (SPW_TRIE_SHAPE(ref) & 3))
			break;
		word += SPW_TRIE_UNIT_WORDS;
		leaf = spw_trie_leaf(trie, word, spw_trie_mask(trie, word, key, levels), levels);
	}
	return below | leaf;
}

/* ---- nodes and direct tables -------------------------------------------------------------- */

/* The bits of a node's `shorter` that cover a chunk: its first 1 to 5 bits. */
static __always_inline __u64 spw_trie_covering(__u32 chunk)
{
	return 1ull << (2 | chunk >> 5) | 1ull << (4 | chunk >> 4) | 1ull << (8 | chunk >> 3) |
	       1ull << (16 | chunk >> 2) | 1ull << (32 | chunk >> 1);
}

/* The bits of a word below the highest one that is set; the word is not 0. */
static __always_inline __u64 spw_trie_below_top(__u64 word)
{
#ifdef __bpf__
	word |= word >> 1;
	word |= word >> 2;
	word |= word >> 4;
	word |= word >> 8;
	word |= word >> 16;
	word |= word >> 32;
	return word >> 1;
#else
	return (1ull << (63 - __builtin_clzll(word))) - 1;
#endif
}

/* chunk: the 6 bits of the key that the node is about. */
static __always_inline __u64 spw_trie_node(const struct spw_trie *trie, __u32 ref, __u32 chunk)
{
	__u32 word = SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS, leaf = 0, next = 0;
	__u64 children = 0, exact = 0, shorter = 0, bit = 1ull << (chunk & 63);

	if (!spw_trie_word(trie, word, &children) || !spw_trie_word(trie, word + 1, &exact) ||
	    !spw_trie_word(trie, word + 2, &shorter))
		return 0;
	/* No branch, for nobody can predict these: a value that is not there is read all the same,
	 * and left out. */
	__u64 match = shorter & spw_trie_covering(chunk & 63);
	__u32 is_exact = (__u32)(exact >> (chunk & 63)) & 1, is_child = (children & bit) != 0;
	__u32 place = spw_trie_ones(exact & (bit - 1));
	__u32 place_shorter =
		spw_trie_ones(exact) + spw_trie_ones(shorter & spw_trie_below_top(match | 1));
	place = is_exact ? place : place_shorter;
	leaf = spw_trie_number(trie, word + SPW_TRIE_NODE_WORDS, spw_trie_ones(children) + place) &
	       -(is_exact | (match != 0));
	next = spw_trie_number(trie, word + SPW_TRIE_NODE_WORDS,
			       spw_trie_ones(children & (bit - 1))) &
	       -is_child;
	return (__u64)next << 32 | leaf;
}

/* The word of a direct table's slot for a key; *pos grows if the key has one of its own there. Of a
 * table that is none: 0, a word that says nothing. */
static __always_inline __u32 spw_trie_slot(const struct spw_trie *trie, __u32 ref,
					   struct spw_trie_key key, __u32 levels, __u32 *pos)
{
	const struct spw_trie_unit *head = spw_trie_unit(trie, SPW_TRIE_INDEX(ref));

	if (!head)
		return 0;
	__u64 form = head->word[SPW_TRIE_FORM_WORD];
	__u64 slot = key.hi ^ head->word[SPW_TRIE_BASE_WORD];
	if (levels != SPW_TRIE_LEVELS4 && SPW_TRIE_FORM_LOW(form))
		slot = slot ? ~0ull
			    : (key.lo ^ head->word[SPW_TRIE_BASE_WORD + 1]) >>
				       SPW_TRIE_FORM_SHIFT(form);
	else
		slot >>= SPW_TRIE_FORM_SHIFT(form);
	int inside = slot < SPW_TRIE_FORM_SLOTS(form);
	*pos = inside ? SPW_TRIE_FORM_END(form) & 0xff : *pos;
	return SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS +
	       (inside ? SPW_TRIE_UNIT_WORDS + (__u32)slot : SPW_TRIE_OUTSIDE_WORD);
}

/* ---- lookups ------------------------------------------------------------------------------ */

#ifdef __bpf__
/* Neither inlined nor static: the verifier judges a global function once, not in every state of its
 * callers. */
__noinline __u64 spw_trie_list4_call(__u32 ref, __u64 hi)
{
	return spw_trie_list(NULL, ref, (struct spw_trie_key){.hi = hi}, SPW_TRIE_LEVELS4);
}

__noinline __u64 spw_trie_list6_call(__u32 ref, __u64 hi, __u64 lo)
{
	return spw_trie_list(NULL, ref, (struct spw_trie_key){hi, lo}, SPW_TRIE_LEVELS6);
}

__noinline __u64 spw_trie_node_call(__u32 ref, __u32 chunk)
{
	return spw_trie_node(NULL, ref, chunk);
}

#define spw_trie_list(trie, ref, key, levels)                                                      \
	((levels) == SPW_TRIE_LEVELS4 ? spw_trie_list4_call(ref, (key).hi)                         \
				      : spw_trie_list6_call(ref, (key).hi, (key).lo))
#define spw_trie_node(trie, ref, chunk) spw_trie_node_call(ref, chunk)
#endif

/* Where a lookup stands: `ref` is the block that is next, `pos` the bits that lie behind. */
struct spw_trie_way {
	__u32 ref;
	__u32 pos;
	__u32 best; /* leaf of the longest prefix so far */
};

/* The length of a guard's first prefix. */
static __always_inline __u32 spw_trie_guard_bits(const struct spw_trie *trie, __u32 ref,
						 __u32 levels)
{
	__u32 word = SPW_TRIE_INDEX(ref) * SPW_TRIE_UNIT_WORDS;
	__u64 hi = 0, lo = 0;

	if (levels == SPW_TRIE_LEVELS4)
		return 31 - spw_trie_low_bit(spw_trie_number(trie, word, 0) | 1u << 31);
	if (!spw_trie_word(trie, word + 2, &hi) || !spw_trie_word(trie, word + 3, &lo))
		return 0;
	return lo ? 127 - spw_trie_low_bit(lo) : 63 - spw_trie_low_bit(hi | 1ull << 63);
}

/* Takes what a block says. */
static __always_inline void spw_trie_go_on(struct spw_trie_way *way, __u64 says)
{
	way->best = spw_trie_longer((__u32)says, way->best);
	way->ref = (__u32)(says >> 32);
}

static __always_inline void spw_trie_step_direct(const struct spw_trie *trie,
						 struct spw_trie_key key, __u32 levels,
						 struct spw_trie_way *way)
{
	__u64 says = 0;

	if (!spw_trie_word(trie, spw_trie_slot(trie, way->ref, key, levels, &way->pos), &says))
		says = 0;
	spw_trie_go_on(way, says);
}

static __always_inline void spw_trie_step(const struct spw_trie *trie, struct spw_trie_key key,
					  __u32 levels, struct spw_trie_way *way)
{
	__u32 ref = way->ref, shape = SPW_TRIE_SHAPE(ref);
	__u64 says = 0;

	if (shape >= SPW_TRIE_LIST) {
		says = spw_trie_list(trie, ref, key, levels);
		if (says >> 32) /* only a guard goes on, behind its own length */
			way->pos = spw_trie_guard_bits(trie, ref, levels);
	} else if (shape == SPW_TRIE_NODE) {
		says = spw_trie_node(trie, ref,
				     spw_trie_bits(key, way->pos, SPW_TRIE_NODE_BITS, levels));
		way->pos += SPW_TRIE_NODE_BITS;
	} else {
		spw_trie_step_direct(trie, key, levels, way);
		return;
	}
	spw_trie_go_on(way, says);
}

static __always_inline __u32 spw_trie_lookup_rest(const struct spw_trie *trie,
						  struct spw_trie_key key, __u32 levels,
						  struct spw_trie_way way)
{
	for (__u32 level = 0; level < levels && way.ref; level++)
		spw_trie_step(trie, key, levels, &way);
	return way.best;
}

#ifndef __bpf__
/* Out of line: with all the shapes among them the loops of the callers had no registers left, and a
 * direct table, where most lookups end, cost twice as many instructions. */
static __attribute__((noinline, unused)) __u32
spw_trie_lookup_rest4(const struct spw_trie *trie, struct spw_trie_key key, struct spw_trie_way way)
{
	const struct spw_trie copy = *trie; /* in registers, across loads with acquire order */

	if (SPW_TRIE_SHAPE(way.ref) == SPW_TRIE_LIST) /* what most direct tables lead to */
		return spw_trie_longer(spw_trie_lookup_unit4(&copy, way.ref, key), way.best);
	return spw_trie_lookup_rest(&copy, key, SPW_TRIE_LEVELS4, way);
}

static __attribute__((noinline, unused)) __u32
spw_trie_lookup_rest6(const struct spw_trie *trie, struct spw_trie_key key, struct spw_trie_way way)
{
	const struct spw_trie copy = *trie;

	return spw_trie_lookup_rest(&copy, key, SPW_TRIE_LEVELS6, way);
}

#define spw_trie_lookup_rest(trie, key, levels, way)                                               \
	((levels) == SPW_TRIE_LEVELS4 ? spw_trie_lookup_rest4(trie, key, way)                      \
				      : spw_trie_lookup_rest6(trie, key, way))
#endif

/* Direct tables that follow on one another's outside, and one in a slot. */
#define SPW_TRIE_DIRECT_CHAIN 3u

/*
 * spw_trie_lookup finds the longest prefix of the trie at `root` that covers the key.
 * root: a value of spw_tenant.route_root or an allow or deny root; 0 is the empty trie.
 * levels: SPW_TRIE_LEVELS4 or SPW_TRIE_LEVELS6, a constant at every call.
 * Returns its leaf, 0 where none covers the key.
 */
static __always_inline __u32 spw_trie_lookup(const struct spw_trie *trie, __u32 root,
					     struct spw_trie_key key, __u32 levels)
{
	struct spw_trie_way way = {.ref = root};

	for (__u32 level = 0; level < SPW_TRIE_DIRECT_CHAIN; level++) {
		if (SPW_TRIE_SHAPE(way.ref) != SPW_TRIE_DIRECT)
			break;
		spw_trie_step_direct(trie, key, levels, &way);
	}
	return way.ref ? spw_trie_lookup_rest(trie, key, levels, way) : way.best;
}

#endif
