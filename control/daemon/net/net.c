/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.c - see net.h. Events about neighbours take effect at once; those about links, addresses and
 * routes come in swarms, so a moment later all of it is brought to the kernel's present state.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/clock.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net_private.h"
#include "control/daemon/net/taps.h"

static const struct spw_place nowhere;

#define SYNC_MS 50u
/* A sync waits ten times as long as the last one took: a routing daemon that never rests gets a
 * tenth of control's time. */
#define SYNC_REST 10u

void spw_net_sync_soon(struct spw_net *net)
{
	uint64_t wait_ms = SYNC_REST * net->sync_took_ms;
	struct timeval wait;

	if (evtimer_pending(net->sync_timer, NULL))
		return;
	if (wait_ms < SYNC_MS)
		wait_ms = SYNC_MS;
	wait.tv_sec = (time_t)(wait_ms / 1000);
	wait.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000);
	evtimer_add(net->sync_timer, &wait);
}

static void read_links(struct spw_net *net)
{
	int err = spw_interfaces_read(net);

	if (err < 0) {
		spw_log("error", "net", "cannot read the interfaces, trying again: %s",
			strerror(-err));
		spw_net_sync_soon(net);
		return;
	}
	net->links_changed = false;
	for (uint32_t port = 0; port < net->node->interfaces_cnt; port++)
		spw_port_publish(net->node, port);
}

static void on_sync(evutil_socket_t fd, short what, void *arg)
{
	struct spw_net *net = arg;
	uint64_t began_ms = spw_now_ms();

	(void)fd;
	(void)what;
	if (net->links_changed)
		read_links(net);
	spw_nexthops_update(net);
	if (net->neighbors_lost)
		spw_followed_ask_all(net);
	else
		spw_followed_ask_unmanaged(net);
	net->neighbors_lost = false;
	net->sync_took_ms = spw_now_ms() - began_ms;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct spw_net *net = arg;

	(void)fd;
	(void)what;
	spw_followed_age(net);
	spw_hosts_age(net);
	spw_followed_ask_unmanaged(net);
	spw_followed_collect(net);
}

static int on_event(const struct nlmsghdr *message, void *arg)
{
	struct spw_net *net = arg;

	switch (message->nlmsg_type) {
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		spw_followed_hear(net, message);
		return MNL_CB_OK;
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (!spw_interfaces_concern(net, message))
			return MNL_CB_OK;
		net->links_changed = true;
		break;
	}
	spw_net_sync_soon(net);
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct spw_net *net = arg;
	int err = spw_netlink_listen(&net->netlink, on_event, net);

	(void)fd;
	(void)what;
	if (err == 0)
		return;
	if (err != -ENOBUFS)
		spw_log("error", "net", "cannot read netlink events: %s", strerror(-err));
	net->links_changed = net->neighbors_lost = true;
	spw_net_sync_soon(net);
}

static int start_events(struct spw_net *net)
{
	struct event_base *loop = net->node->loop;
	struct timeval second = {.tv_sec = 1};

	net->readable = event_new(loop, spw_netlink_fd(&net->netlink), EV_READ | EV_PERSIST,
				  on_readable, net);
	net->sync_timer = evtimer_new(loop, on_sync, net);
	net->sweep_timer = event_new(loop, -1, EV_PERSIST, on_sweep, net);
	if (!net->readable || !net->sync_timer || !net->sweep_timer ||
	    event_add(net->readable, NULL) < 0 || event_add(net->sweep_timer, &second) < 0)
		return -ENOMEM;
	return 0;
}

int spw_net_create(struct spw_node *node, struct spw_error *error)
{
	struct spw_net *net = calloc(1, sizeof(*net));
	int err = -ENOMEM;

	if (!net)
		goto fail;
	node->net = net;
	net->node = node;
	net->leftover = 1;
	net->followed = calloc(node->maps.meta->neighbors_max, sizeof(struct spw_followed *));
	net->sources = calloc(node->maps.meta->tunnels_max, sizeof(struct spw_endpoint));
	if (!net->followed || !net->sources)
		goto fail;
	err = spw_netlink_open(&net->netlink);
	if (err == 0)
		err = start_events(net);
	if (err < 0)
		goto fail;
	err = spw_interfaces_find(net, error);
	if (err < 0)
		goto fail;
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		spw_port_publish(node, port);
	return 0;

fail:
	spw_net_destroy(node);
	return spw_error_set(error, err, nowhere, "cannot follow the kernel's network: %s",
			     strerror(-err));
}

static void keep(void *followed)
{
	(void)followed; /* freed by id */
}

void spw_net_destroy(struct spw_node *node)
{
	struct spw_net *net = node->net;

	if (!net)
		return;
	for (uint32_t id = 0; net->followed && id < node->maps.meta->neighbors_max; id++)
		free(net->followed[id]);
	tdestroy(net->addresses, keep);
	free(net->followed);
	free(net->sources);
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		spw_tap_release(&node->interfaces[port]);
	if (net->readable)
		event_free(net->readable);
	if (net->sync_timer)
		event_free(net->sync_timer);
	if (net->sweep_timer)
		event_free(net->sweep_timer);
	spw_netlink_close(&net->netlink);
	free(net);
	node->net = NULL;
}

void spw_net_port_fill(struct spw_node *node, uint32_t port, struct spw_port_image *image)
{
	const struct spw_port_state *state = &node->net->ports[port];

	memcpy(image->mac, state->mac, sizeof(image->mac));
	image->mtu_bytes =
		(uint16_t)(state->mtu_bytes < UINT16_MAX ? state->mtu_bytes : UINT16_MAX);
	image->addr4_cnt = state->addr4_cnt;
	image->addr6_cnt = state->addr6_cnt;
	memcpy(image->addr4_be, state->addr4_be, sizeof(image->addr4_be));
	memcpy(image->addr6, state->addr6, sizeof(image->addr6));
}

static json_t *describe(const struct spw_net *net, const struct spw_followed *followed)
{
	static const char *const states[] = {"unresolved", "valid", "stale"};
	union spw_neighbor word = spw_followed_word(net, followed);
	bool known = word.state == SPW_NEIGHBOR_VALID || word.state == SPW_NEIGHBOR_STALE;
	char address[64], mac[18];

	spw_endpoint_format(&followed->hop.gateway, address, sizeof(address));
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", word.mac[0], word.mac[1],
		 word.mac[2], word.mac[3], word.mac[4], word.mac[5]);
	return json_pack("{s:s, s:s, s:s?, s:s, s:I}", "address", address, "interface",
			 net->node->interfaces[followed->hop.port].ifname, "mac",
			 known ? mac : NULL, "state", states[known ? word.state : 0], "failures",
			 (json_int_t)followed->failures);
}

json_t *spw_net_describe_neighbors(struct spw_node *node)
{
	const struct spw_net *net = node->net;
	json_t *list = json_array();

	for (uint32_t id = 1; id < node->maps.meta->neighbors_max; id++)
		if (net->followed[id] && net->followed[id]->hop.users > 0)
			json_array_append_new(list, describe(net, net->followed[id]));
	return list;
}
