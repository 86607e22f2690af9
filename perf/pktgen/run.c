/* SPDX-License-Identifier: BSD-2-Clause */
/* run.c - one measurement; see run.h. */
#include "perf/pktgen/run.h"

#include <stdio.h>

#include "perf/pktgen/report.h"

int spw_run_warmup(struct spw_load *load, const struct spw_options *options, double packets_per_s,
		   struct spw_screen *screen, struct spw_trial_result *result, char *why,
		   unsigned int why_bytes)
{
	struct spw_trial_spec spec = {.packets_per_s = packets_per_s, .seconds = options->warmup_s};

	*result = (struct spw_trial_result){0};
	if (options->warmup_s == 0)
		return 0;
	spw_screen_begin(screen, "warm-up");
	return spw_trial_run(load, &spec, spw_screen_watch, screen, result, why, why_bytes);
}

/* What a measurement asks of its one trial. A capture goes once round where nothing else is said.
 */
static struct spw_trial_spec spec_of(const struct spw_load *load, const struct spw_options *options)
{
	struct spw_trial_spec spec = {.seconds = options->seconds, .packets = options->packets};

	if (load->generator) {
		spec.packets_per_s = spw_options_packets_per_s(options, options->mix.mean_bytes);
		return spec;
	}
	spec.packets_per_s = spw_options_packets_per_s(options, load->capture.mean_bytes);
	spec.speed = options->rate_kind ? 0 : options->speed;
	if (spec.seconds == 0 && !spec.packets)
		spec.packets = load->capture.frames_cnt;
	return spec;
}

static void print(const struct spw_load *load, const struct spw_options *options,
		  const struct spw_screen *screen, const struct spw_trial_result *warmup,
		  const struct spw_trial_result *result, double wanted_pps)
{
	if (!options->json) {
		if (!options->csv)
			spw_report_trial_print(result, wanted_pps);
		return;
	}
	json_t *object = spw_report_setup_json(options, load);
	json_object_update_new(object, spw_report_trial_json(result, wanted_pps));
	json_object_set_new(object, "warmup",
			    json_pack("{s:I,s:I}", "sent", (json_int_t)warmup->sent, "received",
				      (json_int_t)spw_returned(&warmup->counts)));
	json_object_set(object, "intervals", screen->seconds);
	json_dumpf(object, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(object);
}

int spw_run_once(struct spw_load *load, const struct spw_options *options, char *why,
		 unsigned int why_bytes)
{
	struct spw_trial_spec spec = spec_of(load, options);
	struct spw_trial_result warmup, result = {0};
	struct spw_screen screen;

	spw_screen_open(&screen, options);
	int error =
		spw_run_warmup(load, options, spec.packets_per_s, &screen, &warmup, why, why_bytes);
	if (!error) {
		spw_screen_begin(&screen, NULL);
		error = spw_trial_run(load, &spec, spw_screen_watch, &screen, &result, why,
				      why_bytes);
	}
	if (!error)
		print(load, options, &screen, &warmup, &result, spec.packets_per_s);
	spw_screen_close(&screen);
	return error;
}
