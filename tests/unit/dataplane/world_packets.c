/* SPDX-License-Identifier: BSD-2-Clause */
/* world_packets.c - packets as a test's peers and hosts send and see them, see world.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/dataplane/world.h"

static void fill(uint8_t *at, uint32_t from, uint32_t to)
{
	for (uint32_t k = from; k < to; k++)
		at[k] = (uint8_t)(k * 7 + 3);
}

uint32_t world_inner4(uint8_t *at, const char *source, const char *destination, uint8_t ttl,
		      uint32_t bytes)
{
	memset(at, 0, SPW_IPV4_BYTES);
	at[0] = 0x45;
	at[1] = 0xb8; /* a DSCP that must not show outside */
	spw_put_be16(at + 2, (uint16_t)bytes);
	at[8] = ttl;
	at[9] = SPW_PROTO_UDP;
	inet_pton(AF_INET, source, at + 12);
	inet_pton(AF_INET, destination, at + 16);
	spw_put_be16(at + 10, (uint16_t)~spw_sum_fold(spw_sum(at, SPW_IPV4_BYTES, 0)));
	fill(at, SPW_IPV4_BYTES, bytes);
	return bytes;
}

uint32_t world_inner6(uint8_t *at, const char *source, const char *destination, uint8_t ttl,
		      uint32_t bytes)
{
	memset(at, 0, SPW_IPV6_BYTES);
	at[0] = 0x6b;
	spw_put_be16(at + 4, (uint16_t)(bytes - SPW_IPV6_BYTES));
	at[6] = SPW_PROTO_UDP;
	at[7] = ttl;
	inet_pton(AF_INET6, source, at + 8);
	inet_pton(AF_INET6, destination, at + 24);
	fill(at, SPW_IPV6_BYTES, bytes);
	return bytes;
}

static const uint8_t macs[12] = {2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 3, 1};

uint32_t world_plain(uint8_t *frame, uint16_t vlan, const uint8_t *inner, uint32_t bytes)
{
	uint32_t at = 12;

	memcpy(frame, macs, sizeof(macs));
	if (vlan) {
		spw_put_be16(frame + at, SPW_ETHERTYPE_VLAN);
		spw_put_be16(frame + at + 2, vlan);
		at += 4;
	}
	spw_put_be16(frame + at, inner[0] >> 4 == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6);
	memcpy(frame + at + 2, inner, bytes);
	return at + 2 + bytes;
}

struct world_esp world_esp(uint32_t tunnel, uint64_t sequence, uint8_t next_header)
{
	return (struct world_esp){
		.sa = world_sa(SPW_SA_IN, tunnel),
		.sequence = sequence,
		.iv = sequence *
		      0x9e3779b97f4a7c15ull, /* the receiver must take it from the wire */
		.next_header = next_header,
		.outer = tunnel == 3 ? 6 : 4,
	};
}

static uint32_t outer_head(uint8_t *at, int family, uint32_t udp_bytes)
{
	uint8_t *udp = at + (family == 4 ? SPW_IPV4_BYTES : SPW_IPV6_BYTES);

	if (family == 4)
		world_inner4(at, "192.0.2.2", "192.0.2.1", 60, SPW_IPV4_BYTES + udp_bytes);
	else
		world_inner6(at, "2001:db8:ffff::2", "2001:db8:ffff::1", 60,
			     SPW_IPV6_BYTES + udp_bytes);
	spw_put_be16(udp, 4501);
	spw_put_be16(udp + 2, WORLD_TUNNEL_PORT);
	spw_put_be16(udp + 4, (uint16_t)udp_bytes);
	spw_put_be16(udp + 6, 0);
	return (uint32_t)(udp - at) + SPW_UDP_BYTES;
}

uint32_t world_seal(uint8_t *frame, const struct world_esp *esp, const uint8_t *text,
		    uint32_t bytes)
{
	uint8_t sealed[WORLD_FRAME_MAX], nonce[SPW_NONCE_BYTES], aad[12];
	uint32_t pad_bytes = esp->raw_text ? 0 : (4 - (bytes + 2) % 4) % 4;
	uint32_t sealed_bytes = bytes;

	memcpy(sealed, text, bytes);
	if (!esp->raw_text) {
		for (uint32_t k = 1; k <= pad_bytes; k++)
			sealed[sealed_bytes++] = (uint8_t)k;
		sealed[sealed_bytes++] = (uint8_t)pad_bytes;
		sealed[sealed_bytes++] = esp->next_header;
	}
	memcpy(frame, macs, sizeof(macs));
	spw_put_be16(frame + 12, esp->outer == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6);
	uint8_t *head = frame + SPW_ETHER_BYTES;
	head += outer_head(head, esp->outer,
			   SPW_UDP_BYTES + SPW_ESP_BYTES + sealed_bytes + SPW_ICV_BYTES);
	spw_put_be32(head, esp->sa.spi);
	spw_put_be32(head + 4, (uint32_t)esp->sequence);
	spw_put_be64(head + 8, esp->iv);

	struct spw_aead *aead = spw_aead_create(0, esp->sa.key, esp->sa.key_bytes, true);
	bool esn = esp->sa.flags & SPW_SA_F_ESN;
	memcpy(nonce, esp->sa.salt, 4);
	spw_put_be64(nonce + 4, esp->iv);
	spw_put_be32(aad, esp->sa.spi);
	spw_put_be32(aad + 4, (uint32_t)(esn ? esp->sequence >> 32 : esp->sequence));
	spw_put_be32(aad + 8, (uint32_t)esp->sequence);
	if (!aead || !spw_aead_seal(aead, nonce, aad, esn ? 12 : 8, sealed, sealed_bytes,
				    head + SPW_ESP_BYTES + sealed_bytes))
		abort();
	spw_aead_destroy(aead);
	memcpy(head + SPW_ESP_BYTES, sealed, sealed_bytes);
	return (uint32_t)(head - frame) + SPW_ESP_BYTES + sealed_bytes + SPW_ICV_BYTES;
}

static uint32_t wrong(const char *what)
{
	fprintf(stderr, "sent frame: wrong %s\n", what);
	return 0;
}

/* Everything outside of ESP; returns the offset of the ESP header, 0: something is wrong. */
static uint32_t check_outer(const struct world *world, uint32_t tunnel, const uint8_t *frame,
			    uint32_t bytes)
{
	const struct spw_tunnel *record = &world->tunnels[tunnel];
	const uint8_t *ip = frame + SPW_ETHER_BYTES;
	bool outer6 = record->outer_bytes == 48;
	uint32_t ip_bytes = outer6 ? SPW_IPV6_BYTES : SPW_IPV4_BYTES;
	const uint8_t *udp = ip + ip_bytes;
	uint32_t udp_bytes = bytes - SPW_ETHER_BYTES - ip_bytes;

	if (memcmp(frame, world->neighbors[record->neighbor].mac, 6) ||
	    memcmp(frame + 6, world->ports[record->port].image[0].mac, 6))
		return wrong("MAC");
	if (spw_get_be16(frame + 12) != (outer6 ? SPW_ETHERTYPE_IPV6 : SPW_ETHERTYPE_IPV4))
		return wrong("EtherType");
	if (outer6 ? spw_get_be16(ip + 4) != udp_bytes : spw_get_be16(ip + 2) != udp_bytes + 20)
		return wrong("IP length");
	if (!outer6 && (spw_sum_fold(spw_sum(ip, 20, 0)) != 0xffff || ip[1] != 0 || ip[6] != 0x40))
		return wrong("IPv4 header");
	if (spw_get_be16(udp + 4) != udp_bytes)
		return wrong("UDP length");
	if (outer6 &&
	    (spw_get_be16(udp + 6) == 0 ||
	     spw_sum_fold(spw_sum(udp, udp_bytes, spw_sum(ip + 8, 32, udp_bytes + 17))) != 0xffff))
		return wrong("UDP checksum");
	if (!outer6 && spw_get_be16(udp + 6) != 0)
		return wrong("UDP checksum");
	return SPW_ETHER_BYTES + ip_bytes + SPW_UDP_BYTES;
}

uint32_t world_open(const struct world *world, uint32_t tunnel, const uint8_t *frame,
		    uint32_t bytes, uint64_t sequence, uint8_t *text)
{
	struct spw_msg_sa_add sa = world_sa(SPW_SA_OUT, tunnel);
	uint32_t at = check_outer(world, tunnel, frame, bytes);
	uint8_t nonce[SPW_NONCE_BYTES], aad[12], iv[8];

	if (at == 0)
		return 0;
	const uint8_t *esp = frame + at;
	uint32_t text_bytes = bytes - at - SPW_ESP_BYTES - SPW_ICV_BYTES;
	if (spw_get_be32(esp) != sa.spi || spw_get_be32(esp + 4) != (uint32_t)sequence)
		return wrong("SPI or sequence number");
	spw_put_be64(iv, sequence ^ sa.iv_mask);
	if (memcmp(esp + 8, iv, 8) != 0)
		return wrong("IV");
	memcpy(nonce, sa.salt, 4);
	memcpy(nonce + 4, iv, 8);
	bool esn = sa.flags & SPW_SA_F_ESN;
	spw_put_be32(aad, sa.spi);
	spw_put_be32(aad + 4, (uint32_t)(esn ? sequence >> 32 : sequence));
	spw_put_be32(aad + 8, (uint32_t)sequence);
	memcpy(text, esp + SPW_ESP_BYTES, text_bytes);
	struct spw_aead *aead = spw_aead_create(0, sa.key, sa.key_bytes, false);
	bool authentic = spw_aead_open(aead, nonce, aad, esn ? 12 : 8, text, text_bytes,
				       esp + SPW_ESP_BYTES + text_bytes);
	spw_aead_destroy(aead);
	return authentic ? text_bytes : wrong("ICV");
}
