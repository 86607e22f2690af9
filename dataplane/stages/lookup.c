/* SPDX-License-Identifier: BSD-2-Clause */
/* lookup.c - see lookup.h. */
#include "dataplane/stages/lookup.h"

__u32 spw_lookup_any(const struct spw_trie *trie, __u32 root, uint32_t family,
		     const uint8_t *address)
{
	if (family == 4)
		return spw_trie_lookup(trie, root, spw_trie_key4(spw_get_be32(address)),
				       SPW_TRIE_LEVELS4);
	return spw_trie_lookup(trie, root, spw_trie_key6(address), SPW_TRIE_LEVELS6);
}
