/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_plan.c - see trie_pool.h: which direct table a set of prefixes deserves.
 *
 * Tried are the table that begins where the set stands, and one behind each run of bits that more
 * than half of the prefixes share. Each is given as many bits as most of its prefixes
 * end within, if these make no more than SLOTS_MAX slots a prefix; else, at the top, so many that
 * its slots hold 2 to 4 prefixes where they are spread evenly. The one whose lookups cost least is
 * taken, as an estimate of the instructions that the prefixes' own destinations take.
 */
#include "control/daemon/tables/trie_pool.h"

/* What a lookup costs that ends in a table's slot; in a list of a unit behind it; in more; and what
 * it costs more that goes on outside of a table. In units of some 10 instructions. */
#define COST_SLOT 2u
#define COST_UNIT 5u
#define COST_MORE 10u
#define COST_OUTSIDE 3u

#define SLOTS_MAX 8u

/* A table in another one's slot is copied with every change: 2 KiB. */
#define BELOW_BITS_MAX 8u
#define TOP_BITS_MAX 18u /* 2 MiB */

/* With so many prefixes a table takes no more memory than lists and nodes do. */
#define COMPACT_CNT_MIN 48u

/* Tables that take more memory than lists and nodes do are made while three quarters of the pool
 * are free: what is left holds as many prefixes as the pool is made for. */
static bool is_rich(const struct spw_trie_pool *pool)
{
	return pool->blocks.free >= pool->blocks.max - pool->blocks.max / 4;
}

static uint32_t unit_entries(unsigned int family)
{
	return family == 4 ? SPW_TRIE_LIST4 : SPW_TRIE_LIST6;
}

bool trie_plan_wanted(const struct spw_trie_pool *pool, uint32_t cnt, unsigned int family,
		      enum trie_place place)
{
	if (place == TRIE_DEEP)
		return false;
	if (place == TRIE_BELOW)
		return cnt > trie_list_max(family) && is_rich(pool);
	return cnt >= COMPACT_CNT_MIN || (cnt > unit_entries(family) && is_rich(pool));
}

uint32_t trie_plan_scale(uint32_t cnt)
{
	/* Each scale is twice as many, but from 2^14 on, where a table that is made anew costs
	 * milliseconds and memory, 8 times. */
	if (cnt >= 1u << 14)
		return cnt < 1u << 17 ? 15 : 18;
	return cnt ? 32 - (uint32_t)__builtin_clz(cnt) : 0;
}

/* Steps of 8 times as many, from half a prefix to a slot to 4: what follows the slots of a table of
 * 10,000 prefixes stays within the second cache. */
static uint32_t compact_bits(uint32_t cnt)
{
	uint32_t bits = 6;

	while (bits < TOP_BITS_MAX && cnt >= 1u << (bits + 2))
		bits += 3;
	return bits;
}

/* One table that is tried. */
struct trial {
	const struct trie_entry *at; /* what is inside */
	uint32_t cnt, others;        /* and how many are outside */
	uint32_t pos, skip, bits;    /* bits 0: it does not do */
};

/* The bits behind those skipped, at most `most`, that all but a sixteenth of what is inside end
 * within, or an eighth, or a quarter; 0: these are too many. */
static uint32_t ending_bits(const struct trial *trial, uint32_t most)
{
	uint32_t ends[129] = {0}, bits = trial->skip, longer = trial->cnt;

	for (uint32_t i = 0; i < trial->cnt; i++)
		ends[trial->at[i].bits]++;
	longer -= ends[bits];
	while (longer > trial->cnt / 4 || (longer > trial->cnt / 16 && bits < trial->skip + most))
		longer -= ends[++bits];
	bits -= trial->skip;
	return bits > most ? 0 : bits < SPW_TRIE_DIRECT_BITS_MIN ? SPW_TRIE_DIRECT_BITS_MIN : bits;
}

static void give_bits(const struct spw_trie_pool *pool, struct trial *trial, unsigned int family,
		      enum trie_place place)
{
	uint32_t most = place == TRIE_BELOW ? BELOW_BITS_MAX : TOP_BITS_MAX;
	uint32_t width = trie_width(family), bits;

	while (1u << most > SLOTS_MAX * trial->cnt && most > SPW_TRIE_DIRECT_BITS_MIN)
		most--;
	bits = is_rich(pool) ? ending_bits(trial, most) : 0;
	/* Where the slots lead on anyway, what is outside would only have farther to go. */
	if (bits == 0 && place != TRIE_BELOW && trial->others <= trial->cnt / 16)
		bits = compact_bits(trial->cnt);
	if (bits > width - trial->skip)
		bits = width - trial->skip;
	/* They lie in one half of the key. */
	if (trial->skip < 64 && trial->skip + bits > 64)
		bits = 64 - trial->skip;
	trial->bits = bits < SPW_TRIE_DIRECT_BITS_MIN ? 0 : bits;
}

static uint64_t inside_cost(const struct trial *trial, unsigned int family)
{
	uint32_t end = trial->skip + trial->bits;
	uint64_t cost = 0;

	for (uint32_t i = 0; i < trial->cnt;) {
		uint32_t n = 1;
		if (trial->at[i].bits > end)
			while (i + n < trial->cnt &&
			       trie_inside(&trial->at[i + n], trial->at[i].key, end))
				n++;
		cost += (uint64_t)n * (trial->at[i].bits <= end    ? COST_SLOT
				       : n <= unit_entries(family) ? COST_UNIT
								   : COST_MORE);
		i += n;
	}
	return cost;
}

/* What the others cost is what they would cost in a table of their own. */
static uint64_t trial_cost(const struct trial *trial, unsigned int family)
{
	return inside_cost(trial, family) + (uint64_t)trial->others * (COST_OUTSIDE + COST_UNIT);
}

void trie_plan(const struct spw_trie_pool *pool, const struct trie_entry *at, uint32_t cnt,
	       uint32_t pos, unsigned int family, enum trie_place place, struct trie_plan *plan)
{
	/* A list of two units costs less than a table whose slots lead on to lists. */
	uint64_t least =
		cnt <= trie_list_max(family) ? (uint64_t)cnt * (COST_UNIT - 1) : UINT64_MAX;
	struct spw_trie_key key = at[cnt / 2].key; /* shares what more than half of them share */

	*plan = (struct trie_plan){0};
	if (!trie_plan_wanted(pool, cnt, family, place))
		return;
	for (uint32_t skip = pos; skip + SPW_TRIE_DIRECT_BITS_MIN <= trie_width(family); skip++) {
		uint32_t first = 0, next_first;
		uint32_t within = skip > pos ? trie_within(at, cnt, key, skip, &first) : cnt;
		if (within <= cnt / 2)
			return;
		/* The last of a run of bits that all of them share, or the first place of all. */
		if (skip > pos && trie_within(at, cnt, key, skip + 1, &next_first) == within)
			continue;
		struct trial trial = {at + first, within, cnt - within, pos, skip, 0};
		give_bits(pool, &trial, family, place);
		uint64_t cost = trial.bits ? trial_cost(&trial, family) : UINT64_MAX;
		if (cost < least) {
			*plan = (struct trie_plan){skip, trial.bits, trie_mask(key, skip)};
			least = cost;
		}
	}
}

uint32_t trie_within(const struct trie_entry *at, uint32_t cnt, struct spw_trie_key key,
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
