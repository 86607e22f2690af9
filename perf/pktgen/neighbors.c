/* SPDX-License-Identifier: BSD-2-Clause */
/* neighbors.c - see neighbors.h. */
#include "perf/pktgen/neighbors.h"

#include <string.h>

#include "dataplane/stages/wire.h"

#define ETHERTYPE_ARP 0x0806u
#define ARP_BYTES 28u
#define ARP_REQUEST 1u
#define ARP_REPLY 2u

#define PROTO_ICMP6 58u
#define ICMP6_MLD_FIRST 130u /* to 132, and 143 for version 2 */
#define ICMP6_MLD2 143u
#define ICMP6_ROUTER_SOLICITATION 133u
#define ICMP6_SOLICITATION 135u
#define ICMP6_ADVERTISEMENT 136u
#define ICMP6_REDIRECT 137u
#define ND_BYTES 24u       /* ICMPv6 header, flags, target */
#define ND_OPTION_BYTES 8u /* a MAC */
#define ND_OPTION_SOURCE_MAC 1u
#define ND_OPTION_TARGET_MAC 2u
#define ND_FLAGS_SOLICITED_OVERRIDE 0x60u
#define ND_HOP_LIMIT 255u /* RFC 4861 7.1: proves that no router has passed it on */

#define ND_OFFSET (SPW_ETHER_BYTES + SPW_IPV6_BYTES)

/* The ICMPv6 type of a frame; 0: it is something else. */
static uint8_t icmp6_type(const uint8_t *frame, uint32_t bytes)
{
	const uint8_t *ip = frame + SPW_ETHER_BYTES;

	if (bytes < ND_OFFSET + 4 || spw_get_be16(frame + 12) != SPW_ETHERTYPE_IPV6)
		return 0;
	/* Listener reports stand behind a hop-by-hop option of 8 bytes (RFC 3810 5). */
	if (ip[6] == 0 && bytes >= ND_OFFSET + 12 && frame[ND_OFFSET] == PROTO_ICMP6)
		return frame[ND_OFFSET + 8];
	return ip[6] == PROTO_ICMP6 ? frame[ND_OFFSET] : 0;
}

bool spw_neighbors_is_talk(const uint8_t *frame, uint32_t bytes)
{
	uint8_t type = icmp6_type(frame, bytes);

	if (bytes >= SPW_ETHER_BYTES && spw_get_be16(frame + 12) == ETHERTYPE_ARP)
		return true;
	return (type >= ICMP6_MLD_FIRST && type <= ICMP6_REDIRECT) || type == ICMP6_MLD2;
}

static bool is_ours(const struct spw_played *played, uint8_t family, const uint8_t *address)
{
	uint8_t full[16] = {0};

	memcpy(full, address, family == 4 ? 4 : 16);
	if (played->not_ours.family == family &&
	    memcmp(full, played->not_ours.addr, sizeof(full)) == 0)
		return false;
	for (uint32_t i = 0; i < played->cnt; i++)
		if (spw_range_contains(&played->range[i], family, full))
			return true;
	return false;
}

/* Ethernet and ARP. */
static uint32_t write_arp(uint8_t *frame, uint16_t operation, const uint8_t to_mac[6],
			  const uint8_t to[4], const uint8_t from_mac[6], const uint8_t from[4])
{
	static const uint8_t head[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4, their lengths */
	uint8_t body[ARP_BYTES];

	memcpy(body, head, sizeof(head));
	spw_put_be16(body + 6, operation);
	memcpy(body + 8, from_mac, 6);
	memcpy(body + 14, from, 4);
	memcpy(body + 18, to_mac, 6);
	memcpy(body + 24, to, 4);
	memcpy(frame, to_mac, 6);
	if (operation == ARP_REQUEST)
		memset(frame, 0xff, 6);
	memcpy(frame + 6, from_mac, 6);
	spw_put_be16(frame + 12, ETHERTYPE_ARP);
	memcpy(frame + SPW_ETHER_BYTES, body, sizeof(body));
	return SPW_ETHER_BYTES + ARP_BYTES;
}

/* Ethernet, IPv6 and neighbour discovery with one option, a MAC of ours. `frame` may hold what the
 * pointers point to. */
static uint32_t write_nd(uint8_t *frame, uint8_t type, const uint8_t to_mac[6], const uint8_t *to,
			 const uint8_t from_mac[6], const uint8_t *from, const uint8_t *target)
{
	uint8_t made[SPW_NEIGHBOR_FRAME_BYTES] = {0};
	uint8_t *ip = made + SPW_ETHER_BYTES, *nd = made + ND_OFFSET, *option = nd + ND_BYTES;

	memcpy(made, to_mac, 6);
	memcpy(made + 6, from_mac, 6);
	spw_put_be16(made + 12, SPW_ETHERTYPE_IPV6);
	ip[0] = 0x60;
	spw_put_be16(ip + 4, ND_BYTES + ND_OPTION_BYTES);
	ip[6] = PROTO_ICMP6;
	ip[7] = ND_HOP_LIMIT;
	memcpy(ip + 8, from, 16);
	memcpy(ip + 24, to, 16);
	nd[0] = type;
	if (type == ICMP6_ADVERTISEMENT)
		nd[4] = ND_FLAGS_SOLICITED_OVERRIDE;
	memcpy(nd + 8, target, 16);
	option[0] = type == ICMP6_ADVERTISEMENT ? ND_OPTION_TARGET_MAC : ND_OPTION_SOURCE_MAC;
	option[1] = 1; /* times 8 bytes */
	memcpy(option + 2, from_mac, 6);
	uint64_t sum = spw_sum(ip + 8, 32, ND_BYTES + ND_OPTION_BYTES + PROTO_ICMP6);
	spw_put_be16(nd + 2, (uint16_t)~spw_sum_fold(spw_sum(nd, ND_BYTES + ND_OPTION_BYTES, sum)));
	memcpy(frame, made, sizeof(made));
	return sizeof(made);
}

static uint32_t answer_arp(const struct spw_played *played, const uint8_t mac[6], uint8_t *frame)
{
	const uint8_t *arp = frame + SPW_ETHER_BYTES;
	uint8_t asker_mac[6], asker[4], target[4];

	if (spw_get_be16(arp + 6) != ARP_REQUEST || !is_ours(played, 4, arp + 24))
		return 0;
	memcpy(asker_mac, arp + 8, 6);
	memcpy(asker, arp + 14, 4);
	memcpy(target, arp + 24, 4);
	return write_arp(frame, ARP_REPLY, asker_mac, asker, mac, target);
}

uint32_t spw_neighbors_answer(const struct spw_played *played, const uint8_t mac[6], uint8_t *frame,
			      uint32_t bytes)
{
	static const uint8_t unspecified[16];
	const uint8_t *ip = frame + SPW_ETHER_BYTES, *nd = frame + ND_OFFSET;

	if (bytes >= SPW_ETHER_BYTES + ARP_BYTES && spw_get_be16(frame + 12) == ETHERTYPE_ARP)
		return answer_arp(played, mac, frame);
	if (bytes < ND_OFFSET + ND_BYTES || icmp6_type(frame, bytes) != ICMP6_SOLICITATION ||
	    ip[7] != ND_HOP_LIMIT || !is_ours(played, 6, nd + 8))
		return 0;
	/* Who looks for duplicates of its own address is not told that we play it. */
	if (memcmp(ip + 8, unspecified, sizeof(unspecified)) == 0)
		return 0;
	return write_nd(frame, ICMP6_ADVERTISEMENT, frame + 6, ip + 8, mac, nd + 8, nd + 8);
}

uint32_t spw_neighbors_ask(const struct spw_endpoint *target, const uint8_t source[16],
			   const uint8_t mac[6], uint8_t frame[SPW_NEIGHBOR_FRAME_BYTES])
{
	static const uint8_t nobody[6];
	/* The solicited-node address, RFC 4291 2.7.1, and its MAC, RFC 2464 7. */
	uint8_t group[16] = {0xff, 0x02, [11] = 0x01, [12] = 0xff};
	uint8_t group_mac[6] = {0x33, 0x33, 0xff};

	if (target->family == 4)
		return write_arp(frame, ARP_REQUEST, nobody, target->addr, mac, source);
	memcpy(group + 13, target->addr + 13, 3);
	memcpy(group_mac + 3, target->addr + 13, 3);
	return write_nd(frame, ICMP6_SOLICITATION, group_mac, group, mac, source, target->addr);
}

bool spw_neighbors_learn(const struct spw_endpoint *target, const uint8_t *frame, uint32_t bytes,
			 uint8_t mac[6])
{
	const uint8_t *arp = frame + SPW_ETHER_BYTES, *nd = frame + ND_OFFSET;

	if (target->family == 4) {
		if (bytes < SPW_ETHER_BYTES + ARP_BYTES ||
		    spw_get_be16(frame + 12) != ETHERTYPE_ARP ||
		    spw_get_be16(arp + 6) != ARP_REPLY || memcmp(arp + 14, target->addr, 4) != 0)
			return false;
		memcpy(mac, arp + 8, 6);
		return true;
	}
	if (bytes < ND_OFFSET + ND_BYTES || icmp6_type(frame, bytes) != ICMP6_ADVERTISEMENT ||
	    memcmp(nd + 8, target->addr, 16) != 0)
		return false;
	memcpy(mac, frame + 6, 6);
	return true;
}
