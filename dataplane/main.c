/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - spillway-dataplane: the order in which it starts, runs and ends.
 *
 * All that decides about a packet comes from control: the tables as descriptors, the ports in
 * SETUP, the keys afterwards. So there is one option, the node's name.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dataplane/arena.h"
#include "dataplane/eal.h"
#include "dataplane/log.h"
#include "dataplane/privileges.h"
#include "dataplane/requests.h"
#include "dataplane/service.h"

/* Exit codes of every program of the project. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_NOT_UNDERSTOOD = 2 };

#define WHY_BYTES sizeof(((struct spw_msg_failed *)0)->text)

/*
 * Memory of one SA and direction in the arena. With OpenSSL an outbound SA takes 1600 bytes, an
 * inbound one 2112 with the window of 2048 and 3648 with the largest, both together so at most
 * 5248; with ipsec-mb each takes 384 less. OpenSSL itself took 656 KiB (3.0.22).
 */
#define ARENA_SA_BYTES 3072u
#define ARENA_OWN_BYTES (2u << 20)

#ifdef __SANITIZE_ADDRESS__
/* The leak checker stops all threads with ptrace, which a process without privileges and with a
 * seccomp filter cannot do; what DPDK keeps until the end would be its only finding. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static void print_help(void)
{
	puts("Usage: spillway-dataplane --node NAME\n"
	     "\n"
	     "Forwards the packets of one node. Started by `spillway run`, beside "
	     "spillway-control,\n"
	     "which tells it all else: it waits for control's socket at\n"
	     "/run/spillway/NAME/dataplane.sock (SPW_RUN_DIR replaces /run/spillway).\n"
	     "\n"
	     "  --node NAME   the node, as in its configuration\n"
	     "  --help        this text\n"
	     "  --version     the version\n"
	     "\n"
	     "Needs CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK to start, and "
	     "drops\n"
	     "them. SIGTERM ends it. Exit codes: 0 done, 1 failed, 2 not understood.");
}

/* A node's name is part of paths. */
static bool node_name_valid(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < sizeof(((struct spw_msg_setup *)0)->node) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       length &&
	       name[0] != '-';
}

/* Returns -1 to go on, or the exit code. */
static int read_options(int argc, char **argv, const char **node)
{
	static const struct option options[] = {
		{"node", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'n':
			*node = optarg;
			break;
		case 'h':
			print_help();
			return EXIT_DONE;
		case 'v':
			puts("spillway-dataplane " SPW_VERSION);
			return EXIT_DONE;
		default: /* getopt has said what is wrong */
			fputs("Try `spillway-dataplane --help`.\n", stderr);
			return EXIT_NOT_UNDERSTOOD;
		}
	}
	if (optind < argc || !*node || !node_name_valid(*node)) {
		fputs("spillway-dataplane: expected --node NAME and nothing else; a name is up to "
		      "31 "
		      "letters, digits, - and _\n",
		      stderr);
		return EXIT_NOT_UNDERSTOOD;
	}
	return -1;
}

/* Blocks the signals in this thread before there are others, so that all inherit it. */
static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* The arena, and what lies in it. */
static int open_arena(struct spw_service *service, char *why)
{
	int error = spw_arena_open(ARENA_OWN_BYTES +
				   2 * (size_t)service->tables.sas_max * ARENA_SA_BYTES);
	if (error) {
		snprintf(
			why, WHY_BYTES,
			"cannot lock memory for keys (%s): grant CAP_IPC_LOCK or raise `ulimit -l`",
			strerror(-error));
		return error;
	}
	service->buffer = spw_arena_alloc(sizeof(*service->buffer));
	service->sas = spw_sa_table_create(service->tables.sas_max);
	if (!service->buffer || !service->sas) {
		snprintf(why, WHY_BYTES, "no memory for %u SAs", service->tables.sas_max);
		return -ENOMEM;
	}
	return 0;
}

/* On the first worker's CPU: what is fastest there is measured. */
static int choose_aead(struct spw_service *service, char *why)
{
	const struct spw_msg_setup *setup = &service->setup;
	cpu_set_t before, first;

	CPU_ZERO(&first);
	CPU_SET((size_t)service->cpus.worker[0], &first);
	/* Where it cannot go there, it measures where it is. */
	bool moved = sched_getaffinity(0, sizeof(before), &before) == 0 &&
		     sched_setaffinity(0, sizeof(first), &first) == 0;
	int error = spw_aead_choose(setup->aead, setup->workers, service->aead_why,
				    sizeof(service->aead_why));
	if (moved)
		sched_setaffinity(0, sizeof(before), &before);
	if (error)
		snprintf(why, WHY_BYTES, "%s",
			 error == -ENOMEM ? "no memory for the AEAD" : service->aead_why);
	return error;
}

/* Everything that needs privileges. */
static int start_privileged(struct spw_service *service, const int fds[SPW_MAP_CNT], char *why)
{
	const struct spw_msg_setup *setup = &service->setup;

	int error = spw_link_lock(&service->link);
	if (error)
		snprintf(why, WHY_BYTES,
			 "cannot lock " SPW_HANDOVER_LOCK " beside %s: %s; does another "
			 "dataplane of the node run?",
			 service->link.path, strerror(-error));
	else
		error = spw_tables_map(&service->tables, fds, why, WHY_BYTES);
	/* The mappings stay; without the descriptors nobody can map the tables writable. */
	for (uint32_t i = 0; i < SPW_MAP_CNT; i++)
		close(fds[i]);
	/* Before DPDK: a driver that it loads may use OpenSSL, whose memory is to be ours. */
	if (!error)
		error = open_arena(service, why);
	if (error)
		return error;
	error = spw_topology_choose(&service->cpus, setup);
	if (error) {
		snprintf(why, WHY_BYTES, "cannot choose CPUs for %u workers: %s", setup->workers,
			 strerror(-error));
		return error;
	}
	error = choose_aead(service, why);
	if (!error)
		error = spw_eal_start(setup, &service->cpus, spw_ports_pool_bytes(setup), why,
				      WHY_BYTES);
	if (!error)
		error = spw_ports_open(&service->ports, setup, why, WHY_BYTES);
	for (uint32_t i = 0; i < setup->ports_cnt; i++)
		service->devices |= setup->ports[i].device[0] != '\0';
	if (error)
		return error;
	error = spw_crew_create(&service->crew, setup->workers, &service->tables, &service->ports,
				service->sas);
	if (error)
		snprintf(why, WHY_BYTES, "cannot make %u workers: %s", setup->workers,
			 strerror(-error));
	return error;
}

/* From SETUP to running workers. Returns 0, or a negative errno; control and the log know why. */
static int start(struct spw_service *service)
{
	static union spw_msg_buffer first_buffer; /* SETUP brings no key */
	char why[WHY_BYTES] = "";
	int fds[SPW_MAP_CNT];

	service->buffer = &first_buffer;
	int error = spw_service_await_setup(service, fds, why, sizeof(why));
	if (error == -EINTR)
		return error; /* asked to end before control was there */
	if (!error)
		error = start_privileged(service, fds, why);
	if (!error)
		error = spw_privileges_drop(why, sizeof(why));
	if (!error)
		error = spw_seccomp_install(service->devices, why, sizeof(why));
	if (!error) {
		/* Before they run: control takes the rows of other processes for dead. */
		spw_crew_mark(&service->crew, service->link.instance);
		error = spw_crew_start(&service->crew);
		if (error)
			snprintf(why, sizeof(why), "cannot start the workers: %s",
				 strerror(-error));
	}
	if (error)
		spw_link_send_failed(&service->link, why);
	return error;
}

int main(int argc, char **argv)
{
	static struct spw_service service;

	int code = read_options(argc, argv, &service.node);
	if (code >= 0)
		return code;
	/* Who reads the log may go, as a `tee` does at Ctrl-C: packets go on. */
	signal(SIGPIPE, SIG_IGN);
	spw_log_open();
	service.signals_fd = open_signals();
	int error = service.signals_fd < 0 ? service.signals_fd
					   : spw_link_init(&service.link, service.node);
	if (error) {
		spw_log(SPW_LOG_ERROR, "dataplane", "cannot start: %s", strerror(-error));
		return EXIT_FAILED;
	}

	error = start(&service);
	if (error)
		return error == -EINTR ? EXIT_DONE : EXIT_FAILED;
	/* Control may have gone meanwhile: then it is looked for, as at any later time. */
	if (spw_service_send_ready(&service) != 0) {
		spw_log(SPW_LOG_WARNING, "link", "control is gone already; reconnecting");
		spw_link_close(&service.link);
	}
	spw_log(SPW_LOG_INFO, "dataplane",
		"ready: %u workers, first on CPU %d, %u queues, AEAD %s (%s)",
		service.setup.workers, service.cpus.worker[0], service.ports.queues,
		spw_aead_provider(), service.aead_why);

	error = spw_service_run(&service);

	spw_crew_stop(&service.crew);
	spw_request_send_finals(service.sas, &service.link);
	spw_sa_table_destroy(service.sas); /* wipes every key */
	spw_link_close(&service.link);
	/* DPDK is left as it stands, see eal.h; exit handlers would try to take it down. */
	_exit(error ? EXIT_FAILED : EXIT_DONE);
}
