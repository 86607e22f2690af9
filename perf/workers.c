/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * workers.c - spw-bench-workers: two workers in one process, beside two processes of one worker.
 *
 * What is lost between the two is what workers of a process share without need: a cache line that
 * one writes and the other reads, a lock, a library's global variable.
 *
 * Three processes wait: one with two workers, two with one. In each round the one works for some
 * tens of milliseconds and the two at the same time as each other, on the same CPUs, now the one
 * first and now the two; each worker counts what it has done in its CPU time. The node, its packets
 * and its ports are those of pipeline.c; there is no generator. Reported is the median of the
 * rounds' ratios: what the machine takes away changes from second to second by more than what is
 * looked for.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_log.h>

#include "control/clock.h"
#include "dataplane/arena.h"
#include "dataplane/eal.h"
#include "perf/pipeline.h"
#include "perf/timing.h"

#define WORKERS 2u
#define TUNNELS 64u
#define ARENA_BYTES (64u << 20)
#define EAL_POOL_BYTES (64u << 20)
/* Short enough that the machine is much the same in both halves of a round, long enough that
 * starting together does not count. */
#define WINDOW_NS 10000000u
#define LEAD_NS 1000000u /* from the order to the start, for everybody to be awake */

static const uint32_t sizes[] = {64, 512, 1408};

/* A process's first answer; all others are packets. */
#define READY 0u
#define ABSENT UINT64_MAX /* the provider is not installed */

/* What the parent asks of a process. */
struct order {
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint32_t size;     /* index */
};

struct process {
	uint32_t workers;
	int cpu[WORKERS];
	pid_t pid;
	int orders, answers; /* pipes: struct order to it, packets (u64) from it */
};

/* Inside a process: one of its workers. Lines of its own: each writes its cursor and count. */
struct __attribute__((aligned(SPW_CACHE_LINE))) shift {
	struct spw_worker *worker;
	struct source source;
	const struct order *order;
	uint64_t packets;
};

/* Processor time of the calling thread. */
static uint64_t thread_used_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* ---- inside a process ----------------------------------------------------------------------- */

/* The node's crew is of one worker; here it gets one of `workers`, each with tables' rows, outbound
 * SAs and a sink of its own. */
static void make_crew(struct node *node, struct spw_crew *crew, uint32_t workers,
		      struct spw_ports *ports)
{
	struct spw_tables tables = node->world->lane.tables;
	size_t rows_bytes = workers * sizeof(struct spw_worker_row);
	size_t counters_bytes = workers * tables.tunnels_max * sizeof(struct spw_tunnel_counters);

	tables.workers = aligned_alloc(SPW_CACHE_LINE, rows_bytes);
	tables.counters = aligned_alloc(SPW_CACHE_LINE, counters_bytes);
	if (!tables.workers || !tables.counters)
		broken("no memory");
	memset(tables.workers, 0, rows_bytes);
	memset(tables.counters, 0, counters_bytes);
	*ports = (struct spw_ports){.pool = node->pool};
	for (uint32_t w = 0; w < workers; w++)
		ports->queue[w] = (struct spw_queue){
			.ethdev = port_open_sink(node->pool), .wake_fd = -1, .xsk_fd = -1};
	for (uint32_t p = PORT_WAN; p <= PORT_LAN; p++)
		ports->port[p] = (struct spw_io_port){
			.queues = workers, .mtu_bytes = 1500, .queue = ports->queue};
	/* The node's own crew gives way: rings have names. */
	rte_ring_free(node->crew.worker[0]->lane.handoff[0]);
	rte_ring_free(node->crew.worker[0]->lane.reports);
	rte_ring_free(node->crew.worker[0]->dummies);
	if (spw_crew_create(crew, workers, &tables, ports, node->world->lane.sas) != 0)
		broken("no memory for %u workers", workers);
	for (uint32_t w = 1; w < workers; w++) {
		for (uint32_t id = 1; id <= TUNNELS; id++) {
			struct spw_msg_sa_add sa = node_sa(SPW_SA_OUT, id);
			sa.slot = w * TUNNELS + id;
			sa.worker = w;
			sa.iv_mask += w;
			if (spw_sa_add(node->world->lane.sas, &sa, 0) != 0)
				broken("no memory for SAs");
			node->world->tunnels[id].tx_sa[w] = sa.slot;
		}
	}
}

static int work(void *argument)
{
	struct shift *shift = argument;
	uint64_t end_ns = shift->order->start_ns + WINDOW_NS, packets = 0;

	while (spw_now_ns() < shift->order->start_ns)
		;
	uint64_t began_ns = thread_used_ns();
	while (spw_now_ns() < end_ns) {
		source_fill(&shift->source);
		packets += spw_worker_round(shift->worker);
	}
	/* By CPU time: who was woken late, or had his CPU taken away, is not slow for that. */
	uint64_t used_ns = thread_used_ns() - began_ns;
	shift->packets = used_ns ? packets * WINDOW_NS / used_ns : 0;
	return 0;
}

static int begin(void *argument)
{
	spw_worker_begin(argument);
	return 0;
}

/* Has every worker's lcore run one function; argument + w * bytes: its own. The first worker comes
 * last: it has the CPU of this thread, which could not start another while that one works. */
static void run_all(uint32_t workers, lcore_function_t *function, void *arguments, size_t bytes)
{
	for (uint32_t w = workers; w-- > 0;) {
		void *own = (char *)arguments + w * bytes;
		if (rte_eal_remote_launch(function, own, SPW_WORKER_LCORE(w)) != 0)
			broken("a worker does not start");
	}
	for (uint32_t w = 0; w < workers; w++) {
		/* Asleep: rte_eal_wait_lcore polls, on a CPU that is being measured. */
		while (rte_eal_get_lcore_state(SPW_WORKER_LCORE(w)) == RUNNING)
			usleep(1000);
		rte_eal_wait_lcore(SPW_WORKER_LCORE(w));
	}
}

static void start_dpdk(const struct process *process, const char *provider)
{
	struct spw_msg_setup setup = {.workers = process->workers};
	struct spw_cpus cpus = {0};
	char why[256];

	snprintf(setup.node, sizeof(setup.node), "workers%d", getpid());
	for (uint32_t w = 0; w < process->workers; w++)
		cpus.worker[w] = process->cpu[w];
	snprintf(cpus.allowed, sizeof(cpus.allowed), "%d", process->cpu[0]);
	rte_log_set_global_level(RTE_LOG_WARNING);
	if (spw_arena_open(ARENA_BYTES) != 0)
		broken("cannot lock memory for keys: raise `ulimit -l` or run it as root");
	if (spw_eal_start(&setup, &cpus, EAL_POOL_BYTES, why, sizeof(why)) != 0 ||
	    spw_aead_choose(provider, process->workers, why, sizeof(why)) != 0)
		broken("%s", why);
}

/* A process's life: orders in, packets out, until the parent is gone. */
_Noreturn static void serve(const struct process *process, const char *provider)
{
	static struct node node;
	static struct spw_ports ports;
	static struct spw_crew crew;
	struct shift shifts[WORKERS];
	struct packets *packets_of[RTE_DIM(sizes)];
	struct order order;

	start_dpdk(process, provider);
	uint64_t packets = strcmp(spw_aead_provider(), provider) == 0 ? READY : ABSENT;
	if (packets == ABSENT) {
		if (write(process->answers, &packets, sizeof(packets)) < 0)
			_exit(1);
		_exit(0);
	}
	node_create(&node);
	node_furnish(&node, TUNNELS);
	make_crew(&node, &crew, process->workers, &ports);
	for (uint32_t s = 0; s < RTE_DIM(sizes); s++)
		packets_of[s] = packets_make(TUNNELS, PATH_ENCAP, sizes[s]);
	for (uint32_t w = 0; w < process->workers; w++) {
		struct shift *shift = &shifts[w];
		*shift = (struct shift){.worker = crew.worker[w], .order = &order};
		source_open(&shift->source, node.pool);
		shift->worker->rx_cnt = 1;
		shift->worker->rx[0] =
			(struct spw_rx){.ethdev = shift->source.ethdev, .port = PORT_LAN};
		run_all(1, begin, shift->worker, 0);
	}
	do {
		if (write(process->answers, &packets, sizeof(packets)) < 0 ||
		    read(process->orders, &order, sizeof(order)) != sizeof(order))
			break;
		for (uint32_t w = 0; w < process->workers; w++)
			shifts[w].source.packets = packets_of[order.size];
		run_all(process->workers, work, shifts, sizeof(shifts[0]));
		packets = 0;
		for (uint32_t w = 0; w < process->workers; w++)
			packets += shifts[w].packets;
	} while (true);
	_exit(0);
}

/* ---- the parent ----------------------------------------------------------------------------- */

static void start_process(struct process *process, const char *provider)
{
	int orders[2], answers[2];

	if (pipe(orders) < 0 || pipe(answers) < 0)
		broken("no pipe: %s", strerror(errno));
	process->pid = fork();
	if (process->pid < 0)
		broken("no process: %s", strerror(errno));
	if (process->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(orders[1]);
		close(answers[0]);
		process->orders = orders[0];
		process->answers = answers[1];
		serve(process, provider);
	}
	close(orders[0]);
	close(answers[1]);
	process->orders = orders[1];
	process->answers = answers[0];
}

static uint64_t take_answer(const struct process *process)
{
	uint64_t packets;

	if (read(process->answers, &packets, sizeof(packets)) != sizeof(packets))
		broken("a process with %u workers has failed, see above", process->workers);
	return packets;
}

/* What some processes do together in one window, in packets per second. */
static double work_together(const struct process *processes, uint32_t cnt, uint32_t size)
{
	const struct order order = {spw_now_ns() + LEAD_NS, size};
	uint64_t packets = 0;

	for (uint32_t p = 0; p < cnt; p++) {
		if (write(processes[p].orders, &order, sizeof(order)) < 0)
			broken("a process has failed, see above");
	}
	for (uint32_t p = 0; p < cnt; p++)
		packets += take_answer(&processes[p]);
	return (double)packets * 1e9 / WINDOW_NS;
}

static double median(double *values, uint32_t cnt)
{
	return timing_quantile(values, cnt, 50);
}

static void measure(const struct process processes[3], uint32_t size, uint32_t rounds,
		    const char *provider)
{
	double *one = calloc(4 * rounds, sizeof(*one)), *two = one + rounds, *single = two + rounds,
	       *ratio = single + rounds;

	if (!one)
		broken("no memory");
	for (uint32_t k = 0; k < rounds; k++) {
		if (k % 2)
			one[k] = work_together(&processes[0], 1, size);
		two[k] = work_together(&processes[1], 2, size);
		if (k % 2 == 0)
			one[k] = work_together(&processes[0], 1, size);
		single[k] = work_together(&processes[1], 1, size);
		ratio[k] = one[k] / two[k];
	}
	double ours = median(one, rounds), middle = median(ratio, rounds);
	printf("{\"bench\": \"workers\", \"size\": %u, \"provider\": \"%s\", \"tunnels\": %u, "
	       "\"workers\": %u, \"mpps\": %.3f, \"inner_gbps\": %.3f, \"alone_mpps\": %.3f, "
	       "\"peer\": \"two processes\", \"peer_value\": %.3f, \"rounds\": %u, \"ratio\": "
	       "%.3f, "
	       "\"ratio_low\": %.3f, \"ratio_high\": %.3f}\n",
	       sizes[size], provider, TUNNELS, WORKERS, ours / 1e6, ours * sizes[size] * 8 / 1e9,
	       median(single, rounds) / 1e6, median(two, rounds) / 1e6, rounds, middle,
	       ratio[rounds / 4], ratio[rounds * 3 / 4]);
	fflush(stdout);
	free(one);
}

/* The last two CPUs that this process may use; the first ones have most of the system's work. */
static void choose_cpus(int cpu[WORKERS])
{
	uint32_t found = 0;
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 ||
	    CPU_COUNT(&allowed) < (int)WORKERS)
		broken("two workers want two CPUs");
	for (int c = CPU_SETSIZE - 1; found < WORKERS; c--) {
		if (CPU_ISSET((unsigned int)c, &allowed))
			cpu[found++] = c;
	}
}

int main(int argc, char **argv)
{
	bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
	struct process processes[3] = {{.workers = WORKERS}, {.workers = 1}, {.workers = 1}};
	int cpu[WORKERS];
	const char *const providers[] = {"ipsec-mb", "openssl"};

	if (argc > 1 && !quick)
		broken("expected nothing, or --quick");
	choose_cpus(cpu);
	memcpy(processes[0].cpu, cpu, sizeof(cpu));
	processes[1].cpu[0] = cpu[0];
	processes[2].cpu[0] = cpu[1];
	for (uint32_t a = 0; a < RTE_DIM(providers); a++) {
		bool ready = true;
		for (uint32_t p = 0; p < RTE_DIM(processes); p++) {
			start_process(&processes[p], providers[a]);
			ready = take_answer(&processes[p]) == READY && ready;
		}
		if (!ready)
			fprintf(stderr, "spw-bench-workers: no %s here\n", providers[a]);
		for (uint32_t s = 0; s < RTE_DIM(sizes) && ready; s++)
			measure(processes, s, quick ? 25 : 150, providers[a]);
		for (uint32_t p = 0; p < RTE_DIM(processes); p++) {
			/* Not by closing its pipe: the others hold a copy of that. */
			kill(processes[p].pid, SIGKILL);
			close(processes[p].orders);
			close(processes[p].answers);
			waitpid(processes[p].pid, NULL, 0);
		}
	}
	return 0;
}
