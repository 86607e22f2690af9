/* SPDX-License-Identifier: BSD-2-Clause */
/* The schema of config.yaml: once for libcyaml and for the checks of config_check.c. */
#include "control/daemon/config_file.h"

#define TEXT CYAML_FLAG_POINTER
#define OPTIONAL CYAML_FLAG_OPTIONAL

static const cyaml_schema_value_t text_entry = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t limits_fields[] = {
	CYAML_FIELD_UINT_PTR("tunnels", OPTIONAL, struct spw_file_limits, tunnels),
	CYAML_FIELD_UINT_PTR("tenants", OPTIONAL, struct spw_file_limits, tenants),
	CYAML_FIELD_UINT_PTR("routes", OPTIONAL, struct spw_file_limits, routes),
	CYAML_FIELD_UINT_PTR("control_per_source", OPTIONAL, struct spw_file_limits,
			     control_per_source),
	CYAML_FIELD_UINT_PTR("control_total", OPTIONAL, struct spw_file_limits, control_total),
	CYAML_FIELD_END,
};

static const cyaml_strval_t roles[] = {{"wan", SPW_PORT_WAN}, {"lan", SPW_PORT_LAN}};
static const cyaml_strval_t on_stops[] = {{"drop", SPW_ON_STOP_DROP}, {"pass", SPW_ON_STOP_PASS}};

static const cyaml_schema_field_t interface_fields[] = {
	CYAML_FIELD_STRING_PTR("name", TEXT, struct spw_file_interface, name, 1, CYAML_UNLIMITED),
	CYAML_FIELD_ENUM("role", CYAML_FLAG_STRICT, struct spw_file_interface, role, roles, 2),
	CYAML_FIELD_STRING_PTR("device", TEXT | OPTIONAL, struct spw_file_interface, device, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_UINT_PTR("vlan", OPTIONAL, struct spw_file_interface, vlan),
	CYAML_FIELD_STRING_PTR("tenant", TEXT | OPTIONAL, struct spw_file_interface, tenant, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT("prefixes", TEXT | OPTIONAL, struct spw_file_interface, prefixes,
				   prefixes_cnt, &text_entry, 1, CYAML_UNLIMITED),
	CYAML_FIELD_ENUM("on_stop", CYAML_FLAG_STRICT | OPTIONAL, struct spw_file_interface,
			 on_stop, on_stops, 2),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t interface_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct spw_file_interface, interface_fields),
};

static const cyaml_schema_field_t route_fields[] = {
	CYAML_FIELD_STRING_PTR("prefix", TEXT, struct spw_file_route, prefix, 1, CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("tunnel", TEXT, struct spw_file_route, tunnel, 1, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t route_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct spw_file_route, route_fields),
};

static const cyaml_schema_field_t tenant_fields[] = {
	CYAML_FIELD_STRING_PTR("name", TEXT, struct spw_file_tenant, name, 1, CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("rate", TEXT | OPTIONAL, struct spw_file_tenant, rate, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT("routes", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file_tenant,
				   routes, routes_cnt, &route_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t tenant_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct spw_file_tenant, tenant_fields),
};

static const cyaml_schema_field_t static_fields[] = {
	CYAML_FIELD_STRING_PTR("secret_file", TEXT, struct spw_file_static, secret_file, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t direction_fields[] = {
	CYAML_FIELD_UINT("spi", CYAML_FLAG_DEFAULT, struct spw_file_direction, spi),
	CYAML_FIELD_STRING_PTR("key_file", TEXT, struct spw_file_direction, key_file, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t foreign_fields[] = {
	CYAML_FIELD_BOOL("esn", OPTIONAL, struct spw_file_foreign, esn),
	CYAML_FIELD_MAPPING("in", CYAML_FLAG_DEFAULT, struct spw_file_foreign, in,
			    direction_fields),
	CYAML_FIELD_MAPPING("out", CYAML_FLAG_DEFAULT, struct spw_file_foreign, out,
			    direction_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tunnel_fields[] = {
	CYAML_FIELD_STRING_PTR("name", TEXT, struct spw_file_tunnel, name, 1, CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("tenant", TEXT | OPTIONAL, struct spw_file_tunnel, tenant, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("remote", TEXT | OPTIONAL, struct spw_file_tunnel, remote, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("peer", TEXT | OPTIONAL, struct spw_file_tunnel, peer, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("endpoint", TEXT | OPTIONAL, struct spw_file_tunnel, endpoint, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("psk_file", TEXT | OPTIONAL, struct spw_file_tunnel, psk_file, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("cipher", TEXT | OPTIONAL, struct spw_file_tunnel, cipher, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("local", TEXT | OPTIONAL, struct spw_file_tunnel, local, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT("allow", CYAML_FLAG_POINTER, struct spw_file_tunnel, allow,
				   allow_cnt, &text_entry, 1, CYAML_UNLIMITED),
	CYAML_FIELD_UINT_PTR("mtu", OPTIONAL, struct spw_file_tunnel, mtu),
	CYAML_FIELD_STRING_PTR("rate_in", TEXT | OPTIONAL, struct spw_file_tunnel, rate_in, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("rate_out", TEXT | OPTIONAL, struct spw_file_tunnel, rate_out, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("static", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file_tunnel,
				keys_static, static_fields),
	CYAML_FIELD_MAPPING_PTR("foreign", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file_tunnel,
				keys_foreign, foreign_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t tunnel_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct spw_file_tunnel, tunnel_fields),
};

static const cyaml_schema_field_t relay_fields[] = {
	CYAML_FIELD_STRING_PTR("name", TEXT, struct spw_file_relay, name, 1, CYAML_UNLIMITED),
	CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct spw_file_relay, port),
	CYAML_FIELD_SEQUENCE_COUNT("between", CYAML_FLAG_POINTER, struct spw_file_relay, between,
				   between_cnt, &text_entry, 2, 2),
	CYAML_FIELD_UINT_PTR("packets", OPTIONAL, struct spw_file_relay, packets),
	CYAML_FIELD_STRING_PTR("rate", TEXT | OPTIONAL, struct spw_file_relay, rate, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t relay_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct spw_file_relay, relay_fields),
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_STRING_PTR("node", TEXT, struct spw_file, node, 1, CYAML_UNLIMITED),
	CYAML_FIELD_UINT_PTR("listen", OPTIONAL, struct spw_file, listen),
	CYAML_FIELD_UINT_PTR("workers", OPTIONAL, struct spw_file, workers),
	CYAML_FIELD_STRING_PTR("aead", TEXT | OPTIONAL, struct spw_file, aead, 1, CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("key_file", TEXT | OPTIONAL, struct spw_file, key_file, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("limits", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file, limits,
				limits_fields),
	CYAML_FIELD_SEQUENCE_COUNT("interfaces", CYAML_FLAG_POINTER, struct spw_file, interfaces,
				   interfaces_cnt, &interface_entry, 1, SPW_PORTS_MAX),
	CYAML_FIELD_SEQUENCE_COUNT("deny", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file, deny,
				   deny_cnt, &text_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT("tenants", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file,
				   tenants, tenants_cnt, &tenant_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT("tunnels", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file,
				   tunnels, tunnels_cnt, &tunnel_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT("relays", CYAML_FLAG_POINTER | OPTIONAL, struct spw_file, relays,
				   relays_cnt, &relay_entry, 0, SPW_RELAYS_MAX - 1),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t spw_file_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct spw_file, file_fields),
};
