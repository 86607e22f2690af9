/* SPDX-License-Identifier: BSD-2-Clause */
/* sides.h - two nodes that know each other, and what a node does with a message that comes in. */
#ifndef SPW_TEST_NOISE_SIDES_H
#define SPW_TEST_NOISE_SIDES_H

#include "control/daemon/noise/cookie.h"
#include "control/daemon/noise/noise.h"

struct side {
	struct spw_noise_identity identity;
	struct spw_noise_peer peer;
	struct spw_noise_handshake handshake;
	struct spw_noise_keys keys;
};

/* Both get fixed private keys. psk may be NULL. */
void sides_open(struct side *a, struct side *b, const uint8_t *psk);

struct spw_noise_terms sides_terms(uint8_t seed); /* valid ones */
struct spw_noise_offer sides_offer(uint8_t seed);
struct spw_noise_answer sides_answer(uint8_t seed);

/* Type and length, mac1, then the handshake; as control does it. */
int side_take_init(struct side *side, const void *data, size_t bytes,
		   struct spw_noise_offer *offer);
int side_take_response(struct side *side, const void *data, size_t bytes,
		       struct spw_noise_answer *answer);

#endif
