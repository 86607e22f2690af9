/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipeline_peer.c - what spw-bench-pipeline is compared to: DPDK's own ESP library, see pipeline.h.
 *
 * A loop around librte_ipsec: the packet's tunnel by rte_lpm (encap) or by its SPI (decap), the ESP
 * of the library over a crypto device of DPDK's, a MAC header, and out. Same keys, ESN, UDP
 * encapsulation and replay window. It does less: no counters, caps or allowed sources, and the
 * outer header's checksum is left to the NIC.
 *
 * The device is crypto_aesni_gcm, intel-ipsec-mb's AES-GCM, which is called at once and not through
 * queues (RTE_SECURITY_ACTION_TYPE_CPU_CRYPTO): packets of a burst are of many tunnels, so there is
 * nothing to gather.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include <rte_cryptodev.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_ipsec.h>
#include <rte_lpm.h>
#include <rte_udp.h>

#include "perf/pipeline.h"

#define DEVICE "crypto_aesni_gcm"
#define WINDOW_PACKETS 2048u
#define OUTER_BYTES (sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))

struct association {
	struct rte_ipsec_session session;
	struct rte_ipsec_sa_prm parameters;
	struct rte_crypto_sym_xform cipher;
	uint8_t key[32];
	struct rte_ether_hdr ether; /* in front of what leaves */
	struct rte_ipv4_hdr outer;
	int bytes; /* of session.sa */
};

struct peer {
	bool seal;
	uint8_t device;
	uint32_t tunnels;
	struct rte_mempool *sessions;
	struct rte_lpm *lpm;
	struct association *associations; /* by tunnel id */
};

/* Returns the number of the crypto device, -1: it is not installed. Started once. */
static int start_device(void)
{
	static int device = -1;
	struct rte_cryptodev_config config = {.nb_queue_pairs = 1};
	struct rte_cryptodev_qp_conf queue = {.nb_descriptors = SPW_BURST_MAX};

	if (device >= 0 || rte_eal_hotplug_add("vdev", DEVICE, "") != 0)
		return device;
	int found = rte_cryptodev_get_dev_id(DEVICE);
	if (found < 0)
		return -1;
	config.socket_id = rte_cryptodev_socket_id((uint8_t)found);
	if (rte_cryptodev_configure((uint8_t)found, &config) != 0 ||
	    rte_cryptodev_queue_pair_setup((uint8_t)found, 0, &queue, config.socket_id) != 0 ||
	    rte_cryptodev_start((uint8_t)found) != 0)
		return -1;
	device = found;
	return device;
}

static void describe(struct association *association, uint32_t tunnel, bool seal)
{
	struct rte_ipsec_sa_prm *parameters = &association->parameters;
	struct rte_security_ipsec_xform *ipsec = &parameters->ipsec_xform;
	struct spw_msg_sa_add sa = node_sa(seal ? SPW_SA_OUT : SPW_SA_IN, tunnel);

	association->cipher = (struct rte_crypto_sym_xform){
		.type = RTE_CRYPTO_SYM_XFORM_AEAD,
		.aead = {.op = seal ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT,
			 .algo = RTE_CRYPTO_AEAD_AES_GCM,
			 .key = {.length = (uint16_t)sa.key_bytes},
			 .iv = {.offset = sizeof(struct rte_crypto_op) +
					  sizeof(struct rte_crypto_sym_op),
				.length = SPW_NONCE_BYTES},
			 .digest_length = SPW_ICV_BYTES,
			 .aad_length = 12}};
	memcpy(association->key, sa.key, sa.key_bytes);
	association->cipher.aead.key.data = association->key;
	association->outer = (struct rte_ipv4_hdr){.version_ihl = 0x45,
						   .time_to_live = 64,
						   .next_proto_id = IPPROTO_UDP,
						   .src_addr = htonl(0xc0000201),
						   .dst_addr = htonl(0xc0000202)};
	*parameters = (struct rte_ipsec_sa_prm){.crypto_xform = &association->cipher,
						.tun = {.hdr_len = sizeof(association->outer),
							.next_proto = IPPROTO_IPIP,
							.hdr = &association->outer}};
	ipsec->spi = sa.spi;
	memcpy(&ipsec->salt, sa.salt, sizeof(ipsec->salt));
	ipsec->options.esn = 1;
	ipsec->options.udp_encap = seal; /* inbound the UDP header is one more to skip */
	ipsec->udp = (struct rte_security_ipsec_udp_param){WORLD_TUNNEL_PORT, WORLD_TUNNEL_PORT};
	ipsec->direction =
		seal ? RTE_SECURITY_IPSEC_SA_DIR_EGRESS : RTE_SECURITY_IPSEC_SA_DIR_INGRESS;
	ipsec->proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP;
	ipsec->mode = RTE_SECURITY_IPSEC_SA_MODE_TUNNEL;
	ipsec->tunnel.type = RTE_SECURITY_IPSEC_TUNNEL_IPV4;
	ipsec->replay_win_sz = seal ? 0 : WINDOW_PACKETS;
}

static void init_sa(struct association *association)
{
	if (rte_ipsec_sa_init(association->session.sa, &association->parameters,
			      (uint32_t)association->bytes) < 0)
		broken("librte_ipsec refuses an SA");
}

static void open_association(struct peer *peer, uint32_t tunnel)
{
	struct association *association = &peer->associations[tunnel];
	struct rte_ipsec_session *session = &association->session;

	describe(association, tunnel, peer->seal);
	association->bytes = rte_ipsec_sa_size(&association->parameters);
	session->sa =
		association->bytes < 0
			? NULL
			: aligned_alloc(SPW_CACHE_LINE, RTE_ALIGN_CEIL((size_t)association->bytes,
								       (size_t)SPW_CACHE_LINE));
	if (!session->sa)
		broken("no memory for the peer's SAs");
	init_sa(association);
	session->type = RTE_SECURITY_ACTION_TYPE_CPU_CRYPTO;
	session->crypto.dev_id = peer->device;
	session->crypto.ses = rte_cryptodev_sym_session_create(peer->device, &association->cipher,
							       peer->sessions);
	if (!session->crypto.ses || rte_ipsec_session_prepare(session) != 0)
		broken("%s: no session: %s", DEVICE, rte_strerror(rte_errno));
	association->ether = (struct rte_ether_hdr){.dst_addr = {{2, 0, 0, 0, 3, 1}},
						    .ether_type = htons(RTE_ETHER_TYPE_IPV4)};
}

/* The routes that the node has: /24 by tunnel, or /32 by host of the lan. */
static struct rte_lpm *make_routes(const struct peer *peer)
{
	struct rte_lpm_config config = {.max_rules = TUNNELS_MAX + 1, .number_tbl8s = 256};
	struct rte_lpm *lpm = rte_lpm_create("peer", SOCKET_ID_ANY, &config);

	if (!lpm)
		broken("no rte_lpm: %s", rte_strerror(rte_errno));
	for (uint32_t t = 0; peer->seal && t < peer->tunnels; t++)
		rte_lpm_add(lpm, RTE_IPV4(10, t >> 8, t & 255, 0), 24, t + 1);
	for (uint32_t h = 0; !peer->seal && h < LAN_HOSTS; h++)
		rte_lpm_add(lpm, RTE_IPV4(172, 16, 0, h), 32, h + 1);
	return lpm;
}

struct peer *peer_create(uint32_t tunnels, bool seal)
{
	int device = start_device();
	struct peer *peer = calloc(1, sizeof(*peer));

	if (device < 0 || !peer) {
		free(peer);
		return NULL;
	}
	peer->seal = seal;
	peer->device = (uint8_t)device;
	peer->tunnels = tunnels;
	peer->associations =
		aligned_alloc(SPW_CACHE_LINE, (tunnels + 1) * sizeof(*peer->associations));
	peer->sessions = rte_cryptodev_sym_session_pool_create(
		"peer", tunnels, rte_cryptodev_sym_get_private_session_size(peer->device), 0, 0,
		SOCKET_ID_ANY);
	if (!peer->associations || !peer->sessions)
		broken("no memory for the peer's sessions");
	memset(peer->associations, 0, (tunnels + 1) * sizeof(*peer->associations));
	peer->lpm = make_routes(peer);
	for (uint32_t t = 1; t <= tunnels; t++)
		open_association(peer, t);
	return peer;
}

void peer_destroy(struct peer *peer)
{
	for (uint32_t t = 1; peer && t <= peer->tunnels; t++) {
		rte_cryptodev_sym_session_free(peer->device,
					       peer->associations[t].session.crypto.ses);
		rte_ipsec_sa_fini(peer->associations[t].session.sa);
		free(peer->associations[t].session.sa);
	}
	if (peer) {
		rte_lpm_free(peer->lpm);
		rte_mempool_free(peer->sessions);
		free(peer->associations);
	}
	free(peer);
}

void peer_reset_windows(struct peer *peer)
{
	for (uint32_t t = 1; t <= peer->tunnels; t++)
		init_sa(&peer->associations[t]);
}

/* Sets the headers' lengths, as the library wants them, and returns the tunnel of the packet. */
static uint32_t find_tunnel(const struct peer *peer, struct rte_mbuf *mbuf)
{
	const void *ip = rte_pktmbuf_adj(mbuf, sizeof(struct rte_ether_hdr));
	uint32_t tunnel = 0;

	mbuf->l2_len = 0;
	if (peer->seal) {
		mbuf->l3_len = sizeof(struct rte_ipv4_hdr);
		rte_lpm_lookup(peer->lpm, ntohl(((const struct rte_ipv4_hdr *)ip)->dst_addr),
			       &tunnel);
		return tunnel;
	}
	mbuf->l3_len = OUTER_BYTES;
	tunnel = ntohl(*(const uint32_t *)((const uint8_t *)ip + OUTER_BYTES)) >>
		 SPW_SPI_GENERATION_BITS;
	return tunnel <= peer->tunnels ? tunnel : 0;
}

/* One packet; returns whether it is ready to leave. */
static bool pass_one(const struct peer *peer, struct rte_mbuf *mbuf)
{
	uint32_t tunnel = find_tunnel(peer, mbuf), host;
	const struct association *association = &peer->associations[tunnel];

	if (tunnel == 0 || rte_ipsec_pkt_cpu_prepare(&association->session, &mbuf, 1) != 1 ||
	    rte_ipsec_pkt_process(&association->session, &mbuf, 1) != 1)
		return false;
	if (!peer->seal) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const void *);
		if (rte_lpm_lookup(peer->lpm, ntohl(ip->dst_addr), &host) != 0)
			return false;
	}
	void *ether = rte_pktmbuf_prepend(mbuf, sizeof(association->ether));
	if (!ether)
		return false;
	memcpy(ether, &association->ether, sizeof(association->ether));
	return true;
}

uint64_t peer_cycles(struct peer *peer, struct source *from, uint16_t to, uint32_t bursts)
{
	struct rte_mbuf *mbuf[SPW_BURST_MAX];
	uint64_t cycles = 0;

	for (uint32_t k = 0; k < bursts; k++) {
		uint16_t ready = 0;
		source_fill(from);
		uint64_t start = rte_rdtsc_precise();
		uint16_t got = rte_eth_rx_burst(from->ethdev, 0, mbuf, SPW_BURST_MAX);
		for (uint16_t i = 0; i < got; i++)
			rte_prefetch0(rte_pktmbuf_mtod(mbuf[i], void *));
		for (uint16_t i = 0; i < got; i++)
			ready += pass_one(peer, mbuf[i]);
		uint16_t sent = rte_eth_tx_burst(to, 0, mbuf, got);
		cycles += rte_rdtsc_precise() - start;
		if (ready != SPW_BURST_MAX || sent != SPW_BURST_MAX)
			broken("librte_ipsec has passed %u packets of %u", ready, SPW_BURST_MAX);
	}
	return cycles;
}
