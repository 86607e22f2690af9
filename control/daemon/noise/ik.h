/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ik.h - the two messages of Noise's pattern IK, with psk2 or without a psk, for payloads of any
 * length. noise.h puts them into the messages of wire.h.
 *
 *	<- s
 *	-> e, es, s, ss
 *	<- e, ee, se [, psk]
 *
 * Who owns the memory: the caller; struct spw_ik only points. Control's thread only. All return 0,
 * -EIO or -EKEYREJECTED as in symmetric.h; after a failure the state is of no more use.
 */
#ifndef SPW_NOISE_IK_H
#define SPW_NOISE_IK_H

#include "control/daemon/noise/symmetric.h"

#define SPW_IK_SEALED_STATIC_BYTES (SPW_WIRE_KEY_BYTES + SPW_WIRE_TAG_BYTES)

/* Length of a message beyond its payload. */
#define SPW_IK_FIRST_EXTRA_BYTES                                                                   \
	(SPW_WIRE_KEY_BYTES + SPW_IK_SEALED_STATIC_BYTES + SPW_WIRE_TAG_BYTES)
#define SPW_IK_SECOND_EXTRA_BYTES (SPW_WIRE_KEY_BYTES + SPW_WIRE_TAG_BYTES)

struct spw_ik {
	struct spw_symmetric *state;
	const uint8_t *psk;             /* NULL: IK, else IKpsk2 */
	const struct spw_key_pair *own; /* static; not needed by second_write */
	/* Ours, for what we write and for second_read. */
	const struct spw_key_pair *ephemeral;
	const uint8_t *remote_static;    /* not needed by first_read_static, second_read */
	const uint8_t *remote_ephemeral; /* for second_write alone */
	const uint8_t *static_static; /* DH(own, remote static), for first_write and first_read */
};

int spw_ik_start(const struct spw_ik *ik, const void *prologue, size_t bytes,
		 const uint8_t responder_public[SPW_WIRE_KEY_BYTES]);

int spw_ik_first_write(const struct spw_ik *ik, const void *payload, size_t bytes,
		       uint8_t *message);
int spw_ik_first_read_static(const struct spw_ik *ik, const uint8_t *message,
			     uint8_t remote_static[SPW_WIRE_KEY_BYTES]);
int spw_ik_first_read(const struct spw_ik *ik, const uint8_t *message, void *payload, size_t bytes);

int spw_ik_second_write(const struct spw_ik *ik, const void *payload, size_t bytes,
			uint8_t *message);
int spw_ik_second_read(const struct spw_ik *ik, const uint8_t *message, void *payload,
		       size_t bytes);

#endif
