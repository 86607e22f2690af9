/* SPDX-License-Identifier: BSD-2-Clause */
/* world_tables.c - the tables of a test's world, see world.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/text.h"
#include "tests/unit/dataplane/world.h"

uint32_t world_trie(struct world *world, const struct world_prefix *prefixes, size_t cnt)
{
	struct spw_trie_txn *txn;
	struct spw_prefix prefix;
	const char *expected;
	uint32_t root = 0;

	if (spw_trie_txn_begin(world->tries, &txn) != 0)
		abort();
	for (size_t k = 0; k < cnt; k++) {
		if (spw_prefix_parse(prefixes[k].text, &prefix, &expected) != 0 ||
		    spw_trie_insert(txn, &root, &prefix, prefixes[k].leaf, false) != 0)
			abort();
	}
	if (spw_trie_txn_seal(txn, world->grace) != 0)
		abort();
	spw_trie_txn_retire(txn);
	return root;
}

static void outer4(uint8_t *at)
{
	at[0] = 0x45;
	at[6] = 0x40; /* DF */
	at[8] = 64;
	at[9] = SPW_PROTO_UDP;
	inet_pton(AF_INET, "192.0.2.1", at + 12);
	inet_pton(AF_INET, "192.0.2.2", at + 16);
	spw_put_be16(at + 10, (uint16_t)~spw_sum_fold(spw_sum(at, SPW_IPV4_BYTES, 0)));
	spw_put_be16(at + 20, WORLD_TUNNEL_PORT);
	spw_put_be16(at + 22, WORLD_TUNNEL_PORT);
}

static void outer6(uint8_t *at)
{
	at[0] = 0x60;
	at[6] = SPW_PROTO_UDP;
	at[7] = 64;
	inet_pton(AF_INET6, "2001:db8:ffff::1", at + 8);
	inet_pton(AF_INET6, "2001:db8:ffff::2", at + 24);
	spw_put_be16(at + 40, WORLD_TUNNEL_PORT);
	spw_put_be16(at + 42, WORLD_TUNNEL_PORT);
}

struct spw_tunnel *world_tunnel(struct world *world, uint32_t id, uint32_t tenant, int family)
{
	struct spw_tunnel *record = &world->tunnels[id];

	record->id = id;
	record->tenant = tenant;
	record->neighbor = WORLD_NEIGHBOR_WAN;
	record->inner_mtu_bytes = family == 4 ? 1438 : 1418;
	record->outer_bytes = family == 4 ? 28 : 48;
	if (family == 4)
		outer4(record->outer);
	else
		outer6(record->outer);
	record->tx_sa[0] = id;
	world->tunnel_roots[id].slot = id;
	return record;
}

struct spw_msg_sa_add world_sa(uint32_t direction, uint32_t tunnel)
{
	struct spw_msg_sa_add msg = {
		.direction = direction,
		.slot = tunnel,
		.spi = direction == SPW_SA_IN ? WORLD_SPI_IN(tunnel) : WORLD_SPI_OUT(tunnel),
		.tunnel = tunnel,
		.flags = tunnel == 1 ? 0 : SPW_SA_F_ESN,
		.key_bytes = tunnel == 1 || tunnel == 4 ? 16 : 32,
		.window_packets = 2048,
		.sequence = 1,
		.limit = UINT64_MAX,
		.iv_mask = 0x5a5a123400ff0000ull + tunnel,
	};
	for (uint32_t k = 0; k < msg.key_bytes; k++)
		msg.key[k] = (uint8_t)(16 * tunnel + 97 * direction + k);
	for (uint32_t k = 0; k < SPW_SALT_BYTES; k++)
		msg.salt[k] = (uint8_t)(0xa0 + 4 * tunnel + 31 * direction + k);
	return msg;
}

int world_sa_add(struct world *world, const struct spw_msg_sa_add *sa)
{
	int error = spw_sa_add(world->lane.sas, sa, 0);

	if (error == 0 && sa->direction == SPW_SA_IN)
		world->spis[sa->slot] = (struct spw_spi){sa->spi, sa->tunnel};
	return error;
}

static void furnish_port(struct world *world, uint32_t port, enum spw_port_role role,
			 uint32_t tenant, uint16_t vlan)
{
	struct spw_port_image *image = &world->ports[port].image[0];

	*image = (struct spw_port_image){.mac = {2, 0, 0, 0, 1, (uint8_t)port},
					 .vlan = vlan,
					 .role = (uint8_t)role,
					 .tunnel_port_be = htons(WORLD_TUNNEL_PORT),
					 .tenant = tenant};
	world->lane.port_mtu_bytes[port] = 1500;
}

static void furnish_neighbor(struct world *world, uint32_t id, uint32_t port)
{
	world->neighbors[id] = (union spw_neighbor){.mac = {2, 0, 0, 0, 2, (uint8_t)id},
						    .port = (uint8_t)port,
						    .state = SPW_NEIGHBOR_VALID};
}

static void furnish_lan(struct world *world, uint32_t port, const char *net4, const char *net6)
{
	struct spw_port_image *image = &world->ports[port].image[0];

	image->allow_root[0] =
		world_trie(world, &(struct world_prefix){net4, SPW_LEAF(SPW_LEAF_MEMBER, 0)}, 1);
	image->allow_root[1] =
		world_trie(world, &(struct world_prefix){net6, SPW_LEAF(SPW_LEAF_MEMBER, 0)}, 1);
}

static void furnish_tunnel(struct world *world, uint32_t id, uint32_t tenant, int family,
			   const char *net4, const char *net6)
{
	struct spw_tunnel *record = world_tunnel(world, id, tenant, family);
	struct spw_msg_sa_add in = world_sa(SPW_SA_IN, id), out = world_sa(SPW_SA_OUT, id);

	record->allow_root[0] =
		world_trie(world, &(struct world_prefix){net4, SPW_LEAF(SPW_LEAF_MEMBER, 0)}, 1);
	record->allow_root[1] =
		world_trie(world, &(struct world_prefix){net6, SPW_LEAF(SPW_LEAF_MEMBER, 0)}, 1);
	if (world_sa_add(world, &in) != 0 || world_sa_add(world, &out) != 0)
		abort();
}

static const struct world_prefix routes1_4[] = {
	{"10.1.0.0/16", SPW_LEAF(SPW_LEAF_TUNNEL, 1)},
	{"10.2.0.0/16", SPW_LEAF(SPW_LEAF_TUNNEL, 2)},
	{"10.3.0.0/16", SPW_LEAF(SPW_LEAF_TUNNEL, 3)},
	{"10.4.0.0/16", SPW_LEAF(SPW_LEAF_TUNNEL, 4)}, /* of tenant 2: a wrong table */
	{"10.5.0.0/16", SPW_LEAF(SPW_LEAF_TUNNEL, 5)}, /* not there */
	{"10.8.0.5/32", SPW_LEAF(SPW_LEAF_NEIGHBOR, 6)},
	{"10.9.0.0/24", SPW_LEAF(SPW_LEAF_LAN, 1)},
	{"10.9.0.5/32", SPW_LEAF(SPW_LEAF_NEIGHBOR, 5)},
	{"10.9.0.7/32", SPW_LEAF(SPW_LEAF_NEIGHBOR, 7)}, /* of tenant 2: a wrong table */
};
static const struct world_prefix routes1_6[] = {
	{"2001:db8:1::/48", SPW_LEAF(SPW_LEAF_TUNNEL, 1)},
	{"2001:db8:2::/48", SPW_LEAF(SPW_LEAF_TUNNEL, 2)},
	{"2001:db8:3::/48", SPW_LEAF(SPW_LEAF_TUNNEL, 3)},
	{"2001:db8:9::/64", SPW_LEAF(SPW_LEAF_LAN, 1)},
	{"2001:db8:9::5/128", SPW_LEAF(SPW_LEAF_NEIGHBOR, 5)},
};
static const struct world_prefix routes2_4[] = {
	{"10.1.0.0/16", SPW_LEAF(SPW_LEAF_TUNNEL, 4)},
	{"10.9.0.5/32", SPW_LEAF(SPW_LEAF_NEIGHBOR, 7)},
};

void world_furnish(struct world *world)
{
	furnish_port(world, 0, SPW_PORT_WAN, 0, 0);
	furnish_port(world, 1, SPW_PORT_LAN, 1, 0);
	furnish_port(world, 2, SPW_PORT_LAN, 2, 0);
	furnish_port(world, 3, SPW_PORT_LAN, 1, 5);
	furnish_neighbor(world, WORLD_NEIGHBOR_WAN, 0);
	furnish_neighbor(world, 5, 1);
	furnish_neighbor(world, 6, 3);
	furnish_neighbor(world, 7, 2);
	furnish_lan(world, 1, "10.9.0.0/24", "2001:db8:9::/64");
	furnish_lan(world, 2, "10.9.0.0/24", "2001:db8:9::/64");
	furnish_lan(world, 3, "10.8.0.0/24", "2001:db8:8::/64");
	furnish_tunnel(world, 1, 1, 4, "10.1.0.0/16", "2001:db8:1::/48");
	furnish_tunnel(world, 2, 1, 4, "10.2.0.0/16", "2001:db8:2::/48");
	furnish_tunnel(world, 3, 1, 6, "10.3.0.0/16", "2001:db8:3::/48");
	furnish_tunnel(world, 4, 2, 4, "10.1.0.0/16", "2001:db8:1::/48");
	world->tenants[1].route_root[0] =
		world_trie(world, routes1_4, sizeof(routes1_4) / sizeof(routes1_4[0]));
	world->tenants[1].route_root[1] =
		world_trie(world, routes1_6, sizeof(routes1_6) / sizeof(routes1_6[0]));
	world->tenants[2].route_root[0] =
		world_trie(world, routes2_4, sizeof(routes2_4) / sizeof(routes2_4[0]));
}
