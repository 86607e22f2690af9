// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* lookup.bpf.c - one trie lookup as BPF code does it, for test_lookup.c. */
#include "ebpf/walk.h"

__u64 key_hi, key_lo;
__u32 root, family, leaf;

SEC("xdp")
int lookup(struct xdp_md *ctx)
{
	(void)ctx;
	leaf = family == 4 ? spw_lookup4(root, key_hi) : spw_lookup6(root, key_hi, key_lo);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
