/* SPDX-License-Identifier: BSD-2-Clause */
/* rings_commands.c - see rings.h. */
#include <cap-ng.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "perf/rings.h"

/* Below that the worker goes to sleep between two packets, and the generator, which runs inside its
 * receive call, with it. */
#define PPS_MIN 100000.0
#define SECONDS_MAX 120.0
#define LINE_BYTES (2 * RINGS_FRAME_BYTES_MAX + 64u)

static void refuse(const char *why)
{
	printf("{\"error\": \"%s\"}\n", why);
}

static void add_frame(struct rings_generator *generator, const char *hex)
{
	struct rings_frame *frame = &generator->frames[generator->frames_cnt];
	unsigned int octet;
	int used;

	if (generator->frames_cnt == RINGS_FRAMES_MAX) {
		refuse("no room for more frames");
		return;
	}
	frame->bytes = 0;
	while (frame->bytes < RINGS_FRAME_BYTES_MAX && sscanf(hex, "%2x%n", &octet, &used) == 1) {
		frame->data[frame->bytes++] = (uint8_t)octet;
		hex += used;
	}
	if (frame->bytes < 34) {
		refuse("a frame has Ethernet and IP headers at least");
		return;
	}
	generator->frames_cnt++;
	printf("{\"frames\": %u}\n", generator->frames_cnt);
}

static double us(uint64_t cycles)
{
	return (double)cycles * 1e6 / (double)rte_get_tsc_hz();
}

static void report(const struct rings_trial *trial)
{
	const struct spw_histogram *latency = &trial->latency_cycles;

	printf("{\"offered\": %" PRIu64 ", \"ring_full\": %" PRIu64 ", \"buffers_short\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"lost_away\": %" PRIu64 ", \"away\": %" PRIu64
	       ", \"away_ms\": %.3f, \"away_max_ms\": %.3f, \"slow_ms\": %.3f",
	       trial->offered, trial->ring_full, trial->buffers_short, trial->received,
	       trial->lost_away, trial->clock.away_cnt, us(trial->clock.away_tsc) / 1e3,
	       us(trial->clock.away_max_tsc) / 1e3, us(trial->clock.slow_tsc) / 1e3);
	printf(", \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
	       "\"max_us\": %.3f}\n",
	       us(spw_histogram_quantile(latency, 0.5)), us(spw_histogram_quantile(latency, 0.9)),
	       us(spw_histogram_quantile(latency, 0.99)),
	       us(spw_histogram_quantile(latency, 0.999)), us(latency->max));
}

static void run_trial(const struct rings_commands *commands, double pps, double seconds, bool bare)
{
	struct rings_trial *trial = &commands->generator->trial;
	const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t one = 1;

	if (commands->generator->frames_cnt == 0) {
		refuse("no frame was given");
		return;
	}
	if (!(pps >= PPS_MIN) || !(seconds > 0 && seconds <= SECONDS_MAX)) {
		refuse("expected 100000 packets per second or more, and 120 seconds or less");
		return;
	}
	memset(trial, 0, sizeof(*trial));
	trial->bare = bare;
	trial->gap_q16 = (uint64_t)((double)rte_get_tsc_hz() / pps * 65536);
	trial->packets = (uint64_t)(pps * seconds);
	__atomic_store_n(&trial->running, 1, __ATOMIC_RELEASE);
	if (write(commands->awake_fd, &one, sizeof(one)) < 0)
		refuse("cannot wake the worker");
	while (__atomic_load_n(&trial->running, __ATOMIC_ACQUIRE))
		nanosleep(&pause, NULL);
	if (read(commands->awake_fd, &one, sizeof(one)) < 0)
		one = 0; /* it had been read: then nobody is kept awake either */
	report(trial);
}

void *rings_commands_run(void *argument)
{
	static char line[LINE_BYTES];
	struct rings_commands *commands = argument;
	double pps, seconds;

	capng_get_caps_process();
	capng_clear(CAPNG_SELECT_ALL);
	commands->error = capng_apply(CAPNG_SELECT_CAPS);
	sem_post(&commands->started);
	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "frame ", 6) == 0)
			add_frame(commands->generator, line + 6);
		else if (sscanf(line, "run %lf %lf", &pps, &seconds) == 2)
			run_trial(commands, pps, seconds, false);
		else if (sscanf(line, "bare %lf %lf", &pps, &seconds) == 2)
			run_trial(commands, pps, seconds, true);
		else
			refuse("expected frame HEX, run PPS SECONDS or bare PPS SECONDS");
		fflush(stdout);
	}
	return NULL;
}
