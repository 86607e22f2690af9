/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_drops.c - packets that do not get through: every reason of the stages, each under its own
 * name and no other (world_receive looks at all of them), and valid traffic after each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ring.h>

#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/world.h"

/* The reasons that some test below has reached. */
static bool reached[SPW_DROP_CNT];

#define DROPPED(outcome, id)                                                                       \
	do {                                                                                       \
		assert_string_equal(world_drop_name((outcome).reason),                             \
				    world_drop_name(SPW_DROP_##id));                               \
		reached[SPW_DROP_##id] = true;                                                     \
	} while (0)

static struct outcome from_lan(struct world *world, const uint8_t *inner, uint32_t bytes)
{
	uint8_t frame[WORLD_FRAME_MAX];
	return world_receive(world, 1, frame, world_plain(frame, 0, inner, bytes));
}

static struct outcome from_tunnel(struct world *world, const struct world_esp *esp,
				  const uint8_t *text, uint32_t bytes)
{
	uint8_t frame[WORLD_FRAME_MAX];
	return world_receive(world, 0, frame, world_seal(frame, esp, text, bytes));
}

/* A good packet from tunnel 1 or the lan to a destination of the test's choice. */
static struct outcome tunnel_to(struct world *world, uint64_t sequence, const char *destination,
				uint32_t bytes)
{
	uint8_t inner[2048];
	struct world_esp esp = world_esp(1, sequence, SPW_PROTO_IPV4);
	world_inner4(inner, "10.1.0.1", destination, 64, bytes);
	return from_tunnel(world, &esp, inner, bytes);
}

static struct outcome lan_to(struct world *world, const char *destination, uint32_t bytes)
{
	uint8_t inner[2048];
	world_inner4(inner, "10.9.0.9", destination, 64, bytes);
	return from_lan(world, inner, bytes);
}

static void outer_bad(void **state)
{
	struct world *world = *state;
	uint8_t good[WORLD_FRAME_MAX], frame[WORLD_FRAME_MAX], inner[128];
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);
	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 100);
	bytes = world_seal(good, &esp, inner, bytes);
	static const struct {
		uint32_t at;
		uint8_t value;
	} changes[] = {
		{12, 0x88},          /* not IP */
		{14, 0x55},          /* version */
		{14, 0x44},          /* header length */
		{20, 0x20},          /* more fragments */
		{21, 1},             /* a later fragment */
		{23, 6},             /* TCP */
		{36, 0x12}, {37, 0}, /* another port */
		{38, 0xff}, {39, 7}, /* UDP length: too long, and shorter than its header */
	};
	for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++) {
		memcpy(frame, good, bytes);
		frame[changes[k].at] = changes[k].value;
		if (changes[k].at == 39)
			frame[38] = 0;
		DROPPED(world_receive(world, 0, frame, bytes), OUTER_BAD);
	}
	DROPPED(world_receive(world, 9, good, bytes), OUTER_BAD); /* a port without a role */
	DROPPED(world_receive(world, 0, good, 0), OUTER_BAD);
	good[12] = 8, good[13] = 6; /* ARP on a lan */
	DROPPED(world_receive(world, 1, good, bytes), OUTER_BAD);
	assert_true(tunnel_to(world, 1, "10.2.0.1", 100).transmitted);
}

static void packet_too_long(void **state)
{
	struct world *world = *state;
	struct spw_burst *burst = &world->lane.burst;

	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(world->pool);
	struct rte_mbuf *second = rte_pktmbuf_alloc(world->pool);
	rte_pktmbuf_append(mbuf, 1000);
	rte_pktmbuf_append(second, 1000);
	rte_pktmbuf_chain(mbuf, second);
	burst->cnt = 1;
	burst->mbuf[0] = mbuf;
	burst->state[0] = SPW_AT_CLASSIFY;
	burst->port_in[0] = 0;
	world_stages(&world->lane);
	assert_int_equal(burst->state[0], SPW_DONE);
	assert_int_equal(world->row.drops[SPW_DROP_PACKET_TOO_LONG], 1);

	/* Room is missing behind the packet, then in front of it: no number is used up. */
	world->tunnels[1].inner_mtu_bytes = UINT16_MAX;
	DROPPED(lan_to(world, "10.1.0.1", 2030), PACKET_TOO_LONG);
	mbuf = rte_pktmbuf_alloc(world->pool);
	uint8_t inner[128], frame[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.9.0.9", "10.1.0.1", 64, 100);
	bytes = world_plain(frame, 0, inner, bytes);
	rte_pktmbuf_prepend(mbuf, rte_pktmbuf_headroom(mbuf));
	rte_pktmbuf_append(mbuf, (uint16_t)(bytes - mbuf->data_len));
	memcpy(rte_pktmbuf_mtod(mbuf, void *), frame, bytes);
	burst->mbuf[0] = mbuf;
	burst->state[0] = SPW_AT_CLASSIFY;
	burst->port_in[0] = 1;
	world_stages(&world->lane);
	assert_int_equal(burst->state[0], SPW_DONE);
	assert_int_equal(world->row.drops[SPW_DROP_PACKET_TOO_LONG], 3);
	assert_int_equal(world->lane.sas->out[1]->sequence, 1);
	assert_int_equal(world->counters[1].tx_drops, 2);
}

static void esp_bad(void **state)
{
	struct world *world = *state;
	uint8_t inner[128], frame[WORLD_FRAME_MAX];
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);
	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 100);

	esp.raw_text = true;
	DROPPED(from_tunnel(world, &esp, inner, 97), ESP_TRUNCATED); /* misaligned */
	DROPPED(from_tunnel(world, &esp, inner, 0), ESP_TRUNCATED);
	esp.raw_text = false;
	esp.sa.spi ^= 1;
	DROPPED(from_tunnel(world, &esp, inner, bytes), SPI_UNKNOWN); /* generation */
	esp.sa.spi = WORLD_SPI_IN(5);
	DROPPED(from_tunnel(world, &esp, inner, bytes), SPI_UNKNOWN); /* no such SA */
	esp.sa.spi = UINT32_MAX;
	DROPPED(from_tunnel(world, &esp, inner, bytes), SPI_UNKNOWN); /* beyond the table */
	esp = world_esp(1, 1, SPW_PROTO_IPV4);
	world->tunnel_roots[1].slot = 0;
	DROPPED(from_tunnel(world, &esp, inner, bytes), SPI_UNKNOWN); /* the tunnel is gone */
	world->tunnel_roots[1].slot = 99;
	DROPPED(from_tunnel(world, &esp, inner, bytes), SPI_UNKNOWN); /* a wrong table */
	world->tunnel_roots[1].slot = 1;
	struct spw_spi published = world->spis[1];
	world->spis[1] = (struct spw_spi){0};
	DROPPED(from_tunnel(world, &esp, inner, bytes), SPI_UNKNOWN); /* withdrawn, not gone yet */
	world->spis[1] = published;
	assert_int_equal(world->counters[1].rx_drops, 0);

	esp.sa.key[3] ^= 1;
	DROPPED(from_tunnel(world, &esp, inner, bytes), AUTH_FAILED);
	esp = world_esp(1, 1, SPW_PROTO_IPV4);
	bytes = world_seal(frame, &esp, inner, bytes);
	assert_true(world_receive(world, 0, frame, bytes).transmitted);
	DROPPED(world_receive(world, 0, frame, bytes), REPLAYED);
	assert_int_equal(world->counters[1].rx_drops, 2);
	assert_int_equal(world->counters[1].auth_failures, 1);
	assert_int_equal(world->counters[1].replays, 1);
	assert_true(tunnel_to(world, 3000, "10.2.0.1", 100).transmitted);
	DROPPED(tunnel_to(world, 3000 - 2048, "10.2.0.1", 100), REPLAY_OLD);
	assert_true(tunnel_to(world, 3000 - 2047, "10.2.0.1", 100).transmitted);
	assert_int_equal(world->counters[1].replays, 2);
}

static void trailer_bad(void **state)
{
	struct world *world = *state;
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);
	uint8_t text[128];

	esp.raw_text = true;
	world_inner4(text, "10.1.0.1", "10.2.0.1", 64, 60);
	static const struct {
		uint8_t tail[8]; /* behind 60 bytes of IP */
		int reason;
	} cases[] = {
		{{1, 2, 3, 4, 5, 6, 6, 4}, -1},
		{{0, 0, 0, 0, 0, 0, 6, 4}, SPW_DROP_PADDING_BAD},
		{{1, 2, 3, 4, 5, 7, 6, 4}, SPW_DROP_PADDING_BAD},
		{{2, 3, 4, 5, 6, 7, 6, 4}, SPW_DROP_PADDING_BAD},
		{{1, 2, 3, 4, 5, 6, 66, 4}, SPW_DROP_PADDING_BAD},
		{{1, 2, 3, 4, 5, 6, 67, 4}, SPW_DROP_PADDING_BAD}, /* longer than all of it */
		{{1, 2, 3, 4, 5, 6, 255, 4}, SPW_DROP_PADDING_BAD},
		{{1, 2, 3, 4, 5, 6, 6, 6}, SPW_DROP_NEXT_HEADER_BAD},
		{{1, 2, 3, 4, 5, 6, 6, 0}, SPW_DROP_NEXT_HEADER_BAD},
		{{1, 2, 3, 4, 5, 6, 6, 59}, SPW_DROP_DUMMY},
		{{1, 2, 3, 4, 5, 6, 6, 41}, SPW_DROP_INNER_BAD}, /* says IPv6, is IPv4 */
	};
	size_t cnt = sizeof(cases) / sizeof(cases[0]);
	for (size_t k = 0; k < cnt; k++, esp.sequence++) {
		memcpy(text + 60, cases[k].tail, 8);
		int reason = from_tunnel(world, &esp, text, 68).reason;
		assert_string_equal(world_drop_name(reason), world_drop_name(cases[k].reason));
		if (reason >= 0)
			reached[reason] = true;
	}
	assert_int_equal(world->counters[1].rx_packets, cnt); /* all of them were authentic */
	assert_int_equal(world->counters[1].rx_drops, cnt - 1);
	assert_int_equal(world->counters[1].rx_bytes, 2 * 60);
}

static void inner_bad(void **state)
{
	struct world *world = *state;
	uint8_t inner[128], good[128];
	static const struct {
		uint8_t at, value;
	} changes[] = {
		{0, 0x65}, {0, 0x44}, {0, 0x4f}, /* version, header lengths (and checksum) */
		{2, 1},    {3, 19},              /* longer than the frame, than its header */
		{10, 0},   {12, 11},             /* checksum */
	};
	world->tight = true;
	world_inner4(good, "10.9.0.9", "10.2.0.1", 64, 100);
	for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++) {
		memcpy(inner, good, 100);
		inner[changes[k].at] = changes[k].value;
		uint8_t frame[WORLD_FRAME_MAX];
		world_plain(frame, 0, inner, 100);
		frame[12] = 8, frame[13] = 0;
		DROPPED(world_receive(world, 1, frame, 114), INNER_BAD);
	}
	for (uint32_t bytes = 0; bytes < 100; bytes++) {
		uint8_t frame[WORLD_FRAME_MAX];
		world_plain(frame, 0, good, bytes);
		DROPPED(world_receive(world, 1, frame, 14 + bytes), INNER_BAD);
	}
	world_inner6(good, "2001:db8:9::9", "2001:db8:2::1", 64, 100);
	for (uint32_t bytes = 0; bytes < 100; bytes++) {
		uint8_t frame[WORLD_FRAME_MAX];
		world_plain(frame, 0, good, bytes);
		DROPPED(world_receive(world, 1, frame, 14 + bytes), INNER_BAD);
	}
	/* A dozen lengths of nothing at all out of a tunnel, authentic. */
	for (uint32_t bytes = 0; bytes < 12; bytes++) {
		struct world_esp esp = world_esp(2, 1 + bytes, bytes % 2 ? 4 : 41);
		DROPPED(from_tunnel(world, &esp, good, bytes), INNER_BAD);
	}
	world->tight = false;
	assert_true(lan_to(world, "10.2.0.1", 100).transmitted);
}

static void inner_source_denied(void **state)
{
	struct world *world = *state;
	uint8_t inner[128];
	struct world_esp esp = world_esp(1, 1, SPW_PROTO_IPV4);

	world_inner4(inner, "10.2.0.1", "10.2.0.9", 64, 60); /* tunnel 2's net, out of tunnel 1 */
	DROPPED(from_tunnel(world, &esp, inner, 60), INNER_SOURCE_DENIED);
	world_inner4(inner, "10.1.0.1", "10.2.0.9", 64, 60); /* tunnel 1's net, from the lan */
	DROPPED(from_lan(world, inner, 60), INNER_SOURCE_DENIED);
	world_inner6(inner, "2001:db8:8::1", "2001:db8:2::1", 64, 60);
	DROPPED(from_lan(world, inner, 60), INNER_SOURCE_DENIED);
	world->tunnels[1].allow_root[0] = 0; /* nothing allowed */
	DROPPED(tunnel_to(world, 2, "10.2.0.9", 60), INNER_SOURCE_DENIED);
	world->tunnels[1].allow_root[0] = UINT32_MAX; /* a wrong table */
	DROPPED(tunnel_to(world, 3, "10.2.0.9", 60), INNER_SOURCE_DENIED);
	world->tunnels[1].allow_root[0] = world_trie(
		world, &(struct world_prefix){"0.0.0.0/0", SPW_LEAF(SPW_LEAF_TUNNEL, 1)}, 1);
	DROPPED(tunnel_to(world, 4, "10.2.0.9", 60), INNER_SOURCE_DENIED); /* not a member leaf */
	assert_true(lan_to(world, "10.2.0.1", 100).transmitted);
}

static void ttl_expired(void **state)
{
	struct world *world = *state;
	uint8_t inner[128];

	for (uint8_t ttl = 0; ttl < 4; ttl++) {
		struct outcome outcome[2];
		world_inner4(inner, "10.9.0.9", "10.2.0.1", ttl, 60);
		outcome[0] = from_lan(world, inner, 60);
		world_inner6(inner, "2001:db8:9::9", "2001:db8:2::1", ttl, 60);
		outcome[1] = from_lan(world, inner, 60);
		for (int k = 0; k < 2; k++) {
			if (ttl < 2)
				DROPPED(outcome[k], TTL_EXPIRED);
			else
				assert_true(outcome[k].transmitted);
		}
	}
}

static void rates(void **state)
{
	struct world *world = *state;
	struct spw_rate *tunnel = &world->rates[1], *tenant = &world->rates[WORLD_TUNNELS + 1];
	uint64_t sequence = 1;

	/* Each alone: 5000 bytes of burst, then 1000 bytes per second. */
	tunnel->in_cap = SPW_CAP(8, 5000);
	for (int k = 0; k < 5; k++)
		assert_true(tunnel_to(world, sequence++, "10.2.0.1", 1000).transmitted);
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 1000), RATE_TUNNEL_IN);
	world->lane.now_ns += 999999999;
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 1000), RATE_TUNNEL_IN);
	world->lane.now_ns += 1;
	assert_true(tunnel_to(world, sequence++, "10.2.0.1", 1000).transmitted);
	assert_true(lan_to(world, "10.2.0.1", 1000).transmitted); /* not the tunnel's */
	tunnel->in_cap = 0;

	world->rates[2].out_cap = SPW_CAP(8, 5000);
	for (int k = 0; k < 5; k++)
		assert_true(tunnel_to(world, sequence++, "10.2.0.1", 1000).transmitted);
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 1000), RATE_TUNNEL_OUT);
	assert_true(tunnel_to(world, sequence++, "10.3.0.1", 1000).transmitted);
	world->rates[2].out_cap = 0;

	/* The tenant's cap counts all its ports and tunnels, and refuses nobody else. */
	tenant->in_cap = SPW_CAP(8, 5000);
	for (int k = 0; k < 5; k++)
		assert_true(lan_to(world, "10.2.0.1", 1000).transmitted);
	DROPPED(lan_to(world, "10.2.0.1", 1000), RATE_TENANT);
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 1000), RATE_TENANT);
	uint8_t inner[1000];
	struct world_esp esp = world_esp(4, 1, SPW_PROTO_IPV4);
	world_inner4(inner, "10.1.0.1", "10.9.0.5", 64, 1000);
	assert_true(from_tunnel(world, &esp, inner, 1000).transmitted);
	assert_int_equal(world->counters[1].rx_drops, 4);
}

/* What the tenant's cap refuses is not charged to the tunnel. */
static void refused_is_not_charged(void **state)
{
	struct world *world = *state;
	uint64_t sequence = 1;

	world->rates[1].in_cap = SPW_CAP(8, 6000);
	world->rates[WORLD_TUNNELS + 1].in_cap = SPW_CAP(8, 5000);
	for (int k = 0; k < 5; k++)
		assert_true(tunnel_to(world, sequence++, "10.2.0.1", 1000).transmitted);
	for (int k = 0; k < 10; k++)
		DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 1000), RATE_TENANT);
	world->rates[WORLD_TUNNELS + 1].in_cap = 0;
	assert_true(tunnel_to(world, sequence++, "10.2.0.1", 1000).transmitted);
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 1000), RATE_TUNNEL_IN);
}

static void route_missing(void **state)
{
	struct world *world = *state;
	uint64_t sequence = 1;

	DROPPED(tunnel_to(world, sequence++, "10.77.0.1", 60), ROUTE_MISSING);
	DROPPED(tunnel_to(world, sequence++, "10.1.0.9", 60), ROUTE_MISSING); /* back again */
	DROPPED(tunnel_to(world, sequence++, "10.4.0.1", 60), ROUTE_MISSING); /* another tenant */
	DROPPED(tunnel_to(world, sequence++, "10.5.0.1", 60), ROUTE_MISSING); /* no such tunnel */
	DROPPED(tunnel_to(world, sequence++, "10.9.0.7", 60), ROUTE_MISSING); /* its neighbor */
	static const uint32_t leaves[] = {
		SPW_LEAF(SPW_LEAF_NONE, 1),   SPW_LEAF(SPW_LEAF_MEMBER, 1),
		SPW_LEAF(SPW_LEAF_TUNNEL, 0), SPW_LEAF(SPW_LEAF_TUNNEL, SPW_LEAF_INDEX_MASK),
		SPW_LEAF(SPW_LEAF_LAN, 0),    SPW_LEAF(SPW_LEAF_LAN, 2),
		SPW_LEAF(SPW_LEAF_LAN, 4711), SPW_LEAF(15, 1),
	};
	for (size_t k = 0; k < sizeof(leaves) / sizeof(leaves[0]); k++) {
		world->tenants[1].route_root[0] =
			world_trie(world, &(struct world_prefix){"0.0.0.0/0", leaves[k]}, 1);
		DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 60), ROUTE_MISSING);
	}
	world->tenants[1].route_root[0] = UINT32_MAX; /* wrong tables */
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 60), ROUTE_MISSING);
	world->tunnels[1].tenant = WORLD_TENANTS;
	DROPPED(tunnel_to(world, sequence++, "10.2.0.1", 60), ROUTE_MISSING);
	world->ports[1].image[0].tenant = UINT32_MAX;
	DROPPED(lan_to(world, "10.2.0.1", 60), ROUTE_MISSING);
	world->ports[1].image[0].tenant = 1;
	world->tunnels[2].port = 200;
	world->tenants[1].route_root[0] = world_trie(
		world, &(struct world_prefix){"0.0.0.0/0", SPW_LEAF(SPW_LEAF_TUNNEL, 2)}, 1);
	DROPPED(lan_to(world, "10.2.0.1", 60), ROUTE_MISSING);
	world->tunnels[2].port = 0;
	assert_true(lan_to(world, "10.2.0.1", 60).transmitted);
}

static void inner_too_big(void **state)
{
	struct world *world = *state;

	assert_true(lan_to(world, "10.2.0.1", 1438).transmitted);
	DROPPED(lan_to(world, "10.2.0.1", 1439), INNER_TOO_BIG);
	assert_true(lan_to(world, "10.3.0.1", 1418).transmitted);
	DROPPED(lan_to(world, "10.3.0.1", 1419), INNER_TOO_BIG);
	world->lane.port_mtu_bytes[1] = 1000;
	assert_true(tunnel_to(world, 1, "10.9.0.5", 1000).transmitted);
	DROPPED(tunnel_to(world, 2, "10.9.0.5", 1001), INNER_TOO_BIG);
	assert_int_equal(world->counters[2].tx_drops, 1);
}

static void neighbor_unresolved(void **state)
{
	struct world *world = *state;
	struct spw_worker_row *row = &world->row;

	/* A host on the lan whose MAC is not known: control reads who it was. */
	DROPPED(tunnel_to(world, 1, "10.9.0.66", 60), NEIGHBOR_UNRESOLVED);
	assert_int_equal(row->glean_seq, 2);
	assert_int_equal(row->glean_port, 1);
	assert_int_equal(row->glean_family, 4);
	assert_memory_equal(row->glean_addr, "\x0a\x09\0\x42\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	uint8_t inner[60];
	struct world_esp esp = world_esp(1, 2, SPW_PROTO_IPV6);
	world_inner6(inner, "2001:db8:1::1", "2001:db8:9::66", 64, 60);
	DROPPED(from_tunnel(world, &esp, inner, 60), NEIGHBOR_UNRESOLVED);
	assert_int_equal(row->glean_seq, 4);
	assert_int_equal(row->glean_family, 6);
	assert_memory_equal(row->glean_addr, inner + 24, 16);

	world->neighbors[5].state = SPW_NEIGHBOR_NONE;
	DROPPED(tunnel_to(world, 3, "10.9.0.5", 60), NEIGHBOR_UNRESOLVED);
	world->neighbors[WORLD_NEIGHBOR_WAN].state = SPW_NEIGHBOR_NONE;
	DROPPED(tunnel_to(world, 4, "10.2.0.1", 60), NEIGHBOR_UNRESOLVED);
	world->neighbors[WORLD_NEIGHBOR_WAN].state = SPW_NEIGHBOR_VALID;
	world->tunnels[2].neighbor = 0;
	DROPPED(tunnel_to(world, 5, "10.2.0.1", 60), NEIGHBOR_UNRESOLVED);
	world->tunnels[2].neighbor = UINT32_MAX;
	DROPPED(tunnel_to(world, 6, "10.2.0.1", 60), NEIGHBOR_UNRESOLVED);
	assert_int_equal(row->glean_seq, 4);
	assert_int_equal(world->lane.sas->out[2]->sequence, 1);
}

static void sa_absent(void **state)
{
	struct world *world = *state;

	static const uint32_t slots[] = {0, 9, 64, UINT32_MAX};
	for (int k = 0; k < 4; k++) {
		world->tunnels[2].tx_sa[0] = slots[k];
		DROPPED(lan_to(world, "10.2.0.1", 60), SA_ABSENT);
	}
	world->tunnels[2].tx_sa[0] = 3; /* another tunnel's */
	DROPPED(lan_to(world, "10.2.0.1", 60), SA_ABSENT);
	world->tunnels[2].tx_sa[0] = 2;
	world->lane.sas->out[2]->worker = 1; /* another worker's */
	DROPPED(lan_to(world, "10.2.0.1", 60), SA_ABSENT);
	world->lane.sas->out[2]->worker = 0;
	assert_true(lan_to(world, "10.2.0.1", 60).transmitted);
	assert_int_equal(world->lane.sas->out[3]->sequence, 1);
}

/* The last number is used, the one after never: no IV twice. */
static void sequence_exhausted(void **state)
{
	struct world *world = *state;
	struct spw_sa *sa1 = world->lane.sas->out[1], *sa2 = world->lane.sas->out[2];

	sa1->sequence = UINT32_MAX; /* without ESN */
	assert_true(lan_to(world, "10.1.0.1", 60).transmitted);
	for (int k = 0; k < 3; k++)
		DROPPED(lan_to(world, "10.1.0.1", 60), SEQUENCE_EXHAUSTED);
	sa2->sequence = UINT32_MAX; /* with ESN that is no end */
	assert_true(lan_to(world, "10.2.0.1", 60).transmitted);
	struct outcome outcome = lan_to(world, "10.2.0.1", 60);
	uint8_t text[128];
	assert_true(outcome.transmitted);
	assert_int_equal(world_open(world, 2, outcome.data, outcome.bytes, 1ull << 32, text), 64);
	sa2->sequence = UINT64_MAX - 1;
	assert_true(lan_to(world, "10.2.0.1", 60).transmitted);
	for (int k = 0; k < 3; k++)
		DROPPED(lan_to(world, "10.2.0.1", 60), SEQUENCE_EXHAUSTED);
	assert_int_equal(sa2->sequence, UINT64_MAX);
}

static void reserve_exhausted(void **state)
{
	struct world *world = *state;
	struct spw_sa_table *sas = world->lane.sas;

	assert_int_equal(spw_sa_limit(sas, SPW_SA_OUT, 1, 3), 0);
	assert_true(lan_to(world, "10.1.0.1", 60).transmitted);
	assert_true(lan_to(world, "10.1.0.1", 60).transmitted);
	DROPPED(lan_to(world, "10.1.0.1", 60), RESERVE_EXHAUSTED);
	assert_int_equal(spw_sa_limit(sas, SPW_SA_OUT, 1, 4), 0);
	assert_true(lan_to(world, "10.1.0.1", 60).transmitted);
	DROPPED(lan_to(world, "10.1.0.1", 60), RESERVE_EXHAUSTED);

	assert_int_equal(spw_sa_limit(sas, SPW_SA_IN, 1, 100 + SPW_SA_LOW_PACKETS), 0);
	assert_true(tunnel_to(world, 90, "10.2.0.1", 60).transmitted);
	assert_false(world->lane.reserve_low);
	assert_int_equal(spw_sa_limit(sas, SPW_SA_IN, 1, 100), 0);
	DROPPED(tunnel_to(world, 100, "10.2.0.1", 60), RESERVE_EXHAUSTED);
	uint64_t highest;
	assert_int_equal(spw_sa_query(sas, SPW_SA_IN, 1, &highest), 0);
	assert_int_equal(highest, 100); /* refused, but authentic: control learns of it */
	assert_true(world->lane.reserve_low);
	sas->in[1]->salt_be ^= 1;
	DROPPED(tunnel_to(world, 200, "10.2.0.1", 60), AUTH_FAILED);
	sas->in[1]->salt_be ^= 1;
	assert_int_equal(spw_sa_query(sas, SPW_SA_IN, 1, &highest), 0);
	assert_int_equal(highest, 100);
	assert_true(tunnel_to(world, 99, "10.2.0.1", 60).transmitted);
	assert_int_equal(spw_sa_limit(sas, SPW_SA_IN, 1, 101), 0);
	assert_true(tunnel_to(world, 100, "10.2.0.1", 60).transmitted);
}

static void handoff_full(void **state)
{
	struct world *world = *state;
	struct rte_ring *ring = rte_ring_create("full", 2, 0, RING_F_SC_DEQ);

	world->lane.sas->in[1]->worker = 1;
	DROPPED(tunnel_to(world, 1, "10.2.0.1", 60), HANDOFF_FULL); /* no such worker */
	world->lane.handoff[1] = ring;
	assert_true(tunnel_to(world, 1, "10.2.0.1", 60).handed_off);
	DROPPED(tunnel_to(world, 2, "10.2.0.1", 60), HANDOFF_FULL); /* holds one of two */
	void *object = NULL;
	assert_int_equal(rte_ring_dequeue(ring, &object), 0);
	rte_pktmbuf_free(object);
	rte_ring_free(ring);
	world->lane.sas->in[1]->worker = 0;
	assert_true(tunnel_to(world, 1, "10.2.0.1", 60).transmitted);
}

/* Whether one of the stages is named; the classifier has tests of its own (tests/ebpf). */
static bool names_stage(const char *where)
{
	static const char *const others[] = {"classifier", "transmit", "receive"};

	for (; *where; where += strspn(where, ", ")) {
		size_t bytes = strcspn(where, ",");
		bool other = false;
		for (size_t k = 0; k < 3; k++)
			other |= strlen(others[k]) == bytes && !strncmp(where, others[k], bytes);
		if (!other)
			return true;
		where += bytes;
	}
	return false;
}

/* Every reason that the list gives to one of the stages was reached above. */
static void all_reached(void **state)
{
	static const char *const where[] = {
#define WHERE(id, name, where, text) [SPW_DROP_##id] = where,
		SPW_DROP_LIST(WHERE)
#undef WHERE
	};
	(void)state;
	for (int k = 0; k < SPW_DROP_CNT; k++) {
		bool ours = names_stage(where[k]);
		if (reached[k] != ours)
			fail_msg("%s: %s", world_drop_name(k), ours ? "not reached" : "not ours");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(outer_bad, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(packet_too_long, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(esp_bad, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(trailer_bad, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(inner_bad, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(inner_source_denied, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(ttl_expired, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(rates, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(refused_is_not_charged, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(route_missing, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(inner_too_big, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(neighbor_unresolved, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(sa_absent, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(sequence_exhausted, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(reserve_exhausted, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(handoff_full, world_setup, world_teardown),
		cmocka_unit_test(all_reached),
	};
	if (world_eal_start() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
