/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * help.c - usage and help, from the table of commands.
 */
#include <stdarg.h>
#include <string.h>

#include "control/cli/command.h"

static const char about_all[] =
	"Spillway forwards tenants' encrypted tunnels beside the owner's own traffic.\n\n"
	"usage: spillway [--node NAME] [--json] THING [VERB] ...\n\n";

static const char options_all[] =
	"\n"
	"  --node NAME  which node, where more than one runs on this host\n"
	"  --json       print the result, or {\"error\": ...}, as one JSON value\n"
	"  --help       after any of the words above: what it does, and an example\n"
	"  --version    print the version\n"
	"\n"
	"exit: 0 done, 1 failed or refused by the node, 2 not understood\n";

__attribute__((format(printf, 4, 5))) static void append(char *text, size_t text_bytes,
							 size_t *length, const char *format, ...)
{
	va_list args;

	if (*length >= text_bytes)
		return;
	va_start(args, format);
	*length += vsnprintf(text + *length, text_bytes - *length, format, args);
	va_end(args);
}

static void param_format(const struct spw_param *param, char *text, size_t text_bytes)
{
	size_t length = 0;

	append(text, text_bytes, &length, "%s", param->word ?: "");
	if (param->value)
		append(text, text_bytes, &length, "%s%s%s", param->word ? " " : "", param->value,
		       param->repeat ? "..." : "");
}

void spw_usage_format(const struct spw_command *command, char *text, size_t text_bytes)
{
	size_t length = 0;
	char one[96];

	append(text, text_bytes, &length, "spillway %s%s%s", command->thing,
	       command->verb ? " " : "", command->verb ?: "");
	if (command->usage) {
		append(text, text_bytes, &length, " %s", command->usage);
		return;
	}
	for (const struct spw_param *p = command->params; p && p->key; p++) {
		param_format(p, one, sizeof(one));
		append(text, text_bytes, &length, p->required ? " %s" : " [%s]", one);
	}
}

static void indented(FILE *out, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		fprintf(out, "  %.*s\n", (int)length, text);
		text += length + (text[length] == '\n');
	}
}

static void command_help(FILE *out, const struct spw_command *command)
{
	char text[1024];

	fprintf(out, "%s%s%s - %s\n\n", command->thing, command->verb ? " " : "",
		command->verb ?: "", command->summary);
	spw_usage_format(command, text, sizeof(text));
	fprintf(out, "usage: %s\n\n%s\n", text, command->about);
	if (command->params)
		fputc('\n', out);
	for (const struct spw_param *p = command->params; p && p->key; p++) {
		param_format(p, text, sizeof(text));
		fprintf(out, "  %-26s%s  %s\n", text,
			strlen(text) > 26 ? "\n                            " : "", p->help);
	}
	fputs(strchr(command->examples, '\n') ? "\nexamples:\n" : "\nexample:\n", out);
	indented(out, command->examples);
}

static void command_brief(FILE *out, const struct spw_command *command)
{
	char words[64];

	snprintf(words, sizeof(words), "%s%s%s", command->thing, command->verb ? " " : "",
		 command->verb ?: "");
	fprintf(out, "  %-17s  %s\n", words, command->summary);
}

void spw_help_print(FILE *out, const char *thing, const char *verb)
{
	if (!thing)
		fputs(about_all, out);
	for (const struct spw_command *c = spw_commands; c->thing; c++) {
		if (thing && strcmp(c->thing, thing) != 0)
			continue;
		if (thing && (!c->verb || (verb && strcmp(c->verb, verb) == 0)))
			command_help(out, c);
		else if (!verb)
			command_brief(out, c);
	}
	if (!thing)
		fputs(options_all, out);
}
