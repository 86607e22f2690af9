/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_build.h - from config.yaml as it is written to ops: what config.c and config_tunnels.c
 * share. Used by these alone; struct spw_config owns all that is made.
 */
#ifndef SPW_CONFIG_BUILD_H
#define SPW_CONFIG_BUILD_H

#include "control/daemon/config_file.h"

struct spw_config_build {
	const char *path; /* of config.yaml */
	const struct spw_marks *marks;
	const struct spw_file *file;
	struct spw_config *config;
	struct spw_error *error;
};

/* config.c. Those that return int: 0, or a negative errno with the error set at `path`. */
int spw_config_fail_value(struct spw_config_build *build, struct spw_path path, const char *text,
			  const char *expected);
/* Hands memory of malloc to the configuration; NULL stays NULL. */
void *spw_config_keep(struct spw_config_build *build, void *memory);
struct spw_op *spw_config_push(struct spw_config_build *build, enum spw_op_kind kind,
			       struct spw_path path);
int spw_config_prefix(struct spw_config_build *build, struct spw_path path, const char *text,
		      struct spw_prefix *prefix);
/* text NULL: no cap is made. */
int spw_config_rate(struct spw_config_build *build, struct spw_path path, const char *text,
		    const char *tenant, const char *tunnel, bool out);

/* config_tunnels.c: a key file, whose name starts from the folder of config.yaml; it must be
 * readable. expected: what it should hold. *file_name is kept. */
int spw_config_file(struct spw_config_build *build, struct spw_path path, const char *name,
		    const char *expected, const char **file_name);
int spw_config_tunnel(struct spw_config_build *build, uint32_t i);

#endif
