/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena.h - the one piece of memory in which keys live.
 *
 * One mapping, locked (mlock), kept out of core dumps (MADV_DONTDUMP) and of forked children
 * (MADV_WIPEONFORK), reserved before privileges are dropped. OpenSSL's allocator is pointed at it
 * (CRYPTO_set_mem_functions) for cipher contexts, so that expanded keys lie in it too; that call
 * must come before any other use of OpenSSL. Memory is wiped when it is freed.
 *
 * Pages are locked when they are first touched, so what no key needed yet costs nothing. They are
 * huge pages where the kernel has some.
 *
 * Thread: main, at any time. Workers allocate nothing behind a packet; what OpenSSL allocates for a
 * worker at its first use of the error queue is guarded by a lock.
 */
#ifndef SPW_ARENA_H
#define SPW_ARENA_H

#include <stddef.h>

/* Reserves and locks `bytes`. 0 or a negative errno. Called once, before any OpenSSL call. */
int spw_arena_open(size_t bytes);

void *spw_arena_alloc(size_t bytes); /* zeroed, 64-byte aligned; NULL: full */
void spw_arena_free(void *memory);   /* wiped; NULL is allowed */

/* From here to the next call, with NULL and 0, the calling thread's OpenSSL allocates inside
 * `memory`, a zeroed and 64-byte aligned part of a block, as long as there is room. What it puts
 * there must be freed before that block is. */
void spw_arena_nest(void *memory, size_t bytes);

#endif
