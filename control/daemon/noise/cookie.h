/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cookie.h - the two MACs at the end of INIT and RESPONSE, and the cookies that a node under load
 * asks for before it spends a Diffie-Hellman on a message (docs/sessions.md).
 *
 * mac1 shows that the sender knows the receiver's public key; it is checked first, always. mac2
 * shows that the sender receives at the address it sends from: its key is a cookie that was sent
 * there. A cookie is a function of a secret of the responder, who stores nothing.
 *
 * Who owns the memory: the caller. Control's thread only. Times are of a monotonic clock, brought
 * by the caller. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d.
 */
#ifndef SPW_NOISE_COOKIE_H
#define SPW_NOISE_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/daemon/noise/noise.h"
#include "control/daemon/noise/wire.h"

/* message: an INIT or a RESPONSE of `bytes`, which ends in struct spw_wire_macs. */
int spw_mac1_write(const uint8_t mac1_key[SPW_HASH_BYTES], void *message, size_t bytes);
bool spw_mac1_valid(const uint8_t mac1_key[SPW_HASH_BYTES], const void *message, size_t bytes);

/* ---- the side that is under load ---------------------------------------------------------- */

struct spw_cookie_secret { /* in a cell; zeros: none yet */
	uint8_t secret[SPW_HASH_BYTES];
	uint64_t drawn_ms;
	bool drawn;
};
static_assert(sizeof(struct spw_cookie_secret) <= SPW_KEYS_CELL_BYTES, "fits a cell");

struct spw_cookie_source { /* where a message came from */
	uint8_t address[16];
	uint16_t port;
};

/* Both draw a new secret when the last is SPW_COOKIE_SECRET_LIFE_MS old; its cookies end then. */
bool spw_mac2_valid(struct spw_cookie_secret *secret, uint64_t now_ms,
		    const struct spw_cookie_source *source, const void *message, size_t bytes);
/* The answer to a message with a valid mac1 whose mac2 is not. 0 or -EIO. */
int spw_cookie_reply_write(struct spw_cookie_secret *secret, uint64_t now_ms,
			   const struct spw_noise_identity *identity,
			   const struct spw_cookie_source *source, const void *message,
			   size_t bytes, struct spw_wire_cookie *wire);

/* ---- the side that is asked for one ------------------------------------------------------- */

struct spw_cookie { /* for one peer; zeros: none. No secret: it went over the wire, to us. */
	uint8_t cookie[SPW_COOKIE_BYTES];
	uint8_t mac1[SPW_WIRE_MAC_BYTES]; /* of our last message */
	uint64_t received_ms;
	bool held;
	bool awaits; /* our last message has not been answered by a cookie yet */
};

/* Call it with every INIT and RESPONSE just before it is sent: fills in mac2 while a cookie is
 * held, and remembers mac1. 0 or -EIO. */
int spw_cookie_add(struct spw_cookie *cookie, uint64_t now_ms, void *message, size_t bytes);
/* Takes the cookie of a reply to our last message, once. 0, -EKEYREJECTED: it is none, nothing has
 * changed; -EIO. */
int spw_cookie_reply_read(struct spw_cookie *cookie, uint64_t now_ms,
			  const struct spw_noise_peer *peer, const struct spw_wire_cookie *wire);

#endif
