/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.h - Ethernet frames for tests, from a description in which only what is unusual is named.
 *
 * Pure functions; the buffer is the caller's.
 */
#ifndef SPW_TEST_FRAME_H
#define SPW_TEST_FRAME_H

#include <stdint.h>

#define FRAME_BYTES_MAX 2048u

enum frame_sum {
	FRAME_SUM_WRONG, /* a constant: nobody may look at it */
	FRAME_SUM_RIGHT,
	FRAME_SUM_NONE, /* 0 */
};

struct frame_spec {
	const char *dst_mac; /* "02:00:00:00:00:01"; NULL: FRAME_MAC */
	const char *src_mac; /* NULL: "02:00:00:00:00:99" */
	/* Tags, outermost first: TPID << 16 | TCI; 0: none. */
	uint32_t tag[3];
	uint16_t ethertype;     /* other than IP: 46 zero bytes follow; 0: by the addresses */
	const char *src, *dst;  /* both IPv4 or both IPv6 */
	uint8_t protocol;       /* 0: UDP */
	uint8_t option_words;   /* IPv4 options of 4 bytes */
	uint8_t extension[8];   /* IPv6 extension headers; 255: hop-by-hop (0 ends the list) */
	uint8_t version;        /* instead of 4 or 6 */
	uint8_t header_words;   /* instead of the right IHL; 16 is written as 0 */
	uint16_t fragment;      /* the field as it stands in the IPv4 or IPv6 fragment header */
	uint8_t ttl;            /* 0: 64; FRAME_TTL_0: 0 */
	uint16_t src_port;      /* 0: 40000; FRAME_PORT_0: 0 */
	uint16_t dst_port;      /* 0: 4500 */
	enum frame_sum sum;     /* UDP */
	uint32_t spi;           /* first word of the payload; 0: a control message */
	uint16_t payload_bytes; /* 0: 64 */
	uint8_t fill;      /* value of the payload's bytes behind the SPI, and of a short one */
	int16_t ip_delta;  /* added to the IP length field */
	int16_t udp_delta; /* added to the UDP length field */
	uint16_t padding;  /* bytes behind the packet */
};

#define FRAME_MAC "02:00:00:00:00:01"
#define FRAME_NO_PAYLOAD 0xffff
#define FRAME_TTL_0 255
#define FRAME_PORT_0 0xffff

/* Builds the frame into `frame` (FRAME_BYTES_MAX long) and returns its length in bytes. */
unsigned int frame_build(const struct frame_spec *spec, uint8_t *frame);

#endif
