/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sessions.c - see sessions.h. Every call notes its facts and then runs `run`, which does whatever
 * is due by now; so it does not matter which call comes first after a long sleep.
 */
#include "control/daemon/session/sessions.h"

#include "control/daemon/noise/wire.h"

static uint32_t draw(struct spw_sessions *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 17;
	s->random ^= s->random << 5;
	return s->random;
}

/* A clock that goes back stands still. */
static void advance(struct spw_sessions *s, uint64_t now_ms)
{
	if (now_ms > s->now_ms)
		s->now_ms = now_ms;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- the pool ----------------------------------------------------------------------------- */

static struct spw_session *find(struct spw_sessions *s, uint32_t serial)
{
	for (uint32_t i = 0; serial != 0 && i < SPW_SESSIONS_MAX; i++)
		if (s->pool[i].serial == serial)
			return &s->pool[i];
	return NULL;
}

static bool is_alive(const struct spw_sessions *s, const struct spw_session *session)
{
	return s->now_ms - session->born_ms < SPW_SESSION_REJECT_AFTER_MS;
}

static bool may_send(const struct spw_sessions *s, const struct spw_session *session)
{
	return session->serial != 0 && session->made && (session->initiator || session->heard) &&
	       is_alive(s, session);
}

static void drop(struct spw_sessions *s, struct spw_session *session)
{
	uint32_t serial = session->serial;

	if (serial == s->next)
		s->next = 0;
	if (serial == s->coming)
		s->coming = 0;
	*session = (struct spw_session){0};
	s->ops->drop(s->arg, serial);
}

static bool has_role(const struct spw_sessions *s, const struct spw_session *session)
{
	return session->serial == s->sending || session->serial == s->next ||
	       session->serial == s->coming;
}

static uint32_t newest_heard(const struct spw_sessions *s)
{
	uint32_t serial = 0;

	for (uint32_t i = 0; i < SPW_SESSIONS_MAX; i++)
		if (s->pool[i].heard && s->pool[i].serial > serial)
			serial = s->pool[i].serial;
	return serial;
}

/* Whoever calls has emptied one of the three roles. So of four places one is free or has a session
 * that only receives, apart from the one that the peer is known to send with. */
static struct spw_session *make_room(struct spw_sessions *s)
{
	struct spw_session *oldest = NULL;
	uint32_t in_use = newest_heard(s);

	for (uint32_t i = 0; i < SPW_SESSIONS_MAX; i++) {
		struct spw_session *session = &s->pool[i];
		if (session->serial == 0)
			return session;
		if (!has_role(s, session) && session->serial != in_use &&
		    (!oldest || session->ended_ms < oldest->ended_ms))
			oldest = session;
	}
	drop(s, oldest);
	return oldest;
}

static uint32_t add(struct spw_sessions *s, bool initiator)
{
	struct spw_session *session = make_room(s);

	if (++s->serial == 0)
		s->serial = 1;
	*session = (struct spw_session){
		.serial = s->serial, .initiator = initiator, .born_ms = s->now_ms};
	return s->serial;
}

static void give_up_coming(struct spw_sessions *s)
{
	struct spw_session *session = find(s, s->coming);

	if (session)
		drop(s, session);
}

/* A peer that sends another INIT within SPW_SESSION_SETTLE_MS has not taken our RESP to the one
 * before. */
static void replace_next(struct spw_sessions *s)
{
	struct spw_session *session = find(s, s->next);

	if (!session)
		return;
	if (!session->heard && s->now_ms - session->born_ms < SPW_SESSION_SETTLE_MS) {
		drop(s, session);
		return;
	}
	session->ended_ms = s->now_ms;
	s->next = 0;
}

/* ---- which session sends ------------------------------------------------------------------ */

static void send_dummy(struct spw_sessions *s)
{
	s->ops->send_dummy(s->arg);
	s->sent_ms = s->now_ms;
	s->owing = false;
}

/* What INITs were held for has come to pass, unless another handshake is on its way. */
static void release(struct spw_sessions *s)
{
	if (s->next == 0 && s->coming == 0)
		s->hold_ms = s->now_ms;
}

static void begin_sending(struct spw_sessions *s, struct spw_session *session)
{
	struct spw_session *old = find(s, s->sending), *next = find(s, s->next);

	if (old)
		old->ended_ms = s->now_ms;
	s->rekeys += old != NULL;
	s->sending = session->serial;
	if (s->next == session->serial) {
		s->next = 0;
	} else if (next && s->next < session->serial) {
		next->ended_ms = s->now_ms;
		s->next = 0;
	}
	if (s->coming == session->serial)
		s->coming = 0;
	else if (s->coming < session->serial)
		give_up_coming(s);

	s->shaken = true;
	s->shaken_ms = session->born_ms;
	s->shaking = s->asked = s->worn = s->unanswered = s->silent = false;
	s->tries = s->confirms = 0;
	s->base = s->totals;
	s->rekey_ms = session->born_ms + SPW_SESSION_REKEY_OTHER_MS;
	if (session->initiator)
		s->rekey_ms = session->born_ms + SPW_SESSION_REKEY_AFTER_MS +
			      draw(s) % SPW_SESSION_REKEY_JITTER_MS;
	s->confirming = session->initiator && !session->heard;
	s->confirm_at_ms = s->now_ms;
	if (!s->confirming) {
		release(s);
		send_dummy(s);
	}
}

static void choose_sending(struct spw_sessions *s)
{
	struct spw_session *best = NULL;
	uint32_t serial;

	for (uint32_t i = 0; i < SPW_SESSIONS_MAX; i++) {
		struct spw_session *session = &s->pool[i];
		if (may_send(s, session) && (!best || session->serial > best->serial))
			best = session;
	}
	serial = best ? best->serial : 0;
	if (serial == s->sending) {
		s->switch_failed = false;
	} else if (!s->switch_failed || s->now_ms >= s->switch_at_ms) {
		s->switch_failed = s->ops->send_with(s->arg, serial) < 0;
		s->switch_at_ms = s->now_ms + SPW_SESSION_SWITCH_RETRY_MS;
		if (!s->switch_failed && best)
			begin_sending(s, best);
		else if (!s->switch_failed)
			s->sending = 0;
	}
	s->muted = s->sending != 0 && !is_alive(s, find(s, s->sending));
}

static void end_old(struct spw_sessions *s)
{
	choose_sending(s);
	for (uint32_t i = 0; i < SPW_SESSIONS_MAX; i++) {
		struct spw_session *session = &s->pool[i];
		if (session->serial != 0 && session->serial != s->sending && !is_alive(s, session))
			drop(s, session);
	}
}

/* ---- handshakes that we begin ------------------------------------------------------------- */

static uint64_t retry_delay(struct spw_sessions *s)
{
	uint32_t doublings = (uint32_t)min_u64(s->tries, 6);
	uint64_t delay_ms = min_u64(((uint64_t)SPW_SESSION_RETRY_MIN_MS << doublings) / 2,
				    SPW_SESSION_RETRY_MAX_MS);

	if (s->now_ms - s->attempt_ms >= SPW_SESSION_ATTEMPT_MS)
		return SPW_SESSION_ABSENT_MS + draw(s) % SPW_SESSION_ABSENT_JITTER_MS;
	/* In proportion, so that the first ones still double. */
	return delay_ms +
	       draw(s) % (SPW_SESSION_RETRY_JITTER_MS * delay_ms / SPW_SESSION_RETRY_MAX_MS + 1);
}

/* When there is a reason to shake hands, whatever else speaks against it. */
static uint64_t reason_ms(const struct spw_sessions *s)
{
	uint64_t at_ms;

	if (!s->can_initiate)
		return UINT64_MAX;
	if (s->sending == 0 || s->worn)
		return 0;
	at_ms = s->rekey_ms;
	if (s->asked && !s->confirming)
		at_ms = min_u64(at_ms, s->shaken_ms + SPW_SESSION_SETTLE_MS);
	if (s->unanswered)
		at_ms = min_u64(at_ms, s->silent_at_ms);
	return at_ms;
}

static void shake(struct spw_sessions *s)
{
	if (s->now_ms < reason_ms(s)) {
		s->shaking = false;
		return;
	}
	if (s->now_ms < s->hold_ms)
		return;
	/* After a long sleep all begins anew. */
	if (!s->shaking ||
	    (s->now_ms >= s->init_at_ms && s->now_ms - s->init_at_ms > SPW_SESSION_ATTEMPT_MS)) {
		s->shaking = true;
		s->tries = 0;
		s->attempt_ms = s->init_at_ms = s->now_ms;
	}
	if (s->now_ms < s->init_at_ms)
		return;
	if (!s->has_turn && s->ops->init_turn)
		s->init_at_ms = s->ops->init_turn(s->arg, s->now_ms);
	s->has_turn = s->now_ms < s->init_at_ms;
	if (s->has_turn)
		return;
	s->tries++;
	s->awaiting = true;
	s->init_ms = s->now_ms;
	s->init_at_ms = s->now_ms + retry_delay(s);
	s->ops->send_init(s->arg);
}

/* ---- dummies ------------------------------------------------------------------------------ */

static uint64_t dummy_due_ms(const struct spw_sessions *s)
{
	uint64_t at_ms = UINT64_MAX;

	if (s->sending == 0 || s->muted)
		return at_ms;
	if (s->confirming)
		at_ms = s->confirm_at_ms;
	if (s->owing)
		at_ms = min_u64(at_ms, s->owing_ms + SPW_SESSION_KEEPALIVE_MS);
	if (s->behind_nat)
		at_ms = min_u64(at_ms, s->sent_ms + SPW_SESSION_NAT_KEEPALIVE_MS);
	return at_ms;
}

static void send_dummy_due(struct spw_sessions *s)
{
	if (s->now_ms < dummy_due_ms(s))
		return;
	if (s->confirming && s->now_ms >= s->confirm_at_ms) {
		s->confirm_at_ms =
			s->now_ms + min_u64((uint64_t)SPW_SESSION_RETRY_MIN_MS << s->confirms,
					    SPW_SESSION_RETRY_MAX_MS);
		s->confirming = ++s->confirms < SPW_SESSION_CONFIRMS_MAX;
	}
	send_dummy(s);
}

/* All that is due. A session that became too old is sent with no more before anything is sent. */
static void run(struct spw_sessions *s)
{
	end_old(s);
	s->silent = s->sending != 0 && s->unanswered && s->now_ms >= s->silent_at_ms;
	send_dummy_due(s);
	shake(s);
}

/* ---- facts -------------------------------------------------------------------------------- */

void spw_sessions_init(struct spw_sessions *s, const struct spw_sessions_ops *ops, void *arg,
		       bool larger_key, uint32_t seed)
{
	*s = (struct spw_sessions){
		.ops = ops, .arg = arg, .larger_key = larger_key, .random = seed != 0 ? seed : 1};
}

void spw_sessions_start(struct spw_sessions *s, uint64_t now_ms)
{
	spw_sessions_stop(s);
	advance(s, now_ms);
	s->running = true;
	s->hold_ms = s->tokens_ms = s->now_ms;
	s->tokens = SPW_SESSION_INITS_BURST;
	run(s);
}

void spw_sessions_stop(struct spw_sessions *s)
{
	/* Serials go on: an answer that is under way must not be taken for one of a new session. */
	*s = (struct spw_sessions){.ops = s->ops,
				   .arg = s->arg,
				   .larger_key = s->larger_key,
				   .can_initiate = s->can_initiate,
				   .behind_nat = s->behind_nat,
				   .random = s->random,
				   .now_ms = s->now_ms,
				   .serial = s->serial,
				   .shaken = s->shaken,
				   .shaken_ms = s->shaken_ms,
				   .rekeys = s->rekeys};
}

void spw_sessions_set_initiate(struct spw_sessions *s, bool can_initiate)
{
	s->can_initiate = can_initiate;
	if (!can_initiate)
		s->shaking = false;
}

void spw_sessions_set_behind_nat(struct spw_sessions *s, bool behind_nat)
{
	s->behind_nat = behind_nat;
}

static bool take_token(struct spw_sessions *s)
{
	uint64_t gained = (s->now_ms - s->tokens_ms) / SPW_SESSION_INIT_EVERY_MS;

	s->tokens_ms += gained * SPW_SESSION_INIT_EVERY_MS;
	s->tokens = (uint32_t)min_u64(s->tokens + gained, SPW_SESSION_INITS_BURST);
	if (s->tokens == 0)
		return false;
	s->tokens--;
	return true;
}

uint32_t spw_sessions_init_heard(struct spw_sessions *s, uint64_t now_ms)
{
	uint32_t serial;

	if (!s->running)
		return 0;
	advance(s, now_ms);
	end_old(s);
	if (!take_token(s))
		return 0;
	replace_next(s);
	if (!s->larger_key) {
		s->shaking = s->awaiting = false;
		s->hold_ms = s->now_ms + SPW_SESSION_SETTLE_MS;
		give_up_coming(s);
	}
	s->next = serial = add(s, false);
	s->ops->make(s->arg, serial);
	run(s);
	return serial;
}

uint32_t spw_sessions_response_heard(struct spw_sessions *s, uint64_t now_ms)
{
	uint32_t serial;

	if (!s->running)
		return 0;
	advance(s, now_ms);
	end_old(s);
	if (!s->awaiting || s->now_ms - s->init_ms >= SPW_SESSION_SETTLE_MS)
		return 0;
	s->awaiting = false;
	s->hold_ms = s->now_ms + SPW_SESSION_SETTLE_MS;
	give_up_coming(s);
	s->coming = serial = add(s, true);
	s->ops->make(s->arg, serial);
	run(s);
	return serial;
}

static void give_up_made(struct spw_sessions *s, struct spw_session *session)
{
	bool ours = session->serial == s->coming;

	drop(s, session);
	if (ours) {
		release(s);
		s->init_at_ms = s->now_ms + retry_delay(s);
	}
}

void spw_sessions_made(struct spw_sessions *s, uint32_t serial, int error, uint64_t now_ms)
{
	struct spw_session *session = find(s, serial);

	if (!s->running || !session || session->made)
		return;
	advance(s, now_ms);
	if (error < 0) {
		give_up_made(s, session);
	} else if (is_alive(s, session)) {
		session->made = true;
		if (!session->initiator)
			s->ops->send_response(s->arg, serial);
	}
	run(s);
}

void spw_sessions_heard(struct spw_sessions *s, uint32_t serial, uint64_t now_ms)
{
	struct spw_session *session = find(s, serial);

	if (!s->running || !session)
		return;
	advance(s, now_ms);
	session->heard = true;
	s->unanswered = false;
	if (serial == s->sending && s->confirming) {
		s->confirming = false;
		release(s);
	}
	run(s);
}

static void note_worn(struct spw_sessions *s)
{
	const struct spw_session *sending = find(s, s->sending);
	uint64_t tx_packets = s->totals.tx_packets - s->base.tx_packets;
	uint64_t rx_packets = s->totals.rx_packets - s->base.rx_packets;
	uint64_t tx_bytes = s->totals.tx_bytes - s->base.tx_bytes;
	uint64_t rx_bytes = s->totals.rx_bytes - s->base.rx_bytes;
	uint64_t packets = max_u64(tx_packets, rx_packets);
	/* Each packet's last block may be a small part of one. */
	uint64_t blocks = max_u64(tx_bytes, rx_bytes) / SPW_SESSION_BLOCK_BYTES + packets;

	if (sending && sending->initiator &&
	    (packets >= SPW_SESSION_REKEY_PACKETS || blocks >= SPW_SESSION_REKEY_BLOCKS))
		s->worn = true;
}

void spw_sessions_traffic(struct spw_sessions *s, const struct spw_sessions_traffic *totals,
			  uint64_t now_ms)
{
	struct spw_sessions_traffic old = s->totals;
	bool sent, heard, heard_data;

	if (!s->running)
		return;
	advance(s, now_ms);
	s->totals = *totals;
	/* The first ones say nothing; less than before: they began anew. */
	if (!s->counted || totals->tx_packets < old.tx_packets || totals->tx_bytes < old.tx_bytes ||
	    totals->rx_packets < old.rx_packets || totals->rx_bytes < old.rx_bytes) {
		s->counted = true;
		old = s->base = *totals;
	}
	sent = totals->tx_packets > old.tx_packets;
	heard = totals->rx_packets > old.rx_packets;
	heard_data = totals->rx_bytes > old.rx_bytes;
	/* Where both happened, which was the last is not known: one dummy too many rather than a
	 * peer that waits in vain; and what was sent now is answered for, if not the next is. */
	if (sent) {
		s->sent_ms = s->now_ms;
		s->owing = false;
	}
	if (heard_data && !s->owing) {
		s->owing = true;
		s->owing_ms = s->now_ms;
	}
	if (heard) {
		s->unanswered = false;
	} else if (sent && !s->unanswered) {
		s->unanswered = true;
		s->silent_at_ms =
			s->now_ms + SPW_SESSION_SILENT_MS + draw(s) % SPW_SESSION_RETRY_JITTER_MS;
	}
	note_worn(s);
	run(s);
}

void spw_sessions_rekey(struct spw_sessions *s, uint64_t now_ms)
{
	if (!s->running)
		return;
	advance(s, now_ms);
	s->asked = true;
	run(s);
}

void spw_sessions_tick(struct spw_sessions *s, uint64_t now_ms)
{
	if (!s->running)
		return;
	advance(s, now_ms);
	run(s);
}

/* ---- questions ---------------------------------------------------------------------------- */

uint64_t spw_sessions_deadline(const struct spw_sessions *s)
{
	uint64_t at_ms = UINT64_MAX, shake_ms = reason_ms(s);

	if (!s->running)
		return at_ms;
	if (s->switch_failed)
		at_ms = s->switch_at_ms;
	for (uint32_t i = 0; i < SPW_SESSIONS_MAX; i++)
		if (s->pool[i].serial != 0 && !(s->muted && s->pool[i].serial == s->sending))
			at_ms = min_u64(at_ms, s->pool[i].born_ms + SPW_SESSION_REJECT_AFTER_MS);
	if (shake_ms != UINT64_MAX) {
		shake_ms = max_u64(shake_ms, s->hold_ms);
		at_ms = min_u64(at_ms, s->shaking ? max_u64(shake_ms, s->init_at_ms) : shake_ms);
	}
	return min_u64(at_ms, dummy_due_ms(s));
}

enum spw_sessions_state spw_sessions_state(const struct spw_sessions *s)
{
	if (!s->running)
		return SPW_SESSIONS_STOPPED;
	if (s->sending != 0 && !s->muted)
		return s->silent ? SPW_SESSIONS_SILENT : SPW_SESSIONS_UP;
	return s->can_initiate ? SPW_SESSIONS_HANDSHAKING : SPW_SESSIONS_NO_ENDPOINT;
}

void spw_sessions_status(const struct spw_sessions *s, uint64_t now_ms,
			 struct spw_sessions_status *status)
{
	*status = (struct spw_sessions_status){.state = spw_sessions_state(s),
					       .shaken = s->shaken,
					       .rekeys = s->rekeys,
					       .tries = s->tries};
	if (s->shaken && now_ms > s->shaken_ms)
		status->handshake_ms = now_ms - s->shaken_ms;
}
