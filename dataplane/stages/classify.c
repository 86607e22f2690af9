/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classify.c - finds out what a received frame is: an ESP packet on a wan port, a tenant's plain
 * packet on a lan port.
 *
 * The classifier in the kernel has looked at the frame before and steered it here. Its word is not
 * taken for anything that memory safety rests on: every length is checked again.
 */
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* IPv6 extension headers (RFC 8200 4). */
#define PROTO_HOP_BY_HOP 0u
#define PROTO_ROUTING 43u
#define PROTO_FRAGMENT 44u
#define PROTO_DESTINATION 60u
#define EXTENSIONS_MAX 5u /* in a legitimate packet; the classifier passes those with more */

struct frame {
	uint8_t *head;  /* the header that is next */
	uint32_t bytes; /* from head to the end; shrinks to where the datagram ends */
};

static inline void step(struct frame *frame, uint32_t bytes)
{
	frame->head += bytes;
	frame->bytes -= bytes;
}

/* Steps over the Ethernet header and the tag of the port's VLAN. A tag with id 0 carries a priority
 * only (802.1Q) and counts as none. Returns the EtherType, 0: another VLAN, or cut off. */
static inline uint16_t step_ethernet(struct frame *frame, uint16_t vlan)
{
	if (spw_unlikely(frame->bytes < SPW_ETHER_BYTES))
		return 0;
	uint16_t type = spw_get_be16(frame->head + 12), id = 0;
	if (spw_unlikely(type == SPW_ETHERTYPE_VLAN)) {
		if (frame->bytes < SPW_ETHER_BYTES + SPW_VLAN_BYTES)
			return 0;
		id = spw_get_be16(frame->head + 14) & 0x0fff;
		type = spw_get_be16(frame->head + 16);
		step(frame, SPW_VLAN_BYTES);
	}
	step(frame, SPW_ETHER_BYTES);
	return spw_likely(id == vlan) ? type : 0;
}

static inline bool step_ipv4(struct frame *frame)
{
	const uint8_t *ip = frame->head;

	if (frame->bytes < SPW_IPV4_BYTES || ip[0] >> 4 != 4)
		return false;
	/* Flags and fragment offset, TTL, protocol: UDP, no more fragments and none before it. */
	if ((spw_get_be32(ip + 6) & 0x3fff00ff) != SPW_PROTO_UDP)
		return false;
	uint32_t header_bytes = (ip[0] & 15) * 4u;
	uint32_t total_bytes = spw_get_be16(ip + 2);
	if (header_bytes < SPW_IPV4_BYTES || total_bytes < header_bytes ||
	    total_bytes > frame->bytes)
		return false;
	frame->bytes = total_bytes;
	step(frame, header_bytes);
	return true;
}

/* Steps over the extension headers that the classifier walks too (ebpf/parse.h), few and seldom.
 * Returns the frame behind them, without bytes where what comes then is not the whole of UDP. The
 * frame goes by value: one whose address is known stays in memory for all packets. */
static __attribute__((cold, noinline)) struct frame step_extensions(struct frame frame,
								    uint8_t next)
{
	const struct frame none = {frame.head, 0};

	for (uint32_t k = 0; k < EXTENSIONS_MAX && next != SPW_PROTO_UDP; k++) {
		const uint8_t *header = frame.head;
		uint32_t header_bytes = 8;

		if (frame.bytes < header_bytes)
			return none;
		if (next == PROTO_HOP_BY_HOP || next == PROTO_ROUTING || next == PROTO_DESTINATION)
			header_bytes = (header[1] + 1u) * 8;
		else if (next != PROTO_FRAGMENT || spw_get_be16(header + 2) & 0xfff9)
			return none;
		if (frame.bytes < header_bytes)
			return none;
		next = header[0];
		step(&frame, header_bytes);
	}
	return next == SPW_PROTO_UDP ? frame : none;
}

static inline bool step_ipv6(struct frame *frame)
{
	const uint8_t *ip = frame->head;

	if (frame->bytes < SPW_IPV6_BYTES || ip[0] >> 4 != 6)
		return false;
	uint32_t total_bytes = SPW_IPV6_BYTES + spw_get_be16(ip + 4);
	if (total_bytes > frame->bytes)
		return false;
	frame->bytes = total_bytes;
	step(frame, SPW_IPV6_BYTES);
	if (spw_unlikely(ip[6] != SPW_PROTO_UDP))
		*frame = step_extensions(*frame, ip[6]);
	return true;
}

/* The checksum is not looked at: over veth it is left to hardware that is not there, and the ICV
 * says more. */
static inline bool step_udp(struct frame *frame, uint16_t port_be)
{
	const uint8_t *udp = frame->head;

	if (frame->bytes < SPW_UDP_BYTES || memcmp(udp + 2, &port_be, sizeof(port_be)) != 0)
		return false;
	uint32_t bytes = spw_get_be16(udp + 4);
	if (bytes < SPW_UDP_BYTES || bytes > frame->bytes)
		return false;
	frame->bytes = bytes;
	step(frame, SPW_UDP_BYTES);
	return true;
}

/* Steps to the ESP header. The frame then ends where the datagram does, without Ethernet padding.
 */
static inline bool step_outer(struct frame *frame, uint32_t family, uint16_t port_be)
{
	return (family == 4 ? step_ipv4(frame) : step_ipv6(frame)) && step_udp(frame, port_be);
}

/* What of a port's image classify needs, read once while packets from the port follow each other.
 */
struct port {
	uint32_t id;
	uint8_t role;
	uint16_t vlan, tunnel_port_be;
	uint32_t tenant;
};

static inline __attribute__((always_inline)) struct port read_port(const struct spw_lane *lane,
								   uint32_t id)
{
	const struct spw_port_image *image = spw_port_live(&lane->tables, id);

	return (struct port){id, image->role, image->vlan & 0x0fff, image->tunnel_port_be,
			     image->tenant};
}

/* Finds out what packet i is and where it goes next; SPW_DONE: it was dropped. */
static inline enum spw_state classify_one(struct spw_lane *lane, struct spw_burst *burst,
					  uint32_t i, const struct port *port)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	struct frame frame = {rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len};
	enum spw_state state = SPW_AT_INNER;

	if (spw_unlikely(mbuf->nb_segs != 1)) {
		spw_drop(lane, burst, i, SPW_DROP_PACKET_TOO_LONG);
		return SPW_DONE;
	}
	uint16_t type = step_ethernet(&frame, port->vlan);
	uint8_t family = type == SPW_ETHERTYPE_IPV4 ? 4 : 6;
	if (spw_unlikely(family == 6 && type != SPW_ETHERTYPE_IPV6))
		goto bad;
	if (port->role == SPW_PORT_LAN) {
		burst->family[i] = family;
		burst->tenant[i] = port->tenant;
	} else {
		burst->outer[i] = frame.head;
		if (spw_unlikely(port->role != SPW_PORT_WAN ||
				 !step_outer(&frame, family, port->tunnel_port_be)))
			goto bad;
		state = SPW_AT_ESP_IN;
	}
	burst->head[i] = frame.head;
	burst->bytes[i] = (uint16_t)frame.bytes;
	burst->state[i] = (uint8_t)state;
	return state;
bad:
	return spw_filter_steered(lane, burst, i);
}

void spw_stage_classify(struct spw_lane *lane, struct spw_burst *burst)
{
	struct port port = read_port(lane, burst->port_in[0]);
	uint32_t at = 0;

	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (burst->state[i] != SPW_AT_CLASSIFY)
			continue;
		if (spw_unlikely(burst->port_in[i] != port.id))
			port = read_port(lane, burst->port_in[i]);
		burst->tunnel_in[i] = 0;
		burst->tunnel_out[i] = 0;
		at |= 1u << classify_one(lane, burst, i, &port);
	}
	burst->at = at;
}
