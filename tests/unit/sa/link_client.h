/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_client.h - the server of the private socket in a world of its own (world.h), and a client
 * that the test drives message by message.
 *
 * Who owns the memory: the variables below, for one test at a time. One thread.
 */
#ifndef TEST_SA_LINK_CLIENT_H
#define TEST_SA_LINK_CLIENT_H

#include "control/daemon/sa/link.h"
#include "tests/unit/sa/world.h"

#define INSTANCE 77u

extern struct event_base *loop;
extern struct world world;
extern struct spw_keys *keys;
extern struct spw_link *link_up;

/* What the link has told its user. */
struct client_seen {
	uint32_t hellos, readies, losts, gones, gleans, lows, finals, heards, roameds;
	struct spw_endpoint source; /* of the last ROAMED */
	int refuse_hello;
	uint32_t answers;
	int last_error;
	uint64_t last_value;
};
extern struct client_seen seen;

int client_setup(void **state); /* cmocka fixtures */
int client_teardown(void **state);

int client_connect(void);
int client_ready(void); /* a connection after HELLO, SETUP and READY */
void client_say(int fd, const void *msg, size_t bytes);
bool client_closed(int fd); /* by the server; discards what waits to be read */
struct spw_msg_hello client_hello(void);
struct spw_msg_ready client_ready_msg(void);
/* Receives SETUP; returns how many descriptors came with it, all closed. -1: it was not SETUP. */
int client_receive_setup(int fd, struct spw_msg_setup *setup);

/* A spw_link_answer that writes itself down in `seen`. */
void client_answer(void *arg, int error, uint64_t value);

#endif
