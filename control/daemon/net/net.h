/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.h - what the kernel knows: interfaces, addresses, routes and neighbours, over netlink.
 *
 * One NETLINK_ROUTE socket for requests and one for events, both on control's loop. Control's
 * thread only.
 */
#ifndef SPW_NET_H
#define SPW_NET_H

#include <jansson.h>

#include "control/daemon/node.h"

struct spw_relay_end; /* relays/relays.h */

/* Looks the configured interfaces up (ifindex, MTU, queues), fills and publishes their port images
 * with MAC and addresses, and follows changes from then on. Sets node->net. What is missing, is no
 * Ethernet interface or (with new tables) is down is refused with a sentence: -ENODEV, -EINVAL,
 * -ENETDOWN; others are the kernel's. The classifier is attached afterwards by main. */
int spw_net_create(struct spw_node *node, struct spw_error *error);
void spw_net_destroy(struct spw_node *node); /* managed neighbours stay with the kernel */

/* MAC and addresses of a port for its image (publish.c calls it). */
void spw_net_port_fill(struct spw_node *node, uint32_t port, struct spw_port_image *image);

/*
 * The next hop of a tunnel's remote address: the kernel's route says by which wan port and gateway,
 * and a managed neighbour (NTF_EXT_MANAGED) keeps its MAC fresh in neighbors[id]. Shared and
 * counted: one per (port, gateway). When the route moves, every tunnel that uses it is moved and
 * published again (spw_tunnel_publish). No route by a wan port from a wan port's address: 0 too,
 * tunnel->nexthop is NULL, and the tunnel waits for one with neighbor 0.
 * hint: the neighbor id of the record found at a restart, or 0; that record is published again
 * where it leads elsewhere now.
 * -ENOSPC: no neighbor id is left. -ENOMEM.
 */
int spw_nexthop_acquire(struct spw_node *node, struct spw_tunnel_obj *tunnel, uint32_t hint,
			struct spw_error *error);
void spw_nexthop_release(struct spw_node *node, struct spw_tunnel_obj *tunnel);
/* After tunnel->remote has changed: takes the next hop there and publishes the record, or does so
 * as soon as there is room. */
void spw_nexthop_move(struct spw_node *node, struct spw_tunnel_obj *tunnel);

/* The same for an endpoint of a relay that is known (for another there is nothing to do); hint as
 * above, but the record is the caller's to publish. -EINVAL: the kernel says that the address is
 * the host's own, broadcast or multicast. */
int spw_nexthop_acquire_end(struct spw_node *node, const struct spw_relay_obj *relay,
			    struct spw_relay_end *end, uint32_t hint, struct spw_error *error);
void spw_nexthop_release_end(struct spw_node *node, struct spw_relay_end *end);

struct spw_nexthop {
	uint32_t neighbor;           /* id in neighbors */
	uint32_t port;               /* port id */
	uint32_t mtu_bytes;          /* of the outer interface */
	struct spw_endpoint gateway; /* the neighbour's address */
	uint32_t users;
};

/* The configured source address of an acquired tunnel, else the one that the kernel would use
 * towards tunnel->remote; its port is 0. -ENETUNREACH: no route. */
int spw_net_source(struct spw_node *node, const struct spw_tunnel_obj *tunnel,
		   struct spw_endpoint *source);

/* Binds a UDP port of the host, of both families, so that no other program gets it; what comes in
 * there is dropped. A descriptor of the caller's; -EADDRINUSE: somebody has it. */
int spw_udp_port_hold(uint16_t port);

/* A worker met a lan destination without a MAC: ask the kernel for it (managed neighbour); the
 * answer becomes a host route through spw_host_route_set. Bounded: at most 1024 hosts per port, 64
 * of them without an answer yet; only addresses inside the port's lan prefixes; hosts that stay
 * unreachable for 30 s are forgotten. */
void spw_net_glean(struct spw_node *node, uint32_t port, const struct spw_endpoint *host);

/* A host route that was found in the tables at a restart, with the id of its neighbor (marked in
 * node->neighbor_ids already): net keeps its MAC fresh again, or takes the route out. May be called
 * from a walk through the trie: nothing changes before the loop runs. */
void spw_net_adopt_host(struct spw_node *node, uint32_t port, const struct spw_prefix *host,
			uint32_t neighbor);

/* [{"address", "interface", "mac" (null: unknown), "state" (unresolved, valid, stale),
 * "failures"}], next hops and lan hosts, in no certain order; a new reference. */
json_t *spw_net_describe_neighbors(struct spw_node *node);

#endif
