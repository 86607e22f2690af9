/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inner.c - the inner packet: valid, from a source that may come in here, and with life left.
 *
 * Bytes behind the end of the IP packet are cut off: Ethernet padding from a lan, traffic flow
 * confidentiality padding from a tunnel (RFC 4303 2.7).
 */
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* The length of a valid packet as its header says it, at most `room`; 0: not valid. */
static uint32_t ipv4_bytes(const uint8_t *ip, uint32_t room)
{
	if (room < SPW_IPV4_BYTES || ip[0] >> 4 != 4)
		return 0;
	uint32_t header_bytes = (ip[0] & 15) * 4u;
	uint32_t total_bytes = spw_get_be16(ip + 2);
	if (header_bytes < SPW_IPV4_BYTES || total_bytes < header_bytes || total_bytes > room)
		return 0;
	return spw_sum_fold(spw_sum(ip, header_bytes, 0)) == 0xffff ? total_bytes : 0;
}

static uint32_t ipv6_bytes(const uint8_t *ip, uint32_t room)
{
	if (room < SPW_IPV6_BYTES || ip[0] >> 4 != 6)
		return 0;
	uint32_t total_bytes = SPW_IPV6_BYTES + spw_get_be16(ip + 4);
	return total_bytes <= room ? total_bytes : 0;
}

static bool source_allowed(const struct spw_lane *lane, const struct spw_burst *burst, uint32_t i,
			   const uint8_t *ip)
{
	const struct spw_trie *trie = &lane->tables.routes;
	const __u32 *root = burst->record_in[i]
				    ? burst->record_in[i]->allow_root
				    : spw_port_live(&lane->tables, burst->port_in[i])->allow_root;
	__u32 leaf;

	if (burst->family[i] == 4)
		leaf = spw_trie_lookup(trie, root[0], spw_trie_key4(spw_get_be32(ip + 12)),
				       SPW_TRIE_LEVELS4);
	else
		leaf = spw_trie_lookup(trie, root[1], spw_trie_key6(ip + 8), SPW_TRIE_LEVELS6);
	return SPW_LEAF_KIND(leaf) == SPW_LEAF_MEMBER;
}

/* One less to live; false: it was the last. The checksum follows by RFC 1624, equation 3. */
static bool decrement_ttl(uint8_t *ip, uint32_t family)
{
	if (family == 6) {
		if (ip[7] <= 1)
			return false;
		ip[7]--;
		return true;
	}
	if (ip[8] <= 1)
		return false;
	uint16_t old_word = spw_get_be16(ip + 8);
	ip[8]--;
	uint64_t sum = (uint16_t)~spw_get_be16(ip + 10);
	sum += (uint16_t)~old_word;
	sum += spw_get_be16(ip + 8);
	spw_put_be16(ip + 10, (uint16_t)~spw_sum_fold(sum));
	return true;
}

static void inner_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	uint8_t *ip = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, burst->offset[i]);
	uint32_t room = mbuf->data_len - burst->offset[i];
	uint32_t bytes = burst->family[i] == 4 ? ipv4_bytes(ip, room) : ipv6_bytes(ip, room);

	if (bytes == 0) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_BAD);
		return;
	}
	if (!source_allowed(lane, burst, i, ip)) {
		spw_drop(lane, burst, i, SPW_DROP_INNER_SOURCE_DENIED);
		return;
	}
	if (!decrement_ttl(ip, burst->family[i])) {
		spw_drop(lane, burst, i, SPW_DROP_TTL_EXPIRED);
		return;
	}
	rte_pktmbuf_trim(mbuf, (uint16_t)(room - bytes));
	burst->inner_bytes[i] = (uint16_t)bytes;
	burst->state[i] = SPW_AT_POLICE;
}

void spw_stage_inner(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_AT_INNER)
			inner_one(lane, burst, i);
	}
}
