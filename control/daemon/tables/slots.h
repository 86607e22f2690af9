/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots.h - a pool of numbers 1..max-1: tunnel ids, tunnel slots, SA slots, neighbor ids.
 *
 * Hands out the lowest free number. 0 is never handed out: in every table it means "none". A number
 * that readers may still hold is given back only after a grace period: spw_slots_free_later has the
 * shape of a grace callback for that.
 *
 * Who owns the memory: struct spw_slots owns its bitmap until spw_slots_close. Control's thread.
 */
#ifndef SPW_SLOTS_H
#define SPW_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct spw_slots {
	uint64_t *bits; /* bit n: number n is taken; bit 0 always is */
	uint32_t max;   /* one above the highest number */
	uint32_t used;  /* numbers taken, 0 not counted */
	uint32_t first; /* no word of `bits` below this one has a free number */
};

int spw_slots_open(struct spw_slots *slots, uint32_t max); /* max >= 1; 0 or -ENOMEM, -EINVAL */
void spw_slots_close(struct spw_slots *slots);

uint32_t spw_slots_alloc(struct spw_slots *slots); /* 0: none is left */
void spw_slots_free(struct spw_slots *slots, uint32_t slot);

/* spw_grace_fn: arg0 the struct spw_slots, arg1 the number. */
void spw_slots_free_later(void *slots, uint64_t slot);

/* Takes one certain number (on start, from the published tables): 0, -EINVAL out of range,
 * -EEXIST taken already. */
int spw_slots_mark(struct spw_slots *slots, uint32_t slot);

bool spw_slots_taken(const struct spw_slots *slots, uint32_t slot);

/* How many can still be allocated: a transaction asks before it starts. */
static inline uint32_t spw_slots_left(const struct spw_slots *slots)
{
	return slots->max - 1 - slots->used;
}

#endif
