/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blocks.h - which units of a shared array are free: hands out runs of neighbouring units.
 *
 * Free runs know both their ends (boundary tags), so that a freed block joins its neighbours at
 * once and nothing is lost to splinters; they hang in one list per length up to 64, and one for all
 * others. The book-keeping is kept beside the array, never in it: readers may look at any unit at
 * any time.
 *
 * Who owns the memory: struct spw_blocks owns its book-keeping until spw_blocks_close; it never
 * touches the array. Control's one thread.
 */
#ifndef SPW_BLOCKS_H
#define SPW_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define SPW_BLOCK_LISTS 64u

struct spw_blocks {
	uint32_t max;                       /* units 1..max-1 are handed out; unit 0 never is */
	uint32_t free;                      /* units that are free */
	uint64_t lists;                     /* bit n-1: there is a free run of exactly n units */
	uint32_t list[SPW_BLOCK_LISTS + 1]; /* [n-1]: runs of n; the last: longer ones; 0: none */
	uint64_t *is_free;     /* bit per unit; until spw_blocks_marked: it is in use */
	uint32_t *run;         /* at the first and the last unit of a free run: its length */
	uint32_t *next, *prev; /* at the first unit of a free run: its list */
};

/* 0 or -ENOMEM. At first it is not known what is in use: mark that, then spw_blocks_marked. */
int spw_blocks_open(struct spw_blocks *blocks, uint32_t max);
void spw_blocks_close(struct spw_blocks *blocks);

/* Notes that a block is in use; false: it is out of range, or a unit of it was marked before. */
bool spw_blocks_mark(struct spw_blocks *blocks, uint32_t first, uint32_t units);
/* All units that were not marked are free now. */
void spw_blocks_marked(struct spw_blocks *blocks);

/* First unit of a run of `units`, 0: there is none that long. */
uint32_t spw_blocks_alloc(struct spw_blocks *blocks, uint32_t units);
/* Gives any number of units back; they must be taken. */
void spw_blocks_free(struct spw_blocks *blocks, uint32_t first, uint32_t units);

#endif
