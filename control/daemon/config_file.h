/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_file.h - config.yaml as it is written: the structs that libcyaml fills, and their schema.
 *
 * Strings are as in the file, optional numbers are pointers (NULL: left out). Memory: libcyaml's,
 * freed by spw_config_free. Used by config*.c alone.
 */
#ifndef SPW_CONFIG_FILE_H
#define SPW_CONFIG_FILE_H

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/config.h"
#include "control/daemon/config_marks.h"

struct spw_file_limits {
	uint32_t *tunnels, *tenants, *routes;
	uint32_t *control_per_source, *control_total; /* messages a second */
};

enum spw_file_on_stop { SPW_ON_STOP_LEFT_OUT, SPW_ON_STOP_DROP, SPW_ON_STOP_PASS };

struct spw_file_interface {
	char *name;
	int role; /* enum spw_port_role */
	char *device;
	uint32_t *vlan;
	char *tenant;
	char **prefixes;
	uint32_t prefixes_cnt;
	int on_stop; /* enum spw_file_on_stop */
};

struct spw_file_route {
	char *prefix, *tunnel;
};

struct spw_file_tenant {
	char *name, *rate;
	struct spw_file_route *routes;
	uint32_t routes_cnt;
};

struct spw_file_static {
	char *secret_file;
};

struct spw_file_direction {
	uint32_t spi;
	char *key_file;
};

struct spw_file_foreign {
	bool esn;
	struct spw_file_direction in, out;
};

struct spw_file_tunnel {
	char *name, *tenant, *remote, *local;
	char *peer, *endpoint, *psk_file, *cipher;
	char **allow;
	uint32_t allow_cnt;
	uint32_t *mtu;
	char *rate_in, *rate_out;
	struct spw_file_static *keys_static;
	struct spw_file_foreign *keys_foreign;
};

struct spw_file_relay {
	char *name;
	uint32_t port;
	char **between;
	uint32_t between_cnt; /* 2 */
	uint32_t *packets;
	char *rate;
};

struct spw_file {
	char *node;
	uint32_t *listen, *workers;
	char *aead, *key_file;
	struct spw_file_limits *limits;
	struct spw_file_interface *interfaces;
	uint32_t interfaces_cnt;
	char **deny;
	uint32_t deny_cnt;
	struct spw_file_tenant *tenants;
	uint32_t tenants_cnt;
	struct spw_file_tunnel *tunnels;
	uint32_t tunnels_cnt;
	struct spw_file_relay *relays;
	uint32_t relays_cnt;
};

extern const cyaml_schema_value_t spw_file_schema; /* of a struct spw_file */

/* config_check.c: the document against the schema: keys, types, syntax of numbers. What passes
 * here, libcyaml takes. 0 or -EINVAL. */
int spw_file_check(const struct spw_marks *marks, struct spw_error *error);

/* config_names.c: fills in the tenant of tunnels and lans where it is left out and only one can be
 * meant. */
int spw_file_fill_tenants(const struct spw_marks *marks, struct spw_file *file,
			  struct spw_error *error);

/* config_names.c: names that break the rules, stand twice or are nobody's. */
int spw_file_check_names(const struct spw_marks *marks, const struct spw_file *file,
			 struct spw_error *error);

/* config_prefixes.c: prefixes that stand twice or overlap where they must not. After the prefixes
 * and the names were found to be right one by one. */
int spw_file_check_prefixes(const struct spw_marks *marks, const struct spw_file *file,
			    struct spw_error *error);

/* config_relays.c: makes the op of one relay, whose strings stay the file's. */
int spw_file_build_relay(const struct spw_marks *marks, const struct spw_file *file, uint32_t i,
			 uint16_t listen_port, struct spw_relay_spec *spec,
			 struct spw_error *error);

#endif
