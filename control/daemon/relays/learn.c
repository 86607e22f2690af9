/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * learn.c - see relays.h. While a relay is armed, whoever carries its packets notes the first
 * source that is neither endpoint, and drops its packet; here it is judged and becomes the
 * endpoint, or the wait goes on. Packets alone never change an endpoint.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "control/clock.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/relays/relays.h"

/* A handshake that is lost while nobody is pinned is sent again after a second at the earliest
 * (WireGuard 5 s, QUIC 1 s), so that 20 ms cost no second one. Only armed relays are looked at. */
#define POLL_MS 20u
/* A source is written down in nanoseconds, unless the process that did it was killed meanwhile. */
#define WRITING_MS_MAX 1000u

static const struct spw_place nowhere;

static struct spw_relay_end *open_end(struct spw_relay_obj *relay)
{
	for (unsigned int i = 0; i < 2; i++)
		if (relay->ends[i].any)
			return &relay->ends[i];
	return NULL;
}

static struct spw_relay_state *state_of(struct spw_node *node, const struct spw_relay_obj *relay)
{
	return &node->maps.relay_states[relay->id];
}

/* Pairs with the classifier's and the workers' compare and swap. */
static void set_learn(struct spw_node *node, const struct spw_relay_obj *relay,
		      enum spw_relay_learn learn)
{
	__atomic_store_n(&state_of(node, relay)->learn, learn, __ATOMIC_RELEASE);
}

/* ---- pinning ------------------------------------------------------------------------------ */

/* Takes the way to an endpoint back. */
static void reset(struct spw_node *node, struct spw_relay_end *end)
{
	if (end->nexthop)
		spw_nexthop_release_end(node, end);
	*end = (struct spw_relay_end){.any = true};
}

/* 0; -EAGAIN: no room for a record now; else no endpoint can be had of it, and `error` says why. */
static int pin(struct spw_node *node, struct spw_relay_obj *relay,
	       const struct spw_endpoint *remote, const struct spw_endpoint *local, uint32_t port,
	       struct spw_error *error)
{
	struct spw_relay_end *end = open_end(relay);
	const struct spw_relay_end *other = &relay->ends[end == &relay->ends[0]];
	int err;

	if (!spw_endpoint_is_relayable(remote))
		return spw_error_set(error, -EINVAL, nowhere, "it is no address of a host");
	if (spw_endpoint_equal(remote, &other->remote))
		return spw_error_set(error, -EINVAL, nowhere, "it is the other endpoint");
	end->remote = *remote;
	end->local = *local;
	err = spw_nexthop_acquire_end(node, relay, end, 0, error);
	if (err == 0 && (!end->nexthop || end->nexthop->port != port))
		err = spw_error_set(error, -ENETUNREACH, nowhere,
				    "the kernel's route to it does not lead back there");
	if (err == 0 && spw_relay_publish(node, relay) < 0)
		err = -EAGAIN;
	if (err < 0)
		reset(node, end);
	return err;
}

static const char *port_name(const struct spw_node *node, uint32_t port)
{
	return port < node->interfaces_cnt ? node->interfaces[port].ifname : "?";
}

static void end_arming(struct spw_node *node, struct spw_relay_obj *relay)
{
	relay->armed_until_ms = 0;
	set_learn(node, relay, SPW_RELAY_LEARN_OFF);
}

/* Somebody came. */
static void judge(struct spw_node *node, struct spw_relay_obj *relay, uint64_t now)
{
	const struct spw_relay_state *state = state_of(node, relay);
	struct spw_endpoint remote = {.family = relay->family}, local = {.family = relay->family};
	size_t bytes = relay->family == 4 ? 4 : 16;
	struct spw_error error = {0};
	char text[64];
	int err;

	memcpy(remote.addr, state->learned, bytes);
	memcpy(local.addr, state->learned_local, bytes);
	remote.port = ntohs(state->learned_port_be);
	spw_endpoint_format(&remote, text, sizeof(text));
	err = pin(node, relay, &remote, &local, state->learned_on, &error);
	if (err == 0) {
		spw_log("info", "relay", "%s: pinned %s, which came in on %s", relay->name, text,
			port_name(node, state->learned_on));
		end_arming(node, relay);
		return;
	}
	if (err == -EAGAIN && now < relay->armed_until_ms + WRITING_MS_MAX)
		return; /* the next look finds it again */
	if (!relay->refused)
		spw_log("warning", "relay", "%s: %s came in on %s and is not taken: %s",
			relay->name, text, port_name(node, state->learned_on),
			error.code ? error.text : "too many changes wait for the workers");
	relay->refused = true;
	if (now < relay->armed_until_ms)
		set_learn(node, relay, SPW_RELAY_LEARN_ARMED);
	else
		end_arming(node, relay);
}

static void poll_relay(struct spw_node *node, struct spw_relay_obj *relay, uint64_t now)
{
	struct spw_relay_state *state = state_of(node, relay);
	__u32 armed = SPW_RELAY_LEARN_ARMED;
	/* Pairs with the release store of who wrote the source down. */
	__u32 learn = __atomic_load_n(&state->learn, __ATOMIC_ACQUIRE);

	if (learn == SPW_RELAY_LEARN_DONE) {
		judge(node, relay, now);
		return;
	}
	if (now < relay->armed_until_ms)
		return;
	/* Who has just begun to write is waited for. */
	if (!__atomic_compare_exchange_n(&state->learn, &armed, SPW_RELAY_LEARN_OFF, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
	    now < relay->armed_until_ms + WRITING_MS_MAX)
		return;
	spw_log("info", "relay", "%s: nobody came while it was armed", relay->name);
	end_arming(node, relay);
}

void spw_relays_poll(struct spw_node *node)
{
	const struct timeval soon = {.tv_usec = POLL_MS * 1000};
	uint64_t now = spw_now_ms();
	bool armed = false;

	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++) {
		struct spw_relay_obj *relay = node->relays[id];
		if (!relay || !relay->armed_until_ms)
			continue;
		poll_relay(node, relay, now);
		armed |= relay->armed_until_ms != 0;
	}
	if (armed)
		evtimer_add(node->relay_timer, &soon);
}

/* ---- arming ------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	spw_relays_poll(arg);
}

/* A relay without its open endpoint is published before the way there is let go. */
static int forget(struct spw_node *node, struct spw_relay_obj *relay, struct spw_relay_end *end)
{
	struct spw_relay_end former = *end;
	int err;

	*end = (struct spw_relay_end){.any = true};
	err = spw_relay_publish(node, relay);
	if (err < 0)
		*end = former;
	else
		reset(node, &former);
	return err;
}

int spw_relay_arm(struct spw_node *node, struct spw_relay_obj *relay, uint32_t seconds,
		  struct spw_error *error)
{
	struct spw_relay_end *end = open_end(relay);

	if (!end)
		return spw_error_set(error, -EINVAL, nowhere,
				     "relay \"%s\": both endpoints are configured; expected one "
				     "that was given as any",
				     relay->name);
	if (!node->relay_timer)
		node->relay_timer = evtimer_new(node->loop, on_timer, node);
	if (!node->relay_timer)
		return spw_error_set(error, -ENOMEM, nowhere, "no memory for a timer");
	if (forget(node, relay, end) < 0)
		return spw_error_set(error, -EBUSY, nowhere,
				     "too many changes wait for the workers to take notice (%u of "
				     "them); try again in a second",
				     spw_grace_waiting(node->grace));
	/* Who came in an arming that is still open is judged by the next look. */
	if (!relay->armed_until_ms)
		set_learn(node, relay, SPW_RELAY_LEARN_ARMED);
	relay->armed_until_ms = spw_now_ms() + 1000 * (uint64_t)seconds;
	relay->refused = false;
	spw_log("info", "relay", "%s: armed for %u s, the first source becomes its endpoint",
		relay->name, seconds);
	spw_relays_poll(node);
	return 0;
}

void spw_relay_disarm(struct spw_node *node, struct spw_relay_obj *relay)
{
	if (state_of(node, relay)->learn != SPW_RELAY_LEARN_OFF || relay->armed_until_ms)
		end_arming(node, relay);
}

uint32_t spw_relay_armed_seconds(const struct spw_relay_obj *relay)
{
	uint64_t now = spw_now_ms();

	if (relay->armed_until_ms <= now)
		return 0;
	return (uint32_t)((relay->armed_until_ms - now + 999) / 1000);
}
