/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seccomp.c - the system calls that a running dataplane makes, and why.
 *
 * All others fail with EPERM, bpf(2) first among them: the tables that are mapped read-only stay
 * so. They fail and do not kill: a library that tries something in a corner that no test has seen
 * shall not stop other people's traffic, and for whoever has taken the process over a call that
 * fails is as closed a door. A call of another architecture's numbering kills.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "dataplane/privileges.h"

static const int allowed[] = {
	/* Packets: the PMD kicks the transmit ring and waits for the fill ring; idle workers
	 * block. */
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* Wake-ups between workers and main (eventfd), signals (signalfd), the log (stderr),
	 * DPDK's pipes. */
	SCMP_SYS(read),
	SCMP_SYS(write),
	/* The private socket; a new one after control has gone (socket: AF_UNIX alone, below). */
	SCMP_SYS(connect),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockopt),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(close),
	/* Time, where the vDSO cannot tell it; waiting for a grace period and for control. */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(restart_syscall),
	/* Locks of the log and the arena; DPDK's interrupt thread. */
	SCMP_SYS(futex),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(sched_yield),
	/* malloc of the main thread (mmap and mprotect without PROT_EXEC, below). */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* Ending: exit, abort, a signal's return. */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
#ifdef __SANITIZE_ADDRESS__
	/* A sanitizer's report: symbols, its own stack, the memory map. */
	SCMP_SYS(openat),
	SCMP_SYS(readlink),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstat),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getrusage),
	SCMP_SYS(ioctl),
	SCMP_SYS(prctl),
	SCMP_SYS(access),
	SCMP_SYS(getuid),
	SCMP_SYS(getcwd),
#endif
};

/* With ports that are devices. */
static const int device_allowed[] = {
	/* net_tap, as a device: its queues. */
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	/* DPDK's interrupt thread: a device's link, net_memif's peers as they come and go. */
	SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(accept),
	SCMP_SYS(eventfd2),
	SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fcntl),
	SCMP_SYS(unlink),
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t cnt)
{
	int error = 0;

	for (size_t i = 0; i < cnt && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return error;
}

static int add_rules(scmp_filter_ctx filter, bool devices)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads */

	if (!error)
		error = allow_all(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (!error && devices)
		error = allow_all(filter, device_allowed,
				  sizeof(device_allowed) / sizeof(device_allowed[0]));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					 SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
					 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
					 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return error;
}

int spw_seccomp_install(bool devices, char *why, unsigned int why_bytes)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter) {
		snprintf(why, why_bytes, "no memory for the seccomp filter");
		return -ENOMEM;
	}
	int error = add_rules(filter, devices);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	if (error)
		snprintf(why, why_bytes,
			 "cannot install the seccomp filter: %s; does the kernel "
			 "have CONFIG_SECCOMP_FILTER?",
			 strerror(-error));
	return error;
}
