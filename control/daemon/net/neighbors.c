/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neighbors.c - see net_private.h. The kernel resolves and verifies (NTF_EXT_MANAGED), its events
 * become words of the neighbors table.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/clock.h"
#include "control/daemon/net/net_private.h"

#define STALE_MS 30000u /* how long the last MAC serves after a failure */

/* The kernel would send to it. */
#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

/* ---- which ones --------------------------------------------------------------------------- */

static size_t address_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static int compare_addresses(const void *left, const void *right)
{
	const struct spw_nexthop *a = left, *b = right; /* a followed neighbour begins with it */

	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->gateway.family != b->gateway.family)
		return a->gateway.family < b->gateway.family ? -1 : 1;
	return memcmp(a->gateway.addr, b->gateway.addr, address_bytes(a->gateway.family));
}

struct spw_followed *spw_followed_find(const struct spw_net *net, uint32_t port,
				       const struct spw_endpoint *address)
{
	struct spw_nexthop key = {.port = port, .gateway = *address};
	void *const *found = tfind(&key, &net->addresses, compare_addresses);

	return found ? *found : NULL;
}

static uint32_t take_id(struct spw_net *net, uint32_t port, uint32_t hint)
{
	struct spw_node *node = net->node;
	union spw_neighbor word = {.port = (uint8_t)port};
	uint32_t id;

	if (hint && hint < node->maps.meta->neighbors_max && !net->followed[hint] &&
	    spw_slots_taken(node->neighbor_ids, hint) && node->maps.neighbors[hint].port == port)
		return hint;
	id = spw_slots_alloc(node->neighbor_ids);
	if (id)
		__atomic_store_n(&node->maps.neighbors[id].word, word.word, __ATOMIC_RELAXED);
	return id;
}

struct spw_followed *spw_followed_use(struct spw_net *net, uint32_t port,
				      const struct spw_endpoint *address, bool host, uint32_t hint)
{
	struct spw_followed *followed = spw_followed_find(net, port, address);

	if (followed) {
		followed->hop.users++;
		return followed;
	}
	followed = calloc(1, sizeof(*followed));
	if (!followed)
		return NULL;
	followed->hop = (struct spw_nexthop){.port = port, .gateway = *address, .users = 1};
	followed->hop.gateway.port = 0;
	followed->hop.mtu_bytes = net->ports[port].mtu_bytes;
	followed->host = host;
	if (!tsearch(followed, &net->addresses, compare_addresses)) {
		free(followed);
		errno = ENOMEM;
		return NULL;
	}
	followed->hop.neighbor = take_id(net, port, hint);
	if (followed->hop.neighbor == 0) {
		tdelete(followed, &net->addresses, compare_addresses);
		free(followed);
		errno = ENOSPC;
		return NULL;
	}
	net->followed[followed->hop.neighbor] = followed;
	return followed;
}

/* ---- words -------------------------------------------------------------------------------- */

union spw_neighbor spw_followed_word(const struct spw_net *net, const struct spw_followed *followed)
{
	return net->node->maps.neighbors[followed->hop.neighbor];
}

/* One store: a reader has the old MAC or the new one, whole. */
static void store(struct spw_net *net, const struct spw_followed *followed, union spw_neighbor word)
{
	word.port = (uint8_t)followed->hop.port;
	__atomic_store_n(&net->node->maps.neighbors[followed->hop.neighbor].word, word.word,
			 __ATOMIC_RELAXED);
}

static void lost(struct spw_net *net, struct spw_followed *followed)
{
	union spw_neighbor word = spw_followed_word(net, followed);

	if (word.state == SPW_NEIGHBOR_VALID) {
		word.state = SPW_NEIGHBOR_STALE;
		store(net, followed, word);
		followed->stale_until_ms = 0;
	}
	if (word.state == SPW_NEIGHBOR_STALE && followed->stale_until_ms == 0)
		followed->stale_until_ms = spw_now_ms() + STALE_MS;
}

static void learn(struct spw_net *net, struct spw_followed *followed, const struct spw_heard *heard)
{
	union spw_neighbor word = {.state = SPW_NEIGHBOR_VALID};
	bool failed = heard->state & NUD_FAILED;

	followed->fixed = heard->fixed;
	followed->managed = (heard->flags & NTF_EXT_MANAGED) || followed->fixed;
	followed->no_host = heard->state & NUD_NOARP;
	if (failed && !followed->failed)
		followed->failures++;
	followed->failed = failed;
	followed->usable = heard->usable;
	if (followed->usable) {
		memcpy(word.mac, heard->mac, sizeof(word.mac));
		followed->stale_until_ms = 0;
		store(net, followed, word);
	} else {
		lost(net, followed);
	}
	if (followed->host && followed->hop.users > 0)
		spw_host_update(net, followed);
}

void spw_heard_read(const struct nlmsghdr *message, struct spw_heard *heard)
{
	const struct ndmsg *info = mnl_nlmsg_get_payload(message);
	uint8_t family = info->ndm_family == AF_INET ? 4 : info->ndm_family == AF_INET6 ? 6 : 0;
	const struct nlattr *attr;

	*heard = (struct spw_heard){.ifindex = info->ndm_ifindex, .state = info->ndm_state};
	mnl_attr_for_each (attr, message, sizeof(*info)) {
		uint16_t bytes = mnl_attr_get_payload_len(attr);
		switch (mnl_attr_get_type(attr)) {
		case NDA_DST:
			if (family == 0 || bytes != address_bytes(family))
				break;
			heard->address.family = family;
			memcpy(heard->address.addr, mnl_attr_get_payload(attr), bytes);
			break;
		case NDA_LLADDR:
			heard->mac = bytes == 6 ? mnl_attr_get_payload(attr) : NULL;
			break;
		case NDA_FLAGS_EXT:
			heard->flags = mnl_attr_get_u32(attr);
			break;
		case NDA_PROTOCOL:
			heard->protocol = mnl_attr_get_u8(attr);
			break;
		}
	}
	heard->fixed = heard->state & (NUD_PERMANENT | NUD_NOARP);
	heard->usable = heard->mac && (heard->state & NUD_USABLE) && !(heard->state & NUD_NOARP);
}

void spw_followed_hear(struct spw_net *net, const struct nlmsghdr *message)
{
	const struct spw_heard forgotten = {.state = NUD_NONE};
	struct spw_followed *followed = NULL;
	struct spw_heard heard;
	int port;

	spw_heard_read(message, &heard);
	port = spw_interfaces_port(net, heard.ifindex);
	if (port >= 0 && heard.address.family)
		followed = spw_followed_find(net, (uint32_t)port, &heard.address);
	if (!followed)
		return;
	if (message->nlmsg_type == RTM_DELNEIGH) {
		/* The kernel forgot it: the interface went down or changed its own MAC, say. */
		learn(net, followed, &forgotten);
		spw_net_sync_soon(net);
		return;
	}
	learn(net, followed, &heard);
}

/* ---- asking the kernel -------------------------------------------------------------------- */

static struct nlmsghdr *start(int ifindex, const struct spw_endpoint *address, void *buffer,
			      uint16_t type, uint16_t nl_flags, uint8_t ntf_flags)
{
	struct nlmsghdr *request = spw_netlink_start(buffer, type, nl_flags);
	struct ndmsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));

	info->ndm_family = address->family == 4 ? AF_INET : AF_INET6;
	info->ndm_ifindex = ifindex;
	info->ndm_flags = ntf_flags;
	mnl_attr_put(request, NDA_DST, address_bytes(address->family), address->addr);
	return request;
}

/* An entry that failed some time ago says nothing about now. */
static int on_answer(const struct nlmsghdr *message, void *arg)
{
	const struct ndmsg *info = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type == RTM_NEWNEIGH && (info->ndm_state & NUD_USABLE))
		spw_followed_hear(arg, message);
	return MNL_CB_OK;
}

void spw_followed_ask(struct spw_net *net, struct spw_followed *followed)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	const struct spw_endpoint *address = &followed->hop.gateway;
	int ifindex = net->ports[followed->hop.port].ifindex;
	struct nlmsghdr *request;

	followed->managed = followed->usable = false;
	if (ifindex == 0) {
		lost(net, followed);
		return;
	}
	request = start(ifindex, address, buffer, RTM_GETNEIGH, 0, 0);
	spw_netlink_ask(&net->netlink, request, on_answer, net);
	/* A static entry is left alone: to be managed would make it one that is resolved. */
	if (followed->managed)
		return;
	request = start(ifindex, address, buffer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, 0);
	mnl_attr_put_u32(request, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	mnl_attr_put_u8(request, NDA_PROTOCOL, SPW_NEIGHBOR_PROTOCOL);
	/* What fails (an interface that is down, a full neighbour table) is tried every second. */
	followed->managed = spw_netlink_ask(&net->netlink, request, NULL, NULL) == 0;
	if (!followed->usable)
		lost(net, followed); /* until the answer is there */
}

int spw_neighbor_unmanage(struct spw_netlink *netlink, int ifindex,
			  const struct spw_endpoint *address, bool usable)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request;

	if (usable) { /* NTF_USE keeps state and MAC as they stand */
		request = start(ifindex, address, buffer, RTM_NEWNEIGH, NLM_F_REPLACE, NTF_USE);
		/* Our mark can be replaced, but not be taken away. */
		mnl_attr_put_u8(request, NDA_PROTOCOL, RTPROT_KERNEL);
	} else {
		request = start(ifindex, address, buffer, RTM_DELNEIGH, 0, 0);
	}
	return spw_netlink_ask(netlink, request, NULL, NULL);
}

void spw_followed_ask_unmanaged(struct spw_net *net)
{
	for (uint32_t id = 1; id < net->node->maps.meta->neighbors_max; id++)
		if (net->followed[id] && !net->followed[id]->managed &&
		    net->followed[id]->hop.users > 0)
			spw_followed_ask(net, net->followed[id]);
}

void spw_followed_ask_all(struct spw_net *net)
{
	for (uint32_t id = 1; id < net->node->maps.meta->neighbors_max; id++)
		if (net->followed[id])
			spw_followed_ask(net, net->followed[id]);
}

/* ---- time --------------------------------------------------------------------------------- */

void spw_followed_age(struct spw_net *net)
{
	uint64_t now_ms = spw_now_ms();

	for (uint32_t id = 1; id < net->node->maps.meta->neighbors_max; id++) {
		struct spw_followed *followed = net->followed[id];
		union spw_neighbor none = {.state = SPW_NEIGHBOR_NONE};
		if (!followed || followed->stale_until_ms == 0 || now_ms < followed->stale_until_ms)
			continue;
		followed->stale_until_ms = 0;
		store(net, followed, none);
	}
}

static void let_go(struct spw_net *net, struct spw_followed *followed)
{
	struct spw_node *node = net->node;
	int ifindex = net->ports[followed->hop.port].ifindex;

	if (followed->managed && !followed->fixed && ifindex)
		spw_neighbor_unmanage(&net->netlink, ifindex, &followed->hop.gateway,
				      followed->usable);
	net->followed[followed->hop.neighbor] = NULL;
	tdelete(followed, &net->addresses, compare_addresses);
	spw_grace_defer(node->grace, spw_slots_free_later, node->neighbor_ids,
			followed->hop.neighbor);
	free(followed);
}

/* Ids that stood in the tables at a restart, and that nothing came to use. False: not all yet. */
static bool free_leftovers(struct spw_net *net)
{
	struct spw_node *node = net->node;

	for (; net->leftover < node->maps.meta->neighbors_max; net->leftover++) {
		uint32_t id = net->leftover;
		if (net->followed[id] || !spw_slots_taken(node->neighbor_ids, id))
			continue;
		if (spw_grace_reserve(node->grace, 1) < 0)
			return false;
		spw_grace_defer(node->grace, spw_slots_free_later, node->neighbor_ids, id);
	}
	return true;
}

void spw_followed_collect(struct spw_net *net)
{
	struct spw_node *node = net->node;

	/* A record may hold an old id. */
	if (net->publish_again || node->dying_cnt > 0 || !free_leftovers(net))
		return;
	for (uint32_t id = 1; id < node->maps.meta->neighbors_max; id++) {
		struct spw_followed *followed = net->followed[id];
		if (!followed || followed->hop.users > 0)
			continue;
		if (spw_grace_reserve(node->grace, 1) < 0)
			return;
		let_go(net, followed);
	}
}
