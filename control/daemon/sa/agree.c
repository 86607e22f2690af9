/* SPDX-License-Identifier: BSD-2-Clause */
/* agree.c - see agree.h. */
#include "control/daemon/sa/agree.h"

#include <string.h>

#define RETRY_MIN_MS 200u  /* a few round trips of a long way */
#define RETRY_MAX_MS 5000u /* a peer that comes back late is found within this time */
#define LIVENESS_MS 10000u
#define PAIR_TRIES_MAX 4u     /* then (after 3 s) the peer has probably lost the pair: new hello */
#define LIVENESS_TRIES_MAX 3u /* unanswered ones before the peer counts as silent */
/* Answers that a stranger's recordings could make us send: 8 at once, then 10 a second. */
#define ANSWERS_MAX 8u
#define ANSWER_MS 100u

void spw_agree_init(struct spw_agree *agree, const struct spw_agree_ops *ops, void *arg,
		    uint8_t children, bool key256, uint64_t peer_epoch)
{
	*agree = (struct spw_agree){.ops = ops,
				    .arg = arg,
				    .children = children,
				    .key256 = key256,
				    .peer_epoch = peer_epoch,
				    .answers = ANSWERS_MAX};
}

/* ---- sending ------------------------------------------------------------------------------ */

static struct spw_announce announce_new(const struct spw_agree *agree, const uint8_t *nonce)
{
	struct spw_announce out = {.children = agree->children, .epoch = agree->local_epoch};

	if (agree->key256)
		out.flags = SPW_ANNOUNCE_F_KEY256;
	memcpy(out.nonce, nonce, SPW_NONCE_BYTES);
	return out;
}

/* echo: whom the offer is for; NULL: nobody known, it is a hello. */
static void send_offer(struct spw_agree *agree, const struct spw_announce *echo)
{
	struct spw_announce out = announce_new(agree, agree->offer);

	if (echo) {
		out.peer_epoch = echo->epoch;
		memcpy(out.peer_nonce, echo->nonce, SPW_NONCE_BYTES);
	}
	agree->ops->send(agree->arg, &out);
}

static void send_pair(struct spw_agree *agree, const struct spw_pair *pair, bool reply)
{
	struct spw_announce out = announce_new(agree, pair->local_nonce);

	out.peer_epoch = pair->peer_epoch;
	memcpy(out.peer_nonce, pair->peer_nonce, SPW_NONCE_BYTES);
	if (reply)
		out.flags |= SPW_ANNOUNCE_F_REPLY;
	if (pair->in_ready) {
		out.flags |= SPW_ANNOUNCE_F_READY;
		memcpy(out.spi, pair->spi_in, sizeof(out.spi));
		if (pair->sending)
			out.flags |= SPW_ANNOUNCE_F_SENDING;
	}
	agree->ops->send(agree->arg, &out);
}

static bool may_answer(struct spw_agree *agree, uint64_t now_ms)
{
	uint64_t gained = (now_ms - agree->answers_ms) / ANSWER_MS;

	if (gained > 0) {
		agree->answers = gained + agree->answers < ANSWERS_MAX
					 ? (uint32_t)gained + agree->answers
					 : ANSWERS_MAX;
		agree->answers_ms += gained * ANSWER_MS;
	}
	if (agree->answers == 0)
		return false;
	agree->answers--;
	return true;
}

/* Something moved: the next message is due soon again. */
static void progress_made(struct spw_agree *agree, uint64_t now_ms)
{
	agree->tries = 0;
	agree->deadline_ms = now_ms + RETRY_MIN_MS;
}

/* ---- pairs -------------------------------------------------------------------------------- */

static bool pair_settled(const struct spw_pair *pair)
{
	return pair->sending && pair->peer_sending;
}

static bool pair_is_with(const struct spw_pair *pair, uint64_t peer_epoch, const uint8_t *nonce)
{
	return pair->peer_epoch == peer_epoch &&
	       memcmp(pair->peer_nonce, nonce, SPW_NONCE_BYTES) == 0;
}

static bool echoes(const struct spw_agree *agree, const struct spw_announce *in,
		   const uint8_t *nonce)
{
	return in->peer_epoch == agree->local_epoch &&
	       memcmp(in->peer_nonce, nonce, SPW_NONCE_BYTES) == 0;
}

static struct spw_pair *pair_of(struct spw_agree *agree, const struct spw_announce *in)
{
	if (agree->has_next && echoes(agree, in, agree->next.local_nonce) &&
	    pair_is_with(&agree->next, in->epoch, in->nonce))
		return &agree->next;
	if (agree->has_live && echoes(agree, in, agree->live.local_nonce) &&
	    pair_is_with(&agree->live, in->epoch, in->nonce))
		return &agree->live;
	return NULL;
}

static void leave_next(struct spw_agree *agree)
{
	if (agree->has_next)
		agree->ops->leave(agree->arg, agree->next.serial);
	agree->has_next = false;
}

/* The offer is echoed by a nonce that it was never bound to: this peer is alive, now. */
static void bind_offer(struct spw_agree *agree, const struct spw_announce *in, uint64_t now_ms)
{
	leave_next(agree);
	agree->next = (struct spw_pair){.serial = ++agree->serial,
					.local_epoch = agree->local_epoch,
					.peer_epoch = in->epoch,
					.peer_children = in->children};
	memcpy(agree->next.local_nonce, agree->offer, SPW_NONCE_BYTES);
	memcpy(agree->next.peer_nonce, in->nonce, SPW_NONCE_BYTES);
	agree->has_next = true;
	agree->peer_epoch = in->epoch;
	agree->ops->draw_nonce(agree->arg, agree->offer);
	progress_made(agree, now_ms);
	agree->ops->make_in(agree->arg, &agree->next);
}

static void ask_for_out(struct spw_agree *agree)
{
	struct spw_pair *next = &agree->next;

	if (!agree->has_next || !next->in_ready || !next->peer_ready || next->out_asked)
		return;
	next->out_asked = true;
	agree->ops->make_out(agree->arg, next);
}

static void settle(struct spw_agree *agree, uint64_t now_ms)
{
	agree->tries = 0;
	agree->deadline_ms = now_ms + LIVENESS_MS;
	agree->ops->settled(agree->arg, agree->live.serial);
}

static bool take_spis(const struct spw_agree *agree, struct spw_pair *pair,
		      const struct spw_announce *in)
{
	for (uint32_t i = 0; i < agree->children; i++)
		if (in->spi[i] == 0)
			return false;
	memcpy(pair->spi_out, in->spi, sizeof(pair->spi_out));
	return true;
}

/* A message of the peer about a pair that both know. */
static void hear_pair(struct spw_agree *agree, struct spw_pair *pair, const struct spw_announce *in,
		      uint64_t now_ms)
{
	uint32_t serial = pair->serial;

	if (pair == &agree->live && pair_settled(pair)) {
		agree->tries = 0; /* the peer is alive */
	} else {
		if (in->flags & SPW_ANNOUNCE_F_READY && !pair->peer_ready &&
		    take_spis(agree, pair, in)) {
			pair->peer_ready = true;
			progress_made(agree, now_ms);
		}
		if (in->flags & SPW_ANNOUNCE_F_SENDING && pair->peer_ready && !pair->peer_sending) {
			pair->peer_sending = true;
			if (pair == &agree->live && pair_settled(pair))
				settle(agree, now_ms);
		}
		ask_for_out(agree);
	}
	if (!(in->flags & SPW_ANNOUNCE_F_REPLY) || !may_answer(agree, now_ms))
		return;
	/* It may have moved from next to live, or have failed, in the calls above. */
	if (agree->has_next && agree->next.serial == serial)
		send_pair(agree, &agree->next, false);
	else if (agree->has_live && agree->live.serial == serial)
		send_pair(agree, &agree->live, false);
}

/* ---- what comes in ------------------------------------------------------------------------ */

static bool is_mine(const struct spw_agree *agree, const uint8_t *nonce)
{
	return memcmp(nonce, agree->offer, SPW_NONCE_BYTES) == 0 ||
	       (agree->has_next && memcmp(nonce, agree->next.local_nonce, SPW_NONCE_BYTES) == 0) ||
	       (agree->has_live && memcmp(nonce, agree->live.local_nonce, SPW_NONCE_BYTES) == 0);
}

static void hear_hello(struct spw_agree *agree, const struct spw_announce *in, uint64_t now_ms)
{
	/* The peer has bound this nonce, or sent it as an answer: an old copy, or it waits for us.
	 */
	if (agree->has_live && pair_is_with(&agree->live, in->epoch, in->nonce))
		return;
	if (!may_answer(agree, now_ms))
		return;
	if (agree->has_next && pair_is_with(&agree->next, in->epoch, in->nonce))
		send_pair(agree, &agree->next, true);
	else
		send_offer(agree, in);
}

void spw_agree_receive(struct spw_agree *agree, const struct spw_announce *in, uint64_t now_ms)
{
	struct spw_pair *pair;
	bool key256 = in->flags & SPW_ANNOUNCE_F_KEY256;

	if (!agree->running || is_mine(agree, in->nonce) || in->epoch < agree->peer_epoch)
		return;
	pair = pair_of(agree, in);
	if (pair) {
		hear_pair(agree, pair, in, now_ms);
	} else if (in->peer_epoch == 0) {
		hear_hello(agree, in, now_ms);
	} else if (echoes(agree, in, agree->offer)) {
		agree->other_cipher = key256 != agree->key256;
		if (agree->other_cipher)
			return;
		bind_offer(agree, in, now_ms);
		/* It failed at once where next is not this pair. */
		pair = pair_of(agree, in);
		if (pair)
			hear_pair(agree, pair, in, now_ms);
	} else if (!agree->has_next && !agree->has_live && may_answer(agree, now_ms)) {
		/* The peer talks to one who was here before us: it may not hear our hellos. */
		send_offer(agree, NULL);
	}
}

/* ---- time --------------------------------------------------------------------------------- */

static void retry_later(struct spw_agree *agree, uint64_t now_ms)
{
	uint32_t shift = agree->tries < 5 ? agree->tries : 5;
	uint64_t delay_ms = (uint64_t)RETRY_MIN_MS << shift;

	agree->deadline_ms = now_ms + (delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS);
	agree->tries++;
}

void spw_agree_tick(struct spw_agree *agree, uint64_t now_ms)
{
	if (!agree->running || now_ms < agree->deadline_ms)
		return;
	if (agree->has_next && agree->tries >= PAIR_TRIES_MAX)
		leave_next(agree);
	if (agree->has_next) {
		send_pair(agree, &agree->next, true);
		retry_later(agree, now_ms);
	} else if (agree->has_live && pair_settled(&agree->live)) {
		send_pair(agree, &agree->live, true);
		agree->tries++;
		agree->deadline_ms = now_ms + LIVENESS_MS;
		if (agree->tries > LIVENESS_TRIES_MAX) {
			send_offer(agree, NULL);
			agree->deadline_ms = now_ms + RETRY_MAX_MS;
		}
	} else {
		if (agree->has_live)
			send_pair(agree, &agree->live, true);
		if (!agree->has_live || agree->tries >= PAIR_TRIES_MAX)
			send_offer(agree, NULL);
		retry_later(agree, now_ms);
	}
}

uint64_t spw_agree_deadline(const struct spw_agree *agree)
{
	return agree->running ? agree->deadline_ms : UINT64_MAX;
}

void spw_agree_start(struct spw_agree *agree, uint64_t local_epoch, uint64_t now_ms)
{
	agree->running = true;
	agree->has_next = agree->has_live = agree->other_cipher = false;
	agree->local_epoch = local_epoch;
	agree->tries = 0;
	agree->answers_ms = now_ms;
	agree->deadline_ms = now_ms;
	agree->ops->draw_nonce(agree->arg, agree->offer);
	spw_agree_tick(agree, now_ms);
}

void spw_agree_stop(struct spw_agree *agree)
{
	agree->running = agree->has_next = agree->has_live = false;
}

/* ---- answers of the dataplane ------------------------------------------------------------- */

static void give_up(struct spw_agree *agree, uint64_t now_ms)
{
	leave_next(agree);
	retry_later(agree, now_ms);
}

void spw_agree_in_made(struct spw_agree *agree, uint32_t serial, int error,
		       const uint32_t spi_in[SPW_WORKERS_MAX], uint64_t now_ms)
{
	if (!agree->running || !agree->has_next || agree->next.serial != serial)
		return;
	if (error < 0) {
		give_up(agree, now_ms);
		return;
	}
	memcpy(agree->next.spi_in, spi_in, sizeof(agree->next.spi_in));
	agree->next.in_ready = true;
	send_pair(agree, &agree->next, true);
	progress_made(agree, now_ms);
	ask_for_out(agree);
}

void spw_agree_out_made(struct spw_agree *agree, uint32_t serial, int error, uint64_t now_ms)
{
	uint32_t old = agree->has_live ? agree->live.serial : 0;

	if (!agree->running || !agree->has_next || agree->next.serial != serial)
		return;
	if (error < 0) {
		give_up(agree, now_ms);
		return;
	}
	agree->live = agree->next;
	agree->live.sending = true;
	agree->has_live = true;
	agree->has_next = false;
	if (old)
		agree->ops->leave(agree->arg, old);
	send_pair(agree, &agree->live, !pair_settled(&agree->live));
	progress_made(agree, now_ms);
	if (pair_settled(&agree->live))
		settle(agree, now_ms);
}

enum spw_agree_state spw_agree_state(const struct spw_agree *agree)
{
	if (!agree->running)
		return SPW_AGREE_STOPPED;
	if (agree->has_live)
		return pair_settled(&agree->live) && agree->tries > LIVENESS_TRIES_MAX
			       ? SPW_AGREE_SILENT
			       : SPW_AGREE_UP;
	if (agree->other_cipher)
		return SPW_AGREE_CIPHER;
	return agree->has_next ? SPW_AGREE_AGREEING : SPW_AGREE_WAITING;
}
