/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error.h - one sentence about what was wrong, and where.
 *
 * The caller owns the struct; the first error wins. Control's thread only.
 */
#ifndef SPW_ERROR_H
#define SPW_ERROR_H

#include <stdarg.h>
#include <stdio.h>

/* A place in config.yaml or in a batch; line 0: neither (a single command). 1-based. */
struct spw_place {
	int line, column;
};

struct spw_error {
	int code; /* negative errno, 0: no error */
	struct spw_place place;
	char text[512]; /* what was wrong, what was expected, what to do; no newline */
};

/* Records the sentence and returns `code` (a negative errno). */
__attribute__((format(printf, 4, 5))) static inline int
spw_error_set(struct spw_error *error, int code, struct spw_place place, const char *format, ...)
{
	if (error->code == 0) {
		va_list args;
		va_start(args, format);
		vsnprintf(error->text, sizeof(error->text), format, args);
		va_end(args);
		error->code = code;
		error->place = place;
	}
	return code;
}

#endif
