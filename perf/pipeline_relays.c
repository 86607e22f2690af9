/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline_relays.c - blind relays for the node of spw-bench-pipeline, see pipeline.h. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "perf/pipeline.h"

#define FIRST_PORT 20000u /* of the relays; relay n (from 1) has FIRST_PORT + n */
#define PORTS_CNT 65536u
#define LOCAL_ADDR 0xc0000201u /* 192.0.2.1 */
#define REMOTE_PORT 4500u
/* Of the rates, in 2^-10 ns: far from being reached. */
#define COST_TICKS 1u
#define BURST_TICKS (1ull << 40)

/* What endpoint `side` of relay n has: 198.18.0.0/15 is for benchmarks (RFC 2544). */
static uint32_t remote_addr(uint32_t relay, uint32_t side)
{
	return 0xc6120000u | side << 16 | relay;
}

static struct spw_relay_side make_side(uint32_t relay, uint32_t side)
{
	struct spw_relay_side made = {.remote_port_be = htons(REMOTE_PORT),
				      .port = PORT_WAN,
				      .neighbor = WORLD_NEIGHBOR_WAN};
	uint32_t remote_be = htonl(remote_addr(relay, side)), local_be = htonl(LOCAL_ADDR);
	uint32_t other_be = htonl(remote_addr(relay, !side));

	memcpy(made.remote, &remote_be, sizeof(remote_be));
	memcpy(made.local, &local_be, sizeof(local_be));
	/* From other, local to local, remote: what is taken out of the sum comes back into the
	 * checksum, which is its complement. */
	uint32_t sum = (other_be & 0xffff) + (other_be >> 16) + (uint16_t) ~(remote_be & 0xffff) +
		       (uint16_t) ~(remote_be >> 16);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	made.ip_delta_be = (uint16_t)sum;
	return made;
}

void relays_furnish(struct node *node)
{
	struct spw_relay_root *ports = calloc(PORTS_CNT, sizeof(*ports));
	struct spw_relay *relays =
		aligned_alloc(SPW_CACHE_LINE, SPW_RELAY_SLOTS_MAX * sizeof(*relays));
	struct spw_relay_state *states =
		aligned_alloc(SPW_CACHE_LINE, SPW_RELAYS_MAX * sizeof(*states));

	if (!ports || !relays || !states)
		broken("no memory for relays");
	memset(states, 0, SPW_RELAYS_MAX * sizeof(*states));
	memset(relays, 0, SPW_RELAY_SLOTS_MAX * sizeof(*relays));
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++) {
		ports[FIRST_PORT + id].slot = id;
		relays[id] = (struct spw_relay){.id = id,
						.port_be = htons((uint16_t)(FIRST_PORT + id)),
						.family = 4,
						.packet_cost_ticks = COST_TICKS,
						.packet_burst_ticks = BURST_TICKS,
						.byte_cost_ticks = COST_TICKS,
						.byte_burst_ticks = BURST_TICKS,
						.side = {make_side(id, 0), make_side(id, 1)}};
	}
	node->relays = (struct relays){ports, relays, states};
}

void relays_join(const struct node *node, struct world *world)
{
	struct spw_tables *tables = &world->lane.tables;
	struct spw_port_image *wan = &world->ports[PORT_WAN].image[0];

	tables->relay_ports = node->relays.ports;
	tables->relays = node->relays.relays;
	tables->relay_states = node->relays.states;
	wan->addr4_be[0] = htonl(LOCAL_ADDR);
	wan->addr4_cnt = 1;
}

uint32_t relay_frame(uint8_t *frame, uint32_t relay, uint32_t side, uint32_t bytes)
{
	uint8_t inner[WORLD_FRAME_MAX], *udp = inner + SPW_IPV4_BYTES;
	char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];
	uint32_t from_be = htonl(remote_addr(relay, side)), to_be = htonl(LOCAL_ADDR);

	inet_ntop(AF_INET, &from_be, from, sizeof(from));
	inet_ntop(AF_INET, &to_be, to, sizeof(to));
	world_inner4(inner, from, to, 64, bytes);
	spw_put_be16(udp, REMOTE_PORT);
	spw_put_be16(udp + 2, (uint16_t)(FIRST_PORT + relay));
	spw_put_be16(udp + 4, (uint16_t)(bytes - SPW_IPV4_BYTES));
	spw_put_be16(udp + 6, 0);
	return world_plain(frame, 0, inner, bytes);
}
