/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sa.h - security associations inside the dataplane.
 *
 * Who owns the memory: the main thread creates an SA from control's message in the locked key arena
 * (dataplane/arena.h) and publishes its pointer in the table with one release store. From then on
 * one worker, its owner, uses it. The main thread removes it in two steps: unpublish, then, after
 * every worker was seen quiescent, wipe and free. Control has withdrawn the SPI or the tunnel's
 * tx_sa before it asks for the removal; not so where an SA's lifetime ends, whose packets find no
 * SA then.
 */
#ifndef SPW_SA_H
#define SPW_SA_H

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/queue.h>

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
	uint32_t salt_be;
	uint32_t spi_be; /* `spi` and the mask of the IV as they go on the wire */
	uint64_t iv_mask_be;

	/* Main thread: relaxed store (SA_LIMIT); owner: relaxed load per packet. */
	uint64_t limit;

	/* Owner: rw, relaxed stores. Main thread: relaxed load (SA_QUERY, SA_FINAL). */
	uint64_t sequence; /* out: next to send */

	/* Immutable. An array, so that it reads as the pointer that it is used as. What it is made
	 * of stands in front of the SA. */
	struct spw_aead aead[1];

	/* Here starts the second cache line, which outbound packets do not touch. */
	uint64_t wanted; /* in: highest authentic number that was refused because of `limit` */
	/* in, of a session: the time from which on ROAMED may be posted; 0: HEARD is due. */
	uint64_t report_ns;
	struct spw_sa_end *end;   /* main thread; NULL: only SA_DEL removes it */
	struct spw_replay replay; /* in; its ring lies behind the SA */
};

static_assert(offsetof(struct spw_sa, wanted) == SPW_AEAD_LINE_BYTES, "the first line is full");

/* Main thread: when an SA's lifetime is over. */
struct spw_sa_end {
	TAILQ_ENTRY(spw_sa_end) at;
	uint64_t ms; /* CLOCK_MONOTONIC */
	uint32_t direction, slot;
};

struct spw_sa_table {
	uint32_t sas_max;
	uint32_t sas_cnt;    /* in both directions. Main thread: relaxed store; workers: load */
	struct spw_sa **in;  /* by SPW_SPI_SLOT(spi) */
	struct spw_sa **out; /* by outbound slot */
	TAILQ_HEAD(spw_sa_ends, spw_sa_end) ends; /* main thread; the next one first */
};

/* The calls below: main thread. Errors are negative errno: -EEXIST the slot is taken, -EINVAL a
 * field is out of range, -ENOMEM the key arena is full. now_ms: CLOCK_MONOTONIC. */
struct spw_sa_table *spw_sa_table_create(uint32_t sas_max);
void spw_sa_table_destroy(struct spw_sa_table *table); /* no worker runs any more; wipes all SAs */
int spw_sa_add(struct spw_sa_table *table, const struct spw_msg_sa_add *msg, uint64_t now_ms);
/* Unpublishes and returns the SA for spw_sa_destroy after the grace period; NULL: no such SA. */
struct spw_sa *spw_sa_unpublish(struct spw_sa_table *table, uint32_t direction, uint32_t slot);
void spw_sa_destroy(struct spw_sa *sa); /* wipes it */
/* As spw_sa_unpublish, of an SA whose lifetime is over; NULL: there is none. */
struct spw_sa *spw_sa_unpublish_ended(struct spw_sa_table *table, uint64_t now_ms);
/* In how many milliseconds there will be one, -1: never. */
int spw_sa_ends_in_ms(const struct spw_sa_table *table, uint64_t now_ms);
int spw_sa_limit(struct spw_sa_table *table, uint32_t direction, uint32_t slot, uint64_t limit);
int spw_sa_query(struct spw_sa_table *table, uint32_t direction, uint32_t slot, uint64_t *sequence);

/*
 * Workers: what goes into the AEAD beside the text, for an ESP header with this IV (in the order of
 * the wire). The nonce is salt and IV; the additional data is SPI and sequence, with ESN SPI, high
 * half, low half (RFC 4106 4 and 5). Returns the bytes of `aad` that are in use.
 *
 * Both are written in the pieces of 8 and 4 bytes in which ciphers read them: a load that spans two
 * younger stores would wait until both are in the cache.
 */
static inline size_t spw_sa_aead_input(const struct spw_sa *sa, uint64_t iv_be, uint64_t sequence,
				       uint8_t nonce[SPW_NONCE_BYTES], uint8_t aad[12])
{
	uint64_t nonce_low = iv_be << 32 | sa->salt_be;
	uint32_t nonce_high = (uint32_t)(iv_be >> 32);
	memcpy(nonce, &nonce_low, 8);
	memcpy(nonce + 8, &nonce_high, 4);

	/* The high half of the number stands in the low half of this word. */
	uint64_t sequence_be = __builtin_bswap64(sequence);
	bool esn = sa->flags & SPW_SA_F_ESN;
	uint64_t first = (esn ? sequence_be << 32 : sequence_be >> 32 << 32) | sa->spi_be;
	uint32_t low_be = (uint32_t)(sequence_be >> 32);
	memcpy(aad, &first, 8);
	memcpy(aad + 8, &low_be, 4);
	return esn ? 12 : 8;
}

/* The last sequence number that may be sent. */
static inline uint64_t spw_sa_last(uint32_t flags)
{
	return flags & SPW_SA_F_ESN ? UINT64_MAX - 1 : UINT32_MAX;
}

/*
 * Workers: whether there are so many SAs that what the next packets need, keys before all, must be
 * asked for ahead. Up to here (0.3 MB of what packets touch of them) it comes from the second-level
 * cache in time, and asking for it saves nothing; with 4,096 tunnels encryption of 64 bytes took
 * 620 cycles with it and 960 without, on a machine that was busy otherwise.
 */
#define SPW_SA_NEAR_CNT 256u
static inline bool spw_sas_far(const struct spw_sa_table *table)
{
	return __atomic_load_n(&table->sas_cnt, __ATOMIC_RELAXED) > SPW_SA_NEAR_CNT;
}

/* By how many packets: a key's lines come from the third-level cache within the time of two, and
 * those of a whole burst would push each other out of the first. */
#define SPW_SA_AHEAD 4u

/* Workers: asks for what a packet of so many bytes needs of an SA, some packets before it is used.
 * Reads nothing of the SA. */
static inline void spw_sa_prefetch(const struct spw_sa *sa, uint32_t bytes)
{
	rte_prefetch0(sa);
	rte_prefetch0(&sa->replay);
	spw_aead_prefetch(sa->aead, bytes);
}

/* Workers: the published SA of a slot, or NULL. Pairs with the release store of spw_sa_add. */
static inline struct spw_sa *spw_sa_get(struct spw_sa *const *table, uint32_t sas_max,
					uint32_t slot)
{
	return slot < sas_max ? __atomic_load_n(&table[slot], __ATOMIC_ACQUIRE) : NULL;
}

#endif
