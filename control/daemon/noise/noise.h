/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noise.h - the handshake of a session: Noise_IKpsk2_25519_AESGCM_SHA256 in the messages of wire.h
 * (docs/sessions.md).
 *
 *	initiator                                      responder
 *	spw_noise_init_write        INIT -->           spw_noise_init_read_static, finds the peer
 *	                                               spw_noise_init_read
 *	spw_noise_response_read     <-- RESPONSE       spw_noise_response_write
 *	struct spw_noise_keys       = the same, with k_send and k_receive exchanged
 *
 * The caller has looked at spw_wire_type() and at mac1 (cookie.h) before it gives a message to a
 * function here, and looks itself whether an offer's time is later than the last of that peer.
 *
 * Who owns the memory: the caller; the structs with keys lie in cells of spw_keys (sa/keys.h) and
 * are wiped with them. What a function has on its stack it wipes. Control's thread only. No clock,
 * no socket. All return 0 or
 *   -EKEYREJECTED  not authentic, or a public key of low order
 *   -EBADMSG       authentic, but a field is out of range; or the wrong handshake
 *   -EIO           OpenSSL failed
 */
#ifndef SPW_NOISE_NOISE_H
#define SPW_NOISE_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/noise/symmetric.h"
#include "control/daemon/noise/tai64n.h"
#include "control/daemon/noise/wire.h"
#include "control/daemon/sa/keys.h"

struct spw_noise_identity { /* this node */
	struct spw_key_pair pair;
	uint8_t mac1_key[SPW_HASH_BYTES];   /* checks mac1 of what we receive */
	uint8_t cookie_key[SPW_HASH_BYTES]; /* seals the cookies that we give */
};
static_assert(sizeof(struct spw_noise_identity) <= SPW_KEYS_CELL_BYTES, "fits a cell");

struct spw_noise_peer {
	uint8_t public_key[SPW_WIRE_KEY_BYTES];
	uint8_t psk[SPW_WIRE_KEY_BYTES]; /* zeros: none */
	uint8_t static_static[SPW_WIRE_KEY_BYTES];
	uint8_t mac1_key[SPW_HASH_BYTES];   /* makes mac1 of what we send */
	uint8_t cookie_key[SPW_HASH_BYTES]; /* opens the cookies that we get */
};
static_assert(sizeof(struct spw_noise_peer) <= SPW_KEYS_CELL_BYTES, "fits a cell");

enum spw_noise_role {
	SPW_NOISE_IDLE = 0, /* also after the last message: the keys are out, the state is wiped */
	SPW_NOISE_INITIATOR,
	SPW_NOISE_RESPONDER_STATIC, /* knows who it may be */
	SPW_NOISE_RESPONDER,
};

struct spw_noise_handshake {
	struct spw_symmetric symmetric;
	struct spw_key_pair ephemeral;                /* ours; of the initiator */
	uint8_t remote_ephemeral[SPW_WIRE_KEY_BYTES]; /* at the responder */
	uint32_t local_index;                         /* the initiator's, to find it by */
	uint32_t remote_index;                        /* the responder knows its initiator's */
	uint8_t role;                                 /* enum spw_noise_role */
};
static_assert(sizeof(struct spw_noise_handshake) <= SPW_KEYS_CELL_BYTES, "fits a cell");

/* struct spw_wire_terms in host byte order. */
struct spw_noise_terms {
	uint32_t caps;                          /* enum spw_session_cap */
	uint8_t children;                       /* 1..SPW_SESSION_CHILDREN_MAX */
	uint8_t window_log2;                    /* replay window of the sender, 6..13 */
	uint16_t mtu_bytes;                     /* 0: not said */
	uint32_t spi[SPW_SESSION_CHILDREN_MAX]; /* 0, or not below 256 */
	uint8_t address[16];
	uint16_t port;
};
struct spw_noise_offer {
	struct spw_tai64n made;
	struct spw_noise_terms terms;
};
struct spw_noise_answer {
	struct spw_noise_terms terms;
};

struct spw_noise_keys {
	uint8_t k_send[SPW_HASH_BYTES];
	uint8_t k_receive[SPW_HASH_BYTES];
	uint8_t handshake_hash[SPW_HASH_BYTES]; /* the same on both sides, not secret */
};
static_assert(sizeof(struct spw_noise_keys) <= SPW_KEYS_CELL_BYTES, "fits a cell");

int spw_noise_public(const uint8_t private_key[SPW_WIRE_KEY_BYTES],
		     uint8_t public_key[SPW_WIRE_KEY_BYTES]);
int spw_noise_identity_init(struct spw_noise_identity *identity,
			    const uint8_t private_key[SPW_WIRE_KEY_BYTES]);
/* psk may be NULL. -EKEYREJECTED: the public key is of low order. */
int spw_noise_peer_init(struct spw_noise_peer *peer, const struct spw_noise_identity *identity,
			const uint8_t public_key[SPW_WIRE_KEY_BYTES],
			const uint8_t psk[SPW_WIRE_KEY_BYTES]);

/* Starts the handshake anew, whatever its state. mac1 is filled in, mac2 zero: see spw_cookie_add.
 * sender_index comes back as the receiver_index of RESPONSE and COOKIE. */
int spw_noise_init_write(struct spw_noise_handshake *handshake,
			 const struct spw_noise_identity *identity,
			 const struct spw_noise_peer *peer, uint32_t sender_index,
			 const struct spw_noise_offer *offer, struct spw_wire_init *wire);

/* First half of reading INIT: whose key it claims to come from. That is not proven before
 * spw_noise_init_read. Starts the handshake anew, whatever its state; a failure leaves it idle. */
int spw_noise_init_read_static(struct spw_noise_handshake *handshake,
			       const struct spw_noise_identity *identity,
			       const struct spw_wire_init *wire,
			       uint8_t public_key[SPW_WIRE_KEY_BYTES]);
/* Second half, with the same `wire` and the peer of that key. The offer may be a recorded one:
 * look at offer->made. A failure leaves the handshake idle. */
int spw_noise_init_read(struct spw_noise_handshake *handshake, const struct spw_noise_peer *peer,
			const struct spw_wire_init *wire, struct spw_noise_offer *offer);

/* mac1 is filled in, mac2 zero. Done or failed, the handshake is wiped: one INIT, one answer. */
int spw_noise_response_write(struct spw_noise_handshake *handshake,
			     const struct spw_noise_peer *peer, uint32_t sender_index,
			     const struct spw_noise_answer *answer, struct spw_wire_response *wire,
			     struct spw_noise_keys *keys);
/* A failure changes nothing, so that a forged response does not keep the true one away. When done,
 * the handshake is wiped. */
int spw_noise_response_read(struct spw_noise_handshake *handshake,
			    const struct spw_noise_identity *identity,
			    const struct spw_noise_peer *peer, const struct spw_wire_response *wire,
			    struct spw_noise_answer *answer, struct spw_noise_keys *keys);

/*
 * The material of one SA. sending: with k_send, else with k_receive. key_bits: 128 or 256. child:
 * the sender's. spi: the receiver's. Wipe *out after use, *keys once all SAs are made. 0, -EIO, or
 * -EINVAL for another key_bits.
 *
 * HKDF-Expand(SHA-256, k, info, key bytes + 12) = key | salt (4) | IV mask (8, big-endian), with
 * info, 48 bytes without padding:
 *   "relay esp"     9 bytes
 *   version         u8   1
 *   algorithm       u8   1: AES-128-GCM, 2: AES-256-GCM (the number of the bit in caps)
 *   child           u8
 *   SPI             u32  big-endian, as in the packets
 *   handshake hash  32 bytes
 */
int spw_noise_sa_derive(const struct spw_noise_keys *keys, bool sending, uint16_t key_bits,
			uint8_t child, uint32_t spi, struct spw_sa_secret *out);

#endif
