/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_sas.c - the SAs of sessions: what the rules of session/sessions.h ask for; see peers.h.
 *
 * Both sides offer SPIs, one for each child (worker) that the other is to send with. Where one has
 * more workers than it got SPIs, several share an outbound SA, which one of them owns. We offer as
 * many as the peer said last that it has children, so that this ends with the second handshake.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/log.h"
#include "control/daemon/sa/peers.h"
#include "control/daemon/sa/sets.h"

/* INITs of ours in a second, for all tunnels. One costs 100 to 160 us: a third of a core at most,
 * however many tunnels start at once or have peers that are not there. */
#define INITS_PER_SECOND 2000u

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* SPIs that the other side has offered. */
static uint32_t offered_cnt(const struct spw_noise_terms *terms)
{
	uint32_t cnt = 0;

	while (cnt < SPW_SESSION_CHILDREN_MAX && terms->spi[cnt])
		cnt++;
	return cnt;
}

uint8_t spw_session_children(const struct spw_tunnel_sas *entry)
{
	return (uint8_t)smaller(entry->sas->node->workers, SPW_SESSION_CHILDREN_MAX);
}

/* ---- SPIs of our INIT --------------------------------------------------------------------- */

bool spw_session_offer(struct spw_tunnel_sas *entry)
{
	struct spw_peer *peer = entry->peer;
	uint8_t cnt = spw_session_children(entry);

	if (cnt < peer->peer_children)
		cnt = (uint8_t)smaller(peer->peer_children, SPW_SESSION_CHILDREN_MAX);
	if (peer->offered_cnt == cnt)
		return true; /* of an INIT before, whose keys nobody has */
	spw_session_offer_free(entry);
	if (!spw_set_take_in(entry, peer->offered_slot, peer->offered_spi, cnt))
		return false;
	peer->offered_cnt = cnt;
	return true;
}

static void free_offered_from(struct spw_tunnel_sas *entry, uint32_t first)
{
	struct spw_peer *peer = entry->peer;

	for (uint32_t i = first; i < peer->offered_cnt; i++)
		spw_slots_free(entry->sas->node->spi_slots, peer->offered_slot[i]);
	peer->offered_cnt = 0;
}

void spw_session_offer_free(struct spw_tunnel_sas *entry)
{
	free_offered_from(entry, 0);
}

/* ---- making a session --------------------------------------------------------------------- */

/* The inbound SAs' slots and SPIs: as many as the peer has children. */
static bool take_in(struct spw_tunnel_sas *entry, struct spw_sa_set *set, uint32_t *cnt)
{
	struct spw_peer *peer = entry->peer;

	*cnt = peer->result->terms->children;
	if (peer->result->init)
		return spw_set_take_in(entry, set->in_slot, set->spi_in, *cnt);
	*cnt = smaller(*cnt, peer->offered_cnt);
	memcpy(set->in_slot, peer->offered_slot, *cnt * sizeof(set->in_slot[0]));
	memcpy(set->spi_in, peer->offered_spi, *cnt * sizeof(set->spi_in[0]));
	free_offered_from(entry, *cnt);
	return *cnt > 0;
}

/* Writes the answer to the peer's INIT, which gives the keys. */
static int write_response(struct spw_tunnel_sas *entry, const struct spw_sa_set *set,
			  struct spw_noise_keys *keys)
{
	const struct spw_message *init = entry->peer->result->init;
	struct spw_peer *peer = entry->peer;
	struct spw_noise_answer answer = {
		.terms = {.caps = peer->result->terms->caps & (SPW_CAP_ESN | SPW_CAP_ROAMING),
			  .children = spw_session_children(entry),
			  .window_log2 = SPW_SA_WINDOW_LOG2,
			  .port = init->from.port}};
	int err;

	answer.terms.caps |= peer->key256 ? SPW_CAP_GCM256 : SPW_CAP_GCM128;
	spw_endpoint_map(&init->from, answer.terms.address);
	memcpy(answer.terms.spi, set->spi_in, sizeof(answer.terms.spi));
	err = spw_noise_response_write(entry->sas->peers->answering, peer->noise, entry->tunnel->id,
				       &answer, &peer->response.wire, keys);
	peer->response.serial = set->serial;
	peer->response.from = init->to;
	peer->response.to = init->from;
	return err;
}

static void add_sa(struct spw_tunnel_sas *entry, struct spw_sa_set *set, struct spw_msg_sa_add *msg,
		   const struct spw_noise_keys *keys, uint8_t child)
{
	bool out = msg->direction == SPW_SA_OUT;
	bool esn = entry->peer->result->terms->caps & SPW_CAP_ESN;
	uint16_t key_bits = entry->peer->key256 ? 256 : 128;
	struct spw_sa_secret secret;

	msg->key_bytes = key_bits / 8;
	msg->flags |= esn ? SPW_SA_F_ESN : 0;
	msg->lifetime_ms = SPW_SESSION_REJECT_AFTER_MS;
	msg->limit = UINT64_MAX;
	if (out)
		msg->limit = esn ? SPW_SESSION_REJECT_PACKETS : SPW_SESSION_REJECT_PACKETS_NO_ESN;
	if (set->error == 0)
		set->error = spw_noise_sa_derive(keys, out, key_bits, child, msg->spi, &secret);
	spw_set_ask(entry, set, msg, &secret);
	OPENSSL_cleanse(&secret, sizeof(secret));
}

static void add_all(struct spw_tunnel_sas *entry, struct spw_sa_set *set, uint32_t in_cnt,
		    const struct spw_noise_keys *keys)
{
	const struct spw_noise_terms *terms = entry->peer->result->terms;
	uint32_t workers = entry->sas->node->workers;

	for (uint32_t c = 0; c < in_cnt; c++) {
		struct spw_msg_sa_add msg = {.direction = SPW_SA_IN,
					     .slot = set->in_slot[c],
					     .spi = set->spi_in[c],
					     .worker = c % workers,
					     .flags = SPW_SA_F_SESSION,
					     .window_packets = 1u << SPW_SA_WINDOW_LOG2};
		add_sa(entry, set, &msg, keys, (uint8_t)c);
	}
	for (uint32_t c = 0; c < SPW_SESSION_CHILDREN_MAX && set->out_slot[c]; c++) {
		struct spw_msg_sa_add msg = {.direction = SPW_SA_OUT,
					     .slot = set->out_slot[c],
					     .spi = terms->spi[c],
					     .worker = c,
					     .sequence = 1};
		set->spi_out[c] = terms->spi[c];
		add_sa(entry, set, &msg, keys, (uint8_t)c);
	}
}

static void op_make(void *arg, uint32_t serial)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_peer *peer = entry->peer;
	const struct spw_handshake_result *result = peer->result;
	uint32_t in_cnt, out_cnt = smaller(spw_session_children(entry), offered_cnt(result->terms));
	struct spw_sa_set *set = spw_set_new(entry, serial);
	struct spw_noise_keys *keys = spw_keys_alloc(entry->sas->keys);
	int err = set && keys ? 0 : -ENOSPC;

	if (err == 0 &&
	    (!take_in(entry, set, &in_cnt) || !spw_set_take_out(entry, set->out_slot, out_cnt)))
		err = -ENOSPC;
	if (err == 0 && result->init)
		err = write_response(entry, set, keys);
	else if (err == 0)
		*keys = *result->keys;
	if (set)
		set->error = err;
	if (err == 0) {
		peer->peer_children = result->terms->children;
		add_all(entry, set, in_cnt, keys);
	}
	spw_keys_free(entry->sas->keys, keys);
	if (set)
		spw_set_asked(entry, set);
	else
		spw_sessions_made(&peer->sessions, serial, err, spw_boot_ms());
}

void spw_session_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	spw_sessions_made(&entry->peer->sessions, set->serial, set->error, spw_boot_ms());
	spw_peer_arm(entry);
}

/* ---- using and ending it ------------------------------------------------------------------ */

static uint64_t op_init_turn(void *arg, uint64_t now_ms)
{
	struct spw_tunnel_sas *entry = arg;
	uint64_t *turn_us = &entry->sas->peers->turn_us, at_us = now_ms * 1000;

	if (at_us < *turn_us)
		at_us = *turn_us;
	*turn_us = at_us + 1000000 / INITS_PER_SECOND;
	return (at_us + 999) / 1000;
}

static void op_send_init(void *arg)
{
	struct spw_tunnel_sas *entry = arg;

	entry->peer->cookie_answered = false;
	spw_handshake_begin(entry);
}

static void op_send_response(void *arg, uint32_t serial)
{
	spw_handshake_answer(arg, serial);
}

static int op_send_with(void *arg, uint32_t serial)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_peer *peer = entry->peer;
	const struct spw_sa_set *set = serial ? spw_set_find(entry, serial) : NULL;
	uint32_t cnt = 0, former = peer->sending;
	int err;

	while (set && cnt < SPW_SESSION_CHILDREN_MAX && set->out_slot[cnt])
		cnt++;
	err = spw_sets_send_with(entry, set, cnt);
	if (err < 0)
		return err;
	peer->sending = serial;
	/* What it sent with goes, what it receives with stays until `drop`. */
	if (former && former != serial)
		spw_sets_leave(entry, former);
	spw_peer_follow_live(entry);
	return 0;
}

static void dummy_answered(void *arg, int error, uint64_t value)
{
	(void)error, (void)value;
	spw_tunnel_sas_unref(arg);
}

static void op_send_dummy(void *arg)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_msg_dummy msg = {.head.type = SPW_MSG_DUMMY, .slot = entry->tunnel->tx_sa[0]};

	/* One that is lost is as good as one that was not sent: the rules repeat it. */
	if (msg.slot != 0 &&
	    spw_link_request(entry->sas->node->link, &msg, sizeof(msg), dummy_answered, entry) == 0)
		entry->refs++;
}

static void op_drop(void *arg, uint32_t serial)
{
	spw_sets_leave(arg, serial);
	spw_set_retire(arg, serial);
}

const struct spw_sessions_ops spw_session_ops = {
	.init_turn = op_init_turn,
	.send_init = op_send_init,
	.make = op_make,
	.send_response = op_send_response,
	.send_with = op_send_with,
	.send_dummy = op_send_dummy,
	.drop = op_drop,
};
