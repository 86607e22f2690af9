/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inner.c - the inner packet: valid, from a source that may come in here, and with life left.
 *
 * Bytes behind the end of the IP packet are cut off: Ethernet padding from a lan, traffic flow
 * confidentiality padding from a tunnel (RFC 4303 2.7).
 */
#include "dataplane/stages/lookup.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* Whether the sum over a header without options is right. Its words in the host's order: the sum
 * 0xffff is the same in any. A word plus itself with its halves exchanged has their sum, carry and
 * all, in its upper half. */
static inline bool sum20_right(const uint8_t *ip)
{
	uint64_t first, second;
	uint32_t third;

	memcpy(&first, ip, 8);
	memcpy(&second, ip + 8, 8);
	memcpy(&third, ip + 16, 4);
	uint64_t sum = spw_add_around(spw_add_around(first, second), third);
	uint32_t half = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
	return (half + (half << 16 | half >> 16)) >> 16 == 0xffff;
}

/* The length of a valid packet as its header says it, at most `room`; 0: not valid. */
static inline uint32_t ipv4_bytes(const uint8_t *ip, uint32_t room)
{
	if (spw_unlikely(room < SPW_IPV4_BYTES))
		return 0;
	uint32_t total_bytes = spw_get_be16(ip + 2);
	if (spw_unlikely(total_bytes > room))
		return 0;
	if (spw_likely(ip[0] == 0x45))
		return total_bytes >= SPW_IPV4_BYTES && sum20_right(ip) ? total_bytes : 0;
	uint32_t header_bytes = (ip[0] & 15) * 4u;
	if (ip[0] >> 4 != 4 || header_bytes < SPW_IPV4_BYTES || total_bytes < header_bytes)
		return 0;
	return spw_sum_fold(spw_sum(ip, header_bytes, 0)) == 0xffff ? total_bytes : 0;
}

static inline uint32_t ipv6_bytes(const uint8_t *ip, uint32_t room)
{
	if (room < SPW_IPV6_BYTES || ip[0] >> 4 != 6)
		return 0;
	uint32_t total_bytes = SPW_IPV6_BYTES + spw_get_be16(ip + 4);
	return total_bytes <= room ? total_bytes : 0;
}

static inline bool source_allowed(const struct spw_lane *lane, const __u32 root[2], uint32_t family,
				  const uint8_t *ip)
{
	__u32 leaf = spw_lookup(&lane->tables.routes, root[family != 4], family,
				ip + (family == 4 ? 12 : 8));

	return SPW_LEAF_KIND(leaf) == SPW_LEAF_MEMBER;
}

/* One less to live; false: it was the last. TTL, protocol and checksum of IPv4 are one word: the
 * TTL falls by 1, and so the word it is in by 0x0100, and the sum rises by as much (RFC 1624,
 * equation 3), which is 1 in this order of bytes. What is carried out of the sum is added to it,
 * and 0xffff is written as 0. */
static inline bool decrement_ttl(uint8_t *ip, uint32_t family)
{
	uint32_t word;

	if (spw_unlikely(family != 4)) {
		if (ip[7] <= 1)
			return false;
		ip[7]--;
		return true;
	}
	memcpy(&word, ip + 8, sizeof(word));
	if (spw_unlikely((word & 0xff) <= 1))
		return false;
	if (spw_unlikely(word >= 0xfffe0000))
		word += 0x00010000;
	word += 0x00010000 - 1;
	memcpy(ip + 8, &word, sizeof(word));
	return true;
}

static inline void inner_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			     const __u32 *allow_root)
{
	uint8_t *ip = burst->head[i];
	uint32_t family = burst->family[i], room = burst->bytes[i];
	uint32_t bytes = family == 4 ? ipv4_bytes(ip, room) : ipv6_bytes(ip, room);

	if (spw_unlikely(bytes == 0)) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_BAD);
		return;
	}
	if (spw_unlikely(!source_allowed(lane, allow_root, family, ip))) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_SOURCE_DENIED);
		return;
	}
	if (spw_unlikely(!decrement_ttl(ip, family))) {
		spw_drop(lane, burst, i, SPW_DROP_TTL_EXPIRED);
		return;
	}
	burst->bytes[i] = (uint16_t)bytes;
	burst->state[i] = SPW_AT_POLICE;
}

void spw_stage_inner(struct spw_lane *lane, struct spw_burst *burst)
{
	struct spw_port_seen seen = SPW_PORT_UNSEEN;

	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (burst->state[i] != SPW_AT_INNER)
			continue;
		inner_one(lane, burst, i,
			  burst->tunnel_in[i]
				  ? burst->record_in[i]->allow_root
				  : spw_port_see(lane, &seen, burst->port_in[i])->allow_root);
	}
}
