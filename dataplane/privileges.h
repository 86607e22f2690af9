/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privileges.h - how the process gives up what it needed to start.
 *
 * Thread: main, once, when DPDK's threads run but no worker does.
 */
#ifndef SPW_PRIVILEGES_H
#define SPW_PRIVILEGES_H

#include <stdbool.h>

/*
 * Drops every capability of every thread (they are a thread's own), forbids getting any again
 * (no_new_privs), keeps the process out of core dumps and debuggers, and looks whether it is so.
 * Returns 0, or a negative errno with a sentence in `why`.
 */
int spw_privileges_drop(char *why, unsigned int why_bytes);

/* seccomp.c: from now on, on all threads, only the system calls that running needs. devices: some
 * ports are. */
int spw_seccomp_install(bool devices, char *why, unsigned int why_bytes);

#endif
