/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink.h - two NETLINK_ROUTE sockets: one asks, one listens.
 *
 * Both belong to the network namespace in which they were opened. The caller owns the struct,
 * zeroed, until spw_netlink_close. Control's thread only: requests block, for as long as the kernel
 * takes to answer out of its own memory.
 */
#ifndef SPW_NETLINK_H
#define SPW_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#define SPW_NETLINK_REQUEST_BYTES 256u /* room for any request that is made here */

struct spw_netlink {
	struct mnl_socket *requests, *events;
	uint32_t seq;
	uint32_t portid;
};

/* Opens both and subscribes to links, addresses, routes, rules, next hop objects and neighbours.
 * 0 or a negative errno. */
int spw_netlink_open(struct spw_netlink *netlink);
void spw_netlink_close(struct spw_netlink *netlink);

/* Starts a request of `type` (RTM_*) in `buffer` (SPW_NETLINK_REQUEST_BYTES); flags: NLM_F_*
 * besides NLM_F_REQUEST. */
struct nlmsghdr *spw_netlink_start(void *buffer, uint16_t type, uint16_t flags);

/* Sends it and calls `cb` (may be NULL) for each message of the answer. 0, or a negative errno: the
 * kernel's, or -EAGAIN when a dump was overtaken by changes several times. */
int spw_netlink_ask(struct spw_netlink *netlink, struct nlmsghdr *request, mnl_cb_t cb, void *arg);

/* What to wait on; readable when spw_netlink_listen has something to do. */
int spw_netlink_fd(const struct spw_netlink *netlink);

/* Calls `cb` for each event that waits. 0, or a negative errno; -ENOBUFS: events were lost, so what
 * is known has to be asked for anew. */
int spw_netlink_listen(struct spw_netlink *netlink, mnl_cb_t cb, void *arg);

#endif
