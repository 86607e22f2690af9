/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relays.h - blind relays inside control: UDP ports of the node, each of which joins two endpoints.
 *
 * What comes from one endpoint goes to the other, whatever the protocol inside; there is no key and
 * no tenant. The classifier and the workers carry the packets, by the record (ebpf/tables.h).
 *
 *   relays.c  the objects, by name, id and port
 *   record.c  what packets see of them
 *   learn.c   endpoints that are not configured: the first source that sends while armed
 * The ops that add, delete and limit a relay stand in txn_relays.c, the ways to its endpoints in
 * net/nexthop.c.
 *
 * Who owns the memory: an object belongs to node->relays, or, once hidden, to the transaction that
 * deletes it, until spw_relay_free. Control's thread only.
 */
#ifndef SPW_RELAYS_H
#define SPW_RELAYS_H

#include "control/daemon/node.h"

/* One endpoint, and the way to it. */
struct spw_relay_end {
	bool any;                   /* as configured: whoever sends first while armed */
	struct spw_endpoint remote; /* configured or pinned, with its port; family 0: not known */
	struct spw_endpoint local;  /* of a pinned one the address that it sent to; else family 0 */

	/* net/nexthop.c keeps these up to date; whoever changes one calls spw_relay_publish. */
	struct spw_endpoint source; /* what goes there leaves from here; family 0: no route */
	struct spw_nexthop *nexthop;
};

struct spw_relay_obj {
	char name[SPW_NAME_BYTES];
	uint32_t id;        /* row in relay_states */
	uint32_t slot;      /* slot of the live record, 0: not published */
	uint32_t next_slot; /* taken by the open transaction for the next record, or 0 */
	uint16_t port;
	uint8_t family; /* of both endpoints */
	bool dying;     /* deleted by the open transaction */
	struct spw_relay_limits limits;
	struct spw_relay_end ends[2];
	int port_fd; /* keeps the port from other programs of the host, -1: it does not */

	uint64_t armed_until_ms; /* CLOCK_MONOTONIC; 0: not armed */
	bool refused;            /* a source was refused, and logged, since it was armed */
};

/* ---- relays.c ---- */

struct spw_relay_obj *spw_relay_find(struct spw_node *node, const char *name); /* or NULL */
struct spw_relay_obj *spw_relay_at_port(struct spw_node *node, uint16_t port); /* or NULL */

/* A new relay with neither slot nor next hops. id 0: the lowest free one, else (at a restart) that
 * very id. NULL with errno set: ENOSPC no id is left, EEXIST the id is taken, ENOMEM. */
struct spw_relay_obj *spw_relay_new(struct spw_node *node, const struct spw_relay_spec *spec,
				    uint32_t id);
/* Out of node->relays and back in: nobody finds a hidden one; its id stays taken. */
void spw_relay_hide(struct spw_node *node, struct spw_relay_obj *relay);
void spw_relay_unhide(struct spw_node *node, struct spw_relay_obj *relay);
/* Of a hidden relay: lets go of its port and frees it; the id is the caller's to give back. */
void spw_relay_free(struct spw_relay_obj *relay);
void spw_relays_close(struct spw_node *node); /* all of them; net must be gone */

/* What the relay was made from, as config.yaml would say it now. */
struct spw_relay_spec spw_relay_describe(const struct spw_relay_obj *relay);

/* ---- record.c ---- */

/* Builds the record in a slot that the caller has taken from node->relay_slots, and publishes it.
 * Cannot fail; the slot of the former record is the caller's again. */
void spw_relay_publish_at(struct spw_node *node, struct spw_relay_obj *relay, uint32_t slot);

/* Publishes the relay as it is now, where that is not what stands there, and gives the old slot to
 * a grace period. 0, also for one that is not published yet; -ENOSPC: no slot or no room in the
 * limbo, the old record stays. */
int spw_relay_publish(struct spw_node *node, struct spw_relay_obj *relay);

/* Takes the record away from packets, unless another relay has the port by now. Its slot and id may
 * be used again after a grace period. */
void spw_relay_withdraw(struct spw_node *node, struct spw_relay_obj *relay);

/* Sets to->ip_delta_be and to->udp_delta_be for packets that came from `from`. */
void spw_relay_deltas(const struct spw_relay_side *from, struct spw_relay_side *to, uint8_t family);

/* ---- learn.c ---- */

#define SPW_RELAY_ARM_SECONDS_MAX 600u
#define SPW_RELAY_ARM_SECONDS_DEFAULT 60u

/* Opens the `any` endpoint for 1..SPW_RELAY_ARM_SECONDS_MAX seconds; one that was pinned is
 * forgotten. -EINVAL: both endpoints are configured; -EBUSY: try again. */
int spw_relay_arm(struct spw_node *node, struct spw_relay_obj *relay, uint32_t seconds,
		  struct spw_error *error);
void spw_relay_disarm(struct spw_node *node, struct spw_relay_obj *relay);
uint32_t spw_relay_armed_seconds(const struct spw_relay_obj *relay); /* left, rounded up */

/* Pins who came, and ends what is over. The timer calls it, every 20 ms while one is armed. */
void spw_relays_poll(struct spw_node *node);

#endif
