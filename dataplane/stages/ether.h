/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ether.h - the next hop and the Ethernet header of a packet that leaves, for the two stages that
 * send: route (to a lan) and esp_out (to a tunnel's next hop).
 *
 * Thread: the burst's worker.
 */
#ifndef SPW_ETHER_H
#define SPW_ETHER_H

#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* Reads a neighbor's word, once. False: unknown id (0 is one), or no MAC to send to. */
static inline bool spw_resolve(const struct spw_lane *lane, uint32_t id,
			       union spw_neighbor *neighbor)
{
	if (spw_unlikely(id - 1 >= lane->tables.neighbors_max - 1))
		return false;
	neighbor->word = __atomic_load_n(&lane->tables.neighbors[id].word, __ATOMIC_RELAXED);
	return neighbor->state != SPW_NEIGHBOR_NONE;
}

static_assert(offsetof(struct spw_port_image, mac) == 0, "spw_ether_push copies it from there");

/*
 * spw_ether_push puts the Ethernet header (with the port's 802.1Q tag, if it has one) in front of
 * the `bytes` at `head`, from next_hop[i] and the image of the port that it leaves by, and makes
 * all of it the frame of packet i. The caller has seen to it that there are SPW_ETHER_BYTES +
 * SPW_VLAN_BYTES of room in front.
 */
static inline void spw_ether_push(struct spw_burst *burst, uint32_t i,
				  const struct spw_port_image *image, uint8_t *head, uint32_t bytes,
				  uint16_t ether_type)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	uint16_t vlan = image->vlan & 0x0fff, type_be = __builtin_bswap16(ether_type);

	if (spw_unlikely(vlan)) {
		head -= SPW_VLAN_BYTES;
		bytes += SPW_VLAN_BYTES;
		spw_put_be16(head, vlan);
		memcpy(head + 2, &type_be, 2);
		type_be = __builtin_bswap16(SPW_ETHERTYPE_VLAN);
	}
	head -= SPW_ETHER_BYTES;
	bytes += SPW_ETHER_BYTES;
	/* 8 bytes for each MAC: what is too much of one is written over by what follows. */
	memcpy(head, &burst->next_hop[i], 8);
	memcpy(head + 6, image, 8);
	memcpy(head + 12, &type_be, 2);
	mbuf->data_off = (uint16_t)(head - (uint8_t *)mbuf->buf_addr);
	mbuf->data_len = (uint16_t)bytes;
	mbuf->pkt_len = bytes;
}

#endif
