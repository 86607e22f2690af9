/* SPDX-License-Identifier: BSD-2-Clause */
/* nexthop.c - see net.h: the kernel's route to a tunnel's peer. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "control/daemon/log.h"
#include "control/daemon/net/net_private.h"

static const struct spw_place nowhere;

struct route {
	int ifindex;
	uint8_t type; /* RTN_* */
	struct spw_endpoint gateway, source;
};

/* ---- asking ------------------------------------------------------------------------------- */

static void read_address(struct spw_endpoint *endpoint, uint8_t family, const void *addr,
			 size_t bytes)
{
	if (bytes != (family == AF_INET ? 4 : 16))
		return;
	endpoint->family = family == AF_INET ? 4 : 6;
	memcpy(endpoint->addr, addr, bytes);
}

static int on_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(message);
	struct route *route = arg;
	const struct nlattr *attr;

	if (message->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	route->type = info->rtm_type;
	mnl_attr_for_each (attr, message, sizeof(*info)) {
		const uint8_t *data = mnl_attr_get_payload(attr);
		size_t bytes = mnl_attr_get_payload_len(attr);
		switch (mnl_attr_get_type(attr)) {
		case RTA_OIF:
			route->ifindex = (int)mnl_attr_get_u32(attr);
			break;
		case RTA_GATEWAY:
			read_address(&route->gateway, info->rtm_family, data, bytes);
			break;
		case RTA_VIA: /* an IPv4 route by an IPv6 gateway (RFC 5549): family, address */
			if (bytes > 2)
				read_address(&route->gateway, data[0], data + 2, bytes - 2);
			break;
		case RTA_PREFSRC:
			read_address(&route->source, info->rtm_family, data, bytes);
			break;
		}
	}
	return MNL_CB_OK;
}

/* Whether the classifier takes packets to that address: tunnels end at wan ports. */
static bool of_wan(const struct spw_net *net, const struct spw_endpoint *address)
{
	for (uint32_t port = 0; port < net->node->interfaces_cnt; port++) {
		const struct spw_port_state *state = &net->ports[port];
		if (net->node->interfaces[port].role != SPW_PORT_WAN)
			continue;
		for (uint32_t i = 0; address->family == 4 && i < state->addr4_cnt; i++)
			if (memcmp(&state->addr4_be[i], address->addr, 4) == 0)
				return true;
		for (uint32_t i = 0; address->family == 6 && i < state->addr6_cnt; i++)
			if (memcmp(state->addr6[i], address->addr, 16) == 0)
				return true;
	}
	return false;
}

/* The kernel's route from tunnel->local (or the address it prefers) to the peer. *port: the wan
 * port it leaves by. 0, or -ENETUNREACH: there is none by a wan port, from a wan port's address. */
static int ask(struct spw_net *net, const struct spw_tunnel_obj *tunnel, struct route *route,
	       uint32_t *port)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request = spw_netlink_start(buffer, RTM_GETROUTE, 0);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	const struct spw_endpoint *remote = &tunnel->remote, *local = &tunnel->local;
	size_t bytes = remote->family == 4 ? 4 : 16;
	int err, found;

	*route = (struct route){0};
	info->rtm_family = remote->family == 4 ? AF_INET : AF_INET6;
	info->rtm_dst_len = (uint8_t)(8 * bytes);
	mnl_attr_put(request, RTA_DST, bytes, remote->addr);
	if (local->family == remote->family) {
		info->rtm_src_len = (uint8_t)(8 * bytes);
		mnl_attr_put(request, RTA_SRC, bytes, local->addr);
	}
	err = spw_netlink_ask(&net->netlink, request, on_route, route);
	found = spw_interfaces_port(net, route->ifindex);
	if (err < 0 || route->type != RTN_UNICAST || found < 0 ||
	    net->node->interfaces[found].role != SPW_PORT_WAN)
		return -ENETUNREACH;
	if (local->family)
		route->source = *local;
	if (route->gateway.family == 0)
		route->gateway = *remote; /* on the link */
	if (!of_wan(net, &route->source))
		return -ENETUNREACH; /* the peer's answers would go to the kernel */
	route->source.port = 0;
	*port = (uint32_t)found;
	return 0;
}

/* ---- tunnels ------------------------------------------------------------------------------ */

static struct spw_followed *followed_of(const struct spw_net *net, const struct spw_nexthop *hop)
{
	return net->followed[hop->neighbor];
}

/* Takes tunnel->nexthop as the kernel routes now; the former one stays where the new one cannot be
 * had. 0: also without a route; -ENOSPC, -ENOMEM. */
static int steer(struct spw_net *net, struct spw_tunnel_obj *tunnel, uint32_t hint)
{
	struct spw_endpoint *source = &net->sources[tunnel->id];
	struct spw_nexthop *former = tunnel->nexthop;
	struct spw_followed *followed;
	struct route route;
	uint32_t port;

	if (ask(net, tunnel, &route, &port) < 0) {
		*source = (struct spw_endpoint){0};
		if (former)
			spw_nexthop_release(net->node, tunnel);
		return 0;
	}
	followed = spw_followed_find(net, port, &route.gateway);
	if (!followed || former != &followed->hop) {
		bool asked = followed;
		followed = spw_followed_use(net, port, &route.gateway, false, hint);
		if (!followed)
			return -errno;
		if (former)
			spw_nexthop_release(net->node, tunnel);
		tunnel->nexthop = &followed->hop;
		if (!asked)
			spw_followed_ask(net, followed);
	}
	followed->hop.mtu_bytes = net->ports[port].mtu_bytes;
	*source = route.source;
	return 0;
}

int spw_nexthop_acquire(struct spw_node *node, struct spw_tunnel_obj *tunnel, uint32_t hint,
			struct spw_error *error)
{
	struct spw_net *net = node->net;
	int err;

	tunnel->nexthop = NULL;
	net->sources[tunnel->id] = (struct spw_endpoint){0};
	err = steer(net, tunnel, hint);
	if (err == -ENOSPC)
		return spw_error_set(error, err, nowhere,
				     "tunnel \"%s\": all %u neighbors that the tables hold are "
				     "taken; delete tunnels to other next hops first",
				     tunnel->name, node->maps.meta->neighbors_max - 1);
	if (err < 0)
		return spw_error_set(error, err, nowhere, "tunnel \"%s\": %s", tunnel->name,
				     strerror(-err));
	if (!tunnel->nexthop)
		spw_net_sync_soon(net); /* says so */
	/* A record found at a restart may lead elsewhere. */
	if (tunnel->slot && spw_tunnel_publish(node, tunnel) < 0) {
		net->publish_again = true;
		spw_net_sync_soon(net);
	}
	return 0;
}

void spw_nexthop_release(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	/* Without users it is collected in a moment, unless somebody takes it up again. */
	followed_of(node->net, tunnel->nexthop)->hop.users--;
	tunnel->nexthop = NULL;
}

int spw_net_source(struct spw_node *node, const struct spw_tunnel_obj *tunnel,
		   struct spw_endpoint *source)
{
	const struct spw_endpoint *chosen = &node->net->sources[tunnel->id];

	if (tunnel->local.family)
		chosen = &tunnel->local;
	if (chosen->family == 0)
		return -ENETUNREACH;
	*source = *chosen;
	source->port = 0;
	return 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

static void report(struct spw_net *net, uint32_t cnt, const struct spw_tunnel_obj *first)
{
	struct spw_endpoint remote;
	char peer[64];

	if (cnt == net->routeless_cnt)
		return;
	net->routeless_cnt = cnt;
	if (cnt == 0) {
		spw_log("info", "net", "every tunnel has a route to its peer");
		return;
	}
	remote = first->remote;
	remote.port = 0;
	spw_endpoint_format(&remote, peer, sizeof(peer));
	spw_log("warning", "net",
		"%u tunnel%s for a route, tunnel %s among them: the kernel must lead to %s by a "
		"wan interface, from an address of one; see `ip route get %s`",
		cnt, cnt == 1 ? " waits" : "s wait", first->name, peer, peer);
}

void spw_nexthops_update(struct spw_net *net)
{
	struct spw_node *node = net->node;
	const struct spw_tunnel_obj *first = NULL;
	uint32_t routeless_cnt = 0;

	net->publish_again = false;
	for (uint32_t id = 1; id < node->maps.meta->tunnels_max; id++) {
		struct spw_tunnel_obj *tunnel = node->tunnels[id];
		if (!tunnel || tunnel->dying)
			continue;
		/* Both fail for lack of room only; it comes with the grace periods under way. */
		if (steer(net, tunnel, 0) < 0 || spw_tunnel_publish(node, tunnel) < 0)
			net->publish_again = true;
		if (!tunnel->nexthop && routeless_cnt++ == 0)
			first = tunnel;
	}
	report(net, routeless_cnt, first);
	if (net->publish_again)
		spw_net_sync_soon(net);
}
