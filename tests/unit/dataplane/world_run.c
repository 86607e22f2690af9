/* SPDX-License-Identifier: BSD-2-Clause */
/* world_run.c - DPDK for tests, a world's life, and a frame's way through it, see world.h. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_log.h>
#include <rte_mempool.h>
#include <sanitizer/asan_interface.h>

#include "tests/unit/dataplane/world.h"

#define MBUFS 255u
/* Tries that a world may be given; what their making leaves is freed with the world. */
#define GRACE_MAX 65536u

int world_eal_start(void)
{
	char lcores[16];
	char *argv[] = {"test",        "--no-huge", "--no-pci", "--no-telemetry",
			"--no-shconf", "-m",        "64",       "--log-level=lib.*:error",
			"--lcores",    lcores,      NULL};

	/* One thread, ours: without this EAL starts one on every CPU. */
	snprintf(lcores, sizeof(lcores), "0@%d", sched_getcpu());
	return rte_eal_init(sizeof(argv) / sizeof(argv[0]) - 1, argv) < 0 ? -1 : 0;
}

static struct rte_mempool *pool_get(void)
{
	static struct rte_mempool *pool;
	if (!pool)
		pool = rte_pktmbuf_pool_create("test", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return pool;
}

/* Zeroed, in whole cache lines. */
static void *array_of(size_t count, size_t bytes)
{
	void *memory = NULL;
	size_t all = (count * bytes + SPW_CACHE_LINE - 1) / SPW_CACHE_LINE * SPW_CACHE_LINE;

	if (posix_memalign(&memory, SPW_CACHE_LINE, all) != 0)
		abort();
	return memset(memory, 0, all);
}

static void make_tables(struct world *world)
{
	const struct world_size *size = &world->size;

	world->tenants = array_of(size->tenants, sizeof(*world->tenants));
	world->spis = array_of(size->sas, sizeof(*world->spis));
	world->tunnel_roots = array_of(size->tunnels, sizeof(*world->tunnel_roots));
	world->tunnels = array_of(size->tunnels, sizeof(*world->tunnels));
	world->rates = array_of(size->tunnels + size->tenants, sizeof(*world->rates));
	world->neighbors = array_of(size->neighbors, sizeof(*world->neighbors));
	world->units = array_of(size->trie_units, sizeof(*world->units));
	world->workers = array_of(SPW_WORKERS_MAX, sizeof(*world->workers));
	world->counters = array_of(size->tunnels, sizeof(*world->counters));
	world->lane.tables = (struct spw_tables){
		.meta = &world->meta,
		.ports = world->ports,
		.tenants = world->tenants,
		.tunnel_roots = world->tunnel_roots,
		.tunnels = world->tunnels,
		.spis = world->spis,
		.rates = world->rates,
		.neighbors = world->neighbors,
		.routes = {world->units, size->trie_units},
		.workers = &world->row,
		.counters = world->counters,
		.tunnels_max = size->tunnels,
		.tunnel_slots_max = size->tunnels,
		.tenants_max = size->tenants,
		.sas_max = size->sas,
		.neighbors_max = size->neighbors,
	};
}

/* The writer of routes and allow sets, as control has it. */
static void make_tries(struct world *world)
{
	world->meta.epoch = 1;
	if (spw_grace_create(&world->grace, &world->meta, world->workers, GRACE_MAX) != 0)
		abort();
	world->tries = spw_trie_pool_create(world->units, world->size.trie_units);
	if (!world->tries)
		abort();
	spw_trie_marked(world->tries);
}

struct world *world_create_sized(const struct world_size *size)
{
	struct world *world = array_of(1, sizeof(*world));
	struct spw_lane *lane = &world->lane;

	world->size = *size;
	make_tables(world);
	make_tries(world);
	lane->workers = 1;
	lane->now_ns = 1000000000;
	lane->row = &world->row;
	lane->counters = world->counters;
	lane->tunnel_in_buckets = array_of(size->tunnels, sizeof(struct spw_bucket));
	lane->tunnel_out_buckets = array_of(size->tunnels, sizeof(struct spw_bucket));
	lane->tenant_buckets = array_of(size->tenants, sizeof(struct spw_bucket));
	lane->sas = spw_sa_table_create(size->sas);
	if (!lane->sas)
		abort();
	return world;
}

struct world *world_create(uint32_t sas_max)
{
	struct world *world = world_create_sized(&(struct world_size){
		.sas = sas_max,
		.tunnels = WORLD_TUNNELS,
		.tenants = WORLD_TENANTS,
		.neighbors = WORLD_NEIGHBORS,
		.trie_units = WORLD_TRIE_UNITS,
	});
	world->pool = pool_get();
	if (!world->pool)
		abort();
	return world;
}

void world_destroy(struct world *world)
{
	spw_sa_table_destroy(world->lane.sas);
	free(world->lane.tunnel_in_buckets);
	free(world->lane.tunnel_out_buckets);
	free(world->lane.tenant_buckets);
	free(world->counters);
	spw_grace_destroy(world->grace);
	spw_trie_pool_destroy(world->tries);
	free(world->workers);
	free(world->units);
	free(world->neighbors);
	free(world->rates);
	free(world->tunnels);
	free(world->tunnel_roots);
	free(world->spis);
	free(world->tenants);
	free(world);
}

void world_stages(struct spw_lane *lane)
{
	spw_stage_classify(lane, &lane->burst);
	spw_stage_esp_in(lane, &lane->burst);
	spw_stage_inner(lane, &lane->burst);
	spw_stage_police(lane, &lane->burst);
	spw_stage_route(lane, &lane->burst);
	spw_stage_esp_out(lane, &lane->burst);
	spw_stage_handoff(lane, &lane->burst);
}

uint32_t world_mbufs_out(const struct world *world)
{
	return rte_mempool_in_use_count(world->pool);
}

const char *world_drop_name(int reason)
{
	static const char *const names[] = {
#define NAME(id, name, where, text) [SPW_DROP_##id] = name,
		SPW_DROP_LIST(NAME)
#undef NAME
	};
	return reason >= 0 && reason < SPW_DROP_CNT ? names[reason] : "none";
}

static void fail(const char *what)
{
	fprintf(stderr, "world_receive: %s\n", what);
	abort();
}

/* The one reason whose counter rose, -1: none. */
static int reason_between(const uint64_t before[SPW_DROPS_MAX], const struct spw_worker_row *row)
{
	int reason = -1;

	for (int k = 0; k < (int)SPW_DROPS_MAX; k++) {
		if (row->drops[k] == before[k])
			continue;
		if (reason >= 0 || row->drops[k] != before[k] + 1)
			fail("counted twice");
		reason = k;
	}
	return reason;
}

/* The frame in a buffer as the port would hand it over: not clean behind the frame. */
static struct rte_mbuf *fill_mbuf(struct world *world, const uint8_t *frame, uint32_t bytes)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(world->pool);

	if (!mbuf || rte_pktmbuf_tailroom(mbuf) < bytes)
		fail("no room for the frame");
	memset(rte_pktmbuf_mtod(mbuf, void *), 0xee, rte_pktmbuf_tailroom(mbuf));
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), frame, bytes);
	if (world->tight) {
		uint16_t end = (uint16_t)(mbuf->data_off + bytes);
		ASAN_POISON_MEMORY_REGION((char *)mbuf->buf_addr + end, mbuf->buf_len - end);
		mbuf->buf_len = end;
	}
	return mbuf;
}

static void loosen(struct rte_mbuf *mbuf, uint16_t buf_len)
{
	mbuf->buf_len = buf_len;
	ASAN_UNPOISON_MEMORY_REGION(mbuf->buf_addr, buf_len);
}

struct outcome world_receive(struct world *world, uint32_t port, const uint8_t *frame,
			     uint32_t bytes)
{
	struct outcome outcome = {.reason = -1};
	struct spw_burst *burst = &world->lane.burst;
	uint64_t drops[SPW_DROPS_MAX], handoffs = world->row.handoffs;
	uint32_t out_cnt = world_mbufs_out(world);
	struct rte_mbuf *mbuf = fill_mbuf(world, frame, bytes);

	memcpy(drops, world->row.drops, sizeof(drops));
	memset(burst, 0xee, sizeof(*burst));
	burst->cnt = 1;
	burst->mbuf[0] = mbuf;
	burst->state[0] = SPW_AT_CLASSIFY;
	burst->port_in[0] = (uint8_t)port;
	world_stages(&world->lane);

	outcome.reason = reason_between(drops, &world->row);
	outcome.transmitted = burst->state[0] == SPW_AT_TRANSMIT;
	outcome.handed_off = world->row.handoffs != handoffs;
	if (outcome.transmitted + outcome.handed_off + (outcome.reason >= 0) != 1)
		fail("not accounted for exactly once");
	if (outcome.transmitted) {
		outcome.port = burst->port_out[0];
		outcome.bytes = mbuf->data_len;
		memcpy(outcome.data, rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len);
		rte_pktmbuf_free(mbuf);
	}
	loosen(mbuf, RTE_MBUF_DEFAULT_BUF_SIZE); /* freed or not: its memory is the pool's */
	if (world_mbufs_out(world) != out_cnt + outcome.handed_off)
		fail("a buffer was lost or freed twice");
	return outcome;
}
