/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error.h - errors as JSON-RPC has them, whether they come from the node or from the command line.
 *
 * An error is {"code", "message", "data": {"expected", "errno", "line"}} (docs/control-api.md); who
 * receives one owns the reference.
 */
#ifndef SPW_CLI_ERROR_H
#define SPW_CLI_ERROR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define SPW_ERROR_METHOD (-32601)
#define SPW_ERROR_PARAMS (-32602)
#define SPW_ERROR_REFUSED (-32000)

/* expected: what would have been right, or NULL. */
__attribute__((format(printf, 3, 4))) json_t *spw_error_make(int code, const char *expected,
							     const char *format, ...);

/* 2 when the command was not understood or named something that is not there, else 1. */
int spw_error_exit(const json_t *error);

/* Text goes to stderr, JSON ({"error": ...}) to stdout. Releases the error. */
void spw_error_print(json_t *error, bool json);

#endif
