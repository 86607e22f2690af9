// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * take_all.bpf.c - gives all that an interface of the load generator receives to the generator.
 *
 * libxdp has such a program of its own, but needs a folder of bpffs to share it among several
 * queues, and leaves it attached when the process is killed. This one is attached by a bpf_link
 * that ends with the process, and libxdp joins it as it joins the node's classifier
 * (ebpf/classifier.bpf.c).
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Tells libxdp which protocol this program follows for its XSK map. */
__uint(xsk_prog_version, 1) SEC("xdp_metadata");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

/* A queue without a socket leaves its packets to the kernel. */
SEC("xdp") int xsk_def_prog(struct xdp_md *ctx)
{
	return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
