/* SPDX-License-Identifier: BSD-2-Clause */
/* screen.c - see screen.h. */
#include "perf/pktgen/screen.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "perf/pktgen/format.h"

/* What happened between two looks. */
struct interval {
	double seconds;
	uint64_t sent, sent_bytes;
	uint64_t returned, returned_bytes, duplicates, reordered;
	struct spw_histogram latency_ns;
};

void spw_screen_open(struct spw_screen *screen, const struct spw_options *options)
{
	*screen = (struct spw_screen){.options = options, .seconds = json_array()};
	screen->kind = options->json           ? SPW_SCREEN_JSON
		       : options->csv          ? SPW_SCREEN_CSV
		       : isatty(STDOUT_FILENO) ? SPW_SCREEN_LIVE
					       : SPW_SCREEN_LINES;
	if (options->csv && !options->search)
		puts("second,sent,received,duplicates,reordered,tx_pps,rx_pps,p50_ns,p90_ns,p99_ns,"
		     "max_ns");
}

void spw_screen_close(struct spw_screen *screen)
{
	json_decref(screen->seconds);
}

void spw_screen_begin(struct spw_screen *screen, const char *phase)
{
	screen->phase = phase;
	screen->ticks = screen->sent = screen->sent_bytes = screen->second = 0;
	screen->counts = (struct spw_measure_counts){0};
	screen->latency_ns = (struct spw_histogram){0};
}

static uint64_t load_relaxed(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* What was added since the last look, which becomes this one. */
static void look(struct spw_screen *screen, const struct spw_trial *trial, uint64_t now_ticks,
		 struct interval *interval)
{
	const struct spw_measure *measure = trial->load->measure;
	struct spw_measure_counts counts = {
		.packets = load_relaxed(&measure->counts.packets),
		.bytes = load_relaxed(&measure->counts.bytes),
		.duplicates = load_relaxed(&measure->counts.duplicates),
		.reordered = load_relaxed(&measure->counts.reordered),
		.unopened = load_relaxed(&measure->counts.unopened),
	};
	uint64_t sent = load_relaxed(&trial->sent), sent_bytes = load_relaxed(&trial->sent_bytes);

	interval->seconds = (double)(now_ticks - screen->ticks) / trial->load->ticks_per_s;
	interval->sent = sent - screen->sent;
	interval->sent_bytes = sent_bytes - screen->sent_bytes;
	interval->returned = spw_returned(&counts) - spw_returned(&screen->counts);
	interval->returned_bytes = counts.bytes - screen->counts.bytes;
	interval->duplicates = counts.duplicates - screen->counts.duplicates;
	interval->reordered = counts.reordered - screen->counts.reordered;
	spw_histogram_since(&measure->latency_ns, &screen->latency_ns, &interval->latency_ns);
	screen->sent = sent;
	screen->sent_bytes = sent_bytes;
	screen->counts = counts;
	screen->ticks = now_ticks;
}

static uint64_t quantile(const struct interval *interval, double share)
{
	return spw_histogram_quantile(&interval->latency_ns, share);
}

static void print_csv(const struct spw_screen *screen, const struct interval *interval)
{
	printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.0f,%.0f,%" PRIu64
	       ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
	       screen->second, interval->sent, interval->returned, interval->duplicates,
	       interval->reordered, (double)interval->sent / interval->seconds,
	       (double)interval->returned / interval->seconds, quantile(interval, 0.5),
	       quantile(interval, 0.9), quantile(interval, 0.99), interval->latency_ns.max);
}

static void collect(struct spw_screen *screen, const struct interval *interval)
{
	json_array_append_new(screen->seconds,
			      json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:I,s:I,s:I,s:I}", "second",
					(json_int_t)screen->second, "sent",
					(json_int_t)interval->sent, "received",
					(json_int_t)interval->returned, "duplicates",
					(json_int_t)interval->duplicates, "reordered",
					(json_int_t)interval->reordered, "tx_pps",
					(double)interval->sent / interval->seconds, "rx_pps",
					(double)interval->returned / interval->seconds, "p50_ns",
					(json_int_t)quantile(interval, 0.5), "p90_ns",
					(json_int_t)quantile(interval, 0.9), "p99_ns",
					(json_int_t)quantile(interval, 0.99), "max_ns",
					(json_int_t)interval->latency_ns.max));
}

static void print_line(const struct spw_screen *screen, const struct interval *interval)
{
	char tx[SPW_FORMAT_BYTES], rx[SPW_FORMAT_BYTES], p50[SPW_FORMAT_BYTES],
		p99[SPW_FORMAT_BYTES];

	printf("%s%s%3" PRIu64 " s  tx %s pkt/s  rx %s pkt/s  out %" PRIu64 "  back %" PRIu64,
	       screen->phase ?: "", screen->phase ? " " : "", screen->second,
	       spw_format_rate((double)interval->sent / interval->seconds, tx),
	       spw_format_rate((double)interval->returned / interval->seconds, rx), screen->sent,
	       spw_returned(&screen->counts));
	if (interval->latency_ns.cnt)
		printf("  p50 %s  p99 %s", spw_format_ns(quantile(interval, 0.5), p50),
		       spw_format_ns(quantile(interval, 0.99), p99));
	putchar('\n');
	fflush(stdout);
}

/* "  tx   50.0 k pkt/s   25.6 M bit/s   150000 in all" */
static void print_way(const char *name, uint64_t packets, uint64_t bytes, uint64_t total,
		      double seconds)
{
	char rate[SPW_FORMAT_BYTES], bits[SPW_FORMAT_BYTES];

	printf("\033[K  %-6s%12s pkt/s %12s bit/s %14" PRIu64 " in all\n", name,
	       spw_format_rate((double)packets / seconds, rate),
	       spw_format_rate((double)bytes * 8 / seconds, bits), total);
}

/* Overwrites itself: moves up by what it printed last. */
static void print_live(struct spw_screen *screen, const struct interval *interval)
{
	static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
	static const char *const names[] = {"p50", "p90", "p99", "p99.9", "max"};
	const struct spw_options *options = screen->options;
	char text[SPW_FORMAT_BYTES];

	if (screen->lines)
		printf("\033[%uA", screen->lines);
	printf("\033[K\033[1mspillway-pktgen\033[0m  %s -> %s  %s%s%" PRIu64 " s", options->tx,
	       options->rx, screen->phase ?: "", screen->phase ? ", " : "", screen->second);
	if (options->seconds > 0 && !screen->phase)
		printf(" of %g s", options->seconds);
	putchar('\n');
	print_way("out", interval->sent, interval->sent_bytes, screen->sent, interval->seconds);
	print_way("back", interval->returned, interval->returned_bytes,
		  spw_returned(&screen->counts), interval->seconds);
	printf("\033[K  under way or lost %" PRId64 "   duplicates %" PRIu64 "   reordered %" PRIu64
	       "\n\033[K  delay  ",
	       (int64_t)(screen->sent - spw_returned(&screen->counts)), screen->counts.duplicates,
	       screen->counts.reordered);
	for (uint32_t i = 0; i < 5; i++)
		printf("%s %s   ", names[i], spw_format_ns(quantile(interval, shares[i]), text));
	printf("\n\033[K  Ctrl-C ends it\n");
	screen->lines = 6;
	fflush(stdout);
}

void spw_screen_watch(void *arg, const struct spw_trial *trial)
{
	struct spw_screen *screen = arg;
	uint64_t now_ticks = rte_rdtsc();
	struct interval interval;

	if (!screen->ticks)
		screen->ticks = trial->start_ticks;
	bool over = __atomic_load_n(&trial->received_all, __ATOMIC_ACQUIRE);
	double seconds = (double)(now_ticks - screen->ticks) / trial->load->ticks_per_s;
	/* The rest after the last whole second completes the sums. */
	if (seconds < 1 && !over)
		return;
	look(screen, trial, now_ticks, &interval);
	if (over && !interval.sent && !interval.returned)
		return;
	screen->second++;
	if (screen->kind == SPW_SCREEN_LIVE && !over)
		print_live(screen, &interval);
	else if (screen->kind == SPW_SCREEN_LINES && !over)
		print_line(screen, &interval);
	else if (screen->kind == SPW_SCREEN_CSV && !screen->phase)
		print_csv(screen, &interval);
	else if (screen->kind == SPW_SCREEN_JSON && !screen->phase)
		collect(screen, &interval);
}
