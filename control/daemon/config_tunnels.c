/* SPDX-License-Identifier: BSD-2-Clause */
/* config_tunnels.c - the tunnels of config.yaml, and the key files that they name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/base64.h"
#include "control/daemon/config_build.h"
#include "control/daemon/values.h"

static const char hex_digits[] = "hex digits";

int spw_config_file(struct spw_config_build *build, struct spw_path path, const char *name,
		    const char *expected, const char **file_name)
{
	const char *slash = strrchr(build->path, '/');
	int folder_chars = name[0] != '/' && slash ? (int)(slash - build->path) + 1 : 0;
	char *full;
	if (asprintf(&full, "%.*s%s", folder_chars, build->path, name) < 0)
		return spw_error_set(build->error, -ENOMEM, (struct spw_place){0}, "out of memory");
	*file_name = spw_config_keep(build, full);

	struct stat status;
	int problem = 0;
	if (stat(full, &status) < 0 || access(full, R_OK) < 0)
		problem = errno;
	else if (!S_ISREG(status.st_mode))
		problem = EISDIR;
	if (problem)
		return spw_marks_fail(
			build->marks, path, build->error, -problem,
			" %s: %s; expected a readable file with %s", spw_quote(full).text,
			problem == EISDIR ? "not a regular file" : strerror(problem), expected);
	return 0;
}

static int build_direction(struct spw_config_build *build, uint32_t i, const char *which,
			   const struct spw_file_direction *direction,
			   struct spw_foreign_spec *spec)
{
	const char *expected;
	if (spw_value_spi(direction->spi, which[0] == 'i', &spec->spi, &expected) < 0)
		return spw_marks_fail(
			build->marks, spw_path("tunnels[%u].foreign.%s.spi", i, which),
			build->error, -EINVAL, " is 0x%x; expected %s", direction->spi, expected);
	return spw_config_file(build, spw_path("tunnels[%u].foreign.%s.key_file", i, which),
			       direction->key_file, hex_digits, &spec->key_file);
}

/* Which of the three ways to keys the tunnel takes. */
static int check_ways(struct spw_config_build *build, uint32_t i)
{
	const struct spw_file_tunnel *in = &build->file->tunnels[i];
	int ways = !!in->peer + !!in->keys_static + !!in->keys_foreign;
	if (ways != 1)
		return spw_marks_fail(
			build->marks, spw_path("tunnels[%u]", i), build->error, -EINVAL,
			": %s; expected one of them: peer or static where the peer is a Spillway "
			"node, foreign for any other",
			ways == 0   ? "no key \"peer\", \"static\" or \"foreign\""
			: !in->peer ? "both \"static\" and \"foreign\" stand here"
				    : "\"peer\" and fixed keys stand here");
	const char *strange = NULL, *where = in->peer ? "with peer" : "without peer";
	const char *instead = "";
	if (in->peer && in->remote) {
		strange = "remote";
		instead = ", and \"endpoint: ...\" in its place";
	} else if (!in->peer && in->endpoint) {
		strange = "endpoint";
		instead = ", and \"remote: ...\" in its place";
	} else if (!in->peer && in->psk_file) {
		strange = "psk_file";
	} else if (in->keys_foreign && in->cipher) {
		strange = "cipher";
		where = "with foreign";
		instead = ": a key's length says which it is";
	}
	if (strange)
		return spw_marks_fail(build->marks, spw_path("tunnels[%u].%s", i, strange),
				      build->error, -EINVAL, " is given; expected it left out %s%s",
				      where, instead);
	if (!in->peer && !in->remote)
		return spw_marks_fail(build->marks, spw_path("tunnels[%u]", i), build->error,
				      -EINVAL,
				      ": no key \"remote\"; expected \"remote: ...\" here");
	return 0;
}

static int build_session(struct spw_config_build *build, uint32_t i, struct spw_tunnel_spec *spec)
{
	const struct spw_file_tunnel *in = &build->file->tunnels[i];
	struct spw_path path = spw_path("tunnels[%u].peer", i);
	const char *expected;
	spec->keying = SPW_KEYING_SESSION;
	if (spw_public_key_parse(in->peer, spec->peer_key, &expected) < 0)
		return spw_config_fail_value(build, path, in->peer, expected);
	if (!build->file->key_file)
		return spw_marks_fail(
			build->marks, path, build->error, -EINVAL,
			": this node has no key of its own; expected \"key_file: "
			"FILE\" at the top of the file, with a key that \"spillway key "
			"generate FILE\" makes");
	if (!in->psk_file)
		return 0;
	return spw_config_file(build, spw_path("tunnels[%u].psk_file", i), in->psk_file,
			       "32 bytes in base64 or hex digits", &spec->psk_file);
}

static int build_keys(struct spw_config_build *build, uint32_t i, struct spw_tunnel_spec *spec)
{
	const struct spw_file_tunnel *in = &build->file->tunnels[i];
	const char *expected;
	if (!in->keys_foreign && spw_value_cipher(in->cipher, &spec->key_bits, &expected) < 0)
		return spw_config_fail_value(build, spw_path("tunnels[%u].cipher", i), in->cipher,
					     expected);
	if (in->peer)
		return build_session(build, i, spec);
	if (in->keys_static) {
		spec->keying = SPW_KEYING_STATIC;
		return spw_config_file(build, spw_path("tunnels[%u].static.secret_file", i),
				       in->keys_static->secret_file, hex_digits,
				       &spec->secret_file);
	}
	spec->keying = SPW_KEYING_FOREIGN;
	spec->esn = in->keys_foreign->esn;
	int rc = build_direction(build, i, "in", &in->keys_foreign->in, &spec->in);
	if (rc == 0)
		rc = build_direction(build, i, "out", &in->keys_foreign->out, &spec->out);
	return rc;
}

static int build_allow(struct spw_config_build *build, uint32_t i, struct spw_tunnel_spec *spec)
{
	const struct spw_file_tunnel *in = &build->file->tunnels[i];
	struct spw_prefix *allow = spw_config_keep(build, calloc(in->allow_cnt, sizeof(*allow)));
	struct spw_place *places = spw_config_keep(build, calloc(in->allow_cnt, sizeof(*places)));
	if (!allow || !places)
		return spw_error_set(build->error, -ENOMEM, (struct spw_place){0}, "out of memory");
	for (uint32_t j = 0; j < in->allow_cnt; j++) {
		struct spw_path path = spw_path("tunnels[%u].allow[%u]", i, j);
		int rc = spw_config_prefix(build, path, in->allow[j], &allow[j]);
		if (rc < 0)
			return rc;
		places[j] = spw_marks_place(build->marks, path);
	}
	spec->allow = allow;
	spec->allow_places = places;
	spec->allow_cnt = in->allow_cnt;
	return 0;
}

int spw_config_tunnel(struct spw_config_build *build, uint32_t i)
{
	const struct spw_file_tunnel *in = &build->file->tunnels[i];
	struct spw_tunnel_spec *spec =
		&spw_config_push(build, SPW_OP_TUNNEL_ADD, spw_path("tunnels[%u]", i))->tunnel;
	const char *expected;
	spec->name = in->name;
	spec->tenant = in->tenant;
	int rc = check_ways(build, i);
	if (rc < 0)
		return rc;
	const char *remote = in->peer ? in->endpoint : in->remote;
	if (remote && spw_value_remote(remote, &spec->remote, &expected) < 0)
		return spw_config_fail_value(
			build, spw_path("tunnels[%u].%s", i, in->peer ? "endpoint" : "remote"),
			remote, expected);
	if (in->local && spw_value_local(in->local, &spec->remote, &spec->local, &expected) < 0)
		return spw_config_fail_value(build, spw_path("tunnels[%u].local", i), in->local,
					     expected);
	if (in->mtu && spw_value_mtu(*in->mtu, &spec->mtu_bytes, &expected) < 0)
		return spw_marks_fail(build->marks, spw_path("tunnels[%u].mtu", i), build->error,
				      -EINVAL, " is %u; expected %s", *in->mtu, expected);
	rc = build_allow(build, i, spec);
	if (rc == 0)
		rc = build_keys(build, i, spec);
	if (rc == 0)
		rc = spw_config_rate(build, spw_path("tunnels[%u].rate_in", i), in->rate_in, NULL,
				     in->name, false);
	if (rc == 0)
		rc = spw_config_rate(build, spw_path("tunnels[%u].rate_out", i), in->rate_out, NULL,
				     in->name, true);
	return rc;
}
