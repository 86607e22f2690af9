/* SPDX-License-Identifier: BSD-2-Clause */
/* record.c - see relays.h: what packets see of a relay. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "control/daemon/checksum.h"
#include "control/daemon/net/net.h"
#include "control/daemon/publish.h"
#include "control/daemon/relays/relays.h"

#define NS_PER_S 1000000000ull
#define TICKS_PER_S (NS_PER_S * SPW_RELAY_TICKS_PER_NS)
/* A byte at 1 kbit/s, which is 125 of them in a second. */
#define TICKS_PER_KBIT_BYTE (TICKS_PER_S / 125)

/* How much may pass at once. Bytes: 50 ms, and 64 KiB, so that the longest datagram can pass at
 * all. One TCP flow in WireGuard under 50 Mbit/s, of which 46.2 can be its payload, carried 44.1
 * Mbit/s with 10 ms, 44.4 with 50, 44.6 with 100 and 45.1 with 200 (the mean of two runs each,
 * within 1 of each other): more would only let longer bursts through. Packets: 10 ms, as the limit
 * on them is there to spare the CPU; and 64, the burst in which NICs and workers hand packets over,
 * where 10 ms hold fewer. */
#define PACKETS_BURST_MIN 64u
#define PACKETS_BURST_TICKS (TICKS_PER_S / 100)
#define BYTES_BURST_MIN 65536u
#define BYTES_BURST_TICKS (TICKS_PER_S / 20)

/* Rounded up: never more than the rate. */
static uint64_t cost_of(uint64_t ticks, uint32_t cnt)
{
	return (ticks + cnt - 1) / cnt;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What is added to a checksum when the sum goes from one value to another. */
static uint16_t delta_be(uint32_t before, uint32_t after)
{
	return spw_sum_fold_be(before + (uint16_t)~spw_sum_fold_be(after));
}

/*
 * A checksum C is the complement of a sum S, which the rewriting turns into S - old + new; so C
 * becomes C + old - new, and -new is new's complement (RFC 1624 3). Addresses are part of the IPv4
 * header, and with the ports of what the UDP checksum covers. The relay's own port is destination
 * before and source after, and cancels out.
 */
void spw_relay_deltas(const struct spw_relay_side *from, struct spw_relay_side *to, uint8_t family)
{
	size_t bytes = family == 4 ? 4 : 16;
	uint32_t before = spw_sum_add(spw_sum_add(0, from->remote, bytes), from->local, bytes);
	uint32_t after = spw_sum_add(spw_sum_add(0, to->local, bytes), to->remote, bytes);

	to->ip_delta_be = delta_be(before, after);
	to->udp_delta_be = delta_be(before + from->remote_port_be, after + to->remote_port_be);
}

/* An endpoint without a route has no address of ours that belongs to it: nothing comes from there,
 * and neighbor 0 keeps packets from leaving to it. */
static void fill_side(const struct spw_relay_end *end, struct spw_relay_side *side)
{
	memcpy(side->remote, end->remote.addr, sizeof(side->remote));
	side->remote_port_be = htons(end->remote.port);
	if (end->source.family == 0 || !end->nexthop)
		return;
	memcpy(side->local, end->source.addr, sizeof(side->local));
	side->port = (uint8_t)end->nexthop->port;
	side->neighbor = end->nexthop->neighbor;
}

static void fill_record(const struct spw_relay_obj *relay, struct spw_relay *record)
{
	const struct spw_relay_limits *limits = &relay->limits;

	memset(record, 0, sizeof(*record));
	record->id = relay->id;
	record->port_be = htons(relay->port);
	record->family = relay->family;
	record->packet_cost_ticks = cost_of(TICKS_PER_S, limits->pps);
	record->packet_burst_ticks =
		larger(PACKETS_BURST_MIN * record->packet_cost_ticks, PACKETS_BURST_TICKS);
	record->byte_cost_ticks = cost_of(TICKS_PER_KBIT_BYTE, limits->rate_kbit);
	record->byte_burst_ticks =
		larger(BYTES_BURST_MIN * record->byte_cost_ticks, BYTES_BURST_TICKS);
	fill_side(&relay->ends[0], &record->side[0]);
	fill_side(&relay->ends[1], &record->side[1]);
	spw_relay_deltas(&record->side[1], &record->side[0], relay->family);
	spw_relay_deltas(&record->side[0], &record->side[1], relay->family);
}

void spw_relay_publish_at(struct spw_node *node, struct spw_relay_obj *relay, uint32_t slot)
{
	fill_record(relay, &node->maps.relays[slot]);
	relay->slot = slot;
	/* Pairs with the readers' acquire load: who sees the slot sees the record. */
	__atomic_store_n(&node->maps.relay_ports[relay->port].slot, slot, __ATOMIC_RELEASE);
}

int spw_relay_publish(struct spw_node *node, struct spw_relay_obj *relay)
{
	uint32_t slot, old_slot = relay->slot;
	struct spw_relay record;

	if (old_slot == 0 || relay->dying)
		return 0;
	fill_record(relay, &record);
	if (memcmp(&record, &node->maps.relays[old_slot], sizeof(record)) == 0)
		return 0;
	slot = spw_slot_take_next(node, node->relay_slots);
	if (slot == 0)
		return -ENOSPC;
	spw_relay_publish_at(node, relay, slot);
	spw_grace_defer(node->grace, spw_slots_free_later, node->relay_slots, old_slot);
	return 0;
}

void spw_relay_withdraw(struct spw_node *node, struct spw_relay_obj *relay)
{
	struct spw_relay_root *root = &node->maps.relay_ports[relay->port];

	if (root->slot == relay->slot)
		__atomic_store_n(&root->slot, 0, __ATOMIC_RELEASE);
}
