/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_private.h - what the files of net/ share. struct spw_net is made and freed by net.c.
 *
 *   netlink.c     asks the kernel and listens to it
 *   interfaces.c  ports: MAC, MTU, addresses
 *   neighbors.c   followed neighbours: their words in the neighbors table
 *   forget.c      after the node's end: its managed neighbours
 *   nexthop.c     tunnels and relays: the route to their peers
 *   udp_port.c    relays: their ports
 *   hosts.c       lan hosts: their routes
 *   net.c         events and timers, which bring these to the kernel's present state
 */
#ifndef SPW_NET_PRIVATE_H
#define SPW_NET_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/net/netlink.h"

struct spw_port_state {
	int ifindex; /* what has the addresses: the interface or its VLAN device; 0: it is gone */
	bool up;
	uint8_t mac[6];
	uint32_t mtu_bytes;
	uint8_t addr4_cnt, addr6_cnt;
	uint32_t addr4_be[SPW_PORT_ADDRS_MAX];
	uint8_t addr6[SPW_PORT_ADDRS_MAX][16];
	bool crowded; /* it has more addresses than fit */
};

/* A neighbour whose word this process keeps up to date. */
struct spw_followed {
	struct spw_nexthop hop; /* hop.users 0: to be let go (spw_followed_collect) */
	bool host;              /* of a lan port, not a next hop */
	bool routed;            /* host: its route is published */
	bool managed;           /* the kernel keeps it resolved, or it is fixed */
	bool fixed;             /* a person's static entry, or no_host */
	bool no_host;           /* a local, broadcast or multicast address */
	bool usable;            /* the kernel has its MAC */
	bool failed;            /* the last resolution ended without an answer */
	uint64_t failures;
	uint64_t asked_ms;       /* host: when it was gleaned */
	uint64_t stale_until_ms; /* in state SPW_NEIGHBOR_STALE */
};

struct spw_net {
	struct spw_node *node;
	struct spw_netlink netlink;
	struct event *readable, *sync_timer, *sweep_timer;

	struct spw_port_state ports[SPW_PORTS_MAX];
	struct spw_followed **followed; /* by neighbor id; neighbors_max of them */
	void *addresses;                /* tsearch(3) tree of the same, by port and address */
	struct spw_endpoint *sources;   /* by tunnel id: the kernel's choice, family 0: no route */
	uint32_t routeless_cnt;         /* peers without a route, as last logged */

	/* What the next sync has to do, and how long the last one took. */
	uint64_t sync_took_ms;
	bool links_changed, neighbors_lost;
	/* A tunnel's or relay's record could not be published: no neighbor id may be reused until
	 * it is. */
	bool publish_again;
	uint32_t leftover; /* ids from here on may be a restart's that nothing uses */
	struct spw_log_pause hosts_refused; /* gleans without room */
};

/* Has spw_tunnel_publish and all else brought up to date soon. */
void spw_net_sync_soon(struct spw_net *net);

/* ---- interfaces.c ---- */

/* Looks the configured interfaces up by name; what cannot serve is refused with a sentence. */
int spw_interfaces_find(struct spw_net *net, struct spw_error *error);

/* Reads links and addresses anew, into net->ports. Devices that changed their ifindex lose their
 * managed neighbours. 0 or a negative errno with the old state kept. */
int spw_interfaces_read(struct spw_net *net);

/* Whether a link (RTM_NEWLINK, RTM_DELLINK) or the owner of an address is one of the ports'. */
bool spw_interfaces_concern(const struct spw_net *net, const struct nlmsghdr *message);

/* Of a VLAN device that a message (RTM_NEWLINK) is about, the interface below, else 0. */
int spw_interfaces_lower(const struct nlmsghdr *message);

/* The port whose addresses are on that interface, or -1. */
int spw_interfaces_port(const struct spw_net *net, int ifindex);

/* ---- neighbors.c ---- */

/* NDA_PROTOCOL of the entries that are managed because we said so. The kernel leaves the values
 * above RTPROT_STATIC to programs; this one is nobody's in iproute2's rt_protos. */
#define SPW_NEIGHBOR_PROTOCOL 83

/* What a message (RTM_NEWNEIGH, RTM_DELNEIGH) says. */
struct spw_heard {
	int ifindex;
	struct spw_endpoint address; /* family 0: neither IPv4 nor IPv6 */
	uint16_t state;              /* NUD_* */
	uint32_t flags;              /* NTF_EXT_* */
	uint8_t protocol;            /* RTPROT_* or SPW_NEIGHBOR_PROTOCOL */
	const uint8_t *mac;          /* inside the message; NULL: none */
	bool fixed;                  /* a person's static entry, or no host's */
	bool usable;                 /* the kernel would send to that MAC */
};

void spw_heard_read(const struct nlmsghdr *message, struct spw_heard *heard);

/* Has the kernel resolve a neighbour no longer by itself. One that is usable may be in the kernel's
 * own use, and stays, without our mark; another is deleted. 0 or a negative errno; -ENOENT: it went
 * before. */
int spw_neighbor_unmanage(struct spw_netlink *netlink, int ifindex,
			  const struct spw_endpoint *address, bool usable);

/* The followed neighbour of that address, or NULL. */
struct spw_followed *spw_followed_find(const struct spw_net *net, uint32_t port,
				       const struct spw_endpoint *address);

/* Follows an address; one more user where that is done already. hint: the id to take where nothing
 * uses it in this process and node->neighbor_ids has it marked; its MAC stands then until the
 * kernel says another. NULL: errno is ENOMEM or ENOSPC. */
struct spw_followed *spw_followed_use(struct spw_net *net, uint32_t port,
				      const struct spw_endpoint *address, bool host, uint32_t hint);

/* Asks the kernel what it knows, and to keep it resolved. */
void spw_followed_ask(struct spw_net *net, struct spw_followed *followed);
void spw_followed_ask_unmanaged(struct spw_net *net);
void spw_followed_ask_all(struct spw_net *net);

/* An event about a neighbour, followed or not. */
void spw_followed_hear(struct spw_net *net, const struct nlmsghdr *message);

/* Once a second: ends the 30 s of last MACs. */
void spw_followed_age(struct spw_net *net);

/* Gives ids back that have no user any more, after a grace period. */
void spw_followed_collect(struct spw_net *net);

union spw_neighbor spw_followed_word(const struct spw_net *net,
				     const struct spw_followed *followed);

/* ---- nexthop.c ---- */

/* Asks the kernel for the route of every tunnel and relay, and publishes those that moved. */
void spw_nexthops_update(struct spw_net *net);

/* ---- hosts.c ---- */

/* A host's word or state has changed. */
void spw_host_update(struct spw_net *net, struct spw_followed *host);

/* Once a second: what did not go before, and who never answered. */
void spw_hosts_age(struct spw_net *net);

#endif
