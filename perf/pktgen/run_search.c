/* SPDX-License-Identifier: BSD-2-Clause */
/* run_search.c - the RFC 2544 throughput search over real trials; see run.h and search.h. */
#include <stdio.h>

#include "perf/pktgen/format.h"
#include "perf/pktgen/report.h"
#include "perf/pktgen/run.h"
#include "perf/pktgen/search.h"

#define RESOLUTION 0.01 /* of the highest rate: what one run differs from the next in any case */
/* A trial that sent slower than this share of its rate speaks for the rate that it had, and the one
 * that it should have had is out of reach. */
#define REACHED_MIN 0.98

/* The search, its trials, and the best of each goal. */
struct hunt {
	struct spw_load *load;
	const struct spw_options *options;
	struct spw_screen screen;
	struct spw_search search;
	json_t *trials;
	uint32_t trials_cnt, unreached_cnt;
	struct spw_trial_result best[SPW_SEARCH_GOALS];
	char *why;
	unsigned int why_bytes;
};

static bool stopped(const struct hunt *hunt)
{
	return __atomic_load_n(&hunt->load->stop, __ATOMIC_RELAXED);
}

static double share_lost(const struct spw_trial_result *result)
{
	return result->sent ? (double)spw_lost(result) / (double)result->sent : 1;
}

static double sent_pps(const struct spw_trial_result *result)
{
	return result->seconds > 0 ? (double)result->sent / result->seconds : 0;
}

/* A line for each trial, where people look. */
static void show(struct hunt *hunt, const struct spw_trial_result *result, double packets_per_s,
		 const char *what)
{
	char rate[SPW_FORMAT_BYTES], p50[SPW_FORMAT_BYTES], p99[SPW_FORMAT_BYTES];
	const struct spw_histogram *latency_ns = &result->latency_ns;

	if (hunt->options->csv) {
		if (hunt->trials_cnt == 1)
			puts("trial,what,wanted_pps,tx_pps,sent,lost,p50_ns,p99_ns");
		printf("%u,%s,%.0f,%.0f,%llu,%llu,%llu,%llu\n", hunt->trials_cnt, what,
		       packets_per_s, sent_pps(result), (unsigned long long)result->sent,
		       (unsigned long long)spw_lost(result),
		       (unsigned long long)spw_histogram_quantile(latency_ns, 0.5),
		       (unsigned long long)spw_histogram_quantile(latency_ns, 0.99));
		fflush(stdout);
	} else if (!hunt->options->json) {
		printf("%-10s %10s pkt/s  lost %llu (%.4g %%)  p50 %s  p99 %s\n", what,
		       spw_format_rate(sent_pps(result), rate),
		       (unsigned long long)spw_lost(result), 100 * share_lost(result),
		       spw_format_ns(spw_histogram_quantile(latency_ns, 0.5), p50),
		       spw_format_ns(spw_histogram_quantile(latency_ns, 0.99), p99));
		fflush(stdout);
	}
}

/* packets_per_s: 0: as fast as it goes. */
static int run_trial(struct hunt *hunt, double packets_per_s, const char *what,
		     struct spw_trial_result *result)
{
	struct spw_trial_spec spec = {.packets_per_s = packets_per_s,
				      .seconds = hunt->options->trial_s};

	spw_screen_begin(&hunt->screen, what);
	int error = spw_trial_run(hunt->load, &spec, spw_screen_watch, &hunt->screen, result,
				  hunt->why, hunt->why_bytes);
	if (error || stopped(hunt))
		return error;
	hunt->trials_cnt++;
	show(hunt, result, packets_per_s, what);
	json_t *trial = spw_report_trial_json(result, packets_per_s);
	json_object_set_new(trial, "what", json_string(what));
	json_array_append_new(hunt->trials, trial);
	return 0;
}

static int search(struct hunt *hunt)
{
	const struct spw_options *options = hunt->options;
	struct spw_trial_result result;
	double rate = spw_options_packets_per_s(options, options->mix.mean_bytes);
	int error = 0;

	if (rate == 0) { /* the highest is what the generator can send */
		error = run_trial(hunt, 0, "highest", &result);
		rate = sent_pps(&result);
	}
	if (error || stopped(hunt))
		return error;
	spw_search_begin(&hunt->search, rate, RESOLUTION, options->loss_percent / 100);
	while ((rate = spw_search_next(&hunt->search)) > 0) {
		error = run_trial(hunt, rate, "search", &result);
		if (error || stopped(hunt))
			return error;
		if (sent_pps(&result) < rate * REACHED_MIN) {
			hunt->unreached_cnt++;
			spw_search_add(&hunt->search, rate, 1);
			rate = sent_pps(&result);
		}
		spw_search_add(&hunt->search, rate, share_lost(&result));
		for (uint32_t g = 0; g < SPW_SEARCH_GOALS; g++)
			if (hunt->search.goal[g].passed == rate)
				hunt->best[g] = result;
	}
	return 0;
}

static json_t *goal_json(const struct hunt *hunt, uint32_t g)
{
	double passed = hunt->search.goal[g].passed;

	return passed > 0 ? spw_report_trial_json(&hunt->best[g], passed) : json_null();
}

static void print_goal(const struct hunt *hunt, uint32_t g, const char *name)
{
	char rate[SPW_FORMAT_BYTES], bits[SPW_FORMAT_BYTES];
	const struct spw_trial_result *best = &hunt->best[g];

	if (hunt->search.goal[g].passed == 0) {
		printf("%s: none, every rate down to 1 %% of the highest lost more\n", name);
		return;
	}
	printf("%s: %s pkt/s, %s bit/s, lost %.4g %%\n", name,
	       spw_format_rate(sent_pps(best), rate),
	       spw_format_rate(8 * (double)best->sent_bytes / best->seconds, bits),
	       100 * share_lost(best));
	spw_report_latency_print(&best->latency_ns);
}

static void print(struct hunt *hunt, json_t *latency_at)
{
	if (hunt->options->json) {
		json_t *object = spw_report_setup_json(hunt->options, hunt->load);
		json_object_set_new(object, "ndr", goal_json(hunt, SPW_SEARCH_NDR));
		json_object_set_new(object, "pdr", goal_json(hunt, SPW_SEARCH_PDR));
		json_object_set_new(object, "pdr_loss_percent",
				    json_real(hunt->options->loss_percent));
		json_object_set_new(object, "unreached", json_integer(hunt->unreached_cnt));
		json_object_set(object, "latency_at", latency_at);
		json_object_set(object, "trials", hunt->trials);
		json_dumpf(object, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(object);
	} else if (!hunt->options->csv) {
		print_goal(hunt, SPW_SEARCH_NDR, "NDR");
		print_goal(hunt, SPW_SEARCH_PDR, "PDR");
		if (hunt->unreached_cnt)
			printf("note: %u trials did not reach their rate, they count with the one "
			       "they had: the port or this core did not keep up\n",
			       hunt->unreached_cnt);
	}
}

/* The delay at 90 % and at 50 % of NDR. */
static int measure_latency(struct hunt *hunt, json_t *latency_at)
{
	static const struct {
		double share;
		const char *what;
	} points[] = {{0.9, "90% of NDR"}, {0.5, "50% of NDR"}};
	struct spw_trial_result result;
	double ndr = hunt->search.goal[SPW_SEARCH_NDR].passed;

	for (uint32_t i = 0; ndr > 0 && i < 2; i++) {
		int error = run_trial(hunt, ndr * points[i].share, points[i].what, &result);
		if (error || stopped(hunt))
			return error;
		json_t *point = spw_report_trial_json(&result, ndr * points[i].share);
		json_object_set_new(point, "ndr_share", json_real(points[i].share));
		json_array_append_new(latency_at, point);
	}
	return 0;
}

int spw_run_search(struct spw_load *load, const struct spw_options *options, char *why,
		   unsigned int why_bytes)
{
	struct hunt hunt = {.load = load,
			    .options = options,
			    .trials = json_array(),
			    .why = why,
			    .why_bytes = why_bytes};
	json_t *latency_at = json_array();
	struct spw_trial_result warmup;

	spw_screen_open(&hunt.screen, options);
	if (hunt.screen.kind != SPW_SCREEN_LIVE)
		hunt.screen.kind = SPW_SCREEN_JSON; /* a line for each trial says enough */
	int error = spw_run_warmup(load, options,
				   spw_options_packets_per_s(options, options->mix.mean_bytes),
				   &hunt.screen, &warmup, why, why_bytes);
	if (!error)
		error = search(&hunt);
	if (!error && !stopped(&hunt))
		error = measure_latency(&hunt, latency_at);
	if (!error && stopped(&hunt))
		fputs("spillway-pktgen: stopped before the search was done\n", stderr);
	else if (!error)
		print(&hunt, latency_at);
	spw_screen_close(&hunt.screen);
	json_decref(hunt.trials);
	json_decref(latency_at);
	return error;
}
