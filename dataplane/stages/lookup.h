/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lookup.h - an address in one of the tries, for the stages that ask: inner (sources) and route
 * (destinations).
 *
 * Thread: the burst's worker, which holds an epoch.
 */
#ifndef SPW_LOOKUP_H
#define SPW_LOOKUP_H

#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* Any trie. Out of line: with all the shapes of a trie's blocks among them the loops of the stages
 * had no registers left, and the first step alone cost as many instructions as inner.c's work. */
__u32 spw_lookup_any(const struct spw_trie *trie, __u32 root, uint32_t family,
		     const uint8_t *address) __attribute__((noinline));

/* The leaf for an address of that family, 0: none. address: as it stands in the packet. Small sets,
 * as most allow sets are, are one line, which is compared here. */
static inline __u32 spw_lookup(const struct spw_trie *trie, __u32 root, uint32_t family,
			       const uint8_t *address)
{
	if (spw_likely(family == 4 && SPW_TRIE_SHAPE(root) == SPW_TRIE_LIST))
		return spw_trie_lookup_unit4(trie, root, spw_trie_key4(spw_get_be32(address)));
	return spw_lookup_any(trie, root, family, address);
}

/* Lookups of a burst that are done together: in tables that are too large for the caches a lookup
 * alone waits for each of its lines (ebpf/trie_bulk.h). Of one family. */
struct spw_lookups {
	uint32_t cnt;
	uint8_t place[SPW_BURST_MAX]; /* in the burst */
	__u32 root[SPW_BURST_MAX];
	struct spw_trie_key key[SPW_BURST_MAX];
};

/* Whether a trie's lookups gain from that. */
bool spw_lookup_is_far(const struct spw_trie *trie, __u32 root);

void spw_lookups_add(struct spw_lookups *lookups, __u32 root, uint32_t family,
		     const uint8_t *address, uint32_t place);

/* Writes each one's leaf to its place. */
void spw_lookups_run(const struct spw_trie *trie, const struct spw_lookups *lookups,
		     uint32_t family, __u32 leaf[SPW_BURST_MAX]);

#endif
