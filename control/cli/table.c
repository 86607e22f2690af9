/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/cli/table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CELL_BYTES 160

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void scaled_format(double number, double base, const char *const *units, char *text,
			  size_t text_bytes)
{
	size_t unit = 0;

	for (; number >= base && units[unit + 1]; unit++)
		number /= base;
	/* One decimal where it says something, none for whole numbers. */
	if (number == (double)(uint64_t)number || number >= 100)
		snprintf(text, text_bytes, "%.0f %s", number, units[unit]);
	else
		snprintf(text, text_bytes, "%.1f %s", number, units[unit]);
}

static void age_format(uint64_t seconds, char *text, size_t text_bytes)
{
	if (seconds < 60)
		snprintf(text, text_bytes, "%" PRIu64 "s", seconds);
	else if (seconds < 3600)
		snprintf(text, text_bytes, "%" PRIu64 "m %" PRIu64 "s", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(text, text_bytes, "%" PRIu64 "h %" PRIu64 "m", seconds / 3600,
			 seconds / 60 % 60);
	else
		snprintf(text, text_bytes, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400,
			 seconds / 3600 % 24);
}

static void number_format(const char *key, double number, char *text, size_t text_bytes)
{
	static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL};
	static const char *const rates[] = {"kbit/s", "Mbit/s", "Gbit/s", NULL};

	if (ends_with(key, "bytes"))
		scaled_format(number, 1024, bytes, text, text_bytes);
	else if (ends_with(key, "_kbit"))
		scaled_format(number, 1000, rates, text, text_bytes);
	else if (ends_with(key, "_s") && number >= 0)
		age_format(number, text, text_bytes);
	else if (ends_with(key, "spi"))
		snprintf(text, text_bytes, "0x%08" PRIx32, (uint32_t)number);
	else
		snprintf(text, text_bytes, "%.0f", number);
}

static void list_format(const char *key, const json_t *list, char *text, size_t text_bytes)
{
	size_t i, length = 0;
	json_t *item;

	snprintf(text, text_bytes, "-");
	json_array_foreach (list, i, item) {
		char one[CELL_BYTES];
		spw_value_format(key, item, one, sizeof(one));
		if (length < text_bytes)
			length += snprintf(text + length, text_bytes - length, "%s%s",
					   i ? ", " : "", one);
	}
}

void spw_value_format(const char *key, const json_t *value, char *text, size_t text_bytes)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		snprintf(text, text_bytes, "%s",
			 *json_string_value(value) ? json_string_value(value) : "-");
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		number_format(key, json_number_value(value), text, text_bytes);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		snprintf(text, text_bytes, json_is_true(value) ? "yes" : "no");
		break;
	case JSON_ARRAY:
		list_format(key, value, text, text_bytes);
		break;
	case JSON_OBJECT: {
		char *dumped = json_dumps(value, JSON_COMPACT);
		snprintf(text, text_bytes, "%s", dumped ?: "-");
		free(dumped);
		break;
	}
	case JSON_NULL:
		snprintf(text, text_bytes, "-");
		break;
	}
}

static const json_t *member(const json_t *row, const char *key)
{
	char name[32];

	for (const char *dot; (dot = strchr(key, '.')); key = dot + 1) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - key), key);
		row = json_object_get(row, name);
	}
	return json_object_get(row, key);
}

static void cells_print(FILE *out, char (*cells)[CELL_BYTES], const size_t *widths,
			const bool *right, size_t cnt)
{
	for (size_t c = 0; c < cnt; c++) {
		bool last = c + 1 == cnt;
		if (right[c])
			fprintf(out, "%*s", (int)widths[c], cells[c]);
		else
			fprintf(out, "%-*s", last ? 0 : (int)widths[c], cells[c]);
		fputs(last ? "\n" : "  ", out);
	}
}

void spw_table_print(FILE *out, const struct spw_column *columns, size_t columns_cnt,
		     const json_t *rows, const char *nothing)
{
	char cells[SPW_COLUMNS_MAX][CELL_BYTES];
	size_t widths[SPW_COLUMNS_MAX], i;
	bool right[SPW_COLUMNS_MAX];
	json_t *row;

	if (json_array_size(rows) == 0) {
		fprintf(out, "%s\n", nothing);
		return;
	}
	/* Two passes over the rows, so that a long list needs no memory of its own. */
	for (size_t c = 0; c < columns_cnt; c++) {
		widths[c] = strlen(columns[c].title);
		right[c] = json_is_number(member(json_array_get(rows, 0), columns[c].key));
		snprintf(cells[c], CELL_BYTES, "%s", columns[c].title);
		json_array_foreach (rows, i, row) {
			char cell[CELL_BYTES];
			spw_value_format(columns[c].key, member(row, columns[c].key), cell,
					 sizeof(cell));
			if (strlen(cell) > widths[c])
				widths[c] = strlen(cell);
		}
	}
	cells_print(out, cells, widths, right, columns_cnt);
	json_array_foreach (rows, i, row) {
		for (size_t c = 0; c < columns_cnt; c++)
			spw_value_format(columns[c].key, member(row, columns[c].key), cells[c],
					 CELL_BYTES);
		cells_print(out, cells, widths, right, columns_cnt);
	}
}
