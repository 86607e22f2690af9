/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wake.c - spw-perf-wake: how long a packet takes from one interface to another, through a node
 * between them, when the node is awake and when it has slept.
 *
 * One packet is under way at a time. The receiver polls its socket without blocking, so that its
 * own waking is not measured. On stdin: the frame, in hex digits; it is an UDP packet over IPv4,
 * and so is what arrives. On stdout: one JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_BYTES_MAX 2048u
#define PATIENCE_NS 1000000000ull
#define AWAKE_NS 2000000ull
#define PROTOCOL_AT 23u /* of IPv4, in a frame without VLAN */

struct probe {
	int to, from; /* packet sockets */
	uint8_t frame[FRAME_BYTES_MAX];
	uint32_t bytes;
	uint32_t lost;
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

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

/* False: nothing there, or what is there did not come through the node. */
static int take(const struct probe *probe)
{
	uint8_t frame[FRAME_BYTES_MAX];
	struct sockaddr_ll from;
	socklen_t from_bytes = sizeof(from);

	ssize_t bytes = recvfrom(probe->from, frame, sizeof(frame), MSG_DONTWAIT,
				 (struct sockaddr *)&from, &from_bytes);
	return bytes > (ssize_t)PROTOCOL_AT && from.sll_pkttype != PACKET_OUTGOING &&
	       frame[PROTOCOL_AT] == IPPROTO_UDP;
}

/* Sends one packet; returns the nanoseconds until it was there, 0: it never was. */
static uint64_t probe_once(struct probe *probe)
{
	while (take(probe))
		;
	uint64_t began = clock_ns(), now;
	if (send(probe->to, probe->frame, probe->bytes, 0) != (ssize_t)probe->bytes)
		return 0;
	do {
		int there = take(probe);
		now = clock_ns();
		if (there)
			return now - began;
	} while (now - began < PATIENCE_NS);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* The prober is awake for the last of it: how it wakes is not asked. */
static void keep_silent(uint32_t gap_ms)
{
	const struct timespec gap = {gap_ms / 1000, (long)(gap_ms % 1000) * 1000000};
	uint64_t began;

	if (gap_ms == 0)
		return;
	nanosleep(&gap, NULL);
	for (began = clock_ns(); clock_ns() - began < AWAKE_NS;)
		;
}

/* cnt probes, each `gap_ms` after the one before has arrived. */
static void measure(struct probe *probe, const char *name, uint32_t cnt, uint32_t gap_ms)
{
	uint64_t *took = calloc(cnt, sizeof(*took));
	uint32_t good = 0;

	if (!took)
		exit(1);
	for (uint32_t k = 0; k < cnt; k++) {
		keep_silent(gap_ms);
		took[good] = probe_once(probe);
		if (took[good])
			good++;
		else
			probe->lost++;
	}
	if (good == 0) {
		fputs("spw-perf-wake: no packet came through\n", stderr);
		exit(1);
	}
	qsort(took, good, sizeof(*took), compare);
	printf("\"%s\": {\"packets\": %u, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
	       "\"max_us\": %.1f}, ",
	       name, good, (double)took[good / 2] / 1e3, (double)took[good * 9 / 10] / 1e3,
	       (double)took[good * 99 / 100] / 1e3, (double)took[good - 1] / 1e3);
	free(took);
}

int main(int argc, char **argv)
{
	static struct probe probe;
	unsigned int octet;
	cpu_set_t cpus;

	if (argc != 7) {
		fputs("usage: spw-perf-wake CPU TO FROM BUSY_CNT QUIET_CNT QUIET_MS; the frame in "
		      "hex on stdin\n",
		      stderr);
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET((unsigned int)atoi(argv[1]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0) {
		fprintf(stderr, "spw-perf-wake: cannot run on CPU %s: %s\n", argv[1],
			strerror(errno));
		return 1;
	}
	while (probe.bytes < FRAME_BYTES_MAX && scanf("%2x", &octet) == 1)
		probe.frame[probe.bytes++] = (uint8_t)octet;
	probe.to = open_socket(argv[2], 0);
	probe.from = open_socket(argv[3], ETH_P_IP);
	printf("{");
	measure(&probe, "busy", (uint32_t)atoi(argv[4]), 0);
	measure(&probe, "quiet", (uint32_t)atoi(argv[5]), (uint32_t)atoi(argv[6]));
	printf("\"lost\": %u}\n", probe.lost);
	return 0;
}
