/* SPDX-License-Identifier: BSD-2-Clause */
/* interfaces.c - see net_private.h. A port's addresses are on its interface, or, with a VLAN id, on
 * the VLAN device above it; the classifier and the sockets are always on the interface. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/daemon/log.h"
#include "control/daemon/net/net_private.h"
#include "control/daemon/net/taps.h"

static const struct spw_place nowhere;

struct scan {
	const struct spw_node *node;
	struct spw_port_state ports[SPW_PORTS_MAX];
};

/* ---- links -------------------------------------------------------------------------------- */

struct link {
	int ifindex, lower; /* lower: of a VLAN device, the interface below; else 0 */
	uint16_t vlan;
	unsigned int flags;
	const uint8_t *mac; /* NULL: not Ethernet */
	uint32_t mtu_bytes;
};

static int vlan_attribute(const struct nlattr *attr, void *arg)
{
	struct link *link = arg;

	if (mnl_attr_get_type(attr) == IFLA_VLAN_ID && mnl_attr_validate(attr, MNL_TYPE_U16) == 0)
		link->vlan = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static void read_kind(const struct nlattr *info, struct link *link)
{
	const struct nlattr *attr, *data = NULL;
	bool vlan = false;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			vlan = mnl_attr_get_payload_len(attr) >= 5 &&
			       memcmp(mnl_attr_get_payload(attr), "vlan", 5) == 0;
		if (mnl_attr_get_type(attr) == IFLA_INFO_DATA)
			data = attr;
	}
	if (vlan && data)
		mnl_attr_parse_nested(data, vlan_attribute, link);
}

static void read_link(const struct nlmsghdr *message, struct link *link)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	bool elsewhere = false;
	const struct nlattr *attr;

	*link = (struct link){.ifindex = info->ifi_index, .flags = info->ifi_flags};
	mnl_attr_for_each (attr, message, sizeof(*info)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(attr) == 6)
				link->mac = mnl_attr_get_payload(attr);
			break;
		case IFLA_MTU:
			link->mtu_bytes = mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK:
			link->lower = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK_NETNSID:
			elsewhere = true; /* the interface below is in another namespace */
			break;
		case IFLA_LINKINFO:
			read_kind(attr, link);
			break;
		}
	}
	if (elsewhere || link->vlan == 0)
		link->lower = 0;
}

int spw_interfaces_lower(const struct nlmsghdr *message)
{
	struct link link;

	read_link(message, &link);
	return link.lower;
}

/* Whether the link is what carries the addresses of the port. */
static bool carries(const struct spw_interface *interface, const struct link *link)
{
	if (interface->vlan == 0)
		return link->ifindex == interface->ifindex;
	return link->lower == interface->ifindex && link->vlan == interface->vlan;
}

static int on_link(const struct nlmsghdr *message, void *arg)
{
	struct scan *scan = arg;
	struct link link;

	read_link(message, &link);
	for (uint32_t i = 0; i < scan->node->interfaces_cnt; i++) {
		struct spw_port_state *port = &scan->ports[i];
		if (!link.mac || !carries(&scan->node->interfaces[i], &link))
			continue;
		port->ifindex = link.ifindex;
		port->up = link.flags & IFF_UP;
		port->mtu_bytes = link.mtu_bytes;
		memcpy(port->mac, link.mac, sizeof(port->mac));
	}
	return MNL_CB_OK;
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void add_address(struct spw_port_state *port, uint8_t family, const void *addr)
{
	bool is4 = family == AF_INET;
	uint8_t *cnt = is4 ? &port->addr4_cnt : &port->addr6_cnt;
	uint8_t *list = is4 ? (uint8_t *)port->addr4_be : port->addr6[0];
	size_t bytes = is4 ? 4 : 16;

	/* A dump that is made again says things twice. */
	for (uint32_t i = 0; i < *cnt; i++)
		if (memcmp(list + i * bytes, addr, bytes) == 0)
			return;
	if (*cnt == SPW_PORT_ADDRS_MAX) {
		port->crowded = true;
		return;
	}
	memcpy(list + *cnt * bytes, addr, bytes);
	++*cnt;
}

static int on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr, *address = NULL, *local = NULL;
	struct scan *scan = arg;

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return MNL_CB_OK;
	/* No tunnel can end at an IPv6 link-local address: it means nothing without an interface.
	 */
	if (info->ifa_family == AF_INET6 && info->ifa_scope == RT_SCOPE_LINK)
		return MNL_CB_OK;
	mnl_attr_for_each (attr, message, sizeof(*info)) {
		if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			address = attr;
		if (mnl_attr_get_type(attr) == IFA_LOCAL) /* where IFA_ADDRESS is the peer's */
			local = attr;
	}
	attr = local ? local : address;
	if (!attr || mnl_attr_get_payload_len(attr) != (info->ifa_family == AF_INET ? 4 : 16))
		return MNL_CB_OK;
	for (uint32_t i = 0; i < scan->node->interfaces_cnt; i++)
		if (scan->ports[i].ifindex == (int)info->ifa_index)
			add_address(&scan->ports[i], info->ifa_family, mnl_attr_get_payload(attr));
	return MNL_CB_OK;
}

/* ---- both --------------------------------------------------------------------------------- */

static int dump(struct spw_net *net, uint16_t type, mnl_cb_t cb, struct scan *scan)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request = spw_netlink_start(buffer, type, NLM_F_DUMP);

	/* Both headers are 0 here: all families, all interfaces. */
	mnl_nlmsg_put_extra_header(request, type == RTM_GETLINK ? sizeof(struct ifinfomsg)
								: sizeof(struct ifaddrmsg));
	return spw_netlink_ask(&net->netlink, request, cb, scan);
}

static void report(const struct spw_node *node, uint32_t port, const struct spw_port_state *was,
		   const struct spw_port_state *is)
{
	const char *ifname = node->interfaces[port].ifname;

	if (was->ifindex && !is->ifindex)
		spw_log("error", "net",
			"interface %s%s is gone; start the node again when it is "
			"back",
			ifname, node->interfaces[port].vlan ? " (its VLAN device)" : "");
	if (is->crowded && !was->crowded)
		spw_log("warning", "net",
			"interface %s has more than %u addresses of a family: "
			"tunnels can end at the first %u only",
			ifname, SPW_PORT_ADDRS_MAX, SPW_PORT_ADDRS_MAX);
	if (node->interfaces[port].role == SPW_PORT_WAN && is->ifindex &&
	    is->addr4_cnt + is->addr6_cnt == 0 &&
	    (!was->ifindex || was->addr4_cnt + was->addr6_cnt > 0))
		spw_log("warning", "net", "interface %s has no address: no tunnel can end there",
			ifname);
}

int spw_interfaces_read(struct spw_net *net)
{
	struct scan scan = {.node = net->node};
	int err = dump(net, RTM_GETLINK, on_link, &scan);

	if (err == 0)
		err = dump(net, RTM_GETADDR, on_address, &scan);
	if (err < 0)
		return err;
	for (uint32_t port = 0; port < net->node->interfaces_cnt; port++) {
		struct spw_port_state *state = &net->ports[port];
		bool moved = state->ifindex != scan.ports[port].ifindex;
		report(net->node, port, state, &scan.ports[port]);
		*state = scan.ports[port];
		if (state->ifindex)
			net->node->interfaces[port].mtu_bytes = state->mtu_bytes;
		for (uint32_t id = 1; moved && id < net->node->maps.meta->neighbors_max; id++)
			if (net->followed[id] && net->followed[id]->hop.port == port)
				net->followed[id]->managed = false;
	}
	return 0;
}

/* Receive queues in use. Where the driver does not say (a tap, a bridge) there is one. */
static uint32_t count_queues(const char *ifname)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq request = {.ifr_data = (void *)&channels};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t queues = 1;

	strncpy(request.ifr_name, ifname, sizeof(request.ifr_name) - 1);
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0)
		queues = channels.rx_count + channels.combined_count;
	if (fd >= 0)
		close(fd);
	return queues ? queues : 1;
}

int spw_interfaces_find(struct spw_net *net, struct spw_error *error)
{
	struct spw_node *node = net->node;
	int err;

	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		struct spw_interface *interface = &node->interfaces[port];
		if (interface->device[0]) {
			err = spw_tap_make(&net->netlink, node, interface, error);
			if (err < 0)
				return err;
		}
		interface->ifindex = (int)if_nametoindex(interface->ifname);
		if (interface->ifindex == 0)
			return spw_error_set(error, -ENODEV, nowhere,
					     "there is no interface \"%s\" in this network "
					     "namespace; `ip link` lists those that are",
					     interface->ifname);
		/* A device has as many as there are workers, where it can. */
		interface->queues =
			interface->device[0] ? node->workers : count_queues(interface->ifname);
	}
	err = spw_interfaces_read(net);
	if (err < 0)
		return spw_error_set(error, err, nowhere, "cannot read the interfaces: %s",
				     strerror(-err));
	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		const struct spw_interface *interface = &node->interfaces[port];
		const char *ifname = interface->ifname;
		if (net->ports[port].ifindex == 0 && interface->vlan)
			return spw_error_set(error, -ENODEV, nowhere,
					     "interface \"%s\" has no device for VLAN %u; make one "
					     "with `ip link add link %s name %.8s.%u type vlan id "
					     "%u`",
					     ifname, interface->vlan, ifname, ifname,
					     interface->vlan, interface->vlan);
		if (net->ports[port].ifindex == 0)
			return spw_error_set(error, -EINVAL, nowhere,
					     "interface \"%s\" is no Ethernet interface", ifname);
		/* Tables that are taken up serve packets on the other interfaces. */
		if (!net->ports[port].up && node->maps.created)
			return spw_error_set(error, -ENETDOWN, nowhere,
					     "interface \"%s\" is down; `ip link set %s up`",
					     ifname, ifname);
	}
	return 0;
}

bool spw_interfaces_concern(const struct spw_net *net, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
	struct link link;

	if (message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_DELADDR)
		return spw_interfaces_port(net, (int)address->ifa_index) >= 0;
	read_link(message, &link);
	for (uint32_t port = 0; port < net->node->interfaces_cnt; port++)
		if (net->ports[port].ifindex == link.ifindex ||
		    carries(&net->node->interfaces[port], &link))
			return true;
	return false;
}

int spw_interfaces_port(const struct spw_net *net, int ifindex)
{
	for (uint32_t port = 0; ifindex > 0 && port < net->node->interfaces_cnt; port++)
		if (net->ports[port].ifindex == ifindex)
			return (int)port;
	return -1;
}
