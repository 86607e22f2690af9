/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie.c - the route lookup beside rte_lpm: spw-bench-trie [--quick]. One JSON object a line.
 *
 * Both tables hold the same prefixes (trie_table.h) and are asked the same addresses in bursts of
 * 64, in turns, in one thread. Both lie in ordinary pages of 4 KiB: that is what the shared tables
 * are made of, and the EAL is told to do without hugepages. A figure is the lower quartile of
 * bursts too short to be preempted often. Our keys and roots are made of the addresses within the
 * time measured. The trie is loaded through control's transactions, whose changes are timed too.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <arpa/inet.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lpm.h>
#include <rte_vect.h>

#include "control/daemon/tables/maps.h"
#include "control/daemon/tables/trie.h"
#include "ebpf/trie_bulk.h"
#include "perf/trie_table.h"

#define ADDRS (1u << 20) /* asked in turn: more than any cache holds the answers of */
#define BURST SPW_TRIE_BULK_MAX
#define RUN_BURSTS 128u /* timed together: about 0.1 ms */

struct bench {
	struct spw_trie_unit *units;
	uint32_t units_max;
	struct spw_trie view;
	struct spw_trie_pool *pool;
	struct spw_meta *meta;
	struct spw_worker_row *workers;
	struct spw_grace *grace;
	uint32_t units_peak; /* the most that were taken at once */
	uint32_t *addrs;
	uint32_t rounds, changes; /* of lookups; of each length of prefix */
	double ns_per_tick;
};

static void die(const char *what, int error)
{
	fprintf(stderr, "spw-bench-trie: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static void *pages(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory", errno);
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 0, bytes);
	return memory;
}

/* ---- our trie ----------------------------------------------------------------------------- */

static void open_pool(struct bench *bench, uint32_t units_max)
{
	bench->units_max = units_max;
	bench->units = pages((size_t)units_max * sizeof(*bench->units));
	bench->view = (struct spw_trie){bench->units, units_max};
	bench->pool = spw_trie_pool_create(bench->units, units_max);
	if (!bench->pool)
		die("no memory for the pool", ENOMEM);
	spw_trie_marked(bench->pool);
	bench->units_peak = 0;
}

static void note_peak(struct bench *bench)
{
	struct spw_trie_usage usage;

	spw_trie_usage(bench->pool, &usage);
	if (usage.units_used > bench->units_peak)
		bench->units_peak = usage.units_used;
}

static void settle(struct bench *bench)
{
	note_peak(bench);
	int error = spw_grace_drain(bench->grace, 10000);
	if (error)
		die("a grace period did not end", error);
}

static void close_pool(struct bench *bench)
{
	settle(bench);
	spw_trie_pool_destroy(bench->pool);
	munmap(bench->units, (size_t)bench->units_max * sizeof(*bench->units));
}

static struct spw_trie_txn *begin(struct bench *bench)
{
	struct spw_trie_txn *txn;
	int error = spw_trie_txn_begin(bench->pool, &txn);

	if (error)
		die("no transaction", error);
	return txn;
}

static void commit(struct bench *bench, struct spw_trie_txn *txn, uint32_t *published,
		   uint32_t root)
{
	int error = spw_trie_txn_seal(txn, bench->grace);

	if (error)
		die("a transaction was not sealed", error);
	__atomic_store_n(published, root, __ATOMIC_RELEASE);
	spw_trie_txn_retire(txn);
}

static struct spw_prefix prefix_of(const struct table_route *route)
{
	struct spw_prefix prefix = {.family = 4, .bits = route->bits};
	uint32_t addr_be = htonl(route->addr);

	memcpy(prefix.addr, &addr_be, sizeof(addr_be));
	return prefix;
}

static void put(struct spw_trie_txn *txn, uint32_t *root, const struct table_route *route,
		uint32_t leaf)
{
	struct spw_prefix prefix = prefix_of(route);
	int error = spw_trie_insert(txn, root, &prefix, leaf, false);

	if (error)
		die("a route was refused", error);
}

/* Leaves stand for next hops: 16 bits, as many as rte_lpm's 24 allow with ease. */
static uint32_t leaf_of(uint32_t i)
{
	return i % 65535 + 1;
}

static double load(struct bench *bench, const struct table_route *routes, uint32_t cnt,
		   uint32_t *root)
{
	uint64_t start = rte_rdtsc();
	struct spw_trie_txn *txn = begin(bench);
	uint32_t changed = 0;

	for (uint32_t i = 0; i < cnt; i++)
		put(txn, &changed, &routes[i], leaf_of(i));
	commit(bench, txn, root, changed);
	return (double)(rte_rdtsc() - start) * bench->ns_per_tick / 1e9;
}

/* ---- rte_lpm ------------------------------------------------------------------------------ */

static void lpm_fill(struct rte_lpm_tbl_entry *entries, uint32_t first, uint32_t cnt, uint32_t leaf,
		     uint8_t bits, uint32_t in_group)
{
	for (uint32_t i = first; i < first + cnt; i++)
		entries[i] = (struct rte_lpm_tbl_entry){
			.next_hop = leaf, .valid = 1, .valid_group = in_group, .depth = bits};
}

/* Fills the tables as rte_lpm_add would, from the shortest prefix to the longest, but without its
 * list of rules: the search in that takes minutes for a million. check() sees to it that they
 * answer as they should. */
static struct rte_lpm *load_lpm(const struct table_route *routes, uint32_t cnt)
{
	/* A table of 256 entries below each /24 that has something longer. */
	uint32_t groups_max = 1, groups = 0;
	for (uint32_t i = 0; i < cnt; i++)
		groups_max += routes[i].bits > 24;
	struct rte_lpm_config config = {.max_rules = 1, .number_tbl8s = groups_max};
	struct rte_lpm *lpm = rte_lpm_create("peer", SOCKET_ID_ANY, &config);

	if (!lpm)
		die("rte_lpm_create", rte_errno);
	for (uint8_t bits = 1; bits <= 32; bits++)
		for (uint32_t i = 0; i < cnt; i++) {
			uint32_t addr = routes[i].addr;
			struct rte_lpm_tbl_entry *top = &lpm->tbl24[addr >> 8];
			if (routes[i].bits != bits)
				continue;
			if (bits <= 24) {
				lpm_fill(lpm->tbl24, addr >> 8, 1u << (24 - bits), leaf_of(i), bits,
					 0);
				continue;
			}
			if (!top->valid_group) {
				struct rte_lpm_tbl_entry above = *top;
				if (above.valid)
					lpm_fill(lpm->tbl8, 256 * groups, 256, above.next_hop,
						 (uint8_t)above.depth, 1);
				*top = (struct rte_lpm_tbl_entry){
					.next_hop = groups++, .valid = 1, .valid_group = 1};
			}
			lpm_fill(lpm->tbl8, 256 * top->next_hop + (addr & 255), 1u << (32 - bits),
				 leaf_of(i), bits, 1);
		}
	return lpm;
}

/* ---- lookups ------------------------------------------------------------------------------ */

enum way { OURS_SINGLE, OURS_BULK, LPM_BULK, LPM_X4, WAYS };

struct subject {
	const struct spw_trie *trie;
	uint32_t root;
	const struct rte_lpm *lpm;
};

static void ask_ours_single(const struct subject *subject, const uint32_t *addrs, uint32_t *leaves)
{
	for (uint32_t i = 0; i < BURST; i++)
		leaves[i] = spw_trie_lookup(subject->trie, subject->root, spw_trie_key4(addrs[i]),
					    SPW_TRIE_LEVELS4);
}

static void ask_ours_bulk(const struct subject *subject, const uint32_t *addrs, uint32_t *leaves)
{
	struct spw_trie_key keys[BURST];
	uint32_t roots[BURST];

	for (uint32_t i = 0; i < BURST; i++) {
		keys[i] = spw_trie_key4(addrs[i]);
		roots[i] = subject->root;
	}
	spw_trie_lookup_bulk(subject->trie, roots, keys, leaves, BURST, SPW_TRIE_LEVELS4);
}

static void ask_lpm_bulk(const struct subject *subject, const uint32_t *addrs, uint32_t *leaves)
{
	rte_lpm_lookup_bulk(subject->lpm, addrs, leaves, BURST);
	for (uint32_t i = 0; i < BURST; i++)
		leaves[i] = leaves[i] & RTE_LPM_LOOKUP_SUCCESS ? leaves[i] & 0xffffff : 0;
}

static void ask_lpm_x4(const struct subject *subject, const uint32_t *addrs, uint32_t *leaves)
{
	for (uint32_t i = 0; i < BURST; i += 4) {
		xmm_t ip = _mm_loadu_si128((const xmm_t *)(addrs + i));
		rte_lpm_lookupx4(subject->lpm, ip, leaves + i, 0);
	}
}

static void (*const ask[WAYS])(const struct subject *, const uint32_t *, uint32_t *) = {
	[OURS_SINGLE] = ask_ours_single,
	[OURS_BULK] = ask_ours_bulk,
	[LPM_BULK] = ask_lpm_bulk,
	[LPM_X4] = ask_lpm_x4,
};

/* Every way gives every address the same answer. */
static void check(const struct bench *bench, const struct subject *subject)
{
	uint32_t leaves[WAYS][BURST];

	for (uint32_t at = 0; at < ADDRS; at += BURST) {
		for (int way = 0; way < WAYS; way++)
			ask[way](subject, bench->addrs + at, leaves[way]);
		for (int way = 1; way < WAYS; way++)
			if (memcmp(leaves[0], leaves[way], sizeof(leaves[0])) != 0)
				die("the tables answer differently", EPROTO);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Asks all addresses once a round; the lower quartile of the runs, in ns per lookup. */
static double time_way(const struct bench *bench, const struct subject *subject, enum way way)
{
	uint32_t runs = ADDRS / (RUN_BURSTS * BURST), cnt = 0, leaves[BURST];
	double *ns = calloc(runs * bench->rounds, sizeof(*ns));

	if (!ns)
		die("no memory", ENOMEM);
	for (uint32_t round = 0; round < bench->rounds + 1; round++)
		for (uint32_t run = 0; run < runs; run++) {
			const uint32_t *addrs = bench->addrs + run * RUN_BURSTS * BURST;
			uint64_t start = rte_rdtsc_precise();
			for (uint32_t burst = 0; burst < RUN_BURSTS; burst++) {
				ask[way](subject, addrs + burst * BURST, leaves);
				__asm__ volatile("" ::"r"(leaves) : "memory");
			}
			uint64_t ticks = rte_rdtsc_precise() - start;
			if (round > 0) /* the first one warms up */
				ns[cnt++] =
					(double)ticks * bench->ns_per_tick / (RUN_BURSTS * BURST);
		}
	qsort(ns, cnt, sizeof(*ns), by_value);
	double result = ns[cnt / 4];
	free(ns);
	return result;
}

static void print_lookups(const struct bench *bench, const struct subject *subject,
			  const char *table, uint32_t cnt, const char *destinations)
{
	double best[WAYS];
	struct spw_trie_usage usage;

	check(bench, subject);
	for (int way = 0; way < WAYS; way++)
		best[way] = 1e9;
	/* In turns, so that a slow spell of the machine is everybody's. */
	for (int turn = 0; turn < 3; turn++)
		for (int way = 0; way < WAYS; way++) {
			double ns = time_way(bench, subject, (enum way)way);
			best[way] = ns < best[way] ? ns : best[way];
		}
	double peer = best[LPM_BULK] < best[LPM_X4] ? best[LPM_BULK] : best[LPM_X4];
	spw_trie_usage(bench->pool, &usage);
	printf("{\"bench\": \"trie\", \"table\": \"%s\", \"prefixes\": %u, \"destinations\": "
	       "\"%s\", \"ns_per_lookup\": %.2f, \"bulk_ns_per_lookup\": %.2f, \"peer\": "
	       "\"rte_lpm\", \"peer_value\": %.2f, \"ratio\": %.3f, \"memory_mib\": %.2f}\n",
	       table, cnt, destinations, best[OURS_SINGLE], best[OURS_BULK], peer,
	       peer / best[OURS_BULK], usage.units_used * 64.0 / 1048576);
	fflush(stdout);
}

/* ---- changes ------------------------------------------------------------------------------ */

/* From the start of a transaction to the store of its last word, a prefix of `bits` put in or taken
 * out; the median and the worst. Each is one that was not there. */
static void time_changes(struct bench *bench, uint32_t *root, uint8_t bits, double *median_ms,
			 double *worst_ms)
{
	double ms[256];
	uint32_t cnt = bits < 8 ? 8 : bench->changes, done = 0;
	uint64_t seed = 4711 + bits;

	while (done < 2 * cnt) {
		struct table_route route = {
			(uint32_t)table_random(&seed) & (bits ? ~0u << (32 - bits) : 0), bits};
		struct spw_prefix prefix = prefix_of(&route);
		if (spw_trie_get(bench->pool, *root, &prefix)) {
			if (bits < 8)
				break; /* few there are, and all of them taken */
			continue;
		}
		for (int remove = 0; remove < 2; remove++) {
			uint32_t changed = *root;
			uint64_t start = rte_rdtsc();
			struct spw_trie_txn *txn = begin(bench);
			int error = remove ? spw_trie_remove(txn, &changed, &prefix)
					   : spw_trie_insert(txn, &changed, &prefix, 7, false);
			if (error)
				die("a change was refused", error);
			commit(bench, txn, root, changed);
			ms[done++] = (double)(rte_rdtsc() - start) * bench->ns_per_tick / 1e6;
			settle(bench);
		}
	}
	if (done == 0)
		die("no prefix of this length was free", EEXIST);
	qsort(ms, done, sizeof(*ms), by_value);
	*median_ms = ms[done / 2];
	*worst_ms = ms[done - 1];
}

static void print_changes(struct bench *bench, const char *table, uint32_t cnt, uint32_t *root,
			  double load_s)
{
	static const uint8_t lengths[] = {0, 8, 10, 12, 16, 20, 24, 28, 32};
	char medians[256] = "", worsts[256] = "";

	for (size_t i = 0; i < sizeof(lengths); i++) {
		double median_ms, worst_ms;
		time_changes(bench, root, lengths[i], &median_ms, &worst_ms);
		const char *comma = i ? ", " : "";
		size_t m = strlen(medians), w = strlen(worsts);
		snprintf(medians + m, sizeof(medians) - m, "%s\"/%u\": %.4f", comma, lengths[i],
			 median_ms);
		snprintf(worsts + w, sizeof(worsts) - w, "%s\"/%u\": %.4f", comma, lengths[i],
			 worst_ms);
	}
	printf("{\"bench\": \"trie\", \"table\": \"%s\", \"prefixes\": %u, \"load_s\": %.3f, "
	       "\"change_visible_ms\": {%s}, \"change_worst_ms\": {%s}, \"memory_peak_mib\": %.2f, "
	       "\"pool_mib\": %.2f}\n",
	       table, cnt, load_s, medians, worsts, bench->units_peak * 64.0 / 1048576,
	       bench->units_max * 64.0 / 1048576);
	fflush(stdout);
}

/* ---- the benchmark ------------------------------------------------------------------------ */

static void bench_table(struct bench *bench, bool crowded, uint32_t cnt)
{
	const char *table = crowded ? "crowded" : "spread";
	struct table_route *routes = calloc(cnt, sizeof(*routes));
	uint32_t root = 0;

	if (!routes)
		die("no memory", ENOMEM);
	fprintf(stderr, "%u prefixes, %s\n", cnt, table);
	table_make(routes, cnt, crowded, 88172645463325252ull + cnt);
	/* Just the pool that a node with this limit has. */
	open_pool(bench, SPW_ROUTE_UNITS_MAX(cnt));
	double load_s = load(bench, routes, cnt, &root);
	settle(bench);
	struct rte_lpm *lpm = load_lpm(routes, cnt);
	struct subject subject = {&bench->view, root, lpm};

	table_addresses(bench->addrs, ADDRS, routes, cnt, 99);
	print_lookups(bench, &subject, table, cnt, "existing");
	table_addresses(bench->addrs, ADDRS, NULL, 0, 7);
	print_lookups(bench, &subject, table, cnt, "uniform");
	print_changes(bench, table, cnt, &root, load_s);
	rte_lpm_free(lpm);
	close_pool(bench);
	free(routes);
}

/* Tries of few prefixes, as tunnels' allow sets and small tenants have them. */
static void bench_small(struct bench *bench, uint32_t cnt)
{
	struct table_route routes[128];
	uint32_t root = 0;

	open_pool(bench, 65536);
	for (uint32_t i = 0; i < cnt; i++)
		routes[i] = (struct table_route){10u << 24 | i << 16, 16};
	load(bench, routes, cnt, &root);
	settle(bench);
	struct rte_lpm *lpm = load_lpm(routes, cnt);
	struct subject subject = {&bench->view, root, lpm};
	table_addresses(bench->addrs, ADDRS, routes, cnt, 99);
	print_lookups(bench, &subject, "small", cnt, "existing");
	rte_lpm_free(lpm);
	close_pool(bench);
}

/* 10,000 tenants of 10 routes, IPv4, with the pool that a node with these limits has. */
static void bench_tenants(struct bench *bench)
{
	uint64_t seed = 5;
	uint32_t *roots = calloc(10000, sizeof(*roots));
	struct spw_trie_usage usage;

	if (!roots)
		die("no memory", ENOMEM);
	open_pool(bench, SPW_ROUTE_UNITS_MAX(100000));
	for (uint32_t tenant = 0; tenant < 10000; tenant++) {
		struct table_route routes[10];
		table_make(routes, 10, false, table_random(&seed));
		load(bench, routes, 10, &roots[tenant]);
		if (tenant % 1000 == 999)
			settle(bench);
	}
	settle(bench);
	spw_trie_usage(bench->pool, &usage);
	printf("{\"bench\": \"trie\", \"table\": \"tenants\", \"prefixes\": 100000, "
	       "\"tenants10k_mib\": %.2f, \"memory_mib\": %.2f}\n",
	       bench->units_max * 64.0 / 1048576, usage.units_used * 64.0 / 1048576);
	close_pool(bench);
	free(roots);
}

static void open_bench(struct bench *bench, bool quick)
{
	char *args[] = {
		"spw-bench-trie", "--no-huge",         "-m", "512", "--no-pci", "--no-shconf",
		"--no-telemetry", "--log-level=error", "-l", "0",   NULL};

	memset(bench, 0, sizeof(*bench));
	if (rte_eal_init(10, args) < 0)
		die("rte_eal_init", rte_errno);
	bench->rounds = quick ? 1 : 10;
	bench->changes = quick ? 8 : 64;
	bench->ns_per_tick = 1e9 / (double)rte_get_tsc_hz();
	bench->addrs = pages(ADDRS * sizeof(*bench->addrs));
	bench->meta = pages(sizeof(*bench->meta));
	bench->workers = pages(SPW_WORKERS_MAX * sizeof(*bench->workers));
	bench->meta->epoch = 1;
	int error = spw_grace_create(&bench->grace, bench->meta, bench->workers, 4096);
	if (error)
		die("no grace periods", error);
}

int main(int argc, char **argv)
{
	struct bench bench;
	bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;

	if (argc > 1 && !quick) {
		fprintf(stderr, "usage: spw-bench-trie [--quick]\n");
		return 2;
	}
	open_bench(&bench, quick);
	bench_small(&bench, 1);
	bench_small(&bench, 7);
	bench_small(&bench, 10);
	bench_small(&bench, 40);
	bench_small(&bench, 128);
	bench_table(&bench, false, 10000);
	bench_table(&bench, true, 10000);
	bench_table(&bench, false, 1000000);
	bench_table(&bench, true, 1000000);
	bench_tenants(&bench);
	spw_grace_destroy(bench.grace);
	return 0;
}
