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

struct frame {
	const uint8_t *data;
	uint32_t bytes;  /* of the whole frame; shrinks to where the datagram ends */
	uint32_t offset; /* of the header that is next */
};

/* Steps over the Ethernet header and the tag of the port's VLAN. A tag with id 0 carries a priority
 * only (802.1Q) and counts as none. Returns the EtherType, 0: another VLAN, or cut off. */
static uint16_t step_ethernet(struct frame *frame, uint16_t vlan)
{
	uint16_t type, id = 0;

	if (frame->bytes < SPW_ETHER_BYTES)
		return 0;
	type = spw_get_be16(frame->data + 12);
	frame->offset = SPW_ETHER_BYTES;
	if (type == SPW_ETHERTYPE_VLAN) {
		if (frame->bytes < SPW_ETHER_BYTES + SPW_VLAN_BYTES)
			return 0;
		id = spw_get_be16(frame->data + 14) & 0x0fff;
		type = spw_get_be16(frame->data + 16);
		frame->offset += SPW_VLAN_BYTES;
	}
	return id == (vlan & 0x0fff) ? type : 0;
}

static bool step_ipv4(struct frame *frame)
{
	const uint8_t *ip = frame->data + frame->offset;
	uint32_t room = frame->bytes - frame->offset;

	if (room < SPW_IPV4_BYTES || ip[0] >> 4 != 4 || ip[9] != SPW_PROTO_UDP)
		return false;
	uint32_t header_bytes = (ip[0] & 15) * 4u;
	uint32_t total_bytes = spw_get_be16(ip + 2);
	if (header_bytes < SPW_IPV4_BYTES || total_bytes < header_bytes || total_bytes > room)
		return false;
	if (spw_get_be16(ip + 6) & 0x3fff) /* more fragments, or not the first */
		return false;
	frame->bytes = frame->offset + total_bytes;
	frame->offset += header_bytes;
	return true;
}

static bool step_ipv6(struct frame *frame)
{
	const uint8_t *ip = frame->data + frame->offset;
	uint32_t room = frame->bytes - frame->offset;

	if (room < SPW_IPV6_BYTES || ip[0] >> 4 != 6 || ip[6] != SPW_PROTO_UDP)
		return false;
	uint32_t total_bytes = SPW_IPV6_BYTES + spw_get_be16(ip + 4);
	if (total_bytes > room)
		return false;
	frame->bytes = frame->offset + total_bytes;
	frame->offset += SPW_IPV6_BYTES;
	return true;
}

/* The checksum is not looked at: over veth it is left to hardware that is not there, and the ICV
 * says more. */
static bool step_udp(struct frame *frame, uint16_t port_be)
{
	const uint8_t *udp = frame->data + frame->offset;
	uint32_t room = frame->bytes - frame->offset;

	if (room < SPW_UDP_BYTES || memcmp(udp + 2, &port_be, sizeof(port_be)) != 0)
		return false;
	uint32_t bytes = spw_get_be16(udp + 4);
	if (bytes < SPW_UDP_BYTES || bytes > room)
		return false;
	frame->bytes = frame->offset + bytes;
	frame->offset += SPW_UDP_BYTES;
	return true;
}

/* Steps to the ESP header. The frame then ends where the datagram does, without Ethernet padding.
 */
static bool step_outer(struct frame *frame, uint16_t ether_type, uint16_t port_be)
{
	if (ether_type == SPW_ETHERTYPE_IPV4 && !step_ipv4(frame))
		return false;
	if (ether_type == SPW_ETHERTYPE_IPV6 && !step_ipv6(frame))
		return false;
	return step_udp(frame, port_be);
}

static void classify_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	const struct spw_port_image *image = spw_port_live(&lane->tables, burst->port_in[i]);

	burst->tunnel_in[i] = 0;
	burst->tunnel_out[i] = 0;
	burst->record_in[i] = NULL;
	burst->record_out[i] = NULL;
	if (mbuf->nb_segs != 1) {
		spw_drop(lane, burst, i, SPW_DROP_PACKET_TOO_LONG);
		return;
	}

	struct frame frame = {.data = rte_pktmbuf_mtod(mbuf, const uint8_t *),
			      .bytes = mbuf->data_len};
	uint16_t type = step_ethernet(&frame, image->vlan);
	bool ip = type == SPW_ETHERTYPE_IPV4 || type == SPW_ETHERTYPE_IPV6;

	if (ip && image->role == SPW_PORT_WAN && step_outer(&frame, type, image->tunnel_port_be)) {
		burst->state[i] = SPW_AT_ESP_IN;
	} else if (ip && image->role == SPW_PORT_LAN) {
		burst->state[i] = SPW_AT_INNER;
		burst->family[i] = type == SPW_ETHERTYPE_IPV4 ? 4 : 6;
		burst->tenant[i] = image->tenant;
	} else {
		spw_drop(lane, burst, i, SPW_DROP_OUTER_BAD);
		return;
	}
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - frame.bytes));
	burst->offset[i] = (uint16_t)frame.offset;
}

void spw_stage_classify(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_AT_CLASSIFY)
			classify_one(lane, burst, i);
	}
}
