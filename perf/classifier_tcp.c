/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classifier_tcp.c - what attaching the classifier costs the owner: iperf3 over a veth pair into
 * the host, whose end has the classifier or has none, in turns.
 *
 * That is the driver's doing far more than the program's: a veth with XDP has to copy what it
 * passes on by reference without, and gives up segmentation offload.
 */
#include "perf/classifier.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <jansson.h>

#include "perf/timing.h"

#define HOST "spwo0"
#define CLIENT "spwo0p"
#define PAIRS_MAX 5u

struct rates {
	double without_gbps[PAIRS_MAX], with_gbps[PAIRS_MAX];
};

/* Runs a command and says what failed. 0 or -1. */
static int sh(const char *format, long argument)
{
	char command[256];

	snprintf(command, sizeof(command), format, argument);
	if (system(command) == 0)
		return 0;
	fprintf(stderr, "owner_tcp: this failed: %s\n", command);
	return -1;
}

/* A process that only keeps a second network namespace. Its pid, or -1. */
static pid_t open_client(void)
{
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	bool entered = pid > 0 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (entered)
		return pid;
	fprintf(stderr, "owner_tcp: a second network namespace cannot be made\n");
	return -1;
}

/* Gbit/s of one run of iperf3, or a negative value. */
static double measure(pid_t client, uint32_t seconds)
{
	char command[256];
	pid_t server = fork();

	if (server == 0) {
		execlp("iperf3", "iperf3", "--server", "--one-off", "--logfile", "/dev/null", NULL);
		_exit(127);
	}
	/* It takes the server a moment to listen, and so the client some tries. */
	snprintf(command, sizeof(command),
		 "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; nsenter --net=/proc/%d/ns/net "
		 "iperf3 --client 10.44.0.1 --time %u --omit 1 --json && break; done",
		 client, seconds);
	FILE *pipe = popen(command, "r");
	double gbps = -1;
	for (bool done = false; pipe && !done;) {
		json_t *report = json_loadf(pipe, JSON_DISABLE_EOF_CHECK, NULL);
		json_t *rate = json_object_get(
			json_object_get(json_object_get(report, "end"), "sum_received"),
			"bits_per_second");
		if (rate)
			gbps = json_number_value(rate) / 1e9;
		done = !report || gbps > 0;
		json_decref(report);
	}
	if (pipe)
		pclose(pipe);
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	}
	return gbps;
}

static double measure_with(const struct test_node *node, pid_t client, uint32_t seconds)
{
	int ifindex = (int)if_nametoindex(HOST);
	int program_fd = bpf_program__fd(node->instance[0]->progs.xsk_def_prog);

	if (bpf_xdp_attach(ifindex, program_fd, XDP_FLAGS_DRV_MODE, NULL) != 0) {
		fprintf(stderr, "owner_tcp: the classifier cannot be attached\n");
		return -1;
	}
	double gbps = measure(client, seconds);
	bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	return gbps;
}

static double median(double *values, uint32_t cnt)
{
	return timing_quantile(values, cnt, 50);
}

static int measure_pairs(const struct test_node *node, pid_t client, uint32_t pairs,
			 uint32_t seconds)
{
	struct rates rates;

	for (uint32_t i = 0; i < pairs; i++) {
		rates.without_gbps[i] = measure(client, seconds);
		rates.with_gbps[i] = measure_with(node, client, seconds);
		if (rates.without_gbps[i] < 0 || rates.with_gbps[i] < 0) {
			fprintf(stderr, "owner_tcp: iperf3 gave no result; is it installed?\n");
			return -1;
		}
	}
	double without_gbps = median(rates.without_gbps, pairs);
	double with_gbps = median(rates.with_gbps, pairs);
	printf("{\"bench\": \"owner_tcp\", \"gbps_without\": %.2f, \"gbps_with\": %.2f, "
	       "\"pairs\": %u, \"ratio\": %.3f}\n",
	       without_gbps, with_gbps, pairs, with_gbps / without_gbps);
	fflush(stdout);
	return 0;
}

int bench_owner_tcp(struct test_node *node, bool quick)
{
	struct spw_port_image *image = &node->tables.ports[0].image[0];

	/* The host's address is the node's first, so that the classifier looks as far as it does.
	 */
	memcpy(&image->addr4_be[0], (const uint8_t[]){10, 44, 0, 1}, 4);
	pid_t client = open_client();
	if (client < 0)
		return -1;
	int error = sh("ip link add " HOST " address " FRAME_MAC " type veth peer name " CLIENT
		       " && ip link set " CLIENT " netns %ld",
		       client);
	if (!error)
		error = sh("ip addr add 10.44.0.1/24 dev " HOST " && ip link set " HOST
			   " up && nsenter --net=/proc/%ld/ns/net sh -c 'ip addr add 10.44.0.2/24 "
			   "dev " CLIENT " && ip link set " CLIENT " up'",
			   client);
	if (!error)
		error = measure_pairs(node, client, quick ? 1 : PAIRS_MAX, quick ? 1 : 2);
	kill(client, SIGTERM);
	waitpid(client, NULL, 0);
	return error;
}
