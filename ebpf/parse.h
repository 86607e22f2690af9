/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * parse.h - from an Ethernet frame to an IP packet and its transport header, for BPF and native
 * code.
 *
 * Reads the packet in place, between `data` and `end`, and keeps nothing but where things are.
 * Every function says false, or leaves the field 0, where a header is not there in full or is none
 * of ours; the kernel's stack judges such packets.
 */
#ifndef SPW_PARSE_H
#define SPW_PARSE_H

#include "bytes.h"
#include "trie.h"

enum spw_fragment {
	SPW_FRAGMENT_NONE = 0,
	SPW_FRAGMENT_FIRST, /* has the transport header, and more fragments follow */
	SPW_FRAGMENT_LATER, /* has none */
};

struct spw_packet {
	const __u8 *ip; /* the fixed IP header, all of it in the frame */
	__u32 family;   /* 4 or 6 */
	__u32 l3_off;   /* bytes from the start of the frame */
	__u32 l4_off;   /* likewise; 0: not found */
	__u32 l4_proto; /* SPW_PROTO_*; IPv6: behind the extension headers */
	__u32 end_off;  /* where the packet ends by its IP length; may be beyond the frame */
	enum spw_fragment fragment;
	__u16 src_port_be, dst_port_be; /* of UDP; the caller loads them */
};

/* IPv6 extension headers (RFC 8200 4): the walked ones. */
#define SPW_PROTO_HOP_BY_HOP 0u
#define SPW_PROTO_ROUTING 43u
#define SPW_PROTO_FRAGMENT 44u
#define SPW_PROTO_DESTINATION 60u

/* Legitimate chains (RFC 8200 4.1) have at most 5 headers in front of UDP. */
#define SPW_EXTENSIONS_MAX 6

/*
 * spw_parse_ethernet finds the network header of a frame for `mac` in the VLAN `vlan` (0: untagged,
 * or tagged for its priority alone, IEEE 802.1Q 6.9). A second tag, a service tag (802.1ad) and
 * multicast are none of ours.
 * Returns its offset in bytes and the EtherType, or 0.
 */
static __always_inline __u32 spw_parse_ethernet(const __u8 *data, const __u8 *end,
						const __u8 mac[6], __u16 vlan, __u32 *ethertype)
{
	if (data + SPW_ETHER_BYTES > end)
		return 0;
	if (spw_load32(data) != spw_load32(mac) || spw_load16(data + 4) != spw_load16(mac + 4))
		return 0;
	*ethertype = spw_be16(spw_load16(data + 12));
	if (*ethertype != SPW_ETHERTYPE_VLAN)
		return vlan == 0 ? SPW_ETHER_BYTES : 0;
	if (data + SPW_ETHER_BYTES + SPW_VLAN_BYTES > end ||
	    (spw_be16(spw_load16(data + 14)) & 0xfff) != vlan)
		return 0;
	*ethertype = spw_be16(spw_load16(data + 16));
	return SPW_ETHER_BYTES + SPW_VLAN_BYTES;
}

static __always_inline bool spw_parse_ipv4(const __u8 *data, const __u8 *end, __u32 off,
					   struct spw_packet *packet)
{
	const __u8 *ip = data + off;

	if (ip + SPW_IPV4_BYTES > end)
		return false;
	__u32 header_bytes = (ip[0] & 15) * 4;
	if (ip[0] >> 4 != 4 || header_bytes < SPW_IPV4_BYTES)
		return false;
	packet->ip = ip;
	packet->family = 4;
	packet->l3_off = off;
	packet->l4_off = off + header_bytes;
	packet->l4_proto = ip[9];
	packet->end_off = off + spw_be16(spw_load16(ip + 2));
	__u32 fragment = spw_be16(spw_load16(ip + 6));
	packet->fragment = SPW_FRAGMENT_NONE;
	if (fragment & 0x1fff)
		packet->fragment = SPW_FRAGMENT_LATER;
	else if (fragment & 0x2000)
		packet->fragment = SPW_FRAGMENT_FIRST;
	return true;
}

static __always_inline bool spw_parse_ipv6(const __u8 *data, const __u8 *end, __u32 off,
					   struct spw_packet *packet)
{
	const __u8 *ip = data + off;

	if (ip + SPW_IPV6_BYTES > end || ip[0] >> 4 != 6)
		return false;
	packet->ip = ip;
	packet->family = 6;
	packet->l3_off = off;
	packet->l4_off = off + SPW_IPV6_BYTES;
	packet->l4_proto = ip[6];
	packet->end_off = packet->l4_off + spw_be16(spw_load16(ip + 4));
	packet->fragment = SPW_FRAGMENT_NONE;
	return true;
}

/* Walks the extension headers of an IPv6 packet to its transport header (RFC 8200 4). */
static __always_inline void spw_parse_extensions(const __u8 *data, const __u8 *end,
						 struct spw_packet *packet)
{
	__u32 off = packet->l4_off;

	for (int i = 0; i < SPW_EXTENSIONS_MAX; i++) {
		const __u8 *header = data + off;

		switch (packet->l4_proto) {
		case SPW_PROTO_HOP_BY_HOP:
		case SPW_PROTO_ROUTING:
		case SPW_PROTO_DESTINATION:
			if (header + 2 > end)
				goto none;
			packet->l4_proto = header[0];
			off += (header[1] + 1) * 8;
			break;
		case SPW_PROTO_FRAGMENT:
			if (header + 8 > end)
				goto none;
			packet->l4_proto = header[0];
			__u32 fragment = spw_be16(spw_load16(header + 2));
			if (fragment & 0xfff8) {
				packet->fragment = SPW_FRAGMENT_LATER;
				goto none;
			}
			if (fragment & 1)
				packet->fragment = SPW_FRAGMENT_FIRST;
			off += 8;
			break;
		default:
			packet->l4_off = off;
			return;
		}
	}
none:
	packet->l4_off = 0;
}

/* The packet's source and destination as keys of a trie, IPv4 in the top 32 bits. */
static __always_inline struct spw_trie_key spw_packet_src(const struct spw_packet *packet)
{
	if (packet->family == 4)
		return spw_trie_key4(spw_be32(spw_load32(packet->ip + 12)));
	return (struct spw_trie_key){.hi = spw_be64(spw_load64(packet->ip + 8)),
				     .lo = spw_be64(spw_load64(packet->ip + 16))};
}

static __always_inline struct spw_trie_key spw_packet_dst(const struct spw_packet *packet)
{
	if (packet->family == 4)
		return spw_trie_key4(spw_be32(spw_load32(packet->ip + 16)));
	return (struct spw_trie_key){.hi = spw_be64(spw_load64(packet->ip + 24)),
				     .lo = spw_be64(spw_load64(packet->ip + 32))};
}

#endif
