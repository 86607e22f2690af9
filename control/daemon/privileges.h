/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privileges.h - what control may still do once everything is set up.
 *
 * Called once by main, after tables, sockets, key memory and the classifier stand.
 */
#ifndef SPW_PRIVILEGES_H
#define SPW_PRIVILEGES_H

/* Keeps CAP_BPF (the classifier's counters are read by bpf(2)), CAP_NET_ADMIN (managed neighbours)
 * and CAP_NET_BIND_SERVICE (relays on ports below 1024), drops all other capabilities from every
 * set of this thread for good (the helper of tables/grace.c, the only other one, has given up its
 * own), and keeps the process out of core dumps and away from ptrace. From then on key files must
 * be readable as their owner: no CAP_DAC_OVERRIDE. 0 or a negative errno. */
int spw_privileges_drop(void);

#endif
