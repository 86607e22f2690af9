/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node.h - the running state of one node inside control, and who keeps which part of it.
 *
 * Everything here belongs to control's one thread (one libevent loop). The tables that packets see
 * are in spw_maps; the objects here are what people name. Parts:
 *   config    what was read at start: interfaces, limits (config.c)
 *   model     tenants and tunnels by name and id (model.c)
 *   relays    blind relays, and the learning of their endpoints (relays/)
 *   tables    maps, grace periods, slot pools, tries (tables/)
 *   sas       security associations, epochs, reserves, the private socket (sa/)
 *   net       netlink, next hops, lan hosts, the classifier's attachment (net/)
 *   rpc       the JSON-RPC socket (rpc.c, methods.c)
 */
#ifndef SPW_NODE_H
#define SPW_NODE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/op.h"
#include "control/daemon/tables/grace.h"
#include "control/daemon/tables/maps.h"
#include "control/daemon/tables/slots.h"
#include "control/daemon/tables/trie.h"
#include "ebpf/tables.h"

struct spw_sas;        /* sa/sas.h */
struct spw_link;       /* sa/link.h */
struct spw_net;        /* net/net.h */
struct spw_attach;     /* net/attach.h */
struct spw_rpc;        /* rpc.h */
struct spw_journal;    /* journal.h */
struct spw_tunnel_sas; /* sa/sas.h: a tunnel's keys and SAs */
struct spw_nexthop;    /* net/nexthop.h */
struct spw_relay_obj;  /* relays/relays.h */

struct spw_interface { /* from config.yaml, fixed while the node runs; port id = index */
	char ifname[16];
	int ifindex;
	uint8_t role; /* enum spw_port_role */
	uint16_t vlan;
	char tenant[SPW_NAME_BYTES]; /* lan */
	bool on_stop_pass;           /* lan */
	/* Empty: the kernel interface itself. Else the DPDK device that carries the packets; the
	 * interface is then the TAP that stands for it in the kernel (net/taps.h). */
	char device[96];
	int tap_fd;
	uint32_t queues;
	uint32_t mtu_bytes;

	/* The port's image (publish.c). */
	uint32_t allow_root[2]; /* lan: trie of the sources that may enter here: v4, v6 */
	bool image_resting;     /* the image not in use is in a grace period */
	bool image_wanted;      /* publish again as soon as that is over */
};

struct spw_tenant_obj {
	char name[SPW_NAME_BYTES];
	uint32_t id;
	uint32_t route_root[2]; /* as published; within a transaction its private copy */
	bool roots_changed;     /* of the open transaction */
};

struct spw_tunnel_obj {
	char name[SPW_NAME_BYTES];
	uint32_t id;   /* row in tunnel_roots, counters, rates */
	uint32_t slot; /* slot of the live record, 0: not published */
	struct spw_tenant_obj *tenant;
	struct spw_endpoint remote, local; /* as configured; remote.port is never 0
					    * where remote.family is not */
	uint16_t mtu_bytes;                /* as configured, 0: from the outer interface */
	uint32_t allow_cnt;
	struct spw_prefix *allow;
	uint32_t allow_root[2];
	bool foreign;
	bool dying; /* deleted; the record stands until no packet can hold a route to it any more */
	uint32_t routes_cnt;         /* prefixes of the tenant that lead into this tunnel */
	struct spw_tunnel_spec spec; /* as given, a copy; its strings and prefixes belong to it */

	/* What the record is built from besides the above; whoever changes one of these calls
	 * spw_tunnel_publish (publish.h). */
	struct spw_tunnel_sas *sas; /* sa/: keys and SAs */
	uint32_t tx_sa[SPW_WORKERS_MAX];
	uint64_t local_epoch, peer_epoch;
	struct spw_nexthop *nexthop; /* net/: shared by all tunnels with the same next hop */
};

struct spw_node {
	char name[SPW_NAME_BYTES];
	uint16_t listen_port; /* UDP port of the tunnels */
	uint32_t workers;
	char aead[16];      /* as in config.yaml */
	char key_file[256]; /* the node's private key, an absolute path; empty: it has none */
	struct spw_limits limits;
	struct spw_interface interfaces[SPW_PORTS_MAX];
	uint32_t interfaces_cnt;
	char run_dir[108 - 24], state_dir[256], pin_dir[256]; /* with the node's name appended */
	const char *config_path;
	int lock_fd; /* start.c: run_dir/lock, held as long as this control runs */

	struct event_base *loop;
	struct spw_maps maps;
	struct spw_grace *grace;
	struct event *grace_event, *grace_timer; /* start.c: they call spw_grace_run */
	struct spw_trie_pool *tries;
	struct spw_slots *tunnel_ids, *tunnel_slots, *tenant_ids, *neighbor_ids, *spi_slots,
		*out_slots, *relay_ids, *relay_slots;

	struct spw_tenant_obj **tenants;   /* by id, NULL: free; tenants_max of them */
	struct spw_tunnel_obj **tunnels;   /* by id, NULL: free */
	void *tenant_names, *tunnel_names; /* tsearch(3) trees of the same objects (model.c) */
	void *tunnel_peers;                /* the session tunnels among them, by the peer's key */
	void *live;                        /* likewise, of live.c: peers' addresses */
	uint32_t deny_root[2];             /* as published; within a transaction its private copy */

	struct spw_relay_obj *relays[SPW_RELAYS_MAX]; /* by id, NULL: free */
	struct event *relay_timer;                    /* relays/learn.c: runs while one is armed */

	uint32_t dying_cnt;  /* deleted tunnels whose record or SAs still stand */
	uint64_t revision;   /* transactions since the tables were made */
	uint64_t started_ns; /* CLOCK_MONOTONIC, this process */

	struct spw_sas *sas;
	struct spw_link *link;
	struct spw_net *net;
	struct spw_attach *attach;
	struct spw_rpc *rpc;
	struct spw_journal *journal;
};

/* model.c: NULL when there is none of that name. */
/* *cnt: how many tenants there are; where it is 1, its object. */
struct spw_tenant_obj *spw_tenant_only(struct spw_node *node, uint32_t *cnt);
struct spw_tenant_obj *spw_tenant_find(struct spw_node *node, const char *name);
struct spw_tunnel_obj *spw_tunnel_find(struct spw_node *node, const char *name);
struct spw_tunnel_obj *spw_tunnel_of_peer(struct spw_node *node,
					  const uint8_t peer_key[SPW_PUBLIC_KEY_BYTES]);

/* publish.c: builds the tunnel's record anew from its object, publishes it, and gives the old slot
 * to a grace period. A tunnel that is not published yet, or is being deleted, is left alone (0).
 * -ENOSPC: no free slot or the limbo is full (the old record stays; the caller tries again from a
 * timer or reports it). */
int spw_tunnel_publish(struct spw_node *node, struct spw_tunnel_obj *tunnel);

/* publish.c: fills and flips the image of a port after its addresses, MAC or allow tries changed;
 * does nothing where the image would be the same. While the other image is in a grace period or the
 * limbo is full, this is put off until that is over. */
int spw_port_publish(struct spw_node *node, uint32_t port);

/* txn.c: applies all ops or none. On failure `error` names the op's place, and its code is -ENOENT
 * (a name is unknown), -EEXIST (it is taken, or the prefix is), -EINVAL (a value out of range),
 * -ENOSPC (a table is full), -EBUSY (a tunnel is in use, or: try again) or what a key file or the
 * kernel gave. journal: false when the ops come from the journal itself; then what has been done
 * already is no error. */
int spw_txn_apply(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt, bool journal,
		  struct spw_error *error);

/* txn.c: a lan host's route (host prefix of a lan port's tenant), outside of people's
 * transactions: neighbor 0 removes it. Not journaled: the trie itself is read at a restart.
 * -EEXIST: a person's route has that very prefix, and stays. -EBUSY, -ENOSPC: try again later. */
int spw_host_route_set(struct spw_node *node, uint32_t port, const struct spw_prefix *host,
		       uint32_t neighbor);

#endif
