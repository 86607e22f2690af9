/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - control's side of the private socket to the dataplane (control/handover.h).
 *
 * Listens on run_dir/dataplane.sock (mode 0600) and serves one dataplane at a time, whose user must
 * be ours or root. What comes from it is checked like foreign input: a message that is not what it
 * should be ends the connection, never control. Requests are sent in order, at most
 * SPW_LINK_WINDOW of them before their ACKs. The dataplane counts as gone when its process has
 * ended, not when the connection has: until then its SAs stand.
 *
 * Who owns the memory: struct spw_link belongs to the SA manager until spw_link_destroy. Messages
 * that wait lie in cells of the locked mapping and are wiped as soon as the kernel has them.
 * Control's thread only.
 */
#ifndef SPW_SA_LINK_H
#define SPW_SA_LINK_H

#include "control/daemon/node.h"
#include "control/daemon/sa/keys.h"
#include "control/handover.h"

#define SPW_LINK_WINDOW 64u

/* What the link tells its user; `arg` is the one of spw_link_create. */
struct spw_link_ops {
	/* A dataplane has come: make sure that it may have SAs. A negative errno turns it away. */
	int (*hello)(void *arg, uint64_t instance);
	void (*ready)(void *arg); /* requests are taken from now on */
	void (*lost)(void *arg);  /* they are not; all that waited were answered -ECONNRESET */
	void (*gone)(void *arg);  /* the process has ended, its SAs with it */
	void (*glean)(void *arg, uint32_t port, const struct spw_endpoint *host);
	void (*low)(void *arg); /* the reserve of some inbound SA is nearly used up */
	/* Of inbound SAs of sessions; `slot` is that of `spi`. The SA may be one that control has
	 * already asked to remove. */
	void (*heard)(void *arg, uint32_t slot, uint32_t spi);
	void (*roamed)(void *arg, uint32_t slot, uint32_t spi, uint32_t tunnel,
		       const struct spw_endpoint *source);
	void (*final)(void *arg, uint32_t direction, uint32_t slot, uint64_t sequence);
};

/* Called exactly once for each request that was taken, never from within spw_link_request. error:
 * the dataplane's, or -ECONNRESET, or -ETIMEDOUT. */
typedef void (*spw_link_answer)(void *arg, int error, uint64_t value);

int spw_link_create(struct spw_node *node, struct spw_keys *keys, const struct spw_link_ops *ops,
		    void *arg, struct spw_link **out, struct spw_error *error);
void spw_link_destroy(struct spw_link *link); /* no answer is called any more; NULL is allowed */

bool spw_link_ready(const struct spw_link *link);

/* Takes a copy of `msg` (its head.type is set; head.request_id is filled in). The caller wipes its
 * own. -ENOTCONN: no dataplane is ready; -ENOBUFS: too many wait, try again later. */
int spw_link_request(struct spw_link *link, const void *msg, size_t bytes, spw_link_answer answer,
		     void *arg);

#endif
