/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rpc_double.c - what the RPC methods ask of the SA manager, of net and of the classifier, beyond
 * what node_double.c plays: fixed answers.
 */
#include <errno.h>
#include <string.h>

#include "control/daemon/net/attach.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/sas.h"

json_t *spw_sas_describe(struct spw_node *node, const struct spw_tunnel_obj *tunnel)
{
	(void)node;
	(void)tunnel;
	return json_pack("{s:s, s:s}", "keying", "static", "state", "up");
}

json_t *spw_handshakes_describe(struct spw_node *node)
{
	(void)node;
	return json_null();
}

int spw_sas_first_use(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	(void)node;
	if (strcmp(tunnel->name, "swan") == 0)
		return 0;
	return spw_error_set(error, -EALREADY, (struct spw_place){0}, "it has a reserve");
}

int spw_sas_rekey(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	(void)node;
	if (tunnel->spec.keying == SPW_KEYING_SESSION)
		return 0;
	return spw_error_set(error, -EINVAL, (struct spw_place){0}, "it has no session");
}

json_t *spw_link_describe(struct spw_node *node)
{
	(void)node;
	return json_pack("{s:b, s:i, s:s, s:s, s:[{s:i}, {s:i}]}", "connected", 1, "pid", 99,
			 "aead", "openssl", "aead_why", "as configured", "workers", "cpu", 3, "cpu",
			 5);
}

json_t *spw_net_describe_neighbors(struct spw_node *node)
{
	(void)node;
	return json_pack("[{s:s}]", "address", "192.0.2.2");
}

int spw_attach_counters(const struct spw_attach *attach, uint32_t port,
			uint64_t out[SPW_CLASSIFIER_COUNTERS])
{
	(void)attach;
	for (uint32_t i = 0; i < SPW_CLASSIFIER_COUNTERS; i++)
		out[i] = 1000 * (port + 1) + i;
	return 0;
}
