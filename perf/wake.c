/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wake.c - spw-perf-wake: how long a packet takes from one interface to another, through what lies
 * between them, when that is awake and when it has slept.
 *
 * probe: sends packets on one path or on several in turn, one packet at a time. The receiver polls
 * its socket without blocking, so that its own waking is not measured. On stdin, a line for each
 * path: the frame, in hex digits; it is an UDP packet over IPv4, and so is what arrives. On stdout:
 * one JSON object, with an object for each path's name.
 *
 * forward: the least that can lie between two interfaces, and sleeps: poll() on a packet socket of
 * the one, send() to the other. Until the end of stdin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/clock.h"

#define FRAME_BYTES_MAX 2048u
#define PATIENCE_NS 1000000000ull
#define AWAKE_NS 2000000ull
#define PROTOCOL_AT 23u /* of IPv4, in a frame without VLAN */
#define PATHS_MAX 2u

/* Nanoseconds that packets took, `good` of them. */
struct times {
	uint64_t *took_ns;
	uint32_t good;
};

struct path {
	const char *name;
	int to, from; /* packet sockets */
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes;
	uint32_t lost;
	struct times busy, quiet;
};

static int open_socket(const char *ifname, uint16_t protocol)
{
	const struct sockaddr_ll address = {.sll_family = AF_PACKET,
					    .sll_protocol = htons(protocol),
					    .sll_ifindex = (int)if_nametoindex(ifname)};

	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		fprintf(stderr, "spw-perf-wake: %s: %s\n", ifname, strerror(errno));
		exit(1);
	}
	return fd;
}

/* The length of what came in, 0: nothing, or it is not for us. */
static uint32_t take(int from, uint8_t frame[FRAME_BYTES_MAX])
{
	struct sockaddr_ll sender;
	socklen_t sender_bytes = sizeof(sender);

	ssize_t bytes = recvfrom(from, frame, FRAME_BYTES_MAX, MSG_DONTWAIT,
				 (struct sockaddr *)&sender, &sender_bytes);
	if (bytes <= (ssize_t)PROTOCOL_AT || sender.sll_pkttype == PACKET_OUTGOING ||
	    frame[PROTOCOL_AT] != IPPROTO_UDP)
		return 0;
	return (uint32_t)bytes;
}

static void forward(const char *from_ifname, const char *to_ifname)
{
	uint8_t frame[FRAME_BYTES_MAX];
	int from = open_socket(from_ifname, ETH_P_IP), to = open_socket(to_ifname, 0);
	struct pollfd fds[] = {{from, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		uint32_t bytes = take(from, frame);
		if (bytes && send(to, frame, bytes, 0) < 0)
			perror("spw-perf-wake: send");
	}
}

/* Sends one packet; returns the nanoseconds until it was there, 0: it never was. */
static uint64_t probe_once(const struct path *path)
{
	uint8_t frame[FRAME_BYTES_MAX];

	while (take(path->from, frame))
		;
	uint64_t began = spw_now_ns(), now;
	if (send(path->to, path->frame, path->bytes, 0) != (ssize_t)path->bytes)
		return 0;
	do {
		uint32_t there = take(path->from, frame);
		now = spw_now_ns();
		if (there)
			return now - began;
	} while (now - began < PATIENCE_NS);
	return 0;
}

static void probe(struct path *path, struct times *times)
{
	times->took_ns[times->good] = probe_once(path);
	if (times->took_ns[times->good])
		times->good++;
	else
		path->lost++;
}

/* The prober is awake for the last of it: how it wakes is not asked. */
static void keep_silent(uint32_t gap_ms)
{
	const struct timespec gap = {gap_ms / 1000, (long)(gap_ms % 1000) * 1000000};
	uint64_t began;

	nanosleep(&gap, NULL);
	for (began = spw_now_ns(); spw_now_ns() - began < AWAKE_NS;)
		;
}

static void measure(struct path *paths, uint32_t cnt, uint32_t busy_cnt, uint32_t quiet_cnt,
		    uint32_t quiet_ms)
{
	for (uint32_t p = 0; p < cnt; p++) {
		paths[p].busy.took_ns = calloc(busy_cnt, sizeof(uint64_t));
		paths[p].quiet.took_ns = calloc(quiet_cnt, sizeof(uint64_t));
		if (!paths[p].busy.took_ns || !paths[p].quiet.took_ns)
			exit(1);
		for (uint32_t k = 0; k < busy_cnt; k++)
			probe(&paths[p], &paths[p].busy);
	}
	for (uint32_t k = 0; k < quiet_cnt * cnt; k++) {
		keep_silent(quiet_ms);
		probe(&paths[k % cnt], &paths[k % cnt].quiet);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void report(const char *name, const struct times *times)
{
	uint64_t *took_ns = times->took_ns;
	uint32_t good = times->good;

	if (good == 0) {
		fputs("spw-perf-wake: no packet came through\n", stderr);
		exit(1);
	}
	qsort(took_ns, good, sizeof(*took_ns), compare);
	printf("\"%s\": {\"packets\": %u, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
	       "\"max_us\": %.1f}, ",
	       name, good, (double)took_ns[good / 2] / 1e3, (double)took_ns[good * 9 / 10] / 1e3,
	       (double)took_ns[good * 99 / 100] / 1e3, (double)took_ns[good - 1] / 1e3);
}

static void open_path(struct path *path, char **argv)
{
	static char line[2 * FRAME_BYTES_MAX + 2];
	unsigned int octet;
	int used;

	path->name = argv[0];
	path->to = open_socket(argv[1], 0);
	path->from = open_socket(argv[2], ETH_P_IP);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
	for (const char *hex = line;
	     path->bytes < FRAME_BYTES_MAX && sscanf(hex, "%2x%n", &octet, &used) == 1; hex += used)
		path->frame[path->bytes++] = (uint8_t)octet;
}

static void run_on(const char *cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((unsigned int)atoi(cpu), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0) {
		fprintf(stderr, "spw-perf-wake: cannot run on CPU %s: %s\n", cpu, strerror(errno));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct path paths[PATHS_MAX];
	bool forwards = argc == 5 && strcmp(argv[1], "forward") == 0;
	uint32_t cnt = forwards ? 0 : (uint32_t)(argc - 6) / 3;

	if (!forwards && (argc < 9 || strcmp(argv[1], "probe") != 0 || cnt > PATHS_MAX ||
			  argc != 6 + 3 * (int)cnt)) {
		fputs("usage: spw-perf-wake probe CPU BUSY_CNT QUIET_CNT QUIET_MS NAME TO FROM "
		      "[NAME TO "
		      "FROM], each path's frame in hex on stdin; spw-perf-wake forward CPU FROM "
		      "TO\n",
		      stderr);
		return 2;
	}
	run_on(argv[2]);
	if (forwards) {
		forward(argv[3], argv[4]);
		return 0;
	}
	for (uint32_t p = 0; p < cnt; p++)
		open_path(&paths[p], &argv[6 + 3 * p]);
	measure(paths, cnt, (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]),
		(uint32_t)atoi(argv[5]));
	printf("{");
	for (uint32_t p = 0; p < cnt; p++) {
		printf("%s\"%s\": {", p ? ", " : "", paths[p].name);
		report("busy", &paths[p].busy);
		report("quiet", &paths[p].quiet);
		printf("\"lost\": %u}", paths[p].lost);
	}
	printf("}\n");
	return 0;
}
