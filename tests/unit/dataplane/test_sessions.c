/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sessions.c - what sessions need of a worker: reports of the first packet and of a peer that
 * has moved, and packets without content.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ring_elem.h>

#include "dataplane/stages/report.h"
#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/world.h"

#define RING 4u    /* and so 3 reports */
#define PORT 4501u /* the world's peers send from it, and their records send to 4500 */

/* Inbound SAs of tunnels 2 (IPv4 outside) and 3 (IPv6) are those of sessions. */
static int setup(void **state)
{
	struct world *world;

	if (world_setup(state) != 0)
		return -1;
	world = *state;
	world->lane.reports = rte_ring_create_elem("reports", sizeof(union spw_report), RING, 0, 0);
	assert_non_null(world->lane.reports);
	for (uint32_t tunnel = 2; tunnel <= 3; tunnel++) {
		struct spw_msg_sa_add sa = world_sa(SPW_SA_IN, tunnel);
		spw_sa_destroy(spw_sa_unpublish(world->lane.sas, SPW_SA_IN, tunnel));
		sa.flags |= SPW_SA_F_SESSION;
		assert_int_equal(world_sa_add(world, &sa), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	rte_ring_free(world->lane.reports);
	return world_teardown(state);
}

/* How a packet arrives. */
struct arrival {
	uint64_t sequence;
	uint16_t port;
	uint8_t host; /* last byte of its source; 2: the record's */
	bool options; /* IPv4 options, or an extension header */
	bool forged;
};

/* 8 bytes more between the outer IP header and UDP. Returns the frame's length. */
static uint32_t widen(uint8_t *frame, uint32_t bytes, uint32_t tunnel)
{
	uint8_t *ip = frame + SPW_ETHER_BYTES;
	uint8_t *udp = ip + (tunnel == 3 ? SPW_IPV6_BYTES : SPW_IPV4_BYTES);

	memmove(udp + 8, udp, bytes - (size_t)(udp - frame));
	if (tunnel == 3) {
		static const uint8_t padding[8] = {SPW_PROTO_UDP, 0, 1, 4};
		memcpy(udp, padding, 8);
		ip[6] = 60; /* destination options */
		spw_put_be16(ip + 4, (uint16_t)(spw_get_be16(ip + 4) + 8));
	} else {
		/* A loose source route to the record's remote address: not where it came from. */
		static const uint8_t route[8] = {131, 7, 4, 192, 0, 2, 2, 0};
		memcpy(udp, route, 8);
		ip[0] = 0x47;
		spw_put_be16(ip + 2, (uint16_t)(spw_get_be16(ip + 2) + 8));
	}
	return bytes + 8;
}

static void arrive(struct world *world, uint32_t tunnel, struct arrival how)
{
	struct world_esp esp = world_esp(tunnel, how.sequence, SPW_PROTO_NONE);
	uint8_t frame[WORLD_FRAME_MAX], *ip = frame + SPW_ETHER_BYTES;
	uint32_t bytes = world_seal(frame, &esp, (const uint8_t *)"", 0);

	ip[tunnel == 3 ? 23 : 15] = how.host;
	spw_put_be16(ip + (tunnel == 3 ? SPW_IPV6_BYTES : SPW_IPV4_BYTES), how.port);
	if (how.options)
		bytes = widen(frame, bytes, tunnel);
	frame[bytes - 1] ^= how.forged;
	world_receive(world, 0, frame, bytes);
}

/* The next report; its type is 0 where there is none. */
static union spw_report taken(struct world *world)
{
	union spw_report report = {0};

	if (rte_ring_sc_dequeue_elem(world->lane.reports, &report, sizeof(report)) != 0)
		report.head.type = 0;
	return report;
}

static void expect_roamed(struct world *world, uint32_t tunnel, uint8_t last, uint16_t port)
{
	union spw_report report = taken(world);
	uint8_t addr[16] = {192, 0, 2, last};

	if (tunnel == 3)
		inet_pton(AF_INET6, "2001:db8:ffff::", addr);
	addr[tunnel == 3 ? 15 : 3] = last;
	assert_int_equal(report.head.type, SPW_MSG_ROAMED);
	assert_int_equal(report.roamed.slot, tunnel);
	assert_int_equal(report.roamed.spi, WORLD_SPI_IN(tunnel));
	assert_int_equal(report.roamed.tunnel, tunnel);
	assert_int_equal(report.roamed.family, tunnel == 3 ? 6 : 4);
	assert_int_equal(report.roamed.port, port);
	assert_memory_equal(report.roamed.addr, addr, 16);
}

static void expect_heard(struct world *world, uint32_t tunnel)
{
	union spw_report report = taken(world);

	assert_int_equal(report.head.type, SPW_MSG_HEARD);
	assert_int_equal(report.heard.slot, tunnel);
	assert_int_equal(report.heard.spi, WORLD_SPI_IN(tunnel));
}

#define NOTHING(world) assert_int_equal(taken(world).head.type, 0)

/* Once, whatever the packet is otherwise; never for a forged one, nor for an SA of no session. */
static void heard_once(void **state)
{
	struct world *world = *state;

	arrive(world, 1, (struct arrival){1, PORT, 9});
	NOTHING(world);
	for (uint32_t tunnel = 2; tunnel <= 3; tunnel++) {
		arrive(world, tunnel, (struct arrival){1, 4500, 2, .forged = true});
		NOTHING(world);
		assert_false(world->lane.reported);
		arrive(world, tunnel, (struct arrival){7, 4500, 2});
		assert_true(world->lane.reported);
		expect_heard(world, tunnel);
		NOTHING(world);
		world->lane.reported = false;
		for (uint64_t sequence = 1; sequence < 20; sequence++) {
			arrive(world, tunnel, (struct arrival){sequence, 4500, 2});
			NOTHING(world);
		}
		assert_false(world->lane.reported);
	}
}

/* By what a packet is, whether it says that the peer has moved. Sequence 100 came before. */
static void roamed_when(void **state)
{
	static const struct {
		struct arrival arrival;
		bool reported;
	} rows[] = {
		{{101, 4500, 2, false, false}, false}, /* from where it is */
		{{102, 4501, 2, false, false}, true},  /* another port: a NAT */
		{{103, 4500, 3, false, false}, true},  /* another address */
		{{104, 4501, 3, false, false}, true},
		{{104, 4501, 3, false, false}, false}, /* a duplicate */
		{{99, 4501, 3, false, false}, false},  /* reordered */
		{{105, 4501, 3, false, true}, false},  /* forged */
		{{105, 0, 3, false, false}, false},    /* from where nothing can be sent to */
		{{106, 4500, 2, true, false}, false},  /* options change nothing ... */
		{{107, 4500, 3, true, false}, true},   /* ... and hide nothing */
		{{108, 4501, 2, true, false}, true},
		{{109, 4500, 2, false, false}, false}, /* back again */
	};
	struct world *world = *state;

	for (uint32_t tunnel = 2; tunnel <= 3; tunnel++) {
		arrive(world, tunnel, (struct arrival){100, 4500, 2});
		expect_heard(world, tunnel);
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
			const struct arrival *arrival = &rows[k].arrival;
			world->lane.now_ns += SPW_ROAMED_EVERY_NS;
			arrive(world, tunnel, *arrival);
			if (rows[k].reported)
				expect_roamed(world, tunnel, arrival->host, arrival->port);
			NOTHING(world);
		}
	}
}

/* The first packet may bring both; then the distance between reports; then the record follows. */
static void roamed_every_10_ms(void **state)
{
	struct world *world = *state;

	arrive(world, 2, (struct arrival){1, PORT, 2});
	expect_heard(world, 2);
	expect_roamed(world, 2, 2, PORT);
	world->lane.now_ns += SPW_ROAMED_EVERY_NS - 1;
	arrive(world, 2, (struct arrival){2, PORT, 9});
	NOTHING(world);
	world->lane.now_ns += 1;
	arrive(world, 2, (struct arrival){3, PORT, 9});
	expect_roamed(world, 2, 9, PORT);
	spw_put_be16(world->tunnels[2].outer + 22, PORT);
	world->tunnels[2].outer[19] = 9;
	world->lane.now_ns += SPW_ROAMED_EVERY_NS;
	arrive(world, 2, (struct arrival){4, PORT, 9});
	NOTHING(world);
}

/* A record without an endpoint, or with one of the other family. */
static void roamed_from_nowhere(void **state)
{
	struct world *world = *state;

	memset(world->tunnels[2].outer, 0, sizeof(world->tunnels[2].outer));
	world->tunnels[2].outer_bytes = 0;
	memcpy(world->tunnels[3].outer, world->tunnels[1].outer, SPW_OUTER_BYTES_MAX);
	world->tunnels[3].outer_bytes = world->tunnels[1].outer_bytes;
	for (uint32_t tunnel = 2; tunnel <= 3; tunnel++) {
		arrive(world, tunnel, (struct arrival){1, 4500, 2});
		expect_heard(world, tunnel);
		expect_roamed(world, tunnel, 2, 4500);
	}
}

/* What finds no room is counted, and reported by the packet that comes when there is some. */
static void ring_full(void **state)
{
	struct world *world = *state;
	union spw_report none = {0};

	while (rte_ring_sp_enqueue_elem(world->lane.reports, &none, sizeof(none)) == 0)
		;
	arrive(world, 2, (struct arrival){1, PORT, 2});
	arrive(world, 2, (struct arrival){2, 4500, 2});
	assert_int_equal(world->row.reports_late, 3);
	assert_false(world->lane.reported);
	while (rte_ring_sc_dequeue_elem(world->lane.reports, &none, sizeof(none)) == 0)
		;
	arrive(world, 2, (struct arrival){3, PORT, 2});
	expect_heard(world, 2);
	expect_roamed(world, 2, 2, PORT);
	assert_int_equal(world->row.reports_late, 3);
}

/* ---- packets without content ---------------------------------------------------------------- */

/* Sends one under a tunnel's SA. False: it was dropped. */
static bool send_dummy(struct world *world, uint32_t tunnel, uint8_t *frame, uint32_t *bytes)
{
	struct spw_burst *burst = &world->lane.burst;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(world->pool);

	memset(burst, 0xee, sizeof(*burst));
	burst->cnt = 1;
	burst->mbuf[0] = mbuf;
	spw_esp_out_dummy(&world->lane, burst, 0, world->lane.sas->out[tunnel]);
	if (burst->state[0] != SPW_AT_TRANSMIT)
		return false;
	assert_int_equal(burst->port_out[0], 0);
	*bytes = mbuf->data_len;
	memcpy(frame, rte_pktmbuf_mtod(mbuf, void *), *bytes);
	rte_pktmbuf_free(mbuf);
	return true;
}

/* Byte for byte; counted nowhere, and taken from no bucket. */
static void dummies(void **state)
{
	static const uint8_t text[4] = {1, 2, 2, 59};
	struct world *world = *state;

	for (uint32_t tunnel = 1; tunnel <= 4; tunnel++) {
		uint32_t outer_bytes = tunnel == 3 ? 48 : 28, bytes;
		uint8_t frame[WORLD_FRAME_MAX], opened[WORLD_FRAME_MAX];
		world->rates[tunnel].out_cap = SPW_CAP(1, 1);
		for (uint64_t sequence = 1; sequence <= 3; sequence++) {
			assert_true(send_dummy(world, tunnel, frame, &bytes));
			assert_int_equal(bytes, 14 + outer_bytes + 16 + 4 + 16);
			assert_int_equal(world_open(world, tunnel, frame, bytes, sequence, opened),
					 sizeof(text));
			assert_memory_equal(opened, text, sizeof(text));
		}
		assert_int_equal(world->counters[tunnel].tx_packets, 0);
		assert_int_equal(world->counters[tunnel].tx_bytes, 0);
		assert_int_equal(world->counters[tunnel].tx_drops, 0);
	}
}

/* The limits of sequence numbers hold, and without a way nothing goes and no number is used up. */
static void dummies_dropped(void **state)
{
	struct world *world = *state;
	uint8_t frame[WORLD_FRAME_MAX];
	uint32_t bytes;

	world->neighbors[WORLD_NEIGHBOR_WAN].state = SPW_NEIGHBOR_NONE;
	assert_false(send_dummy(world, 1, frame, &bytes));
	assert_int_equal(world->row.drops[SPW_DROP_NEIGHBOR_UNRESOLVED], 1);
	world->neighbors[WORLD_NEIGHBOR_WAN].state = SPW_NEIGHBOR_VALID;
	world->tunnel_roots[1].slot = 0;
	assert_false(send_dummy(world, 1, frame, &bytes));
	assert_int_equal(world->row.drops[SPW_DROP_ROUTE_MISSING], 1);
	world->tunnel_roots[1].slot = 1;
	assert_int_equal(world->lane.sas->out[1]->sequence, 1);
	assert_int_equal(spw_sa_limit(world->lane.sas, SPW_SA_OUT, 1, 2), 0);
	assert_true(send_dummy(world, 1, frame, &bytes));
	assert_false(send_dummy(world, 1, frame, &bytes));
	assert_int_equal(world->row.drops[SPW_DROP_RESERVE_EXHAUSTED], 1);
	assert_int_equal(world->counters[1].tx_drops, 3);
}

/* A received one counts as a packet, and is dropped for what it is. */
static void dummies_received(void **state)
{
	struct world *world = *state;

	arrive(world, 2, (struct arrival){1, 4500, 2});
	assert_int_equal(world->counters[2].rx_packets, 1);
	assert_int_equal(world->counters[2].rx_bytes, 0);
	assert_int_equal(world->row.drops[SPW_DROP_DUMMY], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(heard_once, setup, teardown),
		cmocka_unit_test_setup_teardown(roamed_when, setup, teardown),
		cmocka_unit_test_setup_teardown(roamed_every_10_ms, setup, teardown),
		cmocka_unit_test_setup_teardown(roamed_from_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(ring_full, setup, teardown),
		cmocka_unit_test_setup_teardown(dummies, setup, teardown),
		cmocka_unit_test_setup_teardown(dummies_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(dummies_received, setup, teardown),
	};
	if (world_eal_start() != 0)
		return 1;
	arena_live_cnt = 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
