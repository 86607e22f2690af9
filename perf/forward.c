/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forward.c - spw-perf-forward: the product's ports and worker loop without what lies between them,
 * as the peer of testpmd's mac forwarding.
 *
 * A node forwards nothing in clear, so there is no setting for this. It is the dataplane's own
 * objects with one function in place of theirs, spw_stage_classify: it swaps the MACs of each
 * packet and sends it out of the other port. The later stages find nothing to do.
 *
 * The interfaces must have a program for AF_XDP attached (forward.bpf.o). A line on stdin asks for
 * the counters, one JSON object on stdout; the end of stdin ends it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ether.h>

#include "dataplane/arena.h"
#include "dataplane/crew.h"
#include "dataplane/eal.h"

#define PORTS 2u
#define ARENA_BYTES (1u << 20)

/* The worker writes, main reads. */
static uint64_t packets, busy_packets, busy_cycles;

/* Time is taken from burst to burst, where no empty poll lay between them. Worker. */
static void take_time(const struct spw_lane *lane, uint32_t cnt)
{
	static uint64_t last_tsc, last_loops, last_cnt;
	uint64_t tsc = rte_rdtsc();

	if (last_cnt && lane->row->loops - last_loops <= 1) {
		spw_count((__u64 *)&busy_packets, last_cnt);
		spw_count((__u64 *)&busy_cycles, tsc - last_tsc);
	}
	last_tsc = tsc;
	last_loops = lane->row->loops;
	last_cnt = cnt;
	spw_count((__u64 *)&packets, cnt);
}

void spw_stage_classify(struct spw_lane *lane, struct spw_burst *burst)
{
	take_time(lane, burst->cnt);
	for (uint32_t i = 0; i < burst->cnt; i++) {
		struct rte_ether_hdr *ether =
			rte_pktmbuf_mtod(burst->mbuf[i], struct rte_ether_hdr *);
		struct rte_ether_addr destination = ether->dst_addr;
		ether->dst_addr = ether->src_addr;
		ether->src_addr = destination;
		burst->port_out[i] = burst->port_in[i] ^ 1;
		burst->state[i] = SPW_AT_TRANSMIT;
	}
}

/* Tables of one tunnel and one tenant that nobody uses: the crew and the loop want to count
 * somewhere, and the police looks at a cap for every burst, before it looks at packets. */
static int make_tables(struct spw_tables *tables)
{
	struct spw_meta *meta = aligned_alloc(SPW_CACHE_LINE, sizeof(*meta));
	struct spw_worker_row *row = aligned_alloc(SPW_CACHE_LINE, sizeof(*row));

	*tables = (struct spw_tables){
		.meta = meta,
		.workers = row,
		.counters = calloc(1, sizeof(struct spw_tunnel_counters)),
		.rates = calloc(2, sizeof(struct spw_rate)),
		.tunnels_max = 1,
		.tenants_max = 1,
	};
	if (!meta || !row || !tables->counters || !tables->rates)
		return -ENOMEM;
	memset(meta, 0, sizeof(*meta));
	memset(row, 0, sizeof(*row));
	meta->epoch = 1;
	return 0;
}

static int start(struct spw_crew *crew, const struct spw_msg_setup *setup,
		 const struct spw_cpus *cpus)
{
	static struct spw_ports ports;
	static struct spw_tables tables;
	char why[256] = "";

	int error = make_tables(&tables);
	if (!error)
		error = spw_arena_open(ARENA_BYTES);
	struct spw_sa_table *sas = error ? NULL : spw_sa_table_create(1);
	if (!sas)
		snprintf(why, sizeof(why), "no memory");
	if (!error)
		error = spw_eal_start(setup, cpus, spw_ports_pool_bytes(setup), why, sizeof(why));
	if (!error)
		error = spw_ports_open(&ports, setup, why, sizeof(why));
	if (!error)
		error = spw_crew_create(crew, setup->workers, &tables, &ports, sas);
	if (!error)
		error = spw_crew_start(crew);
	if (error)
		fprintf(stderr, "spw-perf-forward: %s\n", why[0] ? why : strerror(-error));
	return error;
}

/* argv: CPU and two interfaces, each of one queue. */
static int read_arguments(int argc, char **argv, struct spw_msg_setup *setup, struct spw_cpus *cpus)
{
	if (argc != 2 + (int)PORTS) {
		fputs("usage: spw-perf-forward CPU INTERFACE INTERFACE\n", stderr);
		return -EINVAL;
	}
	cpus->worker[0] = atoi(argv[1]);
	snprintf(cpus->allowed, sizeof(cpus->allowed), "%d", cpus->worker[0]);
	snprintf(setup->node, sizeof(setup->node), "forward-%d", getpid());
	setup->workers = 1;
	setup->ports_cnt = PORTS;
	for (uint32_t p = 0; p < PORTS; p++) {
		struct spw_msg_port *port = &setup->ports[p];
		snprintf(port->ifname, sizeof(port->ifname), "%s", argv[2 + p]);
		port->port = p;
		port->queues = 1;
		port->mtu_bytes = 1500;
	}
	return 0;
}

static void report(const struct spw_crew *crew)
{
	const struct spw_worker_row *row = crew->worker[0]->lane.row;

	printf("{\"packets\": %" PRIu64 ", \"busy_packets\": %" PRIu64 ", \"busy_cycles\": %" PRIu64
	       ", \"sleeps\": %llu, \"ring_full\": %llu, \"tx_full\": %llu}\n",
	       packets, busy_packets, busy_cycles, row->sleeps, row->drops[SPW_DROP_RING_FULL],
	       row->drops[SPW_DROP_TX_FULL]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct spw_msg_setup setup;
	static struct spw_crew crew;
	struct spw_cpus cpus = {0};
	char line[16];

	if (read_arguments(argc, argv, &setup, &cpus))
		return 2;
	if (start(&crew, &setup, &cpus))
		return 1;
	report(&crew); /* it runs */
	while (fgets(line, sizeof(line), stdin))
		report(&crew);
	spw_crew_stop(&crew);
	_exit(0); /* as the dataplane ends: DPDK is left as it stands */
}
