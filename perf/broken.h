/* SPDX-License-Identifier: BSD-2-Clause */
/* broken.h - how a benchmark ends that cannot measure: it says why and exits with 1. Any thread. */
#ifndef SPW_PERF_BROKEN_H
#define SPW_PERF_BROKEN_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn static inline void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void broken(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	exit(1);
}

#endif
