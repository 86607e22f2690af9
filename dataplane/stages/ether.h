/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ether.h - the Ethernet header of a packet that leaves, for the two stages that send: route (to a
 * lan) and esp_out (to a tunnel's next hop).
 *
 * Thread: the burst's worker.
 */
#ifndef SPW_ETHER_H
#define SPW_ETHER_H

#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/*
 * spw_ether_push puts the Ethernet header (with the port's 802.1Q tag, if it has one) in front of
 * packet i, from next_hop[i] and the live image of port_out[i], which must be below SPW_PORTS_MAX.
 * Returns false, with the packet unchanged, where the buffer has no room in front.
 */
static inline bool spw_ether_push(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
				  uint16_t ether_type)
{
	const struct spw_port_image *image = spw_port_live(&lane->tables, burst->port_out[i]);
	uint16_t vlan = image->vlan & 0x0fff;
	uint16_t bytes = SPW_ETHER_BYTES + (vlan ? SPW_VLAN_BYTES : 0);
	uint8_t *header = (uint8_t *)rte_pktmbuf_prepend(burst->mbuf[i], bytes);

	if (!header)
		return false;
	memcpy(header, burst->next_hop[i].mac, 6);
	memcpy(header + 6, image->mac, 6);
	if (vlan) {
		spw_put_be16(header + 12, SPW_ETHERTYPE_VLAN);
		spw_put_be16(header + 14, vlan);
	}
	spw_put_be16(header + bytes - 2, ether_type);
	return true;
}

#endif
