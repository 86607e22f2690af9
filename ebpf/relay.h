/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * relay.h - a blind relay: a datagram from one of its two endpoints, rewritten to go to the other.
 *
 * No key, no codec: addresses, ports, TTL, MACs and checksums change, the payload does not. Its
 * UDP checksum is set to 0 over IPv4 and adjusted over IPv6, where 0 stays 0 (RFC 6935): what was
 * wrong stays wrong, for the endpoint to see. So does a checksum that a neighbour on a veth left to
 * hardware that is not there: over IPv6 its sender must finish it (docs/relays.md).
 *
 * IPv4 options and IPv6 extension headers are for routers, which a relay is none of: such packets
 * are dropped as outer_bad.
 *
 * Part of classify.h, which says what the includer brings. Any CPU or worker.
 */
#ifndef SPW_RELAY_H
#define SPW_RELAY_H

#include "drops.h"
#include "gcra.h"
#include "parse.h"

static __always_inline bool spw_addr_is(__u32 family, const __u8 *at, const __u8 addr[16])
{
	if (family == 4)
		return spw_load32(at) == spw_load32(addr);
	return spw_load64(at) == spw_load64(addr) && spw_load64(at + 8) == spw_load64(addr + 8);
}

/* Where the source and destination addresses stand in the IP header. */
static __always_inline const __u8 *spw_src_addr(const struct spw_packet *packet)
{
	return packet->ip + (packet->family == 4 ? 12 : 8);
}

static __always_inline const __u8 *spw_dst_addr(const struct spw_packet *packet)
{
	return packet->ip + (packet->family == 4 ? 16 : 24);
}

/* Whether the packet's source is an endpoint. Its port is not 0, as an unknown endpoint's is. */
static __always_inline bool spw_relay_source_is(const struct spw_packet *packet,
						const struct spw_relay_side *side)
{
	return side->remote_port_be == packet->src_port_be &&
	       spw_addr_is(packet->family, spw_src_addr(packet), side->remote);
}

/* Whether the packet comes from an endpoint by the way that it is to come. */
static __always_inline bool spw_relay_comes_from(const struct spw_frame *frame,
						 const struct spw_packet *packet,
						 const struct spw_relay_side *side)
{
	return spw_relay_source_is(packet, side) && side->port == frame->port_in &&
	       spw_addr_is(packet->family, spw_dst_addr(packet), side->local);
}

/* Copies an address; IPv4 into the first 4 bytes, with zeros behind them. */
static __always_inline void spw_relay_learn_addr(__u8 to[16], __u32 family, const __u8 *at)
{
	spw_store64(to, family == 4 ? spw_load32(at) : spw_load64(at));
	spw_store64(to + 8, family == 4 ? 0 : spw_load64(at + 8));
}

/* A source that is neither endpoint. Where control has armed the relay for an unknown endpoint, the
 * first one is written down for control to judge. */
static __always_inline __u32 spw_relay_foreign(const struct spw_frame *frame,
					       const struct spw_packet *packet,
					       const struct spw_relay *relay,
					       struct spw_relay_state *state)
{
	const struct spw_relay_side *side = relay->side;
	__u16 src_port_be = packet->src_port_be;
	bool unknown = side[0].remote_port_be == 0 || side[1].remote_port_be == 0;

	/* An endpoint that merely took another way in is not the missing one. */
	if (!unknown || src_port_be == 0 || packet->family != relay->family ||
	    spw_relay_source_is(packet, &side[0]) || spw_relay_source_is(packet, &side[1]) ||
	    __sync_val_compare_and_swap(&state->learn, SPW_RELAY_LEARN_ARMED,
					SPW_RELAY_LEARN_WRITING) != SPW_RELAY_LEARN_ARMED) {
		__sync_fetch_and_add(&state->foreign_drops, 1);
		return SPW_DROP_RELAY_SOURCE_FOREIGN;
	}
	state->learned_port_be = src_port_be;
	state->learned_on = frame->port_in;
	spw_relay_learn_addr(state->learned, packet->family, spw_src_addr(packet));
	spw_relay_learn_addr(state->learned_local, packet->family, spw_dst_addr(packet));
	/* A full barrier, and so a release store too; pairs with control's acquire load. */
	__sync_val_compare_and_swap(&state->learn, SPW_RELAY_LEARN_WRITING, SPW_RELAY_LEARN_DONE);
	return SPW_DROP_RELAY_ENDPOINT_UNKNOWN;
}

/* Pays for one packet out of both buckets, or out of none. */
static __always_inline bool spw_relay_pay_at(const struct spw_relay *relay,
					     struct spw_relay_direction *direction, __u64 now_ticks,
					     __u32 bytes)
{
	if (!spw_gcra_take(&direction->packets_full_ticks, now_ticks, relay->packet_cost_ticks,
			   relay->packet_burst_ticks))
		return false;
	if (spw_gcra_take(&direction->bytes_full_ticks, now_ticks, relay->byte_cost_ticks * bytes,
			  relay->byte_burst_ticks))
		return true;
	spw_gcra_return(&direction->packets_full_ticks, relay->packet_cost_ticks);
	return false;
}

/*
 * Whether a packet is within the relay's rates. The clock that stands still between two ticks of
 * the kernel's timer is asked first: a relayed packet takes 52 ns with it and 73 with the exact one
 * (a virtual machine at 2.6 GHz, Linux 6.18). It is only ever behind, so a bucket that has room by
 * it has room, and what is then taken counts as taken at the last tick: a burst may be longer by
 * what comes in in one tick (1 to 10 ms), the rate is exact.
 */
static __always_inline bool spw_relay_pay(const struct spw_frame *frame,
					  const struct spw_relay *relay,
					  struct spw_relay_direction *direction, __u32 bytes)
{
	__u64 tick_ticks = spw_frame_tick_ns(frame) * SPW_RELAY_TICKS_PER_NS;

	if (spw_relay_pay_at(relay, direction, tick_ticks, bytes))
		return true;
	__u64 now_ticks = spw_frame_now_ns(frame) * SPW_RELAY_TICKS_PER_NS;
	if (spw_relay_pay_at(relay, direction, now_ticks, bytes))
		return true;
	spw_gcra_mend(&direction->packets_full_ticks, now_ticks, relay->packet_burst_ticks);
	spw_gcra_mend(&direction->bytes_full_ticks, now_ticks, relay->byte_burst_ticks);
	return false;
}

/* Adds what has changed to a checksum (RFC 1624 eqn. 3, with the complements taken together);
 * delta1 and delta2: what is added to the checksum itself. Any byte order, if the same for all. */
static __always_inline __u16 spw_sum_adjust(__u16 sum_be, __u16 delta1_be, __u16 delta2_be)
{
	__u32 sum = (__u16)~sum_be + (__u32)(__u16)~delta1_be + (__u16)~delta2_be;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The Ethernet header, for the port it leaves by. */
static __always_inline void spw_relay_write_ether(__u8 *data, __u64 neighbor_word,
						  const struct spw_port_image *image,
						  __u32 ethertype)
{
	spw_store32(data, neighbor_word);
	spw_store16(data + 4, neighbor_word >> 32);
	spw_store32(data + 6, spw_load32(image->mac));
	spw_store16(data + 10, spw_load16(image->mac + 4));
	if (image->vlan) {
		spw_store16(data + 12, spw_be16(SPW_ETHERTYPE_VLAN));
		spw_store16(data + 14, spw_be16(image->vlan));
		data += SPW_VLAN_BYTES;
	}
	spw_store16(data + 12, spw_be16(ethertype));
}

static __always_inline void spw_relay_write_ipv4(__u8 *ip, const struct spw_relay *relay,
						 const struct spw_relay_side *out)
{
	__u8 *udp = ip + SPW_IPV4_BYTES;

	ip[8]--;
	/* One less in the TTL, the first byte of its word, is one more in the checksum's first. */
	spw_store16(ip + 10,
		    spw_sum_adjust(spw_load16(ip + 10), out->ip_delta_be, spw_be16(0x100)));
	spw_store32(ip + 12, spw_load32(out->local));
	spw_store32(ip + 16, spw_load32(out->remote));
	spw_store32(udp, relay->port_be | (__u32)out->remote_port_be << 16);
	spw_store16(udp + 6, 0);
}

static __always_inline void spw_relay_write_ipv6(__u8 *ip, const struct spw_relay *relay,
						 const struct spw_relay_side *out)
{
	__u8 *udp = ip + SPW_IPV6_BYTES;
	__u16 sum_be = spw_load16(udp + 6);

	ip[7]--;
	spw_store64(ip + 8, spw_load64(out->local));
	spw_store64(ip + 16, spw_load64(out->local + 8));
	spw_store64(ip + 24, spw_load64(out->remote));
	spw_store64(ip + 32, spw_load64(out->remote + 8));
	spw_store32(udp, relay->port_be | (__u32)out->remote_port_be << 16);
	if (sum_be != 0) {
		sum_be = spw_sum_adjust(sum_be, out->udp_delta_be, 0);
		spw_store16(udp + 6, sum_be ? sum_be : 0xffff); /* 0 would say: there is none */
	}
}

/* From the right endpoint: on to `out`, if nothing stands in the way. Out of a device XDP cannot
 * send: a worker then does all of this, and nothing is paid or counted here. */
static __always_inline __u32 spw_relay_forward(struct spw_frame *frame,
					       const struct spw_packet *packet,
					       const struct spw_relay *relay,
					       const struct spw_relay_side *out,
					       struct spw_relay_direction *direction)
{
	__u32 family = packet->family, ip_bytes = packet->end_off - packet->l3_off;
	const __u8 *ttl = packet->ip + (family == 4 ? 8 : 7);

	if (out->remote_port_be == 0)
		return SPW_DROP_RELAY_ENDPOINT_UNKNOWN;
	if (*ttl <= 1)
		return SPW_DROP_RELAY_TTL_EXPIRED;
	const union spw_neighbor *neighbor = spw_neighbors_at(frame, out->neighbor);
	__u64 word = neighbor ? *(const volatile __u64 *)&neighbor->word : 0;
	if (word >> 56 == SPW_NEIGHBOR_NONE)
		return SPW_DROP_NEIGHBOR_UNRESOLVED;
	const struct spw_port *port = spw_ports_at(frame, out->port);
	if (!port)
		return SPW_DROP_PORT_ABSENT;
	const struct spw_port_image *image = spw_image_of(port);
	if (!spw_frame_reaches(frame, out->port))
		return image->role != SPW_PORT_NONE && spw_frame_defers(frame)
			       ? SPW_CLASSIFIED_STEER
			       : SPW_DROP_PORT_ABSENT;
	if (image->mtu_bytes && ip_bytes > image->mtu_bytes)
		return SPW_DROP_RELAY_TOO_BIG;
	if (!spw_relay_pay(frame, relay, direction, ip_bytes))
		return SPW_DROP_RELAY_RATE;

	__u32 l2_bytes = SPW_ETHER_BYTES + (image->vlan ? SPW_VLAN_BYTES : 0);
	__u32 headers_bytes = (family == 4 ? SPW_IPV4_BYTES : SPW_IPV6_BYTES) + SPW_UDP_BYTES;
	if (l2_bytes != packet->l3_off && !spw_frame_grow(frame, (int)(l2_bytes - packet->l3_off)))
		return SPW_DROP_PACKET_TOO_LONG;
	__u8 *data = frame->data, *ip = data + l2_bytes;
	if (ip + headers_bytes > frame->end) /* for the verifier: it was there before */
		return SPW_DROP_OUTER_TRUNCATED;
	spw_relay_write_ether(data, word, image,
			      family == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6);
	if (family == 4)
		spw_relay_write_ipv4(ip, relay, out);
	else
		spw_relay_write_ipv6(ip, relay, out);
	frame->port_out = out->port;
	__sync_fetch_and_add(&direction->packets, 1);
	__sync_fetch_and_add(&direction->bytes, ip_bytes);
	return SPW_CLASSIFIED_RELAY;
}

/*
 * spw_relay decides about a whole datagram for the port of a relay, and rewrites what it forwards.
 * Returns as spw_classify does.
 */
static __always_inline __u32 spw_relay(struct spw_frame *frame, const struct spw_packet *packet,
				       const struct spw_relay *relay)
{
	__u32 ip_header_bytes = packet->family == 4 ? SPW_IPV4_BYTES : SPW_IPV6_BYTES;
	struct spw_relay_state *state = spw_relay_states_at(frame, relay->id);
	const struct spw_relay_side *out;
	struct spw_relay_direction *direction;

	if (!state || packet->l4_off != packet->l3_off + ip_header_bytes)
		return SPW_DROP_OUTER_BAD;
	bool ours = packet->src_port_be != 0 && packet->family == relay->family;
	if (ours && spw_relay_comes_from(frame, packet, &relay->side[0])) {
		out = &relay->side[1];
		direction = &state->to[1];
	} else if (ours && spw_relay_comes_from(frame, packet, &relay->side[1])) {
		out = &relay->side[0];
		direction = &state->to[0];
	} else {
		return spw_relay_foreign(frame, packet, relay, state);
	}
	__u32 counter = spw_relay_forward(frame, packet, relay, out, direction);
	if (counter < SPW_CLASSIFIED_FIRST)
		__sync_fetch_and_add(&direction->drops, 1);
	return counter;
}

#endif
