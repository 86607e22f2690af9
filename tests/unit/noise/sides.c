/* SPDX-License-Identifier: BSD-2-Clause */
/* sides.c - see sides.h. */
#include "tests/unit/noise/sides.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(int err)
{
	if (err)
		abort();
}

void sides_open(struct side *a, struct side *b, const uint8_t *psk)
{
	static const uint8_t private_a[SPW_WIRE_KEY_BYTES] = {0xa0, 1, 2, 3},
			     private_b[SPW_WIRE_KEY_BYTES] = {0xb0, 4, 5, 6};

	*a = *b = (struct side){0};
	must(spw_noise_identity_init(&a->identity, private_a));
	must(spw_noise_identity_init(&b->identity, private_b));
	must(spw_noise_peer_init(&a->peer, &a->identity, b->identity.pair.public_key, psk));
	must(spw_noise_peer_init(&b->peer, &b->identity, a->identity.pair.public_key, psk));
}

struct spw_noise_terms sides_terms(uint8_t seed)
{
	struct spw_noise_terms terms = {
		.caps = SPW_CAP_ESN | SPW_CAP_GCM128 | SPW_CAP_ROAMING,
		.children = 1 + seed % SPW_SESSION_CHILDREN_MAX,
		.window_log2 = 11,
		.mtu_bytes = 1400 + seed,
		.port = 4500 + seed,
	};

	for (uint32_t i = 0; i < SPW_SESSION_CHILDREN_MAX - 1; i++)
		terms.spi[i] = 0x01000400u * (i + 1) + seed;
	memset(terms.address, seed, sizeof(terms.address));
	return terms;
}

struct spw_noise_offer sides_offer(uint8_t seed)
{
	struct spw_noise_offer offer = {.terms = sides_terms(seed)};

	spw_tai64n_next(&offer.made, UINT64_C(1700000000000000000) + seed);
	return offer;
}

struct spw_noise_answer sides_answer(uint8_t seed)
{
	return (struct spw_noise_answer){.terms = sides_terms(seed)};
}

int side_take_init(struct side *side, const void *data, size_t bytes, struct spw_noise_offer *offer)
{
	uint8_t public_key[SPW_WIRE_KEY_BYTES];
	int err;

	if (spw_wire_type(data, bytes) != SPW_WIRE_INIT)
		return -EBADMSG;
	if (!spw_mac1_valid(side->identity.mac1_key, data, bytes))
		return -EKEYREJECTED;
	err = spw_noise_init_read_static(&side->handshake, &side->identity, data, public_key);
	if (err)
		return err;
	if (memcmp(public_key, side->peer.public_key, sizeof(public_key)) != 0)
		return -ENOENT;
	return spw_noise_init_read(&side->handshake, &side->peer, data, offer);
}

int side_take_response(struct side *side, const void *data, size_t bytes,
		       struct spw_noise_answer *answer)
{
	if (spw_wire_type(data, bytes) != SPW_WIRE_RESPONSE)
		return -EBADMSG;
	if (!spw_mac1_valid(side->identity.mac1_key, data, bytes))
		return -EKEYREJECTED;
	return spw_noise_response_read(&side->handshake, &side->identity, &side->peer, data, answer,
				       &side->keys);
}
