/* SPDX-License-Identifier: BSD-2-Clause */
/* announce.c - see announce.h. */
#include "control/daemon/sa/announce.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <string.h>

#include "control/daemon/sa/hash.h"

static int seal(const struct spw_announce_wire *wire, const struct spw_static_keys *keys,
		uint8_t mac[SPW_MAC_BYTES])
{
	struct spw_bytes sealed = {wire, offsetof(struct spw_announce_wire, mac)};

	return spw_hmac(keys->mac_key, sizeof(keys->mac_key), &sealed, 1, mac);
}

void spw_announce_build(const struct spw_announce *announce, const struct spw_static_keys *keys,
			struct spw_announce_wire *wire)
{
	*wire = (struct spw_announce_wire){
		.type = SPW_ANNOUNCE_TYPE,
		.version = SPW_ANNOUNCE_VERSION,
		.flags = announce->flags,
		.children = announce->children,
		.epoch_be = htobe64(announce->epoch),
		.peer_epoch_be = htobe64(announce->peer_epoch),
	};
	memcpy(wire->key_id, keys->key_id, sizeof(wire->key_id));
	memcpy(wire->nonce, announce->nonce, sizeof(wire->nonce));
	memcpy(wire->peer_nonce, announce->peer_nonce, sizeof(wire->peer_nonce));
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++)
		wire->spi_be[i] = htobe32(announce->spi[i]);
	seal(wire, keys, wire->mac);
}

const uint8_t *spw_announce_key_id(const void *data, size_t bytes)
{
	static const uint8_t marker[sizeof(((struct spw_announce_wire *)0)->marker)];
	const struct spw_announce_wire *wire = data;

	if (bytes != sizeof(*wire) || memcmp(wire->marker, marker, sizeof(marker)) != 0 ||
	    wire->type != SPW_ANNOUNCE_TYPE || wire->version != SPW_ANNOUNCE_VERSION)
		return NULL;
	return wire->key_id;
}

static bool all_zero(const uint8_t *bytes, size_t cnt)
{
	uint8_t any = 0;

	for (size_t i = 0; i < cnt; i++)
		any |= bytes[i];
	return any == 0;
}

static bool fields_valid(const struct spw_announce *announce)
{
	bool echo = !all_zero(announce->peer_nonce, SPW_NONCE_BYTES);

	if ((announce->flags & ~SPW_ANNOUNCE_FLAGS) != 0 || announce->children == 0 ||
	    announce->children > SPW_WORKERS_MAX || announce->epoch == 0 ||
	    all_zero(announce->nonce, SPW_NONCE_BYTES) || echo != (announce->peer_epoch != 0))
		return false;
	if (announce->flags & SPW_ANNOUNCE_F_SENDING && !(announce->flags & SPW_ANNOUNCE_F_READY))
		return false;
	/* SPIs 1..255 are reserved (RFC 4303 2.1). */
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++)
		if (announce->spi[i] != 0 && announce->spi[i] < 256)
			return false;
	return true;
}

int spw_announce_parse(const void *data, size_t bytes, const struct spw_static_keys *keys,
		       struct spw_announce *announce)
{
	struct spw_announce_wire wire;
	uint8_t mac[SPW_MAC_BYTES];

	if (!spw_announce_key_id(data, bytes))
		return -EBADMSG;
	memcpy(&wire, data, sizeof(wire));
	if (seal(&wire, keys, mac) < 0 || CRYPTO_memcmp(mac, wire.mac, sizeof(mac)) != 0 ||
	    CRYPTO_memcmp(keys->key_id, wire.key_id, sizeof(wire.key_id)) != 0)
		return -EKEYREJECTED;
	*announce = (struct spw_announce){
		.flags = wire.flags,
		.children = wire.children,
		.epoch = be64toh(wire.epoch_be),
		.peer_epoch = be64toh(wire.peer_epoch_be),
	};
	memcpy(announce->nonce, wire.nonce, sizeof(wire.nonce));
	memcpy(announce->peer_nonce, wire.peer_nonce, sizeof(wire.peer_nonce));
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++)
		announce->spi[i] = be32toh(wire.spi_be[i]);
	return fields_valid(announce) ? 0 : -EBADMSG;
}
