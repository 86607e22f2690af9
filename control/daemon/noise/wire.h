/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h - the messages by which two nodes make a session, as they stand on the wire, and every
 * timer and limit of sessions (docs/sessions.md).
 *
 * UDP payload on the tunnel's own port. The first eight bytes are zero, as in an announce
 * (control/daemon/sa/announce.h): no SPI is 0, and a second zero word tells it from IKE (RFC 3948
 * 2.2). The ninth byte is the type, 1..3 here and 16 in an announce. Integers are little-endian
 * (_le), SPIs big-endian (_be) as in ESP. Reserved bytes are 0; those of the head are checked,
 * those of a payload are not.
 *
 * All structs are packed: a received datagram may be read through one where it lies. Pure functions
 * and constants, any thread; the caller owns all memory.
 */
#ifndef SPW_NOISE_WIRE_H
#define SPW_NOISE_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SPW_WIRE_VERSION 1u
#define SPW_WIRE_KEY_BYTES 32u /* X25519: private and public keys, shared secrets */
#define SPW_WIRE_TAG_BYTES 16u /* AES-256-GCM */
#define SPW_WIRE_MAC_BYTES 16u /* HMAC-SHA256, shortened */
#define SPW_TAI64N_BYTES 12u
#define SPW_COOKIE_BYTES 16u
#define SPW_COOKIE_NONCE_BYTES 24u
/* SPIs that a payload has room for, and so children of one side. */
#define SPW_SESSION_CHILDREN_MAX 8u
#define SPW_SPI_LEAST 256u     /* those below are reserved (RFC 4303 2.1) */
#define SPW_WINDOW_LOG2_MIN 6u /* replay windows: 64 to 8192 packets */
#define SPW_WINDOW_LOG2_MAX 13u

enum spw_wire_type {
	SPW_WIRE_NONE = 0, /* not one of ours */
	SPW_WIRE_INIT = 1,
	SPW_WIRE_RESPONSE = 2,
	SPW_WIRE_COOKIE = 3,
};

/* What a node can do (in an offer), or what is to be done (in an answer). Unknown bits are
 * ignored by whoever reads an offer. */
enum spw_session_cap {
	SPW_CAP_ESN = 1 << 0,
	SPW_CAP_GCM128 = 1 << 1,
	SPW_CAP_GCM256 = 1 << 2,
	SPW_CAP_CHAPOLY = 1 << 3,
	SPW_CAP_ROAMING = 1 << 4,
};

struct __attribute__((packed)) spw_wire_head {
	uint8_t marker[8]; /* 0 */
	uint8_t type;      /* enum spw_wire_type */
	uint8_t version;
	uint16_t reserved;
};
static_assert(sizeof(struct spw_wire_head) == 12, "head layout");

/* Both at the end of INIT and RESPONSE. mac1 covers all before it, mac2 mac1 as well. */
struct __attribute__((packed)) spw_wire_macs {
	uint8_t mac1[SPW_WIRE_MAC_BYTES];
	uint8_t mac2[SPW_WIRE_MAC_BYTES]; /* 0 without a cookie */
};

/* What both payloads say. */
struct __attribute__((packed)) spw_wire_terms {
	uint32_t caps_le; /* enum spw_session_cap */
	uint8_t children; /* outbound SAs that the sender uses, 1..SPW_SESSION_CHILDREN_MAX */
	uint8_t window_log2;
	uint16_t mtu_bytes_le;
	/* One for each child of the receiver of this message; 0: none. */
	uint32_t spi_be[SPW_SESSION_CHILDREN_MAX];
	/* In INIT where it is sent to, in RESPONSE where INIT came from; IPv4 as ::ffff:a.b.c.d */
	uint8_t address[16];
	uint16_t port_le;
};
static_assert(sizeof(struct spw_wire_terms) == 58, "terms layout");

struct __attribute__((packed)) spw_wire_offer { /* the payload of INIT */
	uint8_t made[SPW_TAI64N_BYTES];
	struct spw_wire_terms terms;
	uint8_t reserved[26];
};
static_assert(sizeof(struct spw_wire_offer) == 96, "offer layout");

struct __attribute__((packed)) spw_wire_answer { /* the payload of RESPONSE */
	struct spw_wire_terms terms;
	uint8_t reserved[6];
};
static_assert(sizeof(struct spw_wire_answer) == 64, "answer layout");

struct __attribute__((packed)) spw_wire_init {
	struct spw_wire_head head;
	uint32_t sender_index_le;
	uint8_t ephemeral[SPW_WIRE_KEY_BYTES];
	uint8_t sealed_static[SPW_WIRE_KEY_BYTES + SPW_WIRE_TAG_BYTES];
	uint8_t sealed_offer[sizeof(struct spw_wire_offer) + SPW_WIRE_TAG_BYTES];
	struct spw_wire_macs macs;
};
static_assert(sizeof(struct spw_wire_init) == 240, "INIT layout");

struct __attribute__((packed)) spw_wire_response {
	struct spw_wire_head head;
	uint32_t sender_index_le;
	uint32_t receiver_index_le;
	uint8_t ephemeral[SPW_WIRE_KEY_BYTES];
	uint8_t sealed_answer[sizeof(struct spw_wire_answer) + SPW_WIRE_TAG_BYTES];
	struct spw_wire_macs macs;
};
static_assert(sizeof(struct spw_wire_response) == 164, "RESPONSE layout");

struct __attribute__((packed)) spw_wire_cookie {
	struct spw_wire_head head;
	uint32_t receiver_index_le;
	uint8_t nonce[SPW_COOKIE_NONCE_BYTES];
	uint8_t sealed_cookie[SPW_COOKIE_BYTES + SPW_WIRE_TAG_BYTES];
};
static_assert(sizeof(struct spw_wire_cookie) == 72, "COOKIE layout");

/* A spoofed source must not get more bytes sent to it than were spent on it. */
static_assert(sizeof(struct spw_wire_init) >= sizeof(struct spw_wire_response), "amplification");
static_assert(sizeof(struct spw_wire_response) >= sizeof(struct spw_wire_cookie), "amplification");

/* The type of a datagram whose head and length are right; it may then be read as that struct. */
static inline enum spw_wire_type spw_wire_type(const void *data, size_t bytes)
{
	static const uint8_t marker[sizeof(((struct spw_wire_head *)0)->marker)];
	const struct spw_wire_head *head = data;

	if (bytes < sizeof(*head) || memcmp(head->marker, marker, sizeof(marker)) != 0 ||
	    head->version != SPW_WIRE_VERSION || head->reserved != 0)
		return SPW_WIRE_NONE;
	if (head->type == SPW_WIRE_INIT && bytes == sizeof(struct spw_wire_init))
		return SPW_WIRE_INIT;
	if (head->type == SPW_WIRE_RESPONSE && bytes == sizeof(struct spw_wire_response))
		return SPW_WIRE_RESPONSE;
	if (head->type == SPW_WIRE_COOKIE && bytes == sizeof(struct spw_wire_cookie))
		return SPW_WIRE_COOKIE;
	return SPW_WIRE_NONE;
}

/* ---- timers: WireGuard's, but for the pace of INITs ---------------------------------------- */

#define SPW_SESSION_REJECT_AFTER_MS 180000u /* neither sends nor receives */
/* Who began a session makes the next one after this and a random part of the jitter, which keeps a
 * fleet that started together from shaking hands together. */
#define SPW_SESSION_REKEY_AFTER_MS 120000u
#define SPW_SESSION_REKEY_JITTER_MS 10000u
#define SPW_SESSION_KEEPALIVE_MS 10000u /* heard data and sent nothing for so long: a dummy */
#define SPW_SESSION_SILENT_MS 15000u    /* sent and heard nothing for so long: a handshake */
/* The other side's turn, where who began the session does nothing. */
#define SPW_SESSION_REKEY_OTHER_MS (SPW_SESSION_REJECT_AFTER_MS - SPW_SESSION_SILENT_MS)
#define SPW_SESSION_NAT_KEEPALIVE_MS 20000u /* RFC 3948, 4 */

/* An INIT without an answer comes again after RETRY_MIN, which doubles up to RETRY_MAX; after
 * ATTEMPT every ABSENT. A peer that is being restarted is found within a second; an absent one
 * costs little: ten thousand of them 600 INITs a second. */
#define SPW_SESSION_RETRY_MIN_MS 250u
#define SPW_SESSION_RETRY_MAX_MS 5000u
#define SPW_SESSION_RETRY_JITTER_MS 334u /* of RETRY_MAX; of less in proportion */
#define SPW_SESSION_ATTEMPT_MS 90000u
#define SPW_SESSION_ABSENT_MS 15000u
#define SPW_SESSION_ABSENT_JITTER_MS 5000u

/* Longer than any way there and back: what comes later is of no use. A RESP is void after this
 * time; a session is in use by the peer that began it, or never will be. */
#define SPW_SESSION_SETTLE_MS 5000u
/* Dummies until something is heard, 19 s; then only data can tell. */
#define SPW_SESSION_CONFIRMS_MAX 8u
#define SPW_SESSION_SWITCH_RETRY_MS 100u
#define SPW_SESSION_INITS_BURST 5u    /* of one peer ... */
#define SPW_SESSION_INIT_EVERY_MS 20u /* ... and one more each */

#define SPW_COOKIE_SECRET_LIFE_MS 120000u /* the responder draws another */
#define SPW_COOKIE_LIFE_MS 120000u        /* the initiator forgets a cookie */

/* ---- limits of one SA's keys -------------------------------------------------------------- */

/* At these a new handshake: the bound on confidentiality for GCM (draft-irtf-cfrg-aead-limits) with
 * room for many keys. */
#define SPW_SESSION_REKEY_PACKETS (UINT64_C(1) << 30)
#define SPW_SESSION_BLOCK_BYTES 16u
#define SPW_SESSION_REKEY_BLOCKS (UINT64_C(1) << 37) /* 2 TiB */
/* The first sequence number that is never used, with ESN and without. */
#define SPW_SESSION_REJECT_PACKETS (UINT64_C(1) << 32)
#define SPW_SESSION_REJECT_PACKETS_NO_ESN (SPW_SESSION_REJECT_PACKETS - 1) /* RFC 4303 3.3.3 */

#endif
