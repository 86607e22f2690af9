/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch.c - reads a file of changing commands into the ops of one transaction.
 */
#include <stdlib.h>
#include <string.h>

#include "control/cli/command.h"
#include "control/cli/error.h"

#define LINE_WORDS_MAX 256

/* Splits in place at blanks; a word that begins with # ends the line. -1: too many words. */
static int words_split(char *line, char **words)
{
	int cnt = 0;
	char *rest;

	for (char *word = strtok_r(line, " \t\r\n", &rest); word && word[0] != '#';
	     word = strtok_r(NULL, " \t\r\n", &rest)) {
		if (cnt == LINE_WORDS_MAX)
			return -1;
		words[cnt++] = word;
	}
	return cnt;
}

static json_t *op_parse(int words_cnt, char *const *words, json_t **error)
{
	int used;
	const struct spw_command *command = spw_command_find(words_cnt, words, &used, error);
	if (!command)
		return NULL;
	if (!command->change) {
		*error = spw_error_make(SPW_ERROR_PARAMS,
					"tunnel add, tunnel del, route add, route del, rate set, "
					"relay add or relay del",
					"\"%s%s%s\" changes nothing and cannot stand in a batch",
					command->thing, command->verb ? " " : "",
					command->verb ?: "");
		return NULL;
	}
	json_t *params = spw_command_parse(command, words_cnt - used, words + used, error);
	if (!params)
		return NULL;
	return json_pack("{s:s, s:o}", "method", command->method, "params", params);
}

/* Puts the place before the message, and into data.line. */
static void error_place(json_t *error, const char *file, int line)
{
	json_t *data = json_object_get(error, "data");

	if (!data) {
		data = json_object();
		json_object_set_new(error, "data", data);
	}
	json_object_set_new(data, "line", json_integer(line));
	json_object_set_new(
		error, "message",
		json_sprintf("%s:%d: %s", file, line,
			     json_string_value(json_object_get(error, "message")) ?: ""));
}

json_t *spw_batch_read(FILE *in, const char *file, json_t **error)
{
	json_t *ops = json_array();
	char *line = NULL, *words[LINE_WORDS_MAX];
	size_t line_bytes = 0;
	int number = 0;

	while (!*error && getline(&line, &line_bytes, in) >= 0) {
		int cnt = words_split(line, words);
		number++;
		if (cnt == 0)
			continue;
		json_t *op = NULL;
		if (cnt < 0)
			*error = spw_error_make(SPW_ERROR_PARAMS, "one command to a line",
						"more than %d words", LINE_WORDS_MAX);
		else
			op = op_parse(cnt, words, error);
		if (*error) {
			error_place(*error, file, number);
			break;
		}
		json_object_set_new(op, "line", json_integer(number));
		json_array_append_new(ops, op);
	}
	if (!*error && ferror(in))
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "cannot read %s: %m", file);
	free(line);
	if (*error) {
		json_decref(ops);
		return NULL;
	}
	return ops;
}
