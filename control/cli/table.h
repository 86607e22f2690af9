/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - JSON values as aligned columns.
 *
 * Columns are described by a constant array; the rows are the objects of a JSON array. The unit of
 * a number follows from its key: _bytes, _kbit, _s.
 */
#ifndef SPW_CLI_TABLE_H
#define SPW_CLI_TABLE_H

#include <jansson.h>
#include <stdio.h>

#define SPW_COLUMNS_MAX 16

struct spw_column {
	const char *title;
	const char *key; /* "name", or "dataplane.pid" */
};

/* Writes a value as people read it: "1.5 MiB", "50 Mbit/s", "3m 12s", "yes", "a, b"; "-" when there
 * is none. key decides the unit. */
void spw_value_format(const char *key, const json_t *value, char *text, size_t text_bytes);

/* Numbers align right, the rest left. With no rows only `nothing` is printed. */
void spw_table_print(FILE *out, const struct spw_column *columns, size_t columns_cnt,
		     const json_t *rows, const char *nothing);

#endif
