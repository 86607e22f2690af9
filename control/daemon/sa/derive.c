/* SPDX-License-Identifier: BSD-2-Clause */
/* derive.c - what is computed from secrets; see keys.h and docs/static-sas.md. */
#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "control/daemon/sa/keys.h"

#define LABEL_SA "spillway static esp"
#define LABEL_ANNOUNCE "spillway announce"
#define LABEL_KEY_ID "spillway key id"
#define LABEL_FINGERPRINT "spillway fingerprint"
#define LABEL_IV_MASK "spillway iv mask"
#define DERIVATION_VERSION 1u

/* HKDF's info for one SA, big-endian, without padding. */
struct __attribute__((packed)) sa_info {
	char label[sizeof(LABEL_SA) - 1];
	uint8_t version;
	uint16_t key_bits_be;
	uint8_t child;
	uint32_t spi_be;
	uint64_t sender_epoch_be;
	uint8_t sender_nonce[SPW_NONCE_BYTES];
	uint64_t receiver_epoch_be;
	uint8_t receiver_nonce[SPW_NONCE_BYTES];
};

static int hkdf(int mode, const uint8_t *key, size_t key_bytes, const void *info, size_t info_bytes,
		uint8_t *out, size_t bytes)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_bytes),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_bytes),
		OSSL_PARAM_construct_end(),
	};
	int err = context && EVP_KDF_derive(context, out, bytes, params) == 1 ? 0 : -EIO;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return err;
}

int spw_hkdf_extract(const uint8_t *secret, size_t bytes, uint8_t prk[SPW_PRK_BYTES])
{
	return hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, secret, bytes, "", 0, prk, SPW_PRK_BYTES);
}

int spw_hkdf_expand(const uint8_t prk[SPW_PRK_BYTES], const void *info, size_t info_bytes,
		    uint8_t *out, size_t bytes)
{
	return hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, prk, SPW_PRK_BYTES, info, info_bytes, out,
		    bytes);
}

/* HMAC-SHA256(key, label), shortened. */
static void name_of_key(const uint8_t *key, size_t key_bytes, const char *label, uint8_t *out,
			size_t bytes)
{
	uint8_t mac[SPW_MAC_BYTES] = {0};

	HMAC(EVP_sha256(), key, (int)key_bytes, (const uint8_t *)label, strlen(label), mac, NULL);
	memcpy(out, mac, bytes);
	OPENSSL_cleanse(mac, sizeof(mac));
}

void spw_key_fingerprint(const uint8_t *key, size_t bytes, uint8_t out[SPW_FINGERPRINT_BYTES])
{
	name_of_key(key, bytes, LABEL_FINGERPRINT, out, SPW_FINGERPRINT_BYTES);
}

int spw_static_keys_derive(const uint8_t root[SPW_ROOT_BYTES], struct spw_static_keys *out)
{
	int err = spw_hkdf_extract(root, SPW_ROOT_BYTES, out->prk);

	if (err == 0)
		err = spw_hkdf_expand(out->prk, LABEL_ANNOUNCE, sizeof(LABEL_ANNOUNCE) - 1,
				      out->mac_key, sizeof(out->mac_key));
	name_of_key(root, SPW_ROOT_BYTES, LABEL_KEY_ID, out->key_id, sizeof(out->key_id));
	return err;
}

int spw_static_sa_derive(const uint8_t prk[SPW_PRK_BYTES], const struct spw_static_label *label,
			 struct spw_sa_secret *out)
{
	struct sa_info info = {
		.version = DERIVATION_VERSION,
		.key_bits_be = htobe16(label->key_bits),
		.child = label->child,
		.spi_be = htobe32(label->spi),
		.sender_epoch_be = htobe64(label->sender_epoch),
		.receiver_epoch_be = htobe64(label->receiver_epoch),
	};
	size_t key_bytes = label->key_bits / 8;
	uint8_t okm[SPW_KEY_BYTES_MAX + SPW_SALT_BYTES + 8];
	uint64_t mask_be;
	int err;

	memcpy(info.label, LABEL_SA, sizeof(info.label));
	memcpy(info.sender_nonce, label->sender_nonce, SPW_NONCE_BYTES);
	memcpy(info.receiver_nonce, label->receiver_nonce, SPW_NONCE_BYTES);
	memset(out, 0, sizeof(*out));
	err = spw_hkdf_expand(prk, &info, sizeof(info), okm, key_bytes + SPW_SALT_BYTES + 8);
	if (err == 0) {
		memcpy(out->key, okm, key_bytes);
		memcpy(out->salt, okm + key_bytes, SPW_SALT_BYTES);
		memcpy(&mask_be, okm + key_bytes + SPW_SALT_BYTES, sizeof(mask_be));
		out->iv_mask = be64toh(mask_be);
	}
	OPENSSL_cleanse(okm, sizeof(okm));
	return err;
}

int spw_foreign_iv_mask(const uint8_t *key, size_t bytes, uint64_t *iv_mask)
{
	uint8_t prk[SPW_PRK_BYTES];
	uint64_t mask_be = 0;
	int err = spw_hkdf_extract(key, bytes, prk);

	if (err == 0)
		err = spw_hkdf_expand(prk, LABEL_IV_MASK, sizeof(LABEL_IV_MASK) - 1,
				      (uint8_t *)&mask_be, sizeof(mask_be));
	OPENSSL_cleanse(prk, sizeof(prk));
	*iv_mask = be64toh(mask_be);
	return err;
}
