/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_packet.c - arbitrary bytes as received packets, through all stages.
 *
 * The first byte of the input says what the rest is; see enum how. To get beyond the ICV, most ways
 * have the input sealed with the tunnel's key first, as its peer could. Beside what the sanitizers
 * see, each packet must be accounted for exactly once, and good packets must go on passing.
 */
#include <stdlib.h>

#include "tests/unit/dataplane/world.h"

enum how {           /* bits 0 to 2 of the first byte */
	   HOW_WAN,  /* a frame on the wan */
	   HOW_LAN,  /* a frame on a lan, of tenant 1 or, with HOW_OTHER, 2 */
	   HOW_LAN4, /* an IPv4 packet on a lan, its checksum put right */
	   HOW_LAN6, /* an IPv6 packet on a lan */
	   HOW_TEXT, /* the text of an ESP packet with its trailer */
	   HOW_IPV4, /* an inner IPv4 packet out of a tunnel, its checksum put right */
	   HOW_IPV6, /* an inner IPv6 packet out of a tunnel */
	   HOW_ESP,  /* an ESP packet: its header and ciphertext, ICV as of another */
};
#define HOW_OTHER 0x08 /* the lan of tenant 2, or the tunnel with IPv6 outside */
#define HOW_TIGHT 0x10 /* nothing behind the frame may be read */

static struct world *world;
static uint64_t sequence[4]; /* of tunnels 1 and 3 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (world_eal_start() != 0)
		abort();
	world = world_create(64);
	world_furnish(world);
	return 0;
}

/* Without this next to nothing would come by the checksum. */
static void mend_checksum(uint8_t *ip, uint32_t bytes)
{
	uint32_t header_bytes = bytes ? (ip[0] & 15) * 4u : 0;
	if (header_bytes < SPW_IPV4_BYTES || header_bytes > bytes)
		return;
	spw_put_be16(ip + 10, 0);
	spw_put_be16(ip + 10, (uint16_t)~spw_sum_fold(spw_sum(ip, header_bytes, 0)));
}

static uint32_t frame_of(uint8_t *frame, uint8_t how, uint8_t *text, uint32_t bytes)
{
	uint32_t tunnel = how & HOW_OTHER ? 3 : 1;
	struct world_esp esp = world_esp(tunnel, 0, how & 1 ? SPW_PROTO_IPV4 : SPW_PROTO_IPV6);

	if ((how & 7) == HOW_LAN4 || (how & 7) == HOW_IPV4)
		mend_checksum(text, bytes);
	switch (how & 7) {
	case HOW_WAN:
	case HOW_LAN:
		memcpy(frame, text, bytes);
		return bytes;
	case HOW_LAN4:
	case HOW_LAN6:
		text[0] = (uint8_t)((text[0] & 15) | ((how & 7) == HOW_LAN4 ? 0x40 : 0x60));
		return world_plain(frame, 0, text, bytes);
	case HOW_TEXT:
	case HOW_IPV4:
	case HOW_IPV6:
		esp.raw_text = (how & 7) == HOW_TEXT;
		esp.sequence = ++sequence[tunnel];
		return world_seal(frame, &esp, text, bytes);
	default:
		esp.raw_text = true;
		esp.sequence =
			++sequence[tunnel]; /* a text that is a right SPI leaves it authentic */
		uint32_t frame_bytes = world_seal(frame, &esp, text, bytes);
		uint32_t esp_bytes = SPW_ESP_BYTES + bytes + SPW_ICV_BYTES;
		memcpy(frame + frame_bytes - esp_bytes, text, bytes);
		return frame_bytes;
	}
}

static void good_packet_passes(void)
{
	uint8_t inner[64], frame[WORLD_FRAME_MAX];
	struct world_esp esp = world_esp(1, ++sequence[1], SPW_PROTO_IPV4);
	uint32_t bytes = world_inner4(inner, "10.1.0.1", "10.2.0.1", 64, 64);

	if (!world_receive(world, 0, frame, world_seal(frame, &esp, inner, bytes)).transmitted)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t text[WORLD_FRAME_MAX] = {0}, frame[WORLD_FRAME_MAX];
	uint8_t how = bytes ? data[0] : 0;
	uint32_t text_bytes = bytes ? (uint32_t)bytes - 1 : 0;
	bool lan = (how & 7) >= HOW_LAN && (how & 7) <= HOW_LAN6;
	uint32_t port = !lan ? 0 : how & HOW_OTHER ? 2 : 1;

	if (text_bytes > 1600)
		return 0;
	memcpy(text, data + (bytes ? 1 : 0), text_bytes);
	uint32_t frame_bytes = frame_of(frame, how, text, text_bytes);
	world->tight = how & HOW_TIGHT;
	world_receive(world, port, frame, frame_bytes);
	world->tight = false;
	good_packet_passes();
	return 0;
}
