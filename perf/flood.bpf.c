/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * flood.bpf.c - the kernel's half of flood.c: sends by redirecting, counts what arrives.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "perf/flood.h"

/* Set before the program is loaded. */
const volatile __u32 to_ifindex = 0;
const volatile __u64 gap_q10 = 0; /* between two frames, in 2^-10 ns; 0: none */

/* Where not all frames are the same: how many are prepared, each to be sent once, and how long they
 * are. */
const volatile __u32 frames_cnt = 0;
const volatile __u32 frame_bytes = 0;

/* A generator that had no CPU makes up for it at once, so that the rate is kept, as long as that
 * fits the rings: 4 ms, a slice of the scheduler's, are 800 frames at 200,000 a second. Beyond it
 * goes on from where it is: else how the generator was scheduled would be measured. */
#define SLACK_Q10 (4000000ull << 10)

__u64 sent = 0; /* writer: the one thread that runs flood; reader: flood.c, meanwhile */
static __u64 next_q10;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_count);
} received SEC(".maps");

/* frames[k]: frame k, prepared before the first is sent. Sizes are set before it is made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 64);
} frames SEC(".maps");

/* Run by BPF_PROG_TEST_RUN on frames of its own. One that is not due yet is dropped, so that the
 * kernel comes back with the next. */
SEC("xdp") int flood(struct xdp_md *ctx)
{
	if (frames_cnt && sent >= frames_cnt)
		return XDP_DROP;
	if (gap_q10) {
		__u64 now_q10 = bpf_ktime_get_ns() << 10;
		if ((__s64)(now_q10 - next_q10) < 0)
			return XDP_DROP;
		if (now_q10 - next_q10 > SLACK_Q10)
			next_q10 = now_q10;
		next_q10 += gap_q10;
	}
	if (frames_cnt) {
		__u32 next = sent;
		void *frame = bpf_map_lookup_elem(&frames, &next);
		if (!frame || bpf_xdp_store_bytes(ctx, 0, frame, frame_bytes) < 0)
			return XDP_DROP;
	}
	sent++;
	return bpf_redirect(to_ifindex, 0);
}

/* Takes all of UDP over IPv4; what is left, ARP among it, goes to the kernel. */
SEC("xdp") int sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *ether = data;
	const struct iphdr *ip = data + sizeof(*ether);
	__u32 key = 0;

	if ((void *)(ip + 1) > end || ether->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct flood_count *count = bpf_map_lookup_elem(&received, &key);
	if (!count)
		return XDP_PASS;
	count->packets++;
	count->bytes += end - data;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
