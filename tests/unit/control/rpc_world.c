/* SPDX-License-Identifier: BSD-2-Clause */
/* rpc_world.c - see rpc_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/rpc.h"
#include "tests/unit/control/node_double.h"
#include "tests/unit/control/rpc_world.h"

struct spw_node *node;

int rpc_open_node(void **state)
{
	static const struct spw_op ops[] = {
		{.kind = SPW_OP_TENANT_ADD, .tenant = {.name = "blue"}},
		{.kind = SPW_OP_TENANT_ADD, .tenant = {.name = "green"}},
		{.kind = SPW_OP_LAN_ADD,
		 .lan = {.port = 1, .prefix = {.family = 4, .bits = 24, .addr = {10, 1}}}},
	};
	struct spw_error error = {0};
	(void)state;
	node = node_double_open(2000);
	node->attach = (struct spw_attach *)node; /* the double does not look into it */
	return spw_txn_apply(node, ops, sizeof(ops) / sizeof(ops[0]), true, &error);
}

int rpc_close_node(void **state)
{
	(void)state;
	node_double_close();
	return 0;
}

json_t *ask(const char *line)
{
	char *copy = strdup(line);
	for (char *at = copy; *at; at++)
		if (*at == '\'')
			*at = '"';
	json_t *answer = spw_rpc_answer(node, copy, strlen(copy));
	free(copy);
	return answer;
}

json_t *call(const char *method, const char *params)
{
	char *line;
	assert_true(asprintf(&line, "{'jsonrpc':'2.0','id':1,'method':'%s','params':%s}", method,
			     params) > 0);
	json_t *answer = ask(line);
	free(line);
	return answer;
}

void must(const char *method, const char *params)
{
	json_t *answer = call(method, params);
	if (!json_object_get(answer, "result"))
		fail_msg("%s %s: %s", method, params,
			 json_string_value(
				 json_object_get(json_object_get(answer, "error"), "message")));
	json_decref(answer);
}

json_t *result_of(const char *method, const char *params)
{
	json_t *answer = call(method, params);
	json_t *result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	assert_non_null(result);
	return result;
}
