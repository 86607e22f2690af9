/* SPDX-License-Identifier: BSD-2-Clause */
/* ik.c - see ik.h. */
#include "control/daemon/noise/ik.h"

#include <openssl/crypto.h>
#include <string.h>

#define PROTOCOL_IK "Noise_IK_25519_AESGCM_SHA256"
#define PROTOCOL_IKPSK2 "Noise_IKpsk2_25519_AESGCM_SHA256"

int spw_ik_start(const struct spw_ik *ik, const void *prologue, size_t bytes,
		 const uint8_t responder_public[SPW_WIRE_KEY_BYTES])
{
	int err = spw_symmetric_start(ik->state, ik->psk ? PROTOCOL_IKPSK2 : PROTOCOL_IK, prologue,
				      bytes);

	return err ? err : spw_symmetric_mix_hash(ik->state, responder_public, SPW_WIRE_KEY_BYTES);
}

/* Token e. With a psk it also goes into the key (Noise 9.2). */
static int mix_ephemeral(const struct spw_ik *ik, const uint8_t public_key[SPW_WIRE_KEY_BYTES])
{
	int err = spw_symmetric_mix_hash(ik->state, public_key, SPW_WIRE_KEY_BYTES);

	return err || !ik->psk ? err : spw_symmetric_mix_key(ik->state, public_key);
}

/* Tokens ee, es, se. */
static int mix_dh(const struct spw_ik *ik, const struct spw_key_pair *pair,
		  const uint8_t public_key[SPW_WIRE_KEY_BYTES])
{
	uint8_t secret[SPW_WIRE_KEY_BYTES];
	int err = spw_x25519(pair, public_key, secret);

	if (err == 0)
		err = spw_symmetric_mix_key(ik->state, secret);
	OPENSSL_cleanse(secret, sizeof(secret));
	return err;
}

static int mix_psk(const struct spw_ik *ik)
{
	return ik->psk ? spw_symmetric_mix_key_and_hash(ik->state, ik->psk) : 0;
}

int spw_ik_first_write(const struct spw_ik *ik, const void *payload, size_t bytes, uint8_t *message)
{
	uint8_t *sealed_static = message + SPW_WIRE_KEY_BYTES;
	uint8_t *sealed_payload = sealed_static + SPW_IK_SEALED_STATIC_BYTES;
	int err = mix_ephemeral(ik, ik->ephemeral->public_key);

	memcpy(message, ik->ephemeral->public_key, SPW_WIRE_KEY_BYTES);
	if (err == 0)
		err = mix_dh(ik, ik->ephemeral, ik->remote_static);
	if (err == 0)
		err = spw_symmetric_seal(ik->state, ik->own->public_key, SPW_WIRE_KEY_BYTES,
					 sealed_static);
	if (err == 0)
		err = spw_symmetric_mix_key(ik->state, ik->static_static);
	return err ? err : spw_symmetric_seal(ik->state, payload, bytes, sealed_payload);
}

int spw_ik_first_read_static(const struct spw_ik *ik, const uint8_t *message,
			     uint8_t remote_static[SPW_WIRE_KEY_BYTES])
{
	int err = mix_ephemeral(ik, message);

	if (err == 0)
		err = mix_dh(ik, ik->own, message);
	return err ? err
		   : spw_symmetric_open(ik->state, message + SPW_WIRE_KEY_BYTES, SPW_WIRE_KEY_BYTES,
					remote_static);
}

int spw_ik_first_read(const struct spw_ik *ik, const uint8_t *message, void *payload, size_t bytes)
{
	const uint8_t *sealed = message + SPW_WIRE_KEY_BYTES + SPW_IK_SEALED_STATIC_BYTES;
	int err = spw_symmetric_mix_key(ik->state, ik->static_static);

	return err ? err : spw_symmetric_open(ik->state, sealed, bytes, payload);
}

int spw_ik_second_write(const struct spw_ik *ik, const void *payload, size_t bytes,
			uint8_t *message)
{
	int err = mix_ephemeral(ik, ik->ephemeral->public_key);

	memcpy(message, ik->ephemeral->public_key, SPW_WIRE_KEY_BYTES);
	if (err == 0)
		err = mix_dh(ik, ik->ephemeral, ik->remote_ephemeral);
	if (err == 0)
		err = mix_dh(ik, ik->ephemeral, ik->remote_static);
	if (err == 0)
		err = mix_psk(ik);
	return err ? err
		   : spw_symmetric_seal(ik->state, payload, bytes, message + SPW_WIRE_KEY_BYTES);
}

int spw_ik_second_read(const struct spw_ik *ik, const uint8_t *message, void *payload, size_t bytes)
{
	int err = mix_ephemeral(ik, message);

	if (err == 0)
		err = mix_dh(ik, ik->ephemeral, message);
	if (err == 0)
		err = mix_dh(ik, ik->own, message);
	if (err == 0)
		err = mix_psk(ik);
	return err ? err
		   : spw_symmetric_open(ik->state, message + SPW_WIRE_KEY_BYTES, bytes, payload);
}
