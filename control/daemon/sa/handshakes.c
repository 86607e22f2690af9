/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshakes.c - the messages of handshakes, in and out; see peers.h.
 *
 * Whatever is wrong with a message, nothing is sent: it is counted under its cause. mac1 comes
 * before any other work. While many INITs come, only those get any further that bear a cookie
 * (mac2), which shows that their sender receives where it sends from.
 */
#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "control/base64.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/peers.h"

#define INDEX_TUNNEL_BITS 20u /* limits.tunnels x workers is below 2^20 */

static const char *const failure_texts[SPW_FAILURE_CNT] = {
	[SPW_FAILURE_MALFORMED] = "what came is no message of ours",
	[SPW_FAILURE_VERSION] = "the message is of another version of the protocol",
	[SPW_FAILURE_MAC1] = "its sender does not know our public key",
	[SPW_FAILURE_UNKNOWN_PEER] = "no tunnel has its public key",
	[SPW_FAILURE_NOT_AUTHENTIC] = "it is forged, or the pre-shared keys differ",
	[SPW_FAILURE_REPLAYED] = "it is a recorded one, or the peer's clock stepped back",
	[SPW_FAILURE_CIPHER] = "the peer is configured for the other `cipher`",
	[SPW_FAILURE_TERMS] = "it offers no SA",
};

/* entry: NULL where it is not known whose message it was. */
static void fail(struct spw_peers *peers, struct spw_tunnel_sas *entry,
		 enum spw_handshake_failure cause, const struct spw_message *message)
{
	struct spw_failures *failures = entry ? &entry->peer->failures : &peers->failures;
	char from[64];

	failures->cnt[cause]++;
	/* Those two happen to peers that are all right: when both begin at once, or while a
	 * dataplane starts. */
	if (cause == SPW_FAILURE_BUSY || cause == SPW_FAILURE_STALE ||
	    !spw_log_due(&failures->pause))
		return;
	spw_endpoint_format(&message->from, from, sizeof(from));
	spw_log("warning", "session",
		"%s%s: %u handshake message%s not answered, the last from %s: %s",
		entry ? "tunnel " : "node ", entry ? entry->tunnel->name : peers->sas->node->name,
		failures->pause.cnt, failures->pause.cnt == 1 ? "" : "s", from,
		failure_texts[cause]);
	spw_log_paused(&failures->pause);
}

/* ---- load --------------------------------------------------------------------------------- */

/* Whether an INIT may cost a Diffie-Hellman; otherwise a cookie may have been sent. */
static bool admit(struct spw_peers *peers, const struct spw_message *message)
{
	struct spw_cookie_source source = {.port = message->from.port};
	struct spw_wire_cookie reply;
	uint64_t now_ms = spw_boot_ms();

	if (spw_admission_unasked(&peers->admission, now_ms))
		return true;
	spw_endpoint_map(&message->from, source.address);
	if (spw_mac2_valid(peers->cookie_secret, now_ms, &source, message->data, message->bytes))
		return true;
	if (!spw_admission_cookie(&peers->admission, source.address) ||
	    spw_cookie_reply_write(peers->cookie_secret, now_ms, peers->identity, &source,
				   message->data, message->bytes, &reply) < 0)
		return false;
	peers->cookies_sent++;
	spw_messages_io_send(peers->sas->io, &message->to, &message->from, &reply, sizeof(reply));
	return false;
}

/* ---- INIT --------------------------------------------------------------------------------- */

static bool cipher_fits(const struct spw_peer *peer, const struct spw_noise_terms *terms)
{
	return terms->caps & (peer->key256 ? SPW_CAP_GCM256 : SPW_CAP_GCM128);
}

static void take_init(struct spw_tunnel_sas *entry, const struct spw_message *message,
		      const struct spw_noise_offer *offer)
{
	struct spw_handshake_result result = {.terms = &offer->terms, .init = message};
	struct spw_peers *peers = entry->sas->peers;
	struct spw_peer *peer = entry->peer;

	if (!spw_stamps_take(peers->stamps, peer->noise->public_key, &offer->made)) {
		fail(peers, entry, SPW_FAILURE_REPLAYED, message);
	} else if (!cipher_fits(peer, &offer->terms)) {
		fail(peers, entry, SPW_FAILURE_CIPHER, message);
	} else if (offer->terms.spi[0] == 0) {
		fail(peers, entry, SPW_FAILURE_TERMS, message);
	} else {
		peer->result = &result;
		if (spw_sessions_init_heard(&peer->sessions, spw_boot_ms()) == 0)
			fail(peers, entry, SPW_FAILURE_BUSY, message);
		peer->result = NULL;
		spw_peer_arm(entry);
	}
}

static void hear_init(struct spw_peers *peers, const struct spw_message *message)
{
	const struct spw_wire_init *wire = message->data;
	uint8_t key[SPW_PUBLIC_KEY_BYTES];
	struct spw_noise_offer offer;
	struct spw_tunnel_sas *entry;

	if (!spw_mac1_valid(peers->identity->mac1_key, wire, sizeof(*wire))) {
		fail(peers, NULL, SPW_FAILURE_MAC1, message);
		return;
	}
	if (!admit(peers, message))
		return;
	if (spw_noise_init_read_static(peers->answering, peers->identity, wire, key) < 0) {
		fail(peers, NULL, SPW_FAILURE_NOT_AUTHENTIC, message);
		return;
	}
	entry = spw_peer_find(peers, key);
	if (!entry)
		fail(peers, NULL, SPW_FAILURE_UNKNOWN_PEER, message);
	else if (spw_noise_init_read(peers->answering, entry->peer->noise, wire, &offer) < 0)
		fail(peers, entry, SPW_FAILURE_NOT_AUTHENTIC, message);
	else
		take_init(entry, message, &offer);
	OPENSSL_cleanse(peers->answering, sizeof(*peers->answering));
}

void spw_handshake_answer(struct spw_tunnel_sas *entry, uint32_t serial)
{
	struct spw_peer *peer = entry->peer;

	if (peer->response.serial != serial)
		return;
	spw_messages_io_send(entry->sas->io, &peer->response.from, &peer->response.to,
			     &peer->response.wire, sizeof(peer->response.wire));
}

/* ---- RESPONSE and COOKIE ------------------------------------------------------------------ */

/* The tunnel whose newest INIT has that index; NULL: none has. */
static struct spw_tunnel_sas *find_index(const struct spw_peers *peers, uint32_t index_le)
{
	const struct spw_node *node = peers->sas->node;
	uint32_t index = le32toh(index_le), id = index & ((1u << INDEX_TUNNEL_BITS) - 1);
	struct spw_tunnel_obj *tunnel =
		id < node->maps.meta->tunnels_max ? node->tunnels[id] : NULL;
	struct spw_tunnel_sas *entry = tunnel ? tunnel->sas : NULL;

	if (!entry || !entry->peer || entry->peer->handshake->role != SPW_NOISE_INITIATOR ||
	    entry->peer->handshake->local_index != index)
		return NULL;
	return entry;
}

/* A node that the peer sees at another address than its own stands behind a NAT. */
static void look_for_nat(struct spw_tunnel_sas *entry, const struct spw_noise_terms *terms)
{
	struct spw_endpoint own;
	uint8_t address[16];

	if (spw_net_source(entry->sas->node, entry->tunnel, &own) < 0)
		return;
	spw_endpoint_map(&own, address);
	spw_sessions_set_behind_nat(&entry->peer->sessions,
				    terms->port != entry->sas->node->listen_port ||
					    memcmp(address, terms->address, sizeof(address)) != 0);
}

static void take_response(struct spw_tunnel_sas *entry, const struct spw_message *message,
			  struct spw_noise_keys *keys)
{
	struct spw_peers *peers = entry->sas->peers;
	struct spw_peer *peer = entry->peer;
	struct spw_noise_answer answer;
	struct spw_handshake_result result = {.terms = &answer.terms, .keys = keys};

	if (spw_noise_response_read(peer->handshake, peers->identity, peer->noise, message->data,
				    &answer, keys) < 0) {
		fail(peers, entry, SPW_FAILURE_NOT_AUTHENTIC, message);
	} else if (!cipher_fits(peer, &answer.terms)) {
		fail(peers, entry, SPW_FAILURE_CIPHER, message);
	} else if (answer.terms.spi[0] == 0) {
		fail(peers, entry, SPW_FAILURE_TERMS, message);
	} else {
		look_for_nat(entry, &answer.terms);
		peer->result = &result;
		if (spw_sessions_response_heard(&peer->sessions, spw_boot_ms()) == 0)
			fail(peers, entry, SPW_FAILURE_STALE, message);
		peer->result = NULL;
	}
	spw_peer_arm(entry);
}

static void hear_response(struct spw_peers *peers, const struct spw_message *message)
{
	const struct spw_wire_response *wire = message->data;
	struct spw_tunnel_sas *entry;
	struct spw_noise_keys *keys;

	if (!spw_mac1_valid(peers->identity->mac1_key, wire, sizeof(*wire))) {
		fail(peers, NULL, SPW_FAILURE_MAC1, message);
		return;
	}
	entry = find_index(peers, wire->receiver_index_le);
	keys = entry ? spw_keys_alloc(peers->sas->keys) : NULL;
	if (!keys) {
		fail(peers, NULL, SPW_FAILURE_STALE, message);
		return;
	}
	take_response(entry, message, keys);
	spw_keys_free(peers->sas->keys, keys);
}

static void hear_cookie(struct spw_peers *peers, const struct spw_message *message)
{
	const struct spw_wire_cookie *wire = message->data;
	struct spw_tunnel_sas *entry = find_index(peers, wire->receiver_index_le);
	struct spw_peer *peer = entry ? entry->peer : NULL;

	if (!entry || spw_cookie_reply_read(&peer->cookie, spw_boot_ms(), peer->noise, wire) < 0) {
		fail(peers, entry, SPW_FAILURE_STALE, message);
		return;
	}
	/* At once, or a peer under load would be seconds away; but once, or a confused one would
	 * have us send as fast as it answers. */
	if (peer->cookie_answered)
		return;
	peer->cookie_answered = true;
	spw_handshake_begin(entry);
}

/* ---- sending ------------------------------------------------------------------------------ */

void spw_handshake_begin(struct spw_tunnel_sas *entry)
{
	struct spw_peer *peer = entry->peer;
	struct spw_sas *sas = entry->sas;
	struct spw_noise_offer offer = {.terms = {.caps = SPW_CAP_ESN | SPW_CAP_ROAMING,
						  .children = spw_session_children(entry),
						  .window_log2 = SPW_SA_WINDOW_LOG2,
						  .port = entry->tunnel->remote.port}};
	struct spw_wire_init wire;
	struct spw_endpoint from;
	uint32_t index;

	if (entry->tunnel->remote.family == 0 ||
	    spw_net_source(sas->node, entry->tunnel, &from) < 0 || !spw_session_offer(entry))
		return; /* tried again when it may be otherwise */
	offer.made = spw_stamps_next(sas->peers->stamps);
	offer.terms.caps |= peer->key256 ? SPW_CAP_GCM256 : SPW_CAP_GCM128;
	spw_endpoint_map(&entry->tunnel->remote, offer.terms.address);
	memcpy(offer.terms.spi, peer->offered_spi, peer->offered_cnt * sizeof(offer.terms.spi[0]));
	/* Another one for each INIT: an answer to an earlier one finds nobody. */
	index = (peer->handshake->local_index & ~((1u << INDEX_TUNNEL_BITS) - 1)) +
		(1u << INDEX_TUNNEL_BITS) + entry->tunnel->id;
	if (spw_noise_init_write(peer->handshake, sas->peers->identity, peer->noise, index, &offer,
				 &wire) < 0 ||
	    spw_cookie_add(&peer->cookie, spw_boot_ms(), &wire, sizeof(wire)) < 0) {
		spw_log("error", "session", "tunnel %s: OpenSSL cannot make a handshake",
			entry->tunnel->name);
		return;
	}
	spw_messages_io_send(sas->io, &from, &entry->tunnel->remote, &wire, sizeof(wire));
}

/* ---- receiving ---------------------------------------------------------------------------- */

void spw_handshake_receive(struct spw_peers *peers, const struct spw_message *message)
{
	const struct spw_wire_head *head = message->data;

	switch (spw_wire_type(message->data, message->bytes)) {
	case SPW_WIRE_INIT:
		hear_init(peers, message);
		break;
	case SPW_WIRE_RESPONSE:
		hear_response(peers, message);
		break;
	case SPW_WIRE_COOKIE:
		hear_cookie(peers, message);
		break;
	default:
		fail(peers, NULL,
		     message->bytes >= sizeof(*head) && head->type >= SPW_WIRE_INIT &&
				     head->type <= SPW_WIRE_COOKIE &&
				     head->version != SPW_WIRE_VERSION
			     ? SPW_FAILURE_VERSION
			     : SPW_FAILURE_MALFORMED,
		     message);
	}
}
