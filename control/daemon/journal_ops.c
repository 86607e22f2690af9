/* SPDX-License-Identifier: BSD-2-Clause */
/* journal_ops.c - see journal_ops.h and journal.h. */
#include "control/daemon/journal_ops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/base64.h"
#include "control/daemon/journal.h"
#include "control/daemon/relays/relays.h"

#define JOURNAL_VERSION 1
#define TEXT_BYTES 80

static const char *const op_names[] = {
	[SPW_OP_TENANT_ADD] = "tenant_add", [SPW_OP_TUNNEL_ADD] = "tunnel_add",
	[SPW_OP_TUNNEL_DEL] = "tunnel_del", [SPW_OP_ROUTE_ADD] = "route_add",
	[SPW_OP_ROUTE_DEL] = "route_del",   [SPW_OP_RATE_SET] = "rate_set",
	[SPW_OP_DENY_ADD] = "deny_add",     [SPW_OP_LAN_ADD] = "lan_add",
	[SPW_OP_RELAY_ADD] = "relay_add",   [SPW_OP_RELAY_DEL] = "relay_del",
};
#define OPS_CNT (sizeof(op_names) / sizeof(op_names[0]))

/* ---- writing ------------------------------------------------------------------------------ */

static json_t *write_prefix(const struct spw_prefix *prefix)
{
	char text[TEXT_BYTES];

	spw_prefix_format(prefix, text, sizeof(text));
	return json_string(text);
}

static json_t *write_endpoint(const struct spw_endpoint *endpoint)
{
	char text[TEXT_BYTES];

	if (endpoint->family == 0)
		return json_null();
	spw_endpoint_format(endpoint, text, sizeof(text));
	return json_string(text);
}

static json_t *write_tenant(const char *name, uint32_t id)
{
	return json_pack("{ss si ss}", "op", "tenant_add", "id", (int)id, "name", name);
}

static const char *const keying_names[] = {
	[SPW_KEYING_STATIC] = "static",
	[SPW_KEYING_FOREIGN] = "foreign",
	[SPW_KEYING_SESSION] = "session",
};

static json_t *write_keys(const struct spw_tunnel_spec *spec)
{
	char peer[SPW_KEY_CHARS + 1];

	if (spec->keying == SPW_KEYING_STATIC)
		return json_pack("{ss si}", "secret_file", spec->secret_file, "key_bytes",
				 (int)spec->key_bits);
	if (spec->keying == SPW_KEYING_SESSION) {
		spw_key_encode(spec->peer_key, peer);
		return json_pack("{ss ss* si}", "peer", peer, "psk_file", spec->psk_file,
				 "key_bytes", (int)spec->key_bits);
	}
	return json_pack("{sb sI ss sI ss}", "esn", (int)spec->esn, "in_spi",
			 (json_int_t)spec->in.spi, "in_key_file", spec->in.key_file, "out_spi",
			 (json_int_t)spec->out.spi, "out_key_file", spec->out.key_file);
}

static json_t *write_tunnel(const struct spw_tunnel_spec *spec, uint32_t id)
{
	json_t *allow = json_array();

	for (uint32_t i = 0; i < spec->allow_cnt; i++)
		json_array_append_new(allow, write_prefix(&spec->allow[i]));
	return json_pack("{ss si ss ss so so si so so}", "op", "tunnel_add", "id", (int)id, "name",
			 spec->name, "tenant", spec->tenant, "remote",
			 write_endpoint(&spec->remote), "local", write_endpoint(&spec->local),
			 "mtu", (int)spec->mtu_bytes, "allow", allow, keying_names[spec->keying],
			 write_keys(spec));
}

static json_t *write_relay(const struct spw_relay_spec *spec, uint32_t id)
{
	return json_pack("{ss si ss si s[oo] sI sI}", "op", "relay_add", "id", (int)id, "name",
			 spec->name, "port", (int)spec->port, "between",
			 write_endpoint(&spec->between[0]), write_endpoint(&spec->between[1]),
			 "pps", (json_int_t)spec->limits.pps, "rate_kbit",
			 (json_int_t)spec->limits.rate_kbit);
}

static json_t *write_op(struct spw_node *node, const struct spw_op *op)
{
	const char *name = op_names[op->kind];
	const struct spw_tenant_obj *tenant;
	const struct spw_tunnel_obj *tunnel;
	const struct spw_relay_obj *relay;

	switch (op->kind) {
	case SPW_OP_TENANT_ADD:
		tenant = spw_tenant_find(node, op->tenant.name);
		return write_tenant(op->tenant.name, tenant->id);
	case SPW_OP_TUNNEL_ADD:
		tunnel = spw_tunnel_find(node, op->tunnel.name);
		return write_tunnel(tunnel ? &tunnel->spec : &op->tunnel, tunnel ? tunnel->id : 0);
	case SPW_OP_TUNNEL_DEL:
		return json_pack("{ss ss}", "op", name, "name", op->tunnel.name);
	case SPW_OP_ROUTE_ADD:
		return json_pack("{ss ss ss so}", "op", name, "tenant", op->route.tenant, "tunnel",
				 op->route.tunnel, "prefix", write_prefix(&op->route.prefix));
	case SPW_OP_ROUTE_DEL:
		return json_pack("{ss ss so}", "op", name, "tenant", op->route.tenant, "prefix",
				 write_prefix(&op->route.prefix));
	case SPW_OP_RATE_SET:
		return json_pack("{ss ss* ss* ss* sb sb sI sI sI}", "op", name, "tenant",
				 op->rate.tenant, "tunnel", op->rate.tunnel, "relay",
				 op->rate.relay, "in", (int)op->rate.in, "out", (int)op->rate.out,
				 "rate_kbit", (json_int_t)op->rate.rate_kbit, "burst_bytes",
				 (json_int_t)op->rate.burst_bytes, "pps", (json_int_t)op->rate.pps);
	case SPW_OP_DENY_ADD:
		return json_pack("{ss so}", "op", name, "prefix", write_prefix(&op->deny.prefix));
	case SPW_OP_LAN_ADD:
		return json_pack("{ss si so}", "op", name, "port", (int)op->lan.port, "prefix",
				 write_prefix(&op->lan.prefix));
	case SPW_OP_RELAY_ADD:
		relay = spw_relay_find(node, op->relay.name);
		return write_relay(&op->relay, relay ? relay->id : 0);
	case SPW_OP_RELAY_DEL:
		return json_pack("{ss ss}", "op", name, "name", op->relay.name);
	}
	return NULL;
}

json_t *spw_journal_line(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < ops_cnt; i++) {
		if (json_array_append_new(list, write_op(node, &ops[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{sI so}", "txn", (json_int_t)(node->revision + 1), "ops", list);
}

static json_t *write_interfaces(const struct spw_node *node)
{
	json_t *list = json_array();

	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		const struct spw_interface *interface = &node->interfaces[port];
		json_array_append_new(
			list, json_pack("{ss si si ss sb ss}", "name", interface->ifname, "role",
					(int)interface->role, "vlan", (int)interface->vlan,
					"tenant", interface->tenant, "on_stop_pass",
					(int)interface->on_stop_pass, "device", interface->device));
	}
	return list;
}

json_t *spw_journal_snapshot(struct spw_node *node)
{
	const struct spw_limits *limits = &node->limits;
	json_t *tenants = json_array(), *tunnels = json_array(), *relays = json_array();
	struct spw_relay_spec relay;
	char tables_id[24];

	for (uint32_t id = 0; id < node->maps.meta->tenants_max; id++)
		if (node->tenants[id])
			json_array_append_new(tenants, write_tenant(node->tenants[id]->name, id));
	for (uint32_t id = 0; id < node->maps.meta->tunnels_max; id++)
		if (node->tunnels[id])
			json_array_append_new(tunnels, write_tunnel(&node->tunnels[id]->spec, id));
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++) {
		if (!node->relays[id])
			continue;
		relay = spw_relay_describe(node->relays[id]);
		json_array_append_new(relays, write_relay(&relay, id));
	}
	snprintf(tables_id, sizeof(tables_id), "%016" PRIx64, (uint64_t)node->maps.meta->tables_id);
	return json_pack("{si ss sI si si ss ss s{sI sI sI} so so so so}", "journal",
			 JOURNAL_VERSION, "tables_id", tables_id, "revision",
			 (json_int_t)node->revision, "listen", (int)node->listen_port, "workers",
			 (int)node->workers, "aead", node->aead, "key_file", node->key_file,
			 "limits", "tunnels", (json_int_t)limits->tunnels, "tenants",
			 (json_int_t)limits->tenants, "routes", (json_int_t)limits->routes,
			 "interfaces", write_interfaces(node), "tenants", tenants, "tunnels",
			 tunnels, "relays", relays);
}

/* ---- reading ------------------------------------------------------------------------------ */

static int read_prefix(const json_t *json, struct spw_prefix *prefix)
{
	const char *text = json_string_value(json), *expected;

	return text && spw_prefix_parse(text, prefix, &expected) == 0 ? 0 : -EUCLEAN;
}

static int read_endpoint(const json_t *json, struct spw_endpoint *endpoint)
{
	const char *text = json_string_value(json), *expected;

	memset(endpoint, 0, sizeof(*endpoint));
	if (json_is_null(json))
		return 0;
	return text && spw_endpoint_parse(text, endpoint, &expected) == 0 ? 0 : -EUCLEAN;
}

static int read_session(json_t *keys, struct spw_tunnel_spec *spec)
{
	const char *peer, *expected;
	int key_bytes = 0;

	spec->keying = SPW_KEYING_SESSION;
	if (json_unpack(keys, "{ss s?s si}", "peer", &peer, "psk_file", &spec->psk_file,
			"key_bytes", &key_bytes) < 0 ||
	    spw_public_key_parse(peer, spec->peer_key, &expected) < 0)
		return -EUCLEAN;
	spec->key_bits = (uint8_t)key_bytes;
	return 0;
}

static int read_keys(const json_t *json, struct spw_tunnel_spec *spec)
{
	json_t *session = json_object_get(json, "session");
	json_t *keys = json_object_get(json, "static");
	json_int_t in_spi = 0, out_spi = 0;
	int key_bytes = 0, esn = 0;

	if (keys) {
		spec->keying = SPW_KEYING_STATIC;
		if (json_unpack(keys, "{ss si}", "secret_file", &spec->secret_file, "key_bytes",
				&key_bytes) < 0)
			return -EUCLEAN;
		spec->key_bits = (uint8_t)key_bytes;
		return 0;
	}
	if (session)
		return read_session(session, spec);
	spec->keying = SPW_KEYING_FOREIGN;
	if (json_unpack(json_object_get(json, "foreign"), "{sb sI ss sI ss}", "esn", &esn, "in_spi",
			&in_spi, "in_key_file", &spec->in.key_file, "out_spi", &out_spi,
			"out_key_file", &spec->out.key_file) < 0)
		return -EUCLEAN;
	spec->esn = esn;
	spec->in.spi = (uint32_t)in_spi;
	spec->out.spi = (uint32_t)out_spi;
	return 0;
}

static int read_tunnel(const json_t *json, struct spw_tunnel_spec *spec, struct spw_prefix **allow,
		       uint32_t *id)
{
	const json_t *list = json_object_get(json, "allow");
	size_t allow_cnt = json_array_size(list);
	struct spw_prefix *grown;
	int id_value, mtu_bytes;

	if (json_unpack((json_t *)json, "{si ss ss si}", "id", &id_value, "name", &spec->name,
			"tenant", &spec->tenant, "mtu", &mtu_bytes) < 0 ||
	    !json_is_array(list) ||
	    read_endpoint(json_object_get(json, "remote"), &spec->remote) < 0 ||
	    read_endpoint(json_object_get(json, "local"), &spec->local) < 0 ||
	    read_keys(json, spec) < 0)
		return -EUCLEAN;
	grown = reallocarray(*allow, allow_cnt + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*allow = grown;
	for (size_t i = 0; i < allow_cnt; i++)
		if (read_prefix(json_array_get(list, i), &grown[i]) < 0)
			return -EUCLEAN;
	spec->allow = grown;
	spec->allow_cnt = (uint32_t)allow_cnt;
	spec->mtu_bytes = (uint16_t)mtu_bytes;
	*id = (uint32_t)id_value;
	return 0;
}

static int read_relay(const json_t *json, struct spw_relay_spec *spec, uint32_t *id)
{
	json_int_t pps, rate_kbit;
	json_t *a, *b;
	int id_value, port;

	if (json_unpack((json_t *)json, "{si ss si s[oo] sI sI}", "id", &id_value, "name",
			&spec->name, "port", &port, "between", &a, &b, "pps", &pps, "rate_kbit",
			&rate_kbit) < 0 ||
	    read_endpoint(a, &spec->between[0]) < 0 || read_endpoint(b, &spec->between[1]) < 0)
		return -EUCLEAN;
	spec->port = (uint16_t)port;
	spec->limits =
		(struct spw_relay_limits){.pps = (uint32_t)pps, .rate_kbit = (uint32_t)rate_kbit};
	*id = (uint32_t)id_value;
	return 0;
}

static int read_rate(const json_t *json, struct spw_op *op)
{
	json_int_t rate_kbit, burst_bytes, pps;
	int in, out;

	if (json_unpack((json_t *)json, "{s?s s?s s?s sb sb sI sI sI}", "tenant", &op->rate.tenant,
			"tunnel", &op->rate.tunnel, "relay", &op->rate.relay, "in", &in, "out",
			&out, "rate_kbit", &rate_kbit, "burst_bytes", &burst_bytes, "pps",
			&pps) < 0)
		return -EUCLEAN;
	op->rate.pps = (uint32_t)pps;
	op->rate.in = in;
	op->rate.out = out;
	op->rate.rate_kbit = (uint32_t)rate_kbit;
	op->rate.burst_bytes = (uint32_t)burst_bytes;
	return 0;
}

static int read_kind(const json_t *json, enum spw_op_kind *kind)
{
	const char *name = json_string_value(json_object_get(json, "op"));

	for (size_t i = 0; name && i < OPS_CNT; i++) {
		if (strcmp(name, op_names[i]) == 0) {
			*kind = (enum spw_op_kind)i;
			return 0;
		}
	}
	return -EUCLEAN;
}

int spw_journal_op(const json_t *json, struct spw_op *op, struct spw_prefix **allow, uint32_t *id)
{
	json_t *json_rw = (json_t *)json; /* json_unpack does not write to it */
	const json_t *prefix = json_object_get(json, "prefix");
	int value = 0, err = 0;

	memset(op, 0, sizeof(*op));
	*id = 0;
	if (read_kind(json, &op->kind) < 0)
		return -EUCLEAN;
	switch (op->kind) {
	case SPW_OP_TENANT_ADD:
		err = json_unpack(json_rw, "{si ss}", "id", &value, "name", &op->tenant.name);
		*id = (uint32_t)value;
		break;
	case SPW_OP_TUNNEL_ADD:
		return read_tunnel(json, &op->tunnel, allow, id);
	case SPW_OP_TUNNEL_DEL:
		err = json_unpack(json_rw, "{ss}", "name", &op->tunnel.name);
		break;
	case SPW_OP_ROUTE_ADD:
		err = json_unpack(json_rw, "{ss ss}", "tenant", &op->route.tenant, "tunnel",
				  &op->route.tunnel) |
		      read_prefix(prefix, &op->route.prefix);
		break;
	case SPW_OP_ROUTE_DEL:
		err = json_unpack(json_rw, "{ss}", "tenant", &op->route.tenant) |
		      read_prefix(prefix, &op->route.prefix);
		break;
	case SPW_OP_RATE_SET:
		return read_rate(json, op);
	case SPW_OP_DENY_ADD:
		err = read_prefix(prefix, &op->deny.prefix);
		break;
	case SPW_OP_LAN_ADD:
		err = json_unpack(json_rw, "{si}", "port", &value) |
		      read_prefix(prefix, &op->lan.prefix);
		op->lan.port = (uint32_t)value;
		break;
	case SPW_OP_RELAY_ADD:
		return read_relay(json, &op->relay, id);
	case SPW_OP_RELAY_DEL:
		err = json_unpack(json_rw, "{ss}", "name", &op->relay.name);
		break;
	}
	return err ? -EUCLEAN : 0;
}

static int read_interface(const json_t *json, struct spw_interface *interface)
{
	const char *name, *tenant, *device;
	int role, vlan, on_stop_pass;

	if (json_unpack((json_t *)json, "{ss si si ss sb ss}", "name", &name, "role", &role, "vlan",
			&vlan, "tenant", &tenant, "on_stop_pass", &on_stop_pass, "device",
			&device) < 0 ||
	    strlen(name) >= sizeof(interface->ifname) ||
	    strlen(device) >= sizeof(interface->device) ||
	    strlen(tenant) >= sizeof(interface->tenant))
		return -EUCLEAN;
	memset(interface, 0, sizeof(*interface));
	strcpy(interface->ifname, name);
	strcpy(interface->tenant, tenant);
	strcpy(interface->device, device);
	interface->role = (uint8_t)role;
	interface->vlan = (uint16_t)vlan;
	interface->on_stop_pass = on_stop_pass;
	return 0;
}

int spw_journal_node(struct spw_node *node, const json_t *snapshot, uint64_t *tables_id)
{
	json_int_t revision, tunnels, tenants, routes;
	int version, listen_port, workers;
	const char *id_text, *aead, *key_file = "";
	json_t *interfaces;

	if (json_unpack((json_t *)snapshot, "{si ss sI si si ss s?s s{sI sI sI} so}", "journal",
			&version, "tables_id", &id_text, "revision", &revision, "listen",
			&listen_port, "workers", &workers, "aead", &aead, "key_file", &key_file,
			"limits", "tunnels", &tunnels, "tenants", &tenants, "routes", &routes,
			"interfaces", &interfaces) < 0 ||
	    version != JOURNAL_VERSION || strlen(aead) >= sizeof(node->aead) ||
	    strlen(key_file) >= sizeof(node->key_file) ||
	    json_array_size(interfaces) > SPW_PORTS_MAX)
		return -EUCLEAN;
	node->revision = (uint64_t)revision;
	node->listen_port = (uint16_t)listen_port;
	node->workers = (uint32_t)workers;
	strcpy(node->aead, aead);
	strcpy(node->key_file, key_file);
	node->limits = (struct spw_limits){.tunnels = (uint32_t)tunnels,
					   .tenants = (uint32_t)tenants,
					   .routes = (uint32_t)routes,
					   .workers = (uint32_t)workers};
	*tables_id = strtoull(id_text, NULL, 16);
	node->interfaces_cnt = (uint32_t)json_array_size(interfaces);
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		if (read_interface(json_array_get(interfaces, port), &node->interfaces[port]) < 0)
			return -EUCLEAN;
	return 0;
}
