/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_read.c - see trie.h: single prefixes and walks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/tables/trie_pool.h"

bool trie_entry_of(const struct spw_prefix *prefix, struct trie_entry *entry)
{
	uint32_t len = prefix->bits;

	if ((prefix->family != 4 || len > 32) && (prefix->family != 6 || len > 128))
		return false;
	/* Both families are left-aligned, and the bytes behind an IPv4 address are 0. */
	*entry = (struct trie_entry){.key = spw_trie_key6(prefix->addr), .bits = prefix->bits};
	return trie_key_order(trie_mask(entry->key, len), entry->key) == 0;
}

/* ---- get ---------------------------------------------------------------------------------- */

static uint32_t list_get(const struct spw_trie_pool *pool, uint32_t *ref, uint32_t *pos,
			 const struct trie_entry *entry, unsigned int family)
{
	struct trie_list list;

	trie_list_read(pool, *ref, family, &list);
	*ref = 0;
	if (list.guarded && trie_inside(entry, list.guard.key, list.guard.bits)) {
		*ref = list.guard.leaf;
		*pos = list.guard.bits;
		return 0;
	}
	for (uint32_t i = 0; i < list.cnt; i++)
		if (list.at[i].bits == entry->bits &&
		    trie_key_order(list.at[i].key, entry->key) == 0)
			return list.at[i].leaf;
	return 0;
}

static uint32_t direct_get(const struct spw_trie_pool *pool, uint32_t ref, uint32_t *pos,
			   const struct trie_entry *entry, unsigned int family)
{
	uint32_t end = trie_direct_at(pool, ref).pos + trie_direct_bits(pool, ref);

	if (!trie_direct_holds(pool, ref, entry))
		return trie_direct_next(pool, ref, trie_direct_outside(pool, ref));
	*pos = entry->bits <= end ? 0 : end;
	return entry->bits <= end
		       ? trie_direct_own(pool, ref)
		       : trie_direct_next(pool, ref, trie_direct_slot(pool, ref, entry, family));
}

uint32_t trie_find(const struct spw_trie_pool *pool, uint32_t ref, uint32_t pos,
		   const struct trie_entry *entry, unsigned int family)
{
	uint32_t leaf = 0;

	while (ref) {
		if (trie_is_list(ref)) {
			leaf = list_get(pool, &ref, &pos, entry, family);
		} else if (trie_is_direct(ref)) {
			ref = direct_get(pool, ref, &pos, entry, family);
		} else if (entry->bits == pos) {
			return 0; /* /0, which no node holds */
		} else {
			struct trie_spot spot = trie_spot_of(entry, pos, family);
			leaf = trie_node_get(pool, ref, spot);
			ref = spot.map == TRIE_CHILDREN ? leaf : 0;
			pos += SPW_TRIE_NODE_BITS;
		}
	}
	return leaf;
}

uint32_t spw_trie_get(const struct spw_trie_pool *pool, uint32_t root,
		      const struct spw_prefix *prefix)
{
	struct trie_entry entry;

	return trie_entry_of(prefix, &entry) ? trie_find(pool, root, 0, &entry, prefix->family) : 0;
}

/* ---- walk --------------------------------------------------------------------------------- */

int spw_trie_walk(const struct spw_trie_pool *pool, uint32_t root, unsigned int family,
		  spw_trie_walk_fn fn, void *arg)
{
	struct trie_entries entries = {0};
	int result = trie_collect(pool, root, (struct trie_at){0}, family, &entries);

	for (uint32_t i = 0; i < entries.cnt && result == 0; i++) {
		const struct trie_entry *entry = &entries.at[i];
		struct spw_prefix prefix = {.family = (uint8_t)family, .bits = entry->bits};
		uint64_t words[2] = {__builtin_bswap64(entry->key.hi),
				     __builtin_bswap64(entry->key.lo)};
		memcpy(prefix.addr, words, sizeof(prefix.addr));
		result = fn(&prefix, entry->leaf, arg);
	}
	free(entries.at);
	return result;
}
