/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as config.yaml: taken, with ops that are what they claim to be, or refused with one
 * line that says why.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void check_prefix(const struct spw_prefix *prefix)
{
	char text[64];
	struct spw_prefix again;
	const char *expected;
	spw_prefix_format(prefix, text, sizeof(text));
	must(spw_prefix_parse(text, &again, &expected) == 0);
	must(memcmp(prefix, &again, sizeof(again)) == 0);
}

static void check_op(const struct spw_config *config, const struct spw_op *op)
{
	must(op->place.line > 0 && op->place.column > 0);
	switch (op->kind) {
	case SPW_OP_TENANT_ADD:
		must(strlen(op->tenant.name) < SPW_NAME_BYTES);
		break;
	case SPW_OP_TUNNEL_ADD:
		must(strlen(op->tunnel.name) < SPW_NAME_BYTES && op->tunnel.tenant);
		must(op->tunnel.allow_cnt > 0);
		must(op->tunnel.remote.family || op->tunnel.keying == SPW_KEYING_SESSION);
		for (uint32_t i = 0; i < op->tunnel.allow_cnt; i++)
			check_prefix(&op->tunnel.allow[i]);
		if (op->tunnel.keying == SPW_KEYING_SESSION) {
			must(config->key_file[0] == '/' && op->tunnel.key_bits);
			break;
		}
		must(op->tunnel.keying == SPW_KEYING_STATIC
			     ? op->tunnel.secret_file && op->tunnel.key_bits
			     : op->tunnel.in.key_file && op->tunnel.out.key_file);
		break;
	case SPW_OP_ROUTE_ADD:
		must(op->route.tenant && op->route.tunnel);
		check_prefix(&op->route.prefix);
		break;
	case SPW_OP_RATE_SET:
		must(!op->rate.tenant != !op->rate.tunnel);
		break;
	case SPW_OP_DENY_ADD:
		check_prefix(&op->deny.prefix);
		break;
	case SPW_OP_LAN_ADD:
		must(op->lan.port < config->interfaces_cnt);
		check_prefix(&op->lan.prefix);
		break;
	case SPW_OP_RELAY_ADD:
		must(strlen(op->relay.name) < SPW_NAME_BYTES && op->relay.port);
		must(op->relay.between[0].family || op->relay.between[1].family);
		for (unsigned int i = 0; i < 2; i++)
			must(!op->relay.between[i].family ||
			     spw_endpoint_is_relayable(&op->relay.between[i]));
		break;
	default:
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct spw_config *config = NULL;
	struct spw_error error = {0};
	int rc = spw_config_parse("/proc/self/config.yaml", (const char *)data, bytes, &config,
				  &error);
	if (rc < 0) {
		must(!config && error.code == rc && error.text[0] && !strchr(error.text, '\n'));
		return 0;
	}
	must(config && error.code == 0 && config->interfaces_cnt > 0 && config->listen_port > 0);
	for (uint32_t i = 0; i < config->ops_cnt; i++)
		check_op(config, &config->ops[i]);
	spw_config_free(config);
	return 0;
}
