/* SPDX-License-Identifier: BSD-2-Clause */
/* netlink.c - see netlink.h. */
#include "control/daemon/net/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define EVENTS_BUFFER_BYTES (4 << 20) /* a full BGP table that comes in does not lose events */
#define READS_PER_EVENT 64
#define DUMP_TRIES 8

static const unsigned int groups[] = {
	RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
	RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
	RTNLGRP_IPV6_RULE,  RTNLGRP_NEXTHOP,     RTNLGRP_NEIGH,
};

static struct mnl_socket *open_bound(void)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int err;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0)
		return socket;
	err = errno;
	mnl_socket_close(socket);
	errno = err;
	return NULL;
}

static int subscribe(struct mnl_socket *socket)
{
	int bytes = EVENTS_BUFFER_BYTES, fd = mnl_socket_get_fd(socket);

	/* Beyond the system's limit; without the right to do so the default has to do. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		unsigned int group = groups[i];
		if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) <
		    0)
			return -errno;
	}
	return 0;
}

int spw_netlink_open(struct spw_netlink *netlink)
{
	int err;

	netlink->requests = open_bound();
	if (netlink->requests)
		netlink->events = open_bound();
	err = netlink->events ? subscribe(netlink->events) : -errno;
	if (err < 0) {
		spw_netlink_close(netlink);
		return err;
	}
	netlink->portid = mnl_socket_get_portid(netlink->requests);
	return 0;
}

void spw_netlink_close(struct spw_netlink *netlink)
{
	if (netlink->requests)
		mnl_socket_close(netlink->requests);
	if (netlink->events)
		mnl_socket_close(netlink->events);
	*netlink = (struct spw_netlink){0};
}

struct nlmsghdr *spw_netlink_start(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	/* With an ACK every answer has an end that can be told. */
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	if ((flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->nlmsg_flags |= NLM_F_ACK;
	return request;
}

static int ask_once(struct spw_netlink *netlink, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	uint32_t answer[32768 / sizeof(uint32_t)];
	int more = MNL_CB_OK;

	request->nlmsg_seq = ++netlink->seq;
	if (mnl_socket_sendto(netlink->requests, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		ssize_t bytes = mnl_socket_recvfrom(netlink->requests, answer, sizeof(answer));
		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0)
			return -errno;
		more = mnl_cb_run(answer, (size_t)bytes, request->nlmsg_seq, netlink->portid, cb,
				  arg);
		/* The rest of a dump that was given up before. */
		if (more < 0 && errno == EPROTO)
			more = MNL_CB_OK;
	}
	return more < 0 ? -errno : 0;
}

int spw_netlink_ask(struct spw_netlink *netlink, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	for (int i = 0; i < DUMP_TRIES; i++) {
		int err = ask_once(netlink, request, cb, arg);
		if (err != -EINTR)
			return err;
	}
	return -EAGAIN;
}

int spw_netlink_fd(const struct spw_netlink *netlink)
{
	return mnl_socket_get_fd(netlink->events);
}

int spw_netlink_listen(struct spw_netlink *netlink, mnl_cb_t cb, void *arg)
{
	uint32_t data[32768 / sizeof(uint32_t)];

	for (int i = 0; i < READS_PER_EVENT; i++) {
		ssize_t bytes = mnl_socket_recvfrom(netlink->events, data, sizeof(data));
		if (bytes < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		/* An event that cannot be read is one that was lost. */
		if (mnl_cb_run(data, (size_t)bytes, 0, 0, cb, arg) < 0)
			return -ENOBUFS;
	}
	return 0;
}
