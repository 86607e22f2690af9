/* SPDX-License-Identifier: BSD-2-Clause */
/* nexthop.c - see net.h: the kernel's route to a tunnel's peer, and to a relay's endpoints. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "control/daemon/log.h"
#include "control/daemon/net/net_private.h"
#include "control/daemon/relays/relays.h"

static const struct spw_place nowhere;

/* Who sends to a peer: a tunnel, or a relay towards one of its endpoints. */
struct sender {
	const struct spw_endpoint *remote, *local; /* local->family 0: what the kernel prefers */
	struct spw_endpoint *source;               /* in use; family 0: no route */
	struct spw_nexthop **nexthop;
};

static struct sender tunnel_sender(const struct spw_net *net, struct spw_tunnel_obj *tunnel)
{
	return (struct sender){&tunnel->remote, &tunnel->local, &net->sources[tunnel->id],
			       &tunnel->nexthop};
}

static struct sender end_sender(struct spw_relay_end *end)
{
	return (struct sender){&end->remote, &end->local, &end->source, &end->nexthop};
}

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

/* The kernel's route from sender->local (or the address it prefers) to the peer. *port: the wan
 * port it leaves by. 0, or -ENETUNREACH: there is none by a wan port, from a wan port's address. */
static int ask(struct spw_net *net, const struct sender *sender, struct route *route,
	       uint32_t *port)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request = spw_netlink_start(buffer, RTM_GETROUTE, 0);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	const struct spw_endpoint *remote = sender->remote, *local = sender->local;
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

/* ---- one sender --------------------------------------------------------------------------- */

static struct spw_followed *followed_of(const struct spw_net *net, const struct spw_nexthop *hop)
{
	return net->followed[hop->neighbor];
}

/* Without users it is collected in a moment, unless somebody takes it up again. */
static void release(struct spw_net *net, struct spw_nexthop **nexthop)
{
	followed_of(net, *nexthop)->hop.users--;
	*nexthop = NULL;
}

/* Takes the next hop as the kernel routes now; the former one stays where the new one cannot be
 * had. 0: also without a route; -ENOSPC, -ENOMEM. */
static int steer(struct spw_net *net, const struct sender *sender, uint32_t hint)
{
	struct spw_nexthop *former = *sender->nexthop;
	struct spw_followed *followed;
	struct route route;
	uint32_t port;

	if (ask(net, sender, &route, &port) < 0) {
		*sender->source = (struct spw_endpoint){0};
		if (former)
			release(net, sender->nexthop);
		return 0;
	}
	followed = spw_followed_find(net, port, &route.gateway);
	if (!followed || former != &followed->hop) {
		bool asked = followed;
		followed = spw_followed_use(net, port, &route.gateway, false, hint);
		if (!followed)
			return -errno;
		if (former)
			release(net, sender->nexthop);
		*sender->nexthop = &followed->hop;
		if (!asked)
			spw_followed_ask(net, followed);
	}
	followed->hop.mtu_bytes = net->ports[port].mtu_bytes;
	*sender->source = route.source;
	return 0;
}

int spw_nexthop_acquire(struct spw_node *node, struct spw_tunnel_obj *tunnel, uint32_t hint,
			struct spw_error *error)
{
	struct spw_net *net = node->net;
	struct sender sender = tunnel_sender(net, tunnel);
	int err;

	*sender.nexthop = NULL;
	*sender.source = (struct spw_endpoint){0};
	if (tunnel->remote.family == 0)
		return 0;
	err = steer(net, &sender, hint);
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

void spw_nexthop_move(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	struct sender sender = tunnel_sender(node->net, tunnel);

	if (steer(node->net, &sender, 0) == 0 && spw_tunnel_publish(node, tunnel) == 0)
		return;
	node->net->publish_again = true;
	spw_net_sync_soon(node->net);
}

void spw_nexthop_release(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	release(node->net, &tunnel->nexthop);
}

/* What the kernel would not send to another host. */
static const char *own_address(uint8_t type)
{
	switch (type) {
	case RTN_LOCAL:
	case RTN_ANYCAST:
		return "an address of this host";
	case RTN_BROADCAST:
		return "a broadcast address";
	case RTN_MULTICAST:
		return "a multicast address";
	default:
		return NULL;
	}
}

int spw_nexthop_acquire_end(struct spw_node *node, const struct spw_relay_obj *relay,
			    struct spw_relay_end *end, uint32_t hint, struct spw_error *error)
{
	struct spw_net *net = node->net;
	struct sender sender = end_sender(end);
	struct spw_endpoint remote = end->remote;
	struct route route;
	uint32_t port;
	char text[64];
	int err;

	end->nexthop = NULL;
	end->source = (struct spw_endpoint){0};
	if (end->remote.family == 0)
		return 0;
	if (ask(net, &sender, &route, &port) < 0 && own_address(route.type)) {
		remote.port = 0;
		spw_endpoint_format(&remote, text, sizeof(text));
		return spw_error_set(error, -EINVAL, nowhere,
				     "relay \"%s\": %s is %s; expected one of another host's",
				     relay->name, text, own_address(route.type));
	}
	err = steer(net, &sender, hint);
	if (err < 0)
		return spw_error_set(error, err, nowhere,
				     "relay \"%s\": no room for another next hop: %s", relay->name,
				     strerror(-err));
	if (!end->nexthop)
		spw_net_sync_soon(net); /* says so */
	return 0;
}

void spw_nexthop_release_end(struct spw_node *node, struct spw_relay_end *end)
{
	release(node->net, &end->nexthop);
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

/* Those without a route, in one round. */
struct routeless {
	uint32_t cnt;
	const char *kind, *name; /* the first of them */
	struct spw_endpoint remote;
};

static void note(struct routeless *routeless, const char *kind, const char *name,
		 const struct sender *sender)
{
	if (*sender->nexthop || routeless->cnt++ > 0)
		return;
	routeless->kind = kind;
	routeless->name = name;
	routeless->remote = *sender->remote;
	routeless->remote.port = 0;
}

static void report(struct spw_net *net, const struct routeless *routeless)
{
	uint32_t cnt = routeless->cnt;
	char peer[64];

	if (cnt == net->routeless_cnt)
		return;
	net->routeless_cnt = cnt;
	if (cnt == 0) {
		spw_log("info", "net", "there is a route to every peer");
		return;
	}
	spw_endpoint_format(&routeless->remote, peer, sizeof(peer));
	spw_log("warning", "net",
		"%u way%s to a peer wait%s for a route, that of %s %s among them: the kernel must "
		"lead to %s by a wan interface, from an address of one; see `ip route get %s`",
		cnt, cnt == 1 ? "" : "s", cnt == 1 ? "s" : "", routeless->kind, routeless->name,
		peer, peer);
}

static void update_relay(struct spw_net *net, struct spw_relay_obj *relay,
			 struct routeless *routeless)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct sender sender = end_sender(&relay->ends[i]);
		if (relay->ends[i].remote.family == 0)
			continue;
		if (steer(net, &sender, 0) < 0)
			net->publish_again = true;
		note(routeless, "relay", relay->name, &sender);
	}
	if (spw_relay_publish(net->node, relay) < 0)
		net->publish_again = true;
}

void spw_nexthops_update(struct spw_net *net)
{
	struct spw_node *node = net->node;
	struct routeless routeless = {0};

	net->publish_again = false;
	for (uint32_t id = 1; id < node->maps.meta->tunnels_max; id++) {
		struct spw_tunnel_obj *tunnel = node->tunnels[id];
		struct sender sender;
		if (!tunnel || tunnel->dying || tunnel->remote.family == 0)
			continue;
		sender = tunnel_sender(net, tunnel);
		/* Both fail for lack of room only; it comes with the grace periods under way. */
		if (steer(net, &sender, 0) < 0 || spw_tunnel_publish(node, tunnel) < 0)
			net->publish_again = true;
		note(&routeless, "tunnel", tunnel->name, &sender);
	}
	for (uint32_t id = 1; id < SPW_RELAYS_MAX; id++)
		if (node->relays[id])
			update_relay(net, node->relays[id], &routeless);
	report(net, &routeless);
	if (net->publish_again)
		spw_net_sync_soon(net);
}
