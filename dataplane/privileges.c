/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/privileges.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_alarm.h>
#include <rte_launch.h>
#include <rte_lcore.h>

/* DPDK's interrupt thread has nothing to do; it answers within microseconds. */
#define INTERRUPT_THREAD_WAIT_MS 1000

/* Drops the calling thread's capabilities. libcap-ng keeps its state per thread. */
static int drop_own(void *unused)
{
	(void)unused;
	capng_get_caps_process();
	/* Without CAP_SETPCAP the bounding set stays; no_new_privs makes it meaningless. */
	bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(bounding ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS) == 0 ? 0 : -EPERM;
}

/* The interrupt thread runs alarms, which is the way to have it drop its own. */
static void drop_interrupt_thread(void *done)
{
	__atomic_store_n((int *)done, drop_own(NULL) == 0 ? 1 : -1, __ATOMIC_RELEASE);
}

static int drop_all_threads(void)
{
	static int interrupt_done; /* static: the alarm may come after the wait has ended */
	const struct timespec pause = {.tv_nsec = 1000000};
	unsigned int lcore;

	int error = rte_eal_alarm_set(1, drop_interrupt_thread, &interrupt_done);
	if (error)
		return error;
	for (int ms = 0; ms < INTERRUPT_THREAD_WAIT_MS; ms++) {
		if (__atomic_load_n(&interrupt_done, __ATOMIC_ACQUIRE))
			break;
		nanosleep(&pause, NULL);
	}
	error = rte_eal_mp_remote_launch(drop_own, NULL, SKIP_MAIN);
	if (error)
		return error;
	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		if (rte_eal_wait_lcore(lcore) != 0)
			return -EPERM;
	}
	return drop_own(NULL);
}

/* Whether a thread's status shows a capability left (inheritable, permitted, effective, ambient),
 * or cannot be read. */
static bool thread_has_any(const char *thread)
{
	char path[300], line[256];
	bool any = false;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", thread);
	FILE *file = fopen(path, "re");
	if (!file)
		return true;
	while (fgets(line, sizeof(line), file)) {
		unsigned long long set;
		if (sscanf(line, "Cap%*[IPEAnhrmfb]: %llx", &set) == 1 && set)
			any = true;
	}
	fclose(file);
	return any;
}

static int check_all_threads(char *why, unsigned int why_bytes)
{
	DIR *folder = opendir("/proc/self/task");
	const struct dirent *entry;
	int error = 0;

	if (!folder) {
		snprintf(why, why_bytes, "cannot look at the own threads in /proc: %s",
			 strerror(errno));
		return -errno;
	}
	while ((entry = readdir(folder)) && !error) {
		if (entry->d_name[0] != '.' && thread_has_any(entry->d_name)) {
			snprintf(why, why_bytes, "thread %s keeps a capability", entry->d_name);
			error = -EPERM;
		}
	}
	closedir(folder);
	return error;
}

int spw_privileges_drop(char *why, unsigned int why_bytes)
{
	int error = drop_all_threads();
	if (error) {
		snprintf(why, why_bytes, "cannot drop the capabilities: %s", strerror(-error));
		return error;
	}
	error = check_all_threads(why, why_bytes);
	if (error)
		return error;
	/* The seccomp filter gives no_new_privs to the other threads as well. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
		snprintf(why, why_bytes, "prctl: %s", strerror(errno));
		return -errno;
	}
	return 0;
}
