/* SPDX-License-Identifier: BSD-2-Clause */
/* node_name.c - see node_name.h. */
#include "control/daemon/node_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

/* Value of the top-level key `node`, with the place where it or the mistake stands. Empty: none. */
static void find_name(yaml_parser_t *parser, char name[64], struct spw_place *place)
{
	bool is_key = true, wanted = false, done = false;
	yaml_event_t event;
	int depth = 0;

	while (!done && yaml_parser_parse(parser, &event)) {
		yaml_event_type_t type = event.type;
		if (type == YAML_SCALAR_EVENT && depth == 1 && !is_key && wanted) {
			snprintf(name, 64, "%s", (const char *)event.data.scalar.value);
			*place = (struct spw_place){(int)event.start_mark.line + 1,
						    (int)event.start_mark.column + 1};
			done = true;
		}
		if (type == YAML_SCALAR_EVENT && depth == 1 && is_key)
			wanted = strcmp((const char *)event.data.scalar.value, "node") == 0;
		if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
			depth--;
		if (depth == 1 && type != YAML_MAPPING_START_EVENT &&
		    type != YAML_SEQUENCE_START_EVENT)
			is_key = !is_key; /* a key or a whole value has passed */
		if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
			depth++;
		done = done || type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
}

int spw_node_name_read(const char *path, char name[SPW_NAME_BYTES], struct spw_error *error)
{
	struct spw_place place = {0};
	const char *expected = "";
	char found[64] = "";
	yaml_parser_t parser;
	FILE *file = fopen(path, "re");

	if (!file)
		return spw_error_set(error, -errno, place, "cannot read %s: %s", path,
				     strerror(errno));
	if (!yaml_parser_initialize(&parser)) {
		fclose(file);
		return spw_error_set(error, -ENOMEM, place, "no memory to read %s", path);
	}
	yaml_parser_set_input_file(&parser, file);
	find_name(&parser, found, &place);
	if (!found[0] && parser.error != YAML_NO_ERROR)
		spw_error_set(error, -EINVAL,
			      (struct spw_place){(int)parser.problem_mark.line + 1,
						 (int)parser.problem_mark.column + 1},
			      "this is not YAML: %s", parser.problem);
	else if (!found[0])
		spw_error_set(error, -EINVAL, place, "no node is named; expected node: NAME");
	else if (spw_name_check(found, &expected) < 0)
		spw_error_set(error, -EINVAL, place, "node: bad name \"%.40s\"; expected %s", found,
			      expected);
	yaml_parser_delete(&parser);
	fclose(file);
	if (error->code == 0)
		memcpy(name, found, strlen(found) + 1); /* the check has bounded it */
	return error->code;
}
