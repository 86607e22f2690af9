/* SPDX-License-Identifier: BSD-2-Clause */
/* arena_double.h - what a test may ask of the arena's stand-in. One thread. */
#ifndef TEST_ARENA_DOUBLE_H
#define TEST_ARENA_DOUBLE_H

#include <stddef.h>

extern size_t arena_live_cnt; /* pieces that are out */
extern int arena_allowed_cnt; /* pieces until it is full, -1: never */

#endif
