/* SPDX-License-Identifier: BSD-2-Clause */
/* The relays of config.yaml: their values, and what two of them must not have in common. */
#include <errno.h>
#include <string.h>

#include "control/daemon/config_file.h"
#include "control/daemon/values.h"

struct at { /* which relay of the file is looked at */
	const struct spw_marks *marks;
	uint32_t i;
	struct spw_error *error;
};

static int fail_text(const struct at *at, const char *key, const char *text, const char *expected)
{
	return spw_marks_fail(at->marks, spw_path("relays[%u].%s", at->i, key), at->error, -EINVAL,
			      " is %s; expected %s", spw_quote(text).text, expected);
}

static int build_port(const struct at *at, const struct spw_file *file, uint16_t listen_port,
		      uint16_t *port)
{
	const struct spw_file_relay *in = &file->relays[at->i];
	struct spw_path path = spw_path("relays[%u].port", at->i);
	if (in->port < 1 || in->port > UINT16_MAX)
		return spw_marks_fail(at->marks, path, at->error, -EINVAL,
				      " is %u; expected 1 to %u", in->port, UINT16_MAX);
	if (in->port == listen_port)
		return spw_marks_fail(at->marks, path, at->error, -EINVAL,
				      " is %u, the tunnels' own (`listen`); expected another one",
				      in->port);
	for (uint32_t other = 0; other < at->i; other++)
		if (file->relays[other].port == in->port)
			return spw_marks_fail(at->marks, path, at->error, -EEXIST,
					      " is %u, as of the relay %s; expected one of its own",
					      in->port, spw_quote(file->relays[other].name).text);
	*port = (uint16_t)in->port;
	return 0;
}

static int build_between(const struct at *at, const struct spw_file_relay *in,
			 struct spw_endpoint between[2])
{
	struct spw_path path = spw_path("relays[%u].between", at->i);
	for (uint32_t j = 0; j < 2; j++) {
		const char *expected;
		if (spw_value_relay_end(in->between[j], &between[j], &expected) < 0)
			return spw_marks_fail(at->marks,
					      spw_path("relays[%u].between[%u]", at->i, j),
					      at->error, -EINVAL, " is %s; expected %s",
					      spw_quote(in->between[j]).text, expected);
	}
	if (!between[0].family && !between[1].family)
		return spw_marks_fail(at->marks, path, at->error, -EINVAL,
				      " is any twice; expected the address of one endpoint");
	if (between[0].family && between[1].family && between[0].family != between[1].family)
		return spw_marks_fail(at->marks, path, at->error, -EINVAL,
				      " names an IPv4 and an IPv6 address; expected one family");
	if (spw_endpoint_equal(&between[0], &between[1]))
		return spw_marks_fail(at->marks, path, at->error, -EINVAL,
				      " names one endpoint twice; expected two");
	return 0;
}

int spw_file_build_relay(const struct spw_marks *marks, const struct spw_file *file, uint32_t i,
			 uint16_t listen_port, struct spw_relay_spec *spec, struct spw_error *error)
{
	const struct spw_file_relay *in = &file->relays[i];
	struct at at = {marks, i, error};
	const char *expected;
	spec->name = in->name;
	int rc = build_port(&at, file, listen_port, &spec->port);
	if (rc == 0)
		rc = build_between(&at, in, spec->between);
	if (rc < 0)
		return rc;
	if (in->packets && spw_value_relay_pps(*in->packets, &spec->limits.pps, &expected) < 0)
		return spw_marks_fail(marks, spw_path("relays[%u].packets", i), error, -EINVAL,
				      " is %u; expected %s", *in->packets, expected);
	if (in->rate && spw_value_relay_rate(in->rate, &spec->limits.rate_kbit, &expected) < 0)
		return fail_text(&at, "rate", in->rate, expected);
	return 0;
}
