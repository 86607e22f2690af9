/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/config.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/daemon/config_build.h"
#include "control/daemon/config_file.h"
#include "control/daemon/device.h"
#include "control/daemon/values.h"

#define LISTEN_PORT_DEFAULT 4500 /* RFC 3948 */
#define TUNNELS_DEFAULT 1024
#define TENANTS_DEFAULT 64
#define ROUTES_DEFAULT 100000

/* As in tables/maps.h. */
#define SAS_MAX (UINT32_C(1) << 22)
#define SAS_PER_TUNNEL 4
#define TENANTS_MAX 65535
#define ROUTES_MAX (UINT32_C(1) << 23)

#define CONTROL_PPS_MAX 1000000

#define LIST_BYTES_MIN 4096 /* lists from here on grow by half */

static int fail_memory(struct spw_error *error)
{
	return spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
}

int spw_config_fail_value(struct spw_config_build *build, struct spw_path path, const char *text,
			  const char *expected)
{
	return spw_marks_fail(build->marks, path, build->error, -EINVAL, " is %s; expected %s",
			      spw_quote(text).text, expected);
}

/* ---- the node itself ---------------------------------------------------------------------- */

/* *value: the number in the file, or `other` where it was left out. */
static int build_number(struct spw_config_build *build, const char *path, const uint32_t *in_file,
			uint32_t other, uint32_t max, uint32_t *value)
{
	*value = in_file ? *in_file : other;
	if (*value < 1 || *value > max)
		return spw_marks_fail(build->marks, spw_path("%s", path), build->error, -EINVAL,
				      " is %u; expected 1 to %u", *value, max);
	return 0;
}

static int build_node(struct spw_config_build *build)
{
	static const struct spw_file_limits no_limits;
	const struct spw_file *file = build->file;
	const struct spw_file_limits *in_file = file->limits ? file->limits : &no_limits;
	struct spw_limits *limits = &build->config->limits;
	const char *expected;
	uint32_t listen_port;

	if (spw_name_check(file->node, &expected) < 0)
		return spw_config_fail_value(build, spw_path("node"), file->node, expected);
	snprintf(build->config->node, sizeof(build->config->node), "%s", file->node);

	int rc = build_number(build, "listen", file->listen, LISTEN_PORT_DEFAULT, UINT16_MAX,
			      &listen_port);
	if (rc == 0)
		rc = build_number(build, "workers", file->workers, 1, SPW_WORKERS_MAX,
				  &limits->workers);
	if (rc == 0)
		rc = build_number(build, "limits.tunnels", in_file->tunnels, TUNNELS_DEFAULT,
				  SAS_MAX / SAS_PER_TUNNEL / limits->workers - 1, &limits->tunnels);
	if (rc == 0)
		rc = build_number(build, "limits.tenants", in_file->tenants, TENANTS_DEFAULT,
				  TENANTS_MAX, &limits->tenants);
	if (rc == 0)
		rc = build_number(build, "limits.routes", in_file->routes, ROUTES_DEFAULT,
				  ROUTES_MAX, &limits->routes);
	if (rc == 0 && in_file->control_per_source)
		rc = build_number(build, "limits.control_per_source", in_file->control_per_source,
				  0, CONTROL_PPS_MAX, &limits->control_per_source_pps);
	if (rc == 0 && in_file->control_total)
		rc = build_number(build, "limits.control_total", in_file->control_total, 0,
				  CONTROL_PPS_MAX, &limits->control_total_pps);
	if (rc == 0)
		build->config->listen_port = (uint16_t)listen_port;
	return rc;
}

static int build_aead(struct spw_config_build *build)
{
	static const char *const names[] = {"auto", "openssl", "ipsec-mb"};
	const char *text = build->file->aead ? build->file->aead : names[0];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			snprintf(build->config->aead, sizeof(build->config->aead), "%s", text);
			return 0;
		}
	return spw_config_fail_value(build, spw_path("aead"), text, "auto, openssl or ipsec-mb");
}

static int build_key_file(struct spw_config_build *build)
{
	static const char how[] = "a private key; \"spillway key generate FILE\" makes one";
	char *key_file = build->config->key_file;
	const char *in_file = build->file->key_file, *name;

	if (!in_file)
		return 0;
	int rc = spw_config_file(build, spw_path("key_file"), in_file, how, &name);
	if (rc < 0)
		return rc;
	/* A path of config.yaml may itself be relative; what is passed on must not be. */
	char *full = spw_config_keep(build, realpath(name, NULL));
	if (!full)
		return fail_memory(build->error);
	if (strlen(full) >= sizeof(build->config->key_file))
		return spw_config_fail_value(build, spw_path("key_file"), full,
					     "a path of at most 255 characters");
	strcpy(key_file, full);
	return 0;
}

static bool is_ifname(const char *name)
{
	return strlen(name) < sizeof(((struct spw_interface *)0)->ifname) && name[0] != '.' &&
	       strcspn(name, "/: \t\n\r\v\f") == strlen(name);
}

/* Which keys go with which role. */
static int check_role(struct spw_config_build *build, uint32_t i)
{
	const struct spw_file_interface *in = &build->file->interfaces[i];
	const char *strange = NULL;
	if (in->role == SPW_PORT_WAN) {
		if (in->tenant)
			strange = "tenant";
		else if (in->prefixes)
			strange = "prefixes";
		else if (in->on_stop != SPW_ON_STOP_LEFT_OUT)
			strange = "on_stop";
		if (strange)
			return spw_marks_fail(build->marks,
					      spw_path("interfaces[%u].%s", i, strange),
					      build->error, -EINVAL,
					      " is for a lan; expected it left out where role is "
					      "wan");
		return 0;
	}
	if (!in->tenant || !in->prefixes)
		return spw_marks_fail(build->marks, spw_path("interfaces[%u]", i), build->error,
				      -EINVAL,
				      ": no key \"%s\"; expected \"tenant: NAME\" and "
				      "\"prefixes: [...]\" where role is lan",
				      in->tenant ? "prefixes" : "tenant");
	return 0;
}

/* What a device is called, and that it is there to be taken. */
static int build_device(struct spw_config_build *build, uint32_t i)
{
	const char *device = build->file->interfaces[i].device, *expected;
	struct spw_path path = spw_path("interfaces[%u].device", i);
	char why[400];

	if (!device)
		return 0;
	if (spw_device_check(device, &expected) < 0)
		return spw_config_fail_value(build, path, device, expected);
	for (uint32_t other = 0; other < i; other++) {
		const char *above = build->file->interfaces[other].device;
		if (above && strcasecmp(device, above) == 0)
			return spw_config_fail_value(
				build, path, device,
				"every device once; this one stands above already");
	}
	int rc = spw_device_ready("", device, why, sizeof(why));
	if (rc < 0)
		return spw_marks_fail(build->marks, path, build->error, rc, " %s: %s",
				      spw_quote(device).text, why);
	snprintf(build->config->interfaces[i].device, sizeof(build->config->interfaces[i].device),
		 "%s", device);
	return 0;
}

static int build_interface(struct spw_config_build *build, uint32_t i)
{
	const struct spw_file_interface *in = &build->file->interfaces[i];
	struct spw_interface *out = &build->config->interfaces[i];
	if (!is_ifname(in->name))
		return spw_config_fail_value(
			build, spw_path("interfaces[%u].name", i), in->name,
			"an interface's name: 1 to 15 characters without \"/\", \":\" or "
			"spaces");
	for (uint32_t other = 0; other < i; other++)
		if (strcmp(in->name, build->file->interfaces[other].name) == 0)
			return spw_config_fail_value(
				build, spw_path("interfaces[%u].name", i), in->name,
				"every interface once; this one stands above already");
	if (in->vlan && (*in->vlan < 1 || *in->vlan > 4094))
		return spw_marks_fail(
			build->marks, spw_path("interfaces[%u].vlan", i), build->error, -EINVAL,
			" is %u; expected 1 to 4094, or no such key for untagged", *in->vlan);
	int rc = check_role(build, i);
	if (rc == 0)
		rc = build_device(build, i);
	if (rc < 0)
		return rc;
	snprintf(out->ifname, sizeof(out->ifname), "%s", in->name);
	out->role = (uint8_t)in->role;
	out->vlan = in->vlan ? (uint16_t)*in->vlan : 0;
	out->on_stop_pass = in->on_stop == SPW_ON_STOP_PASS;
	snprintf(out->tenant, sizeof(out->tenant), "%s", in->tenant ? in->tenant : "");
	return 0;
}

static int build_interfaces(struct spw_config_build *build)
{
	bool wan = false;
	for (uint32_t i = 0; i < build->file->interfaces_cnt; i++) {
		int rc = build_interface(build, i);
		if (rc < 0)
			return rc;
		wan |= build->config->interfaces[i].role == SPW_PORT_WAN;
	}
	build->config->interfaces_cnt = build->file->interfaces_cnt;
	if (!wan)
		return spw_marks_fail(build->marks, spw_path("interfaces"), build->error, -EINVAL,
				      ": no interface with role wan; expected one at least, it "
				      "carries the tunnels");
	return 0;
}

/* ---- ops ---------------------------------------------------------------------------------- */

void *spw_config_keep(struct spw_config_build *build, void *memory)
{
	struct spw_config *config = build->config;
	if (memory)
		config->kept[config->kept_cnt++] = memory;
	return memory;
}

struct spw_op *spw_config_push(struct spw_config_build *build, enum spw_op_kind kind,
			       struct spw_path path)
{
	struct spw_op *op = &build->config->ops[build->config->ops_cnt++];
	op->kind = kind;
	op->place = spw_marks_place(build->marks, path);
	return op;
}

int spw_config_prefix(struct spw_config_build *build, struct spw_path path, const char *text,
		      struct spw_prefix *prefix)
{
	const char *expected;
	if (spw_prefix_parse(text, prefix, &expected) < 0)
		return spw_config_fail_value(build, path, text, expected);
	return 0;
}

int spw_config_rate(struct spw_config_build *build, struct spw_path path, const char *text,
		    const char *tenant, const char *tunnel, bool out)
{
	const char *expected;
	if (!text)
		return 0;
	struct spw_op *op = spw_config_push(build, SPW_OP_RATE_SET, path);
	op->rate.tenant = tenant;
	op->rate.tunnel = tunnel;
	op->rate.in = !out;
	op->rate.out = out;
	if (spw_rate_parse(text, &op->rate.rate_kbit, &expected) < 0)
		return spw_config_fail_value(build, path, text, expected);
	return 0;
}

static int build_routes(struct spw_config_build *build, uint32_t i)
{
	const struct spw_file_tenant *in = &build->file->tenants[i];
	for (uint32_t j = 0; j < in->routes_cnt; j++) {
		struct spw_path path = spw_path("tenants[%u].routes[%u].prefix", i, j);
		struct spw_op *op = spw_config_push(build, SPW_OP_ROUTE_ADD, path);
		op->route.tenant = in->name;
		op->route.tunnel = in->routes[j].tunnel;
		int rc = spw_config_prefix(build, path, in->routes[j].prefix, &op->route.prefix);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int build_lans(struct spw_config_build *build, uint32_t i)
{
	const struct spw_file_interface *in = &build->file->interfaces[i];
	for (uint32_t j = 0; j < in->prefixes_cnt; j++) {
		struct spw_path path = spw_path("interfaces[%u].prefixes[%u]", i, j);
		struct spw_op *op = spw_config_push(build, SPW_OP_LAN_ADD, path);
		op->lan.port = i;
		int rc = spw_config_prefix(build, path, in->prefixes[j], &op->lan.prefix);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int allocate_ops(struct spw_config_build *build)
{
	const struct spw_file *file = build->file;
	size_t ops = (size_t)file->tenants_cnt * 2 + (size_t)file->tunnels_cnt * 3 +
		     file->deny_cnt + file->relays_cnt;
	for (uint32_t i = 0; i < file->tenants_cnt; i++)
		ops += file->tenants[i].routes_cnt;
	for (uint32_t i = 0; i < file->interfaces_cnt; i++)
		ops += file->interfaces[i].prefixes_cnt;
	build->config->ops = calloc(ops + 1, sizeof(*build->config->ops));
	/* A tunnel keeps its allowed prefixes, their places, and up to two names of files; the node
	 * keeps that of its key, as written and resolved. */
	build->config->kept = calloc((size_t)file->tunnels_cnt * 4 + 2, sizeof(void *));
	return build->config->ops && build->config->kept ? 0 : fail_memory(build->error);
}

/* Tenants first, then what belongs to them, then routes, which name tunnels; relays are apart. */
static int build_ops(struct spw_config_build *build)
{
	const struct spw_file *file = build->file;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < file->tenants_cnt; i++) {
		struct spw_op *op =
			spw_config_push(build, SPW_OP_TENANT_ADD, spw_path("tenants[%u].name", i));
		op->tenant.name = file->tenants[i].name;
		rc = spw_config_rate(build, spw_path("tenants[%u].rate", i), file->tenants[i].rate,
				     file->tenants[i].name, NULL, false);
	}
	for (uint32_t i = 0; rc == 0 && i < file->deny_cnt; i++) {
		struct spw_op *op =
			spw_config_push(build, SPW_OP_DENY_ADD, spw_path("deny[%u]", i));
		rc = spw_config_prefix(build, spw_path("deny[%u]", i), file->deny[i],
				       &op->deny.prefix);
	}
	for (uint32_t i = 0; rc == 0 && i < file->interfaces_cnt; i++)
		rc = build_lans(build, i);
	for (uint32_t i = 0; rc == 0 && i < file->tunnels_cnt; i++)
		rc = spw_config_tunnel(build, i);
	for (uint32_t i = 0; rc == 0 && i < file->tenants_cnt; i++)
		rc = build_routes(build, i);
	for (uint32_t i = 0; rc == 0 && i < file->relays_cnt; i++) {
		struct spw_op *op =
			spw_config_push(build, SPW_OP_RELAY_ADD, spw_path("relays[%u]", i));
		rc = spw_file_build_relay(build->marks, file, i, build->config->listen_port,
					  &op->relay, build->error);
	}
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* libcyaml grows a list entry by entry; long lists must not be copied for each. */
static void *grow(void *context, void *memory, size_t bytes)
{
	(void)context;
	if (bytes == 0) {
		free(memory);
		return NULL;
	}
	if (memory && bytes <= malloc_usable_size(memory))
		return memory;
	return realloc(memory, bytes < LIST_BYTES_MIN ? bytes : bytes + bytes / 2);
}

static const cyaml_config_t cyaml_settings = {
	.mem_fn = grow,
	.log_level = CYAML_LOG_ERROR, /* and no log_fn: spw_file_check has said it better */
	.flags = CYAML_CFG_NO_ALIAS,
};

static int read_file(struct spw_config_build *build, const char *text, size_t text_bytes)
{
	int rc = spw_file_check(build->marks, build->error);
	if (rc < 0)
		return rc;
	cyaml_data_t *data = NULL;
	cyaml_err_t problem = cyaml_load_data((const uint8_t *)text, text_bytes, &cyaml_settings,
					      &spw_file_schema, &data, NULL);
	if (problem != CYAML_OK)
		return spw_error_set(build->error, -EINVAL, (struct spw_place){0},
				     "not as docs/configuration.md describes it: %s",
				     cyaml_strerror(problem));
	build->config->file = data;
	build->file = data;
	return spw_file_fill_tenants(build->marks, build->config->file, build->error);
}

int spw_config_parse(const char *path, const char *text, size_t text_bytes, struct spw_config **out,
		     struct spw_error *error)
{
	struct spw_marks marks;
	struct spw_config *config = calloc(1, sizeof(*config));
	if (!config)
		return fail_memory(error);
	struct spw_config_build build = {
		.path = path, .marks = &marks, .config = config, .error = error};
	int rc = spw_marks_open(&marks, text, text_bytes, error);
	if (rc < 0)
		goto out_config;

	rc = read_file(&build, text, text_bytes);
	if (rc == 0)
		rc = spw_file_check_names(&marks, build.file, error);
	if (rc == 0)
		rc = build_node(&build);
	if (rc == 0)
		rc = build_aead(&build);
	if (rc == 0)
		rc = allocate_ops(&build);
	if (rc == 0)
		rc = build_key_file(&build);
	if (rc == 0)
		rc = build_interfaces(&build);
	if (rc == 0)
		rc = build_ops(&build);
	if (rc == 0)
		rc = spw_file_check_prefixes(&marks, build.file, error);
	spw_marks_close(&marks);
out_config:
	if (rc < 0)
		spw_config_free(config);
	else
		*out = config;
	return rc;
}

static int fail_read(const char *path, int problem, struct spw_error *error)
{
	return spw_error_set(error, -problem, (struct spw_place){0},
			     "cannot read it: %s; expected a file such as docs/configuration.md "
			     "describes (path: %s)",
			     strerror(problem), spw_quote(path).text);
}

int spw_config_load(const char *path, struct spw_config **out, struct spw_error *error)
{
	int rc;
	char *text = NULL;
	FILE *stream = fopen(path, "re");
	if (!stream)
		return fail_read(path, errno, error);
	text = malloc(SPW_CONFIG_BYTES_MAX + 1);
	if (!text) {
		rc = fail_memory(error);
		goto out;
	}
	size_t bytes = fread(text, 1, SPW_CONFIG_BYTES_MAX + 1, stream);
	if (ferror(stream))
		rc = fail_read(path, errno ? errno : EIO, error);
	else if (bytes > SPW_CONFIG_BYTES_MAX)
		rc = spw_error_set(error, -EFBIG, (struct spw_place){0},
				   "longer than 16 MiB; expected fewer routes, or the rest through "
				   "\"spillway batch\"");
	else
		rc = spw_config_parse(path, text, bytes, out, error);
out:
	free(text);
	fclose(stream);
	return rc;
}

void spw_config_free(struct spw_config *config)
{
	if (!config)
		return;
	if (config->file)
		cyaml_free(&cyaml_settings, &spw_file_schema, config->file, 0);
	for (uint32_t i = 0; i < config->kept_cnt; i++)
		free(config->kept[i]);
	free(config->kept);
	free(config->ops);
	free(config);
}

void spw_config_error_format(const char *path, const struct spw_error *error, char *text,
			     size_t text_bytes)
{
	if (error->place.line > 0)
		snprintf(text, text_bytes, "%s:%d:%d: %s", path, error->place.line,
			 error->place.column, error->text);
	else
		snprintf(text, text_bytes, "%s: %s", path, error->text);
}
