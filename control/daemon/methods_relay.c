/* SPDX-License-Identifier: BSD-2-Clause */
/* RPC methods that show and arm relays. */
#include <errno.h>

#include "control/daemon/methods.h"
#include "control/daemon/relays/relays.h"
#include "control/daemon/values.h"

static struct spw_relay_obj *named_relay(struct spw_call *call, const char *name)
{
	struct spw_relay_obj *relay = spw_relay_find(call->node, name);
	if (!relay) {
		spw_call_fail(call, SPW_RPC_REFUSED, NULL, "there is no relay %s",
			      spw_quote(name).text);
		call->problem = -ENOENT;
	}
	return relay;
}

static const char *state_name(const struct spw_relay_obj *relay)
{
	const struct spw_relay_end *ends = relay->ends;
	if (relay->armed_until_ms)
		return "armed";
	if (ends[0].remote.family == 0 || ends[1].remote.family == 0)
		return "unpinned";
	return ends[0].nexthop && ends[1].nexthop ? "up" : "no route";
}

/* An endpoint, and what went there. */
static json_t *end_object(const struct spw_node *node, const struct spw_relay_obj *relay,
			  unsigned int i)
{
	const struct spw_relay_end *end = &relay->ends[i];
	const struct spw_relay_direction *to = &node->maps.relay_states[relay->id].to[i];
	const char *kind = !end->any ? "configured" : end->remote.family ? "pinned" : "any";
	return json_pack(
		"{s:o, s:s, s:o, s:o, s:I, s:I, s:I}", "remote", spw_show_endpoint(&end->remote),
		"kind", kind, "local", spw_show_endpoint(&end->source), "next_hop",
		spw_show_next_hop(node, end->nexthop), "packets",
		(json_int_t)spw_load(&to->packets), "bytes", (json_int_t)spw_load(&to->bytes),
		"drops", (json_int_t)spw_load(&to->drops));
}

static json_t *relay_object(const struct spw_node *node, const struct spw_relay_obj *relay)
{
	const struct spw_relay_state *state = &node->maps.relay_states[relay->id];
	uint32_t armed_s = spw_relay_armed_seconds(relay);
	return json_pack("{s:s, s:i, s:s, s:o, s:I, s:I, s:o, s:o, s:I}", "name", relay->name,
			 "port", (int)relay->port, "state", state_name(relay), "armed_s",
			 armed_s ? json_integer(armed_s) : json_null(), "limit_packets",
			 (json_int_t)relay->limits.pps, "limit_kbit",
			 (json_int_t)relay->limits.rate_kbit, "a", end_object(node, relay, 0), "b",
			 end_object(node, relay, 1), "foreign_drops",
			 (json_int_t)spw_load(&state->foreign_drops));
}

json_t *spw_show_relays(struct spw_call *call, const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const struct spw_relay_obj *only = name ? named_relay(call, name) : NULL;
	json_t *list;
	if (name)
		return only ? relay_object(call->node, only) : NULL;
	list = json_array();
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (call->node->relays[id])
			json_array_append_new(list,
					      relay_object(call->node, call->node->relays[id]));
	return list;
}

json_t *spw_run_relay_arm(struct spw_call *call, const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const char *text = json_string_value(json_object_get(params, "for")), *expected;
	struct spw_relay_obj *relay = named_relay(call, name);
	uint32_t seconds = SPW_RELAY_ARM_SECONDS_DEFAULT;
	struct spw_error error = {0};
	if (text && spw_value_arm_seconds(text, &seconds, &expected) < 0) {
		spw_call_fail(call, SPW_RPC_BAD_PARAMS, expected, "for is %s",
			      spw_quote(text).text);
		return NULL;
	}
	if (!relay)
		return NULL;
	if (spw_relay_arm(call->node, relay, seconds, &error) < 0) {
		spw_call_refuse(call, &error);
		return NULL;
	}
	return json_pack("{s:I}", "armed_s", (json_int_t)seconds);
}
