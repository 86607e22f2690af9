/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - spillway-control, the small process that decides: it reads the configuration, makes the
 * tables, hands keys to the dataplane and answers the command line. No packet ever waits for it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/config.h"
#include "control/daemon/log.h"
#include "control/daemon/privileges.h"
#include "control/daemon/start.h"

static const char help[] =
	"usage: spillway-control --config FILE [--check | --remove]\n"
	"\n"
	"Runs the control process of the node that FILE (config.yaml) describes. `spillway run "
	"FILE`\n"
	"starts it together with the dataplane; this is for supervisors.\n"
	"\n"
	"  --config FILE  the node's configuration\n"
	"  --check        only check FILE: prints OK, or what is wrong and where\n"
	"  --remove       detach the node from its interfaces and free its tables; refused while "
	"its\n"
	"                 control runs\n"
	"  --help, --version\n"
	"\n"
	"When it ends or dies, tables and attachments stay, packets go on, and the next start "
	"takes\n"
	"up the running set as it stands; FILE is read when there are no tables yet.\n";

enum mode { MODE_RUN, MODE_CHECK, MODE_REMOVE, MODE_DONE, MODE_BAD };

static enum mode read_args(int argc, char **argv, const char **config_path)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
		{"remove", no_argument, NULL, 'r'},       {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},      {0},
	};
	enum mode mode = MODE_RUN;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			*config_path = optarg;
			break;
		case 'k':
		case 'r':
			if (mode != MODE_RUN) {
				fputs("spillway-control: expected --check or --remove, not both\n",
				      stderr);
				return MODE_BAD;
			}
			mode = option == 'k' ? MODE_CHECK : MODE_REMOVE;
			break;
		case 'h':
			fputs(help, stdout);
			return MODE_DONE;
		case 'v':
			puts("spillway-control " SPW_VERSION);
			return MODE_DONE;
		default:
			fputs("try spillway-control --help\n", stderr);
			return MODE_BAD;
		}
	}
	if (optind < argc || !*config_path) {
		fputs("spillway-control: expected --config FILE; try spillway-control --help\n",
		      stderr);
		return MODE_BAD;
	}
	return mode;
}

static void report(const char *config_path, const struct spw_error *error)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s", error->text);
	if (error->place.line > 0)
		spw_config_error_format(config_path, error, text, sizeof(text));
	fprintf(stderr, "error control: %s\n", text);
}

static int check(const char *config_path)
{
	struct spw_error error = {0};
	struct spw_config *config;

	if (spw_config_load(config_path, &config, &error) < 0) {
		report(config_path, &error);
		return 1;
	}
	spw_config_free(config);
	puts("OK");
	return 0;
}

/* Tells `spillway run`, or whoever set SPW_READY_FD, that the node is up. */
static void tell_ready(void)
{
	const char *text = getenv("SPW_READY_FD");
	char *end;
	long fd = text ? strtol(text, &end, 10) : -1;

	if (fd < 3 || *end)
		return;
	if (write((int)fd, "", 1) != 1)
		spw_log("warning", "start", "nobody reads SPW_READY_FD: %s", strerror(errno));
	close((int)fd);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	event_base_loopbreak(arg);
}

static int run(const char *config_path)
{
	struct spw_node *node = calloc(1, sizeof(*node));
	struct spw_error error = {0};
	struct event *term = NULL, *interrupt = NULL;
	int err = -ENOMEM;

	if (!node || !(node->loop = event_base_new()))
		goto done;
	/* Before anything is pinned: a signal then waits until the start has come to its end. */
	term = evsignal_new(node->loop, SIGTERM, on_signal, node->loop);
	interrupt = evsignal_new(node->loop, SIGINT, on_signal, node->loop);
	if (!term || !interrupt || evsignal_add(term, NULL) < 0 ||
	    evsignal_add(interrupt, NULL) < 0)
		goto done;
	signal(SIGPIPE, SIG_IGN);

	err = spw_node_start(node, config_path, &error);
	if (err == 0) {
		err = spw_privileges_drop();
		if (err < 0)
			spw_error_set(&error, err, (struct spw_place){0},
				      "cannot drop privileges: %s", strerror(-err));
	}
	if (err == 0) {
		spw_log("info", "start", "node %s is ready (%u workers, %u interfaces)", node->name,
			node->workers, node->interfaces_cnt);
		tell_ready();
		event_base_dispatch(node->loop);
		spw_log("info", "stop", "node %s: tables and attachments stay", node->name);
	}
	spw_node_stop(node);
done:
	if (err < 0 && error.code == 0)
		spw_error_set(&error, err, (struct spw_place){0}, "cannot start: %s",
			      strerror(-err));
	if (err < 0)
		report(config_path, &error);
	if (interrupt)
		event_free(interrupt);
	if (term)
		event_free(term);
	if (node && node->loop)
		event_base_free(node->loop);
	free(node);
	return err < 0 ? 1 : 0;
}

static int remove_node(const char *config_path)
{
	struct spw_node *node = calloc(1, sizeof(*node));
	struct spw_error error = {0};
	int err = node ? spw_node_remove(node, config_path, &error) : -ENOMEM;

	if (err < 0)
		report(config_path, &error);
	free(node);
	return err < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *config_path = NULL;

	switch (read_args(argc, argv, &config_path)) {
	case MODE_RUN:
		return run(config_path);
	case MODE_CHECK:
		return check(config_path);
	case MODE_REMOVE:
		return remove_node(config_path);
	case MODE_DONE:
		return 0;
	case MODE_BAD:
		break;
	}
	return 2;
}
