/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline_node.c - the node of spw-bench-pipeline, see pipeline.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_errno.h>

#include "perf/pipeline.h"

#define TENANT 1u
#define NEIGHBOR_HOST(host) (2u + (host))
#define CAP_HIGH SPW_CAP(1000000000u, 1u << 30) /* 1 Tbit/s */

/* Two bursts for each of two workers, the AEAD's buffers, and what lies in caches; these are as the
 * workers' pool has them (dataplane/ports.c). */
#define POOL_FRAMES 2047u
#define POOL_CACHE 256u

/* Objects packed as in dataplane/ports.c, which says why. */
static struct rte_mempool *make_pool(void)
{
	struct rte_pktmbuf_pool_private sizes = {.mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE};
	struct rte_mempool *pool = rte_mempool_create_empty(
		"frames", POOL_FRAMES, sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE,
		POOL_CACHE, sizeof(sizes), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (!pool)
		broken("no packet buffers: %s", rte_strerror(rte_errno));
	rte_pktmbuf_pool_init(pool, &sizes);
	if (rte_mempool_populate_default(pool) < 0)
		broken("no memory for %u packet buffers", POOL_FRAMES);
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

static void furnish_port(struct world *world, uint32_t port, enum spw_port_role role,
			 uint32_t tenant)
{
	world->ports[port].image[0] =
		(struct spw_port_image){.mac = {2, 0, 0, 0, 1, (uint8_t)port},
					.role = (uint8_t)role,
					.tunnel_port_be = htons(WORLD_TUNNEL_PORT),
					.tenant = tenant};
}

static uint32_t member(struct world *world, const char *prefix)
{
	return world_trie(world, &(struct world_prefix){prefix, SPW_LEAF(SPW_LEAF_MEMBER, 0)}, 1);
}

struct spw_msg_sa_add node_sa(uint32_t direction, uint32_t tunnel)
{
	struct spw_msg_sa_add sa = world_sa(direction, tunnel);

	sa.key_bytes = 16;
	sa.flags = SPW_SA_F_ESN;
	sa.spi = tunnel << SPW_SPI_GENERATION_BITS | 5;
	memcpy(sa.key, &tunnel, sizeof(tunnel));
	return sa;
}

static void furnish_tunnel(struct world *world, uint32_t id, const char *net)
{
	struct spw_msg_sa_add in = node_sa(SPW_SA_IN, id), out = node_sa(SPW_SA_OUT, id);

	world_tunnel(world, id, TENANT, 4)->allow_root[0] = member(world, net);
	world->rates[id] = (struct spw_rate){CAP_HIGH, CAP_HIGH};
	if (world_sa_add(world, &in) != 0 || world_sa_add(world, &out) != 0)
		broken("no memory for the SAs of %u tunnels", id);
}

static void furnish_tenant(struct world *world, uint32_t tunnels)
{
	uint32_t cnt = tunnels + LAN_HOSTS;
	struct world_prefix *routes = calloc(cnt, sizeof(*routes));
	char(*text)[32] = calloc(cnt, sizeof(*text));

	if (!routes || !text)
		broken("no memory for routes");
	for (uint32_t t = 0; t < tunnels; t++) {
		snprintf(text[t], sizeof(text[t]), "10.%u.%u.0/24", t >> 8, t & 255);
		routes[t] = (struct world_prefix){text[t], SPW_LEAF(SPW_LEAF_TUNNEL, t + 1)};
		furnish_tunnel(world, t + 1, text[t]);
	}
	for (uint32_t h = 0; h < LAN_HOSTS; h++) {
		uint32_t r = tunnels + h, id = NEIGHBOR_HOST(h);
		snprintf(text[r], sizeof(text[r]), "172.16.0.%u/32", h);
		routes[r] = (struct world_prefix){text[r], SPW_LEAF(SPW_LEAF_NEIGHBOR, id)};
		world->neighbors[id] = (union spw_neighbor){.mac = {2, 0, 0, 0, 2, (uint8_t)h},
							    .port = PORT_LAN,
							    .state = SPW_NEIGHBOR_VALID};
	}
	world->tenants[TENANT].route_root[0] = world_trie(world, routes, cnt);
	world->rates[world->size.tunnels + TENANT].in_cap = CAP_HIGH;
	free(text);
	free(routes);
}

static struct world *make_world(uint32_t tunnels)
{
	struct world *world = world_create_sized(&(struct world_size){
		.sas = TUNNELS_MAX + 1,
		.tunnels = TUNNELS_MAX + 1,
		.tenants = TENANT + 1,
		.neighbors = NEIGHBOR_HOST(LAN_HOSTS),
		.trie_units = 65536 + 16 * TUNNELS_MAX,
	});

	furnish_port(world, PORT_WAN, SPW_PORT_WAN, 0);
	furnish_port(world, PORT_LAN, SPW_PORT_LAN, TENANT);
	world->ports[PORT_LAN].image[0].allow_root[0] = member(world, "172.16.0.0/16");
	world->neighbors[WORLD_NEIGHBOR_WAN] = (union spw_neighbor){
		.mac = {2, 0, 0, 0, 3, 1}, .port = PORT_WAN, .state = SPW_NEIGHBOR_VALID};
	furnish_tenant(world, tunnels);
	return world;
}

void node_create(struct node *node)
{
	node->world = make_world(0);
	node->pool = make_pool();
	relays_furnish(node);
	node->ports.pool = node->pool;
	node->ports.queue[0] =
		(struct spw_queue){.ethdev = port_open_sink(node->pool), .xsk_fd = -1};
	for (uint32_t p = PORT_WAN; p <= PORT_LAN; p++)
		node->ports.port[p] = (struct spw_io_port){
			.queues = 1, .mtu_bytes = 1500, .queue = &node->ports.queue[0]};
	if (spw_crew_create(&node->crew, 1, &node->world->lane.tables, &node->ports,
			    node->world->lane.sas) != 0)
		broken("no memory for a worker");
}

void node_furnish(struct node *node, uint32_t tunnels)
{
	struct spw_lane *lane = &node->crew.worker[0]->lane;

	world_destroy(node->world);
	node->world = make_world(tunnels);
	relays_join(node, node->world);
	node->tunnels = tunnels;
	lane->tables = node->world->lane.tables;
	lane->row = &node->world->row;
	lane->counters = node->world->counters;
	lane->sas = node->world->lane.sas;
}

void node_reset_windows(struct node *node)
{
	for (uint32_t id = 1; id <= node->tunnels; id++) {
		struct spw_replay *replay = &node->world->lane.sas->in[id]->replay;
		memset(replay->ring, 0, spw_replay_bytes(replay->window_packets));
		spw_replay_init(replay, replay->window_packets, 1);
	}
}
