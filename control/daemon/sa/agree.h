/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agree.h - how the two ends of a static tunnel agree on SAs. The core: it knows no socket, no
 * clock and no key; the caller brings messages that are authentic, and the time.
 *
 * An agreement is a pair: my (epoch, nonce) and the peer's. A nonce of mine is an "offer" until an
 * authentic message echoes it; then it is bound to that peer's nonce for ever, and the next offer
 *is drawn. Hence
 *   - a recorded message proves nothing: its echo is of an offer that is bound already. It changes
 *     nothing; at most a hello, which echoes nothing, gets an answer, and those are limited;
 *   - no pair comes twice, so no key does: each pair's outbound SAs are made at most once.
 *
 *	A                                   B
 *	hello (offer a)            ------>
 *	                           <------  (offer b, echo a)
 *	binds a-b, makes inbound SAs
 *	(a, echo b) READY, SPIs    ------>  binds b-a, makes inbound SAs, then outbound
 *	makes outbound SAs         <------  (b, echo a) READY, SPIs, then SENDING
 *	(a, echo b) SENDING        ------>
 *
 * Outbound SAs are made only when the peer is READY for exactly this pair; those of the pair before
 * go on sending until then, and its inbound SAs go on receiving until the peer is SENDING. Messages
 * that are lost are sent again after 200 ms, doubling to 5 s. When all is done, each side asks for
 * an answer every 10 s.
 *
 * Who owns the memory: the caller. Control's thread only.
 */
#ifndef SPW_SA_AGREE_H
#define SPW_SA_AGREE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/sa/announce.h"

struct spw_pair {
	uint32_t serial; /* names the pair in the calls below; never 0 */
	uint64_t local_epoch, peer_epoch;
	uint8_t local_nonce[SPW_NONCE_BYTES], peer_nonce[SPW_NONCE_BYTES];
	uint8_t peer_children;             /* inbound SAs to make */
	uint32_t spi_in[SPW_WORKERS_MAX];  /* once they stand */
	uint32_t spi_out[SPW_WORKERS_MAX]; /* one for each child of ours; once the peer is READY */
	bool in_ready, peer_ready, out_asked, sending, peer_sending;
};

struct spw_agree_ops {
	void (*send)(void *arg, const struct spw_announce *announce);
	void (*draw_nonce)(void *arg, uint8_t nonce[SPW_NONCE_BYTES]);
	/* Make peer_children inbound SAs; answered by spw_agree_in_made, at once or later. */
	void (*make_in)(void *arg, const struct spw_pair *pair);
	/* Make an outbound SA for each child and send with them; answered by spw_agree_out_made.
	 * Never called twice for a pair. */
	void (*make_out)(void *arg, const struct spw_pair *pair);
	/* The pair will never be used (again) for sending. Its inbound SAs must go on receiving
	 * until `settled`, as the peer may still send with them. */
	void (*leave)(void *arg, uint32_t serial);
	/* Both sides send with this pair: all others may be removed, late packets considered. */
	void (*settled)(void *arg, uint32_t serial);
};

enum spw_agree_state {
	SPW_AGREE_STOPPED,
	SPW_AGREE_WAITING, /* nothing of the peer yet */
	SPW_AGREE_AGREEING,
	SPW_AGREE_UP,     /* sending with SAs that the peer has */
	SPW_AGREE_SILENT, /* as UP, but the peer has stopped answering */
	SPW_AGREE_CIPHER, /* the peer is configured for the other key length */
};

struct spw_agree {
	const struct spw_agree_ops *ops;
	void *arg;
	uint8_t children; /* our workers */
	bool key256;

	bool running, other_cipher;
	bool has_next, has_live; /* next: being agreed on; live: we send with it */
	struct spw_pair next, live;
	uint64_t local_epoch;
	uint64_t peer_epoch; /* highest ever agreed on: older ones are stale */
	uint8_t offer[SPW_NONCE_BYTES];
	uint32_t serial;
	uint32_t tries; /* messages sent since the last progress */
	uint64_t deadline_ms;
	uint32_t answers; /* tokens for answers */
	uint64_t answers_ms;
};

/* peer_epoch: the highest known from before, or 0. */
void spw_agree_init(struct spw_agree *agree, const struct spw_agree_ops *ops, void *arg,
		    uint8_t children, bool key256, uint64_t peer_epoch);

/* A dataplane with this epoch is ready for SAs: forgets all pairs, says hello at once. */
void spw_agree_start(struct spw_agree *agree, uint64_t local_epoch, uint64_t now_ms);
/* The dataplane is gone, and all SAs with it. Nothing is called, nothing sent until a new start. */
void spw_agree_stop(struct spw_agree *agree);

void spw_agree_receive(struct spw_agree *agree, const struct spw_announce *announce,
		       uint64_t now_ms);
/* To be called at spw_agree_deadline (ms, UINT64_MAX: never), which every call may have moved. */
void spw_agree_tick(struct spw_agree *agree, uint64_t now_ms);
uint64_t spw_agree_deadline(const struct spw_agree *agree);

/* error: 0 or a negative errno; then the pair is given up and a new one is tried later. An answer
 * for a pair that was left is ignored. spi_in: peer_children SPIs. */
void spw_agree_in_made(struct spw_agree *agree, uint32_t serial, int error,
		       const uint32_t spi_in[SPW_WORKERS_MAX], uint64_t now_ms);
void spw_agree_out_made(struct spw_agree *agree, uint32_t serial, int error, uint64_t now_ms);

enum spw_agree_state spw_agree_state(const struct spw_agree *agree);

#endif
