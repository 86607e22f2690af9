/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * forward.bpf.c - what stands in front of the sockets while plain forwarding is measured: every
 * UDP packet over IPv4 to the socket of its queue. Attached by `ip link`, and joined by whoever
 * opens the sockets, testpmd as well as the product's ports, so that both get the very same.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* libxdp knows a program for AF_XDP by its name, this map, and the version. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} xsks_map SEC(".maps");

__uint(xsk_prog_version, 1) SEC("xdp_metadata");

SEC("xdp") int xsk_def_prog(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *ether = data;
	const struct iphdr *ip = data + sizeof(*ether);

	if ((void *)(ip + 1) > end || ether->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
