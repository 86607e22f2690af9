/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * parse.h - from an Ethernet frame to an IP packet and its transport header. For BPF code only.
 *
 * Reads the packet in place and keeps nothing. Every function says false, or leaves the field 0,
 * where a header is not there in full or is none of ours; the kernel's stack judges such packets.
 */
#ifndef SPW_PARSE_H
#define SPW_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>

#include "trie.h"

enum spw_fragment {
	SPW_FRAGMENT_NONE = 0,
	SPW_FRAGMENT_FIRST, /* has the transport header, and more fragments follow */
	SPW_FRAGMENT_LATER, /* has none */
};

struct spw_packet {
	struct spw_trie_key src, dst; /* IPv4 in the top 32 bits */
	__u32 family;                 /* 4 or 6 */
	__u32 l4_proto;               /* IPPROTO_*; IPv6: behind the extension headers */
	__u32 l4_off;                 /* bytes from the start of the frame; 0: not found */
	__u32 end_off; /* where the packet ends by its IP length; may be beyond the frame */
	enum spw_fragment fragment;
};

struct spw_vlan_tag {
	__be16 tci;
	__be16 ethertype;
};

struct spw_fragment_header {
	__u8 next_header;
	__u8 reserved;
	__be16 offset; /* 13 bits in units of 8 bytes, 2 reserved, 1: more follow */
	__be32 id;
};

/* Legitimate chains (RFC 8200 4.1) have at most 5 headers in front of UDP. */
#define SPW_EXTENSIONS_MAX 6

/*
 * spw_parse_ethernet finds the network header of a frame for `mac` in the VLAN `vlan` (0: untagged,
 * or tagged for its priority alone, IEEE 802.1Q 6.9). A second tag, a service tag (802.1ad) and
 * multicast are none of ours.
 * Returns its offset in bytes and the ethertype, or 0.
 */
static __always_inline __u32 spw_parse_ethernet(const void *data, const void *end,
						const __u8 mac[6], __u16 vlan, __be16 *ethertype)
{
	const struct ethhdr *eth = data;
	const struct spw_vlan_tag *tag = (const void *)(eth + 1);

	if ((const void *)(eth + 1) > end)
		return 0;
	for (int i = 0; i < ETH_ALEN; i++)
		if (eth->h_dest[i] != mac[i])
			return 0;
	*ethertype = eth->h_proto;
	if (*ethertype != bpf_htons(ETH_P_8021Q))
		return vlan == 0 ? sizeof(*eth) : 0;
	if ((const void *)(tag + 1) > end || (bpf_ntohs(tag->tci) & 0xfff) != vlan)
		return 0;
	*ethertype = tag->ethertype;
	return sizeof(*eth) + sizeof(*tag);
}

static __always_inline bool spw_parse_ipv4(const void *data, const void *end, __u32 off,
					   struct spw_packet *packet)
{
	const struct iphdr *ip = data + off;

	if ((const void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return false;
	packet->family = 4;
	packet->src = spw_trie_key4(bpf_ntohl(ip->saddr));
	packet->dst = spw_trie_key4(bpf_ntohl(ip->daddr));
	packet->l4_proto = ip->protocol;
	packet->l4_off = off + ip->ihl * 4;
	packet->end_off = off + bpf_ntohs(ip->tot_len);
	packet->fragment = SPW_FRAGMENT_NONE;
	if (ip->frag_off & bpf_htons(0x1fff))
		packet->fragment = SPW_FRAGMENT_LATER;
	else if (ip->frag_off & bpf_htons(0x2000))
		packet->fragment = SPW_FRAGMENT_FIRST;
	return true;
}

static __always_inline struct spw_trie_key spw_parse_addr6(const struct in6_addr *addr)
{
	const __be32 *word = addr->s6_addr32;

	return (struct spw_trie_key){
		.hi = (__u64)bpf_ntohl(word[0]) << 32 | bpf_ntohl(word[1]),
		.lo = (__u64)bpf_ntohl(word[2]) << 32 | bpf_ntohl(word[3]),
	};
}

static __always_inline bool spw_parse_ipv6(const void *data, const void *end, __u32 off,
					   struct spw_packet *packet)
{
	const struct ipv6hdr *ip = data + off;

	if ((const void *)(ip + 1) > end || ip->version != 6)
		return false;
	packet->family = 6;
	packet->src = spw_parse_addr6(&ip->saddr);
	packet->dst = spw_parse_addr6(&ip->daddr);
	packet->l4_proto = ip->nexthdr;
	packet->l4_off = off + sizeof(*ip);
	packet->end_off = packet->l4_off + bpf_ntohs(ip->payload_len);
	packet->fragment = SPW_FRAGMENT_NONE;
	return true;
}

/* Walks the extension headers of an IPv6 packet to its transport header (RFC 8200 4). */
static __always_inline void spw_parse_extensions(const void *data, const void *end,
						 struct spw_packet *packet)
{
	__u32 off = packet->l4_off;

	for (int i = 0; i < SPW_EXTENSIONS_MAX; i++) {
		const struct spw_fragment_header *fragment = data + off;
		const struct ipv6_opt_hdr *option = data + off;

		switch (packet->l4_proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if ((const void *)(option + 1) > end)
				goto none;
			packet->l4_proto = option->nexthdr;
			off += (option->hdrlen + 1) * 8;
			break;
		case IPPROTO_FRAGMENT:
			if ((const void *)(fragment + 1) > end)
				goto none;
			packet->l4_proto = fragment->next_header;
			if (fragment->offset & bpf_htons(0xfff8)) {
				packet->fragment = SPW_FRAGMENT_LATER;
				goto none;
			}
			if (fragment->offset & bpf_htons(1))
				packet->fragment = SPW_FRAGMENT_FIRST;
			off += sizeof(*fragment);
			break;
		default:
			packet->l4_off = off;
			return;
		}
	}
none:
	packet->l4_off = 0;
}

#endif
