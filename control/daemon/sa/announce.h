/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * announce.h - the one message by which two nodes with the same root secret agree on static SAs,
 * as it stands on the wire (docs/static-sas.md).
 *
 * UDP payload on the tunnel's own port, fixed size, integers big-endian. The first eight bytes are
 * zero: no SPI is 0, and a second zero word tells it from IKE (RFC 3948 2.2). Pure functions, any
 * thread; the caller owns all memory.
 */
#ifndef SPW_SA_ANNOUNCE_H
#define SPW_SA_ANNOUNCE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "control/daemon/sa/keys.h"

#define SPW_ANNOUNCE_TYPE 16u
#define SPW_ANNOUNCE_VERSION 1u

enum spw_announce_flag {
	SPW_ANNOUNCE_F_READY = 1 << 0,   /* my inbound SAs for this pair stand; spi[] names them */
	SPW_ANNOUNCE_F_REPLY = 1 << 1,   /* please answer */
	SPW_ANNOUNCE_F_SENDING = 1 << 2, /* I send with the outbound SAs of this pair */
	SPW_ANNOUNCE_F_KEY256 = 1 << 3,  /* AES-256-GCM; else AES-128-GCM */
	SPW_ANNOUNCE_FLAGS = (1 << 4) - 1,
};

struct __attribute__((packed)) spw_announce_wire {
	uint8_t marker[8]; /* 0 */
	uint8_t type;
	uint8_t version;
	uint8_t flags;
	uint8_t children;
	uint8_t key_id[SPW_KEY_ID_BYTES];
	uint64_t epoch_be;
	uint8_t nonce[SPW_NONCE_BYTES];
	uint64_t peer_epoch_be;
	uint8_t peer_nonce[SPW_NONCE_BYTES];
	uint32_t spi_be[SPW_WORKERS_MAX];
	uint8_t mac[SPW_MAC_BYTES];
};
static_assert(sizeof(struct spw_announce_wire) == 164, "announce layout");
#define SPW_ANNOUNCE_BYTES sizeof(struct spw_announce_wire)

struct spw_announce {
	uint8_t flags;                  /* enum spw_announce_flag */
	uint8_t children;               /* 1..SPW_WORKERS_MAX: outbound SAs that the sender uses */
	uint64_t epoch;                 /* the sender's, never 0 */
	uint8_t nonce[SPW_NONCE_BYTES]; /* the sender's, never all zero */
	uint64_t peer_epoch; /* what the sender last heard from its peer; 0: nothing (a hello) */
	uint8_t peer_nonce[SPW_NONCE_BYTES];
	uint32_t spi[SPW_WORKERS_MAX]; /* READY: one for each child of the receiver; else 0 */
};

void spw_announce_build(const struct spw_announce *announce, const struct spw_static_keys *keys,
			struct spw_announce_wire *wire);

/* The key id of what may be an announce, or NULL: it is none (length, marker, type, version). */
const uint8_t *spw_announce_key_id(const void *data, size_t bytes);

/* spw_announce_parse checks the MAC (in constant time) before it looks at anything else. 0,
 * -EBADMSG: it is no announce or a field is out of range, -EKEYREJECTED: not authentic. */
int spw_announce_parse(const void *data, size_t bytes, const struct spw_static_keys *keys,
		       struct spw_announce *announce);

#endif
