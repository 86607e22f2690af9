/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * announce_io.h - the kernel's UDP sockets on the tunnels' port, over which announces travel. The
 * classifier passes nothing to them but messages with a zero SPI.
 *
 * Who owns the memory: the caller, until spw_announce_io_close. Control's thread only.
 */
#ifndef SPW_SA_ANNOUNCE_IO_H
#define SPW_SA_ANNOUNCE_IO_H

#include "control/daemon/node.h"
#include "control/daemon/sa/announce.h"

struct spw_announce_io;

typedef void (*spw_announce_receive)(void *arg, const void *data, size_t bytes);

/* Binds node->listen_port for IPv4 and, where the kernel has it, IPv6. */
int spw_announce_io_open(struct spw_node *node, spw_announce_receive receive, void *arg,
			 struct spw_announce_io **out, struct spw_error *error);
void spw_announce_io_close(struct spw_announce_io *io); /* NULL is allowed */

/* from: the source address (its port is the socket's). A negative errno where the kernel refused;
 * announces are sent again anyway. */
int spw_announce_io_send(struct spw_announce_io *io, const struct spw_endpoint *from,
			 const struct spw_endpoint *to, const struct spw_announce_wire *wire);

#endif
