/* SPDX-License-Identifier: BSD-2-Clause */
/* lookup.c - see lookup.h. */
#include "dataplane/stages/lookup.h"
#include "ebpf/trie_bulk.h"

/* From so many slots on, 128 KiB, a table leaves the caches that answer at once. With 4,096 of them
 * both ways take the same time (encap over 4,096 tunnels, in turns); below, a lookup alone needs
 * half of the instructions; with a million routes many at once are five times as fast. */
#define FAR_SLOTS 16384u

__u32 spw_lookup_any(const struct spw_trie *trie, __u32 root, uint32_t family,
		     const uint8_t *address)
{
	if (family == 4)
		return spw_trie_lookup(trie, root, spw_trie_key4(spw_get_be32(address)),
				       SPW_TRIE_LEVELS4);
	return spw_trie_lookup(trie, root, spw_trie_key6(address), SPW_TRIE_LEVELS6);
}

bool spw_lookup_is_far(const struct spw_trie *trie, __u32 root)
{
	const struct spw_trie_unit *head = spw_trie_unit(trie, SPW_TRIE_INDEX(root));

	return head && SPW_TRIE_SHAPE(root) == SPW_TRIE_DIRECT &&
	       SPW_TRIE_FORM_SLOTS(head->word[SPW_TRIE_FORM_WORD]) >= FAR_SLOTS;
}

void spw_lookups_add(struct spw_lookups *lookups, __u32 root, uint32_t family,
		     const uint8_t *address, uint32_t place)
{
	uint32_t k = lookups->cnt++;

	lookups->place[k] = (uint8_t)place;
	lookups->root[k] = root;
	lookups->key[k] =
		family == 4 ? spw_trie_key4(spw_get_be32(address)) : spw_trie_key6(address);
}

void spw_lookups_run(const struct spw_trie *trie, const struct spw_lookups *lookups,
		     uint32_t family, __u32 leaf[SPW_BURST_MAX])
{
	__u32 found[SPW_BURST_MAX];

	spw_trie_lookup_bulk(trie, lookups->root, lookups->key, found, lookups->cnt,
			     family == 4 ? SPW_TRIE_LEVELS4 : SPW_TRIE_LEVELS6);
	for (uint32_t k = 0; k < lookups->cnt; k++)
		leaf[lookups->place[k]] = found[k];
}
