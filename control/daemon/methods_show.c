/* SPDX-License-Identifier: BSD-2-Clause */
/* RPC methods that list tunnels, routes and rates. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "control/clock.h"
#include "control/daemon/methods.h"
#include "control/daemon/net/net.h"
#include "control/daemon/relays/relays.h"
#include "control/daemon/sa/sas.h"
#include "control/daemon/values.h"

#define ADDRESS_CHARS 64 /* an address with port, or a prefix */

json_t *spw_show_endpoint(const struct spw_endpoint *endpoint)
{
	char text[ADDRESS_CHARS];
	if (endpoint->family == 0)
		return json_null();
	spw_endpoint_format(endpoint, text, sizeof(text));
	return json_string(text);
}

static json_t *prefix_text(const struct spw_prefix *prefix)
{
	char text[ADDRESS_CHARS];
	spw_prefix_format(prefix, text, sizeof(text));
	return json_string(text);
}

static struct spw_tunnel_obj *named_tunnel(struct spw_call *call, const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct spw_tunnel_obj *tunnel = spw_tunnel_find(call->node, name);
	if (!tunnel) {
		spw_call_fail(call, SPW_RPC_REFUSED, NULL, "there is no tunnel %s",
			      spw_quote(name).text);
		call->problem = -ENOENT;
	}
	return tunnel;
}

/* Objects come and go: a number is taken by one that people see. */
static struct spw_tunnel_obj *tunnel_at(const struct spw_node *node, uint32_t id)
{
	struct spw_tunnel_obj *tunnel =
		id < node->maps.meta->tunnels_max ? node->tunnels[id] : NULL;
	return tunnel && !tunnel->dying ? tunnel : NULL;
}

/* ---- tunnels ------------------------------------------------------------------------------ */

/* Over all workers; rx_last_ns is the latest. */
static struct spw_tunnel_counters tunnel_counters(const struct spw_node *node, uint32_t id)
{
	struct spw_tunnel_counters sum = {0};
	for (uint32_t worker = 0; worker < node->workers; worker++) {
		const struct spw_tunnel_counters *row =
			&node->maps.counters[(size_t)worker * node->maps.meta->tunnels_max + id];
		sum.rx_packets += spw_load(&row->rx_packets);
		sum.rx_bytes += spw_load(&row->rx_bytes);
		sum.tx_packets += spw_load(&row->tx_packets);
		sum.tx_bytes += spw_load(&row->tx_bytes);
		sum.rx_drops += spw_load(&row->rx_drops);
		sum.tx_drops += spw_load(&row->tx_drops);
		sum.auth_failures += spw_load(&row->auth_failures);
		sum.replays += spw_load(&row->replays);
		uint64_t last_ns = spw_load(&row->rx_last_ns);
		if (last_ns > sum.rx_last_ns)
			sum.rx_last_ns = last_ns;
	}
	return sum;
}

static json_t *tunnel_object(const struct spw_tunnel_obj *tunnel, const json_t *sa,
			     const struct spw_tunnel_counters *sum)
{
	json_t *state = json_object_get(sa, "state");
	return json_pack("{s:s, s:s, s:o, s:O, s:I, s:I, s:I, s:I, s:I, s:I}", "name", tunnel->name,
			 "tenant", tunnel->tenant->name, "remote",
			 spw_show_endpoint(&tunnel->remote), "state", state ? state : json_null(),
			 "rx_packets", (json_int_t)sum->rx_packets, "rx_bytes",
			 (json_int_t)sum->rx_bytes, "tx_packets", (json_int_t)sum->tx_packets,
			 "tx_bytes", (json_int_t)sum->tx_bytes, "rx_drops",
			 (json_int_t)sum->rx_drops, "tx_drops", (json_int_t)sum->tx_drops);
}

json_t *spw_show_tunnels(struct spw_call *call, const json_t *params)
{
	struct spw_node *node = call->node;
	json_t *list = json_array();
	(void)params;
	for (uint32_t id = 1; id < node->maps.meta->tunnels_max; id++) {
		const struct spw_tunnel_obj *tunnel = tunnel_at(node, id);
		if (!tunnel)
			continue;
		struct spw_tunnel_counters sum = tunnel_counters(node, id);
		json_t *sa = spw_sas_describe(node, tunnel);
		json_array_append_new(list, tunnel_object(tunnel, sa, &sum));
		json_decref(sa);
	}
	return list;
}

json_t *spw_show_next_hop(const struct spw_node *node, const struct spw_nexthop *nexthop)
{
	static const char *const states[] = {"unresolved", "valid", "stale"};
	union spw_neighbor neighbor = {0};
	char mac[18];
	if (!nexthop)
		return json_null();
	if (nexthop->neighbor < node->maps.meta->neighbors_max)
		neighbor.word = spw_load(&node->maps.neighbors[nexthop->neighbor].word);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", neighbor.mac[0],
		 neighbor.mac[1], neighbor.mac[2], neighbor.mac[3], neighbor.mac[4],
		 neighbor.mac[5]);
	bool known = neighbor.state == SPW_NEIGHBOR_VALID || neighbor.state == SPW_NEIGHBOR_STALE;
	return json_pack("{s:o, s:s*, s:s*, s:s}", "address", spw_show_endpoint(&nexthop->gateway),
			 "interface",
			 nexthop->port < node->interfaces_cnt
				 ? node->interfaces[nexthop->port].ifname
				 : NULL,
			 "mac", known ? mac : NULL, "state", states[known ? neighbor.state : 0]);
}

static json_t *rate_text(uint64_t cap)
{
	char text[ADDRESS_CHARS];
	spw_rate_format(SPW_CAP_RATE_KBIT(cap), text, sizeof(text));
	return json_string(text);
}

/* Seconds since the last packet from the peer, null: none yet. */
static json_t *idle_seconds(uint64_t rx_last_ns)
{
	uint64_t now_ns = spw_now_ns();
	if (rx_last_ns == 0)
		return json_null();
	return json_integer(now_ns > rx_last_ns ? (json_int_t)((now_ns - rx_last_ns) / 1000000000)
						: 0);
}

json_t *spw_show_tunnel(struct spw_call *call, const json_t *params)
{
	const struct spw_node *node = call->node;
	const struct spw_tunnel_obj *tunnel = named_tunnel(call, params);
	if (!tunnel)
		return NULL;
	struct spw_tunnel_counters sum = tunnel_counters(node, tunnel->id);
	const struct spw_rate *rate = &node->maps.rates[tunnel->id];
	uint32_t mtu_bytes = 0;
	if (tunnel->slot > 0 && tunnel->slot < node->maps.meta->tunnel_slots_max)
		mtu_bytes = node->maps.tunnels[tunnel->slot].inner_mtu_bytes;

	json_t *sa = spw_sas_describe(call->node, tunnel);
	json_t *allow = json_array();
	for (uint32_t i = 0; i < tunnel->allow_cnt; i++)
		json_array_append_new(allow, prefix_text(&tunnel->allow[i]));
	json_t *object = tunnel_object(tunnel, sa, &sum);
	json_t *more = json_pack(
		"{s:o, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:O}", "local",
		spw_show_endpoint(&tunnel->local), "id", (json_int_t)tunnel->id, "mtu",
		(json_int_t)mtu_bytes, "allow", allow, "rate_in",
		rate_text(spw_load(&rate->in_cap)), "rate_out", rate_text(spw_load(&rate->out_cap)),
		"auth_failures", (json_int_t)sum.auth_failures, "replays", (json_int_t)sum.replays,
		"idle_s", idle_seconds(sum.rx_last_ns), "next_hop",
		spw_show_next_hop(node, tunnel->nexthop), "sa", sa ? sa : json_null());
	json_object_update(object, more);
	json_decref(more);
	json_decref(sa);
	return object;
}

/* ---- routes ------------------------------------------------------------------------------- */

struct route_list {
	const struct spw_node *node;
	const struct spw_tenant_obj *tenant;
	json_t *list;
};

static const char *port_name(const struct spw_node *node, uint32_t port)
{
	return port < node->interfaces_cnt ? node->interfaces[port].ifname : "?";
}

static int add_route(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	struct route_list *routes = arg;
	const struct spw_node *node = routes->node;
	uint32_t index = SPW_LEAF_INDEX(leaf);
	const char *kind = "tunnel", *key = "tunnel", *to = "?";
	const struct spw_tunnel_obj *tunnel = NULL;
	union spw_neighbor neighbor = {0};
	switch (SPW_LEAF_KIND(leaf)) {
	case SPW_LEAF_TUNNEL:
		tunnel = tunnel_at(node, index);
		to = tunnel ? tunnel->name : "?";
		break;
	case SPW_LEAF_LAN:
		kind = "lan";
		key = "interface";
		to = port_name(node, index);
		break;
	case SPW_LEAF_NEIGHBOR:
		kind = "host";
		key = "interface";
		if (index < node->maps.meta->neighbors_max)
			neighbor.word = spw_load(&node->maps.neighbors[index].word);
		to = port_name(node, neighbor.port);
		break;
	default:
		return 0;
	}
	return json_array_append_new(
		routes->list, json_pack("{s:s, s:o, s:s, s:s}", "tenant", routes->tenant->name,
					"prefix", prefix_text(prefix), "kind", kind, key, to));
}

static int add_tenant(struct route_list *routes, const struct spw_tenant_obj *tenant)
{
	routes->tenant = tenant;
	for (unsigned int family = 4; family <= 6; family += 2) {
		int rc = spw_trie_walk(routes->node->tries, tenant->route_root[family == 6], family,
				       add_route, routes);
		if (rc != 0)
			return rc;
	}
	return 0;
}

json_t *spw_show_routes(struct spw_call *call, const json_t *params)
{
	const struct spw_node *node = call->node;
	const char *name = json_string_value(json_object_get(params, "tenant"));
	struct route_list routes = {.node = node, .list = json_array()};
	const struct spw_tenant_obj *only = name ? spw_tenant_find(call->node, name) : NULL;
	int rc = 0;
	if (name && !only) {
		rc = spw_call_fail(call, SPW_RPC_REFUSED, NULL, "there is no tenant %s",
				   spw_quote(name).text);
		call->problem = -ENOENT;
	}
	if (only)
		rc = add_tenant(&routes, only);
	for (uint32_t id = 1; !name && rc == 0 && id < node->maps.meta->tenants_max; id++)
		if (node->tenants[id])
			rc = add_tenant(&routes, node->tenants[id]);
	if (rc == 0)
		return routes.list;
	json_decref(routes.list);
	return NULL;
}

/* ---- rates -------------------------------------------------------------------------------- */

static void add_rate(json_t *list, const char *kind, const char *name, const char *direction,
		     const __u64 *word)
{
	uint64_t cap = spw_load(word);
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I}", "kind", kind, "name",
					      name, "direction", direction, "rate_kbit",
					      (json_int_t)SPW_CAP_RATE_KBIT(cap), "burst_bytes",
					      (json_int_t)SPW_CAP_BURST_BYTES(cap)));
}

static void add_relay_rate(json_t *list, const struct spw_relay_obj *relay)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:n, s:I}", "kind", "relay",
					      "name", relay->name, "direction", "both", "rate_kbit",
					      (json_int_t)relay->limits.rate_kbit, "burst_bytes",
					      "packets", (json_int_t)relay->limits.pps));
}

json_t *spw_show_rates(struct spw_call *call, const json_t *params)
{
	const struct spw_node *node = call->node;
	const struct spw_rate *rates = node->maps.rates;
	uint32_t tunnels_max = node->maps.meta->tunnels_max;
	json_t *list = json_array();
	(void)params;
	for (uint32_t id = 1; id < node->maps.meta->tenants_max; id++)
		if (node->tenants[id])
			add_rate(list, "tenant", node->tenants[id]->name, "in",
				 &rates[tunnels_max + id].in_cap);
	for (uint32_t id = 1; id < tunnels_max; id++) {
		const struct spw_tunnel_obj *tunnel = tunnel_at(node, id);
		if (!tunnel)
			continue;
		add_rate(list, "tunnel", tunnel->name, "in", &rates[id].in_cap);
		add_rate(list, "tunnel", tunnel->name, "out", &rates[id].out_cap);
	}
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (node->relays[id])
			add_relay_rate(list, node->relays[id]);
	return list;
}
