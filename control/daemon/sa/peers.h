/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peers.h - tunnels whose keys come from sessions with a peer: between the handshake's messages
 * (noise/), the rules of when keys change (session/sessions.h) and the SAs (sets.h).
 * peers.c: the node's key, its peers, their lives; handshakes.c: messages; session_sas.c: what the
 * rules ask for. Only these and sas.c include it.
 *
 * Who owns the memory: struct spw_peers belongs to the SA manager, struct spw_peer to its tunnel's
 * struct spw_tunnel_sas. Keys lie in cells. Control's thread only.
 */
#ifndef SPW_SA_PEERS_H
#define SPW_SA_PEERS_H

#include "control/daemon/log.h"
#include "control/daemon/noise/cookie.h"
#include "control/daemon/noise/noise.h"
#include "control/daemon/sa/admission.h"
#include "control/daemon/sa/sas_private.h"
#include "control/daemon/sa/stamps.h"
#include "control/daemon/session/sessions.h"

/* Why a handshake message was not answered; counted for the tunnel where it is known whose it is,
 * else for the node. The names are those of the control socket. */
#define SPW_HANDSHAKE_FAILURES(X)                                                                  \
	X(MALFORMED, malformed)         /* no message of ours */                                   \
	X(VERSION, version)             /* of another version of the protocol */                   \
	X(MAC1, mac1)                   /* its sender does not know our public key */              \
	X(UNKNOWN_PEER, unknown_peer)   /* no tunnel has this public key */                        \
	X(NOT_AUTHENTIC, not_authentic) /* forged, or another pre-shared key */                    \
	X(REPLAYED, replayed)           /* recorded, or its sender's clock stepped back */         \
	X(CIPHER, cipher)               /* the peer is configured for another key length */        \
	X(TERMS, terms)                 /* it offers no SA, or what else makes no sense */         \
	X(BUSY, busy)                   /* too many of this peer, or no dataplane is ready */      \
	X(STALE, stale)                 /* an answer that nobody waits for any more */

enum spw_handshake_failure {
#define SPW_FAILURE_ENUM(id, name) SPW_FAILURE_##id,
	SPW_HANDSHAKE_FAILURES(SPW_FAILURE_ENUM)
#undef SPW_FAILURE_ENUM
		SPW_FAILURE_CNT
};

struct spw_failures {
	uint64_t cnt[SPW_FAILURE_CNT];
	struct spw_log_pause pause;
};

/* What a handshake has brought, while the session is made of it. */
struct spw_handshake_result {
	const struct spw_noise_terms *terms; /* the peer's */
	const struct spw_noise_keys *keys;   /* of the initiator; the responder's come with RESP */
	const struct spw_message *init;      /* of the responder: what it answers */
};

struct spw_peer {
	struct spw_noise_peer *noise;          /* a cell */
	struct spw_noise_handshake *handshake; /* a cell: the one that we began */
	struct spw_cookie cookie;
	bool cookie_answered; /* this handshake was repeated with a cookie already */
	struct spw_sessions sessions;
	struct event *timer; /* the deadline of `sessions` */
	struct event *late;  /* time for late packets of SAs that `sessions` does not know */
	bool key256;
	uint8_t peer_children; /* as it said last; 0: not known yet */
	uint8_t offered_cnt;   /* the SPIs of our INIT: no SA stands for them yet */
	uint32_t offered_slot[SPW_SESSION_CHILDREN_MAX], offered_spi[SPW_SESSION_CHILDREN_MAX];
	const struct spw_handshake_result *result; /* during a call into `sessions` alone */
	uint32_t sending;                          /* serial; 0: none */
	uint32_t heard; /* the newest serial that a packet came on; endpoints are learned from it */
	uint32_t former; /* the last serial before `sessions` was started: it forgot them all */
	uint32_t heard_waiting; /* heard, but the endpoint is not known yet; 0: none */
	struct {                /* our answer to the peer's INIT, until its SAs stand */
		uint32_t serial;
		struct spw_wire_response wire;
		struct spw_endpoint from, to;
	} response;
	struct spw_endpoint live; /* as the classifier knows it; family 0: not at all */
	struct spw_failures failures;
	struct spw_tunnel_sas *bucket_next;
};

#define SPW_PEER_BUCKETS 4096u

struct spw_peers {
	struct spw_sas *sas;
	struct spw_noise_identity *identity;     /* a cell */
	struct spw_noise_handshake *answering;   /* a cell: an INIT that is being read */
	struct spw_cookie_secret *cookie_secret; /* a cell */
	struct spw_stamps *stamps;
	struct event *poll; /* once a second: counters */
	struct spw_failures failures;
	struct spw_admission admission;
	uint64_t cookies_sent;
	uint64_t turn_us; /* the first that is free for an INIT of ours */
	struct spw_tunnel_sas *by_key[SPW_PEER_BUCKETS];
};

/* ---- peers.c ------------------------------------------------------------------------------ */

/* Milliseconds of a clock that goes on while the machine sleeps: keys age meanwhile. */
uint64_t spw_boot_ms(void);
/* After every call into `sessions`. */
void spw_peer_arm(struct spw_tunnel_sas *entry);
/* IPv4 as ::ffff:a.b.c.d. */
void spw_endpoint_map(const struct spw_endpoint *endpoint, uint8_t address[16]);
/* NULL: no tunnel has that public key. */
struct spw_tunnel_sas *spw_peer_find(struct spw_peers *peers,
				     const uint8_t key[SPW_PUBLIC_KEY_BYTES]);
/* The peer sends from there now. */
void spw_peer_move(struct spw_tunnel_sas *entry, const struct spw_endpoint *endpoint);

/* ---- handshakes.c ------------------------------------------------------------------------- */

void spw_handshake_begin(struct spw_tunnel_sas *entry); /* sends a new INIT */
void spw_handshake_answer(struct spw_tunnel_sas *entry, uint32_t serial);

/* ---- session_sas.c ------------------------------------------------------------------------ */

extern const struct spw_sessions_ops spw_session_ops;
/* sets.h: entry->sets.answered. */
void spw_session_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set);
/* Outbound SAs that we use. */
uint8_t spw_session_children(const struct spw_tunnel_sas *entry);
/* SPIs for our next INIT: one for each child of the peer. false: none are left. */
bool spw_session_offer(struct spw_tunnel_sas *entry);
void spw_session_offer_free(struct spw_tunnel_sas *entry);

#endif
