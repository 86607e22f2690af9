/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - the private socket to control (control/handover.h), seen from the dataplane.
 *
 * Who owns the memory: the caller. Every message is wiped from the buffer when it is done with.
 * Thread: main.
 */
#ifndef SPW_LINK_H
#define SPW_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "control/handover.h"

struct spw_link {
	char path[108];
	uint64_t instance; /* of this process, never 0 */
	int fd;            /* -1: not connected */
	int lock_fd;       /* -1: not taken; never closed after that */
	bool ready;        /* READY was said on this connection */
};

/* Room for one message. Aligned for every message of control/handover.h. */
union spw_msg_buffer {
	struct spw_msg head;
	struct spw_msg_setup setup;
	struct spw_msg_sa_add sa_add;
	struct spw_msg_sa_del sa_del;
	struct spw_msg_sa_limit sa_limit;
	struct spw_msg_sa_query sa_query;
	struct spw_msg_dummy dummy;
	uint8_t bytes[SPW_MSG_BYTES_MAX];
};

/* Names the socket of a node: $SPW_RUN_DIR (/run/spillway)/<node>/dataplane.sock, and draws the
 * instance. -ENAMETOOLONG, or the error of getrandom(2). */
int spw_link_init(struct spw_link *link, const char *node);

/* Connects, checks that the other side runs as the same user or root, and says HELLO. One attempt,
 * no waiting. -EPERM: somebody else's socket. */
int spw_link_connect(struct spw_link *link);
void spw_link_close(struct spw_link *link);

/* Takes SPW_HANDOVER_LOCK for the rest of the process's life. -EWOULDBLOCK: another dataplane has
 * the node's tables mapped. */
int spw_link_lock(struct spw_link *link);

/*
 * Takes the next message without waiting. Descriptors come with SETUP alone; fds_cnt says how many
 * are in fds (up to SPW_MAP_CNT), for the caller to close. Returns its length, 0 when the other
 * side has gone, -EAGAIN when there is none, or another negative errno.
 */
ssize_t spw_link_receive(struct spw_link *link, union spw_msg_buffer *buffer, int fds[SPW_MAP_CNT],
			 uint32_t *fds_cnt);

/* Sends one message. A control that does not read for a second counts as gone. */
int spw_link_send(struct spw_link *link, const void *msg, size_t bytes);

/* FAILED with a sentence, which is logged as well. */
void spw_link_send_failed(struct spw_link *link, const char *text);

/* Whether a SETUP makes sense for `node`; false: a sentence in `why`. */
bool spw_setup_valid(const struct spw_msg_setup *setup, size_t bytes, const char *node, char *why,
		     unsigned int why_bytes);

#endif
