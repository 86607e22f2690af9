/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_marks.h - where in config.yaml something stands, for sentences about it.
 *
 * libcyaml forgets lines and columns, so the text is parsed once more into libyaml's document, and
 * a value is found there by its path, such as "tunnels[1].allow[0]".
 *
 * Who owns the memory: the caller, from spw_marks_open to spw_marks_close. Any one thread.
 */
#ifndef SPW_CONFIG_MARKS_H
#define SPW_CONFIG_MARKS_H

#include <stddef.h>
#include <yaml.h>

#include "control/daemon/error.h"

struct spw_marks {
	yaml_document_t document;
};

struct spw_path {
	char text[96];
};

/* Parses one document. 0, or -EINVAL with what libyaml said; then there is nothing to close. */
int spw_marks_open(struct spw_marks *marks, const char *text, size_t text_bytes,
		   struct spw_error *error);
void spw_marks_close(struct spw_marks *marks);

__attribute__((format(printf, 1, 2))) struct spw_path spw_path(const char *format, ...);

/* The place of the value at `path`; of the last value on the way where it does not exist. */
struct spw_place spw_marks_place(const struct spw_marks *marks, struct spw_path path);

/* Records a sentence about the value at `path`: its subject (tunnel "x": allow[0]), then the text,
 * which starts with ": " or with a space and a verb. Returns code. */
__attribute__((format(printf, 5, 6))) int spw_marks_fail(const struct spw_marks *marks,
							 struct spw_path path,
							 struct spw_error *error, int code,
							 const char *format, ...);

/* The same, but at a place of the caller's. */
__attribute__((format(printf, 6, 7))) int
spw_marks_fail_at(const struct spw_marks *marks, struct spw_path path, struct spw_place place,
		  struct spw_error *error, int code, const char *format, ...);

#endif
