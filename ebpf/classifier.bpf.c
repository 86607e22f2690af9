// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * classifier.bpf.c - what becomes of a packet that an interface of ours receives.
 *
 * One instance per interface, attached by control (control/daemon/net/attach.c). The dataplane's
 * libxdp joins it because of its name, of `xsk_prog_version` and of `xsks_map`, and cannot detach
 * it. It rewrites nothing: packets go to a worker, to the kernel, or nowhere, unchanged.
 *
 * Taken is only what is ours: sent to our MAC, in our VLAN, and then on a `wan` to our address and
 * UDP port, on a `lan` to a destination that the tenant's routes send into a tunnel. Everything
 * else passes to the kernel, whatever it looks like. See docs/architecture.md.
 *
 * Needs Linux 6.1.
 */
#include "maps.h"

#include <linux/udp.h>

#include "drops.h"
#include "limit.h"
#include "parse.h"
#include "trie.h"

/* Tells libxdp which protocol this program follows for its XSK map. */
__uint(xsk_prog_version, 1) SEC("xdp_metadata");

/* Set by control before the program is loaded. */
const volatile __u32 port_id;

/* Neither inlined nor static: the verifier judges a global function once, not in every state of its
 * callers (19,000 steps instead of 275,000, of the million it may take). */
__noinline __u32 lookup4(__u32 root, __u64 hi)
{
	return spw_trie_lookup(NULL, root, (struct spw_trie_key){.hi = hi}, SPW_TRIE_LEVELS4);
}

__noinline __u32 lookup6(__u32 root, __u64 hi, __u64 lo)
{
	return spw_trie_lookup(NULL, root, (struct spw_trie_key){.hi = hi, .lo = lo},
			       SPW_TRIE_LEVELS6);
}

/* The kind of the leaf that covers a key in the pair of tries (IPv4, IPv6) at `roots`. */
static __always_inline enum spw_leaf_kind leaf_kind(const __u32 roots[2], __u32 family,
						    struct spw_trie_key key)
{
	__u32 leaf = family == 4 ? lookup4(roots[0], key.hi) : lookup6(roots[1], key.hi, key.lo);

	return SPW_LEAF_KIND(leaf);
}

/* Whether the packet goes to an address of the node itself. */
static __always_inline bool is_local(const struct spw_port_image *image,
				     const struct spw_packet *packet)
{
	if (packet->family == 4) {
		__u32 dst_be = bpf_htonl(packet->dst.hi >> 32);
		for (__u32 i = 0; i < SPW_PORT_ADDRS_MAX; i++)
			if (i < image->addr4_cnt && image->addr4_be[i] == dst_be)
				return true;
		return false;
	}
	__u64 hi_be = bpf_cpu_to_be64(packet->dst.hi), lo_be = bpf_cpu_to_be64(packet->dst.lo);
	for (__u32 i = 0; i < SPW_PORT_ADDRS_MAX; i++) {
		/* 8-byte aligned in the image; as bytes it would be 16 loads */
		const __u64 *addr = (const __u64 *)image->addr6[i];
		if (i < image->addr6_cnt && addr[0] == hi_be && addr[1] == lo_be)
			return true;
	}
	return false;
}
SPW_STATIC_ASSERT(__builtin_offsetof(struct spw_port_image, addr6) % 8 == 0, "addr6 alignment");

/* Destinations that no router forwards: multicast, limited broadcast, IPv6 link-local. Between a
 * host and its gateway they carry ARP's and DHCP's likes, which a default route must not take. */
static __always_inline bool is_link_scope(const struct spw_packet *packet)
{
	if (packet->family == 4)
		return packet->dst.hi >> 60 == 0xe || packet->dst.hi >> 32 == 0xffffffff;
	return packet->dst.hi >> 56 == 0xff || packet->dst.hi >> 54 == 0xfe80 >> 6;
}

/* To the worker of this receive queue. Where none listens the packet is dropped, and never leaks
 * in clear, unless the port says otherwise. */
static __always_inline __u32 steer(struct xdp_md *ctx, bool pass_when_absent)
{
	if (bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_DROP) == XDP_REDIRECT)
		return SPW_CLASSIFIED_STEER;
	return pass_when_absent ? SPW_CLASSIFIED_PASS : SPW_DROP_WORKER_ABSENT;
}

/* A datagram of at least 4 bytes for our tunnel port, by its first word (RFC 3948 2). */
static __always_inline __u32 classify_spi(struct xdp_md *ctx, const struct spw_meta *knobs,
					  const struct spw_packet *packet, __u32 spi)
{
	__u32 per_source_pps = knobs->control_per_source_pps;
	__u32 slot = SPW_SPI_SLOT(spi);

	if (spi == 0) {
		__u64 now_ns = bpf_ktime_get_ns();
		if (!spw_limit_source(packet->src, packet->family, SPW_LIMIT_CONTROL,
				      per_source_pps, now_ns) ||
		    !spw_limit_total(knobs->control_total_pps, now_ns))
			return SPW_DROP_CONTROL_LIMITED;
		return SPW_CLASSIFIED_CONTROL;
	}
	/* NULL where the slot is beyond the table. One 32-bit load: never half a record. */
	const struct spw_spi *record = bpf_map_lookup_elem(&spis, &slot);
	if (record && *(const volatile __u32 *)&record->spi == spi)
		return steer(ctx, false);
	return spw_limit_source(packet->src, packet->family, SPW_LIMIT_SPI, per_source_pps,
				bpf_ktime_get_ns())
		       ? SPW_DROP_SPI_UNKNOWN
		       : SPW_DROP_SPI_LIMITED;
}

static __always_inline __u32 classify_wan(struct xdp_md *ctx, const struct spw_port_image *image,
					  struct spw_packet *packet)
{
	const void *data = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;
	__u32 zero = 0, frame_bytes = ctx->data_end - ctx->data;

	if (!is_local(image, packet))
		return SPW_CLASSIFIED_PASS;
	if (packet->family == 6)
		spw_parse_extensions(data, end, packet);
	if (packet->l4_proto != IPPROTO_UDP || packet->l4_off == 0 ||
	    packet->fragment == SPW_FRAGMENT_LATER)
		return SPW_CLASSIFIED_PASS;

	const struct udphdr *udp = data + packet->l4_off;
	if ((const void *)udp + 4 > end || udp->dest != image->tunnel_port_be)
		return SPW_CLASSIFIED_PASS; /* the ports are its first 4 bytes */
	const struct spw_meta *knobs = bpf_map_lookup_elem(&meta, &zero);
	if (!knobs)
		return SPW_CLASSIFIED_PASS;
	/* From here on it is ours. */
	if (leaf_kind(knobs->deny_root, packet->family, packet->src) == SPW_LEAF_MEMBER)
		return SPW_DROP_SOURCE_DENIED;
	if (packet->fragment == SPW_FRAGMENT_FIRST)
		return SPW_DROP_OUTER_FRAGMENT;

	/* The UDP checksum is not looked at: over veth it is unfinished, and ESP has a better. */
	if ((const void *)(udp + 1) > end || packet->end_off > frame_bytes)
		return SPW_DROP_OUTER_TRUNCATED;
	__u32 udp_bytes = bpf_ntohs(udp->len);
	if (packet->l4_off + udp_bytes > packet->end_off)
		return SPW_DROP_OUTER_TRUNCATED;
	const __u8 *payload = (const void *)(udp + 1);
	if (udp_bytes == sizeof(*udp) + 1 && (const void *)(payload + 1) <= end && *payload == 0xff)
		return SPW_CLASSIFIED_KEEPALIVE;
	if (udp_bytes < sizeof(*udp) + 4 || (const void *)(payload + 4) > end)
		return SPW_DROP_OUTER_TRUNCATED;
	return classify_spi(ctx, knobs, packet, bpf_ntohl(*(const __be32 *)payload));
}

/* Fragments too: routing needs the addresses alone. */
static __always_inline __u32 classify_lan(struct xdp_md *ctx, const struct spw_port_image *image,
					  const struct spw_packet *packet)
{
	__u32 tenant_id = image->tenant;
	const struct spw_tenant *tenant = bpf_map_lookup_elem(&tenants, &tenant_id);

	if (!tenant || is_local(image, packet) || is_link_scope(packet))
		return SPW_CLASSIFIED_PASS;
	if (leaf_kind(tenant->route_root, packet->family, packet->dst) != SPW_LEAF_TUNNEL)
		return SPW_CLASSIFIED_PASS;
	return steer(ctx, image->on_stop_pass);
}

/* Returns an enum spw_drop or an enum spw_classifier_counter. */
static __always_inline __u32 classify(struct xdp_md *ctx)
{
	const void *data = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;
	struct spw_packet packet = {0};
	__u32 id = port_id;
	__be16 ethertype = 0;

	struct spw_port *port = bpf_map_lookup_elem(&ports, &id);
	if (!port)
		return SPW_CLASSIFIED_PASS;
	/* Loaded once; the image's loads depend on its value, which orders them behind control's
	 * release store on every CPU. */
	const struct spw_port_image *image = &port->image[*(volatile __u32 *)&port->active & 1];
	__u32 off = spw_parse_ethernet(data, end, image->mac, image->vlan, &ethertype);
	if (off == 0)
		return SPW_CLASSIFIED_PASS;
	if (ethertype == bpf_htons(ETH_P_IP)) {
		if (!spw_parse_ipv4(data, end, off, &packet))
			return SPW_CLASSIFIED_PASS;
	} else if (ethertype != bpf_htons(ETH_P_IPV6) || !spw_parse_ipv6(data, end, off, &packet)) {
		return SPW_CLASSIFIED_PASS;
	}
	switch (image->role) {
	case SPW_PORT_WAN:
		return classify_wan(ctx, image, &packet);
	case SPW_PORT_LAN:
		return classify_lan(ctx, image, &packet);
	default:
		return SPW_CLASSIFIED_PASS;
	}
}

/* The one way out: whatever was decided, it is counted once, and the counter is the verdict. */
SEC("xdp")
int xsk_def_prog(struct xdp_md *ctx)
{
	__u32 counter = classify(ctx);
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
	default:
		return XDP_DROP;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
