// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* lookup.bpf.c - one trie lookup as BPF code does it, for test_lookup.c. */
#include "ebpf/maps.h"
#include "ebpf/trie.h"

__u64 key_hi, key_lo;
__u32 root, family, leaf;

SEC("xdp")
int lookup(struct xdp_md *ctx)
{
	struct spw_trie_key key = {.hi = key_hi, .lo = key_lo};

	(void)ctx;
	leaf = family == 4 ? spw_trie_lookup(NULL, root, key, SPW_TRIE_LEVELS4)
			   : spw_trie_lookup(NULL, root, key, SPW_TRIE_LEVELS6);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
