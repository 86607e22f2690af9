/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_stages.c - packets that get through: gateway in, hop, gateway out; every byte that leaves,
 * every counter that moves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ring.h>

#include "dataplane/stages/lookup.h"
#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/world.h"

/* An inner packet as the node must pass it on: one less to live, the checksum right. */
static void aged(uint8_t *inner)
{
	if (inner[0] >> 4 == 6) {
		inner[7]--;
		return;
	}
	inner[8]--;
	spw_put_be16(inner + 10, 0);
	spw_put_be16(inner + 10, (uint16_t)~spw_sum_fold(spw_sum(inner, 20, 0)));
}

/* That `outcome` is `inner`, aged, sent into the tunnel under this sequence number. */
static void sent_into_tunnel(struct world *world, const struct outcome *outcome, uint32_t tunnel,
			     uint64_t sequence, const uint8_t *inner, uint32_t bytes)
{
	uint8_t text[WORLD_FRAME_MAX], expected[WORLD_FRAME_MAX];

	assert_true(outcome->transmitted);
	assert_int_equal(outcome->port, 0);
	uint32_t text_bytes =
		world_open(world, tunnel, outcome->data, outcome->bytes, sequence, text);
	assert_int_equal(text_bytes, (bytes + 2 + 3) / 4 * 4);
	memcpy(expected, inner, bytes);
	aged(expected);
	assert_memory_equal(text, expected, bytes);
	uint32_t pad_bytes = text_bytes - bytes - 2;
	for (uint32_t k = 0; k < pad_bytes; k++)
		assert_int_equal(text[bytes + k], k + 1);
	assert_int_equal(text[text_bytes - 2], pad_bytes);
	assert_int_equal(text[text_bytes - 1], inner[0] >> 4 == 4 ? 4 : 41);
}

/* That `outcome` is `inner`, aged, in clear on a lan port. */
static void sent_to_lan(struct world *world, const struct outcome *outcome, uint32_t neighbor,
			const uint8_t *inner, uint32_t bytes)
{
	uint8_t expected[WORLD_FRAME_MAX];
	uint32_t port = world->neighbors[neighbor].port;
	const struct spw_port_image *image = &world->ports[port].image[0];
	uint32_t frame_bytes = world_plain(expected, image->vlan, inner, bytes);

	memcpy(expected, world->neighbors[neighbor].mac, 6);
	memcpy(expected + 6, image->mac, 6);
	aged(expected + frame_bytes - bytes);
	assert_true(outcome->transmitted);
	assert_int_equal(outcome->port, port);
	assert_int_equal(outcome->bytes, frame_bytes);
	assert_memory_equal(outcome->data, expected, frame_bytes);
}

static uint32_t inner_of(uint8_t *inner, int family, const char *const addresses[4], uint32_t bytes)
{
	return family == 4 ? world_inner4(inner, addresses[0], addresses[1], 64, bytes)
			   : world_inner6(inner, addresses[2], addresses[3], 64, bytes);
}

/* A lan's packet into each tunnel, of every length modulo 4 and up to the MTU. */
static void gateway_in(void **state)
{
	static const char *const to[4][4] = {
		{0},
		{"10.9.0.9", "10.1.0.1", "2001:db8:9::9", "2001:db8:1::1"},
		{"10.9.0.9", "10.2.0.1", "2001:db8:9::9", "2001:db8:2::1"},
		{"10.9.0.9", "10.3.0.1", "2001:db8:9::9", "2001:db8:3::1"},
	};
	static const uint32_t lengths[] = {40, 41, 42, 43, 44, 576, 1400, 1417, 1418};
	struct world *world = *state;

	for (uint32_t tunnel = 1; tunnel <= 3; tunnel++) {
		uint64_t sequence = 1, inner_bytes = 0;
		for (uint32_t k = 0; k < 18; k++) {
			uint8_t inner[2048], frame[WORLD_FRAME_MAX];
			uint32_t bytes = inner_of(inner, k % 2 ? 4 : 6, to[tunnel], lengths[k / 2]);
			uint32_t frame_bytes = world_plain(frame, 0, inner, bytes);
			struct outcome outcome = world_receive(world, 1, frame, frame_bytes);
			sent_into_tunnel(world, &outcome, tunnel, sequence++, inner, bytes);
			inner_bytes += bytes;
		}
		assert_int_equal(world->counters[tunnel].tx_packets, sequence - 1);
		assert_int_equal(world->counters[tunnel].tx_bytes, inner_bytes);
		assert_int_equal(world->counters[tunnel].rx_packets, 0);
	}
}

/* Out of one tunnel and into another, between all codecs, inner IPv4 and IPv6. */
static void hop(void **state)
{
	static const char *const hosts[4][2] = {{0},
						{"10.1.0.1", "2001:db8:1::1"},
						{"10.2.0.1", "2001:db8:2::1"},
						{"10.3.0.1", "2001:db8:3::1"}};
	struct world *world = *state;
	uint64_t received[4] = {0}, sent[4] = {0};

	for (uint32_t k = 0; k < 36; k++) {
		uint32_t from = 1 + k % 3, to = 1 + k / 3 % 3;
		const char *const addresses[4] = {hosts[from][0], hosts[to][0], hosts[from][1],
						  hosts[to][1]};
		uint8_t inner[2048], frame[WORLD_FRAME_MAX];
		if (from == to)
			continue;
		uint32_t bytes = inner_of(inner, k % 2 ? 4 : 6, addresses, 100 + k);
		struct world_esp esp = world_esp(from, ++received[from], k % 2 ? 4 : 41);
		uint32_t frame_bytes = world_seal(frame, &esp, inner, bytes);
		struct outcome outcome = world_receive(world, 0, frame, frame_bytes);
		sent_into_tunnel(world, &outcome, to, ++sent[to], inner, bytes);
		assert_int_equal(world->counters[from].rx_packets, received[from]);
		assert_int_equal(world->counters[to].tx_packets, sent[to]);
		assert_int_equal(world->counters[from].rx_last_ns, world->lane.now_ns);
		world->lane.now_ns += 1000;
	}
	assert_int_equal(world->counters[1].rx_drops + world->counters[1].tx_drops, 0);
}

/* Out of a tunnel to hosts on a lan, on a tagged one too, and tenants with the same addresses. */
static void gateway_out(void **state)
{
	struct world *world = *state;
	uint8_t inner[2048], frame[WORLD_FRAME_MAX];

	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.9.0.5", 2, 1000);
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);
	uint32_t frame_bytes = world_seal(frame, &esp, inner, bytes);
	struct outcome outcome = world_receive(world, 0, frame, frame_bytes);
	sent_to_lan(world, &outcome, 5, inner, bytes);

	esp = world_esp(4, 1, SPW_PROTO_IPV4); /* the same packet, another tenant */
	frame_bytes = world_seal(frame, &esp, inner, bytes);
	outcome = world_receive(world, 0, frame, frame_bytes);
	sent_to_lan(world, &outcome, 7, inner, bytes);

	bytes = world_inner4(inner, "10.1.0.1", "10.8.0.5", 255, 1000);
	esp = world_esp(1, 2, SPW_PROTO_IPV4);
	frame_bytes = world_seal(frame, &esp, inner, bytes);
	outcome = world_receive(world, 0, frame, frame_bytes);
	sent_to_lan(world, &outcome, 6, inner, bytes);

	bytes = world_inner6(inner, "2001:db8:3::1", "2001:db8:9::5", 2, 40);
	esp = world_esp(3, 1, SPW_PROTO_IPV6);
	frame_bytes = world_seal(frame, &esp, inner, bytes);
	outcome = world_receive(world, 0, frame, frame_bytes);
	sent_to_lan(world, &outcome, 5, inner, bytes);
	assert_int_equal(world->counters[1].rx_bytes, 2000);
	assert_int_equal(world->counters[4].rx_bytes, 1000);
	assert_int_equal(world->counters[3].rx_bytes, 40);
}

/* What stands behind the IP packet is no part of it: Ethernet padding, and TFC padding. */
static void trailing_bytes(void **state)
{
	struct world *world = *state;
	uint8_t inner[2048], frame[WORLD_FRAME_MAX];

	uint32_t bytes = world_inner4(inner, "10.9.0.9", "10.2.0.1", 64, 28);
	uint32_t frame_bytes = world_plain(frame, 0, inner, bytes);
	memset(frame + frame_bytes, 0x77, 60 - frame_bytes);
	struct outcome outcome = world_receive(world, 1, frame, 60);
	sent_into_tunnel(world, &outcome, 2, 1, inner, bytes);

	bytes = world_inner6(inner, "2001:db8:1::1", "2001:db8:2::1", 64, 60);
	memset(inner + bytes, 0x77, 333);
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV6);
	frame_bytes = world_seal(frame, &esp, inner, bytes + 333);
	memset(frame + frame_bytes, 0x99, 20);
	outcome = world_receive(world, 0, frame, frame_bytes + 20);
	sent_into_tunnel(world, &outcome, 2, 2, inner, bytes);
	assert_int_equal(world->counters[2].tx_bytes, 28 + 60);
}

/* VLAN: a port takes its own tag only; a priority tag counts as none. */
static void vlan_tags(void **state)
{
	struct world *world = *state;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.8.0.9", "10.2.0.1", 64, 100);

	uint32_t frame_bytes = world_plain(frame, 5, inner, bytes);
	struct outcome outcome = world_receive(world, 3, frame, frame_bytes);
	sent_into_tunnel(world, &outcome, 2, 1, inner, bytes);
	frame_bytes = world_plain(frame, 6, inner, bytes);
	assert_int_equal(world_receive(world, 3, frame, frame_bytes).reason, SPW_DROP_OUTER_BAD);
	frame_bytes = world_plain(frame, 0, inner, bytes);
	assert_int_equal(world_receive(world, 3, frame, frame_bytes).reason, SPW_DROP_OUTER_BAD);
	bytes = world_inner4(inner, "10.9.0.9", "10.2.0.1", 64, 100);
	frame_bytes = world_plain(frame, 0xe000, inner, bytes);
	outcome = world_receive(world, 1, frame, frame_bytes);
	sent_into_tunnel(world, &outcome, 2, 2, inner, bytes);

	world->ports[0].image[0].vlan = 9; /* the wan's tag, on the way out */
	frame_bytes = world_plain(frame, 0, inner, bytes);
	outcome = world_receive(world, 1, frame, frame_bytes);
	assert_true(outcome.transmitted);
	assert_int_equal(spw_get_be32(outcome.data + 12), 0x81000009);
	memmove(outcome.data + 12, outcome.data + 16, outcome.bytes - 16);
	outcome.bytes -= 4;
	sent_into_tunnel(world, &outcome, 2, 3, inner, bytes);
}

/* IPv4 options inside and outside. */
static void ipv4_options(void **state)
{
	struct world *world = *state;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 100);

	inner[0] = 0x47;
	spw_put_be16(inner + 10, 0);
	spw_put_be16(inner + 10, (uint16_t)~spw_sum_fold(spw_sum(inner, 28, 0)));
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);
	uint32_t frame_bytes = world_seal(frame, &esp, inner, bytes);
	memmove(frame + 38, frame + 34, frame_bytes - 34); /* four bytes of options outside */
	memset(frame + 34, 1, 4);
	frame[14] = 0x46;
	spw_put_be16(frame + 16, (uint16_t)(spw_get_be16(frame + 16) + 4));
	struct outcome outcome = world_receive(world, 0, frame, frame_bytes + 4);
	assert_true(outcome.transmitted);
	uint8_t text[256];
	assert_int_equal(world_open(world, 2, outcome.data, outcome.bytes, 1, text), 104);
	assert_int_equal(text[8], 63);
	assert_int_equal(spw_sum_fold(spw_sum(text, 28, 0)), 0xffff);
}

/* Every TTL and checksum: the incremental update against the whole sum. */
static void checksum_update(void **state)
{
	struct world *world = *state;
	uint8_t inner[64], frame[WORLD_FRAME_MAX];
	uint64_t sequence = 1;

	for (uint32_t id = 0; id < 65536; id += 251) {
		for (uint32_t ttl = 2; ttl < 256; ttl += 23) {
			uint32_t bytes =
				world_inner4(inner, "10.9.0.9", "10.1.0.1", (uint8_t)ttl, 40);
			spw_put_be16(inner + 4, (uint16_t)id);
			spw_put_be16(inner + 10, 0);
			spw_put_be16(inner + 10, (uint16_t)~spw_sum_fold(spw_sum(inner, 20, 0)));
			uint32_t frame_bytes = world_plain(frame, 0, inner, bytes);
			struct outcome outcome = world_receive(world, 1, frame, frame_bytes);
			sent_into_tunnel(world, &outcome, 1, sequence++, inner, bytes);
		}
	}
}

/* A UDP checksum that comes out as 0 goes as 0xffff over IPv6. About one packet in 65536 has it,
 * the same ones in every run; world_open looks at the sum. */
static void udp_checksum_never_zero(void **state)
{
	struct world *world = *state;
	uint8_t inner[64], frame[WORLD_FRAME_MAX], text[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.9.0.9", "10.3.0.1", 64, 28), found = 0;
	uint32_t frame_bytes = world_plain(frame, 0, inner, bytes);

	for (uint64_t sequence = 1; sequence <= 400000 && found < 2; sequence++) {
		struct outcome outcome = world_receive(world, 1, frame, frame_bytes);
		uint16_t checksum = spw_get_be16(outcome.data + SPW_ETHER_BYTES + 46);
		assert_int_not_equal(checksum, 0);
		if (checksum != 0xffff)
			continue;
		assert_int_equal(world_open(world, 3, outcome.data, outcome.bytes, sequence, text),
				 32);
		found++;
	}
	assert_int_equal(found, 2);
}

/* A whole burst at once: good and bad packets side by side do not touch each other. */
static void full_burst(void **state)
{
	struct world *world = *state;
	struct spw_burst *burst = &world->lane.burst;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];

	burst->cnt = SPW_BURST_MAX;
	for (uint32_t i = 0; i < SPW_BURST_MAX; i++) {
		uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 60 + i);
		struct world_esp esp = world_esp(1, 1 + i, SPW_PROTO_IPV4);
		bytes = world_seal(frame, &esp, inner, bytes);
		if (i % 4 == 1)
			frame[bytes - 1] ^= 1;
		burst->mbuf[i] = rte_pktmbuf_alloc(world->pool);
		memcpy(rte_pktmbuf_append(burst->mbuf[i], (uint16_t)bytes), frame, bytes);
		burst->state[i] = i % 4 == 2 ? SPW_DONE : SPW_AT_CLASSIFY;
		burst->port_in[i] = 0;
	}
	world_stages(&world->lane);
	uint64_t sequence = 1;
	for (uint32_t i = 0; i < SPW_BURST_MAX; i++) {
		assert_int_equal(burst->state[i],
				 i % 4 == 1 || i % 4 == 2 ? SPW_DONE : SPW_AT_TRANSMIT);
		if (i % 4 == 2)
			rte_pktmbuf_free(burst->mbuf[i]); /* was never the stages' */
		if (burst->state[i] != SPW_AT_TRANSMIT)
			continue;
		struct outcome outcome = {.transmitted = true,
					  .port = burst->port_out[i],
					  .bytes = burst->mbuf[i]->data_len};
		memcpy(outcome.data, rte_pktmbuf_mtod(burst->mbuf[i], void *), outcome.bytes);
		rte_pktmbuf_free(burst->mbuf[i]);
		world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 60 + i);
		sent_into_tunnel(world, &outcome, 2, sequence++, inner, 60 + i);
	}
	assert_int_equal(world->row.drops[SPW_DROP_AUTH_FAILED], SPW_BURST_MAX / 4);
	assert_int_equal(world->counters[1].rx_packets, SPW_BURST_MAX / 2);
	assert_int_equal(world->counters[1].rx_drops, SPW_BURST_MAX / 4);
}

/* A tunnel's packet with extension headers in front of UDP: `chain` are their types, the fragment
 * header's word is `fragment`; cut: of the frame's length, 0: whole. Returns what became of it. */
static struct outcome behind_extensions(struct world *world, uint64_t sequence,
					const uint8_t chain[8], uint16_t fragment, uint32_t cut)
{
	uint8_t inner[128], frame[WORLD_FRAME_MAX], longer[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.3.0.1", "10.2.0.1", 64, 100);
	struct world_esp esp = world_esp(3, sequence, SPW_PROTO_IPV4);
	bytes = world_seal(frame, &esp, inner, bytes);
	uint32_t head_bytes = SPW_ETHER_BYTES + SPW_IPV6_BYTES, cnt = 0;

	memcpy(longer, frame, head_bytes);
	longer[SPW_ETHER_BYTES + 6] = chain[0];
	for (; chain[cnt] != SPW_PROTO_UDP; cnt++) {
		uint8_t header[8] = {chain[cnt + 1], 0, 1, 4};
		if (chain[cnt] == 44)
			spw_put_be16(header + 2, fragment);
		memcpy(longer + head_bytes + 8 * cnt, header, sizeof(header));
	}
	memcpy(longer + head_bytes + 8 * cnt, frame + head_bytes, bytes - head_bytes);
	bytes = cut ? cut : bytes + 8 * cnt;
	spw_put_be16(longer + SPW_ETHER_BYTES + 4, (uint16_t)(bytes - head_bytes));
	return world_receive(world, 0, longer, bytes);
}

/* What the classifier steers with extension headers gets through, and nothing else. */
static void outer_extensions(void **state)
{
	static const uint8_t good[][8] = {{0, 17}, {60, 43, 17}, {44, 17}, {0, 60, 43, 60, 60, 17}};
	static const uint8_t bad[][8] = {
		{51, 17}, {0, 51, 17}, {0, 60, 43, 60, 60, 60, 17}, {59, 17}};
	struct world *world = *state;
	uint64_t sequence = 1;

	for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++)
		assert_true(behind_extensions(world, sequence++, good[k], 0, 0).transmitted);
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
		assert_int_equal(behind_extensions(world, sequence, bad[k], 0, 0).reason,
				 SPW_DROP_OUTER_BAD);
	for (uint16_t fragment = 1; fragment != 0; fragment = (uint16_t)(fragment << 1)) {
		bool reserved = fragment == 2 || fragment == 4;
		struct outcome outcome = behind_extensions(world, sequence, good[2], fragment, 0);
		assert_int_equal(outcome.transmitted, reserved);
		sequence += reserved;
	}
	world->tight = true;
	for (uint32_t cut = SPW_ETHER_BYTES + SPW_IPV6_BYTES;
	     cut < SPW_ETHER_BYTES + SPW_IPV6_BYTES + 24; cut++)
		assert_int_equal(behind_extensions(world, sequence, good[1], 0, cut).reason,
				 SPW_DROP_OUTER_BAD);
}

/* Tenant 1 gets 20,000 networks, 20.0.0.0/24 and on, into tunnels 1 to 3 in turn: so large a table
 * is asked for a burst at once, among packets of a tenant with a small one. */
#define LARGE_CNT 20000u
static void furnish_large(struct world *world)
{
	struct world_prefix *prefixes = calloc(LARGE_CNT, sizeof(*prefixes));
	char(*text)[32] = calloc(LARGE_CNT, sizeof(*text));

	assert_true(prefixes && text);
	for (uint32_t k = 0; k < LARGE_CNT; k++) {
		snprintf(text[k], sizeof(text[k]), "%u.%u.%u.0/24", 20 + (k >> 16), k >> 8 & 255,
			 k & 255);
		prefixes[k] = (struct world_prefix){text[k], SPW_LEAF(SPW_LEAF_TUNNEL, 1 + k % 3)};
	}
	world->tenants[1].route_root[0] = world_trie(world, prefixes, LARGE_CNT);
	assert_true(spw_lookup_is_far(&world->lane.tables.routes, world->tenants[1].route_root[0]));
	free(prefixes);
	free(text);
}

static void large_table(void **state)
{
	struct world *world = *state;
	struct spw_burst *burst = &world->lane.burst;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];
	char to[32];

	furnish_large(world);
	burst->cnt = SPW_BURST_MAX;
	for (uint32_t i = 0; i < SPW_BURST_MAX; i++) {
		uint32_t k = i * 311 % LARGE_CNT, port = i % 3 == 2 ? 2 : 1;
		snprintf(to, sizeof(to), "20.%u.%u.9", k >> 8, k & 255);
		uint32_t bytes =
			world_inner4(inner, "10.9.0.9", port == 2 ? "10.1.0.1" : to, 64, 60);
		bytes = world_plain(frame, 0, inner, bytes);
		burst->mbuf[i] = rte_pktmbuf_alloc(world->pool);
		memcpy(rte_pktmbuf_append(burst->mbuf[i], (uint16_t)bytes), frame, bytes);
		burst->state[i] = SPW_AT_CLASSIFY;
		burst->port_in[i] = (uint8_t)port;
	}
	world_stages(&world->lane);
	for (uint32_t i = 0; i < SPW_BURST_MAX; i++) {
		assert_int_equal(burst->state[i], SPW_AT_TRANSMIT);
		assert_int_equal(burst->tunnel_out[i],
				 i % 3 == 2 ? 4 : 1 + i * 311 % LARGE_CNT % 3);
		rte_pktmbuf_free(burst->mbuf[i]);
	}
	struct outcome missing = world_receive(
		world, 1, frame,
		world_plain(frame, 0, inner, world_inner4(inner, "10.9.0.9", "99.0.0.1", 64, 60)));
	assert_int_equal(missing.reason, SPW_DROP_ROUTE_MISSING);
}

/* A packet for another worker's SA goes to it whole, and through all stages there. */
static void handed_off(void **state)
{
	struct world *world = *state;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];
	struct spw_lane *lane = &world->lane;

	struct rte_ring *ring = rte_ring_create("handoff", 8, 0, RING_F_SC_DEQ);
	assert_non_null(ring);
	lane->workers = 2;
	lane->handoff[1] = ring;
	spw_sa_destroy(spw_sa_unpublish(lane->sas, SPW_SA_IN, 1));
	struct spw_msg_sa_add sa = world_sa(SPW_SA_IN, 1);
	sa.worker = 1;
	assert_int_equal(world_sa_add(world, &sa), 0);

	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.9.0.5", 64, 100);
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);
	uint32_t frame_bytes = world_seal(frame, &esp, inner, bytes);
	assert_true(world_receive(world, 0, frame, frame_bytes).handed_off);
	assert_int_equal(lane->handoff_wanted, 2);
	assert_int_equal(world->row.handoffs, 1);
	assert_int_equal(world->counters[1].rx_packets, 0);

	void *object = NULL;
	assert_int_equal(rte_ring_dequeue(ring, &object), 0);
	struct rte_mbuf *mbuf = object;
	assert_int_equal(mbuf->port, 0);
	assert_int_equal(mbuf->data_len, frame_bytes);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, void *), frame, frame_bytes);
	rte_pktmbuf_free(mbuf);
	lane->worker = 1;
	struct outcome outcome = world_receive(world, 0, frame, frame_bytes);
	sent_to_lan(world, &outcome, 5, inner, bytes);
	rte_ring_free(ring);
}

/* Changes of a neighbor, a route and a record take effect with the next packet. */
static void tables_change(void **state)
{
	struct world *world = *state;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.9.0.9", "10.1.0.1", 64, 100);
	uint32_t frame_bytes = world_plain(frame, 0, inner, bytes);

	struct outcome outcome = world_receive(world, 1, frame, frame_bytes);
	sent_into_tunnel(world, &outcome, 1, 1, inner, bytes);
	world->neighbors[WORLD_NEIGHBOR_WAN].mac[5] ^= 0xff;
	world->neighbors[WORLD_NEIGHBOR_WAN].state = SPW_NEIGHBOR_STALE;
	outcome = world_receive(world, 1, frame, frame_bytes);
	sent_into_tunnel(world, &outcome, 1, 2, inner, bytes);
	world->tenants[1].route_root[0] = world_trie(
		world, &(struct world_prefix){"0.0.0.0/0", SPW_LEAF(SPW_LEAF_TUNNEL, 3)}, 1);
	outcome = world_receive(world, 1, frame, frame_bytes);
	sent_into_tunnel(world, &outcome, 3, 1, inner, bytes);
	world->tunnels[5] = world->tunnels[3]; /* republished in another slot, by IPv4 */
	memcpy(world->tunnels[5].outer, world->tunnels[1].outer, SPW_OUTER_BYTES_MAX);
	world->tunnels[5].outer_bytes = 28;
	world->tunnel_roots[3].slot = 5;
	outcome = world_receive(world, 1, frame, frame_bytes);
	world->tunnels[3] = world->tunnels[5]; /* where world_open looks */
	sent_into_tunnel(world, &outcome, 3, 2, inner, bytes);
	world->ports[0].image[1] = world->ports[0].image[0];
	world->ports[0].image[1].mac[5] = 0x55;
	world->ports[0].active = 1;
	outcome = world_receive(world, 1, frame, frame_bytes);
	assert_true(outcome.transmitted);
	assert_int_equal(outcome.data[11], 0x55);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gateway_in, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(hop, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(gateway_out, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(trailing_bytes, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(vlan_tags, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(ipv4_options, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(outer_extensions, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(checksum_update, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(udp_checksum_never_zero, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(full_burst, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(large_table, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(handed_off, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(tables_change, world_setup, world_teardown),
	};
	if (world_eal_start() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
