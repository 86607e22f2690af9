/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - config.yaml, read and checked: the fixed part of a node, and the ops that fill it.
 *
 * docs/configuration.md describes the file. Reading it changes nothing; all that can be known to be
 * wrong without the kernel is refused here, with line and column. Key files must be readable; what
 * they hold is the SA manager's business.
 *
 * Who owns the memory: struct spw_config owns everything that its ops point to, until
 * spw_config_free. Control's thread, at start.
 */
#ifndef SPW_CONFIG_H
#define SPW_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "control/daemon/node.h"
#include "control/daemon/op.h"

#define SPW_CONFIG_BYTES_MAX (16u << 20)

struct spw_config {
	char node[SPW_NAME_BYTES];
	uint16_t listen_port;     /* UDP port of the tunnels */
	char aead[16];            /* "auto" (left out, too), "openssl" or "ipsec-mb" */
	char key_file[256];       /* the private key, an absolute path; empty: none */
	struct spw_limits limits; /* with defaults filled in; limits.workers is `workers` */
	struct spw_interface interfaces[SPW_PORTS_MAX]; /* what the file says; the rest is 0 */
	uint32_t interfaces_cnt;

	/* All the rest, in an order in which every op finds what it names; each with its place. */
	struct spw_op *ops;
	uint32_t ops_cnt;

	/* Of config.c alone: what the ops point into. */
	struct spw_file *file;
	void **kept;
	uint32_t kept_cnt;
};

/* spw_config_load: 0 and *out set, or a negative errno with the first mistake in `error`. */
int spw_config_load(const char *path, struct spw_config **out, struct spw_error *error);

/* The same for a text in memory. path: its folder is where relative names of key files start. */
int spw_config_parse(const char *path, const char *text, size_t text_bytes, struct spw_config **out,
		     struct spw_error *error);

void spw_config_free(struct spw_config *config); /* NULL is allowed */

/* One line for people: "config.yaml:14:7: sentence". Serves errors of a transaction whose ops came
 * from the file as well. */
void spw_config_error_format(const char *path, const struct spw_error *error, char *text,
			     size_t text_bytes);

#endif
