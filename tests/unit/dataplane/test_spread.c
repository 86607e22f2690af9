/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_spread.c - packets that go to another worker: which one a lan's flow belongs to, and that a
 * packet goes on there as if it had never moved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ring.h>

#include "dataplane/stages/handoff.h"
#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/world.h"

#define WORKERS 4u
#define RING 128u /* holds one less */

static int setup(void **state)
{
	struct world *world = world_create(64);

	world_furnish(world);
	world->lane.workers = WORKERS;
	for (uint32_t w = 0; w < WORKERS; w++) {
		char name[16];
		snprintf(name, sizeof(name), "to%u", w);
		world->lane.handoff[w] = rte_ring_create(name, RING, 0, RING_F_SC_DEQ);
		assert_non_null(world->lane.handoff[w]);
	}
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	for (uint32_t w = 0; w < WORKERS; w++) {
		assert_true(rte_ring_empty(world->lane.handoff[w]));
		rte_ring_free(world->lane.handoff[w]);
	}
	assert_int_equal(world_mbufs_out(world), 0);
	world_destroy(world);
	assert_int_equal(arena_live_cnt, 0);
	return 0;
}

/* ---- frames ------------------------------------------------------------------------------- */

struct flow {
	int family;
	uint16_t vlan;
	uint32_t host;    /* the last 16 bits of the source */
	uint8_t protocol; /* behind an IPv6 fragment header, if the packet has one */
	uint16_t ports[2];
	bool fragment; /* one of a datagram's, or IPv6 with a fragment header */
	uint16_t fragment_word;
};

static uint32_t frame_of(const struct flow *flow, uint8_t *frame, uint8_t fill)
{
	uint8_t inner[256];
	uint32_t head_bytes = flow->family == 4 ? SPW_IPV4_BYTES : SPW_IPV6_BYTES, bytes = 100;

	if (flow->family == 4)
		world_inner4(inner, "10.9.0.0", "10.1.0.1", 64, bytes);
	else
		world_inner6(inner, "2001:db8:9::", "2001:db8:1::1", 64, bytes);
	spw_put_be16(inner + (flow->family == 4 ? 14 : 22), (uint16_t)flow->host);
	inner[flow->family == 4 ? 9 : 6] = flow->protocol;
	memset(inner + head_bytes, fill, bytes - head_bytes);
	uint8_t *ports = inner + head_bytes;
	if (flow->fragment && flow->family == 4) {
		spw_put_be16(inner + 6, flow->fragment_word);
	} else if (flow->fragment) {
		inner[6] = 44;
		inner[head_bytes] = flow->protocol;
		spw_put_be16(inner + head_bytes + 2, flow->fragment_word);
		ports += 8;
	}
	if (!flow->fragment || flow->fragment_word < 8) { /* the first, of a 13-bit offset */
		spw_put_be16(ports, flow->ports[0]);
		spw_put_be16(ports + 2, flow->ports[1]);
	}
	return world_plain(frame, flow->vlan, inner, bytes);
}

/* A burst of one flow's packets as port 1 receives it. */
static void receive(struct world *world, const uint8_t *frame, uint32_t bytes)
{
	struct spw_burst *burst = &world->lane.burst;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(world->pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), frame, bytes);
	memset(burst, 0xee, sizeof(*burst));
	burst->cnt = 1;
	burst->mbuf[0] = mbuf;
	burst->state[0] = SPW_AT_CLASSIFY;
	burst->port_in[0] = 1;
}

static struct rte_mbuf *take(struct world *world, uint32_t worker)
{
	void *object = NULL;

	return rte_ring_dequeue(world->lane.handoff[worker], &object) == 0 ? object : NULL;
}

/* Which worker a frame goes to; it is where it is said to be, and unchanged. */
static uint32_t worker_of(struct world *world, const uint8_t *frame, uint32_t bytes)
{
	struct spw_burst *burst = &world->lane.burst;
	struct rte_mbuf *mbuf;
	uint32_t worker = world->lane.worker;

	receive(world, frame, bytes);
	mbuf = burst->mbuf[0];
	uint64_t handoffs = world->row.handoffs;
	spw_stage_spread(&world->lane, burst, 1);
	if (burst->cnt == 0) {
		worker = (uint32_t)__builtin_ctz(world->lane.handoff_wanted);
		assert_int_equal(world->lane.handoff_wanted, 1u << worker);
		assert_ptr_equal(take(world, worker), mbuf);
		assert_int_equal(world->row.handoffs, handoffs + 1);
	} else {
		assert_int_equal(burst->cnt, 1);
		assert_int_equal(burst->state[0], SPW_AT_CLASSIFY);
		assert_int_equal(world->row.handoffs, handoffs);
	}
	assert_int_equal(mbuf->data_len, bytes);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, void *), frame, bytes);
	world->lane.handoff_wanted = 0;
	rte_pktmbuf_free(mbuf);
	return worker;
}

static uint32_t worker_of_flow(struct world *world, const struct flow *flow, uint8_t fill)
{
	uint8_t frame[WORLD_FRAME_MAX];
	uint32_t bytes = frame_of(flow, frame, fill);

	return worker_of(world, frame, bytes);
}

/* ---- tests -------------------------------------------------------------------------------- */

/* Every packet of a flow goes to one worker, whichever worker takes it in, and each worker gets
 * about its share of flows that differ in one port or one address only. */
static void flows_share_out(void **state)
{
	static const uint8_t protocols[] = {6, 17, 132};
	struct world *world = *state;

	for (uint32_t kind = 0; kind < 8; kind++) {
		uint32_t flows[WORKERS] = {0};
		for (uint32_t n = 0; n < 600; n++) {
			struct flow flow = {
				.family = kind & 1 ? 6 : 4,
				.vlan = kind & 2 ? 5 : 0,
				.host = kind & 4 ? 7 : n,
				.protocol = protocols[n % 3],
				.ports = {5201, (uint16_t)(kind & 4 ? 40000 + n / 3 : 80)},
			};
			world->lane.worker = n % WORKERS;
			uint32_t worker = worker_of_flow(world, &flow, 0);
			world->lane.worker = (n + 1) % WORKERS;
			assert_int_equal(worker_of_flow(world, &flow, 0xff), worker);
			flows[worker]++;
		}
		for (uint32_t w = 0; w < WORKERS; w++)
			assert_in_range(flows[w], 600 / WORKERS * 3 / 5, 600 / WORKERS * 7 / 5);
	}
}

/* All fragments of a datagram go one way, whatever stands where the first has its ports. */
static void fragments_stay_together(void **state)
{
	static const uint16_t words[2][3] = {{0x2000, 0x2001, 0x00b9}, {0x0001, 0x0009, 0x0048}};
	struct world *world = *state;

	for (uint32_t n = 0; n < 100; n++) {
		struct flow flow = {.family = n % 2 ? 6 : 4,
				    .host = n,
				    .protocol = 17,
				    .ports = {(uint16_t)n, 9},
				    .fragment = true};
		uint32_t workers = 0;
		for (uint32_t k = 0; k < 3; k++) {
			flow.fragment_word = words[n % 2][k];
			workers |= 1u << worker_of_flow(world, &flow, (uint8_t)(n + k));
		}
		assert_int_equal(__builtin_popcount(workers), 1);
	}
}

/* Protocols without ports go by their addresses; what follows these is not looked at. */
static void without_ports(void **state)
{
	struct world *world = *state;
	uint32_t workers = 0;

	for (uint32_t n = 0; n < 64; n++) {
		struct flow flow = {.family = n % 2 ? 6 : 4, .host = n / 2, .protocol = 1};
		uint32_t worker = worker_of_flow(world, &flow, 0);
		flow.ports[0] = (uint16_t)(n * 77 + 1); /* an ICMP type and code, say */
		assert_int_equal(worker_of_flow(world, &flow, 3), worker);
		workers |= 1u << worker;
	}
	assert_int_equal(workers, (1u << WORKERS) - 1);
}

/* What is cut off, or is no IP, stays where it is; every length is safe to look at. */
static void stays(void **state)
{
	struct world *world = *state;
	struct flow flow = {.family = 4, .protocol = 17};
	uint8_t frame[WORLD_FRAME_MAX];

	for (world->lane.worker = 0; world->lane.worker < WORKERS; world->lane.worker++) {
		for (uint32_t kind = 0; kind < 4; kind++) {
			flow.family = kind & 1 ? 6 : 4;
			flow.vlan = kind & 2 ? 5 : 0;
			frame_of(&flow, frame, 0);
			uint32_t head_bytes = SPW_ETHER_BYTES + (flow.vlan ? SPW_VLAN_BYTES : 0) +
					      (kind & 1 ? SPW_IPV6_BYTES : SPW_IPV4_BYTES);
			for (uint32_t bytes = 0; bytes < head_bytes; bytes++)
				assert_int_equal(worker_of(world, frame, bytes),
						 world->lane.worker);
		}
		uint32_t bytes = frame_of(&flow, frame, 0);
		spw_put_be16(frame + 16, 0x0806);
		assert_int_equal(worker_of(world, frame, bytes), world->lane.worker);
	}
	world->lane.worker = 0;
	/* On a wan every packet has an owner already. */
	world->ports[1].image[0].role = SPW_PORT_WAN;
	for (flow.host = 0; flow.host < 16; flow.host++)
		assert_int_equal(worker_of_flow(world, &flow, 0), 0);
}

/* A burst of many flows: what stays is in order and whole, what goes is in order in each ring, what
 * a full ring does not take is dropped and counted. */
static void bursts(void **state)
{
	struct world *world = *state;
	struct spw_lane *lane = &world->lane;
	struct spw_burst *burst = &lane->burst;
	uint32_t received = 0, kept = 0, given = 0;
	const __u64 *drops = world->row.drops;

	for (uint32_t round = 0; round < 12; round++) {
		burst->cnt = SPW_BURST_MAX - 14;
		for (uint32_t i = 0; i < burst->cnt; i++) {
			struct flow flow = {.family = 4, .protocol = 17, .ports = {(uint16_t)i, 1}};
			uint8_t frame[WORLD_FRAME_MAX];
			uint32_t bytes = frame_of(&flow, frame, 0);
			struct rte_mbuf *mbuf = rte_pktmbuf_alloc(world->pool);
			if (!mbuf) { /* the rings hold them all */
				burst->cnt = i;
				break;
			}
			spw_put_be16(frame + bytes - 2, (uint16_t)received++);
			memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), frame, bytes);
			burst->mbuf[i] = mbuf;
			burst->state[i] = SPW_AT_CLASSIFY;
			burst->port_in[i] = 1;
		}
		if (round == 8)
			world->lane.handoff[3] = NULL; /* as good as full */
		uint32_t last = 0;
		uint64_t lost = drops[SPW_DROP_HANDOFF_FULL];
		spw_stage_spread(lane, burst, 1);
		if (round >= 8)
			assert_true(drops[SPW_DROP_HANDOFF_FULL] > lost || burst->cnt == 0);
		for (uint32_t i = 0; i < burst->cnt; i++) {
			const uint8_t *data = rte_pktmbuf_mtod(burst->mbuf[i], const uint8_t *);
			uint32_t number = spw_get_be16(data + burst->mbuf[i]->data_len - 2);
			assert_true(number >= last);
			last = number;
			assert_int_equal(burst->state[i], SPW_AT_CLASSIFY);
			assert_int_equal(burst->port_in[i], 1);
			rte_pktmbuf_free(burst->mbuf[i]);
		}
		kept += burst->cnt;
		for (uint32_t w = 0; w < WORKERS; w++) {
			struct rte_mbuf *mbuf;
			last = 0;
			while (lane->handoff[w] && (mbuf = take(world, w))) {
				const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
				uint32_t number = spw_get_be16(data + mbuf->data_len - 2);
				assert_true(number >= last);
				last = number;
				given++;
				rte_pktmbuf_free(mbuf);
			}
		}
	}
	lane->handoff[3] = rte_ring_lookup("to3");
	assert_int_equal(world->row.handoffs, given);
	assert_int_equal(received, kept + given + drops[SPW_DROP_HANDOFF_FULL]);
	assert_true(kept > 0 && given > 0 && drops[SPW_DROP_HANDOFF_FULL] > 0);
}

/* On to the worker `to`, as its loop does it. */
static void go_on(struct world *world, uint32_t to)
{
	struct spw_burst *burst = &world->lane.burst;
	struct rte_mbuf *mbuf = take(world, to);

	assert_non_null(mbuf);
	memset(burst, 0xee, sizeof(*burst));
	burst->cnt = 1;
	burst->mbuf[0] = mbuf;
	spw_handoff_take(burst, 0);
	world->lane.worker = to;
	world->lane.handoff_wanted = 0;
	world_stages(&world->lane);
}

/* A tunnel with one outbound SA in all: another worker's packet goes on behind its owner's route
 * stage, aged once, charged once, and leaves under the owner's SA. */
static void one_sealer(void **state)
{
	struct world *world = *state;
	struct spw_burst *burst = &world->lane.burst;

	for (uint32_t k = 0; k < 4; k++) { /* from a lan and out of a tunnel, both families */
		uint8_t inner[256], frame[WORLD_FRAME_MAX], text[WORLD_FRAME_MAX];
		bool lan = k < 2;
		uint32_t bytes =
			k % 2 ? world_inner6(inner, lan ? "2001:db8:9::9" : "2001:db8:1::1",
					     "2001:db8:2::1", 64, 120)
			      : world_inner4(inner, lan ? "10.9.0.9" : "10.1.0.1", "10.2.0.1", 64,
					     120);
		struct world_esp esp = world_esp(1, 1 + k, k % 2 ? 41 : 4);
		uint32_t frame_bytes = lan ? world_plain(frame, 0, inner, bytes)
					   : world_seal(frame, &esp, inner, bytes);
		world->tunnels[2].tx_sa[0] = 0; /* the SA is worker 2's */
		world->tunnels[2].tx_sa[2] = 2;
		world->lane.sas->out[2]->worker = 2;
		world->lane.worker = 0;
		world->lane.sas->in[1]->worker = 0;
		assert_true(world_receive(world, lan ? 1 : 0, frame, frame_bytes).handed_off);
		assert_int_equal(world->lane.handoff_wanted, 1u << 2);
		assert_int_equal(world->counters[2].tx_packets, k);
		go_on(world, 2);

		assert_int_equal(burst->state[0], SPW_AT_TRANSMIT);
		struct rte_mbuf *mbuf = burst->mbuf[0];
		assert_true(world_open(world, 2, rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len,
				       1 + k, text) > bytes);
		assert_int_equal(text[k % 2 ? 7 : 8], 63);
		assert_int_equal(world->counters[2].tx_packets, 1 + k);
		rte_pktmbuf_free(mbuf);
	}
	assert_int_equal(world->row.handoffs, 4);
}

/* A packet that waits for the tunnel's sealer while its tunnel is deleted, or its route changed,
 * goes by what the tables say when it is its turn, and never back where it came from. */
static void tables_change_meanwhile(void **state)
{
	struct world *world = *state;
	struct spw_burst *burst = &world->lane.burst;
	uint8_t inner[256], frame[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 120);

	world->tunnels[2].tx_sa[0] = 0;
	world->tunnels[2].tx_sa[2] = 2;
	world->lane.sas->out[2]->worker = 2;
	for (uint64_t sequence = 1; sequence <= 3; sequence++) {
		static const enum spw_drop reasons[] = {SPW_DROP_ROUTE_MISSING,
							SPW_DROP_ROUTE_MISSING,
							SPW_DROP_NEIGHBOR_UNRESOLVED};
		struct world_esp esp = world_esp(1, sequence, SPW_PROTO_IPV4);
		uint32_t frame_bytes = world_seal(frame, &esp, inner, bytes);
		uint32_t root = world->tenants[1].route_root[0];
		uint64_t drops = world->row.drops[reasons[sequence - 1]];
		world->lane.worker = 0;
		assert_true(world_receive(world, 0, frame, frame_bytes).handed_off);
		if (sequence == 1)
			world->tunnel_roots[2].slot = 0;
		else
			world->tenants[1].route_root[0] = world_trie(
				world,
				&(struct world_prefix){"0.0.0.0/0",
						       sequence == 2 ? SPW_LEAF(SPW_LEAF_TUNNEL, 1)
								     : SPW_LEAF(SPW_LEAF_LAN, 1)},
				1);
		go_on(world, 2);
		assert_int_equal(burst->state[0], SPW_DONE);
		assert_int_equal(world->row.drops[reasons[sequence - 1]], drops + 1);
		assert_int_equal(world->counters[1].rx_drops, sequence);
		world->tunnel_roots[2].slot = 2;
		world->tenants[1].route_root[0] = root;
	}
}

/* A finished frame keeps all that its sender needs to know. */
static void finished_frame(void **state)
{
	struct world *world = *state;
	struct spw_burst *burst = &world->lane.burst;
	uint8_t inner[256], frame[WORLD_FRAME_MAX], sent[WORLD_FRAME_MAX];
	uint32_t bytes = world_inner4(inner, "10.9.0.9", "10.2.0.1", 64, 120);

	bytes = world_plain(frame, 0, inner, bytes);
	receive(world, frame, bytes);
	world_stages(&world->lane);
	assert_int_equal(burst->state[0], SPW_AT_TRANSMIT);
	struct rte_mbuf *mbuf = burst->mbuf[0];
	bytes = mbuf->data_len;
	memcpy(sent, rte_pktmbuf_mtod(mbuf, void *), bytes);
	spw_hand_off(&world->lane, burst, 0, 3, SPW_AT_TRANSMIT);
	spw_stage_handoff(&world->lane, burst);
	assert_int_equal(burst->state[0], SPW_DONE);
	go_on(world, 3);
	assert_int_equal(burst->state[0], SPW_AT_TRANSMIT);
	assert_int_equal(burst->port_out[0], 0);
	assert_int_equal(burst->tunnel_out[0], 2);
	assert_int_equal(burst->tunnel_in[0], 0);
	assert_int_equal(mbuf->data_len, bytes);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, void *), sent, bytes);
	spw_drop(&world->lane, burst, 0, SPW_DROP_TX_FULL);
	assert_int_equal(world->counters[2].tx_drops, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(flows_share_out, setup, teardown),
		cmocka_unit_test_setup_teardown(fragments_stay_together, setup, teardown),
		cmocka_unit_test_setup_teardown(without_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(stays, setup, teardown),
		cmocka_unit_test_setup_teardown(bursts, setup, teardown),
		cmocka_unit_test_setup_teardown(one_sealer, setup, teardown),
		cmocka_unit_test_setup_teardown(tables_change_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(finished_frame, setup, teardown),
	};

	if (world_eal_start() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
