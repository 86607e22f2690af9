/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * publish.h - the stores by which records become visible to packets, besides those that node.h
 * declares. Control's thread only.
 */
#ifndef SPW_PUBLISH_H
#define SPW_PUBLISH_H

#include "control/daemon/node.h"

/* For a record that takes the place of a published one: its slot, and the place in the limbo that
 * the old slot needs. 0: one of them is not to be had, nothing is taken. */
uint32_t spw_slot_take_next(struct spw_node *node, struct spw_slots *slots);

/* Builds the tunnel's record in a slot that the caller has taken from node->tunnel_slots, and
 * publishes it. Cannot fail; the slot of the former record is the caller's again. */
void spw_tunnel_publish_at(struct spw_node *node, struct spw_tunnel_obj *tunnel, uint32_t slot);

/* Where a record's packets go; family 0: nowhere yet. */
void spw_record_remote(const struct spw_tunnel *record, struct spw_endpoint *remote);

/* Takes the record away from packets. Its slot may be written again after a grace period. */
void spw_tunnel_withdraw(struct spw_node *node, struct spw_tunnel_obj *tunnel);

/* Publishes the ports whose image had to wait. After every spw_grace_run. */
void spw_ports_publish_wanted(struct spw_node *node);

/* Longest inner packet that an outer link of this MTU carries in the tunnel's ESP: outer_bytes of
 * headers (28 or 48), 8 of ESP, 8 of IV, 16 of ICV around payload, padding and a trailer of 2
 * bytes, which together are a multiple of 4 (RFC 4303 2.4). 0: none fits. */
uint32_t spw_inner_mtu(uint32_t outer_mtu_bytes, uint32_t outer_bytes);

#endif
