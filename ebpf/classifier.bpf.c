// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * classifier.bpf.c - the classifier as XDP runs it: classify.h decides, this file is what it stands
 * on in the kernel, and its way out.
 *
 * One instance per interface, attached by control (control/daemon/net/attach.c). The dataplane's
 * libxdp joins it because of its name, of `xsk_prog_version` and of `xsks_map`, and cannot detach
 * it.
 *
 * Needs Linux 6.1.
 */
#include "maps.h"

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "walk.h"

/* Tells libxdp which protocol this program follows for its XSK map. */
__uint(xsk_prog_version, 1) SEC("xdp_metadata");

/* Set by control before the program is loaded. */
const volatile __u32 port_id;
/* XDP_TX does not work here, but XDP_REDIRECT to the same interface does. */
const volatile bool tx_broken;

struct spw_frame {
	__u8 *data, *end;
	__u32 port_in, port_out;
	struct xdp_md *ctx;
};

static __always_inline __u32 spw_frame_leaf(const struct spw_frame *frame, __u32 root, __u32 family,
					    struct spw_trie_key key)
{
	(void)frame;
	return family == 4 ? spw_lookup4(root, key.hi) : spw_lookup6(root, key.hi, key.lo);
}

static __always_inline __u64 spw_frame_now_ns(const struct spw_frame *frame)
{
	(void)frame;
	return bpf_ktime_get_ns();
}

static __always_inline __u64 spw_frame_tick_ns(const struct spw_frame *frame)
{
	(void)frame;
	return bpf_ktime_get_coarse_ns();
}

static __always_inline bool transmits_here(const struct spw_frame *frame, __u32 port)
{
	return port == frame->port_in && !tx_broken;
}

/* Whether an XSK is bound to the receive queue. The kernel notes it for XDP_REDIRECT; so it does
 * for the port of spw_frame_reaches; what was asked last counts. */
static __always_inline bool spw_frame_steer(const struct spw_frame *frame)
{
	return bpf_redirect_map(&xsks_map, frame->ctx->rx_queue_index, XDP_DROP) == XDP_REDIRECT;
}

static __always_inline bool spw_frame_reaches(const struct spw_frame *frame, __u32 port)
{
	return transmits_here(frame, port) || bpf_redirect_map(&tx_ports, port, 0) == XDP_REDIRECT;
}

static __always_inline bool spw_frame_defers(const struct spw_frame *frame)
{
	return spw_frame_steer(frame);
}

static __always_inline bool spw_frame_grow(struct spw_frame *frame, int bytes)
{
	if (bpf_xdp_adjust_head(frame->ctx, -bytes) != 0)
		return false;
	frame->data = (__u8 *)(long)frame->ctx->data;
	frame->end = (__u8 *)(long)frame->ctx->data_end;
	return true;
}

#include "classify.h"

/* The one way out: whatever was decided, it is counted once, and the counter is the verdict. */
SEC("xdp")
int xsk_def_prog(struct xdp_md *ctx)
{
	struct spw_frame frame = {
		.data = (__u8 *)(long)ctx->data,
		.end = (__u8 *)(long)ctx->data_end,
		.port_in = port_id,
		.ctx = ctx,
	};
	__u32 counter = spw_classify(&frame);
	__u32 index = port_id * SPW_CLASSIFIER_COUNTERS + counter;
	__u64 *count = bpf_map_lookup_elem(&classifier_counters, &index);

	if (count)
		(*count)++;
	switch (counter) {
	case SPW_CLASSIFIED_PASS:
	case SPW_CLASSIFIED_CONTROL:
		return XDP_PASS;
	case SPW_CLASSIFIED_STEER:
		return XDP_REDIRECT;
	case SPW_CLASSIFIED_RELAY:
		return transmits_here(&frame, frame.port_out) ? XDP_TX : XDP_REDIRECT;
	default:
		return XDP_DROP;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
