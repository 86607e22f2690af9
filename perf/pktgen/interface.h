/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interface.h - what kind of port a name means, and whether a kernel interface can be used.
 *
 * Thread: main, before EAL starts.
 */
#ifndef SPW_INTERFACE_H
#define SPW_INTERFACE_H

#include <stdint.h>

struct spw_take_all;

enum spw_port_kind { SPW_PORT_INTERFACE, SPW_PORT_PCI, SPW_PORT_VDEV };

struct spw_interface_facts {
	enum spw_port_kind kind;
	uint32_t queues; /* to receive from; 1 where it is no interface */
	uint32_t mtu_bytes;
};

/* 0, or a negative errno with a sentence: no such interface, it is down, or it is in use. */
int spw_interface_look(const char *name, struct spw_interface_facts *facts, char *why,
		       unsigned int why_bytes);

/* The XDP program that gives an interface's packets to the AF_XDP sockets on it, while it lasts: it
 * is gone with spw_interface_release, and with the process. NULL with a sentence in `why`. */
struct spw_take_all *spw_interface_take(const char *name, char *why, unsigned int why_bytes);
void spw_interface_release(struct spw_take_all *program); /* NULL is allowed */

#endif
