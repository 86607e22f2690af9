/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limiter.h - the buckets of ebpf/limit.h as a worker keeps them: per source, and of all.
 *
 * A table of fixed size. A source has 4 places; a new one takes the place of that one of them whose
 * buckets were taken from longest ago, as an LRU map would. Forged sources thereby make others'
 * buckets full again, never empty; then the buckets of all control messages protect control.
 *
 * Who owns the memory: the lane, zeroed at start. Thread: its worker alone.
 */
#ifndef SPW_LIMITER_H
#define SPW_LIMITER_H

#include "ebpf/limit.h"

#define SPW_LIMITER_WAYS 4u

/* Places for 4,096 sources in 128 KiB: a quarter of the classifier's, as workers have a table each.
 */
#define SPW_LIMITER_SETS_BITS 10u

struct spw_limiter_entry {
	struct spw_source source; /* family 0: free */
	struct spw_source_buckets buckets;
};

struct spw_limiter {
	__u64 total_full_ns[SPW_LIMIT_SHARES];
	struct spw_limiter_entry entries[1u << SPW_LIMITER_SETS_BITS][SPW_LIMITER_WAYS];
};

static inline __u64 spw_limiter_used_ns(const struct spw_limiter_entry *entry)
{
	const __u64 *full_ns = entry->buckets.full_ns;

	return full_ns[SPW_LIMIT_CONTROL] > full_ns[SPW_LIMIT_SPI] ? full_ns[SPW_LIMIT_CONTROL]
								   : full_ns[SPW_LIMIT_SPI];
}

/* The buckets of a source, full ones where it has not been seen for long. */
static inline struct spw_source_buckets *spw_limiter_buckets(struct spw_limiter *limiter,
							     __u64 prefix, __u32 family)
{
	/* Fibonacci hashing: the top bits of a product are good ones, and /64s differ below. */
	__u64 hash = (prefix ^ prefix >> 29 ^ family) * 0x9e3779b97f4a7c15ull;
	struct spw_limiter_entry *set = limiter->entries[hash >> (64 - SPW_LIMITER_SETS_BITS)];
	struct spw_limiter_entry *oldest = set;

	for (__u32 i = 0; i < SPW_LIMITER_WAYS; i++) {
		if (set[i].source.prefix == prefix && set[i].source.family == family)
			return &set[i].buckets;
		if (spw_limiter_used_ns(&set[i]) < spw_limiter_used_ns(oldest))
			oldest = &set[i];
	}
	*oldest = (struct spw_limiter_entry){.source = {.prefix = prefix, .family = family}};
	return &oldest->buckets;
}

#endif
