/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - spillway-pktgen: options, a load, a run.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "perf/pktgen/load.h"
#include "perf/pktgen/node_config.h"
#include "perf/pktgen/options.h"
#include "perf/pktgen/run.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_NOT_UNDERSTOOD = 2 };

static struct spw_load load;

static void stop(int signal_number)
{
	(void)signal_number;
	__atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
}

static int fail(int error, const char *why)
{
	fprintf(stderr, "spillway-pktgen: %s\n", why);
	return error == -EINVAL ? EXIT_NOT_UNDERSTOOD : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct spw_options options;
	char why[512] = "", why_closed[512] = "";

	int error = spw_options_parse(argc, argv, &options, why, sizeof(why));
	if (error)
		return fail(error, why);
	if (options.help)
		spw_options_help(stdout);
	else if (options.version)
		puts("spillway-pktgen " SPW_VERSION);
	else if (options.write_dir)
		error = spw_node_config_write(options.write_dir, options.tunnels, why, sizeof(why));
	if (error)
		return fail(error, why);
	if (options.help || options.version || options.write_dir)
		return EXIT_DONE;

	struct sigaction action = {.sa_handler = stop};
	error = spw_load_open(&load, &options, why, sizeof(why));
	if (!error) {
		sigaction(SIGINT, &action, NULL);
		sigaction(SIGTERM, &action, NULL);
		error = options.search ? spw_run_search(&load, &options, why, sizeof(why))
				       : spw_run_once(&load, &options, why, sizeof(why));
	}
	int closed = spw_load_close(&load, why_closed, sizeof(why_closed));
	if (error)
		return fail(error, why);
	if (closed)
		return fail(closed, why_closed);
	return fflush(stdout) == 0 ? EXIT_DONE : fail(-EIO, "cannot write to standard output");
}
