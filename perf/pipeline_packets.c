/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline_packets.c - packets for the node of spw-bench-pipeline, see pipeline.h. */
#include <stdio.h>
#include <stdlib.h>

#include "perf/pipeline.h"

/* Marsaglia's xorshift64: the same packets in every run. */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint32_t packets_inner_bytes(uint32_t size, uint32_t k)
{
	static const uint16_t mix[12] = {64, 570, 64, 64, 570, 64, 1408, 64, 570, 64, 64, 570};

	return size == SIZE_IMIX ? mix[k % 12] : size;
}

static void tunnel_host(char text[32], uint32_t tunnel)
{
	snprintf(text, 32, "10.%u.%u.7", tunnel >> 8, tunnel & 255);
}

static void make_one(struct packet *packet, uint32_t tunnels, enum path path, uint32_t *sequence,
		     uint64_t *random)
{
	uint8_t inner[WORLD_FRAME_MAX], frame[WORLD_FRAME_MAX];
	char from[32], to[32];
	uint32_t t = (uint32_t)(draw(random) >> 32) % tunnels;
	uint32_t other = (t + 1 + (uint32_t)(draw(random) >> 32) % (tunnels - 1)) % tunnels;
	uint32_t host = (uint32_t)(draw(random) >> 32) % LAN_HOSTS;

	snprintf(from, sizeof(from), "172.16.0.%u", host);
	snprintf(to, sizeof(to), "172.16.0.%u", host);
	if (path != PATH_ENCAP)
		tunnel_host(from, t);
	if (path == PATH_ENCAP)
		tunnel_host(to, t);
	if (path == PATH_HOP)
		tunnel_host(to, other);
	world_inner4(inner, from, to, 64, packet->inner_bytes);
	if (path == PATH_RELAY) {
		packet->bytes = relay_frame(frame, t + 1, host & 1, packet->inner_bytes);
	} else if (path == PATH_ENCAP) {
		packet->bytes = world_plain(frame, 0, inner, packet->inner_bytes);
	} else {
		struct world_esp esp = {.sa = node_sa(SPW_SA_IN, t + 1),
					.sequence = ++sequence[t],
					.next_header = SPW_PROTO_IPV4,
					.outer = 4};
		esp.iv = esp.sequence ^ 0x1234567800000000ull;
		packet->bytes = world_seal(frame, &esp, inner, packet->inner_bytes);
	}
	packet->frame = malloc(packet->bytes);
	if (!packet->frame)
		broken("no memory for packets");
	memcpy(packet->frame, frame, packet->bytes);
}

struct packets *packets_make(uint32_t tunnels, enum path path, uint32_t size)
{
	uint32_t *sequence = calloc(tunnels, sizeof(*sequence));
	struct packets *packets = calloc(1, sizeof(*packets));
	uint64_t random = 88172645463325252ull;

	if (!sequence || !packets)
		broken("no memory for packets");
	for (uint32_t k = 0; k < PACKETS_CNT; k++) {
		packets->packet[k].inner_bytes = packets_inner_bytes(size, k);
		packets->inner_bytes += packets->packet[k].inner_bytes;
		make_one(&packets->packet[k], tunnels, path, sequence, &random);
	}
	free(sequence);
	return packets;
}

void packets_free(struct packets *packets)
{
	for (uint32_t k = 0; k < PACKETS_CNT; k++)
		free(packets->packet[k].frame);
	free(packets);
}
