/* SPDX-License-Identifier: BSD-2-Clause */
/* Parameters of RPC methods: checked strictly, then made into ops. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/base64.h"
#include "control/daemon/methods.h"
#include "control/daemon/values.h"

#define LIST_CHARS_MAX 256
#define PARAMS_MAX 16 /* of one method */

const struct spw_param spw_params_none[] = {{NULL}};

const struct spw_param spw_params_name[] = {{"name", SPW_PARAM_TEXT, true}, {NULL}};

const struct spw_param spw_params_tunnel_add[] = {
	{"name", SPW_PARAM_TEXT, true},
	{"allow", SPW_PARAM_LIST, true},
	{"tenant", SPW_PARAM_TEXT, false},
	{"peer", SPW_PARAM_TEXT, false},
	{"endpoint", SPW_PARAM_TEXT, false},
	{"psk_file", SPW_PARAM_TEXT, false},
	{"cipher", SPW_PARAM_TEXT, false},
	{"remote", SPW_PARAM_TEXT, false},
	{"local", SPW_PARAM_TEXT, false},
	{"mtu", SPW_PARAM_NUMBER, false},
	{"static", SPW_PARAM_OBJECT, false},
	{"foreign", SPW_PARAM_OBJECT, false},
	{NULL},
};

static const struct spw_param params_static[] = {
	{"secret_file", SPW_PARAM_TEXT, true},
	{NULL},
};

static const struct spw_param params_foreign[] = {
	{"in", SPW_PARAM_OBJECT, true},
	{"out", SPW_PARAM_OBJECT, true},
	{"esn", SPW_PARAM_BOOL, false},
	{"first_use", SPW_PARAM_BOOL, false},
	{NULL},
};

static const struct spw_param params_direction[] = {
	{"spi", SPW_PARAM_NUMBER, true},
	{"key_file", SPW_PARAM_TEXT, true},
	{NULL},
};

const struct spw_param spw_params_route_add[] = {
	{"tenant", SPW_PARAM_TEXT, true},
	{"prefix", SPW_PARAM_TEXT, true},
	{"tunnel", SPW_PARAM_TEXT, true},
	{NULL},
};

const struct spw_param spw_params_route_del[] = {
	{"tenant", SPW_PARAM_TEXT, true},
	{"prefix", SPW_PARAM_TEXT, true},
	{NULL},
};

const struct spw_param spw_params_rate_set[] = {
	{"tunnel", SPW_PARAM_TEXT, false},        {"tenant", SPW_PARAM_TEXT, false},
	{"relay", SPW_PARAM_TEXT, false},         {"rate", SPW_PARAM_TEXT, true},
	{"direction", SPW_PARAM_TEXT, false},     {"packets", SPW_PARAM_NUMBER, false},
	{"burst_bytes", SPW_PARAM_NUMBER, false}, {NULL},
};

const struct spw_param spw_params_relay_add[] = {
	{"name", SPW_PARAM_TEXT, true},    {"port", SPW_PARAM_NUMBER, true},
	{"between", SPW_PARAM_LIST, true}, {"packets", SPW_PARAM_NUMBER, false},
	{"rate", SPW_PARAM_TEXT, false},   {NULL},
};

/* ---- form --------------------------------------------------------------------------------- */

static bool has_type(const json_t *value, enum spw_param_type type)
{
	switch (type) {
	case SPW_PARAM_TEXT:
		return json_is_string(value) &&
		       strlen(json_string_value(value)) == json_string_length(value);
	case SPW_PARAM_NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0 &&
		       json_integer_value(value) <= UINT32_MAX;
	case SPW_PARAM_BOOL:
		return json_is_boolean(value);
	case SPW_PARAM_LIST:
		return json_is_array(value);
	case SPW_PARAM_OBJECT:
		return json_is_object(value);
	}
	return false;
}

static const char *type_name(enum spw_param_type type)
{
	static const char *const names[] = {
		[SPW_PARAM_TEXT] = "a string",
		[SPW_PARAM_NUMBER] = "a whole number from 0 to 4294967295",
		[SPW_PARAM_BOOL] = "true or false",
		[SPW_PARAM_LIST] = "a list",
		[SPW_PARAM_OBJECT] = "an object",
	};
	return names[type];
}

static int fail_unknown(struct spw_call *call, const char *where, const char *key,
			const struct spw_param *params)
{
	char list[LIST_CHARS_MAX] = "no parameters";
	const char *words[PARAMS_MAX] = {NULL};
	size_t used = 0, words_cnt = 0;
	for (; params[words_cnt].name && words_cnt < PARAMS_MAX && used < sizeof(list);
	     words_cnt++) {
		words[words_cnt] = params[words_cnt].name;
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s%s",
					 words_cnt ? ", " : "", words[words_cnt],
					 params[words_cnt].required ? "" : " (optional)");
	}
	const char *nearest = spw_word_nearest(key, words, words_cnt);
	return spw_call_fail(call, SPW_RPC_BAD_PARAMS, list, "unknown parameter %s%s%s%s%s", where,
			     spw_quote(key).text, nearest ? "; did you mean \"" : "",
			     nearest ? nearest : "", nearest ? "\"?" : "");
}

int spw_params_check(struct spw_call *call, const char *where, const json_t *object,
		     const struct spw_param *params)
{
	const char *key;
	json_t *value;
	if (!json_is_object(object))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "an object of named parameters",
				     "the parameters are no object");
	json_object_foreach ((json_t *)object, key, value) {
		const struct spw_param *param = params;
		while (param->name && strcmp(param->name, key) != 0)
			param++;
		if (!param->name)
			return fail_unknown(call, where, key, params);
		if (!has_type(value, param->type))
			return spw_call_fail(call, SPW_RPC_BAD_PARAMS, type_name(param->type),
					     "%s%s has the wrong type", where, key);
	}
	for (; params->name; params++)
		if (params->required && !json_object_get(object, params->name))
			return spw_call_fail(call, SPW_RPC_BAD_PARAMS, type_name(params->type),
					     "%s%s is missing", where, params->name);
	return 0;
}

/* ---- values ------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int fail_value(struct spw_call *call, const char *what, const char *text,
		      const char *expected)
{
	return spw_call_fail(call, SPW_RPC_BAD_PARAMS, expected, "%s is %s", what,
			     spw_quote(text).text);
}

static int fail_number(struct spw_call *call, const char *what, json_int_t number,
		       const char *expected)
{
	return spw_call_fail(call, SPW_RPC_BAD_PARAMS, expected, "%s is %lld", what,
			     (long long)number);
}

static int read_prefix(struct spw_call *call, const char *what, const char *text,
		       struct spw_prefix *prefix)
{
	const char *expected;
	if (spw_prefix_parse(text, prefix, &expected) < 0)
		return fail_value(call, what, text, expected);
	return 0;
}

/* The daemon's working folder means nothing to the caller. */
static int read_file_name(struct spw_call *call, const char *what, const char *text,
			  const char **file_name)
{
	if (text[0] != '/')
		return fail_value(call, what, text, "an absolute path, starting with \"/\"");
	*file_name = text;
	return 0;
}

/* ---- builders ----------------------------------------------------------------------------- */

static int read_allow(struct spw_call *call, const json_t *list, struct spw_tunnel_spec *spec)
{
	size_t cnt = json_array_size(list), i;
	json_t *entry;
	if (cnt == 0)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "at least one prefix",
				     "allow is empty");
	struct spw_prefix *allow = calloc(cnt, sizeof(*allow));
	if (!allow)
		return spw_call_fail(call, SPW_RPC_INTERNAL, NULL, "out of memory");
	spec->allow = allow;
	spec->allow_cnt = (uint32_t)cnt;
	json_array_foreach (list, i, entry) {
		if (!has_type(entry, SPW_PARAM_TEXT))
			return spw_call_fail(call, SPW_RPC_BAD_PARAMS, type_name(SPW_PARAM_TEXT),
					     "allow[%zu] has the wrong type", i);
		int rc = read_prefix(call, "allow", json_string_value(entry), &allow[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_static(struct spw_call *call, const json_t *object, struct spw_tunnel_spec *spec)
{
	int rc = spw_params_check(call, "static.", object, params_static);
	if (rc < 0)
		return rc;
	return read_file_name(call, "static.secret_file", text_of(object, "secret_file"),
			      &spec->secret_file);
}

static int read_direction(struct spw_call *call, const json_t *foreign, bool in,
			  struct spw_foreign_spec *spec)
{
	const json_t *object = json_object_get(foreign, in ? "in" : "out");
	const char *expected;
	int rc = spw_params_check(call, in ? "foreign.in." : "foreign.out.", object,
				  params_direction);
	if (rc < 0)
		return rc;
	json_int_t spi = json_integer_value(json_object_get(object, "spi"));
	if (spw_value_spi((uint64_t)spi, in, &spec->spi, &expected) < 0)
		return fail_number(call, in ? "foreign.in.spi" : "foreign.out.spi", spi, expected);
	return read_file_name(call, in ? "foreign.in.key_file" : "foreign.out.key_file",
			      text_of(object, "key_file"), &spec->key_file);
}

static int read_foreign(struct spw_call *call, const json_t *object, struct spw_tunnel_spec *spec)
{
	int rc = spw_params_check(call, "foreign.", object, params_foreign);
	if (rc < 0)
		return rc;
	spec->esn = json_is_true(json_object_get(object, "esn"));
	spec->first_use = json_is_true(json_object_get(object, "first_use"));
	rc = read_direction(call, object, true, &spec->in);
	return rc < 0 ? rc : read_direction(call, object, false, &spec->out);
}

static int read_addresses(struct spw_call *call, const json_t *params, struct spw_tunnel_spec *spec)
{
	const char *expected, *local = text_of(params, "local");
	const json_t *mtu = json_object_get(params, "mtu");
	const char *key = spec->keying == SPW_KEYING_SESSION ? "endpoint" : "remote";
	const char *remote = text_of(params, key);
	if (remote && spw_value_remote(remote, &spec->remote, &expected) < 0)
		return fail_value(call, key, remote, expected);
	if (local && spw_value_local(local, &spec->remote, &spec->local, &expected) < 0)
		return fail_value(call, "local", local, expected);
	if (mtu &&
	    spw_value_mtu((uint64_t)json_integer_value(mtu), &spec->mtu_bytes, &expected) < 0)
		return fail_number(call, "mtu", json_integer_value(mtu), expected);
	return 0;
}

/* Which of the three ways to keys the tunnel takes, and what does not go with it. */
static int read_keying(struct spw_call *call, const json_t *params, struct spw_tunnel_spec *spec)
{
	bool peer = text_of(params, "peer"), keys_static = json_object_get(params, "static");
	int ways = peer + keys_static + !!json_object_get(params, "foreign");
	if (ways != 1)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS,
				     "peer or static where the peer is a Spillway node, foreign "
				     "for any other",
				     ways ? "more than one of peer, static and foreign is given"
					  : "none of peer, static and foreign is given");
	spec->keying = peer          ? SPW_KEYING_SESSION
		       : keys_static ? SPW_KEYING_STATIC
				     : SPW_KEYING_FOREIGN;
	if (peer && text_of(params, "remote"))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "endpoint in its place",
				     "remote is given for a tunnel with peer");
	if (!peer && text_of(params, "endpoint"))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "remote in its place",
				     "endpoint is given for a tunnel without peer");
	if (!peer && text_of(params, "psk_file"))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "psk_file with peer only",
				     "psk_file is given for a tunnel without peer");
	if (!peer && !text_of(params, "remote"))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "a string", "remote is missing");
	if (spec->keying == SPW_KEYING_FOREIGN && text_of(params, "cipher"))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS,
				     "cipher with peer or static only: a foreign key's length says "
				     "which it is",
				     "cipher is given for a tunnel with foreign");
	return 0;
}

static int read_session(struct spw_call *call, const json_t *params, struct spw_tunnel_spec *spec)
{
	const char *psk_file = text_of(params, "psk_file"), *expected;
	if (spw_public_key_parse(text_of(params, "peer"), spec->peer_key, &expected) < 0)
		return fail_value(call, "peer", text_of(params, "peer"), expected);
	return psk_file ? read_file_name(call, "psk_file", psk_file, &spec->psk_file) : 0;
}

/* Whose tunnel it is; left out: the only tenant's. */
static int read_tenant(struct spw_call *call, const json_t *params, struct spw_tunnel_spec *spec)
{
	const struct spw_tenant_obj *only;
	uint32_t tenants_cnt;
	spec->tenant = text_of(params, "tenant");
	if (spec->tenant)
		return 0;
	only = spw_tenant_only(call->node, &tenants_cnt);
	spec->tenant = only ? only->name : NULL;
	if (!spec->tenant)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "a string",
				     "tenant is missing, and the node has %u of them", tenants_cnt);
	return 0;
}

static int read_keys(struct spw_call *call, const json_t *params, struct spw_tunnel_spec *spec)
{
	const char *expected;
	if (spec->keying == SPW_KEYING_FOREIGN)
		return read_foreign(call, json_object_get(params, "foreign"), spec);
	if (spw_value_cipher(text_of(params, "cipher"), &spec->key_bits, &expected) < 0)
		return fail_value(call, "cipher", text_of(params, "cipher"), expected);
	if (spec->keying == SPW_KEYING_SESSION)
		return read_session(call, params, spec);
	return read_static(call, json_object_get(params, "static"), spec);
}

int spw_build_tunnel_add(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	struct spw_tunnel_spec *spec = &op->tunnel;
	const char *expected;
	op->kind = SPW_OP_TUNNEL_ADD;
	spec->name = text_of(params, "name");
	if (spw_name_check(spec->name, &expected) < 0)
		return fail_value(call, "name", spec->name, expected);
	if (read_keying(call, params, spec) < 0 || read_tenant(call, params, spec) < 0 ||
	    read_addresses(call, params, spec) < 0 ||
	    read_allow(call, json_object_get(params, "allow"), spec) < 0)
		return -EINVAL;
	return read_keys(call, params, spec);
}

int spw_build_tunnel_del(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	(void)call;
	op->kind = SPW_OP_TUNNEL_DEL;
	op->tunnel.name = text_of(params, "name");
	return 0;
}

int spw_build_route_add(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	op->kind = SPW_OP_ROUTE_ADD;
	op->route.tenant = text_of(params, "tenant");
	op->route.tunnel = text_of(params, "tunnel");
	return read_prefix(call, "prefix", text_of(params, "prefix"), &op->route.prefix);
}

int spw_build_route_del(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	op->kind = SPW_OP_ROUTE_DEL;
	op->route.tenant = text_of(params, "tenant");
	return read_prefix(call, "prefix", text_of(params, "prefix"), &op->route.prefix);
}

/* Which of the three is named, and what does not go with it. */
static int read_rate_target(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	const char *direction = text_of(params, "direction");
	op->rate.tenant = text_of(params, "tenant");
	op->rate.tunnel = text_of(params, "tunnel");
	op->rate.relay = text_of(params, "relay");
	int named = !!op->rate.tenant + !!op->rate.tunnel + !!op->rate.relay;
	if (named != 1)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "one of tunnel, tenant and relay",
				     named ? "more than one of tunnel, tenant and relay is given"
					   : "none of tunnel, tenant and relay is given");
	if (op->rate.tenant && direction)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS,
				     "no direction: a tenant's cap covers all of its packets",
				     "a direction is given for a tenant");
	if (op->rate.relay && (direction || json_object_get(params, "burst_bytes")))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS,
				     "rate and packets: a relay's limits hold in each direction, "
				     "and its bursts follow from them",
				     "a %s is given for a relay",
				     direction ? "direction" : "burst");
	if (!op->rate.relay && json_object_get(params, "packets"))
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "packets for a relay only",
				     "packets are given for a %s",
				     op->rate.tenant ? "tenant" : "tunnel");
	return 0;
}

static int read_pps(struct spw_call *call, const json_t *params, uint32_t *pps)
{
	const json_t *packets = json_object_get(params, "packets");
	const char *expected;
	if (packets &&
	    spw_value_relay_pps((uint64_t)json_integer_value(packets), pps, &expected) < 0)
		return fail_number(call, "packets", json_integer_value(packets), expected);
	return 0;
}

int spw_build_rate_set(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	const char *direction = text_of(params, "direction"), *rate = text_of(params, "rate");
	const char *expected;
	op->kind = SPW_OP_RATE_SET;
	if (read_rate_target(call, params, op) < 0)
		return -EINVAL;
	if (!direction)
		direction = "both";
	op->rate.in = strcmp(direction, "in") == 0 || strcmp(direction, "both") == 0;
	op->rate.out = strcmp(direction, "out") == 0 || strcmp(direction, "both") == 0;
	if (!op->rate.in && !op->rate.out)
		return fail_value(call, "direction", direction, "in, out or both");
	if (op->rate.tenant)
		op->rate.out = false;
	if ((op->rate.relay ? spw_value_relay_rate(rate, &op->rate.rate_kbit, &expected)
			    : spw_rate_parse(rate, &op->rate.rate_kbit, &expected)) < 0)
		return fail_value(call, "rate", rate, expected);
	op->rate.burst_bytes = (uint32_t)json_integer_value(json_object_get(params, "burst_bytes"));
	return read_pps(call, params, &op->rate.pps);
}

/* ---- relays ------------------------------------------------------------------------------- */

static int read_between(struct spw_call *call, const json_t *list, struct spw_endpoint between[2])
{
	if (json_array_size(list) != 2)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS, "two endpoints",
				     "between has %zu entries", json_array_size(list));
	for (size_t i = 0; i < 2; i++) {
		const json_t *entry = json_array_get(list, i);
		const char *expected;
		if (!has_type(entry, SPW_PARAM_TEXT))
			return spw_call_fail(call, SPW_RPC_BAD_PARAMS, type_name(SPW_PARAM_TEXT),
					     "between[%zu] has the wrong type", i);
		if (spw_value_relay_end(json_string_value(entry), &between[i], &expected) < 0)
			return fail_value(call, "between", json_string_value(entry), expected);
	}
	return 0;
}

int spw_build_relay_add(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	json_int_t port = json_integer_value(json_object_get(params, "port"));
	const char *rate = text_of(params, "rate"), *expected;
	struct spw_relay_spec *spec = &op->relay;
	op->kind = SPW_OP_RELAY_ADD;
	spec->name = text_of(params, "name");
	if (spw_name_check(spec->name, &expected) < 0)
		return fail_value(call, "name", spec->name, expected);
	if (port < 1 || port > UINT16_MAX)
		return fail_number(call, "port", port, "1 to 65535");
	spec->port = (uint16_t)port;
	if (read_between(call, json_object_get(params, "between"), spec->between) < 0 ||
	    read_pps(call, params, &spec->limits.pps) < 0)
		return -EINVAL;
	if (rate && spw_value_relay_rate(rate, &spec->limits.rate_kbit, &expected) < 0)
		return fail_value(call, "rate", rate, expected);
	return 0;
}

int spw_build_relay_del(struct spw_call *call, const json_t *params, struct spw_op *op)
{
	(void)call;
	op->kind = SPW_OP_RELAY_DEL;
	op->relay.name = text_of(params, "name");
	return 0;
}

void spw_op_release(struct spw_op *op)
{
	if (op->kind == SPW_OP_TUNNEL_ADD)
		free((void *)op->tunnel.allow);
}
