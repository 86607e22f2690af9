/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * suggest.c - which names would have been right, when the node knows none of the given name.
 */
#include <string.h>

#include "control/cli/client.h"
#include "control/cli/command.h"
#include "control/cli/error.h"
#include "control/text.h"

#define NAMES_MAX 32 /* that are listed; near ones are looked for among the first of these */

/* The name of a row, NULL if it is of another kind; kind NULL: any. */
static const char *row_name(const json_t *row, const char *kind)
{
	const char *row_kind = json_string_value(json_object_get(row, "kind"));

	if (kind && (!row_kind || strcmp(row_kind, kind) != 0))
		return NULL;
	return json_string_value(json_object_get(row, "name"));
}

/* Sets data.expected if the name is not among the rows'; true when it did. */
static bool name_suggest(json_t *error, const char *name, const json_t *rows, const char *kind)
{
	const char *names[NAMES_MAX] = {0};
	size_t cnt = 0, more = 0, length, i;
	char text[NAMES_MAX * 34 + 64];
	json_t *row;

	json_array_foreach (rows, i, row) {
		const char *known = row_name(row, kind);
		if (known && strcmp(known, name) == 0)
			return false;
		if (known && cnt < NAMES_MAX)
			names[cnt++] = known;
		else if (known)
			more++;
	}
	const char *nearest = spw_word_nearest(name, names, cnt);
	length = snprintf(text, sizeof(text), "%s%s%s", nearest ?: "",
			  nearest ? "? There is: " : "", cnt ? "" : "none is there yet");
	for (i = 0; i < cnt && length < sizeof(text); i++)
		length += snprintf(text + length, sizeof(text) - length, "%s%s", i ? ", " : "",
				   names[i]);
	if (more && length < sizeof(text))
		snprintf(text + length, sizeof(text) - length, " and %zu more", more);
	json_object_set_new(json_object_get(error, "data"), "expected", json_string(text));
	return true;
}

/* A list; NULL if it cannot be had, then there is nothing to suggest. */
static json_t *rows_get(int fd, const char *method)
{
	json_t *error = NULL;
	json_t *rows = spw_client_call(fd, method, NULL, &error);

	json_decref(error);
	if (json_is_array(rows))
		return rows;
	json_decref(rows);
	return NULL;
}

static bool is_unknown_name(const json_t *error)
{
	const json_t *data = json_object_get(error, "data");
	const char *symbol = json_string_value(json_object_get(data, "errno"));

	return symbol && strcmp(symbol, "ENOENT") == 0 && !json_object_get(data, "expected");
}

/* Of a batch: the op in the line that was refused. */
static const json_t *op_find(const json_t *ops, const json_t *error)
{
	json_t *line = json_object_get(json_object_get(error, "data"), "line"), *op;
	size_t i;

	json_array_foreach (ops, i, op)
		if (json_equal(json_object_get(op, "line"), line))
			return op;
	return NULL;
}

static bool list_suggest(int fd, const char *method, const char *name, const char *kind,
			 json_t *error)
{
	json_t *rows = rows_get(fd, method);
	bool done = rows && name_suggest(error, name, rows, kind);

	json_decref(rows);
	return done;
}

void spw_names_suggest(int fd, const char *method, const json_t *params, json_t *error)
{
	const json_t *op = op_find(json_object_get(params, "ops"), error);

	if (!is_unknown_name(error))
		return;
	if (op) {
		method = json_string_value(json_object_get(op, "method"));
		params = json_object_get(op, "params");
	}
	const char *name = json_string_value(json_object_get(params, "name"));
	const char *tunnel = json_string_value(json_object_get(params, "tunnel"));
	const char *tenant = json_string_value(json_object_get(params, "tenant"));
	const char *relay = json_string_value(json_object_get(params, "relay"));
	if (strncmp(method, "relay.", 6) == 0)
		relay = name;
	else if (!json_object_get(params, "remote")) /* a new tunnel's own name is none to find */
		tunnel = tunnel ?: name;
	if (relay) {
		list_suggest(fd, "relay.show", relay, NULL, error);
		return;
	}
	if (tunnel && list_suggest(fd, "tunnel.list", tunnel, NULL, error))
		return;
	if (tenant)
		list_suggest(fd, "rate.list", tenant, "tenant", error);
}
