/* SPDX-License-Identifier: BSD-2-Clause */
/* node_double.c - see node_double.h. */
#include "tests/unit/control/node_double.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/journal.h"
#include "control/daemon/model.h"
#include "control/daemon/net/net.h"
#include "control/daemon/relays/relays.h"
#include "control/daemon/sa/sas.h"
#include "control/handover.h"

char double_trace[4096];
int double_sas_error, double_nexthop_error, double_sas_live, double_nexthop_live, double_ports_held;
uint16_t double_port_busy;
uint32_t double_route_port;
void (*double_on_start)(struct spw_tunnel_obj *tunnel);
void (*double_on_stop)(struct spw_tunnel_obj *tunnel);

static struct double_tables *tables;
static struct spw_node *node;
static char run_dir[] = "/tmp/spw-test-XXXXXX";

static void trace(const char *verb, const struct spw_tunnel_obj *tunnel)
{
	size_t used = strlen(double_trace);

	snprintf(double_trace + used, sizeof(double_trace) - used, "%s %s;", verb, tunnel->name);
}

/* ---- the SA manager ----------------------------------------------------------------------- */

int spw_sas_prepare(struct spw_node *of, struct spw_tunnel_obj *tunnel,
		    const struct spw_tunnel_spec *spec, struct spw_place place,
		    struct spw_error *error)
{
	(void)of;
	(void)spec;
	trace("prepare", tunnel);
	if (double_sas_error)
		return spw_error_set(error, double_sas_error, place, "the keys are bad");
	tunnel->sas = malloc(1);
	double_sas_live++;
	return 0;
}

static void forget(struct spw_tunnel_obj *tunnel)
{
	free(tunnel->sas);
	tunnel->sas = NULL;
	double_sas_live--;
}

void spw_sas_abort(struct spw_node *of, struct spw_tunnel_obj *tunnel)
{
	(void)of;
	trace("abort", tunnel);
	forget(tunnel);
}

void spw_sas_start(struct spw_node *of, struct spw_tunnel_obj *tunnel)
{
	(void)of;
	trace("start", tunnel);
	if (double_on_start)
		double_on_start(tunnel);
}

void spw_sas_stop(struct spw_node *of, struct spw_tunnel_obj *tunnel)
{
	(void)of;
	trace("stop", tunnel);
	if (double_on_stop)
		double_on_stop(tunnel);
	forget(tunnel);
}

void spw_sas_discard(struct spw_node *of, uint32_t direction, uint32_t slot)
{
	size_t used = strlen(double_trace);

	snprintf(double_trace + used, sizeof(double_trace) - used, "discard %s %u;",
		 direction == SPW_SA_IN ? "in" : "out", slot);
	if (direction == SPW_SA_IN)
		of->maps.spis[slot] = (struct spw_spi){0};
}

/* ---- net ---------------------------------------------------------------------------------- */

static int acquire(struct spw_node *of, struct spw_nexthop **nexthop, uint32_t hint,
		   struct spw_error *error)
{
	*nexthop = NULL;
	if (double_nexthop_error)
		return spw_error_set(error, double_nexthop_error, (struct spw_place){0},
				     "no next hop");
	if (double_route_port == SPW_PORTS_MAX)
		return 0;
	*nexthop = calloc(1, sizeof(**nexthop));
	(*nexthop)->neighbor = hint ? hint : spw_slots_alloc(of->neighbor_ids);
	(*nexthop)->port = double_route_port;
	(*nexthop)->mtu_bytes = 1500;
	double_nexthop_live++;
	return 0;
}

static void release(struct spw_node *of, struct spw_nexthop **nexthop)
{
	spw_slots_free(of->neighbor_ids, (*nexthop)->neighbor);
	free(*nexthop);
	*nexthop = NULL;
	double_nexthop_live--;
}

int spw_nexthop_acquire(struct spw_node *of, struct spw_tunnel_obj *tunnel, uint32_t hint,
			struct spw_error *error)
{
	return acquire(of, &tunnel->nexthop, hint, error);
}

void spw_nexthop_release(struct spw_node *of, struct spw_tunnel_obj *tunnel)
{
	release(of, &tunnel->nexthop);
}

/* The address of ours towards an endpoint is its own with another last byte. */
int spw_nexthop_acquire_end(struct spw_node *of, const struct spw_relay_obj *relay,
			    struct spw_relay_end *end, uint32_t hint, struct spw_error *error)
{
	int err;

	(void)relay;
	end->nexthop = NULL;
	end->source = (struct spw_endpoint){0};
	if (end->remote.family == 0)
		return 0;
	err = acquire(of, &end->nexthop, hint, error);
	if (err < 0 || !end->nexthop)
		return err;
	end->source = end->local;
	if (end->local.family == 0) {
		end->source = end->remote;
		end->source.port = 0;
		end->source.addr[end->remote.family == 4 ? 3 : 15] = 200;
	}
	return 0;
}

void spw_nexthop_release_end(struct spw_node *of, struct spw_relay_end *end)
{
	release(of, &end->nexthop);
}

int spw_udp_port_hold(uint16_t port)
{
	if (port == double_port_busy)
		return -EADDRINUSE;
	double_ports_held++;
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int spw_net_source(struct spw_node *of, const struct spw_tunnel_obj *tunnel,
		   struct spw_endpoint *source)
{
	(void)of;
	*source = tunnel->remote;
	source->addr[3] = 1;
	return 0;
}

void spw_net_port_fill(struct spw_node *of, uint32_t port, struct spw_port_image *image)
{
	(void)of;
	image->mac[5] = (uint8_t)port;
}

void spw_net_adopt_host(struct spw_node *of, uint32_t port, const struct spw_prefix *host,
			uint32_t neighbor)
{
	size_t used = strlen(double_trace);
	char text[64];

	(void)of;
	spw_prefix_format(host, text, sizeof(text));
	snprintf(double_trace + used, sizeof(double_trace) - used, "host %s port %u neighbor %u;",
		 text, port, neighbor);
}

/* ---- the node ----------------------------------------------------------------------------- */

static void fill_node(void)
{
	struct spw_maps *maps = &node->maps;
	static const struct spw_interface interfaces[] = {
		{.ifname = "wan0", .role = SPW_PORT_WAN},
		{.ifname = "lan0", .role = SPW_PORT_LAN, .tenant = "blue"},
		{.ifname = "lan1", .role = SPW_PORT_LAN, .tenant = "green"},
	};

	strcpy(node->name, "test");
	strcpy(node->run_dir, run_dir);
	node->config_path = "config.yaml";
	node->listen_port = 4500;
	node->workers = 2;
	node->limits = (struct spw_limits){.tunnels = DOUBLE_TUNNELS_MAX - 1,
					   .tenants = DOUBLE_TENANTS_MAX - 1,
					   .routes = 1000,
					   .workers = 2};
	memcpy(node->interfaces, interfaces, sizeof(interfaces));
	node->interfaces_cnt = 3;
	maps->meta = &tables->meta;
	maps->ports = tables->ports;
	maps->tenants = tables->tenants;
	maps->tunnel_roots = tables->tunnel_roots;
	maps->tunnels = tables->tunnels;
	maps->spis = tables->spis;
	maps->route_units = tables->route_units;
	maps->rates = tables->rates;
	maps->neighbors = tables->neighbors;
	maps->workers = tables->workers;
	maps->counters = tables->counters;
	maps->relay_ports = tables->relay_ports;
	maps->relays = tables->relays;
	maps->relay_states = tables->relay_states;
}

struct spw_node *node_double_reborn(void)
{
	node = calloc(1, sizeof(*node));
	fill_node();
	if (spw_grace_create(&node->grace, &tables->meta, tables->workers, 256) < 0 ||
	    spw_model_open(node) < 0)
		abort();
	return node;
}

struct spw_node *node_double_open(uint32_t units_max)
{
	struct spw_error error = {0};

	strcpy(run_dir + sizeof(run_dir) - 7, "XXXXXX");
	if (!mkdtemp(run_dir))
		abort();
	tables = aligned_alloc(SPW_CACHE_LINE, sizeof(*tables));
	memset(tables, 0, sizeof(*tables));
	tables->meta = (struct spw_meta){.layout_version = SPW_LAYOUT_VERSION,
					 .tunnels_max = DOUBLE_TUNNELS_MAX,
					 .tunnel_slots_max = DOUBLE_SLOTS_MAX,
					 .tenants_max = DOUBLE_TENANTS_MAX,
					 .sas_max = DOUBLE_SAS_MAX,
					 .route_units_max = units_max,
					 .neighbors_max = DOUBLE_NEIGHBORS_MAX,
					 .tables_id = 0x1234,
					 .epoch = 1};
	double_trace[0] = '\0';
	double_sas_error = double_nexthop_error = double_sas_live = double_nexthop_live = 0;
	double_ports_held = 0;
	double_port_busy = 0;
	double_route_port = 0;
	double_on_start = double_on_stop = NULL;
	node_double_reborn();
	node->tries = spw_trie_pool_create(tables->route_units, units_max);
	spw_trie_marked(node->tries);
	strcpy(node->aead, "ipsec-mb"); /* a control that comes after knows it from the journal */
	if (spw_journal_start(node, &error) < 0)
		abort();
	return node;
}

void node_double_die(void)
{
	for (int period = 0; period < 3; period++)
		spw_grace_drain(node->grace, 1000);
	for (uint32_t id = 0; id < DOUBLE_TUNNELS_MAX; id++) {
		if (!node->tunnels[id])
			continue;
		if (node->tunnels[id]->sas)
			forget(node->tunnels[id]);
		if (node->tunnels[id]->nexthop)
			spw_nexthop_release(node, node->tunnels[id]);
	}
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		for (unsigned int i = 0; node->relays[id] && i < 2; i++)
			if (node->relays[id]->ends[i].nexthop)
				release(node, &node->relays[id]->ends[i].nexthop);
	spw_journal_close(node);
	spw_model_close(node);
	if (node->tries)
		spw_trie_pool_destroy(node->tries);
	spw_grace_destroy(node->grace);
	free(node);
	node = NULL;
}

void node_double_close(void)
{
	char path[64];

	node_double_die();
	free(tables);
	snprintf(path, sizeof(path), "%s/journal", run_dir);
	unlink(path);
	rmdir(run_dir);
}

struct double_tables *node_double_tables(void)
{
	return tables;
}
