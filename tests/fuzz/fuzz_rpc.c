/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a line of the control socket, up to the point where a change would be made: one
 * answer of the right form, or none, and ops that are whole.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/expand.h"
#include "control/daemon/methods.h"
#include "control/daemon/rpc.h"
#include "control/daemon/sa/sas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(int condition)
{
	if (!condition)
		abort();
}

/* ---- in place of the running state -------------------------------------------------------- */

#define SHOW(name)                                                                                 \
	json_t *name(struct spw_call *call, const json_t *params)                                  \
	{                                                                                          \
		(void)call;                                                                        \
		return json_copy((json_t *)params);                                                \
	}
SHOW(spw_show_status)
SHOW(spw_show_tunnels)
SHOW(spw_show_tunnel)
SHOW(spw_show_routes)
SHOW(spw_show_rates)
SHOW(spw_show_drops)
SHOW(spw_show_relays)
SHOW(spw_run_relay_arm)

struct spw_tunnel_obj *spw_tunnel_find(struct spw_node *node, const char *name)
{
	static struct spw_tunnel_obj tunnel;
	(void)node;
	return strlen(name) % 2 ? &tunnel : NULL;
}

int spw_sas_first_use(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	(void)node;
	(void)tunnel;
	(void)error;
	return 0;
}

int spw_sas_rekey(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	return spw_sas_first_use(node, tunnel, error);
}

struct spw_tenant_obj *spw_tenant_only(struct spw_node *node, uint32_t *cnt)
{
	static struct spw_tenant_obj tenant = {.name = "blue"};
	(void)node;
	*cnt = 1;
	return &tenant;
}

static void check_op(const struct spw_op *op)
{
	switch (op->kind) {
	case SPW_OP_TUNNEL_ADD:
		must(strlen(op->tunnel.name) < SPW_NAME_BYTES &&
		     strlen(op->tunnel.tenant) < SIZE_MAX);
		must(op->tunnel.allow_cnt > 0 &&
		     (op->tunnel.remote.family || op->tunnel.keying == SPW_KEYING_SESSION));
		for (uint32_t i = 0; i < op->tunnel.allow_cnt; i++)
			must(op->tunnel.allow[i].family == 4 || op->tunnel.allow[i].family == 6);
		break;
	case SPW_OP_TUNNEL_DEL:
		must(op->tunnel.name != NULL);
		break;
	case SPW_OP_ROUTE_ADD:
		must(op->route.tunnel != NULL);
		__attribute__((fallthrough));
	case SPW_OP_ROUTE_DEL:
		must(op->route.tenant != NULL && op->route.prefix.family);
		break;
	case SPW_OP_RATE_SET:
		must(!!op->rate.tenant + !!op->rate.tunnel + !!op->rate.relay == 1 &&
		     (op->rate.in || op->rate.out));
		must(!op->rate.relay || (op->rate.rate_kbit && !op->rate.burst_bytes));
		break;
	case SPW_OP_RELAY_ADD:
		must(strlen(op->relay.name) < SPW_NAME_BYTES && op->relay.port);
		for (unsigned int i = 0; i < 2; i++)
			must(!op->relay.between[i].family || op->relay.between[i].port);
		break;
	case SPW_OP_RELAY_DEL:
		must(op->relay.name != NULL);
		break;
	default:
		abort();
	}
}

int spw_ops_apply(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		  struct spw_error *error)
{
	(void)node;
	for (uint32_t i = 0; i < ops_cnt; i++)
		check_op(&ops[i]);
	if (ops_cnt % 2)
		return 0;
	return spw_error_set(error, -ENOSPC, (struct spw_place){0}, "full \xff");
}

/* ---- the target --------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct spw_node node;
	json_t *answer = spw_rpc_answer(&node, (const char *)data, bytes);
	if (!answer)
		return 0;
	const json_t *error = json_object_get(answer, "error");
	must(!error != !json_object_get(answer, "result"));
	must(json_object_get(answer, "id") != NULL);
	if (error)
		must(json_string_length(json_object_get(error, "message")) > 0 &&
		     json_integer_value(json_object_get(error, "code")) < 0);
	char *text = json_dumps(answer, JSON_COMPACT);
	must(text && !strchr(text, '\n'));
	free(text);
	json_decref(answer);
	return 0;
}
