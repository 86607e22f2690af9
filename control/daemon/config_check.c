/* SPDX-License-Identifier: BSD-2-Clause */
/* config.yaml against its schema: which keys, which types, which words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/config_file.h"
#include "control/daemon/values.h"

#define KEYS_MAX 16 /* keys that one mapping of the schema may have */
#define LIST_CHARS_MAX 256

struct check {
	const struct spw_marks *marks;
	struct spw_error *error;
	bool *seen; /* by node index: a node met twice is an alias */
};

static int check_value(struct check *check, int index, const cyaml_schema_value_t *schema,
		       struct spw_path path);

static yaml_node_t *node_at(const struct check *check, int index)
{
	return yaml_document_get_node((yaml_document_t *)&check->marks->document, index);
}

static struct spw_place key_place(const yaml_node_t *key)
{
	return (struct spw_place){.line = (int)key->start_mark.line + 1,
				  .column = (int)key->start_mark.column + 1};
}

/* Aliases would let a small file unfold into an endless one; nothing here needs them. */
static int meet(struct check *check, int index, struct spw_path path)
{
	if (check->seen[index])
		return spw_marks_fail(check->marks, path, check->error, -EINVAL,
				      ": an alias (*name) is not taken here; expected the value "
				      "written out");
	check->seen[index] = true;
	return 0;
}

static const char *type_name(const yaml_node_t *node)
{
	if (node->type == YAML_MAPPING_NODE)
		return "a mapping";
	if (node->type == YAML_SEQUENCE_NODE)
		return "a list";
	return node->data.scalar.length == 0 ? "empty" : "a single value";
}

static int fail_type(struct check *check, const yaml_node_t *node, struct spw_path path,
		     const char *expected)
{
	return spw_marks_fail(check->marks, path, check->error, -EINVAL, " is %s; expected %s",
			      type_name(node), expected);
}

static void list_words(const char *const *words, size_t words_cnt, char list[LIST_CHARS_MAX])
{
	size_t used = 0;
	list[0] = '\0';
	for (size_t i = 0; i < words_cnt && used < LIST_CHARS_MAX; i++)
		used += (size_t)snprintf(list + used, LIST_CHARS_MAX - used, "%s%s",
					 i == 0               ? ""
					 : i == words_cnt - 1 ? " or "
							      : ", ",
					 words[i]);
}

/* ": unknown key "remot"; did you mean "remote"? expected name, tenant or remote" */
static int fail_key(struct check *check, const yaml_node_t *key, const cyaml_schema_field_t *fields,
		    struct spw_path path)
{
	const char *words[KEYS_MAX];
	char list[LIST_CHARS_MAX];
	size_t words_cnt = 0;
	for (; fields[words_cnt].key && words_cnt < KEYS_MAX; words_cnt++)
		words[words_cnt] = fields[words_cnt].key;
	list_words(words, words_cnt, list);
	if (key->type != YAML_SCALAR_NODE)
		return spw_marks_fail_at(check->marks, path, key_place(key), check->error, -EINVAL,
					 ": a key is %s; expected %s", type_name(key), list);
	const char *text = (const char *)key->data.scalar.value;
	const char *nearest = spw_word_nearest(text, words, words_cnt);
	return spw_marks_fail_at(check->marks, path, key_place(key), check->error, -EINVAL,
				 ": unknown key %s; %s%s%sexpected %s", spw_quote(text).text,
				 nearest ? "did you mean \"" : "", nearest ? nearest : "",
				 nearest ? "\"? " : "", list);
}

static const cyaml_schema_field_t *find_field(const cyaml_schema_field_t *fields,
					      const yaml_node_t *key)
{
	if (key->type != YAML_SCALAR_NODE)
		return NULL;
	for (; fields->key; fields++)
		if (strlen(fields->key) == key->data.scalar.length &&
		    memcmp(fields->key, key->data.scalar.value, key->data.scalar.length) == 0)
			return fields;
	return NULL;
}

static int check_missing(struct check *check, const cyaml_schema_field_t *fields, uint32_t present,
			 struct spw_path path)
{
	for (size_t i = 0; fields[i].key; i++)
		if (!(present >> i & 1) && !(fields[i].value.flags & CYAML_FLAG_OPTIONAL))
			return spw_marks_fail(check->marks, path, check->error, -EINVAL,
					      ": no key \"%s\"; expected \"%s: ...\" here",
					      fields[i].key, fields[i].key);
	return 0;
}

static int check_mapping(struct check *check, const yaml_node_t *node,
			 const cyaml_schema_value_t *schema, struct spw_path path)
{
	const cyaml_schema_field_t *fields = schema->mapping.fields;
	uint32_t present = 0;
	if (node->type != YAML_MAPPING_NODE)
		return fail_type(check, node, path, "a mapping (\"key: value\" lines)");
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = node_at(check, pair->key);
		int rc = meet(check, pair->key, path);
		if (rc < 0)
			return rc;
		const cyaml_schema_field_t *field = find_field(fields, key);
		if (!field)
			return fail_key(check, key, fields, path);
		uint32_t bit = UINT32_C(1) << (field - fields);
		if (present & bit)
			return spw_marks_fail_at(check->marks, path, key_place(key), check->error,
						 -EINVAL,
						 ": the key \"%s\" stands here twice; expected it "
						 "once",
						 field->key);
		present |= bit;
		rc = check_value(
			check, pair->value, &field->value,
			spw_path("%s%s%s", path.text, path.text[0] ? "." : "", field->key));
		if (rc < 0)
			return rc;
	}
	return check_missing(check, fields, present, path);
}

static int check_sequence(struct check *check, const yaml_node_t *node,
			  const cyaml_schema_value_t *schema, struct spw_path path)
{
	if (node->type != YAML_SEQUENCE_NODE)
		return fail_type(check, node, path,
				 "a list: [a, b] or lines that start with \"- \"");
	size_t cnt = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (cnt < schema->sequence.min || cnt > schema->sequence.max)
		return spw_marks_fail(check->marks, path, check->error, -EINVAL,
				      " has %zu entries; expected %s %u", cnt,
				      cnt < schema->sequence.min ? "at least" : "at most",
				      cnt < schema->sequence.min ? schema->sequence.min
								 : schema->sequence.max);
	for (size_t i = 0; i < cnt; i++) {
		int rc = check_value(check, node->data.sequence.items.start[i],
				     schema->sequence.entry, spw_path("%s[%zu]", path.text, i));
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Decimal without leading zeros (which libcyaml would read as octal), or 0x and hex digits. */
static bool is_number(const char *text)
{
	const char *digits = "0123456789";
	if (text[0] == '0' && text[1] == 'x') {
		digits = "0123456789abcdefABCDEF";
		text += 2;
	} else if (text[0] == '0' && text[1] != '\0') {
		return false;
	}
	size_t chars = strspn(text, digits);
	if (chars == 0 || text[chars] != '\0' || chars > 10)
		return false;
	return strtoull(text, NULL, digits[10] ? 16 : 10) <= UINT32_MAX;
}

static int check_scalar(struct check *check, const yaml_node_t *node,
			const cyaml_schema_value_t *schema, struct spw_path path)
{
	char list[LIST_CHARS_MAX] = "a single value";
	const char *text = NULL;
	bool good = false;
	if (node->type == YAML_SCALAR_NODE) {
		text = (const char *)node->data.scalar.value;
		good = strlen(text) == node->data.scalar.length && text[0] != '\0';
	}
	if (schema->type == CYAML_UINT) {
		snprintf(list, sizeof(list), "a whole number from 0 to %u", UINT32_MAX);
		good = good && is_number(text);
	} else if (schema->type == CYAML_BOOL) {
		snprintf(list, sizeof(list), "true or false");
		good = good && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
	} else if (schema->type == CYAML_ENUM) {
		const char *words[KEYS_MAX] = {0};
		size_t words_cnt = 0;
		bool known = false;
		for (; words_cnt < schema->enumeration.count && words_cnt < KEYS_MAX; words_cnt++) {
			words[words_cnt] = schema->enumeration.strings[words_cnt].str;
			known |= good && strcmp(text, words[words_cnt]) == 0;
		}
		list_words(words, words_cnt, list);
		good = known;
	}
	if (good)
		return 0;
	if (!text || text[0] == '\0')
		return fail_type(check, node, path, list);
	return spw_marks_fail(check->marks, path, check->error, -EINVAL, " is %s; expected %s",
			      spw_quote(text).text, list);
}

static int check_value(struct check *check, int index, const cyaml_schema_value_t *schema,
		       struct spw_path path)
{
	const yaml_node_t *node = node_at(check, index);
	int rc = meet(check, index, path);
	if (rc < 0)
		return rc;
	if (schema->type == CYAML_MAPPING)
		return check_mapping(check, node, schema, path);
	if (schema->type == CYAML_SEQUENCE)
		return check_sequence(check, node, schema, path);
	return check_scalar(check, node, schema, path);
}

int spw_file_check(const struct spw_marks *marks, struct spw_error *error)
{
	const yaml_document_t *document = &marks->document;
	size_t nodes_cnt = (size_t)(document->nodes.top - document->nodes.start);
	struct check check = {.marks = marks, .error = error};
	check.seen = calloc(nodes_cnt + 1, sizeof(*check.seen));
	if (!check.seen)
		return spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
	int rc = check_value(&check, 1, &spw_file_schema, spw_path("%s", ""));
	free(check.seen);
	return rc;
}
