/* SPDX-License-Identifier: BSD-2-Clause */
/* derive.c - what is computed from secrets; see keys.h and docs/static-sas.md. */
#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "control/daemon/sa/hash.h"
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

/* HMAC-SHA256(key, label), shortened. */
static void name_of_key(const uint8_t *key, size_t key_bytes, const char *label, uint8_t *out,
			size_t bytes)
{
	uint8_t mac[SPW_MAC_BYTES];

	spw_hmac(key, key_bytes, &(struct spw_bytes){label, strlen(label)}, 1, mac);
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

int spw_sa_secret_expand(const uint8_t prk[SPW_PRK_BYTES], const void *info, size_t info_bytes,
			 size_t key_bytes, struct spw_sa_secret *out)
{
	uint8_t okm[SPW_KEY_BYTES_MAX + SPW_SALT_BYTES + 8];
	uint64_t mask_be;
	int err = spw_hkdf_expand(prk, info, info_bytes, okm, key_bytes + SPW_SALT_BYTES + 8);

	memset(out, 0, sizeof(*out));
	if (err == 0) {
		memcpy(out->key, okm, key_bytes);
		memcpy(out->salt, okm + key_bytes, SPW_SALT_BYTES);
		memcpy(&mask_be, okm + key_bytes + SPW_SALT_BYTES, sizeof(mask_be));
		out->iv_mask = be64toh(mask_be);
	}
	OPENSSL_cleanse(okm, sizeof(okm));
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

	memcpy(info.label, LABEL_SA, sizeof(info.label));
	memcpy(info.sender_nonce, label->sender_nonce, SPW_NONCE_BYTES);
	memcpy(info.receiver_nonce, label->receiver_nonce, SPW_NONCE_BYTES);
	return spw_sa_secret_expand(prk, &info, sizeof(info), label->key_bits / 8, out);
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
