/* SPDX-License-Identifier: BSD-2-Clause */
/* histogram.c - see histogram.h. */
#include "perf/pktgen/histogram.h"

/* The first value of a bucket. */
static uint64_t bucket_first(uint32_t bucket)
{
	if (bucket < SPW_HISTOGRAM_SUB)
		return bucket;
	uint32_t shift = bucket / SPW_HISTOGRAM_SUB - 1;
	return (uint64_t)(SPW_HISTOGRAM_SUB + bucket % SPW_HISTOGRAM_SUB) << shift;
}

static uint64_t bucket_last(uint32_t bucket)
{
	return bucket_first(bucket + 1) - 1;
}

uint64_t spw_histogram_quantile(const struct spw_histogram *histogram, double quantile)
{
	/* Counted here: `cnt` may be a little ahead of the buckets when another thread adds. */
	uint64_t cnt = 0, below = 0;

	for (uint32_t b = 0; b < SPW_HISTOGRAM_BUCKETS; b++)
		cnt += __atomic_load_n(&histogram->bucket[b], __ATOMIC_RELAXED);
	double wanted = quantile * (double)cnt;
	for (uint32_t b = 0; b < SPW_HISTOGRAM_BUCKETS && cnt; b++) {
		below += __atomic_load_n(&histogram->bucket[b], __ATOMIC_RELAXED);
		if ((double)below < wanted || below == 0)
			continue;
		uint64_t middle = (bucket_first(b) + bucket_last(b)) / 2;
		uint64_t min = __atomic_load_n(&histogram->min, __ATOMIC_RELAXED);
		uint64_t max = __atomic_load_n(&histogram->max, __ATOMIC_RELAXED);
		return middle < min ? min : middle > max ? max : middle;
	}
	return 0;
}

void spw_histogram_since(const struct spw_histogram *now, struct spw_histogram *before,
			 struct spw_histogram *since)
{
	*since = (struct spw_histogram){0};
	for (uint32_t b = 0; b < SPW_HISTOGRAM_BUCKETS; b++) {
		uint64_t cnt = __atomic_load_n(&now->bucket[b], __ATOMIC_RELAXED);
		since->bucket[b] = cnt - before->bucket[b];
		before->bucket[b] = cnt;
		if (!since->bucket[b])
			continue;
		if (!since->cnt)
			since->min = bucket_first(b);
		since->cnt += since->bucket[b];
		since->max = bucket_last(b);
	}
	uint64_t sum = __atomic_load_n(&now->sum, __ATOMIC_RELAXED);
	since->sum = sum - before->sum;
	before->sum = sum;
}
