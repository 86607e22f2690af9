/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.h - a node for tests of the SA manager: tables in plain memory, real grace periods and slot
 * pools, doubles for what publishes and what asks the kernel, and a dataplane that is a process of
 * its own, answers as the real one does, and writes down what it was asked.
 *
 * Who owns the memory: struct world is the test's. One thread.
 */
#ifndef TEST_SA_WORLD_H
#define TEST_SA_WORLD_H

#include <sys/types.h>

#include "control/daemon/node.h"
#include "control/daemon/sa/sas.h"
#include "control/handover.h"

#define WORLD_SAS_MAX 256u
#define WORLD_TUNNELS_MAX 8u
#define FAKE_LOG_MAX 512u

/* Shared between the test and its dataplane. */
struct fake {
	uint64_t instance;
	uint32_t adds_cnt, dels_cnt, limits_cnt, dummies_cnt;
	struct spw_msg_sa_add adds[FAKE_LOG_MAX]; /* that were accepted */
	struct spw_msg_sa_del dels[FAKE_LOG_MAX];
	struct spw_msg_sa_limit limits[FAKE_LOG_MAX];
	struct spw_msg_dummy dummies[FAKE_LOG_MAX];
	uint8_t taken[2][WORLD_SAS_MAX]; /* by direction and slot */
	uint64_t limit[2][WORLD_SAS_MAX];
	uint64_t query[2];   /* what SA_QUERY and SA_FINAL say, by direction */
	int32_t refuse_adds; /* an error for every SA_ADD */
	uint32_t connections;
	/* What world_dataplane_says has it say, in order, and how many of them it has said. */
	struct spw_msg_roamed says[FAKE_LOG_MAX];
	uint32_t says_bytes[FAKE_LOG_MAX];
	uint32_t says_cnt, said_cnt;
};

struct world {
	struct spw_node node;
	struct spw_slots slots[6];
	char dir[64];
	struct fake *fake;
	pid_t dataplane;
	int publish_error; /* what spw_tunnel_publish returns */
	uint32_t gleans;
	int lives; /* addresses of live tunnels that the classifier knows */
};

/* The loop is shared by all worlds of a test. The node listens on a free port of its own. */
void world_open(struct world *world, struct event_base *loop, const char *name, uint32_t workers);
void world_close(struct world *world);

/* Control's life and death; the tables, the folder and the dataplane stay. */
void world_control_start(struct world *world);
void world_control_stop(struct world *world);

void world_dataplane_start(struct world *world); /* a new process */
void world_dataplane_kill(struct world *world);  /* SIGKILL */
void world_dataplane_stop(struct world *world);  /* SIGTERM: it says SA_FINAL and ends */

/* Has it say a message as long as a ROAMED at most; within some 20 ms. */
void world_dataplane_says(struct world *world, const void *msg, size_t bytes);

/* A tunnel object as model.c makes it. */
struct spw_tunnel_obj *world_tunnel(struct world *world, uint32_t id, const char *name,
				    uint16_t remote_port);
void world_tunnel_free(struct world *world, struct spw_tunnel_obj *tunnel);
void world_publish(struct world *world, struct spw_tunnel_obj *tunnel); /* its first record */

/* Writes <dir>/<name>, mode 0600, and returns its path, which stays valid. */
const char *world_file(struct world *world, const char *name, const char *text);

/* Runs the loop until the condition holds (true) or `ms` are over (false). */
bool world_until(struct event_base *loop, bool (*condition)(void *arg), void *arg, int ms);
void world_run(struct event_base *loop, int ms);

/* "state" of spw_sas_describe. */
bool world_state_is(struct world *world, const struct spw_tunnel_obj *tunnel, const char *state);

/* The last SA that was made in a slot; NULL: none ever was. */
const struct spw_msg_sa_add *world_made(const struct world *world, uint32_t direction,
					uint32_t slot);
/* Whether each worker of `from` sends with an SA whose twin, the same but for its direction, stands
 * in the tables and the dataplane of `to`. */
bool world_sends_to(const struct world *from, const struct spw_tunnel_obj *tunnel,
		    const struct world *to, uint32_t to_tunnel);
/* No key was ever used for two outbound SAs, nor for both directions of a node. */
void world_check_keys(const struct world *a, const struct world *b);

#endif
