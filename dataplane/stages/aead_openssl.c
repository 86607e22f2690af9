/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead_openssl.c - AES-GCM through OpenSSL 3.
 *
 * What costs time in OpenSSL is not AES but finding ciphers, setting keys and translating control
 * calls. So the cipher is fetched once, the key is set once (by the main thread), and a packet
 * costs an init with nothing but its IV, two updates, a final, and the tag through a parameter
 * array that is built beforehand. Nothing of that allocates.
 */
#include <assert.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "dataplane/arena.h"
#include "dataplane/stages/aead_provider.h"

/*
 * What stands in front of a key whose context is its EVP_CIPHER_CTX.
 *
 * OpenSSL 3.0 makes two objects for a cipher, of 184 and 960 bytes, and a packet touches nearly all
 * of them. They are put here, so that they can be asked for ahead. What a version needs beyond the
 * room lies elsewhere in the arena, and is waited for.
 */
struct openssl_key {
	OSSL_PARAM tag_param[2]; /* points to `tag` */
	uint8_t tag[SPW_ICV_BYTES];
	alignas(SPW_AEAD_LINE_BYTES) uint8_t objects[1280]; /* and a line in front of each */
};
static_assert(sizeof(struct openssl_key) == SPW_AEAD_OPENSSL_BYTES, "set it");

static struct openssl_key *key_of(const struct spw_aead *aead)
{
	return spw_aead_front(aead, SPW_AEAD_OPENSSL_BYTES);
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

static int openssl_load(uint32_t workers, char *why, unsigned int why_bytes)
{
	(void)workers, (void)why, (void)why_bytes;
	return 0; /* the program is linked with it */
}

static void openssl_fini(struct spw_aead *aead)
{
	EVP_CIPHER_CTX_free(aead->context); /* wipes the expanded key */
	aead->context = NULL;
}

static bool openssl_init(struct spw_aead *aead, uint32_t worker, const uint8_t *key,
			 uint32_t key_bytes, bool encrypt)
{
	struct openssl_key *own = key_of(aead);

	(void)worker;
	own->tag_param[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, own->tag,
							      sizeof(own->tag));
	own->tag_param[1] = OSSL_PARAM_construct_end();
	EVP_CIPHER *cipher = cipher_for(key_bytes);
	spw_arena_nest(own->objects, sizeof(own->objects));
	aead->context = cipher ? EVP_CIPHER_CTX_new() : NULL;
	/* The IV length is 12 as it comes; setting it again would cost every packet. */
	bool done = aead->context &&
		    EVP_CipherInit_ex2(aead->context, cipher, key, NULL, encrypt, NULL) == 1;
	spw_arena_nest(NULL, 0);
	if (!done) {
		ERR_clear_error();
		openssl_fini(aead);
		return false;
	}
	return true;
}

static void openssl_learn_pieces(uint32_t pieces[SPW_AEAD_STEPS])
{
	for (uint32_t step = 0; step < SPW_AEAD_STEPS; step++)
		pieces[step] = (1u << SPW_AEAD_OPENSSL_BYTES / SPW_AEAD_PIECE_BYTES) - 1;
}

const struct spw_aead_provider spw_aead_openssl = {
	.name = "openssl",
	.load = openssl_load,
	.init = openssl_init,
	.fini = openssl_fini,
	.learn_pieces = openssl_learn_pieces,
	.key_bytes = SPW_AEAD_OPENSSL_BYTES,
};

/* Errors pile up in OpenSSL's queue: a flood of forged packets would have it grow and slow down. */
static bool fail(void)
{
	ERR_clear_error();
	return false;
}

bool spw_aead_openssl_seal(const struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES],
			   const uint8_t *aad, size_t aad_bytes, uint8_t *text, size_t bytes,
			   uint8_t tag[SPW_ICV_BYTES])
{
	struct openssl_key *own = key_of(aead);
	EVP_CIPHER_CTX *context = aead->context;
	int done;

	if (EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_EncryptUpdate(context, NULL, &done, aad, (int)aad_bytes) != 1 ||
	    EVP_EncryptUpdate(context, text, &done, text, (int)bytes) != 1 ||
	    EVP_EncryptFinal_ex(context, text + done, &done) != 1 ||
	    EVP_CIPHER_CTX_get_params(context, own->tag_param) != 1)
		return fail();
	memcpy(tag, own->tag, SPW_ICV_BYTES);
	return true;
}

bool spw_aead_openssl_open(const struct spw_aead *aead, const uint8_t nonce[SPW_NONCE_BYTES],
			   const uint8_t *aad, size_t aad_bytes, uint8_t *text, size_t bytes,
			   const uint8_t tag[SPW_ICV_BYTES])
{
	struct openssl_key *own = key_of(aead);
	EVP_CIPHER_CTX *context = aead->context;
	int done;

	memcpy(own->tag, tag, SPW_ICV_BYTES);
	if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_DecryptUpdate(context, NULL, &done, aad, (int)aad_bytes) != 1 ||
	    EVP_DecryptUpdate(context, text, &done, text, (int)bytes) != 1 ||
	    EVP_CIPHER_CTX_set_params(context, own->tag_param) != 1 ||
	    EVP_DecryptFinal_ex(context, text + done, &done) != 1)
		return fail();
	return true;
}
