/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timing.h - which of many measurements a benchmark reports.
 *
 * Who owns the memory: the caller. Any thread.
 */
#ifndef SPW_PERF_TIMING_H
#define SPW_PERF_TIMING_H

#include <stdint.h>
#include <stdlib.h>

static inline int timing_compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* Sorts the values; cnt is 1 or more. The one below which `percent` of them lie, 0 to 99. */
static inline double timing_quantile(double *values, uint32_t cnt, uint32_t percent)
{
	qsort(values, cnt, sizeof(values[0]), timing_compare);
	return values[(uint64_t)cnt * percent / 100];
}

#endif
