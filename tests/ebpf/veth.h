/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * veth.h - a private network namespace with veth pairs, and real XSKs on them.
 *
 * Everything disappears with the process. The process's main thread only.
 */
#ifndef SPW_TEST_VETH_H
#define SPW_TEST_VETH_H

#include <stdint.h>

/* Moves the process into a new network namespace. 0 or a negative errno. */
int test_netns_enter(void);

/* Creates and raises the pair <name>, <name>p; `name` has the address FRAME_MAC. There are no
 * IPv6 addresses, so that the kernel sends nothing by itself. 0, or -1. */
int test_veth_create(const char *name, unsigned int queues);
int test_veth_delete(const char *name);

/* An AF_XDP socket in copy mode, bound to a receive queue, with a few buffers to receive into.
 * Its descriptor, or a negative errno. Closing it frees all but its buffers. */
int test_xsk_open(const char *ifname, uint32_t queue);

#endif
