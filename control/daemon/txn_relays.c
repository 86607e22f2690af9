/* SPDX-License-Identifier: BSD-2-Clause */
/* txn_relays.c - see txn.h: adding, deleting and limiting a blind relay, from check to commit. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "control/daemon/net/net.h"
#include "control/daemon/relays/relays.h"
#include "control/daemon/txn.h"

/* ---- adding ------------------------------------------------------------------------------- */

static int check_limits(struct spw_txn *txn, const struct spw_op *op, const char *name,
			const struct spw_relay_limits *limits)
{
	if (limits->pps > SPW_RELAY_PPS_MAX)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "relay \"%s\": %u packets a second; expected 1 to %u", name,
				     limits->pps, SPW_RELAY_PPS_MAX);
	if (limits->rate_kbit > SPW_RELAY_KBIT_MAX)
		return spw_error_set(
			txn->error, -EINVAL, op->place,
			"relay \"%s\": rate %u kbit/s; expected 1 kbit/s to 100 Gbit/s", name,
			limits->rate_kbit);
	return 0;
}

static int check_port(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_relay_spec *spec = &op->relay;
	const struct spw_relay_obj *other = spw_relay_at_port(txn->node, spec->port);

	if (spec->port == 0 || spec->port == txn->node->listen_port)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "relay \"%s\": port %u%s; expected one of its own from 1 to "
				     "65535",
				     spec->name, spec->port,
				     spec->port ? " is the port of the tunnels" : "");
	if (other)
		return spw_error_set(txn->error, -EEXIST, op->place,
				     "relay \"%s\": port %u belongs to the relay \"%s\"; expected "
				     "one of its own",
				     spec->name, spec->port, other->name);
	return 0;
}

static int check_relay(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_relay_spec *spec = &op->relay;
	const struct spw_endpoint *a = &spec->between[0], *b = &spec->between[1];
	const char *wrong = NULL;
	int err = spw_txn_name(txn, op, "relay", spec->name, spw_relay_find(txn->node, spec->name));

	if (err == 0)
		err = check_port(txn, op);
	if (err < 0)
		return err;
	if (!a->family && !b->family)
		wrong = "both endpoints are any; expected the address of one of them";
	else if ((a->family && !spw_endpoint_is_relayable(a)) ||
		 (b->family && !spw_endpoint_is_relayable(b)))
		wrong = "an endpoint is no host's; expected an address such as 198.51.100.7:51820 "
			"or [2001:db8::7]:51820";
	else if (a->family && b->family && a->family != b->family)
		wrong = "one endpoint is IPv4 and the other IPv6; expected one family";
	else if (spw_endpoint_equal(a, b))
		wrong = "both endpoints are the same; expected two";
	if (wrong)
		return spw_error_set(txn->error, -EINVAL, op->place, "relay \"%s\": %s", spec->name,
				     wrong);
	return check_limits(txn, op, spec->name, &spec->limits);
}

/* A relay that this transaction deletes hands its port on. */
static int hold_port(const struct spw_txn *txn, uint16_t port)
{
	for (uint32_t i = txn->changes_cnt; i-- > 0;)
		if (txn->changes[i].kind == SPW_CHANGE_RELAY_GONE &&
		    txn->changes[i].relay->port == port && txn->changes[i].relay->port_fd >= 0)
			return fcntl(txn->changes[i].relay->port_fd, F_DUPFD_CLOEXEC, 0);
	return spw_udp_port_hold(port);
}

static int take_port(struct spw_txn *txn, const struct spw_op *op, struct spw_relay_obj *relay)
{
	int fd = hold_port(txn, relay->port);

	/* Tables that are taken up serve their packets whatever happened to the port meanwhile. */
	if (fd < 0 && txn->replay)
		return 0;
	if (fd == -EADDRINUSE)
		return spw_error_set(txn->error, fd, op->place,
				     "relay \"%s\": a program of this host uses UDP port %u, and "
				     "would lose its packets; stop it (`ss -uapn sport = %u` shows "
				     "it) or take another port",
				     relay->name, relay->port, relay->port);
	if (fd < 0)
		return spw_error_set(txn->error, fd, op->place,
				     "relay \"%s\": cannot take UDP port %u: %s", relay->name,
				     relay->port, strerror(-fd));
	relay->port_fd = fd;
	return 0;
}

static int take_slot(struct spw_txn *txn, const struct spw_op *op, const char *name, uint32_t *slot)
{
	*slot = spw_slots_alloc(txn->node->relay_slots);
	if (*slot)
		return 0;
	return spw_error_set(txn->error, -EBUSY, op->place,
			     "relay \"%s\": all %u record slots are taken, by what earlier changes "
			     "replaced for a moment longer; try again",
			     name, SPW_RELAY_SLOTS_MAX - 1);
}

/* NULL with the error set; else the log undoes it. */
static struct spw_relay_obj *new_relay(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_node *node = txn->node;
	const char *name = op->relay.name;
	struct spw_relay_obj *relay = spw_relay_new(node, &op->relay, 0);

	if (!relay) {
		if (errno == ENOSPC)
			spw_error_set(txn->error, -ENOSPC, op->place,
				      "relay \"%s\": a node has room for %u relays", name,
				      SPW_RELAYS_MAX - 1);
		else
			spw_error_set(txn->error, -ENOMEM, op->place, "relay \"%s\": no memory",
				      name);
		return NULL;
	}
	if (take_slot(txn, op, name, &relay->next_slot) < 0)
		goto fail;
	if (spw_txn_log(txn, op->place,
			(struct spw_change){SPW_CHANGE_RELAY_NEW, .relay = relay,
					    .slot = relay->next_slot}) < 0)
		goto fail_slot;
	return relay;

fail_slot:
	spw_slots_free(node->relay_slots, relay->next_slot);
fail:
	spw_slots_free(node->relay_ids, relay->id);
	spw_relay_hide(node, relay);
	spw_relay_free(relay);
	return NULL;
}

int spw_txn_relay_add(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_relay_obj *relay;
	int err = check_relay(txn, op);

	if (err < 0)
		return err;
	relay = new_relay(txn, op);
	if (!relay)
		return txn->error->code;
	err = take_port(txn, op, relay);
	for (unsigned int i = 0; err == 0 && i < 2; i++)
		err = spw_nexthop_acquire_end(txn->node, relay, &relay->ends[i], 0, txn->error);
	if (err < 0 && txn->error->place.line == 0)
		txn->error->place = op->place;
	return err;
}

/* ---- changing and deleting ---------------------------------------------------------------- */

static struct spw_relay_obj *named(struct spw_txn *txn, const struct spw_op *op, const char *name)
{
	struct spw_relay_obj *relay = spw_relay_find(txn->node, name);

	if (!relay)
		spw_error_set(txn->error, -ENOENT, op->place, "there is no relay \"%s\"", name);
	return relay;
}

int spw_txn_relay_limits(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_relay_obj *relay = named(txn, op, op->rate.relay);
	struct spw_change change = {SPW_CHANGE_RELAY_LIMITS, .relay = relay};
	struct spw_relay_limits limits;
	int err;

	if (!relay)
		return -ENOENT;
	limits = relay->limits;
	change.limits = limits;
	if (op->rate.pps)
		limits.pps = op->rate.pps;
	if (op->rate.rate_kbit)
		limits.rate_kbit = op->rate.rate_kbit;
	err = check_limits(txn, op, relay->name, &limits);
	if (err == 0 && !relay->next_slot)
		err = take_slot(txn, op, relay->name, &change.slot);
	if (err < 0)
		return err;
	err = spw_txn_log(txn, op->place, change);
	if (err < 0) {
		if (change.slot)
			spw_slots_free(txn->node->relay_slots, change.slot);
		return err;
	}
	relay->limits = limits;
	if (change.slot) {
		relay->next_slot = change.slot;
		txn->relay_places++; /* of the slot it replaces */
	}
	return 0;
}

int spw_txn_relay_del(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_relay_obj *relay = named(txn, op, op->relay.name);
	int err;

	if (!relay)
		return -ENOENT;
	err = spw_txn_log(txn, op->place,
			  (struct spw_change){SPW_CHANGE_RELAY_GONE, .relay = relay});
	if (err < 0)
		return err;
	spw_relay_hide(txn->node, relay);
	if (relay->slot)
		txn->relay_places += 2; /* slot and id */
	return 0;
}

/* ---- abort -------------------------------------------------------------------------------- */

static void release_ends(struct spw_node *node, struct spw_relay_obj *relay)
{
	for (unsigned int i = 0; i < 2; i++)
		if (relay->ends[i].nexthop)
			spw_nexthop_release_end(node, &relay->ends[i]);
}

/* One that no packet ever saw. */
static void drop_unpublished(struct spw_node *node, struct spw_relay_obj *relay)
{
	release_ends(node, relay);
	spw_slots_free(node->relay_ids, relay->id);
	spw_relay_free(relay);
}

void spw_txn_relay_undo(struct spw_node *node, const struct spw_change *change)
{
	struct spw_relay_obj *relay = change->relay;

	switch (change->kind) {
	case SPW_CHANGE_RELAY_NEW:
		spw_slots_free(node->relay_slots, change->slot);
		spw_relay_hide(node, relay);
		drop_unpublished(node, relay);
		break;
	case SPW_CHANGE_RELAY_LIMITS:
		relay->limits = change->limits;
		if (change->slot) {
			spw_slots_free(node->relay_slots, change->slot);
			relay->next_slot = 0;
		}
		break;
	default:
		spw_relay_unhide(node, relay);
	}
}

/* ---- commit ------------------------------------------------------------------------------- */

/* Returns the places that it used in the limbo. */
static uint32_t publish(struct spw_node *node, const struct spw_change *change)
{
	struct spw_relay_obj *relay = change->relay;
	uint32_t old_slot = relay->slot;

	relay->next_slot = 0;
	if (relay->dying) {
		spw_slots_free(node->relay_slots, change->slot);
		return 0;
	}
	/* An id that another relay had before starts with clean counters and full buckets: there
	 * is no record of it, nor has there been one for a grace period. */
	if (change->kind == SPW_CHANGE_RELAY_NEW)
		memset(&node->maps.relay_states[relay->id], 0, sizeof(struct spw_relay_state));
	spw_relay_publish_at(node, relay, change->slot);
	if (!old_slot)
		return 0;
	spw_grace_defer(node->grace, spw_slots_free_later, node->relay_slots, old_slot);
	return 1;
}

static uint32_t remove_relay(struct spw_node *node, struct spw_relay_obj *relay)
{
	if (!relay->slot) {
		drop_unpublished(node, relay);
		return 0;
	}
	spw_relay_withdraw(node, relay);
	spw_relay_disarm(node, relay);
	release_ends(node, relay);
	spw_grace_defer(node->grace, spw_slots_free_later, node->relay_slots, relay->slot);
	spw_grace_defer(node->grace, spw_slots_free_later, node->relay_ids, relay->id);
	spw_relay_free(relay);
	return 2;
}

/* New records first: where one takes the port of a deleted relay, no packet finds neither. */
void spw_txn_relays_commit(struct spw_txn *txn)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < txn->changes_cnt; i++) {
		const struct spw_change *change = &txn->changes[i];
		if (change->kind == SPW_CHANGE_RELAY_NEW ||
		    (change->kind == SPW_CHANGE_RELAY_LIMITS && change->slot))
			used += publish(txn->node, change);
	}
	for (uint32_t i = 0; i < txn->changes_cnt; i++)
		if (txn->changes[i].kind == SPW_CHANGE_RELAY_GONE)
			used += remove_relay(txn->node, txn->changes[i].relay);
	spw_grace_unreserve(txn->node->grace, txn->relay_places - used);
}
