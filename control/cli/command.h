/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command.h - what the command line understands, as data.
 *
 * One constant table (commands.c) names every command with its words, its texts and the request
 * that it makes; usage, help, parsing and the batch reader all follow from it. Nothing here is ever
 * freed; the process has one thread.
 */
#ifndef SPW_CLI_COMMAND_H
#define SPW_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum spw_exit { SPW_EXIT_DONE = 0, SPW_EXIT_FAILED = 1, SPW_EXIT_NOT_UNDERSTOOD = 2 };

enum spw_param_kind {
	SPW_PARAM_TEXT,
	SPW_PARAM_NAME,
	SPW_PARAM_PREFIX,
	SPW_PARAM_ENDPOINT,
	SPW_PARAM_RATE,
	SPW_PARAM_KEY,    /* a public key */
	SPW_PARAM_NUMBER, /* decimal or 0x..., at most 32 bits */
	SPW_PARAM_FILE,   /* sent as an absolute path: the daemon runs in another folder */
	SPW_PARAM_FLAG,   /* takes no value */
	SPW_PARAM_CHOICE,
};

struct spw_param {
	const char *word;  /* "--tenant", "tenant"; NULL: given by its position */
	const char *value; /* what stands for the value in the usage: "NAME"; choices: "in|out" */
	const char *key;   /* where it goes in the request: "tenant", "foreign.in.spi" */
	enum spw_param_kind kind;
	bool required;
	bool repeat; /* takes every word up to the next option, and becomes an array */
	const char *help;
};

struct spw_cli { /* of this run of the program */
	const char *node;
	bool json;
};

struct spw_command {
	const char *thing;
	const char *verb;    /* NULL: the thing is the whole command */
	const char *summary; /* one line, no full stop */
	const char *about;   /* what one should know before using it */
	const char *examples;
	const char *usage;  /* the words after its own, where params exclude each other */
	const char *method; /* of the control socket; NULL: `run` does all of it */
	bool change;        /* may stand in a batch */
	const struct spw_param *params; /* ends with a key of NULL; NULL: takes none */
	/* What the table cannot say about params that belong together; NULL: nothing. */
	int (*check)(const struct spw_command *command, const json_t *params, json_t **error);
	/* Prints the result for people; NULL: success is silent. */
	void (*render)(FILE *out, const json_t *result);
	/* Commands that are more than one request. Returns an enum spw_exit; on failure sets *error
	 * or has said it already. */
	int (*run)(const struct spw_cli *cli, const struct spw_command *command,
		   const json_t *params, json_t **error);
};

extern const struct spw_command spw_commands[]; /* ends with a thing of NULL */

/*
 * Finds the command that the words begin with; words_used is set to 1 or 2. NULL: *error says what
 * would have been right.
 */
const struct spw_command *spw_command_find(int words_cnt, char *const *words, int *words_used,
					   json_t **error);

/*
 * Turns the words after the command's own into the request's params (a new reference). NULL:
 * *error says what would have been right.
 */
json_t *spw_command_parse(const struct spw_command *command, int words_cnt, char *const *words,
			  json_t **error);

/* A batch: one changing command to a line. Returns the ops of the `batch` method, a new reference.
 * NULL: *error names file and line. */
json_t *spw_batch_read(FILE *in, const char *file, json_t **error);

/* suggest.c: after the node refused a request because it knows no such name: adds the names that it
 * knows to the error. */
void spw_names_suggest(int fd, const char *method, const json_t *params, json_t *error);

/* help.c. thing NULL: everything; verb NULL: all verbs of the thing. */
void spw_help_print(FILE *out, const char *thing, const char *verb);
/* "spillway tunnel add NAME --tenant NAME ..."; text is cut at text_bytes. */
void spw_usage_format(const struct spw_command *command, char *text, size_t text_bytes);

/* The handlers that are more than one request. */
int spw_batch_run(const struct spw_cli *cli, const struct spw_command *command,
		  const json_t *params, json_t **error);
int spw_key_generate_run(const struct spw_cli *cli, const struct spw_command *command,
			 const json_t *params, json_t **error);
int spw_key_public_run(const struct spw_cli *cli, const struct spw_command *command,
		       const json_t *params, json_t **error);
int spw_supervise_run(const struct spw_cli *cli, const struct spw_command *command,
		      const json_t *params, json_t **error);

#endif
