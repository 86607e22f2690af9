/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parse.c - from words to a request, by the table of commands.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/base64.h"
#include "control/cli/command.h"
#include "control/cli/error.h"
#include "control/text.h"

#define CANDIDATES_MAX 32

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* ---- which command ------------------------------------------------------------------------ */

/* The distinct things, or the verbs of one thing; "" stands for nothing. */
static size_t words_collect(const char *thing, const char **words)
{
	size_t cnt = 0;

	for (const struct spw_command *c = spw_commands; c->thing && cnt < CANDIDATES_MAX; c++) {
		if (thing && same(c->thing, thing) && c->verb)
			words[cnt++] = c->verb;
		else if (!thing && (cnt == 0 || !same(words[cnt - 1], c->thing)))
			words[cnt++] = c->thing;
	}
	return cnt;
}

static json_t *unknown_word(const char *thing, const char *word)
{
	const char *words[CANDIDATES_MAX] = {0};
	size_t cnt = words_collect(thing, words);
	const char *nearest = word ? spw_word_nearest(word, words, cnt) : NULL;
	char expected[512];
	size_t length = 0;

	for (size_t i = 0; i < cnt && length < sizeof(expected); i++)
		length += snprintf(expected + length, sizeof(expected) - length, "%s%s",
				   i == 0        ? ""
				   : i + 1 < cnt ? ", "
						 : " or ",
				   words[i]);
	if (!word)
		return spw_error_make(SPW_ERROR_METHOD, expected, "%s: what about it?",
				      thing ?: "spillway");
	return spw_error_make(SPW_ERROR_METHOD, expected, "%s%s\"%s\" is no command%s%s%s",
			      thing ?: "", thing ? ": " : "", word,
			      nearest ? "; did you mean \"" : "", nearest ?: "",
			      nearest ? "\"?" : "");
}

const struct spw_command *spw_command_find(int words_cnt, char *const *words, int *words_used,
					   json_t **error)
{
	const char *thing = NULL;

	for (const struct spw_command *c = spw_commands; c->thing && words_cnt > 0; c++) {
		if (!same(c->thing, words[0]))
			continue;
		thing = c->thing;
		*words_used = c->verb ? 2 : 1;
		if (!c->verb || (words_cnt > 1 && same(c->verb, words[1])))
			return c;
	}
	if (thing)
		*error = unknown_word(thing, words_cnt > 1 ? words[1] : NULL);
	else
		*error = unknown_word(NULL, words_cnt > 0 ? words[0] : NULL);
	return NULL;
}

/* ---- values ------------------------------------------------------------------------------- */

static json_t *number_parse(const char *text, const char **expected)
{
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 0);
	if (errno || *end || text[0] < '0' || text[0] > '9' || number > UINT32_MAX) {
		*expected = "a number up to 4294967295, decimal or 0x...";
		return NULL;
	}
	return json_integer(number);
}

static json_t *file_parse(const char *text, const char **expected)
{
	if (text[0] == '/')
		return json_string(text);

	char *folder = getcwd(NULL, 0);
	json_t *path = folder ? json_sprintf("%s/%s", folder, text) : NULL;
	if (!path)
		*expected = "an absolute file name";
	free(folder);
	return path;
}

static json_t *choice_parse(const char *choices, const char *text, const char **expected)
{
	size_t length = strlen(text);

	for (const char *at = choices; *at; at += *at == '|') {
		size_t choice_length = strcspn(at, "|");
		if (choice_length == length && memcmp(at, text, length) == 0)
			return json_string(text);
		at += choice_length;
	}
	*expected = choices;
	return NULL;
}

static json_t *value_parse(const struct spw_param *param, const char *text, const char **expected)
{
	struct spw_prefix prefix;
	struct spw_endpoint endpoint;
	uint8_t key[SPW_KEY_BYTES];
	uint32_t rate_kbit;

	switch (param->kind) {
	case SPW_PARAM_NAME:
		return spw_name_check(text, expected) == 0 ? json_string(text) : NULL;
	case SPW_PARAM_PREFIX:
		return spw_prefix_parse(text, &prefix, expected) == 0 ? json_string(text) : NULL;
	case SPW_PARAM_ENDPOINT:
		return spw_endpoint_parse(text, &endpoint, expected) == 0 ? json_string(text)
									  : NULL;
	case SPW_PARAM_RATE:
		return spw_rate_parse(text, &rate_kbit, expected) == 0 ? json_string(text) : NULL;
	case SPW_PARAM_KEY:
		return spw_public_key_parse(text, key, expected) == 0 ? json_string(text) : NULL;
	case SPW_PARAM_NUMBER:
		return number_parse(text, expected);
	case SPW_PARAM_FILE:
		return file_parse(text, expected);
	case SPW_PARAM_CHOICE:
		return choice_parse(param->value, text, expected);
	case SPW_PARAM_FLAG:
		return json_true();
	case SPW_PARAM_TEXT:
		break;
	}
	return json_string(text);
}

/* ---- params ------------------------------------------------------------------------------- */

/* The place of "a.b.c": makes the objects a and a.b, and returns a.b and "c". */
static json_t *key_parent(json_t *params, const char *key, const char **leaf)
{
	json_t *object = params;
	char name[32];

	for (const char *dot; (dot = strchr(key, '.')); key = dot + 1) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - key), key);
		json_t *child = json_object_get(object, name);
		if (!child) {
			child = json_object();
			json_object_set_new(object, name, child);
		}
		object = child;
	}
	*leaf = key;
	return object;
}

/* Reads without making anything. */
static json_t *key_get(const json_t *params, const char *key)
{
	const json_t *object = params;
	char name[32];

	for (const char *dot; (dot = strchr(key, '.')); key = dot + 1) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - key), key);
		object = json_object_get(object, name);
	}
	return json_object_get(object, key);
}

static const struct spw_param *param_find(const struct spw_command *command, const json_t *params,
					  const char *word)
{
	if (!command->params)
		return NULL;
	for (const struct spw_param *p = command->params; p->key; p++)
		if (same(p->word, word))
			return p;
	if (word[0] == '-' && word[1] == '-')
		return NULL;
	for (const struct spw_param *p = command->params; p->key; p++)
		if (!p->word && !key_get(params, p->key))
			return p;
	return NULL;
}

static json_t *unexpected_word(const struct spw_command *command, const char *word)
{
	const char *words[CANDIDATES_MAX] = {0};
	size_t cnt = 0;
	char usage[512];

	for (const struct spw_param *p = command->params; p && p->key && cnt < CANDIDATES_MAX; p++)
		if (p->word)
			words[cnt++] = p->word;
	const char *nearest = spw_word_nearest(word, words, cnt);
	spw_usage_format(command, usage, sizeof(usage));
	return spw_error_make(SPW_ERROR_PARAMS, usage, "\"%s\" is not understood here%s%s%s", word,
			      nearest ? "; did you mean \"" : "", nearest ?: "",
			      nearest ? "\"?" : "");
}

static const char *param_label(const struct spw_param *param)
{
	return param->word ?: param->value;
}

/* Stores one value; -1: *error. */
static int value_store(const struct spw_param *param, json_t *params, const char *text,
		       json_t **error)
{
	const char *expected = NULL, *leaf;
	json_t *value = value_parse(param, text, &expected);

	if (!value) {
		*error = spw_error_make(SPW_ERROR_PARAMS, expected, "%s: \"%s\" is not right",
					param_label(param), text);
		return -1;
	}
	json_t *parent = key_parent(params, param->key, &leaf);
	json_t *list = json_object_get(parent, leaf);
	if (!param->repeat)
		json_object_set_new(parent, leaf, value);
	else if (list)
		json_array_append_new(list, value);
	else
		json_object_set_new(parent, leaf, json_pack("[o]", value));
	return 0;
}

/* Takes the words of one param, beginning at words[0]; returns how many, -1: *error. */
static int param_take(const struct spw_command *command, int words_cnt, char *const *words,
		      json_t *params, json_t **error)
{
	const struct spw_param *param = param_find(command, params, words[0]);
	int used = param && param->word ? 1 : 0;

	if (!param) {
		*error = unexpected_word(command, words[0]);
		return -1;
	}
	if (key_get(params, param->key) && !param->repeat) {
		*error = spw_error_make(SPW_ERROR_PARAMS, NULL, "%s is given twice",
					param_label(param));
		return -1;
	}
	if (param->kind == SPW_PARAM_FLAG)
		return value_store(param, params, words[0], error) ? -1 : 1;
	do {
		if (used == words_cnt || (param->word && strncmp(words[used], "--", 2) == 0)) {
			*error = spw_error_make(SPW_ERROR_PARAMS, param->value, "%s needs a value",
						param_label(param));
			return -1;
		}
		if (value_store(param, params, words[used++], error))
			return -1;
	} while (param->repeat && used < words_cnt && strncmp(words[used], "--", 2) != 0);
	return used;
}

json_t *spw_command_parse(const struct spw_command *command, int words_cnt, char *const *words,
			  json_t **error)
{
	json_t *params = json_object();
	char usage[512];

	while (words_cnt > 0) {
		int used = param_take(command, words_cnt, words, params, error);
		if (used < 0)
			goto fail;
		words += used;
		words_cnt -= used;
	}
	for (const struct spw_param *p = command->params; p && p->key; p++) {
		if (!p->required || key_get(params, p->key))
			continue;
		spw_usage_format(command, usage, sizeof(usage));
		*error = spw_error_make(SPW_ERROR_PARAMS, usage, "%s is missing", param_label(p));
		goto fail;
	}
	if (command->check && command->check(command, params, error))
		goto fail;
	return params;
fail:
	json_decref(params);
	return NULL;
}
