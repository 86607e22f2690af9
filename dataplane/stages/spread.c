/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spread.c - shares out what comes in on a lan port that has fewer receive queues than there are
 * workers, before any work is done on it. So one tunnel's packets are encrypted by all workers,
 * each under its own SA (RFC 9611). With a queue for every worker the hardware has shared it out.
 *
 * A flow stays on one worker, so it is not reordered. Only a worker that is given less than it can
 * do has any use for this; what arrives encrypted goes to its SA's owner anyway (esp_in.c).
 */
#include "dataplane/stages/handoff.h"
#include "dataplane/stages/wire.h"

#define PROTO_TCP 6u
#define PROTO_SCTP 132u

/* Golden ratio in 64 bits: neighbouring values go far apart in the upper bits, which the worker is
 * chosen by. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 32;
}

static uint64_t get_64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* The ports, where the protocol has some and they are there. */
static uint32_t get_ports(uint32_t protocol, const uint8_t *at, const uint8_t *end)
{
	uint32_t ports;

	if (end - at < 4 ||
	    (protocol != PROTO_TCP && protocol != SPW_PROTO_UDP && protocol != PROTO_SCTP))
		return 0;
	memcpy(&ports, at, sizeof(ports));
	return ports;
}

/* Fragments have no ports, but the first: all go by addresses and protocol alone. */
static uint64_t hash_ipv4(const uint8_t *ip, const uint8_t *end)
{
	bool fragment = spw_get_be16(ip + 6) & 0x3fff;
	uint32_t ports = fragment ? 0 : get_ports(ip[9], ip + (ip[0] & 15) * 4, end);

	return mix(mix(0, get_64(ip + 12)), (uint64_t)ports << 8 | ip[9]);
}

/* So do packets with extension headers, of which the fragment header is one. */
static uint64_t hash_ipv6(const uint8_t *ip, const uint8_t *end)
{
	uint64_t hash = (uint64_t)get_ports(ip[6], ip + SPW_IPV6_BYTES, end) << 8;

	for (uint32_t at = 8; at < SPW_IPV6_BYTES; at += 8)
		hash = mix(hash, get_64(ip + at));
	return hash;
}

/* The worker that a frame is for; `own` where it is too short to tell. */
static uint32_t worker_of(const struct rte_mbuf *mbuf, uint32_t workers, uint32_t own)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *), *end = data + mbuf->data_len;
	const uint8_t *ip = data + SPW_ETHER_BYTES;
	uint64_t hash;

	if (end - ip < (ptrdiff_t)SPW_VLAN_BYTES)
		return own;
	if (spw_get_be16(ip - 2) == SPW_ETHERTYPE_VLAN)
		ip += SPW_VLAN_BYTES;
	uint16_t type = spw_get_be16(ip - 2);
	if (type == SPW_ETHERTYPE_IPV4 && end - ip >= (ptrdiff_t)SPW_IPV4_BYTES)
		hash = hash_ipv4(ip, end);
	else if (type == SPW_ETHERTYPE_IPV6 && end - ip >= (ptrdiff_t)SPW_IPV6_BYTES)
		hash = hash_ipv6(ip, end);
	else
		return own;
	return (uint32_t)((hash >> 32) * workers >> 32);
}

void spw_stage_spread(struct spw_lane *lane, struct spw_burst *burst, uint32_t port)
{
	uint32_t kept = 0;

	if (spw_port_live(&lane->tables, port)->role != SPW_PORT_LAN)
		return;
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] != SPW_AT_CLASSIFY)
			continue;
		uint32_t worker = worker_of(burst->mbuf[i], lane->workers, lane->worker);
		if (worker == lane->worker)
			continue;
		burst->tunnel_in[i] = burst->tunnel_out[i] = 0;
		spw_hand_off(lane, burst, i, worker, SPW_AT_CLASSIFY);
	}
	spw_stage_handoff(lane, burst);
	/* What is left moves together, for stages that are quicker with a burst of one kind. */
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_DONE)
			continue;
		burst->mbuf[kept] = burst->mbuf[i];
		burst->state[kept] = burst->state[i];
		burst->port_in[kept] = burst->port_in[i];
		burst->port_out[kept++] = burst->port_out[i];
	}
	burst->cnt = kept;
}
