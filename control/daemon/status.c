/* SPDX-License-Identifier: BSD-2-Clause */
/* RPC methods status and drops: the node's counters, added up where they stand. */
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/daemon/methods.h"
#include "control/daemon/net/attach.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/sas.h"
#include "ebpf/drops.h"

/* ---- dataplane ---------------------------------------------------------------------------- */

/* What the dataplane said of its workers, and what they write into their rows. */
static json_t *worker_list(const struct spw_node *node, const json_t *said)
{
	json_t *list = json_array();
	for (uint32_t worker = 0; worker < node->workers; worker++) {
		const struct spw_worker_row *row = &node->maps.workers[worker];
		json_t *cpu = json_object_get(json_array_get(said, worker), "cpu");
		json_array_append_new(
			list, json_pack("{s:I, s:O, s:b, s:I, s:I, s:I, s:I}", "worker",
					(json_int_t)worker, "cpu", cpu ? cpu : json_null(),
					"online", spw_load(&row->generation) != 0, "loops",
					(json_int_t)spw_load(&row->loops), "sleeps",
					(json_int_t)spw_load(&row->sleeps), "handoffs",
					(json_int_t)spw_load(&row->handoffs), "reports_late",
					(json_int_t)spw_load(&row->reports_late)));
	}
	return list;
}

static json_t *dataplane_object(struct spw_node *node)
{
	json_t *object = spw_link_describe(node);
	json_t *workers = worker_list(node, json_object_get(object, "workers"));
	if (!object)
		object = json_object();
	json_object_set_new(object, "workers", workers);
	return object;
}

/* ---- interfaces --------------------------------------------------------------------------- */

static const char *xdp_mode(const struct spw_interface *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int ifindex = interface->ifindex;
	if (interface->device[0])
		return "device";
	if (ifindex <= 0 || bpf_xdp_query(ifindex, 0, &query) < 0)
		return "unknown";
	switch (query.attach_mode) {
	case XDP_ATTACHED_NONE:
		return "none";
	case XDP_ATTACHED_DRV:
		return "native";
	case XDP_ATTACHED_SKB:
		return "generic";
	case XDP_ATTACHED_HW:
		return "offloaded";
	default:
		return "several";
	}
}

static json_t *interface_object(const struct spw_node *node, uint32_t port)
{
	const struct spw_interface *interface = &node->interfaces[port];
	uint64_t classified[SPW_CLASSIFIER_COUNTERS] = {0}, dropped = 0;
	struct spw_port_counters sum = {0};
	for (uint32_t worker = 0; worker < node->workers; worker++) {
		const struct spw_port_counters *row = &node->maps.workers[worker].ports[port];
		sum.rx_packets += spw_load(&row->rx_packets);
		sum.rx_bytes += spw_load(&row->rx_bytes);
		sum.tx_packets += spw_load(&row->tx_packets);
		sum.tx_bytes += spw_load(&row->tx_bytes);
	}
	if (node->attach)
		spw_attach_counters(node->attach, port, classified);
	for (uint32_t reason = 0; reason < SPW_DROP_CNT; reason++)
		dropped += classified[reason];
	/* And where the workers classify. */
	for (uint32_t worker = 0; worker < node->workers; worker++) {
		const struct spw_port_counters *row = &node->maps.workers[worker].ports[port];
		dropped += spw_load(&row->dropped);
		for (uint32_t i = 0; i < SPW_CLASSIFIED_CNT; i++)
			classified[SPW_CLASSIFIED_FIRST + i] += spw_load(&row->classified[i]);
	}
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"name", interface->ifname, "role", interface->role == SPW_PORT_WAN ? "wan" : "lan",
		"vlan", interface->vlan ? json_integer(interface->vlan) : json_null(), "tenant",
		interface->tenant[0] ? json_string(interface->tenant) : json_null(), "device",
		interface->device[0] ? json_string(interface->device) : json_null(), "xdp_mode",
		xdp_mode(interface), "rx_packets", (json_int_t)sum.rx_packets, "rx_bytes",
		(json_int_t)sum.rx_bytes, "tx_packets", (json_int_t)sum.tx_packets, "tx_bytes",
		(json_int_t)sum.tx_bytes, "passed", (json_int_t)classified[SPW_CLASSIFIED_PASS],
		"steered", (json_int_t)classified[SPW_CLASSIFIED_STEER], "control",
		(json_int_t)classified[SPW_CLASSIFIED_CONTROL], "keepalives",
		(json_int_t)classified[SPW_CLASSIFIED_KEEPALIVE], "relayed",
		(json_int_t)classified[SPW_CLASSIFIED_RELAY], "dropped", (json_int_t)dropped);
}

/* ---- tables ------------------------------------------------------------------------------- */

static json_t *usage(uint64_t used, uint64_t max)
{
	return json_pack("{s:I, s:I}", "used", (json_int_t)used, "max", (json_int_t)max);
}

static json_t *slots_usage(const struct spw_slots *slots)
{
	return usage(slots->used, slots->max - 1);
}

static json_t *tables_object(const struct spw_node *node)
{
	struct spw_trie_usage tries;
	spw_trie_usage(node->tries, &tries);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "tunnels", slots_usage(node->tunnel_ids),
			 "relays", slots_usage(node->relay_ids), "tenants",
			 slots_usage(node->tenant_ids), "route_units",
			 usage(tries.units_used, tries.units_max), "neighbors",
			 slots_usage(node->neighbor_ids), "sas", slots_usage(node->spi_slots));
}

static json_int_t uptime_seconds(const struct spw_node *node)
{
	return (json_int_t)((spw_now_ns() - node->started_ns) / 1000000000);
}

json_t *spw_show_status(struct spw_call *call, const json_t *params)
{
	struct spw_node *node = call->node;
	json_t *interfaces = json_array();
	(void)params;
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		json_array_append_new(interfaces, interface_object(node, port));
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "node", node->name,
			 "version", SPW_VERSION, "pid", (json_int_t)getpid(), "uptime_s",
			 uptime_seconds(node), "revision", (json_int_t)node->revision, "dataplane",
			 dataplane_object(node), "interfaces", interfaces, "neighbors",
			 spw_net_describe_neighbors(node), "handshakes", spw_handshakes_describe(node),
			 "tables", tables_object(node));
}

/* ---- drops -------------------------------------------------------------------------------- */

static const struct {
	const char *name, *where, *text;
} reasons[SPW_DROP_CNT] = {
#define SPW_DROP_REASON(id, name, where, text) {name, where, text},
	SPW_DROP_LIST(SPW_DROP_REASON)
#undef SPW_DROP_REASON
};

json_t *spw_show_drops(struct spw_call *call, const json_t *params)
{
	const struct spw_node *node = call->node;
	uint64_t sum[SPW_CLASSIFIER_COUNTERS] = {0};
	json_t *list = json_array();
	(void)params;
	for (uint32_t port = 0; node->attach && port < node->interfaces_cnt; port++) {
		uint64_t classified[SPW_CLASSIFIER_COUNTERS] = {0};
		spw_attach_counters(node->attach, port, classified);
		for (uint32_t reason = 0; reason < SPW_DROP_CNT; reason++)
			sum[reason] += classified[reason];
	}
	for (uint32_t worker = 0; worker < node->workers; worker++)
		for (uint32_t reason = 0; reason < SPW_DROP_CNT; reason++)
			sum[reason] += spw_load(&node->maps.workers[worker].drops[reason]);
	for (uint32_t reason = 0; reason < SPW_DROP_CNT; reason++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:I}", "reason", reasons[reason].name,
					"where", reasons[reason].where, "text",
					reasons[reason].text, "packets", (json_int_t)sum[reason]));
	return list;
}
