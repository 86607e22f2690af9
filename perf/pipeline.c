/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipeline.c - spw-bench-pipeline: what a packet costs a worker, beside what nobody can save.
 *
 * The product's own loop (dataplane/worker.c) runs over DPDK ports: packets come in out of rings
 * and leave by a null port. Every packet is of a tunnel drawn at random.
 *
 * How it is measured: in rounds, each with one pass of packets through the worker, the same packets
 * through the bare ports and some bursts through the AEAD alone, so that whatever else the machine
 * does meets all three. The first quarter of a pass warms the caches up and is not timed, nor is
 * what puts the next burst's packets into the rings. Where packets are decrypted, all replay
 * windows are taken back when the prepared ones start over, so that every sequence number is fresh,
 * and that work is swept out of the cache. After some rounds the peer has as many with the same
 * packets. Reported is the lowest tenth of the rounds: what lies above is the machine's.
 */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_log.h>

#include "dataplane/arena.h"
#include "dataplane/eal.h"
#include "perf/pipeline.h"
#include "perf/timing.h"

#define ARENA_BYTES (64u << 20)
#define EAL_POOL_BYTES (64u << 20)
#define SOURCES_MAX 2u
#define SWEEP_BYTES (1u << 20)
#define PASS_BURSTS 16u
#define PASS_PACKETS (PASS_BURSTS * SPW_BURST_MAX)
#define WARM_BURSTS (PASS_BURSTS / 4)
/* Ours and the peer take turns by blocks of rounds: each has the keys and records of all tunnels
 * brought into the cache in the first passes of a block, which the other has taken out. With turns
 * from round to round a packet of 4,096 tunnels took 660 cycles instead of 374. */
#define BLOCK_ROUNDS 25u
#define QUANTILE_PERCENT 10u

struct bench {
	const char *name;
	uint32_t sources;
	enum path path[SOURCES_MAX];
	uint32_t seals, opens; /* AEAD operations for `sources` packets */
};
static const struct bench benches[] = {
	{"encap", 1, {PATH_ENCAP}, 1, 0}, {"decap", 1, {PATH_DECAP}, 0, 1},
	{"hop", 1, {PATH_HOP}, 1, 1},     {"gateway", 2, {PATH_ENCAP, PATH_DECAP}, 1, 1},
	{"relay", 1, {PATH_RELAY}, 0, 0},
};
static const uint32_t tunnels[] = {64, 1000, TUNNELS_MAX};
static const uint32_t sizes[] = {64, 128, 512, 1408, SIZE_IMIX};

static struct options {
	const char *only;
	const char *provider;
	int64_t size;     /* -1: all */
	uint32_t tunnels; /* 0: all */
	uint32_t rounds;
	bool profile;
} options = {.provider = "auto", .size = -1, .rounds = 600};

static struct source sources[SOURCES_MAX];

static bool is_relay(const struct bench *bench)
{
	return bench->path[0] == PATH_RELAY;
}

/* One bench at one size and population. */
struct run {
	struct node *node;
	const struct bench *bench;
	uint32_t size;
	struct packets *packets[SOURCES_MAX];
	struct floor_aead *seal, *open;
	struct peer *peer; /* NULL: there is none for this */
};

struct result {
	double ours, io, seal, open, peer;
};

static void sweep(void)
{
	static volatile uint8_t memory[SWEEP_BYTES];

	for (uint32_t k = 0; k < SWEEP_BYTES; k += SPW_CACHE_LINE)
		memory[k]++;
}

static double low(double *values, uint32_t cnt)
{
	return timing_quantile(values, cnt, QUANTILE_PERCENT);
}

/* ---- one pass through each ------------------------------------------------------------------ */

static uint64_t sent_packets(const struct spw_worker *worker)
{
	uint64_t sent = 0;

	for (uint32_t p = 0; p < SPW_PORTS_MAX; p++)
		sent += worker->lane.row->ports[p].tx_packets;
	return sent;
}

/* Has the sources bring the packets of round k next. */
static void rewind_sources(const struct run *run, uint32_t k)
{
	for (uint32_t s = 0; s < run->bench->sources; s++)
		sources[s].next = k * PASS_PACKETS % PACKETS_CNT;
}

static void pass_prepare(const struct run *run, uint32_t k)
{
	rewind_sources(run, k);
	if (run->bench->opens && sources[0].next == 0) {
		node_reset_windows(run->node);
		sweep();
	}
}

static void fill_sources(const struct run *run)
{
	for (uint32_t s = 0; s < run->bench->sources; s++)
		source_fill(&sources[s]);
}

/* Cycles of so many rounds of the worker's loop, each with a burst from every source. */
static uint64_t work(const struct run *run, uint32_t bursts)
{
	struct spw_worker *worker = run->node->crew.worker[0];
	uint64_t cycles = 0;

	for (uint32_t k = 0; k < bursts; k++) {
		fill_sources(run);
		uint64_t start = rte_rdtsc_precise();
		spw_worker_round(worker);
		cycles += rte_rdtsc_precise() - start;
	}
	return cycles;
}

static uint32_t timed_packets(const struct run *run)
{
	return (PASS_BURSTS - WARM_BURSTS) * SPW_BURST_MAX * run->bench->sources;
}

/* Cycles per packet of the worker. */
static double pass_ours(const struct run *run, uint32_t k)
{
	struct spw_worker *worker = run->node->crew.worker[0];
	uint64_t sent = sent_packets(worker);

	pass_prepare(run, k);
	work(run, WARM_BURSTS);
	uint64_t cycles = work(run, PASS_BURSTS - WARM_BURSTS);
	if (sent_packets(worker) != sent + PASS_PACKETS * run->bench->sources) {
		for (uint32_t d = 0; d < SPW_DROP_CNT; d++)
			if (worker->lane.row->drops[d])
				fprintf(stderr, "%s: %llu\n", world_drop_name((int)d),
					(unsigned long long)worker->lane.row->drops[d]);
		broken("%s: packets were lost", run->bench->name);
	}
	return (double)cycles / timed_packets(run);
}

static double pass_io(const struct run *run, uint32_t k)
{
	uint16_t sink = run->node->ports.queue[0].ethdev;
	uint64_t cycles = 0;

	rewind_sources(run, k);
	for (uint32_t s = 0; s < run->bench->sources; s++) {
		floor_io_cycles(&sources[s], sink, WARM_BURSTS);
		cycles += floor_io_cycles(&sources[s], sink, PASS_BURSTS - WARM_BURSTS);
	}
	return (double)cycles / timed_packets(run);
}

static double pass_peer(const struct run *run, uint32_t k)
{
	uint16_t sink = run->node->ports.queue[0].ethdev;

	rewind_sources(run, k);
	if (sources[0].next == 0) {
		peer_reset_windows(run->peer);
		sweep();
	}
	peer_cycles(run->peer, &sources[0], sink, WARM_BURSTS);
	return (double)peer_cycles(run->peer, &sources[0], sink, PASS_BURSTS - WARM_BURSTS) /
	       timed_packets(run);
}

static double pass_aead(struct floor_aead *floor)
{
	floor_aead_cycles(floor);
	return (double)floor_aead_cycles(floor) / SPW_BURST_MAX;
}

/* ---- a run ---------------------------------------------------------------------------------- */

static void run_open(struct run *run)
{
	struct spw_worker *worker = run->node->crew.worker[0];

	worker->rx_cnt = run->bench->sources;
	for (uint32_t s = 0; s < run->bench->sources; s++) {
		enum path path = run->bench->path[s];
		run->packets[s] = packets_make(run->node->tunnels, path, run->size);
		sources[s].packets = run->packets[s];
		worker->rx[s] = (struct spw_rx){.ethdev = sources[s].ethdev,
						.port = path == PATH_ENCAP ? PORT_LAN : PORT_WAN};
	}
	/* A worker meets a relay's packets on ports where no XDP program has taken them. */
	worker->lane.port_native = is_relay(run->bench) ? 1u << PORT_WAN : 0;
	run->seal = floor_aead_create(run->node, run->size, true);
	run->open = floor_aead_create(run->node, run->size, false);
	/* The peer has the faster provider's library: the other one is compared to ours. */
	if (run->bench->seals + run->bench->opens == 1 && !options.profile &&
	    strcmp(spw_aead_provider(), "ipsec-mb") == 0)
		run->peer = peer_create(run->node->tunnels, run->bench->seals == 1);
}

static void run_close(struct run *run)
{
	peer_destroy(run->peer);
	floor_aead_destroy(run->seal);
	floor_aead_destroy(run->open);
	for (uint32_t s = 0; s < run->bench->sources; s++)
		packets_free(run->packets[s]);
	run->node->crew.worker[0]->rx_cnt = 0;
}

static struct result run_measure(const struct run *run)
{
	uint32_t rounds = options.rounds;
	double *values = calloc(5 * rounds, sizeof(*values));
	double *ours = values, *io = ours + rounds, *seal = io + rounds, *open = seal + rounds,
	       *peer = open + rounds;

	if (!values)
		broken("no memory");
	for (uint32_t first = 0; first < rounds; first += BLOCK_ROUNDS) {
		uint32_t end = RTE_MIN(first + BLOCK_ROUNDS, rounds);
		for (uint32_t k = first; k < end; k++) {
			ours[k] = pass_ours(run, k);
			io[k] = pass_io(run, k);
			seal[k] = pass_aead(run->seal);
			open[k] = pass_aead(run->open);
		}
		for (uint32_t k = first; k < end && run->peer; k++)
			peer[k] = pass_peer(run, k);
	}
	struct result result = {.ours = low(ours, rounds),
				.io = low(io, rounds),
				.seal = low(seal, rounds),
				.open = low(open, rounds),
				.peer = low(peer, rounds)};
	free(values);
	return result;
}

static void print_common(const struct run *run, const char *bench)
{
	printf("{\"bench\": \"%s\", ", bench);
	if (run->size == SIZE_IMIX)
		printf("\"size\": \"imix\", ");
	else
		printf("\"size\": %u, ", run->size);
	printf("\"provider\": \"%s\", \"tunnels\": %u, \"workers\": 1", spw_aead_provider(),
	       run->node->tunnels);
}

static void print_row(const struct run *run, const struct result *result)
{
	const struct bench *bench = run->bench;
	double aead = (bench->seals * result->seal + bench->opens * result->open) / bench->sources;
	double floor = aead + result->io;
	double mpps = (double)rte_get_tsc_hz() / result->ours / 1e6;
	uint64_t bytes = 0;

	for (uint32_t s = 0; s < bench->sources; s++)
		bytes += run->packets[s]->inner_bytes;
	double inner_bytes = (double)bytes / (PACKETS_CNT * bench->sources);
	print_common(run, bench->name);
	printf(", \"cycles_per_packet\": %.1f, \"mpps\": %.3f, \"inner_gbps\": %.3f, "
	       "\"aead_cycles\": %.1f, \"io_cycles\": %.1f, \"floor_cycles\": %.1f, "
	       "\"over_floor\": %.1f, \"lost\": 0",
	       result->ours, mpps, mpps * inner_bytes * 8 / 1e3, aead, result->io, floor,
	       result->ours - floor);
	if (run->peer)
		printf(", \"peer\": \"librte_ipsec\", \"peer_value\": %.1f, \"ratio\": %.3f",
		       result->peer, result->ours / result->peer);
	printf("}\n");
	fflush(stdout);
}

/* ---- where the cycles go -------------------------------------------------------------------- */

enum {
	STAGE_RECEIVE,
	STAGE_CLASSIFY,
	STAGE_ESP_IN,
	STAGE_INNER,
	STAGE_POLICE,
	STAGE_ROUTE,
	STAGE_ESP_OUT,
	STAGE_TRANSMIT,
	STAGE_CNT
};
static const char *const stage_names[STAGE_CNT] = {"receive", "classify", "esp_in",  "inner",
						   "police",  "route",    "esp_out", "transmit"};

/* One burst through the stages, as spw_worker_round does it, the clock read between them. Adds to
 * cycles[stage]. */
static void profile_burst(const struct run *run, uint64_t cycles[STAGE_CNT])
{
	static void (*const stages[])(struct spw_lane *, struct spw_burst *) = {
		spw_stage_classify, spw_stage_esp_in, spw_stage_inner,
		spw_stage_police,   spw_stage_route,  spw_stage_esp_out};
	struct spw_worker *worker = run->node->crew.worker[0];
	struct spw_burst *burst = &worker->lane.burst;

	fill_sources(run);
	uint64_t then = rte_rdtsc(), now;
	burst->cnt = rte_eth_rx_burst(worker->rx[0].ethdev, 0, burst->mbuf, SPW_BURST_MAX);
	for (uint32_t i = 0; i < burst->cnt; i++) {
		burst->state[i] = SPW_AT_CLASSIFY;
		burst->port_in[i] = (uint8_t)worker->rx[0].port;
	}
	cycles[STAGE_RECEIVE] += (now = rte_rdtsc()) - then;
	for (uint32_t s = 0; s < RTE_DIM(stages); s++) {
		then = now;
		stages[s](&worker->lane, burst);
		cycles[STAGE_CLASSIFY + s] += (now = rte_rdtsc()) - then;
	}
	then = now;
	spw_transmit(worker, burst);
	cycles[STAGE_TRANSMIT] += rte_rdtsc() - then;
}

static void run_profile(const struct run *run)
{
	double *values = calloc((size_t)options.rounds * STAGE_CNT, sizeof(*values));

	if (!values)
		broken("no memory");
	for (uint32_t k = 0; k < options.rounds; k++) {
		uint64_t warm[STAGE_CNT] = {0}, cycles[STAGE_CNT] = {0};
		pass_prepare(run, k);
		for (uint32_t b = 0; b < PASS_BURSTS; b++)
			profile_burst(run, b < WARM_BURSTS ? warm : cycles);
		for (uint32_t s = 0; s < STAGE_CNT; s++)
			values[s * options.rounds + k] = (double)cycles[s] / timed_packets(run);
		run->node->crew.worker[0]->lane.now_ns += 1000000;
	}
	for (uint32_t s = 0; s < STAGE_CNT; s++) {
		print_common(run, "profile");
		printf(", \"path\": \"%s\", \"stage\": \"%s\", \"cycles_per_packet\": %.1f}\n",
		       run->bench->name, stage_names[s],
		       low(&values[s * options.rounds], options.rounds));
	}
	fflush(stdout);
	free(values);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void measure(struct node *node, const struct bench *bench, uint32_t size)
{
	struct run run = {.node = node, .bench = bench, .size = size};

	run_open(&run);
	if (options.profile) {
		if (bench->sources == 1 && !is_relay(bench))
			run_profile(&run);
	} else {
		struct result result = run_measure(&run);
		print_row(&run, &result);
	}
	run_close(&run);
}

/* Relays, which no cipher changes, are measured when they are asked for; there are not as many as
 * there may be tunnels. */
static bool wanted(const struct bench *bench, uint32_t size, uint32_t tunnels_cnt)
{
	bool named = options.only ? strcmp(options.only, bench->name) == 0 : !is_relay(bench);

	return named && (options.size < 0 || options.size == size) &&
	       (!is_relay(bench) || tunnels_cnt < SPW_RELAYS_MAX);
}

static int measure_all(void *argument)
{
	struct node *node = argument;
	uint32_t measured = 0;

	spw_worker_begin(node->crew.worker[0]);
	for (uint32_t t = 0; t < RTE_DIM(tunnels); t++) {
		if (options.tunnels && options.tunnels != tunnels[t])
			continue;
		node_furnish(node, tunnels[t]);
		for (uint32_t k = 0; k < RTE_DIM(benches) * RTE_DIM(sizes); k++) {
			const struct bench *bench = &benches[k / RTE_DIM(sizes)];
			uint32_t size = sizes[k % RTE_DIM(sizes)];
			if (!wanted(bench, size, tunnels[t]))
				continue;
			measure(node, bench, size);
			measured++;
		}
	}
	return measured ? 0 : -1;
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"quick", no_argument, NULL, 'q'},
		{"only", required_argument, NULL, 'o'},
		{"size", required_argument, NULL, 's'},
		{"tunnels", required_argument, NULL, 't'},
		{"profile", no_argument, NULL, 'p'},
		{"rounds", required_argument, NULL, 'r'},
		{"provider", required_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			options.rounds = 100;
		else if (option == 'o')
			options.only = optarg;
		else if (option == 'a')
			options.provider = optarg;
		else if (option == 's')
			options.size = strcmp(optarg, "imix") == 0 ? (int)SIZE_IMIX : atoi(optarg);
		else if (option == 't')
			options.tunnels = (uint32_t)atoi(optarg);
		else if (option == 'p')
			options.profile = true;
		else if (option == 'r')
			options.rounds = (uint32_t)RTE_MAX(atoi(optarg), 1);
		else
			broken("expected [--quick] [--profile] [--only "
			       "encap|decap|hop|gateway|relay] "
			       "[--provider auto|openssl|ipsec-mb] [--size 64|128|512|1408|imix] "
			       "[--tunnels 64|1000|4096] [--rounds N]");
	}
}

int main(int argc, char **argv)
{
	static struct node node;
	struct spw_msg_setup setup = {.workers = 1};
	struct spw_cpus cpus = {.worker = {sched_getcpu()}};
	char why[256];

	parse(argc, argv);
	if (spw_arena_open(ARENA_BYTES) != 0)
		broken("cannot lock memory for keys: raise `ulimit -l` or run it as root");
	snprintf(setup.node, sizeof(setup.node), "bench%d", getpid());
	snprintf(cpus.allowed, sizeof(cpus.allowed), "%d", cpus.worker[0]);
	rte_log_set_global_level(RTE_LOG_WARNING);
	if (spw_eal_start(&setup, &cpus, EAL_POOL_BYTES, why, sizeof(why)) != 0)
		broken("%s", why);
	if (spw_aead_choose(options.provider, 1, why, sizeof(why)) != 0)
		broken("%s", why);
	fprintf(stderr, "AEAD %s: %s\n", spw_aead_provider(), why);
	node_create(&node);
	for (uint32_t s = 0; s < SOURCES_MAX; s++)
		source_open(&sources[s], node.pool);
	if (rte_eal_remote_launch(measure_all, &node, SPW_WORKER_LCORE(0)) != 0)
		broken("the worker does not start");
	/* Asleep: rte_eal_wait_lcore polls, on the very CPU that is to be measured. */
	while (rte_eal_get_lcore_state(SPW_WORKER_LCORE(0)) == RUNNING)
		usleep(10000);
	if (rte_eal_wait_lcore(SPW_WORKER_LCORE(0)) != 0)
		broken("nothing has this name, size or number of tunnels");
	return 0;
}
