/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - one line to stderr, "level area: text", for people and for whatever collects it.
 *
 * Levels: "error", "warning", "info". Never a key, never once per packet. Control's thread only.
 */
#ifndef SPW_LOG_H
#define SPW_LOG_H

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static inline void
spw_log(const char *level, const char *area, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "%s %s: %s\n", level, area, text);
}

#endif
