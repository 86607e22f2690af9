/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram.h - how often which value occurred, with buckets that grow with the value.
 *
 * Log-linear: every power of two is cut into 128 buckets of equal width, so a value is known to
 * 1/128 of itself, and to the unit below 128. Adding costs a shift and an increment.
 *
 * Who owns the memory: the caller; all zero is an empty histogram. Thread: one writes (relaxed
 * stores), others may read at any time (relaxed loads) and see each count as it was a moment ago.
 */
#ifndef SPW_HISTOGRAM_H
#define SPW_HISTOGRAM_H

#include <stdint.h>

#define SPW_HISTOGRAM_SUB_BITS 7u
#define SPW_HISTOGRAM_SUB (1u << SPW_HISTOGRAM_SUB_BITS)
#define SPW_HISTOGRAM_VALUE_BITS 42u /* nanoseconds: more than an hour */
#define SPW_HISTOGRAM_BUCKETS                                                                      \
	((SPW_HISTOGRAM_VALUE_BITS - SPW_HISTOGRAM_SUB_BITS + 1) * SPW_HISTOGRAM_SUB)

struct spw_histogram {
	uint64_t cnt;
	uint64_t sum;
	uint64_t min, max; /* exact; meaningless while cnt is 0 */
	uint64_t bucket[SPW_HISTOGRAM_BUCKETS];
};

/* Values that are too large count as the largest there is. */
static inline uint32_t spw_histogram_bucket(uint64_t value)
{
	if (value < SPW_HISTOGRAM_SUB)
		return (uint32_t)value;
	if (value >> SPW_HISTOGRAM_VALUE_BITS)
		return SPW_HISTOGRAM_BUCKETS - 1;
	uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - SPW_HISTOGRAM_SUB_BITS;
	return (shift + 1) * SPW_HISTOGRAM_SUB + (uint32_t)(value >> shift) - SPW_HISTOGRAM_SUB;
}

static inline void spw_histogram_add(struct spw_histogram *histogram, uint64_t value)
{
	uint64_t *bucket = &histogram->bucket[spw_histogram_bucket(value)];

	if (value < histogram->min || histogram->cnt == 0)
		__atomic_store_n(&histogram->min, value, __ATOMIC_RELAXED);
	if (value > histogram->max)
		__atomic_store_n(&histogram->max, value, __ATOMIC_RELAXED);
	__atomic_store_n(bucket, *bucket + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&histogram->sum, histogram->sum + value, __ATOMIC_RELAXED);
	__atomic_store_n(&histogram->cnt, histogram->cnt + 1, __ATOMIC_RELAXED);
}

/* The value that a share of `quantile` (0 to 1) does not exceed: the middle of its bucket, but
 * never outside min and max. 0: the histogram is empty. */
uint64_t spw_histogram_quantile(const struct spw_histogram *histogram, double quantile);

/* What was added between two looks at a histogram that grows: `now` minus `before`, which is then
 * brought up to `now`. min and max of the result are those of its buckets. */
void spw_histogram_since(const struct spw_histogram *now, struct spw_histogram *before,
			 struct spw_histogram *since);

#endif
