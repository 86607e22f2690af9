/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead.c - spw-bench-aead: what the two AEAD providers need for a packet, and nothing else.
 *
 * Packets lie in buffers as a pool of mbufs has them; each is of a tunnel drawn at random, whose
 * key is asked for some packets ahead, as the stages do. Two workers: on a core and with keys of
 * their own each, in one process; only bursts during which both were at work count.
 *
 * A burst of 64 packets takes some 10 to 100 us, so that most are not interrupted, and the lowest
 * tenth of many is what the CPU needs; what lies above is the machine's. Rows that are compared are
 * measured in turns.
 */
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "control/clock.h"
#include "dataplane/arena.h"
#include "dataplane/stages/aead.h"
#include "perf/broken.h"
#include "perf/timing.h"

#define BURST_PACKETS 64u
#define BUFFERS 256u       /* some bursts on their way */
#define BUFFER_BYTES 2304u /* an mbuf of DPDK's usual size with its head */
#define TEXT_OFFSET 170u   /* headroom, and the headers of IPv4, UDP and ESP */
#define AHEAD_PACKETS 3u   /* 2 to 8 are alike; without, see cycles_without_prefetch */
#define TUNNELS_MAX 4096u
#define WORKERS_MAX 2u
#define QUANTILE_PERCENT 10u
#define SHARED_BURSTS_MIN 10u /* fewer have no lowest tenth */
#define BURSTS_MAX 4000u
#define ARENA_BYTES (64u << 20)

enum direction { SEAL, OPEN };
static const char *const direction_names[] = {"seal", "open"};

struct key {
	struct spw_aead *aead[2]; /* by direction */
};

/* One worker's measurement. */
struct lane {
	uint32_t worker;
	int cpu;
	struct key keys[TUNNELS_MAX];
	uint8_t (*buffers)[BUFFER_BYTES];
	uint64_t random_state;
} __attribute__((aligned(SPW_AEAD_LINE_BYTES)));

struct spec {
	const char *provider;
	uint32_t key_bits, bytes, tunnels;
	enum direction direction;
	bool prefetch;
};

static struct options {
	const char *provider; /* NULL: both */
	uint32_t workers;     /* the most */
	bool quick;
} options = {.workers = WORKERS_MAX};

static struct lane lanes[WORKERS_MAX];
static double tsc_hz;

/* ---- one burst ------------------------------------------------------------------------------ */

struct burst {
	uint32_t tunnel[BURST_PACKETS];
	uint8_t *text[BURST_PACKETS];
	uint8_t nonce[BURST_PACKETS][SPW_NONCE_BYTES];
	uint8_t aad[BURST_PACKETS][12];
};

static uint32_t draw(struct lane *lane)
{
	lane->random_state = lane->random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(lane->random_state >> 33);
}

static void prepare(struct lane *lane, const struct spec *spec, struct burst *burst)
{
	uint32_t first = draw(lane) % (BUFFERS / BURST_PACKETS) * BURST_PACKETS;

	for (uint32_t i = 0; i < BURST_PACKETS; i++) {
		burst->tunnel[i] = draw(lane) % spec->tunnels;
		burst->text[i] = lane->buffers[first + i] + TEXT_OFFSET;
		uint32_t number = draw(lane);
		memset(burst->nonce[i], 0, SPW_NONCE_BYTES);
		memcpy(burst->nonce[i] + 8, &number, sizeof(number));
		memcpy(burst->aad[i] + 8, &number, sizeof(number));
		/* What is to be opened must be authentic: the other way costs OpenSSL more. */
		if (spec->direction == OPEN)
			spw_aead_seal(lane->keys[burst->tunnel[i]].aead[SEAL], burst->nonce[i],
				      burst->aad[i], 12, burst->text[i], spec->bytes,
				      burst->text[i] + spec->bytes);
	}
}

static void ask_for(const struct spw_aead *aead, uint32_t bytes)
{
	__builtin_prefetch(aead);
	spw_aead_prefetch(aead, bytes);
}

static uint64_t run(struct lane *lane, const struct spec *spec, const struct burst *burst)
{
	uint32_t good = 0;
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t i = 0; i < BURST_PACKETS; i++) {
		const struct spw_aead *aead = lane->keys[burst->tunnel[i]].aead[spec->direction];
		uint8_t *text = burst->text[i];
		if (spec->prefetch && i + AHEAD_PACKETS < BURST_PACKETS)
			ask_for(lane->keys[burst->tunnel[i + AHEAD_PACKETS]].aead[spec->direction],
				spec->bytes);
		if (spec->direction == SEAL)
			good += spw_aead_seal(aead, burst->nonce[i], burst->aad[i], 12, text,
					      spec->bytes, text + spec->bytes);
		else
			good += spw_aead_open(aead, burst->nonce[i], burst->aad[i], 12, text,
					      spec->bytes, text + spec->bytes);
	}
	uint64_t took = rte_rdtsc_precise() - start;
	if (good != BURST_PACKETS)
		broken("%s failed to %s %u bytes", spec->provider, direction_names[spec->direction],
		       spec->bytes);
	return took;
}

/* ---- many bursts ---------------------------------------------------------------------------- */

struct sample {
	double values[BURSTS_MAX]; /* cycles for a packet */
	uint32_t cnt;
};

static void add(struct sample *sample, uint64_t burst_cycles)
{
	if (sample->cnt < BURSTS_MAX)
		sample->values[sample->cnt++] = (double)burst_cycles / BURST_PACKETS;
}

static double low(struct sample *sample)
{
	return timing_quantile(sample->values, sample->cnt, QUANTILE_PERCENT);
}

static uint32_t bursts(void)
{
	return options.quick ? 150 : 600;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void keys_make(struct lane *lane, uint32_t key_bits)
{
	uint8_t raw[32] = {0};

	for (uint32_t t = 0; t < TUNNELS_MAX; t++) {
		memcpy(raw, &t, sizeof(t));
		for (int direction = 0; direction < 2; direction++) {
			lane->keys[t].aead[direction] =
				spw_aead_create(lane->worker, raw, key_bits / 8, direction == SEAL);
			if (!lane->keys[t].aead[direction])
				broken("no memory for %u keys", TUNNELS_MAX);
		}
	}
}

static void keys_free(struct lane *lane)
{
	for (uint32_t t = 0; t < TUNNELS_MAX; t++) {
		for (int direction = 0; direction < 2; direction++)
			spw_aead_destroy(lane->keys[t].aead[direction]);
	}
}

/* ---- one worker ----------------------------------------------------------------------------- */

static void print_row(const struct spec *spec, uint32_t workers, double cycles)
{
	double mpps = workers * tsc_hz / cycles / 1e6;

	printf("{\"bench\": \"aead\", \"size\": %u, \"provider\": \"%s\", \"direction\": \"%s\", "
	       "\"key_bits\": %u, \"tunnels\": %u, \"workers\": %u, \"cycles_per_packet\": %.1f, "
	       "\"mpps\": %.3f, \"inner_gbps\": %.3f",
	       spec->bytes, spec->provider, direction_names[spec->direction], spec->key_bits,
	       spec->tunnels, workers, cycles, mpps, mpps * spec->bytes * 8 / 1e3);
}

/* All populations in turns, with and without asking for keys ahead. */
static void measure_one(struct spec spec)
{
	static const uint32_t tunnels[] = {64, 1000, 4096};
	static struct sample samples[3][2];
	struct burst burst;
	double first = 0;

	memset(samples, 0, sizeof(samples));
	for (uint32_t round = 0; round < bursts(); round++) {
		for (uint32_t k = 0; k < 6; k++) {
			spec.tunnels = tunnels[k / 2];
			spec.prefetch = k % 2;
			prepare(&lanes[0], &spec, &burst);
			add(&samples[k / 2][k % 2], run(&lanes[0], &spec, &burst));
		}
	}
	for (uint32_t k = 0; k < 3; k++) {
		double cycles = low(&samples[k][1]);
		first = k == 0 ? cycles : first;
		spec.tunnels = tunnels[k];
		print_row(&spec, 1, cycles);
		printf(", \"cycles_without_prefetch\": %.1f, \"ratio_to_64_tunnels\": %.3f}\n",
		       low(&samples[k][0]), cycles / first);
	}
	fflush(stdout);
}

/* ---- two workers ---------------------------------------------------------------------------- */

/*
 * While they are at work the two share nothing: each notes when its bursts began and ended, and
 * only afterwards it is seen which of them fell into the other one's.
 */
#define ROUNDS 8u
#define ROUND_BURSTS (BURSTS_MAX / ROUNDS)

struct notes {
	uint64_t start[ROUND_BURSTS], end[ROUND_BURSTS]; /* TSC */
	uint32_t cnt;
};

static struct duet {
	struct spec spec;
	atomic_uint ready;
	struct notes notes[WORKERS_MAX];
} duet;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		broken("cannot run on CPU %d", cpu);
}

static void *play(void *argument)
{
	struct lane *lane = argument;
	struct notes *notes = &duet.notes[lane->worker];
	struct burst burst;

	pin(lane->cpu);
	atomic_fetch_add(&duet.ready, 1);
	while (atomic_load(&duet.ready) < WORKERS_MAX)
		;
	for (notes->cnt = 0; notes->cnt < ROUND_BURSTS; notes->cnt++) {
		prepare(lane, &duet.spec, &burst);
		notes->start[notes->cnt] = rte_rdtsc();
		notes->end[notes->cnt] = notes->start[notes->cnt] + run(lane, &duet.spec, &burst);
	}
	return NULL;
}

/* Takes the bursts of one for half of which, at least, the other was at work too. */
static void take_notes(const struct notes *one, const struct notes *other, struct sample *into)
{
	uint32_t first = 0;

	for (uint32_t k = 0; k < one->cnt; k++) {
		uint64_t shared = 0;
		while (first < other->cnt && other->end[first] <= one->start[k])
			first++;
		for (uint32_t j = first; j < other->cnt && other->start[j] < one->end[k]; j++)
			shared += RTE_MIN(other->end[j], one->end[k]) -
				  RTE_MAX(other->start[j], one->start[k]);
		if (shared * 2 >= one->end[k] - one->start[k])
			add(into, one->end[k] - one->start[k]);
	}
}

static void play_together(struct sample into[WORKERS_MAX])
{
	pthread_t threads[WORKERS_MAX];

	atomic_store(&duet.ready, 0);
	for (uint32_t w = 0; w < WORKERS_MAX; w++) {
		if (pthread_create(&threads[w], NULL, play, &lanes[w]) != 0)
			broken("no thread for worker %u", w);
	}
	for (uint32_t w = 0; w < WORKERS_MAX; w++)
		pthread_join(threads[w], NULL);
	for (uint32_t w = 0; w < WORKERS_MAX; w++)
		take_notes(&duet.notes[w], &duet.notes[1 - w], &into[w]);
}

static void play_alone(struct sample *into)
{
	struct burst burst;

	for (uint32_t k = 0; k < ROUND_BURSTS; k++) {
		prepare(&lanes[0], &duet.spec, &burst);
		add(into, run(&lanes[0], &duet.spec, &burst));
	}
}

/* What each of two needs beside what one needs. ratio: their rate to twice that of one. */
static void print_two(struct sample together[WORKERS_MAX], double alone, const char *library)
{
	double packets = 0; /* of both, in one cycle */

	for (uint32_t w = 0; w < WORKERS_MAX; w++) {
		if (together[w].cnt < SHARED_BURSTS_MIN) {
			fprintf(stderr,
				"spw-bench-aead: two workers were hardly ever at work together; is "
				"the machine busy?\n");
			return;
		}
		packets += 1 / low(&together[w]);
	}
	print_row(&duet.spec, WORKERS_MAX, WORKERS_MAX / packets);
	printf(", \"library\": \"%s\", \"alone_cycles\": %.1f, \"ratio\": %.3f}\n", library, alone,
	       alone * packets / WORKERS_MAX);
	fflush(stdout);
}

/* Which copy of the library the second worker calls; its scratch memory stays its own. */
static void use_library(spw_aead_direct_fn direct)
{
	for (uint32_t t = 0; t < duet.spec.tunnels; t++)
		lanes[1].keys[t].aead[SEAL]->direct = direct;
}

static void measure_two(struct spec spec)
{
	static struct sample alone, own[WORKERS_MAX], shared[WORKERS_MAX];
	spw_aead_direct_fn first = lanes[0].keys[0].aead[SEAL]->direct;
	spw_aead_direct_fn second = lanes[1].keys[0].aead[SEAL]->direct;
	bool copies = first != second;

	alone.cnt = 0;
	for (uint32_t w = 0; w < WORKERS_MAX; w++)
		own[w].cnt = shared[w].cnt = 0;
	spec.tunnels = 64;
	spec.prefetch = true;
	duet.spec = spec;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		play_alone(&alone);
		play_together(copies ? own : shared);
		if (!copies)
			continue;
		use_library(first);
		play_together(shared);
		use_library(second);
	}
	double cycles = low(&alone);
	if (copies)
		print_two(own, cycles, "own");
	print_two(shared, cycles, "shared");
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void measure_provider(const char *provider, uint32_t workers)
{
	static const uint32_t sizes[] = {64, 128, 512, 1408};
	char why[160];

	if (spw_aead_choose(provider, workers, why, sizeof(why)) != 0)
		broken("%s", why);
	if (strcmp(spw_aead_provider(), provider) != 0) {
		fprintf(stderr, "spw-bench-aead: %s: %s\n", provider, why);
		return;
	}
	for (uint32_t key_bits = 128; key_bits <= (options.quick ? 128 : 256); key_bits += 128) {
		for (uint32_t w = 0; w < workers; w++)
			keys_make(&lanes[w], key_bits);
		for (uint32_t k = 0; k < 8; k++)
			measure_one((struct spec){.provider = provider,
						  .key_bits = key_bits,
						  .bytes = sizes[k / 2],
						  .direction = k % 2 ? OPEN : SEAL});
		for (uint32_t k = 0; k < 4 && workers > 1; k++)
			measure_two((struct spec){
				.provider = provider, .key_bits = key_bits, .bytes = sizes[k]});
		for (uint32_t w = 0; w < workers; w++)
			keys_free(&lanes[w]);
	}
}

/* Returns for how many workers there are CPUs. */
static uint32_t open_lanes(void)
{
	uint32_t found = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		broken("cannot see which CPUs there are");
	for (int cpu = 0; cpu < CPU_SETSIZE && found < options.workers; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &set))
			continue;
		lanes[found] = (struct lane){.worker = found, .cpu = cpu, .random_state = 1};
		lanes[found].buffers = aligned_alloc(4096, BUFFERS * BUFFER_BYTES);
		if (!lanes[found].buffers)
			broken("no memory for buffers");
		memset(lanes[found].buffers, 1, BUFFERS * BUFFER_BYTES);
		found++;
	}
	if (found < options.workers)
		fprintf(stderr, "spw-bench-aead: one CPU only, so no rows with two workers\n");
	return found;
}

/* Over 50 ms; EAL, which would know it too, is not started. */
static double measure_tsc_hz(void)
{
	uint64_t start_ns = spw_now_ns(), start = rte_rdtsc();

	while (spw_now_ns() - start_ns < 50000000u)
		;
	return (double)(rte_rdtsc() - start) * 1e9 / (double)(spw_now_ns() - start_ns);
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"quick", no_argument, NULL, 'q'},
		{"provider", required_argument, NULL, 'p'},
		{"workers", required_argument, NULL, 'w'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			options.quick = true;
		else if (option == 'p')
			options.provider = optarg;
		else if (option == 'w' && atoi(optarg) >= 1 && atoi(optarg) <= (int)WORKERS_MAX)
			options.workers = (uint32_t)atoi(optarg);
		else
			broken("expected [--quick] [--provider openssl|ipsec-mb] [--workers 1|2]");
	}
}

int main(int argc, char **argv)
{
	static const char *const providers[] = {"openssl", "ipsec-mb"};

	parse(argc, argv);
	if (spw_arena_open(ARENA_BYTES) != 0)
		broken("cannot lock memory for keys: raise `ulimit -l` or run it as root");
	uint32_t workers = open_lanes();
	pin(lanes[0].cpu);
	tsc_hz = measure_tsc_hz();
	for (uint32_t k = 0; k < 2; k++) {
		if (!options.provider || strcmp(options.provider, providers[k]) == 0)
			measure_provider(providers[k], workers);
	}
	return 0;
}
