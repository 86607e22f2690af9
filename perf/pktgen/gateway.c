/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway.c - see gateway.h. */
#include "perf/pktgen/gateway.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>

#define ASK_EVERY_MS 200u
#define ASK_MAX_MS 3000u

/* With ESP and without --gateway the tunnels' other end is the neighbour. */
static int outer_destination(const struct spw_load *load, struct spw_endpoint *target, char *why,
			     unsigned int why_bytes)
{
	*target = load->tx_sas.sa[0].outer_dst;
	for (uint32_t i = 1; i < load->tx_sas.cnt; i++) {
		const struct spw_endpoint *other = &load->tx_sas.sa[i].outer_dst;
		if (other->family == target->family &&
		    memcmp(other->addr, target->addr, sizeof(other->addr)) == 0)
			continue;
		snprintf(why, why_bytes,
			 "the SAs have different outer destinations: --gateway must say who all of "
			 "their packets go to");
		return -EINVAL;
	}
	return 0;
}

/* Who asks: an address of ours in the family of the gateway. */
static int asking_address(const struct spw_load *load, const struct spw_endpoint *target,
			  uint8_t source[16], char *why, unsigned int why_bytes)
{
	for (uint32_t i = 0; i < load->played.cnt; i++) {
		if (load->played.range[i].family != target->family)
			continue;
		memcpy(source, load->played.range[i].first, 16);
		return 0;
	}
	snprintf(why, why_bytes, "--gateway is of another family than the packets: give its MAC");
	return -EINVAL;
}

static void send_frame(struct spw_load *load, const struct spw_test_port *port,
		       const uint8_t *frame, uint32_t bytes)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(load->ports.pool);
	char *data = mbuf ? rte_pktmbuf_append(mbuf, (uint16_t)bytes) : NULL;

	if (data)
		memcpy(data, frame, bytes);
	if (data && rte_eth_tx_burst(port->ethdev[0], 0, &mbuf, 1) == 1)
		return;
	rte_pktmbuf_free(mbuf);
}

/* Looks for the answer, and answers meanwhile: who is asked may ask back first. */
static bool take_answers(struct spw_load *load, const struct spw_test_port *port,
			 const struct spw_endpoint *target, uint8_t mac[6])
{
	struct rte_mbuf *mbufs[SPW_TRIAL_BURST];
	bool found = false;

	for (uint32_t queue = 0; queue < port->queues; queue++) {
		uint16_t cnt = rte_eth_rx_burst(port->ethdev[queue], 0, mbufs, SPW_TRIAL_BURST);
		for (uint32_t i = 0; i < cnt; i++) {
			uint8_t frame[RTE_MBUF_DEFAULT_DATAROOM];
			uint32_t bytes = RTE_MIN(mbufs[i]->data_len, sizeof(frame));
			memcpy(frame, rte_pktmbuf_mtod(mbufs[i], void *), bytes);
			found = found || spw_neighbors_learn(target, frame, bytes, mac);
			bytes = spw_neighbors_answer(&load->played, port->mac, frame, bytes);
			if (bytes)
				send_frame(load, port, frame, bytes);
		}
		rte_pktmbuf_free_bulk(mbufs, cnt);
	}
	return found;
}

/* Asks for a MAC, from an address of ours; false: nobody answers. Who is asked learns our MAC, too.
 */
static bool ask(struct spw_load *load, const struct spw_test_port *port,
		const struct spw_endpoint *target, const uint8_t source[16], uint8_t mac[6])
{
	uint8_t frame[SPW_NEIGHBOR_FRAME_BYTES];
	uint32_t bytes = spw_neighbors_ask(target, source, port->mac, frame);

	for (uint32_t ms = 0; ms < ASK_MAX_MS; ms++) {
		if (ms % ASK_EVERY_MS == 0)
			send_frame(load, port, frame, bytes);
		usleep(1000);
		if (take_answers(load, port, target, mac))
			return true;
	}
	return false;
}

static int ask_gateway(struct spw_load *load, const struct spw_endpoint *target, uint8_t mac[6],
		       char *why, unsigned int why_bytes)
{
	uint8_t source[16];
	char text[64];

	int error = asking_address(load, target, source, why, why_bytes);
	if (error || ask(load, load->ports.tx, target, source, mac))
		return error;
	struct spw_endpoint address = *target;
	address.port = 0;
	spw_endpoint_format(&address, text, sizeof(text));
	snprintf(
		why, why_bytes,
		"%s does not answer on %s: is it the gateway's address there? --gateway also takes "
		"a MAC",
		text, load->ports.tx->name);
	return -EHOSTUNREACH;
}

/* A node looks for its tunnels' peer every few seconds only, and may have found nobody before we
 * were here. Asked by the peer it knows where that is. Whether it answers does not matter. */
static void greet_node(struct spw_load *load)
{
	const struct spw_peer_sa *sa = load->rx_sas.sa;
	uint8_t mac[6];

	for (uint32_t i = 0; i < load->rx_sas.cnt; i++)
		if (i == 0 ||
		    memcmp(&sa[i].outer_dst, &sa[i - 1].outer_dst, sizeof(sa[i].outer_dst)) != 0)
			ask(load, load->ports.rx, &sa[i].outer_src, sa[i].outer_dst.addr, mac);
}

int spw_gateway_find(struct spw_load *load, const struct spw_options *options, char *why,
		     unsigned int why_bytes)
{
	struct spw_endpoint target = options->gateway;
	uint8_t macs[12];
	int error = 0;

	memcpy(macs, load->ports.rx->mac, 6);
	memcpy(macs + 6, load->ports.tx->mac, 6);
	if (options->has_gateway_mac) {
		memcpy(macs, options->gateway_mac, 6);
	} else {
		if (!target.family && load->tx_sas.cnt)
			error = outer_destination(load, &target, why, why_bytes);
		if (!error && target.family)
			error = ask_gateway(load, &target, macs, why, why_bytes);
	}
	if (error)
		return error;
	if (load->generator)
		memcpy(load->generator->macs, macs, sizeof(macs));
	load->has_mac = options->has_gateway_mac;
	memcpy(load->macs, macs, sizeof(macs));
	greet_node(load);
	return 0;
}
