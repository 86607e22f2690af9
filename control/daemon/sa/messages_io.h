/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * messages_io.h - the kernel's UDP sockets on the tunnels' port, over which the messages between
 * two controls travel: announces (announce.h) and handshakes (noise/wire.h). The classifier passes
 * nothing to them but messages with a zero SPI.
 *
 * Who owns the memory: the caller, until spw_messages_io_close. Control's thread only.
 */
#ifndef SPW_SA_MESSAGES_IO_H
#define SPW_SA_MESSAGES_IO_H

#include "control/daemon/node.h"

/* The longest message that is received whole; a longer one is none of ours. */
#define SPW_MESSAGE_BYTES_MAX 256u

struct spw_message {
	const void *data;
	size_t bytes;
	struct spw_endpoint from; /* its source */
	struct spw_endpoint to;   /* the address of ours that it was sent to; port 0 */
};

struct spw_messages_io;

typedef void (*spw_message_receive)(void *arg, const struct spw_message *message);

/* Binds node->listen_port for IPv4 and, where the kernel has it, IPv6. */
int spw_messages_io_open(struct spw_node *node, spw_message_receive receive, void *arg,
			 struct spw_messages_io **out, struct spw_error *error);
void spw_messages_io_close(struct spw_messages_io *io); /* NULL is allowed */

/* from: the source address (its port is the socket's). A negative errno where the kernel refused;
 * whoever sends must live with a lost message anyway. */
int spw_messages_io_send(struct spw_messages_io *io, const struct spw_endpoint *from,
			 const struct spw_endpoint *to, const void *data, size_t bytes);

#endif
