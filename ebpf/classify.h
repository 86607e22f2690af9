/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * classify.h - what becomes of a frame that a port of ours receives; one source for XDP
 * (classifier.bpf.c) and for workers on ports that the kernel does not see
 * (dataplane/stages/filter.c).
 *
 * Taken is only what is ours: sent to our MAC, in our VLAN, and then on a `wan` to our address and
 * to the tunnels' UDP port or a blind relay's, on a `lan` to a destination that the tenant's routes
 * send into a tunnel. Everything else passes to the kernel unchanged, whatever it looks like.
 * A blind relay's packets are rewritten (relay.h), no others.
 *
 * Whoever includes this defines before it:
 *   struct spw_frame            with __u8 *data and *end, and __u32 port_in and port_out
 *   spw_<table>_at(frame, i)    a record of a table, NULL beyond its end: meta ports tenants spis
 *                               neighbors relay_ports relays relay_states
 *   spw_frame_leaf              the leaf that covers a key in the trie at a root
 *   spw_frame_now_ns            CLOCK_MONOTONIC
 *   spw_frame_tick_ns           the same, or up to a tick behind where that is cheaper
 *   spw_frame_steer             whether a worker takes it
 *   spw_frame_reaches           whether the frame can be sent out of a port
 *   spw_frame_defers            whether a worker takes a frame that cannot be sent from here
 *   spw_frame_grow              moves the frame's start; what pointed into it is void
 *   spw_limit_source, spw_limit_total   as in limit.h
 *
 * Any CPU or worker, inside RCU or an epoch.
 */
#ifndef SPW_CLASSIFY_H
#define SPW_CLASSIFY_H

#include "drops.h"
#include "limit.h"
#include "parse.h"
#include "trie.h"

/* The index of a record that control publishes by a release store. */
#ifdef __bpf__
/* What is loaded through the index depends on its value, which orders the two on every CPU. */
#define spw_load_index(at) (*(const volatile __u32 *)(at))
#else
#define spw_load_index(at) __atomic_load_n(at, __ATOMIC_ACQUIRE)
#endif

static __always_inline const struct spw_port_image *spw_image_of(const struct spw_port *port)
{
	return &port->image[spw_load_index(&port->active) & 1];
}

#include "relay.h"

/* The kind of the leaf that covers a key in the pair of tries (IPv4, IPv6) at `roots`. */
static __always_inline enum spw_leaf_kind spw_leaf_kind(const struct spw_frame *frame,
							const __u32 roots[2], __u32 family,
							struct spw_trie_key key)
{
	__u32 root = *(const volatile __u32 *)&roots[family == 6];

	return root ? SPW_LEAF_KIND(spw_frame_leaf(frame, root, family, key)) : SPW_LEAF_NONE;
}

/* Whether the packet goes to an address of the node itself. */
static __always_inline bool spw_is_local(const struct spw_port_image *image,
					 const struct spw_packet *packet)
{
	if (packet->family == 4) {
		__u32 dst_be = spw_load32(packet->ip + 16);
		for (__u32 i = 0; i < SPW_PORT_ADDRS_MAX && i < image->addr4_cnt; i++)
			if (image->addr4_be[i] == dst_be)
				return true;
		return false;
	}
	__u64 hi_be = spw_load64(packet->ip + 24), lo_be = spw_load64(packet->ip + 32);
	for (__u32 i = 0; i < SPW_PORT_ADDRS_MAX && i < image->addr6_cnt; i++)
		if (spw_load64(image->addr6[i]) == hi_be &&
		    spw_load64(image->addr6[i] + 8) == lo_be)
			return true;
	return false;
}
SPW_STATIC_ASSERT(__builtin_offsetof(struct spw_port_image, addr6) % 8 == 0, "addr6 alignment");

/* Destinations that no router forwards: multicast, limited broadcast, IPv6 link-local. Between a
 * host and its gateway they carry ARP's and DHCP's likes, which a default route must not take. */
static __always_inline bool spw_is_link_scope(__u32 family, struct spw_trie_key dst)
{
	if (family == 4)
		return dst.hi >> 60 == 0xe || dst.hi >> 32 == 0xffffffff;
	return dst.hi >> 56 == 0xff || dst.hi >> 54 == 0xfe80 >> 6;
}

/* To a worker. Where none listens the packet is dropped, and never leaks in clear, unless the port
 * says otherwise. */
static __always_inline __u32 spw_steer(struct spw_frame *frame, bool pass_when_absent)
{
	if (spw_frame_steer(frame))
		return SPW_CLASSIFIED_STEER;
	return pass_when_absent ? SPW_CLASSIFIED_PASS : SPW_DROP_WORKER_ABSENT;
}

/* A datagram of at least 4 bytes for our tunnel port, by its first word (RFC 3948 2). */
static __always_inline __u32 spw_classify_spi(struct spw_frame *frame, const struct spw_meta *knobs,
					      const struct spw_packet *packet, __u32 spi)
{
	__u32 per_source_pps = knobs->control_per_source_pps;

	if (spi != 0) {
		/* NULL where the slot is beyond the table. One 32-bit load: never half a record. */
		const struct spw_spi *record = spw_spis_at(frame, SPW_SPI_SLOT(spi));
		if (record && *(const volatile __u32 *)&record->spi == spi)
			return spw_steer(frame, false);
	}
	__u64 now_ns = spw_frame_now_ns(frame);
	enum spw_limit_kind kind = spi == 0 ? SPW_LIMIT_CONTROL : SPW_LIMIT_SPI;
	struct spw_trie_key src = spw_packet_src(packet);
	bool within = spw_limit_source(frame, src, packet->family, kind, per_source_pps, now_ns);
	if (spi != 0)
		return within ? SPW_DROP_SPI_UNKNOWN : SPW_DROP_SPI_LIMITED;
	if (!within)
		return SPW_DROP_CONTROL_LIMITED;
	bool live = spw_leaf_kind(frame, knobs->live_root, packet->family, src) == SPW_LEAF_MEMBER;
	return spw_limit_total(frame, live ? SPW_LIMIT_LIVE : SPW_LIMIT_STRANGERS,
			       live ? knobs->control_live_pps : knobs->control_total_pps, now_ns)
		       ? SPW_CLASSIFIED_CONTROL
		       : SPW_DROP_CONTROL_LIMITED;
}

/* A UDP datagram, or its first fragment, that is ours. relay: whose port it is for; NULL: the
 * tunnels'. The UDP checksum is not looked at: over veth it is unfinished, ESP has a better, and
 * what a relay forwards is judged by who gets it. */
static __always_inline __u32 spw_classify_udp(struct spw_frame *frame,
					      const struct spw_packet *packet,
					      const struct spw_relay *relay)
{
	const __u8 *data = frame->data, *end = frame->end;
	const struct spw_meta *knobs = spw_meta_at(frame, 0);
	const __u8 *udp = data + packet->l4_off;

	if (!knobs)
		return SPW_CLASSIFIED_PASS;
	if (spw_leaf_kind(frame, knobs->deny_root, packet->family, spw_packet_src(packet)) ==
	    SPW_LEAF_MEMBER)
		return SPW_DROP_SOURCE_DENIED;
	if (packet->fragment == SPW_FRAGMENT_FIRST)
		return SPW_DROP_OUTER_FRAGMENT;
	if (udp + SPW_UDP_BYTES > end || data + packet->end_off > end)
		return SPW_DROP_OUTER_TRUNCATED;
	__u32 udp_bytes = spw_be16(spw_load16(udp + 4));
	if (udp_bytes < SPW_UDP_BYTES || packet->l4_off + udp_bytes > packet->end_off)
		return SPW_DROP_OUTER_TRUNCATED;
	if (relay)
		return spw_relay(frame, packet, relay);

	const __u8 *payload = udp + SPW_UDP_BYTES;
	if (udp_bytes == SPW_UDP_BYTES + 1 && payload + 1 <= end && *payload == 0xff)
		return SPW_CLASSIFIED_KEEPALIVE;
	if (udp_bytes < SPW_UDP_BYTES + 4 || payload + 4 > end)
		return SPW_DROP_OUTER_TRUNCATED;
	return spw_classify_spi(frame, knobs, packet, spw_be32(spw_load32(payload)));
}

static __always_inline __u32 spw_classify_wan(struct spw_frame *frame,
					      const struct spw_port_image *image,
					      struct spw_packet *packet)
{
	const __u8 *data = frame->data, *end = frame->end;

	if (packet->family == 6 && packet->l4_proto != SPW_PROTO_UDP)
		spw_parse_extensions(data, end, packet);
	if (packet->l4_proto != SPW_PROTO_UDP || packet->l4_off == 0 ||
	    packet->fragment == SPW_FRAGMENT_LATER)
		return SPW_CLASSIFIED_PASS;
	const __u8 *udp = data + packet->l4_off;
	if (udp + 4 > end || !spw_is_local(image, packet))
		return SPW_CLASSIFIED_PASS; /* the ports are its first 4 bytes */

	/* Control lets no relay have the tunnels' port, so their packets need not look. */
	const struct spw_relay *relay = NULL;
	packet->src_port_be = spw_load16(udp);
	packet->dst_port_be = spw_load16(udp + 2);
	if (packet->dst_port_be != image->tunnel_port_be) {
		const struct spw_relay_root *root =
			spw_relay_ports_at(frame, spw_be16(packet->dst_port_be));
		__u32 slot = root ? spw_load_index(&root->slot) : 0;
		relay = slot ? spw_relays_at(frame, slot) : NULL;
		if (!relay)
			return SPW_CLASSIFIED_PASS;
	}
	return spw_classify_udp(frame, packet, relay);
}

/* Fragments too: routing needs the addresses alone. */
static __always_inline __u32 spw_classify_lan(struct spw_frame *frame,
					      const struct spw_port_image *image,
					      const struct spw_packet *packet)
{
	const struct spw_tenant *tenant = spw_tenants_at(frame, image->tenant);
	struct spw_trie_key dst = spw_packet_dst(packet);

	if (!tenant || spw_is_local(image, packet) || spw_is_link_scope(packet->family, dst))
		return SPW_CLASSIFIED_PASS;
	if (spw_leaf_kind(frame, tenant->route_root, packet->family, dst) != SPW_LEAF_TUNNEL)
		return SPW_CLASSIFIED_PASS;
	return spw_steer(frame, image->on_stop_pass);
}

/*
 * spw_classify decides about one frame and counts nothing. Returns an enum spw_drop or an enum
 * spw_classifier_counter; with SPW_CLASSIFIED_RELAY the frame is ready to leave by port_out.
 */
static __always_inline __u32 spw_classify(struct spw_frame *frame)
{
	const __u8 *data = frame->data, *end = frame->end;
	struct spw_packet packet = {0};
	__u32 ethertype = 0;

	const struct spw_port *port = spw_ports_at(frame, frame->port_in);
	if (!port)
		return SPW_CLASSIFIED_PASS;
	const struct spw_port_image *image = spw_image_of(port);
	__u32 off = spw_parse_ethernet(data, end, image->mac, image->vlan, &ethertype);
	if (off == 0)
		return SPW_CLASSIFIED_PASS;
	if (ethertype == SPW_ETHERTYPE_IPV4) {
		if (!spw_parse_ipv4(data, end, off, &packet))
			return SPW_CLASSIFIED_PASS;
	} else if (ethertype != SPW_ETHERTYPE_IPV6 || !spw_parse_ipv6(data, end, off, &packet)) {
		return SPW_CLASSIFIED_PASS;
	}
	switch (image->role) {
	case SPW_PORT_WAN:
		return spw_classify_wan(frame, image, &packet);
	case SPW_PORT_LAN:
		return spw_classify_lan(frame, image, &packet);
	default:
		return SPW_CLASSIFIED_PASS;
	}
}

#endif
