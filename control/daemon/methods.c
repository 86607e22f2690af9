/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of RPC methods, and those that change the running state. */
#include "control/daemon/methods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/expand.h"
#include "control/daemon/sa/sas.h"
#include "control/daemon/values.h"

static json_t *run_first_use(struct spw_call *call, const json_t *params);
static json_t *run_rekey(struct spw_call *call, const json_t *params);
static json_t *run_batch(struct spw_call *call, const json_t *params);

static const struct spw_param params_route_list[] = {{"tenant", SPW_PARAM_TEXT, false}, {NULL}};

static const struct spw_param params_relay_show[] = {{"name", SPW_PARAM_TEXT, false}, {NULL}};

static const struct spw_param params_relay_arm[] = {
	{"name", SPW_PARAM_TEXT, true}, {"for", SPW_PARAM_TEXT, false}, {NULL}};

static const struct spw_param params_batch[] = {{"ops", SPW_PARAM_LIST, true}, {NULL}};

static const struct spw_param params_batch_entry[] = {
	{"line", SPW_PARAM_NUMBER, true},
	{"method", SPW_PARAM_TEXT, true},
	{"params", SPW_PARAM_OBJECT, true},
	{NULL},
};

const struct spw_method spw_methods[] = {
	{"status", spw_params_none, .run = spw_show_status},
	{"tunnel.list", spw_params_none, .run = spw_show_tunnels},
	{"tunnel.show", spw_params_name, .run = spw_show_tunnel},
	{"tunnel.add", spw_params_tunnel_add, .build = spw_build_tunnel_add},
	{"tunnel.del", spw_params_name, .build = spw_build_tunnel_del},
	{"tunnel.first_use", spw_params_name, .run = run_first_use},
	{"tunnel.rekey", spw_params_name, .run = run_rekey},
	{"route.list", params_route_list, .run = spw_show_routes},
	{"route.add", spw_params_route_add, .build = spw_build_route_add},
	{"route.del", spw_params_route_del, .build = spw_build_route_del},
	{"rate.list", spw_params_none, .run = spw_show_rates},
	{"rate.set", spw_params_rate_set, .build = spw_build_rate_set},
	{"relay.show", params_relay_show, .run = spw_show_relays},
	{"relay.add", spw_params_relay_add, .build = spw_build_relay_add},
	{"relay.del", spw_params_name, .build = spw_build_relay_del},
	{"relay.arm", params_relay_arm, .run = spw_run_relay_arm},
	{"drops", spw_params_none, .run = spw_show_drops},
	{"batch", params_batch, .run = run_batch},
};

const size_t spw_methods_cnt = sizeof(spw_methods) / sizeof(spw_methods[0]);

const struct spw_method *spw_method_find(const char *name)
{
	for (size_t i = 0; i < spw_methods_cnt; i++)
		if (strcmp(spw_methods[i].name, name) == 0)
			return &spw_methods[i];
	return NULL;
}

/* All of the ops, or none and call->code set. */
static int apply(struct spw_call *call, const struct spw_op *ops, uint32_t ops_cnt)
{
	struct spw_error error = {0};
	if (spw_ops_apply(call->node, ops, ops_cnt, &error) < 0)
		return spw_call_refuse(call, &error);
	return 0;
}

static json_t *run_change(const struct spw_method *method, struct spw_call *call,
			  const json_t *params)
{
	struct spw_op op = {0};
	json_t *result = NULL;
	if (method->build(call, params, &op) < 0 || apply(call, &op, 1) < 0)
		goto out;
	result = json_object();
	if (op.kind == SPW_OP_TUNNEL_ADD) {
		const struct spw_tunnel_obj *tunnel = spw_tunnel_find(call->node, op.tunnel.name);
		if (tunnel)
			json_object_set_new(result, "id", json_integer(tunnel->id));
	}
out:
	spw_op_release(&op);
	return result;
}

json_t *spw_method_run(const struct spw_method *method, struct spw_call *call, const json_t *params)
{
	if (spw_params_check(call, "", params, method->params) < 0)
		return NULL;
	return method->run ? method->run(call, params) : run_change(method, call, params);
}

/* What is asked of one tunnel's keys, and is no transaction. */
static json_t *ask_sas(struct spw_call *call, const json_t *params,
		       int (*ask)(struct spw_node *node, struct spw_tunnel_obj *tunnel,
				  struct spw_error *error))
{
	struct spw_error error = {0};
	const char *name = json_string_value(json_object_get(params, "name"));
	struct spw_tunnel_obj *tunnel = spw_tunnel_find(call->node, name);
	if (!tunnel)
		spw_error_set(&error, -ENOENT, (struct spw_place){0}, "there is no tunnel %s",
			      spw_quote(name).text);
	else if (ask(call->node, tunnel, &error) == 0)
		return json_object();
	spw_call_refuse(call, &error);
	return NULL;
}

static json_t *run_first_use(struct spw_call *call, const json_t *params)
{
	return ask_sas(call, params, spw_sas_first_use);
}

static json_t *run_rekey(struct spw_call *call, const json_t *params)
{
	return ask_sas(call, params, spw_sas_rekey);
}

/* ---- batch -------------------------------------------------------------------------------- */

static int build_entry(struct spw_call *call, const json_t *entry, struct spw_op *op)
{
	call->line = 0;
	if (spw_params_check(call, "ops[].", entry, params_batch_entry) < 0)
		return -EINVAL;
	call->line = (int)json_integer_value(json_object_get(entry, "line"));
	op->place.line = call->line;
	const char *name = json_string_value(json_object_get(entry, "method"));
	const json_t *params = json_object_get(entry, "params");
	const struct spw_method *method = spw_method_find(name);
	if (!method || !method->build)
		return spw_call_fail(call, SPW_RPC_BAD_PARAMS,
				     "tunnel.add, tunnel.del, route.add, route.del, rate.set, "
				     "relay.add or relay.del",
				     "%s is no method of a batch", spw_quote(name).text);
	if (spw_params_check(call, "", params, method->params) < 0)
		return -EINVAL;
	return method->build(call, params, op);
}

static json_t *run_batch(struct spw_call *call, const json_t *params)
{
	const json_t *entries = json_object_get(params, "ops");
	size_t cnt = json_array_size(entries), built = 0;
	json_t *result = NULL;
	struct spw_op *ops = calloc(cnt + 1, sizeof(*ops));
	if (!ops)
		return NULL;
	for (; built < cnt; built++)
		if (build_entry(call, json_array_get(entries, built), &ops[built]) < 0)
			goto out;
	call->line = 0;
	if (apply(call, ops, (uint32_t)cnt) == 0)
		result = json_pack("{s:I}", "applied", (json_int_t)cnt);
out:
	for (size_t i = 0; i <= built; i++) /* the one that failed too; ops has one to spare */
		spw_op_release(&ops[i]);
	free(ops);
	return result;
}
