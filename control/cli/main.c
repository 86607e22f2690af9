/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - the command line: find the command, parse its words, ask the node, print the answer.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/client.h"
#include "control/cli/command.h"
#include "control/cli/error.h"

struct globals {
	struct spw_cli cli;
	bool help, version;
};

/* Takes the global options out of argv, wherever they stand; returns the words that are left. */
static int globals_take(int argc, char **argv, struct globals *globals, json_t **error)
{
	int words_cnt = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			globals->cli.json = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			globals->help = true;
		else if (strcmp(argv[i], "--version") == 0)
			globals->version = true;
		else if (strcmp(argv[i], "--node") == 0 && i + 1 < argc)
			globals->cli.node = argv[++i];
		else
			argv[words_cnt++] = argv[i];
	}
	if (words_cnt > 0 && strcmp(argv[words_cnt - 1], "--node") == 0)
		*error = spw_error_make(SPW_ERROR_PARAMS, "--node NAME", "--node needs a name");
	return words_cnt;
}

static int command_call(const struct spw_cli *cli, const struct spw_command *command,
			const json_t *params, json_t **error)
{
	int fd = spw_client_open(cli->node, error);
	if (fd < 0)
		return SPW_EXIT_FAILED;

	json_t *result = spw_client_call(fd, command->method, params, error);
	if (!result)
		spw_names_suggest(fd, command->method, params, *error);
	close(fd);
	if (!result)
		return SPW_EXIT_FAILED;
	if (cli->json) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		fputc('\n', stdout);
	} else if (command->render) {
		command->render(stdout, result);
	}
	json_decref(result);
	return SPW_EXIT_DONE;
}

int spw_batch_run(const struct spw_cli *cli, const struct spw_command *command,
		  const json_t *params, json_t **error)
{
	const char *file = json_string_value(json_object_get(params, "file"));
	bool from_stdin = strcmp(file, "-") == 0;

	FILE *in = from_stdin ? stdin : fopen(file, "re");
	if (!in) {
		*error = spw_error_make(SPW_ERROR_REFUSED, "a file, or - for standard input",
					"cannot read %s: %m", file);
		return SPW_EXIT_FAILED;
	}
	json_t *ops = spw_batch_read(in, from_stdin ? "stdin" : file, error);
	if (!from_stdin)
		fclose(in);
	if (!ops)
		return SPW_EXIT_FAILED;

	json_t *request = json_pack("{s:o}", "ops", ops);
	int status = command_call(cli, command, request, error);
	json_decref(request);
	json_int_t line =
		json_integer_value(json_object_get(json_object_get(*error, "data"), "line"));
	if (line > 0)
		json_object_set_new(
			*error, "message",
			json_sprintf("%s:%lld: %s", from_stdin ? "stdin" : file, (long long)line,
				     json_string_value(json_object_get(*error, "message")) ?: ""));
	return status;
}

static int command_execute(const struct spw_cli *cli, int words_cnt, char **words, json_t **error)
{
	int used;
	const struct spw_command *command = spw_command_find(words_cnt, words, &used, error);
	if (!command)
		return SPW_EXIT_NOT_UNDERSTOOD;

	json_t *params = spw_command_parse(command, words_cnt - used, words + used, error);
	if (!params)
		return SPW_EXIT_NOT_UNDERSTOOD;
	int status = command->run ? command->run(cli, command, params, error)
				  : command_call(cli, command, params, error);
	json_decref(params);
	return status;
}

/* --help after a thing that is not there is an error like any other. */
static int help(int words_cnt, char **words, json_t **error)
{
	int used = 0;
	const struct spw_command *command = NULL;

	if (words_cnt > 0)
		command = spw_command_find(words_cnt, words, &used, error);
	if (command) {
		spw_help_print(stdout, command->thing, command->verb);
	} else if (words_cnt == 0) {
		spw_help_print(stdout, NULL, NULL);
	} else if (words_cnt == 1 && used == 2) { /* a thing without a verb */
		json_decref(*error);
		*error = NULL;
		spw_help_print(stdout, words[0], NULL);
	}
	return *error ? SPW_EXIT_NOT_UNDERSTOOD : SPW_EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct globals globals = {0};
	json_t *error = NULL;
	int status = SPW_EXIT_NOT_UNDERSTOOD;
	int words_cnt = globals_take(argc, argv, &globals, &error);

	signal(SIGPIPE, SIG_DFL);
	if (!error) {
		if (globals.version)
			status = printf("spillway %s\n", SPW_VERSION) < 0;
		else if (globals.help)
			status = help(words_cnt, argv, &error);
		else if (words_cnt == 0 && !globals.cli.json)
			spw_help_print(stderr, NULL, NULL);
		else
			status = command_execute(&globals.cli, words_cnt, argv, &error);
	}
	if (error) {
		status = spw_error_exit(error);
		spw_error_print(error, globals.cli.json);
	}
	if (fflush(stdout) != 0 && status == SPW_EXIT_DONE) {
		perror("spillway: standard output");
		status = SPW_EXIT_FAILED;
	}
	return status;
}
