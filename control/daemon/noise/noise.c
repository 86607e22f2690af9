/* SPDX-License-Identifier: BSD-2-Clause */
/* noise.c - see noise.h. */
#include "control/daemon/noise/noise.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "control/daemon/noise/cookie.h"
#include "control/daemon/noise/ik.h"

#define LABEL_MAC1 "mac1----"
#define LABEL_COOKIE "cookie--"

static const char prologue[] = {
	'r', 'e', 'l', 'a', 'y', '-', 'n', 'o', 'i', 's', 'e', ' ', 'v', '1', SPW_WIRE_VERSION};

/* ---- keys --------------------------------------------------------------------------------- */

int spw_noise_public(const uint8_t private_key[SPW_WIRE_KEY_BYTES],
		     uint8_t public_key[SPW_WIRE_KEY_BYTES])
{
	return spw_x25519_public(private_key, public_key);
}

static int label_key(const char *label, const uint8_t public_key[SPW_WIRE_KEY_BYTES],
		     uint8_t key[SPW_HASH_BYTES])
{
	struct spw_bytes parts[] = {{label, strlen(label)}, {public_key, SPW_WIRE_KEY_BYTES}};

	return spw_sha256(parts, 2, key);
}

int spw_noise_identity_init(struct spw_noise_identity *identity,
			    const uint8_t private_key[SPW_WIRE_KEY_BYTES])
{
	const uint8_t *public_key = identity->pair.public_key;
	int err;

	memcpy(identity->pair.private_key, private_key, SPW_WIRE_KEY_BYTES);
	err = spw_x25519_public(private_key, identity->pair.public_key);
	if (err == 0)
		err = label_key(LABEL_MAC1, public_key, identity->mac1_key);
	if (err == 0)
		err = label_key(LABEL_COOKIE, public_key, identity->cookie_key);
	if (err)
		OPENSSL_cleanse(identity, sizeof(*identity));
	return err;
}

int spw_noise_peer_init(struct spw_noise_peer *peer, const struct spw_noise_identity *identity,
			const uint8_t public_key[SPW_WIRE_KEY_BYTES],
			const uint8_t psk[SPW_WIRE_KEY_BYTES])
{
	int err = spw_x25519(&identity->pair, public_key, peer->static_static);

	memcpy(peer->public_key, public_key, SPW_WIRE_KEY_BYTES);
	memset(peer->psk, 0, SPW_WIRE_KEY_BYTES);
	if (psk)
		memcpy(peer->psk, psk, SPW_WIRE_KEY_BYTES);
	if (err == 0)
		err = label_key(LABEL_MAC1, public_key, peer->mac1_key);
	if (err == 0)
		err = label_key(LABEL_COOKIE, public_key, peer->cookie_key);
	if (err)
		OPENSSL_cleanse(peer, sizeof(*peer));
	return err;
}

/* ---- payloads ----------------------------------------------------------------------------- */

static void terms_write(const struct spw_noise_terms *terms, struct spw_wire_terms *wire)
{
	wire->caps_le = htole32(terms->caps);
	wire->children = terms->children;
	wire->window_log2 = terms->window_log2;
	wire->mtu_bytes_le = htole16(terms->mtu_bytes);
	for (uint32_t i = 0; i < SPW_SESSION_CHILDREN_MAX; i++)
		wire->spi_be[i] = htobe32(terms->spi[i]);
	memcpy(wire->address, terms->address, sizeof(wire->address));
	wire->port_le = htole16(terms->port);
}

static int terms_read(const struct spw_wire_terms *wire, struct spw_noise_terms *terms)
{
	*terms = (struct spw_noise_terms){
		.caps = le32toh(wire->caps_le),
		.children = wire->children,
		.window_log2 = wire->window_log2,
		.mtu_bytes = le16toh(wire->mtu_bytes_le),
		.port = le16toh(wire->port_le),
	};
	memcpy(terms->address, wire->address, sizeof(terms->address));
	if (terms->children == 0 || terms->children > SPW_SESSION_CHILDREN_MAX ||
	    terms->window_log2 < SPW_WINDOW_LOG2_MIN || terms->window_log2 > SPW_WINDOW_LOG2_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < SPW_SESSION_CHILDREN_MAX; i++) {
		terms->spi[i] = be32toh(wire->spi_be[i]);
		if (terms->spi[i] != 0 && terms->spi[i] < SPW_SPI_LEAST)
			return -EBADMSG;
	}
	return 0;
}

/* ---- INIT --------------------------------------------------------------------------------- */

static void wipe(struct spw_noise_handshake *handshake)
{
	OPENSSL_cleanse(handshake, sizeof(*handshake));
}

int spw_noise_init_write(struct spw_noise_handshake *handshake,
			 const struct spw_noise_identity *identity,
			 const struct spw_noise_peer *peer, uint32_t sender_index,
			 const struct spw_noise_offer *offer, struct spw_wire_init *wire)
{
	struct spw_ik ik = {
		.state = &handshake->symmetric,
		.psk = peer->psk,
		.own = &identity->pair,
		.ephemeral = &handshake->ephemeral,
		.remote_static = peer->public_key,
		.static_static = peer->static_static,
	};
	struct spw_wire_offer payload = {0};
	int err;

	*handshake = (struct spw_noise_handshake){
		.local_index = sender_index,
		.role = SPW_NOISE_INITIATOR,
	};
	*wire = (struct spw_wire_init){
		.head = {.type = SPW_WIRE_INIT, .version = SPW_WIRE_VERSION},
		.sender_index_le = htole32(sender_index),
	};
	memcpy(payload.made, offer->made.bytes, sizeof(payload.made));
	terms_write(&offer->terms, &payload.terms);
	err = spw_x25519_generate(&handshake->ephemeral);
	if (err == 0)
		err = spw_ik_start(&ik, prologue, sizeof(prologue), peer->public_key);
	if (err == 0)
		err = spw_ik_first_write(&ik, &payload, sizeof(payload), wire->ephemeral);
	if (err == 0)
		err = spw_mac1_write(peer->mac1_key, wire, sizeof(*wire));
	if (err)
		wipe(handshake);
	return err;
}

int spw_noise_init_read_static(struct spw_noise_handshake *handshake,
			       const struct spw_noise_identity *identity,
			       const struct spw_wire_init *wire,
			       uint8_t public_key[SPW_WIRE_KEY_BYTES])
{
	/* Which psk is not known before the peer is; that there is one decides the pattern. */
	static const uint8_t any_psk[SPW_WIRE_KEY_BYTES];
	struct spw_ik ik = {
		.state = &handshake->symmetric,
		.psk = any_psk,
		.own = &identity->pair,
	};
	int err;

	*handshake = (struct spw_noise_handshake){
		.remote_index = le32toh(wire->sender_index_le),
		.role = SPW_NOISE_RESPONDER_STATIC,
	};
	memcpy(handshake->remote_ephemeral, wire->ephemeral, SPW_WIRE_KEY_BYTES);
	err = spw_ik_start(&ik, prologue, sizeof(prologue), identity->pair.public_key);
	if (err == 0)
		err = spw_ik_first_read_static(&ik, wire->ephemeral, public_key);
	if (err)
		wipe(handshake);
	return err;
}

int spw_noise_init_read(struct spw_noise_handshake *handshake, const struct spw_noise_peer *peer,
			const struct spw_wire_init *wire, struct spw_noise_offer *offer)
{
	struct spw_ik ik = {
		.state = &handshake->symmetric,
		.psk = peer->psk,
		.static_static = peer->static_static,
	};
	struct spw_wire_offer payload;
	int err = -EBADMSG;

	if (handshake->role == SPW_NOISE_RESPONDER_STATIC)
		err = spw_ik_first_read(&ik, wire->ephemeral, &payload, sizeof(payload));
	if (err == 0)
		err = terms_read(&payload.terms, &offer->terms);
	if (err) {
		wipe(handshake);
		return err;
	}
	memcpy(offer->made.bytes, payload.made, sizeof(payload.made));
	handshake->role = SPW_NOISE_RESPONDER;
	return 0;
}

/* ---- RESPONSE ----------------------------------------------------------------------------- */

static int keys_out(const struct spw_symmetric *state, bool initiator, struct spw_noise_keys *keys)
{
	uint8_t *first = initiator ? keys->k_send : keys->k_receive;
	uint8_t *second = initiator ? keys->k_receive : keys->k_send;

	memcpy(keys->handshake_hash, state->hash, SPW_HASH_BYTES);
	return spw_symmetric_split(state, first, second);
}

int spw_noise_response_write(struct spw_noise_handshake *handshake,
			     const struct spw_noise_peer *peer, uint32_t sender_index,
			     const struct spw_noise_answer *answer, struct spw_wire_response *wire,
			     struct spw_noise_keys *keys)
{
	struct spw_key_pair ephemeral;
	struct spw_ik ik = {
		.state = &handshake->symmetric,
		.psk = peer->psk,
		.ephemeral = &ephemeral,
		.remote_static = peer->public_key,
		.remote_ephemeral = handshake->remote_ephemeral,
	};
	struct spw_wire_answer payload = {0};
	int err = handshake->role == SPW_NOISE_RESPONDER ? 0 : -EBADMSG;

	*wire = (struct spw_wire_response){
		.head = {.type = SPW_WIRE_RESPONSE, .version = SPW_WIRE_VERSION},
		.sender_index_le = htole32(sender_index),
		.receiver_index_le = htole32(handshake->remote_index),
	};
	terms_write(&answer->terms, &payload.terms);
	if (err == 0)
		err = spw_x25519_generate(&ephemeral);
	if (err == 0)
		err = spw_ik_second_write(&ik, &payload, sizeof(payload), wire->ephemeral);
	if (err == 0)
		err = spw_mac1_write(peer->mac1_key, wire, sizeof(*wire));
	if (err == 0)
		err = keys_out(&handshake->symmetric, false, keys);
	wipe(handshake);
	OPENSSL_cleanse(&ephemeral, sizeof(ephemeral));
	return err;
}

int spw_noise_response_read(struct spw_noise_handshake *handshake,
			    const struct spw_noise_identity *identity,
			    const struct spw_noise_peer *peer, const struct spw_wire_response *wire,
			    struct spw_noise_answer *answer, struct spw_noise_keys *keys)
{
	struct spw_symmetric state = handshake->symmetric;
	struct spw_ik ik = {
		.state = &state,
		.psk = peer->psk,
		.own = &identity->pair,
		.ephemeral = &handshake->ephemeral,
	};
	struct spw_noise_answer read;
	struct spw_wire_answer payload;
	int err = -EBADMSG;

	if (handshake->role == SPW_NOISE_INITIATOR &&
	    le32toh(wire->receiver_index_le) == handshake->local_index)
		err = spw_ik_second_read(&ik, wire->ephemeral, &payload, sizeof(payload));
	if (err == 0)
		err = terms_read(&payload.terms, &read.terms);
	if (err == 0)
		err = keys_out(&state, true, keys);
	if (err == 0) {
		*answer = read;
		wipe(handshake);
	}
	OPENSSL_cleanse(&state, sizeof(state));
	return err;
}

/* ---- SAs ---------------------------------------------------------------------------------- */

#define LABEL_SA "relay esp"
#define DERIVATION_VERSION 1u

struct __attribute__((packed)) sa_info {
	char label[sizeof(LABEL_SA) - 1];
	uint8_t version;
	uint8_t algorithm; /* number of the bit in enum spw_session_cap */
	uint8_t child;
	uint32_t spi_be;
	uint8_t handshake_hash[SPW_HASH_BYTES];
};
static_assert(sizeof(struct sa_info) == 48, "info layout");

int spw_noise_sa_derive(const struct spw_noise_keys *keys, bool sending, uint16_t key_bits,
			uint8_t child, uint32_t spi, struct spw_sa_secret *out)
{
	struct sa_info info = {
		.version = DERIVATION_VERSION,
		.algorithm = key_bits / 128,
		.child = child,
		.spi_be = htobe32(spi),
	};

	if (key_bits != 128 && key_bits != 256)
		return -EINVAL;
	memcpy(info.label, LABEL_SA, sizeof(info.label));
	memcpy(info.handshake_hash, keys->handshake_hash, SPW_HASH_BYTES);
	return spw_sa_secret_expand(sending ? keys->k_send : keys->k_receive, &info, sizeof(info),
				    key_bits / 8, out);
}
