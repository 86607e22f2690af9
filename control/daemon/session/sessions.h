/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sessions.h - when the two ends of one tunnel change keys. The core: it knows no socket, no clock
 * and no key; the caller brings facts and the time (ms, a clock that also counts while the machine
 * sleeps), the core asks for deeds.
 *
 * A session is what one handshake gives: keys of both directions. Its serial names it; a larger
 * serial is a newer session, on this side. Each session can receive once it is made; one of them
 * sends, the newest that may:
 *   - one that we began, as soon as it is made: the peer made it before it answered;
 *   - one that the peer began, once a packet came on it: only then has the peer it too.
 * All others go on receiving, as the peer may send with them or packets may be late, until they are
 * 180 s old or their place is needed: there are at most SPW_SESSIONS_MAX. The newest one that
 * something was heard on keeps its place, as the peer is known to send with it.
 *
 * Who begins a session sends dummies with it until it hears something on it; who takes one over
 * answers with a single dummy. So no packet is lost whatever else is, and neither answers for ever.
 *
 * Both begin at once: on an INIT the side with the smaller static key gives up what it began and
 * has not yet sent with. What it has sent with is older than that INIT, for both sides. So both
 * agree on which session is newer without telling each other, and it is the larger side's whenever
 * that handshake completes.
 *
 * For that to hold, whoever has got a RESP sends no other INIT for 5 s unless it hears something on
 * the new session.
 *
 * Who owns the memory: the caller; nothing is allocated. Control's thread only. An op must not call
 * the core, but for `make`, from which spw_sessions_made may be called.
 */
#ifndef SPW_SESSION_SESSIONS_H
#define SPW_SESSION_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#define SPW_SESSIONS_MAX 4u /* previous, current, next and one of ours under way */

struct spw_sessions_ops {
	/* When an INIT that is due may be sent: now, or later, and that turn is kept for it. So
	 * thousands of tunnels begin one after the other. NULL: always now. */
	uint64_t (*init_turn)(void *arg, uint64_t now_ms);
	/* A new INIT, with a new ephemeral key: answers to earlier ones are void. */
	void (*send_init)(void *arg);
	/* Make inbound and outbound SAs with the keys that the handshake which was just told of has
	 * given. Answered by spw_sessions_made, at once or later. */
	void (*make)(void *arg, uint32_t serial);
	/* The inbound SAs of a session that the peer began stand: answer its INIT. */
	void (*send_response)(void *arg, uint32_t serial);
	/* The tunnel sends with this session's outbound SAs from now on; 0: with none. A negative
	 * errno: nothing has changed, and the core tries again soon. */
	int (*send_with)(void *arg, uint32_t serial);
	/* One authenticated packet without content, by the session that sends. */
	void (*send_dummy)(void *arg);
	/* The session is over, made or not: its SAs go, its keys are wiped. Once for each; never
	 * for the one that sends. */
	void (*drop)(void *arg, uint32_t serial);
};

enum spw_sessions_state {
	SPW_SESSIONS_STOPPED,
	SPW_SESSIONS_NO_ENDPOINT, /* none, and it is the peer that must begin */
	SPW_SESSIONS_HANDSHAKING, /* none yet, or none any more */
	SPW_SESSIONS_UP,
	SPW_SESSIONS_SILENT, /* as up, but the peer does not answer data */
};

struct spw_session {
	uint32_t serial; /* 0: free */
	bool initiator;  /* we began it */
	bool made, heard;
	uint64_t born_ms;
	uint64_t ended_ms; /* since then it only receives; for those that are no more in a role */
};

/* Totals of a tunnel as its counters stand. A dummy is a packet without bytes; tx counts none. */
struct spw_sessions_traffic {
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
};

struct spw_sessions {
	const struct spw_sessions_ops *ops;
	void *arg;
	bool larger_key, can_initiate, behind_nat, running;
	uint32_t random;
	uint64_t now_ms;

	struct spw_session pool[SPW_SESSIONS_MAX];
	uint32_t serial;           /* the last that was given */
	uint32_t sending;          /* serials; 0: none */
	uint32_t next;             /* the peer began it, and nothing came on it yet */
	uint32_t coming;           /* we began it, and it is not made yet */
	bool switch_failed, muted; /* muted: what sends is too old, and cannot be removed yet */
	uint64_t switch_at_ms;

	/* Handshakes that we begin. */
	bool shaking, awaiting, asked, worn, has_turn;
	uint32_t tries;
	uint64_t attempt_ms, init_ms, init_at_ms;
	uint64_t hold_ms;  /* no INIT before */
	uint64_t rekey_ms; /* when the session that sends is to be replaced */
	uint32_t tokens;   /* for INITs of the peer */
	uint64_t tokens_ms;

	/* What was sent and heard. */
	bool counted, owing, unanswered, silent, confirming;
	struct spw_sessions_traffic totals, base; /* base: when the session began to send */
	uint64_t owing_ms, silent_at_ms, sent_ms, confirm_at_ms;
	uint32_t confirms;

	bool shaken;
	uint64_t shaken_ms;
	uint32_t rekeys;
};

struct spw_sessions_status {
	enum spw_sessions_state state;
	bool shaken;           /* a handshake has ever succeeded ... */
	uint64_t handshake_ms; /* ... and the last one this long ago */
	uint32_t rekeys;       /* sessions that took over from another one */
	uint32_t tries;        /* INITs since the last handshake */
};

/* larger_key: our static public key is the larger of the two. seed: for jitter only. */
void spw_sessions_init(struct spw_sessions *s, const struct spw_sessions_ops *ops, void *arg,
		       bool larger_key, uint32_t seed);

/* A dataplane is ready for SAs. Shakes hands at once, if it may. */
void spw_sessions_start(struct spw_sessions *s, uint64_t now_ms);
/* The dataplane is gone, or the tunnel is. All sessions are forgotten and no op is called, `drop`
 * neither: the caller wipes all keys itself. Nothing happens until a new start. */
void spw_sessions_stop(struct spw_sessions *s);

/* Whether the peer's endpoint is known. False, then true: INITs are paced from the start again. */
void spw_sessions_set_initiate(struct spw_sessions *s, bool can_initiate);
void spw_sessions_set_behind_nat(struct spw_sessions *s, bool behind_nat);

/* An authentic and fresh INIT was read. The new session's serial; 0: not accepted, too many, and
 * `make` was not called. A failure at once is told by `drop`, before this returns. */
uint32_t spw_sessions_init_heard(struct spw_sessions *s, uint64_t now_ms);
/* An authentic RESP to our newest INIT was read. As above; 0: not wanted any more. */
uint32_t spw_sessions_response_heard(struct spw_sessions *s, uint64_t now_ms);
/* error: 0, or a negative errno; then the session is dropped. Nothing for one that was dropped. */
void spw_sessions_made(struct spw_sessions *s, uint32_t serial, int error, uint64_t now_ms);
/* The first authentic packet came on the session. Further calls do no harm. */
void spw_sessions_heard(struct spw_sessions *s, uint32_t serial, uint64_t now_ms);
/* To be told about once a second; all timers about silence are as exact as that. */
void spw_sessions_traffic(struct spw_sessions *s, const struct spw_sessions_traffic *totals,
			  uint64_t now_ms);
/* A person wants new keys now. Keys that are less than 5 s old stay until they are. */
void spw_sessions_rekey(struct spw_sessions *s, uint64_t now_ms);

/* To be called at spw_sessions_deadline (ms, UINT64_MAX: never), which every call may have moved.
 * After a tick the deadline is in the future. */
void spw_sessions_tick(struct spw_sessions *s, uint64_t now_ms);
uint64_t spw_sessions_deadline(const struct spw_sessions *s);

enum spw_sessions_state spw_sessions_state(const struct spw_sessions *s);
void spw_sessions_status(const struct spw_sessions *s, uint64_t now_ms,
			 struct spw_sessions_status *status);

#endif
