/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/cli/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "control/cli/command.h"

json_t *spw_error_make(int code, const char *expected, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);

	json_t *error = json_pack("{s:i, s:s}", "code", code, "message", message);
	if (expected)
		json_object_set_new(error, "data", json_pack("{s:s}", "expected", expected));
	return error;
}

int spw_error_exit(const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));
	const char *symbol =
		json_string_value(json_object_get(json_object_get(error, "data"), "errno"));

	if (code == SPW_ERROR_METHOD || code == SPW_ERROR_PARAMS)
		return SPW_EXIT_NOT_UNDERSTOOD;
	if (symbol && strcmp(symbol, "ENOENT") == 0)
		return SPW_EXIT_NOT_UNDERSTOOD;
	return SPW_EXIT_FAILED;
}

static void print_expected(const json_t *expected)
{
	size_t i;
	json_t *item;

	if (json_is_string(expected)) {
		fprintf(stderr, "expected: %s\n", json_string_value(expected));
	} else if (json_array_size(expected) > 0) {
		fputs("expected one of:", stderr);
		json_array_foreach (expected, i, item)
			fprintf(stderr, "%s %s", i ? "," : "", json_string_value(item) ?: "?");
		fputc('\n', stderr);
	}
}

void spw_error_print(json_t *error, bool json)
{
	if (json) {
		json_t *whole = json_pack("{s:O}", "error", error);
		json_dumpf(whole, stdout, JSON_INDENT(2));
		fputc('\n', stdout);
		json_decref(whole);
	} else {
		const char *message = json_string_value(json_object_get(error, "message"));
		fprintf(stderr, "spillway: %s\n", message ?: "the node gave no reason");
		print_expected(json_object_get(json_object_get(error, "data"), "expected"));
	}
	json_decref(error);
}
