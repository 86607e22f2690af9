/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sa.h - security associations inside the dataplane.
 *
 * Who owns the memory: the main thread creates an SA from control's message in the locked key arena
 * (dataplane/arena.h) and publishes its pointer in the table with one release store. From then on
 * one worker, its owner, uses it. The main thread removes it in two steps: unpublish, then, after
 * every worker was seen quiescent, wipe and free. Control has withdrawn the SPI or the tunnel's
 * tx_sa before it asks for the removal.
 */
#ifndef SPW_SA_H
#define SPW_SA_H

#include <stdint.h>
#include <string.h>

#include "control/handover.h"
#include "dataplane/stages/aead.h"
#include "dataplane/stages/replay.h"
#include "dataplane/stages/wire.h"

struct spw_sa {
	/* Immutable while published. */
	uint32_t spi;
	uint32_t tunnel; /* tunnel id */
	uint32_t worker; /* owner; others hand the packet over */
	uint32_t flags;  /* enum spw_sa_flag */
	uint8_t salt[SPW_SALT_BYTES];
	uint64_t iv_mask;
	struct spw_aead *aead;

	/* Main thread: relaxed store (SA_LIMIT); owner: relaxed load per packet. */
	uint64_t limit;

	/* Owner: rw, relaxed stores. Main thread: relaxed load (SA_QUERY, SA_FINAL). */
	uint64_t sequence; /* out: next to send */
	uint64_t wanted;   /* in: highest authentic number that was refused because of `limit` */
	struct spw_replay replay; /* in; its ring lies behind the SA */
};

struct spw_sa_table {
	uint32_t sas_max;
	struct spw_sa **in;  /* by SPW_SPI_SLOT(spi) */
	struct spw_sa **out; /* by outbound slot */
};

/* The calls below: main thread. Errors are negative errno: -EEXIST the slot is taken, -EINVAL a
 * field is out of range, -ENOMEM the key arena is full. */
struct spw_sa_table *spw_sa_table_create(uint32_t sas_max);
void spw_sa_table_destroy(struct spw_sa_table *table); /* no worker runs any more; wipes all SAs */
int spw_sa_add(struct spw_sa_table *table, const struct spw_msg_sa_add *msg);
/* Unpublishes and returns the SA for spw_sa_destroy after the grace period; NULL: no such SA. */
struct spw_sa *spw_sa_unpublish(struct spw_sa_table *table, uint32_t direction, uint32_t slot);
void spw_sa_destroy(struct spw_sa *sa); /* wipes it */
int spw_sa_limit(struct spw_sa_table *table, uint32_t direction, uint32_t slot, uint64_t limit);
int spw_sa_query(struct spw_sa_table *table, uint32_t direction, uint32_t slot, uint64_t *sequence);

/*
 * Workers: what goes into the AEAD beside the text, for the ESP header at `esp` (SPI, sequence,
 * IV). The nonce is salt and IV; the additional data is SPI and sequence, with ESN SPI, high half,
 * low half (RFC 4106 4 and 5). Returns the bytes of `aad` that are in use.
 */
static inline size_t spw_sa_aead_input(const struct spw_sa *sa, const uint8_t *esp,
				       uint64_t sequence, uint8_t nonce[SPW_NONCE_BYTES],
				       uint8_t aad[12])
{
	memcpy(nonce, sa->salt, SPW_SALT_BYTES);
	memcpy(nonce + SPW_SALT_BYTES, esp + 8, 8);
	memcpy(aad, esp, 8);
	if (!(sa->flags & SPW_SA_F_ESN))
		return 8;
	spw_put_be32(aad + 4, (uint32_t)(sequence >> 32));
	memcpy(aad + 8, esp + 4, 4);
	return 12;
}

/* Workers: the published SA of a slot, or NULL. Pairs with the release store of spw_sa_add. */
static inline struct spw_sa *spw_sa_get(struct spw_sa *const *table, uint32_t sas_max,
					uint32_t slot)
{
	return slot < sas_max ? __atomic_load_n(&table[slot], __ATOMIC_ACQUIRE) : NULL;
}

#endif
