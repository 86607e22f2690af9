/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts.c - see net.h: hosts of a lan become host routes of its tenant, once they have answered.
 *
 * A scan from inside a tunnel must not fill the kernel's neighbour table, which is the owner's: few
 * hosts wait for an answer at a time, and who does not answer is forgotten at once.
 */
#include <errno.h>
#include <string.h>

#include "control/clock.h"
#include "control/daemon/net/net_private.h"
#include "ebpf/trie.h"

#define HOSTS_MAX 1024u /* of a port */
#define WAITING_MAX 64u /* of these, hosts that have not answered yet */
#define ANSWER_MS 3000u /* three probes, a second apart */

static struct spw_prefix prefix_of(const struct spw_followed *host)
{
	struct spw_prefix prefix = {.family = host->hop.gateway.family};

	prefix.bits = prefix.family == 4 ? 32 : 128;
	memcpy(prefix.addr, host->hop.gateway.addr, prefix.family == 4 ? 4 : 16);
	return prefix;
}

/* The longest route of the port's tenant for the address; 0: none. */
static uint32_t route_leaf(const struct spw_node *node, uint32_t port,
			   const struct spw_endpoint *address)
{
	const struct spw_maps *maps = &node->maps;
	const struct spw_trie trie = {.units = maps->route_units,
				      .units_max = maps->meta->route_units_max};
	const struct spw_tenant_obj *tenant =
		spw_tenant_find((struct spw_node *)node, node->interfaces[port].tenant);
	const uint8_t *addr = address->addr;

	if (!tenant)
		return 0;
	if (address->family == 6)
		return spw_trie_lookup(&trie, tenant->route_root[1], spw_trie_key6(addr),
				       SPW_TRIE_LEVELS6);
	return spw_trie_lookup(&trie, tenant->route_root[0],
			       spw_trie_key4((uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 |
					     (uint32_t)addr[2] << 8 | addr[3]),
			       SPW_TRIE_LEVELS4);
}

static bool has_room(const struct spw_net *net, uint32_t port)
{
	uint32_t hosts = 0, waiting = 0;

	for (uint32_t id = 1; id < net->node->maps.meta->neighbors_max; id++) {
		const struct spw_followed *followed = net->followed[id];
		if (!followed || !followed->host || followed->hop.port != port)
			continue;
		hosts++;
		waiting += !followed->routed;
	}
	/* Next hops keep a quarter of the ids for themselves. */
	return hosts < HOSTS_MAX && waiting < WAITING_MAX &&
	       spw_slots_left(net->node->neighbor_ids) > net->node->maps.meta->neighbors_max / 4;
}

static void refuse(struct spw_net *net, uint32_t port)
{
	if (!spw_log_due(&net->hosts_refused))
		return;
	spw_log("warning", "net",
		"no room for %u wanted hosts, the last on %s: %u hosts of an "
		"interface are followed, %u wait for an answer at a time",
		net->hosts_refused.cnt, net->node->interfaces[port].ifname, HOSTS_MAX, WAITING_MAX);
	spw_log_paused(&net->hosts_refused);
}

void spw_net_glean(struct spw_node *node, uint32_t port, const struct spw_endpoint *host)
{
	struct spw_net *net = node->net;
	struct spw_followed *followed;

	if (port >= node->interfaces_cnt || node->interfaces[port].role != SPW_PORT_LAN ||
	    (host->family != 4 && host->family != 6) ||
	    route_leaf(node, port, host) != SPW_LEAF(SPW_LEAF_LAN, port))
		return;
	followed = spw_followed_find(net, port, host);
	if (followed && followed->hop.users > 0) {
		/* Its answer is awaited, or a person's route took the place of its own and is gone
		 * now. */
		followed->routed = false;
		spw_host_update(net, followed);
		return;
	}
	if (!followed && !has_room(net, port)) {
		refuse(net, port);
		return;
	}
	followed = spw_followed_use(net, port, host, true, 0);
	if (!followed) {
		refuse(net, port);
		return;
	}
	followed->asked_ms = spw_now_ms();
	spw_followed_ask(net, followed);
}

static void forget(struct spw_net *net, struct spw_followed *host)
{
	struct spw_prefix prefix = prefix_of(host);

	/* What fails for lack of room is done again by spw_hosts_age. */
	if (host->routed && spw_host_route_set(net->node, host->hop.port, &prefix, 0) < 0)
		return;
	host->routed = false;
	host->hop.users = 0;
}

void spw_host_update(struct spw_net *net, struct spw_followed *host)
{
	union spw_neighbor word = spw_followed_word(net, host);
	struct spw_prefix prefix = prefix_of(host);
	int err;

	if (host->no_host || (host->failed && !host->routed)) {
		forget(net, host);
		return;
	}
	if (host->routed || word.state != SPW_NEIGHBOR_VALID)
		return;
	err = spw_host_route_set(net->node, host->hop.port, &prefix, host->hop.neighbor);
	host->routed = err == 0;
	/* A person's route stands there (-EEXIST), or the tenant is gone; else later. */
	if (err < 0 && err != -EBUSY && err != -ENOSPC)
		forget(net, host);
}

void spw_hosts_age(struct spw_net *net)
{
	uint64_t now_ms = spw_now_ms();

	for (uint32_t id = 1; id < net->node->maps.meta->neighbors_max; id++) {
		struct spw_followed *host = net->followed[id];
		if (!host || !host->host || host->hop.users == 0)
			continue;
		if (spw_followed_word(net, host).state == SPW_NEIGHBOR_NONE &&
		    (host->routed || now_ms - host->asked_ms > ANSWER_MS))
			forget(net, host);
		else
			spw_host_update(net, host);
	}
}

void spw_net_adopt_host(struct spw_node *node, uint32_t port, const struct spw_prefix *host,
			uint32_t neighbor)
{
	struct spw_endpoint address = {.family = host->family};
	struct spw_net *net = node->net;
	struct spw_followed *followed = NULL;

	memcpy(address.addr, host->addr, sizeof(address.addr));
	if (port < node->interfaces_cnt && node->interfaces[port].role == SPW_PORT_LAN &&
	    host->bits == (host->family == 4 ? 32 : 128) && !spw_followed_find(net, port, &address))
		followed = spw_followed_use(net, port, &address, true, neighbor);
	if (!followed) {
		spw_log("warning", "net", "a host route found in the tables is not kept up");
		net->leftover = node->maps.meta->neighbors_max; /* its id stays taken */
		return;
	}
	followed->routed = true;
	followed->asked_ms = spw_now_ms();
	/* The caller walks the trie, so nothing may change it now. With another id the route leads
	 * to some other host: the next sweep takes it out. */
	if (followed->hop.neighbor != neighbor)
		followed->managed = followed->fixed = followed->no_host = true;
	spw_net_sync_soon(net);
}
