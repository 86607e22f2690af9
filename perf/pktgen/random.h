/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random.h - numbers that look random and are the same in every run (xorshift64), for the generator
 * and for tests. Nothing secret may come from here. Who owns the memory: the caller, who starts the
 * state with any number but 0. Any thread.
 */
#ifndef SPW_RANDOM_H
#define SPW_RANDOM_H

#include <stdint.h>

#define SPW_RANDOM_SEED 88172645463325252u

static inline uint64_t spw_random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
