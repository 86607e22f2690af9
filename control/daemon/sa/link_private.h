/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_private.h - the link's inside, shared by link.c (connections) and link_messages.c (what is
 * said on them). Nobody else includes it. Control's thread only.
 */
#ifndef SPW_SA_LINK_PRIVATE_H
#define SPW_SA_LINK_PRIVATE_H

#include "control/daemon/log.h"
#include "control/daemon/sa/link.h"
#include "control/daemon/sa/sas.h"

enum spw_link_state {
	SPW_LINK_NONE,
	SPW_LINK_CONNECTED, /* HELLO is due */
	SPW_LINK_GREETED,   /* SETUP is sent, READY is due */
	SPW_LINK_READY,
};

struct spw_link_request {
	struct spw_link_request *next;
	spw_link_answer answer;
	void *arg;
	void *msg; /* a cell of the locked mapping; NULL: sent */
	size_t bytes;
	uint32_t id;
};

struct spw_link {
	struct spw_node *node;
	struct spw_keys *keys;
	const struct spw_link_ops *ops;
	void *arg;

	int listener, fd;
	struct event *acceptable, *readable, *writable, *timer;
	enum spw_link_state state;

	/* The process behind it; stays known while it lives, also without a connection. */
	pid_t pid;
	int pidfd;
	struct event *ended;
	uint64_t instance; /* from its HELLO */
	struct spw_log_pause turned_away;
	char aead[16], aead_why[160]; /* as in its READY */
	int32_t cpus[SPW_WORKERS_MAX];

	/* Requests, in order: waiting to be sent, then flying until their ACK. */
	struct spw_link_request *waiting, **waiting_end;
	struct spw_link_request *flying, **flying_end;
	uint32_t flying_cnt;
	uint32_t last_id;

	uint8_t buffer[SPW_MSG_BYTES_MAX + 1]; /* one more, so that what is too long shows */
};

/* link.c */
void spw_link_drop(struct spw_link *link);
void spw_link_protocol_error(struct spw_link *link, const char *what);
void spw_link_await(struct spw_link *link, unsigned int seconds);
void spw_link_greeted(struct spw_link *link, uint64_t instance);

/* link_messages.c */
void spw_link_read(struct spw_link *link, uint32_t messages_max);
void spw_link_write(struct spw_link *link);
void spw_link_answer_all(struct spw_link *link, int error);
void spw_link_forget_all(struct spw_link *link); /* without an answer */

#endif
