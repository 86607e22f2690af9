/* SPDX-License-Identifier: BSD-2-Clause */
/* relays.c - see relays.h. There are 1023 at most: names and ports are found by looking at all. */
#include "control/daemon/relays/relays.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spw_relay_obj *spw_relay_find(struct spw_node *node, const char *name)
{
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (node->relays[id] && strcmp(node->relays[id]->name, name) == 0)
			return node->relays[id];
	return NULL;
}

struct spw_relay_obj *spw_relay_at_port(struct spw_node *node, uint16_t port)
{
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (node->relays[id] && node->relays[id]->port == port)
			return node->relays[id];
	return NULL;
}

static uint32_t or_default(uint32_t value, uint32_t other)
{
	return value ? value : other;
}

struct spw_relay_obj *spw_relay_new(struct spw_node *node, const struct spw_relay_spec *spec,
				    uint32_t id)
{
	struct spw_relay_obj *relay = calloc(1, sizeof(*relay));
	int err = 0;

	if (!relay) {
		errno = ENOMEM;
		return NULL;
	}
	if (id)
		err = spw_slots_mark(node->relay_ids, id);
	else if (!(id = spw_slots_alloc(node->relay_ids)))
		err = -ENOSPC;
	if (err < 0) {
		free(relay);
		errno = -err;
		return NULL;
	}
	strncpy(relay->name, spec->name, sizeof(relay->name) - 1);
	relay->id = id;
	relay->port = spec->port;
	relay->limits.pps = or_default(spec->limits.pps, SPW_RELAY_PPS_DEFAULT);
	relay->limits.rate_kbit = or_default(spec->limits.rate_kbit, SPW_RELAY_KBIT_DEFAULT);
	relay->port_fd = -1;
	for (unsigned int i = 0; i < 2; i++) {
		relay->ends[i].any = spec->between[i].family == 0;
		relay->ends[i].remote = spec->between[i];
		if (!relay->ends[i].any)
			relay->family = spec->between[i].family;
	}
	node->relays[id] = relay;
	return relay;
}

void spw_relay_hide(struct spw_node *node, struct spw_relay_obj *relay)
{
	node->relays[relay->id] = NULL;
	relay->dying = true;
}

void spw_relay_unhide(struct spw_node *node, struct spw_relay_obj *relay)
{
	node->relays[relay->id] = relay;
	relay->dying = false;
}

void spw_relay_free(struct spw_relay_obj *relay)
{
	if (relay->port_fd >= 0)
		close(relay->port_fd);
	free(relay);
}

void spw_relays_close(struct spw_node *node)
{
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++) {
		struct spw_relay_obj *relay = node->relays[id];
		if (!relay)
			continue;
		spw_relay_hide(node, relay);
		spw_relay_free(relay);
	}
	if (node->relay_timer)
		event_free(node->relay_timer);
	node->relay_timer = NULL;
}

struct spw_relay_spec spw_relay_describe(const struct spw_relay_obj *relay)
{
	struct spw_relay_spec spec = {
		.name = relay->name, .port = relay->port, .limits = relay->limits};

	for (unsigned int i = 0; i < 2; i++)
		if (!relay->ends[i].any)
			spec.between[i] = relay->ends[i].remote;
	return spec;
}
