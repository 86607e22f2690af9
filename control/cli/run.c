/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - `spillway run`: starts control, then the dataplane, and keeps both running.
 *
 * The children are in process groups of their own, so that Ctrl-C reaches this process alone and
 * the order of stopping is ours: dataplane, control, then `spillway-control --remove`. They ask the
 * kernel for a SIGTERM when this process dies. One thread, one poll loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/cli/client.h"
#include "control/cli/command.h"
#include "control/cli/error.h"
#include "control/clock.h"

#define MS_NS 1000000ull
#define BACKOFF_FIRST_NS (100 * MS_NS)
#define BACKOFF_MAX_NS (5000 * MS_NS)
#define QUICK_NS (1000 * MS_NS) /* who lives shorter has failed at its start */
#define QUICK_FAILURES_MAX 5
#define STOP_WAIT_NS (5000 * MS_NS)

struct child {
	const char *label, *binary;
	const char *arguments[6];
	pid_t pid; /* 0: not running */
	uint64_t started_ns, start_at_ns, backoff_ns;
	unsigned quick_failures;
};

struct supervisor {
	bool json;
	const char *config;
	char node[32];
	int signals; /* signalfd: SIGINT, SIGTERM, SIGHUP, SIGCHLD */
	sigset_t signals_before;
	bool stop; /* a person or the system asked for it */
	bool failed;
	struct child control, dataplane;
};

/* One line to an event; with --json one object, for whoever supervises the supervisor. */
__attribute__((format(printf, 4, 5))) static void say(const struct supervisor *s, const char *event,
						      const struct child *child, const char *format,
						      ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (s->json) {
		json_t *line = json_pack("{s:s, s:s?, s:i, s:s}", "event", event, "process",
					 child ? child->label : NULL, "pid", child ? child->pid : 0,
					 "text", text);
		json_dumpf(line, stdout, JSON_COMPACT);
		json_decref(line);
		putchar('\n');
	} else {
		printf("spillway: %s\n", text);
	}
	fflush(stdout);
}

/* ---- starting ----------------------------------------------------------------------------- */

/* The sibling programs: installed beside this one, or where the build leaves them. */
static void binary_exec(const char *binary, char *const *argv)
{
	static const char *const places[] = {"", "../sbin/", "../daemon/", "../../dataplane/"};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length > 0) {
		self[length] = '\0';
		char *slash = strrchr(self, '/');
		slash[1] = '\0';
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			snprintf(path, sizeof(path), "%s%s%s", self, places[i], binary);
			execv(path, argv);
		}
	}
	execvp(binary, argv);
}

static void child_become(const struct supervisor *s, const struct child *child, pid_t parent,
			 int ready_fd)
{
	const char *argv[8] = {child->binary};
	char number[16];

	for (size_t i = 0; child->arguments[i]; i++)
		argv[i + 1] = child->arguments[i];
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) /* it died before the line above */
		_exit(1);
	sigprocmask(SIG_SETMASK, &s->signals_before, NULL);
	if (ready_fd >= 0) {
		fcntl(ready_fd, F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", ready_fd);
		setenv("SPW_READY_FD", number, 1);
	} else {
		unsetenv("SPW_READY_FD");
	}
	binary_exec(child->binary, (char *const *)argv);
	fprintf(stderr,
		"spillway: cannot start %s: %m; it belongs beside this program or into "
		"the PATH\n",
		child->binary);
	_exit(127);
}

static int child_start(struct supervisor *s, struct child *child, int ready_fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_become(s, child, parent, ready_fd);
	child->pid = pid;
	child->started_ns = spw_now_ns();
	child->start_at_ns = 0;
	return 0;
}

/* ---- what happens to them ----------------------------------------------------------------- */

static const char *status_format(int status, char *text, size_t text_bytes)
{
	if (WIFSIGNALED(status))
		snprintf(text, text_bytes, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, text_bytes, "exited with status %d", WEXITSTATUS(status));
	return text;
}

/* A child has ended that nobody told to: plans its next start, or gives up. */
static void child_died(struct supervisor *s, struct child *child, int status)
{
	char how[96];
	uint64_t now = spw_now_ns();
	bool quick = now - child->started_ns < QUICK_NS;

	child->quick_failures = quick ? child->quick_failures + 1 : 0;
	if (!quick || child->backoff_ns == 0)
		child->backoff_ns = BACKOFF_FIRST_NS;
	else if ((child->backoff_ns *= 2) > BACKOFF_MAX_NS)
		child->backoff_ns = BACKOFF_MAX_NS;
	status_format(status, how, sizeof(how));
	if (child->quick_failures >= QUICK_FAILURES_MAX) {
		say(s, "gave up", child,
		    "%s %s, %u times in a row within a second of its start: giving up; the lines "
		    "above say why",
		    child->label, how, child->quick_failures);
		s->failed = true;
	} else {
		say(s, "died", child, "%s (pid %d) %s; starting it again in %llu ms", child->label,
		    child->pid, how, (unsigned long long)(child->backoff_ns / MS_NS));
		child->start_at_ns = now + child->backoff_ns;
	}
	child->pid = 0;
}

static void children_reap(struct supervisor *s)
{
	struct child *children[] = {&s->control, &s->dataplane};
	int status;

	for (size_t i = 0; i < 2; i++)
		if (children[i]->pid > 0 &&
		    waitpid(children[i]->pid, &status, WNOHANG) == children[i]->pid)
			child_died(s, children[i], status);
}

/* Waits until timeout_ns has passed (UINT64_MAX: for ever), a signal came, or extra_fd became
 * readable, which it returns. SIGCHLD only wakes. */
static bool signals_wait(struct supervisor *s, uint64_t timeout_ns, int extra_fd)
{
	struct pollfd fds[2] = {{.fd = s->signals, .events = POLLIN},
				{.fd = extra_fd, .events = POLLIN}};
	int timeout_ms = timeout_ns == UINT64_MAX ? -1 : (int)((timeout_ns + MS_NS - 1) / MS_NS);
	struct signalfd_siginfo signal;

	if (poll(fds, 2, timeout_ms) < 0)
		return false;
	if (fds[0].revents & POLLIN)
		while (read(s->signals, &signal, sizeof(signal)) == sizeof(signal))
			if (signal.ssi_signo != SIGCHLD)
				s->stop = true;
	return fds[1].revents != 0;
}

/* ---- the life of a node ------------------------------------------------------------------- */

/* The node's name is control's to read; it is the node whose socket our child listens on. */
static int node_find(struct supervisor *s)
{
	struct spw_running nodes[SPW_NODES_MAX];
	int cnt = spw_nodes_find(nodes, SPW_NODES_MAX);

	for (int i = 0; i < cnt; i++) {
		if (nodes[i].pid != s->control.pid)
			continue;
		memcpy(s->node, nodes[i].name, sizeof(s->node));
		return 0;
	}
	return -ENOENT;
}

/* Returns 0 when control is ready; it has said on stderr what was wrong otherwise. */
static int control_first_start(struct supervisor *s)
{
	int ready[2], status;
	char byte, how[96];

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	int failure = child_start(s, &s->control, ready[1]);
	close(ready[1]);
	if (!failure)
		while (!s->stop && !signals_wait(s, UINT64_MAX, ready[0]))
			;
	bool is_ready = !failure && !s->stop && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (failure || is_ready || s->stop)
		return failure;

	if (waitpid(s->control.pid, &status, 0) == s->control.pid)
		say(s, "failed", &s->control, "control %s; nothing was started",
		    status_format(status, how, sizeof(how)));
	s->control.pid = 0;
	return -ECHILD;
}

static void children_watch(struct supervisor *s)
{
	struct child *children[] = {&s->control, &s->dataplane};

	while (!s->stop && !s->failed) {
		uint64_t wait_ns = UINT64_MAX, now = spw_now_ns();
		for (size_t i = 0; i < 2; i++) {
			struct child *child = children[i];
			if (child->pid > 0)
				continue;
			if (child->start_at_ns <= now && child_start(s, child, -1) == 0) {
				say(s, "started", child, "%s started again, pid %d", child->label,
				    child->pid);
				continue;
			}
			uint64_t left = child->start_at_ns > now ? child->start_at_ns - now
								 : BACKOFF_FIRST_NS;
			wait_ns = left < wait_ns ? left : wait_ns;
		}
		signals_wait(s, wait_ns, -1);
		children_reap(s);
	}
}

static void child_stop(struct supervisor *s, struct child *child)
{
	uint64_t deadline_ns = spw_now_ns() + STOP_WAIT_NS;
	int status;

	if (child->pid <= 0)
		return;
	kill(child->pid, SIGTERM);
	while (waitpid(child->pid, &status, WNOHANG) == 0) {
		uint64_t now = spw_now_ns();
		if (now >= deadline_ns) {
			say(s, "killed", child, "%s (pid %d) did not stop within 5 s: killing it",
			    child->label, child->pid);
			kill(child->pid, SIGKILL);
			waitpid(child->pid, &status, 0);
			break;
		}
		signals_wait(s, deadline_ns - now, -1);
	}
	child->pid = 0;
	say(s, "stopped", child, "%s stopped", child->label);
}

static void node_remove(struct supervisor *s)
{
	struct child remove = {.label = "removal",
			       .binary = "spillway-control",
			       .arguments = {"--config", s->config, "--remove"}};
	int status = 0;

	if (child_start(s, &remove, -1) == 0 && waitpid(remove.pid, &status, 0) == remove.pid &&
	    status == 0) {
		say(s, "removed", NULL, "tables and XDP programs removed");
		return;
	}
	say(s, "failed", NULL,
	    "the node's tables may still be there: spillway-control --config %s "
	    "--remove",
	    s->config);
	s->failed = true;
}

static int node_live(struct supervisor *s)
{
	int failure = control_first_start(s);
	if (failure)
		return failure;
	if (!s->stop) {
		failure = node_find(s);
		if (failure)
			say(s, "failed", &s->control,
			    "control is ready, but its socket is not "
			    "found: is SPW_RUN_DIR the same for all?");
	}
	if (!failure && !s->stop) {
		say(s, "ready", &s->control, "node %s: control ready, pid %d", s->node,
		    s->control.pid);
		failure = child_start(s, &s->dataplane, -1);
	}
	if (!failure && !s->stop) {
		say(s, "started", &s->dataplane, "node %s: dataplane started, pid %d", s->node,
		    s->dataplane.pid);
		children_watch(s);
	}
	child_stop(s, &s->dataplane);
	child_stop(s, &s->control);
	node_remove(s);
	return failure;
}

int spw_supervise_run(const struct spw_cli *cli, const struct spw_command *command,
		      const json_t *params, json_t **error)
{
	struct supervisor s = {
		.json = cli->json,
		.config = json_string_value(json_object_get(params, "config")),
	};
	sigset_t signals;

	(void)command;
	s.control = (struct child){.label = "control",
				   .binary = "spillway-control",
				   .arguments = {"--config", s.config}};
	s.dataplane = (struct child){.label = "dataplane",
				     .binary = "spillway-dataplane",
				     .arguments = {"--node", s.node}};
	/* Who reads our lines (`| tee`) ends with the same Ctrl-C; the node is to be removed all
	 * the same. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &s.signals_before);
	s.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0) {
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "signalfd: %m");
		return SPW_EXIT_FAILED;
	}
	int failure = node_live(&s);
	close(s.signals);
	return failure || s.failed ? SPW_EXIT_FAILED : SPW_EXIT_DONE;
}
