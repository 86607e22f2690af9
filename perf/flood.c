/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flood.c - spw-perf-flood: sends one frame over and over out of an interface, inside the kernel,
 * and counts and drops at another interface what came through.
 *
 * The frames are made by BPF_PROG_TEST_RUN with live frames (Linux 5.18), which costs a third of
 * what a packet socket costs, and keeps one CPU to itself, whatever the rate. It sends as fast as
 * it can, or at a rate. On stdin: the frame, in hex digits. On stdout: one JSON object.
 *
 * With --esp the frames are sealed under that key first (flood_esp.h), and as many as --packets
 * says can be sent.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "control/clock.h"
#include "perf/flood.h"
#include "perf/flood.skel.h"
#include "perf/flood_esp.h"

#define FRAME_BYTES_MAX 2048u

/* Frames that the kernel makes between two flushes: its own NAPI budget. */
#define BATCH_FRAMES 64u

/* The rate is taken after the caches are warm and the rings full, in the last 3/4 of the time. */
#define WARM_SHARE 4u
#define DRAIN_NS 200000000ull

struct options {
	uint32_t to, sink; /* ifindex */
	uint64_t pps;      /* 0: as fast as it goes */
	uint64_t duration_ns;
	int cpu;             /* -1: any */
	const char *esp_key; /* hex digits; NULL: the frame is sent as it is */
	uint64_t first;      /* sequence number */
	uint32_t packets;
};

struct sample {
	uint64_t at_ns, sent;
	struct flood_count received;
};

static bool take_option(struct options *options, int option)
{
	switch (option) {
	case 't':
		options->to = if_nametoindex(optarg);
		break;
	case 's':
		options->sink = if_nametoindex(optarg);
		break;
	case 'p':
		options->pps = strtoull(optarg, NULL, 10);
		break;
	case 'c':
		options->cpu = atoi(optarg);
		break;
	case 'd':
		options->duration_ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
		break;
	case 'e':
		options->esp_key = optarg;
		break;
	case 'f':
		options->first = strtoull(optarg, NULL, 10);
		break;
	case 'n':
		options->packets = (uint32_t)strtoul(optarg, NULL, 10);
		break;
	default:
		return false;
	}
	return true;
}

static bool read_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"to", required_argument, NULL, 't'},
		{"sink", required_argument, NULL, 's'},
		{"pps", required_argument, NULL, 'p'},
		{"cpu", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 'd'},
		{"esp", required_argument, NULL, 'e'},
		{"first", required_argument, NULL, 'f'},
		{"packets", required_argument, NULL, 'n'},
		{0},
	};
	int option;

	*options = (struct options){.duration_ns = 1000000000u, .cpu = -1};
	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (!take_option(options, option))
			return false;
	}
	if (options->to && options->sink && options->duration_ns && optind == argc &&
	    !options->esp_key == !options->packets)
		return true;
	fputs("usage: spw-perf-flood --to INTERFACE --sink INTERFACE [--seconds S] [--pps N] "
	      "[--cpu N] [--esp KEY --packets N --first SEQUENCE], both in this namespace; the "
	      "frame in hex on stdin\n",
	      stderr);
	return false;
}

/* Returns the frame's length, 0: stdin has none. */
static uint32_t read_frame(uint8_t frame[FRAME_BYTES_MAX])
{
	uint32_t bytes = 0;
	unsigned int octet;

	while (bytes < FRAME_BYTES_MAX && scanf("%2x", &octet) == 1)
		frame[bytes++] = (uint8_t)octet;
	return bytes;
}

static struct flood_count read_received(const struct flood_bpf *bpf, int cpus)
{
	struct flood_count counts[cpus], sum = {0};
	const uint32_t key = 0;

	if (bpf_map__lookup_elem(bpf->maps.received, &key, sizeof(key), counts, sizeof(counts),
				 0) == 0) {
		for (int cpu = 0; cpu < cpus; cpu++) {
			sum.packets += counts[cpu].packets;
			sum.bytes += counts[cpu].bytes;
		}
	}
	return sum;
}

static struct sample take_sample(const struct flood_bpf *bpf, int cpus)
{
	return (struct sample){spw_now_ns(), __atomic_load_n(&bpf->bss->sent, __ATOMIC_RELAXED),
			       read_received(bpf, cpus)};
}

struct sender {
	const struct flood_bpf *bpf;
	const struct options *options;
	uint8_t *frame;
	uint32_t bytes;
	int error;
};

/* One system call, until a signal ends it: each call waits 20 ms for the end of its page pool, in
 * which nothing would be sent. */
static void *send_frames(void *argument)
{
	struct sender *sender = argument;
	struct xdp_md context = {.data_end = sender->bytes,
				 .ingress_ifindex = sender->options->sink};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = sender->frame, .data_size_in = sender->bytes,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = INT_MAX,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH_FRAMES);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((unsigned int)sender->options->cpu, &cpus);
	if (sender->options->cpu >= 0 && sched_setaffinity(0, sizeof(cpus), &cpus) < 0) {
		sender->error = -errno;
		return NULL;
	}
	sender->error = bpf_prog_test_run_opts(bpf_program__fd(sender->bpf->progs.flood), &run);
	if (sender->error == -EINTR)
		sender->error = 0;
	return NULL;
}

static void sleep_until(uint64_t at_ns)
{
	const struct timespec at = {(time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static void on_signal(int number)
{
	(void)number; /* it is there to interrupt a system call */
}

/* samples: at the start, when warm, at the end of sending, and when all has arrived. */
static int send_for(struct sender *sender, int cpus, struct sample samples[4])
{
	const struct sigaction action = {.sa_handler = on_signal};
	uint64_t began_ns = spw_now_ns(), duration_ns = sender->options->duration_ns;
	pthread_t thread;

	samples[0] = take_sample(sender->bpf, cpus);
	if (sigaction(SIGUSR1, &action, NULL) < 0)
		return -errno;
	int error = pthread_create(&thread, NULL, send_frames, sender);
	if (error)
		return -error;
	sleep_until(began_ns + duration_ns / WARM_SHARE);
	samples[1] = take_sample(sender->bpf, cpus);
	sleep_until(began_ns + duration_ns);
	samples[2] = take_sample(sender->bpf, cpus);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	sleep_until(spw_now_ns() + DRAIN_NS);
	samples[3] = take_sample(sender->bpf, cpus);
	if (sender->error)
		fprintf(stderr,
			"spw-perf-flood: the kernel sends no live frames (Linux 5.18 or later "
			"does): %s\n",
			strerror(-sender->error));
	return sender->error;
}

static void report(const struct sample samples[4])
{
	const struct sample *from = &samples[1], *to = &samples[2];
	double seconds = (double)(to->at_ns - from->at_ns) * 1e-9;

	printf("{\"sent\": %llu, \"received\": %llu, \"received_bytes\": %llu, \"sent_pps\": %.0f, "
	       "\"received_pps\": %.0f}\n",
	       (unsigned long long)(samples[3].sent - samples[0].sent),
	       (unsigned long long)(samples[3].received.packets - samples[0].received.packets),
	       (unsigned long long)(samples[3].received.bytes - samples[0].received.bytes),
	       (double)(to->sent - from->sent) / seconds,
	       (double)(to->received.packets - from->received.packets) / seconds);
}

/* Of one frame in the map, as the kernel lays them out. */
static uint32_t stride_of(uint32_t bytes)
{
	return (bytes + 7) & ~7u;
}

/* Before the programs are loaded. */
static int size_frames(struct flood_bpf *bpf, const struct options *options, uint32_t bytes)
{
	bpf->rodata->frames_cnt = options->packets;
	bpf->rodata->frame_bytes = bytes;
	int error = bpf_map__set_value_size(bpf->maps.frames, stride_of(bytes));
	return error ? error : bpf_map__set_max_entries(bpf->maps.frames, options->packets);
}

static int fill_frames(const struct flood_bpf *bpf, const struct options *options,
		       const uint8_t *frame, uint32_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t all = ((size_t)options->packets * stride_of(bytes) + page - 1) / page * page;
	uint8_t *frames = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED,
			       bpf_map__fd(bpf->maps.frames), 0);

	if (frames == MAP_FAILED)
		return -errno;
	int error = flood_esp_seal(frames, stride_of(bytes), options->packets, frame, bytes,
				   options->esp_key, options->first);
	munmap(frames, all);
	return error;
}

static int run(const struct options *options, uint8_t *frame, uint32_t bytes)
{
	struct sample samples[4];

	struct flood_bpf *bpf = flood_bpf__open();
	if (!bpf)
		return -errno;
	bpf->rodata->to_ifindex = options->to;
	if (options->pps)
		bpf->rodata->gap_q10 = (uint64_t)(1024e9 / (double)options->pps);
	int error = options->esp_key ? size_frames(bpf, options, bytes) : 0;
	if (!error)
		error = flood_bpf__load(bpf);
	if (!error && options->esp_key)
		error = fill_frames(bpf, options, frame, bytes);
	struct bpf_link *link =
		error ? NULL : bpf_program__attach_xdp(bpf->progs.sink, (int)options->sink);
	if (!error && !link)
		error = -errno;
	if (error) {
		fprintf(stderr, "spw-perf-flood: cannot load or attach its programs: %s\n",
			strerror(-error));
	} else {
		struct sender sender = {bpf, options, frame, bytes, 0};
		error = send_for(&sender, libbpf_num_possible_cpus(), samples);
	}
	if (!error)
		report(samples);
	bpf_link__destroy(link);
	flood_bpf__destroy(bpf);
	return error;
}

int main(int argc, char **argv)
{
	static uint8_t frame[FRAME_BYTES_MAX];
	struct options options;

	if (!read_options(argc, argv, &options))
		return 2;
	uint32_t bytes = read_frame(frame);
	if (bytes < 14) {
		fputs("spw-perf-flood: expected a frame in hex digits on stdin\n", stderr);
		return 2;
	}
	return run(&options, frame, bytes) ? 1 : 0;
}
