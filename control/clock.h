/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - CLOCK_MONOTONIC as one number, for all programs. It is read without a system call, from
 * the TSC where that is reliable. Any thread.
 */
#ifndef SPW_CLOCK_H
#define SPW_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t spw_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t spw_now_ms(void)
{
	return spw_now_ns() / 1000000u;
}

#endif
