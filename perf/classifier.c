/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classifier.c - spw-bench-classifier: nanoseconds per packet, by verdict.
 *
 * The classifier's own test node (tests/ebpf/node.h), a real XSK included, and the kernel's
 * BPF_PROG_TEST_RUN, which runs a program many times over one frame. What that costs itself is
 * measured beside, with a program that returns at once, and taken off.
 *
 * Hot: bursts of some microseconds, all cases in turn, the quickest burst of each: what no
 * interrupt or other process got into. Cold: single runs, the median, after 64 MiB have been
 * written that push program, tables and packet out of the caches.
 *
 * Peer: xdp-filter of xdp-tools, denying by UDP ports and IPv4 addresses, over the same frames.
 */
#include "perf/classifier.h"

#include <errno.h>
#include <glob.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/ebpf/veth.h"

/* A relay's packet loses a hop in every run, and there are at most 255. */
#define BURST_RUNS 200u

#define COLD_BYTES (64u << 20)
#define COLD_RUNS_MAX 31u

/* The relay of this benchmark joins two addresses of the node, so that its packet, rewritten, is
 * again one for it and can be run again. */
#define LOOP_PORT 5050u
#define LOOP_SLOT 50u
#define LOOP6_PORT 5060u
#define LOOP6_SLOT 60u
#define LOOP_NEIGHBOR 5u

struct bench_case {
	const char *verdict, *name;
	uint32_t port;
	uint32_t returns; /* enum xdp_action */
	struct frame_spec frame;
};

static const struct bench_case cases[] = {
	{"pass",
	 "v4, TCP to the node",
	 0,
	 XDP_PASS,
	 {.src = "192.0.2.77", .dst = "192.0.2.1", .protocol = 6}},
	{"pass",
	 "v6, TCP to the node",
	 0,
	 XDP_PASS,
	 {.src = "2001:db8::77", .dst = "2001:db8::1", .protocol = 6}},
	{"pass",
	 "v4, UDP to the node, port 53",
	 0,
	 XDP_PASS,
	 {.src = "192.0.2.77", .dst = "192.0.2.1", .dst_port = 53}},
	{"pass",
	 "v4, UDP forwarded to another host",
	 0,
	 XDP_PASS,
	 {.src = "192.0.2.77", .dst = "192.0.2.20"}},
	{"pass",
	 "another host's MAC",
	 0,
	 XDP_PASS,
	 {.src = "192.0.2.77", .dst = "192.0.2.1", .dst_mac = "02:00:00:00:00:02"}},
	{"steer",
	 "v4, ESP",
	 0,
	 XDP_REDIRECT,
	 {.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI}},
	{"steer",
	 "v6, ESP",
	 0,
	 XDP_REDIRECT,
	 {.src = "2001:db8::77", .dst = "2001:db8::1", .spi = NODE_SPI}},
	{"relay",
	 "v4",
	 0,
	 XDP_TX,
	 {.src = "192.0.2.3",
	  .dst = "192.0.2.4",
	  .src_port = LOOP_PORT,
	  .dst_port = LOOP_PORT,
	  .ttl = 254}},
	{"relay",
	 "v6",
	 0,
	 XDP_TX,
	 {.src = "2001:db8::3",
	  .dst = "2001:db8::4",
	  .src_port = LOOP6_PORT,
	  .dst_port = LOOP6_PORT,
	  .ttl = 254,
	  .sum = FRAME_SUM_RIGHT}},
	{"lan",
	 "v4, a route into a tunnel",
	 2,
	 XDP_REDIRECT,
	 {.src = "10.1.0.7", .dst = "10.2.3.4"}},
	{"drop",
	 "v4, unknown SPI, limited per source",
	 0,
	 XDP_DROP,
	 {.src = "192.0.2.77", .dst = "192.0.2.1", .spi = NODE_SPI + 1}},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

struct program {
	const char *what;
	int fd;
};

struct measured {
	double ours_ns, empty_ns, peer_ns; /* per packet, the test run's own cost included */
};

/* Runs a program over a frame. Returns nanoseconds per run, or a negative errno. */
static int64_t run(const struct program *program, const struct bench_case *test, uint32_t runs,
		   uint32_t returns)
{
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes = frame_build(&test->frame, frame);
	struct xdp_md context = {.data_end = bytes, .ingress_ifindex = if_nametoindex(NODE_VETH)};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = bytes,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = (int)runs);

	int error = bpf_prog_test_run_opts(program->fd, &options);
	if (error) {
		fprintf(stderr, "%s, %s: the kernel does not run it: %s\n", program->what,
			test->name, strerror(-error));
		return error;
	}
	if (options.retval != returns) {
		fprintf(stderr, "%s, %s: it returned %u, expected %u\n", program->what, test->name,
			options.retval, returns);
		return -EPROTO;
	}
	return options.duration;
}

static int open_empty(struct program *program)
{
	const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
					 {.code = BPF_JMP | BPF_EXIT}};

	program->what = "the empty program";
	program->fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "empty", "GPL", insns, 2, NULL);
	if (program->fd < 0)
		fprintf(stderr, "the empty program does not load: %s\n", strerror(-program->fd));
	return program->fd < 0 ? -1 : 0;
}

static int libbpf_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* xdp-filter's program for all kinds of rules, not attached and with nothing pinned. fd -1: it is
 * not installed. */
static void open_peer(struct program *program)
{
	struct bpf_object *object = NULL;
	struct bpf_map *map;
	glob_t found = {0};

	*program = (struct program){"xdp-filter", -1};
	if (glob("/usr/lib/*/bpf/xdpfilt_alw_all.o", 0, NULL, &found) == 0)
		object = bpf_object__open_file(found.gl_pathv[0], NULL);
	globfree(&found);
	if (!object) {
		fprintf(stderr, "xdp-filter is not installed (xdp-tools): no peer\n");
		return;
	}
	bpf_object__for_each_map(map, object) bpf_map__set_pin_path(map, NULL);
	if (bpf_object__load(object) == 0)
		program->fd = bpf_program__fd(bpf_object__next_program(object, NULL));
	else
		fprintf(stderr, "xdp-filter does not load: no peer\n");
}

static void set_loop(struct test_tables *tables, uint32_t slot, uint16_t port, int family)
{
	struct spw_relay *relay = &tables->relays[slot];

	*relay = (struct spw_relay){
		.id = slot,
		.port_be = __builtin_bswap16(port),
		.family = (uint8_t)family,
		.packet_cost_ticks = 1,
		.packet_burst_ticks = 1ull << 40,
		.byte_cost_ticks = 1,
		.byte_burst_ticks = 1ull << 40,
	};
	for (int i = 0; i < 2; i++) {
		struct spw_relay_side *side = &relay->side[i];
		side->neighbor = LOOP_NEIGHBOR;
		side->remote_port_be = relay->port_be;
		const struct spw_port_image *image = &tables->ports[0].image[0];
		memcpy(side->remote,
		       family == 4 ? (const void *)&image->addr4_be[2 + i] : image->addr6[2 + i],
		       family == 4 ? 4 : 16);
		memcpy(side->local,
		       family == 4 ? (const void *)&image->addr4_be[3 - i] : image->addr6[3 - i],
		       family == 4 ? 4 : 16);
	}
	tables->relay_ports[port].slot = slot;
}

static int listen_everywhere(const struct test_node *node)
{
	uint32_t queue = 0;

	for (uint32_t port = 0; port < NODE_PORTS; port++) {
		int fd = bpf_map__fd(node->instance[port]->maps.xsks_map);
		int error = bpf_map_update_elem(fd, &queue, &node->xsk_fd, BPF_ANY);
		if (error)
			return error;
	}
	return 0;
}

static int open_node(struct test_node *node)
{
	int error = test_node_open(node);

	if (!error)
		error = listen_everywhere(node);
	if (error) {
		fprintf(stderr, "the node cannot be made: %s; run as root\n", strerror(-error));
		return -1;
	}
	struct test_tables *tables = &node->tables;
	memcpy(tables->neighbors[LOOP_NEIGHBOR].mac, tables->ports[0].image[0].mac, 6);
	tables->neighbors[LOOP_NEIGHBOR].state = SPW_NEIGHBOR_VALID;
	set_loop(tables, LOOP_SLOT, LOOP_PORT, 4);
	set_loop(tables, LOOP6_SLOT, LOOP6_PORT, 6);
	tables->meta->control_per_source_pps = 1;
	/* Nobody is denied, as on most nodes. */
	tables->meta->deny_root[0] = tables->meta->deny_root[1] = 0;
	return 0;
}

/* Before and after many runs of a program that is on no interface the kernel waits for an RCU grace
 * period, which on a busy machine takes longer than the runs. */
static int attach(const char *ifname, int fd)
{
	int error = fd < 0 ? 0 : bpf_xdp_attach((int)if_nametoindex(ifname), fd, 0, NULL);

	if (error)
		fprintf(stderr, "%s: a program cannot be attached: %s\n", ifname, strerror(-error));
	return error;
}

static int attach_all(const struct test_node *node, const struct program *empty,
		      const struct program *peer)
{
	if (test_veth_create("spwt1", 1) != 0 ||
	    attach(NODE_VETH, bpf_program__fd(node->instance[0]->progs.xsk_def_prog)) != 0 ||
	    attach(NODE_VETH "p", bpf_program__fd(node->instance[2]->progs.xsk_def_prog)) != 0)
		return -1;
	return attach("spwt1", empty->fd) == 0 && attach("spwt1p", peer->fd) == 0 ? 0 : -1;
}

static struct program ours(const struct test_node *node, const struct bench_case *test)
{
	return (struct program){"the classifier",
				bpf_program__fd(node->instance[test->port]->progs.xsk_def_prog)};
}

static void print_row(const struct bench_case *test, const struct measured *measured, bool hot)
{
	double net_ns = measured->ours_ns - measured->empty_ns;
	double peer_ns = measured->peer_ns - measured->empty_ns;

	printf("{\"bench\": \"classifier\", \"verdict\": \"%s\", \"case\": \"%s\", \"hot\": %s, "
	       "\"ns_per_packet\": %.0f, \"empty_ns\": %.0f, \"net_ns\": %.0f",
	       test->verdict, test->name, hot ? "true" : "false", measured->ours_ns,
	       measured->empty_ns, net_ns);
	if (measured->peer_ns > 0)
		printf(", \"peer\": \"xdp-filter\", \"peer_value\": %.0f, \"ratio\": %.2f", peer_ns,
		       net_ns / peer_ns);
	printf("}\n");
	fflush(stdout);
}

static bool keep_least(double *least, int64_t ns)
{
	if (ns < 0)
		return false;
	if (*least == 0 || (double)ns < *least)
		*least = (double)ns;
	return true;
}

static int bench_hot(const struct test_node *node, const struct program *empty,
		     const struct program *peer, uint32_t bursts)
{
	struct measured measured[CASES] = {0};

	for (uint32_t burst = 0; burst < bursts; burst++) {
		for (uint32_t i = 0; i < CASES; i++) {
			const struct bench_case *test = &cases[i];
			struct program classifier = ours(node, test);
			if (!keep_least(&measured[i].ours_ns,
					run(&classifier, test, BURST_RUNS, test->returns)) ||
			    !keep_least(&measured[i].empty_ns,
					run(empty, test, BURST_RUNS, XDP_PASS)))
				return -1;
			if (peer->fd >= 0 && !keep_least(&measured[i].peer_ns,
							 run(peer, test, BURST_RUNS, XDP_PASS)))
				return -1;
		}
	}
	for (uint32_t i = 0; i < CASES; i++)
		print_row(&cases[i], &measured[i], true);
	return 0;
}

static int by_value(const void *left, const void *right)
{
	const int64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* The median of single runs with nothing in the caches, or a negative errno. */
static int64_t run_cold(const struct program *program, const struct bench_case *test,
			uint32_t returns, uint32_t runs)
{
	static uint8_t evictor[COLD_BYTES];
	int64_t ns[COLD_RUNS_MAX];

	for (uint32_t i = 0; i < runs; i++) {
		memset(evictor, (int)i, sizeof(evictor));
		ns[i] = run(program, test, 1, returns);
		if (ns[i] < 0)
			return ns[i];
	}
	qsort(ns, runs, sizeof(ns[0]), by_value);
	return ns[runs / 2];
}

static int bench_cold(const struct test_node *node, const struct program *empty, uint32_t runs)
{
	int64_t empty_ns = run_cold(empty, &cases[0], XDP_PASS, runs);

	if (empty_ns < 0)
		return -1;
	for (uint32_t i = 0; i < CASES; i++) {
		struct program classifier = ours(node, &cases[i]);
		int64_t ns = run_cold(&classifier, &cases[i], cases[i].returns, runs);
		if (ns < 0)
			return -1;
		print_row(&cases[i],
			  &(struct measured){.ours_ns = (double)ns, .empty_ns = (double)empty_ns},
			  false);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct test_node node;
	struct program empty, peer;
	bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;

	if (argc > 2 || (argc == 2 && !quick)) {
		fprintf(stderr, "usage: %s [--quick]\n", argv[0]);
		return 2;
	}
	libbpf_set_print(libbpf_silent);
	if (open_node(&node) != 0 || open_empty(&empty) != 0)
		return 1;
	open_peer(&peer);
	if (attach_all(&node, &empty, &peer) != 0)
		return 1;
	int error = bench_hot(&node, &empty, &peer, quick ? 200 : 1000);
	if (!error)
		error = bench_cold(&node, &empty, quick ? 5 : COLD_RUNS_MAX);
	if (!error)
		error = bench_owner_tcp(&node, quick);
	test_node_close(&node);
	return error ? 1 : 0;
}
