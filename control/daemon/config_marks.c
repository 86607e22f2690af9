/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/config_marks.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/values.h"

static struct spw_place place_of(yaml_mark_t mark)
{
	return (struct spw_place){.line = (int)mark.line + 1, .column = (int)mark.column + 1};
}

static int fail_parse(const yaml_parser_t *parser, struct spw_error *error)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
	/* The reader, which sees bytes and no tokens yet, gives an offset alone. */
	struct spw_place place = {0};
	if (parser->error != YAML_READER_ERROR)
		place = place_of(parser->problem_mark);
	return spw_error_set(error, -EINVAL, place,
			     "not YAML: %s%s%s; expected \"key: value\" lines",
			     parser->problem ? parser->problem : "unreadable",
			     parser->context ? " " : "", parser->context ? parser->context : "");
}

/* A second document would be silently ignored: say so instead. */
static int refuse_second(yaml_parser_t *parser, struct spw_error *error)
{
	yaml_document_t second;
	if (!yaml_parser_load(parser, &second))
		return fail_parse(parser, error);
	yaml_node_t *root = yaml_document_get_root_node(&second);
	int rc = 0;
	if (root)
		rc = spw_error_set(error, -EINVAL, place_of(root->start_mark),
				   "a second YAML document starts here; expected one only");
	yaml_document_delete(&second);
	return rc;
}

int spw_marks_open(struct spw_marks *marks, const char *text, size_t text_bytes,
		   struct spw_error *error)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, text_bytes);

	int rc = 0;
	if (!yaml_parser_load(&parser, &marks->document)) {
		rc = fail_parse(&parser, error);
		goto out_parser;
	}
	if (!yaml_document_get_root_node(&marks->document))
		rc = spw_error_set(error, -EINVAL, (struct spw_place){1, 1},
				   "the file is empty; expected \"node: NAME\" and more, see "
				   "docs/configuration.md");
	else
		rc = refuse_second(&parser, error);
	if (rc < 0)
		yaml_document_delete(&marks->document);
out_parser:
	yaml_parser_delete(&parser);
	return rc;
}

void spw_marks_close(struct spw_marks *marks)
{
	yaml_document_delete(&marks->document);
}

struct spw_path spw_path(const char *format, ...)
{
	struct spw_path path;
	va_list args;
	va_start(args, format);
	vsnprintf(path.text, sizeof(path.text), format, args);
	va_end(args);
	return path;
}

static yaml_node_t *node_at(const struct spw_marks *marks, int index)
{
	/* libyaml's getters do not take a const document, though they change nothing. */
	return yaml_document_get_node((yaml_document_t *)&marks->document, index);
}

static yaml_node_t *member(const struct spw_marks *marks, const yaml_node_t *mapping,
			   const char *key, size_t key_chars)
{
	if (mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name = node_at(marks, pair->key);
		if (name->type == YAML_SCALAR_NODE && name->data.scalar.length == key_chars &&
		    memcmp(name->data.scalar.value, key, key_chars) == 0)
			return node_at(marks, pair->value);
	}
	return NULL;
}

static yaml_node_t *item(const struct spw_marks *marks, const yaml_node_t *sequence, size_t index)
{
	if (sequence->type != YAML_SEQUENCE_NODE ||
	    index >= (size_t)(sequence->data.sequence.items.top -
			      sequence->data.sequence.items.start))
		return NULL;
	return node_at(marks, sequence->data.sequence.items.start[index]);
}

/* One step of a path: a key, or the index behind a key. */
struct step {
	const char *text; /* key, or '[' */
	size_t chars;
	bool is_index;
	size_t index;
};

static bool next_step(const char **at, struct step *step)
{
	if (**at == '.')
		(*at)++;
	if (**at == '\0')
		return false;
	step->text = *at;
	step->is_index = **at == '[';
	if (step->is_index) {
		char *end;
		step->index = strtoul(*at + 1, &end, 10);
		*at = *end == ']' ? end + 1 : end;
	} else {
		*at += strcspn(*at, ".[");
	}
	step->chars = (size_t)(*at - step->text);
	return step->chars > 0;
}

static yaml_node_t *descend(const struct spw_marks *marks, yaml_node_t *node,
			    const struct step *step)
{
	return step->is_index ? item(marks, node, step->index)
			      : member(marks, node, step->text, step->chars);
}

struct spw_place spw_marks_place(const struct spw_marks *marks, struct spw_path path)
{
	yaml_node_t *node = node_at(marks, 1);
	struct step step;
	for (const char *at = path.text; next_step(&at, &step);) {
		yaml_node_t *next = descend(marks, node, &step);
		if (!next)
			break;
		node = next;
	}
	return place_of(node->start_mark);
}

/* tunnels[1].allow[0] -> tunnel "x": allow[0]; where there is no name to tell, the path itself. */
static void subject_of(const struct spw_marks *marks, struct spw_path path, char *text,
		       size_t text_bytes)
{
	yaml_node_t *node = node_at(marks, 1);
	struct step step, list = {0};
	size_t used = 0, list_used = 0;
	text[0] = '\0';
	for (const char *at = path.text; next_step(&at, &step);) {
		node = node ? descend(marks, node, &step) : NULL;
		yaml_node_t *name =
			node && step.is_index ? member(marks, node, "name", strlen("name")) : NULL;
		int chars;
		if (name && name->type == YAML_SCALAR_NODE && list.chars > 1) {
			used = list_used; /* "tunnels" becomes: tunnel "x" */
			struct spw_quoted quoted = spw_quote((char *)name->data.scalar.value);
			chars = snprintf(text + used, text_bytes - used, "%s%.*s %s",
					 used ? ": " : "", (int)list.chars - 1, list.text,
					 quoted.text);
		} else {
			bool after_name = used > 0 && text[used - 1] == '"';
			list_used = used;
			chars = snprintf(text + used, text_bytes - used, "%s%.*s",
					 step.is_index || used == 0 ? ""
					 : after_name               ? ": "
								    : ".",
					 (int)step.chars, step.text);
		}
		used += (size_t)chars;
		if (used >= text_bytes)
			return;
		list = step;
	}
}

static int fail_va(const struct spw_marks *marks, struct spw_path path, struct spw_place place,
		   struct spw_error *error, int code, const char *format, va_list args)
{
	char subject[256], text[sizeof(error->text)];
	subject_of(marks, path, subject, sizeof(subject));
	vsnprintf(text, sizeof(text), format, args);
	const char *rest = text;
	if (subject[0] == '\0') /* the whole file: it needs no subject */
		rest += strspn(rest, ": ");
	return spw_error_set(error, code, place, "%s%s", subject, rest);
}

int spw_marks_fail(const struct spw_marks *marks, struct spw_path path, struct spw_error *error,
		   int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int rc = fail_va(marks, path, spw_marks_place(marks, path), error, code, format, args);
	va_end(args);
	return rc;
}

int spw_marks_fail_at(const struct spw_marks *marks, struct spw_path path, struct spw_place place,
		      struct spw_error *error, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int rc = fail_va(marks, path, place, error, code, format, args);
	va_end(args);
	return rc;
}
