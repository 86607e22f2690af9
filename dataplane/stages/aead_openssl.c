/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead_openssl.c - AES-GCM through OpenSSL 3.
 *
 * What costs time in OpenSSL is not AES but finding ciphers, setting keys and translating control
 * calls. So the cipher is fetched once, the key is set once (by the main thread), and a packet
 * costs an init with nothing but its IV, two updates, a final, and the tag through a parameter
 * array that is built beforehand. Nothing of that allocates.
 */
#include "dataplane/stages/aead.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "dataplane/arena.h"

struct spw_aead {
	EVP_CIPHER_CTX *context;
	OSSL_PARAM tag_param[2]; /* points to `tag` */
	uint8_t tag[SPW_ICV_BYTES];
};

const char *spw_aead_provider(void)
{
	return "openssl";
}

/* Fetched at the first use, by the main thread, and kept for the life of the process. */
static EVP_CIPHER *cipher_for(uint32_t key_bytes)
{
	static EVP_CIPHER *aes128, *aes256;
	EVP_CIPHER **cipher = key_bytes == 16 ? &aes128 : &aes256;

	if (!*cipher)
		*cipher = EVP_CIPHER_fetch(NULL, key_bytes == 16 ? "AES-128-GCM" : "AES-256-GCM",
					   NULL);
	return *cipher;
}

struct spw_aead *spw_aead_create(const uint8_t *key, uint32_t key_bytes, bool encrypt)
{
	if (key_bytes != 16 && key_bytes != 32)
		return NULL;
	struct spw_aead *aead = spw_arena_alloc(sizeof(*aead));
	if (!aead)
		return NULL;
	aead->tag_param[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG,
							       aead->tag, sizeof(aead->tag));
	aead->tag_param[1] = OSSL_PARAM_construct_end();
	EVP_CIPHER *cipher = cipher_for(key_bytes);
	aead->context = cipher ? EVP_CIPHER_CTX_new() : NULL;
	/* The IV length is 12 as it comes; setting it again would cost every packet. */
	if (!aead->context ||
	    EVP_CipherInit_ex2(aead->context, cipher, key, NULL, encrypt, NULL) != 1) {
		ERR_clear_error();
		spw_aead_destroy(aead);
		return NULL;
	}
	return aead;
}

void spw_aead_destroy(struct spw_aead *aead)
{
	if (!aead)
		return;
	EVP_CIPHER_CTX_free(aead->context); /* wipes the expanded key */
	spw_arena_free(aead);
}

/* Errors pile up in OpenSSL's queue: a flood of forged packets would have it grow and slow down. */
static bool fail(void)
{
	ERR_clear_error();
	return false;
}

bool spw_aead_seal(struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES], const uint8_t *aad,
		   size_t aad_bytes, uint8_t *text, size_t bytes, uint8_t tag[SPW_ICV_BYTES])
{
	EVP_CIPHER_CTX *context = aead->context;
	int done;

	if (EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_EncryptUpdate(context, NULL, &done, aad, (int)aad_bytes) != 1 ||
	    EVP_EncryptUpdate(context, text, &done, text, (int)bytes) != 1 ||
	    EVP_EncryptFinal_ex(context, text + done, &done) != 1 ||
	    EVP_CIPHER_CTX_get_params(context, aead->tag_param) != 1)
		return fail();
	memcpy(tag, aead->tag, SPW_ICV_BYTES);
	return true;
}

bool spw_aead_open(struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES], const uint8_t *aad,
		   size_t aad_bytes, uint8_t *text, size_t bytes, const uint8_t tag[SPW_ICV_BYTES])
{
	EVP_CIPHER_CTX *context = aead->context;
	int done;

	memcpy(aead->tag, tag, SPW_ICV_BYTES);
	if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_DecryptUpdate(context, NULL, &done, aad, (int)aad_bytes) != 1 ||
	    EVP_DecryptUpdate(context, text, &done, text, (int)bytes) != 1 ||
	    EVP_CIPHER_CTX_set_params(context, aead->tag_param) != 1 ||
	    EVP_DecryptFinal_ex(context, text + done, &done) != 1)
		return fail();
	return true;
}
