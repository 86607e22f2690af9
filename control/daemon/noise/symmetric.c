/* SPDX-License-Identifier: BSD-2-Clause */
/* symmetric.c - see symmetric.h. */
#include "control/daemon/noise/symmetric.h"

#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <string.h>

/* ---- X25519 ------------------------------------------------------------------------------- */

/* NULL: failed. private_key may be NULL. With both given OpenSSL computes neither from the other,
 * which would cost as much as a shared secret. */
static EVP_PKEY *x25519_key(const uint8_t *private_key, const uint8_t *public_key)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	EVP_PKEY *key = NULL;
	OSSL_PARAM params[3];
	unsigned int cnt = 0;

	if (public_key)
		params[cnt++] = OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, (void *)public_key, SPW_WIRE_KEY_BYTES);
	if (private_key)
		params[cnt++] = OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PRIV_KEY, (void *)private_key, SPW_WIRE_KEY_BYTES);
	params[cnt] = OSSL_PARAM_construct_end();
	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, private_key ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
			      params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

int spw_x25519_public(const uint8_t private_key[SPW_WIRE_KEY_BYTES],
		      uint8_t public_key[SPW_WIRE_KEY_BYTES])
{
	EVP_PKEY *key = x25519_key(private_key, NULL);
	size_t bytes = SPW_WIRE_KEY_BYTES;
	int err = key && EVP_PKEY_get_raw_public_key(key, public_key, &bytes) == 1 ? 0 : -EIO;

	EVP_PKEY_free(key);
	return err;
}

int spw_x25519_generate(struct spw_key_pair *pair)
{
	if (RAND_priv_bytes(pair->private_key, sizeof(pair->private_key)) != 1)
		return -EIO;
	return spw_x25519_public(pair->private_key, pair->public_key);
}

int spw_x25519(const struct spw_key_pair *pair, const uint8_t public_key[SPW_WIRE_KEY_BYTES],
	       uint8_t secret[SPW_WIRE_KEY_BYTES])
{
	static const uint8_t zero[SPW_WIRE_KEY_BYTES];
	EVP_PKEY *own = x25519_key(pair->private_key, pair->public_key);
	EVP_PKEY *peer = x25519_key(NULL, public_key);
	EVP_PKEY_CTX *context = own ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL) : NULL;
	size_t bytes = SPW_WIRE_KEY_BYTES;
	int err = -EIO;

	memset(secret, 0, SPW_WIRE_KEY_BYTES);
	if (peer && context && EVP_PKEY_derive_init(context) == 1 &&
	    EVP_PKEY_derive_set_peer_ex(context, peer, 0) == 1) {
		/* OpenSSL fails when the result is all zero (RFC 7748 6.1); that it does is not
		 * relied on. */
		err = EVP_PKEY_derive(context, secret, &bytes) == 1 &&
				      CRYPTO_memcmp(secret, zero, sizeof(zero)) != 0
			      ? 0
			      : -EKEYREJECTED;
	}
	if (err)
		ERR_clear_error(); /* forged messages must not fill the queue */
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(own);
	return err;
}

/* ---- AES-256-GCM -------------------------------------------------------------------------- */

/* A context for one message: freed, it leaves no round keys behind. NULL: failed. */
static EVP_CIPHER_CTX *gcm_begin(const uint8_t *key, const uint8_t *iv, struct spw_bytes aad,
				 int encrypt)
{
	static EVP_CIPHER *gcm;
	EVP_CIPHER_CTX *context;
	int bytes;

	if (!gcm)
		gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	context = gcm ? EVP_CIPHER_CTX_new() : NULL;
	if (context && EVP_CipherInit_ex2(context, gcm, key, iv, encrypt, NULL) == 1 &&
	    EVP_CipherUpdate(context, NULL, &bytes, aad.at, (int)aad.bytes) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

int spw_gcm_seal(const uint8_t key[SPW_WIRE_KEY_BYTES], const uint8_t iv[SPW_GCM_IV_BYTES],
		 struct spw_bytes aad, const void *plain, size_t bytes, uint8_t *out)
{
	EVP_CIPHER_CTX *context = gcm_begin(key, iv, aad, 1);
	int done, last, err = -EIO;

	if (context && EVP_CipherUpdate(context, out, &done, plain, (int)bytes) == 1 &&
	    EVP_CipherFinal_ex(context, out + bytes, &last) == 1 &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SPW_WIRE_TAG_BYTES, out + bytes) ==
		    1)
		err = 0;
	EVP_CIPHER_CTX_free(context);
	return err;
}

int spw_gcm_open(const uint8_t key[SPW_WIRE_KEY_BYTES], const uint8_t iv[SPW_GCM_IV_BYTES],
		 struct spw_bytes aad, const uint8_t *sealed, size_t bytes, void *plain)
{
	EVP_CIPHER_CTX *context = gcm_begin(key, iv, aad, 0);
	size_t plain_bytes = bytes - SPW_WIRE_TAG_BYTES;
	int done, last, err = -EIO;

	if (context && EVP_CipherUpdate(context, plain, &done, sealed, (int)plain_bytes) == 1 &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SPW_WIRE_TAG_BYTES,
				(void *)(sealed + plain_bytes)) == 1)
		err = EVP_CipherFinal_ex(context, (uint8_t *)plain + plain_bytes, &last) == 1
			      ? 0
			      : -EKEYREJECTED;
	if (err) {
		OPENSSL_cleanse(plain, plain_bytes);
		ERR_clear_error();
	}
	EVP_CIPHER_CTX_free(context);
	return err;
}

/* ---- the symmetric state ------------------------------------------------------------------ */

int spw_symmetric_start(struct spw_symmetric *state, const char *protocol, const void *prologue,
			size_t bytes)
{
	size_t name_bytes = strlen(protocol);

	*state = (struct spw_symmetric){0};
	if (name_bytes > SPW_HASH_BYTES)
		return -EIO;
	memcpy(state->hash, protocol, name_bytes);
	memcpy(state->chaining_key, state->hash, SPW_HASH_BYTES);
	return spw_symmetric_mix_hash(state, prologue, bytes);
}

int spw_symmetric_mix_hash(struct spw_symmetric *state, const void *data, size_t bytes)
{
	struct spw_bytes parts[] = {{state->hash, SPW_HASH_BYTES}, {data, bytes}};

	return spw_sha256(parts, 2, state->hash);
}

/* Noise's HKDF is that of RFC 5869 with the chaining key as salt and an empty info. */
static int noise_hkdf(const uint8_t chaining_key[SPW_HASH_BYTES], struct spw_bytes secret,
		      uint8_t *out, size_t bytes)
{
	uint8_t prk[SPW_HASH_BYTES];
	int err = spw_hmac(chaining_key, SPW_HASH_BYTES, &secret, 1, prk);

	if (err == 0)
		err = spw_hkdf_expand(prk, NULL, 0, out, bytes);
	OPENSSL_cleanse(prk, sizeof(prk));
	return err;
}

int spw_symmetric_mix_key(struct spw_symmetric *state, const uint8_t secret[SPW_WIRE_KEY_BYTES])
{
	uint8_t out[2][SPW_HASH_BYTES];
	int err = noise_hkdf(state->chaining_key, (struct spw_bytes){secret, SPW_WIRE_KEY_BYTES},
			     out[0], sizeof(out));

	if (err == 0) {
		memcpy(state->chaining_key, out[0], SPW_HASH_BYTES);
		memcpy(state->key, out[1], SPW_HASH_BYTES);
		state->counter = 0;
	}
	OPENSSL_cleanse(out, sizeof(out));
	return err;
}

int spw_symmetric_mix_key_and_hash(struct spw_symmetric *state,
				   const uint8_t secret[SPW_WIRE_KEY_BYTES])
{
	uint8_t out[3][SPW_HASH_BYTES];
	int err = noise_hkdf(state->chaining_key, (struct spw_bytes){secret, SPW_WIRE_KEY_BYTES},
			     out[0], sizeof(out));

	if (err == 0)
		err = spw_symmetric_mix_hash(state, out[1], SPW_HASH_BYTES);
	if (err == 0) {
		memcpy(state->chaining_key, out[0], SPW_HASH_BYTES);
		memcpy(state->key, out[2], SPW_HASH_BYTES);
		state->counter = 0;
	}
	OPENSSL_cleanse(out, sizeof(out));
	return err;
}

/* Four zero bytes, then the counter (big-endian with AES-GCM). */
static void next_iv(struct spw_symmetric *state, uint8_t iv[SPW_GCM_IV_BYTES])
{
	uint64_t counter_be = htobe64(state->counter++);

	memset(iv, 0, SPW_GCM_IV_BYTES);
	memcpy(iv + SPW_GCM_IV_BYTES - sizeof(counter_be), &counter_be, sizeof(counter_be));
}

int spw_symmetric_seal(struct spw_symmetric *state, const void *plain, size_t bytes,
		       uint8_t *sealed)
{
	struct spw_bytes aad = {state->hash, SPW_HASH_BYTES};
	uint8_t iv[SPW_GCM_IV_BYTES];
	int err;

	next_iv(state, iv);
	err = spw_gcm_seal(state->key, iv, aad, plain, bytes, sealed);
	return err ? err : spw_symmetric_mix_hash(state, sealed, bytes + SPW_WIRE_TAG_BYTES);
}

int spw_symmetric_open(struct spw_symmetric *state, const uint8_t *sealed, size_t bytes,
		       void *plain)
{
	struct spw_bytes aad = {state->hash, SPW_HASH_BYTES};
	size_t sealed_bytes = bytes + SPW_WIRE_TAG_BYTES;
	uint8_t iv[SPW_GCM_IV_BYTES];
	int err;

	next_iv(state, iv);
	err = spw_gcm_open(state->key, iv, aad, sealed, sealed_bytes, plain);
	return err ? err : spw_symmetric_mix_hash(state, sealed, sealed_bytes);
}

int spw_symmetric_split(const struct spw_symmetric *state, uint8_t first[SPW_HASH_BYTES],
			uint8_t second[SPW_HASH_BYTES])
{
	uint8_t out[2][SPW_HASH_BYTES];
	int err = noise_hkdf(state->chaining_key, (struct spw_bytes){NULL, 0}, out[0], sizeof(out));

	memcpy(first, out[0], SPW_HASH_BYTES);
	memcpy(second, out[1], SPW_HASH_BYTES);
	OPENSSL_cleanse(out, sizeof(out));
	return err;
}
