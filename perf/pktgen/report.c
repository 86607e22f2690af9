/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. */
#include "perf/pktgen/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "perf/pktgen/format.h"

/* A rate that is missed by more than this was not the one that was asked for. */
#define RATE_OFF_MAX 0.01

static const struct {
	const char *name, *key;
	double share;
} percentiles[] = {
	{"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p99.9", "p99_9", 0.999}};

#define PERCENTILES_CNT (sizeof(percentiles) / sizeof(percentiles[0]))

static void set_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static double per_second(uint64_t value, const struct spw_trial_result *result)
{
	return result->seconds > 0 ? (double)value / result->seconds : 0;
}

static double lost_percent(const struct spw_trial_result *result)
{
	return result->sent ? 100.0 * (double)spw_lost(result) / (double)result->sent : 0;
}

static json_t *latency_json(const struct spw_histogram *latency_ns)
{
	json_t *object = json_object();

	if (!latency_ns->cnt) {
		json_decref(object);
		return json_null();
	}
	set_count(object, "min", latency_ns->min);
	set_count(object, "mean", latency_ns->sum / latency_ns->cnt);
	for (size_t i = 0; i < PERCENTILES_CNT; i++)
		set_count(object, percentiles[i].key,
			  spw_histogram_quantile(latency_ns, percentiles[i].share));
	set_count(object, "max", latency_ns->max);
	return object;
}

json_t *spw_report_setup_json(const struct spw_options *options, const struct spw_load *load)
{
	json_t *object = json_pack("{s:s,s:s}", "tx", options->tx, "rx", options->rx);
	json_t *sizes = json_array();
	uint32_t tunnels =
		load->tx_sas.cnt > load->rx_sas.cnt ? load->tx_sas.cnt : load->rx_sas.cnt;

	json_object_set_new(object, "traffic",
			    json_string(options->pcap_file ? "pcap"
					: load->tx_sas.cnt ? "esp"
							   : "plain"));
	for (uint32_t i = 0; load->generator && i < options->mix.sizes_cnt; i++)
		json_array_append_new(sizes, json_integer(options->mix.bytes[i]));
	json_object_set_new(object, "sizes", sizes);
	json_object_set_new(
		object, "mean_bytes",
		json_real(load->generator ? options->mix.mean_bytes : load->capture.mean_bytes));
	set_count(object, "flows", load->generator ? load->generator->flows_cnt : 0);
	set_count(object, "tunnels", tunnels);
	json_object_set_new(object, "aead",
			    tunnels ? json_string(spw_aead_provider()) : json_null());
	return object;
}

json_t *spw_report_trial_json(const struct spw_trial_result *result, double wanted_pps)
{
	const struct spw_measure_counts *counts = &result->counts;
	json_t *object = json_object();

	json_object_set_new(object, "seconds", json_real(result->seconds));
	json_object_set_new(object, "wanted_pps",
			    wanted_pps > 0 ? json_real(wanted_pps) : json_null());
	set_count(object, "sent", result->sent);
	set_count(object, "sent_bytes", result->sent_bytes);
	set_count(object, "received", spw_returned(counts));
	set_count(object, "received_bytes", counts->bytes);
	set_count(object, "lost", spw_lost(result));
	json_object_set_new(object, "lost_percent", json_real(lost_percent(result)));
	set_count(object, "duplicates", counts->duplicates);
	set_count(object, "reordered", counts->reordered);
	set_count(object, "late", counts->late);
	set_count(object, "unopened", counts->unopened);
	set_count(object, "refused", counts->refused);
	set_count(object, "stale", counts->stale);
	set_count(object, "other", counts->other);
	set_count(object, "missed", result->missed);
	set_count(object, "given_up", result->given_up);
	json_object_set_new(object, "tx_pps", json_real(per_second(result->sent, result)));
	json_object_set_new(object, "rx_pps", json_real(per_second(spw_returned(counts), result)));
	json_object_set_new(object, "tx_mbps",
			    json_real(8e-6 * per_second(result->sent_bytes, result)));
	json_object_set_new(object, "rx_mbps", json_real(8e-6 * per_second(counts->bytes, result)));
	json_object_set_new(object, "latency_ns", latency_json(&result->latency_ns));
	return object;
}

void spw_report_latency_print(const struct spw_histogram *latency_ns)
{
	char text[SPW_FORMAT_BYTES];

	if (!latency_ns->cnt) {
		puts("delay    not measured");
		return;
	}
	printf("delay    ");
	for (size_t i = 0; i < PERCENTILES_CNT; i++)
		printf("%s %s   ", percentiles[i].name,
		       spw_format_ns(spw_histogram_quantile(latency_ns, percentiles[i].share),
				     text));
	printf("max %s\n", spw_format_ns(latency_ns->max, text));
}

static void print_way(const char *name, uint64_t packets, uint64_t bytes,
		      const struct spw_trial_result *result)
{
	char rate[SPW_FORMAT_BYTES], bits[SPW_FORMAT_BYTES];

	printf("%-9s%" PRIu64 " packets in %.2f s, %s pkt/s, %s bit/s\n", name, packets,
	       result->seconds, spw_format_rate(per_second(packets, result), rate),
	       spw_format_rate(8 * per_second(bytes, result), bits));
}

/* What keeps the numbers above from being the whole truth. */
static void print_notes(const struct spw_trial_result *result, double wanted_pps)
{
	const struct spw_measure_counts *counts = &result->counts;
	double sent_pps = per_second(result->sent, result);
	const struct {
		uint64_t packets;
		const char *text;
	} notes[] = {
		{counts->late, "came so far behind that they might be duplicates"},
		{counts->unopened, "came as ESP and were only counted; --decrypt measures them"},
		{counts->refused, "came as ESP of known SAs, but were not authentic"},
		{counts->stale, "came from an earlier trial or run"},
		{counts->other, "came that were no test packets"},
		{result->missed, "came back, but the generator was too slow to take them"},
	};

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		if (notes[i].packets)
			printf("note     %" PRIu64 " %s\n", notes[i].packets, notes[i].text);
	if (wanted_pps > 0 && result->seconds >= 0.1 &&
	    (sent_pps < wanted_pps * (1 - RATE_OFF_MAX) ||
	     sent_pps > wanted_pps * (1 + RATE_OFF_MAX)))
		printf("note     %.0f pkt/s were asked for: the port or this core did not keep "
		       "up\n",
		       wanted_pps);
	if (result->sent && spw_returned(counts) == 0)
		puts("note     nothing came back: is --gateway the right one, --rx the right "
		     "port?");
}

void spw_report_trial_print(const struct spw_trial_result *result, double wanted_pps)
{
	const struct spw_measure_counts *counts = &result->counts;

	print_way("sent", result->sent, result->sent_bytes, result);
	print_way("received", spw_returned(counts), counts->bytes, result);
	printf("lost     %" PRIu64 " (%.4g %%), duplicates %" PRIu64 ", reordered %" PRIu64 "\n",
	       spw_lost(result), lost_percent(result), counts->duplicates, counts->reordered);
	spw_report_latency_print(&result->latency_ns);
	print_notes(result, wanted_pps);
}
