/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bucket.h - a token bucket for one cap (ebpf/tables.h, SPW_CAP), exact and without a division.
 *
 * It counts in grains of 1/8,000,000 byte: at 1 kbit/s exactly one grain comes in per nanosecond,
 * so that filling is one multiplication of the rate by the nanoseconds gone, with no remainder to
 * lose. The deepest bucket, 4 GiB, holds 3.5e16 grains, far inside 64 bits.
 *
 * A cap that several workers share is split evenly: each one pays for its packets `sharers` times,
 * which is the cap divided by `sharers`, rate and burst alike, without rounding.
 *
 * Who owns the memory: the lane. Thread: its worker alone. A zeroed bucket is ready for use.
 */
#ifndef SPW_BUCKET_H
#define SPW_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "ebpf/tables.h"

#define SPW_BUCKET_GRAINS_PER_BYTE 8000000ull

/* Every sharer's bucket is at least this deep: in a bucket smaller than a packet no such packet
 * would ever pass, at any rate. */
#define SPW_BUCKET_DEPTH_MIN_BYTES 4096ull

struct spw_bucket {
	uint64_t cap; /* the cap word that the level is counted by; 0: none was set */
	uint64_t level_grains;
	uint64_t filled_ns;    /* up to when it is filled */
	uint64_t depth_grains; /* of cap */
};

static inline uint64_t spw_bucket_depth_grains(uint64_t cap, uint32_t sharers)
{
	uint64_t bytes = SPW_CAP_BURST_BYTES(cap);
	if (bytes < SPW_BUCKET_DEPTH_MIN_BYTES * sharers)
		bytes = SPW_BUCKET_DEPTH_MIN_BYTES * sharers;
	return bytes * SPW_BUCKET_GRAINS_PER_BYTE;
}

static inline uint64_t spw_bucket_cost_grains(uint32_t bytes, uint32_t sharers)
{
	return (uint64_t)bytes * sharers * SPW_BUCKET_GRAINS_PER_BYTE;
}

/* Adds what came in since the last time, at the rate that held until now. A clock that steps back
 * adds nothing, and time goes on from where it stepped to. */
static inline void spw_bucket_fill(struct spw_bucket *bucket, uint64_t now_ns)
{
	uint64_t gone_ns = now_ns > bucket->filled_ns ? now_ns - bucket->filled_ns : 0;
	uint64_t depth = bucket->depth_grains;
	uint64_t grains, level;

	if (__builtin_mul_overflow(gone_ns, (uint64_t)SPW_CAP_RATE_KBIT(bucket->cap), &grains) ||
	    __builtin_add_overflow(bucket->level_grains, grains, &level) || level > depth)
		level = depth;
	bucket->level_grains = level;
	bucket->filled_ns = now_ns;
}

/* Takes over another cap, not 0. A bucket starts full; when the cap changes, what is in it stays,
 * up to the new burst. Out of line: it happens once in many packets. */
static __attribute__((cold, noinline, unused)) void
spw_bucket_change(struct spw_bucket *bucket, uint64_t cap, uint64_t now_ns, uint32_t sharers)
{
	uint64_t depth = spw_bucket_depth_grains(cap, sharers);

	if (bucket->cap == 0)
		bucket->level_grains = depth;
	else
		spw_bucket_fill(bucket, now_ns);
	if (bucket->level_grains > depth)
		bucket->level_grains = depth;
	bucket->cap = cap;
	bucket->filled_ns = now_ns;
	bucket->depth_grains = depth;
}

/* Brings a bucket up to now and to a cap that is not 0. */
static inline void spw_bucket_renew(struct spw_bucket *bucket, uint64_t cap, uint64_t now_ns,
				    uint32_t sharers)
{
	if (__builtin_expect(bucket->cap != cap, 0))
		spw_bucket_change(bucket, cap, now_ns, sharers);
	/* Time stands still within a burst: the second packet finds the bucket as full as it is. */
	else if (bucket->filled_ns != now_ns)
		spw_bucket_fill(bucket, now_ns);
}

/*
 * spw_bucket_admits says whether a packet of `bytes` may pass now, and takes nothing yet, so that a
 * packet under two caps is paid for in both or in none.
 * cap: the cap's word as it stands in the table now; 0 always admits. sharers: 1..SPW_WORKERS_MAX,
 * always the same for a bucket.
 */
static inline bool spw_bucket_admits(struct spw_bucket *bucket, uint64_t cap, uint64_t now_ns,
				     uint32_t bytes, uint32_t sharers)
{
	if (cap == 0) {
		bucket->cap = 0;
		return true;
	}
	spw_bucket_renew(bucket, cap, now_ns, sharers);
	return bucket->level_grains >= spw_bucket_cost_grains(bytes, sharers);
}

/* Takes what spw_bucket_admits has just admitted, with the same bytes and sharers. */
static inline void spw_bucket_take(struct spw_bucket *bucket, uint32_t bytes, uint32_t sharers)
{
	if (bucket->cap != 0)
		bucket->level_grains -= spw_bucket_cost_grains(bytes, sharers);
}

/* spw_bucket_admits and spw_bucket_take in one, for a packet under one cap. */
static inline bool spw_bucket_charge(struct spw_bucket *bucket, uint64_t cap, uint64_t now_ns,
				     uint32_t bytes, uint32_t sharers)
{
	uint64_t cost = spw_bucket_cost_grains(bytes, sharers);

	if (cap == 0) {
		bucket->cap = 0;
		return true;
	}
	spw_bucket_renew(bucket, cap, now_ns, sharers);
	if (bucket->level_grains < cost)
		return false;
	bucket->level_grains -= cost;
	return true;
}

/*
 * A bucket that several packets in a row are charged to, held out of memory meanwhile: through
 * memory each packet would wait for the one before. Between open and close nobody else may use it.
 */
struct spw_bucket_run {
	struct spw_bucket *bucket;
	uint64_t level_grains;
	uint64_t grains_per_byte; /* what a byte costs; 0: there is no cap */
};

static inline struct spw_bucket_run spw_bucket_open(struct spw_bucket *bucket, uint64_t cap,
						    uint64_t now_ns, uint32_t sharers)
{
	spw_bucket_admits(bucket, cap, now_ns, 0, sharers);
	return (struct spw_bucket_run){bucket, bucket->level_grains,
				       cap ? spw_bucket_cost_grains(1, sharers) : 0};
}

static inline bool spw_bucket_run_admits(const struct spw_bucket_run *run, uint32_t bytes)
{
	return run->level_grains >= bytes * run->grains_per_byte;
}

static inline void spw_bucket_run_take(struct spw_bucket_run *run, uint32_t bytes)
{
	run->level_grains -= bytes * run->grains_per_byte;
}

static inline void spw_bucket_close(const struct spw_bucket_run *run)
{
	run->bucket->level_grains = run->level_grains;
}

#endif
