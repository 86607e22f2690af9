// SPDX-License-Identifier: BSD-2-Clause
/* frame.c - builds test frames. See frame.h. */
#include "frame.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static uint8_t *put16(uint8_t *to, unsigned int value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
	return to + 2;
}

static uint8_t *put_mac(uint8_t *to, const char *text)
{
	unsigned int byte[6] = {0};

	sscanf(text, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
	       &byte[5]);
	for (int i = 0; i < 6; i++)
		*to++ = (uint8_t)byte[i];
	return to;
}

/* RFC 1071, of what has been summed up in front and of these bytes. */
static uint16_t checksum(uint32_t sum, const uint8_t *data, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint8_t ttl_of(const struct frame_spec *spec)
{
	return spec->ttl == FRAME_TTL_0 ? 0 : spec->ttl ? spec->ttl : 64;
}

static uint8_t *put_ipv4(uint8_t *ip, const struct frame_spec *spec, unsigned int l4_bytes)
{
	unsigned int words = 5u + spec->option_words;

	memset(ip, 1, words * 4); /* options: no-operation */
	ip[0] = (uint8_t)((spec->version ? spec->version : 4) << 4 |
			  (spec->header_words ? spec->header_words & 15u : words));
	ip[1] = 0;
	put16(ip + 2, (unsigned int)((int)(words * 4 + l4_bytes) + spec->ip_delta));
	put16(ip + 4, 0x1234);
	put16(ip + 6, spec->fragment);
	ip[8] = ttl_of(spec);
	ip[9] = spec->protocol ? spec->protocol : IPPROTO_UDP;
	put16(ip + 10, 0);
	inet_pton(AF_INET, spec->src, ip + 12);
	inet_pton(AF_INET, spec->dst, ip + 16);
	put16(ip + 10, checksum(0, ip, words * 4));
	return ip + words * 4;
}

static uint8_t extension_type(uint8_t listed)
{
	return listed == 255 ? IPPROTO_HOPOPTS : listed;
}

static uint8_t *put_ipv6(uint8_t *ip, const struct frame_spec *spec, unsigned int l4_bytes)
{
	uint8_t protocol = spec->protocol ? spec->protocol : IPPROTO_UDP;
	uint8_t *next_field = ip + 6, *to = ip + 40;

	memset(ip, 0, 40);
	ip[0] = (uint8_t)((spec->version ? spec->version : 6) << 4);
	ip[7] = ttl_of(spec);
	inet_pton(AF_INET6, spec->src, ip + 8);
	inet_pton(AF_INET6, spec->dst, ip + 24);
	for (unsigned int i = 0; i < sizeof(spec->extension) && spec->extension[i]; i++) {
		*next_field = extension_type(spec->extension[i]);
		memset(to, 0, 16);
		next_field = to;
		if (spec->extension[i] == IPPROTO_FRAGMENT) {
			put16(to + 2, spec->fragment);
			to += 8;
		} else {
			to[1] = 1; /* 16 bytes, of which 12 are one PadN option */
			to[2] = 1;
			to[3] = 12;
			to += 16;
		}
	}
	*next_field = protocol;
	put16(ip + 4, (unsigned int)((int)(to - ip - 40) + (int)l4_bytes + spec->ip_delta));
	return to;
}

static unsigned int payload_bytes(const struct frame_spec *spec)
{
	if (spec->payload_bytes == FRAME_NO_PAYLOAD)
		return 0;
	return spec->payload_bytes ? spec->payload_bytes : 64;
}

static uint8_t *put_transport(uint8_t *to, const struct frame_spec *spec)
{
	unsigned int bytes = payload_bytes(spec);

	if (spec->protocol == 0 || spec->protocol == IPPROTO_UDP) {
		to = put16(to, spec->src_port == FRAME_PORT_0 ? 0
			       : spec->src_port               ? spec->src_port
							      : 40000);
		to = put16(to, spec->dst_port ? spec->dst_port : 4500);
		to = put16(to, (unsigned int)((int)bytes + 8 + spec->udp_delta));
		to = put16(to, spec->sum == FRAME_SUM_WRONG ? 0x8495 : 0);
	}
	memset(to, spec->fill, bytes);
	if (bytes >= 4) {
		put16(to, spec->spi >> 16);
		put16(to + 2, spec->spi & 0xffff);
	}
	return to + bytes;
}

/* The UDP checksum over the pseudo header, the UDP header and the payload (RFC 768, RFC 8200 8.1).
 */
static void put_udp_sum(const uint8_t *ip, bool ipv6, uint8_t *udp, unsigned int l4_bytes)
{
	unsigned int addr_bytes = ipv6 ? 32 : 8;
	uint16_t pseudo = checksum(0, ip + (ipv6 ? 8 : 12), addr_bytes);
	uint16_t sum =
		checksum((uint32_t)(uint16_t)~pseudo + IPPROTO_UDP + l4_bytes, udp, l4_bytes);

	put16(udp + 6, sum ? sum : 0xffff);
}

unsigned int frame_build(const struct frame_spec *spec, uint8_t *frame)
{
	bool ipv6 = spec->src && strchr(spec->src, ':');
	bool udp = spec->protocol == 0 || spec->protocol == IPPROTO_UDP;
	unsigned int l4_bytes = payload_bytes(spec) + (udp ? 8 : 0);
	uint8_t *to = put_mac(frame, spec->dst_mac ? spec->dst_mac : FRAME_MAC);

	to = put_mac(to, spec->src_mac ? spec->src_mac : "02:00:00:00:00:99");
	for (unsigned int i = 0; i < 3 && spec->tag[i]; i++) {
		to = put16(to, spec->tag[i] >> 16);
		to = put16(to, spec->tag[i] & 0xffff);
	}
	if (spec->ethertype) {
		to = put16(to, spec->ethertype);
		memset(to, 0, 46);
		return (unsigned int)(to + 46 - frame);
	}
	to = put16(to, ipv6 ? 0x86dd : 0x0800);
	uint8_t *ip = to;
	uint8_t *l4 = ipv6 ? put_ipv6(to, spec, l4_bytes) : put_ipv4(to, spec, l4_bytes);
	to = put_transport(l4, spec);
	if (udp && spec->sum == FRAME_SUM_RIGHT)
		put_udp_sum(ip, ipv6, l4, l4_bytes);
	memset(to, 0, spec->padding);
	return (unsigned int)(to + spec->padding - frame);
}
