/* SPDX-License-Identifier: BSD-2-Clause */
/* One line of the control socket to its answer: the form of JSON-RPC 2.0, and nothing else. */
#include <errno.h>
#include <string.h>

#include "control/daemon/methods.h"
#include "control/daemon/rpc.h"
#include "control/daemon/values.h"

int spw_call_fail(struct spw_call *call, int code, const char *expected, const char *format, ...)
{
	if (call->code == 0) {
		va_list args;
		va_start(args, format);
		vsnprintf(call->text, sizeof(call->text), format, args);
		va_end(args);
		snprintf(call->expected, sizeof(call->expected), "%s", expected ? expected : "");
		call->code = code;
	}
	return -EINVAL;
}

int spw_call_refuse(struct spw_call *call, const struct spw_error *error)
{
	spw_call_fail(call, SPW_RPC_REFUSED, NULL, "%s", error->text);
	call->problem = error->code;
	if (error->place.line > 0)
		call->line = error->place.line;
	return -EINVAL;
}

/* A sentence may quote a file's name in any encoding, or be cut within a character; JSON wants
 * UTF-8. */
static json_t *sentence(const char *text)
{
	json_t *string = json_string(text);
	char copy[sizeof(((struct spw_call *)0)->text)];
	if (string)
		return string;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	return json_string(copy);
}

/* What went wrong, as the value of "error". */
static json_t *error_object(const struct spw_call *call)
{
	json_t *data = json_object();
	if (call->expected[0])
		json_object_set_new(data, "expected", sentence(call->expected));
	if (call->problem) {
		const char *symbol = strerrorname_np(-call->problem);
		json_object_set_new(data, "errno", json_string(symbol ? symbol : "EIO"));
	}
	if (call->line > 0)
		json_object_set_new(data, "line", json_integer(call->line));
	return json_pack("{s:i, s:o, s:o}", "code", call->code, "message", sentence(call->text),
			 "data", data);
}

/* id: borrowed, NULL: null. */
static json_t *failure(const json_t *id, const struct spw_call *call)
{
	return json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id ? id : json_null(), "error",
			 error_object(call));
}

json_t *spw_rpc_failure(int code, const char *text)
{
	struct spw_call call = {0};
	spw_call_fail(&call, code, NULL, "%s", text);
	return failure(NULL, &call);
}

/* The list of methods, for who named none of them. */
static void fail_method(struct spw_call *call, const char *name)
{
	char list[sizeof(call->expected)];
	const char *words[32], *nearest;
	size_t used = 0, words_cnt = 0;
	for (; words_cnt < spw_methods_cnt && words_cnt < 32 && used < sizeof(list); words_cnt++) {
		words[words_cnt] = spw_methods[words_cnt].name;
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 words_cnt ? ", " : "", words[words_cnt]);
	}
	nearest = spw_word_nearest(name, words, words_cnt);
	spw_call_fail(call, SPW_RPC_NO_METHOD, list, "there is no method %s%s%s%s",
		      spw_quote(name).text, nearest ? "; did you mean \"" : "",
		      nearest ? nearest : "", nearest ? "\"?" : "");
}

static int check_request(struct spw_call *call, const json_t *request)
{
	static const char expected[] = "one object {\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": "
				       "\"status\", \"params\": {}} to a line";
	const json_t *version = json_object_get(request, "jsonrpc");
	const json_t *method = json_object_get(request, "method");
	const json_t *id = json_object_get(request, "id");
	const char *key;
	json_t *value;
	if (!json_is_object(request))
		return spw_call_fail(call, SPW_RPC_BAD_REQUEST, expected,
				     "the line holds no object");
	if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
		return spw_call_fail(call, SPW_RPC_BAD_REQUEST, expected, "\"jsonrpc\" is not 2.0");
	if (!json_is_string(method))
		return spw_call_fail(call, SPW_RPC_BAD_REQUEST, expected, "there is no \"method\"");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return spw_call_fail(call, SPW_RPC_BAD_REQUEST, expected,
				     "\"id\" is neither a string nor a number");
	json_object_foreach ((json_t *)request, key, value)
		if (strcmp(key, "jsonrpc") != 0 && strcmp(key, "method") != 0 &&
		    strcmp(key, "id") != 0 && strcmp(key, "params") != 0)
			return spw_call_fail(call, SPW_RPC_BAD_REQUEST, expected, "unknown key %s",
					     spw_quote(key).text);
	return 0;
}

static json_t *run_request(struct spw_call *call, const json_t *request)
{
	if (check_request(call, request) < 0)
		return NULL;
	const char *name = json_string_value(json_object_get(request, "method"));
	const struct spw_method *method = spw_method_find(name);
	if (!method) {
		fail_method(call, name);
		return NULL;
	}
	json_t *params = json_incref(json_object_get(request, "params"));
	if (!params)
		params = json_object();
	json_t *result = spw_method_run(method, call, params);
	json_decref(params);
	if (!result)
		spw_call_fail(call, SPW_RPC_INTERNAL, NULL, "out of memory");
	return result;
}

json_t *spw_rpc_answer(struct spw_node *node, const char *line, size_t line_bytes)
{
	struct spw_call call = {.node = node};
	json_error_t problem;
	json_t *request = json_loadb(line, line_bytes, JSON_REJECT_DUPLICATES, &problem);
	if (!request) {
		spw_call_fail(&call, SPW_RPC_NOT_JSON, NULL, "not JSON: %s at byte %d",
			      problem.text, problem.position);
		return failure(NULL, &call);
	}
	json_t *answer = NULL, *result = run_request(&call, request);
	const json_t *id = json_object_get(request, "id");
	if (result && id)
		answer = json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", "id", id, "result", result);
	else if (!result && (id || call.code == SPW_RPC_BAD_REQUEST))
		answer = failure(json_is_object(id) || json_is_array(id) ? NULL : id, &call);
	json_decref(result);
	json_decref(request);
	return answer;
}
