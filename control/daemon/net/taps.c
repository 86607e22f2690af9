/* SPDX-License-Identifier: BSD-2-Clause */
/* taps.c - see taps.h. */
#include "control/daemon/net/taps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ALIAS_BYTES (SPW_NAME_BYTES + 10)

static const struct spw_place nowhere;

static void write_alias(char alias[ALIAS_BYTES], const char *node_name)
{
	snprintf(alias, ALIAS_BYTES, "spillway %s", node_name);
}

/* A descriptor of the TAP, made where it is not there; negative errno. */
static int open_tap(const char *ifname)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE};
	int err, fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, ifname, IF_NAMESIZE);
	if (ioctl(fd, TUNSETIFF, &request) == 0) {
		/* A queue that is switched off: it gets no packets, and while it is held the TAP
		 * has a carrier. */
		request.ifr_flags = IFF_DETACH_QUEUE;
		if (ioctl(fd, TUNSETQUEUE, &request) == 0)
			return fd;
	}
	err = -errno;
	close(fd);
	return err;
}

/* Up, with the alias that says whose it is. */
static int set_up(struct spw_netlink *netlink, const char *ifname, const char *node_name)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request = spw_netlink_start(buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	char alias[ALIAS_BYTES];

	write_alias(alias, node_name);
	info->ifi_index = (int)if_nametoindex(ifname);
	info->ifi_flags = info->ifi_change = IFF_UP;
	mnl_attr_put_strz(request, IFLA_IFALIAS, alias);
	return spw_netlink_ask(netlink, request, NULL, NULL);
}

int spw_tap_make(struct spw_netlink *netlink, const struct spw_node *node,
		 struct spw_interface *interface, struct spw_error *error)
{
	const char *ifname = interface->ifname;
	bool stands = if_nametoindex(ifname) != 0;
	int err = 0, fd = open_tap(ifname);

	if (fd < 0 && stands)
		return spw_error_set(
			error, fd, nowhere,
			"interface \"%s\" is there already and is no TAP with several "
			"queues that could stand for %s: %s; rename or remove it, or make "
			"it with `ip tuntap add dev %s mode tap multi_queue`",
			ifname, interface->device, strerror(-fd), ifname);
	if (fd < 0)
		return spw_error_set(
			error, fd, nowhere,
			"cannot make the TAP \"%s\" for %s: %s; is the module tun loaded "
			"(`modprobe tun`)?",
			ifname, interface->device, strerror(-fd));
	if (!stands) {
		err = ioctl(fd, TUNSETPERSIST, 1) < 0 ? -errno
						      : set_up(netlink, ifname, node->name);
		if (err < 0)
			ioctl(fd, TUNSETPERSIST, 0);
	}
	if (err < 0) {
		close(fd);
		return spw_error_set(error, err, nowhere, "cannot set up the TAP \"%s\" for %s: %s",
				     ifname, interface->device, strerror(-err));
	}
	interface->tap_fd = fd;
	return 0;
}

void spw_tap_release(struct spw_interface *interface)
{
	if (interface->device[0] && interface->tap_fd > 0)
		close(interface->tap_fd);
	interface->tap_fd = 0;
}

/* ---- removing ----------------------------------------------------------------------------- */

struct search {
	char alias[ALIAS_BYTES];
	int ifindexes[SPW_PORTS_MAX];
	size_t cnt;
};

static int on_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	struct search *search = arg;

	mnl_attr_for_each (attr, message, sizeof(*info))
		if (mnl_attr_get_type(attr) == IFLA_IFALIAS && search->cnt < SPW_PORTS_MAX &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0 &&
		    strcmp(mnl_attr_get_str(attr), search->alias) == 0)
			search->ifindexes[search->cnt++] = info->ifi_index;
	return MNL_CB_OK;
}

static int remove_link(struct spw_netlink *netlink, int ifindex)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request = spw_netlink_start(buffer, RTM_DELLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));

	info->ifi_index = ifindex;
	return spw_netlink_ask(netlink, request, NULL, NULL);
}

int spw_taps_remove(const char *node_name)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct search search = {0};
	struct spw_netlink netlink = {0};
	int err = spw_netlink_open(&netlink);

	if (err < 0)
		return err;
	write_alias(search.alias, node_name);
	struct nlmsghdr *request = spw_netlink_start(buffer, RTM_GETLINK, NLM_F_DUMP);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	err = spw_netlink_ask(&netlink, request, on_link, &search);
	/* Not within the dump: one socket answers one question at a time. */
	for (size_t i = 0; i < search.cnt; i++) {
		int failed = remove_link(&netlink, search.ifindexes[i]);
		if (err == 0 && failed != -ENODEV)
			err = failed;
	}
	spw_netlink_close(&netlink);
	return err;
}
