/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/tables/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t words(uint32_t max)
{
	return max / 64 + (max % 64 != 0);
}

int spw_slots_open(struct spw_slots *slots, uint32_t max)
{
	memset(slots, 0, sizeof(*slots));
	if (max == 0)
		return -EINVAL;
	slots->bits = calloc(words(max), sizeof(*slots->bits));
	if (!slots->bits)
		return -ENOMEM;
	slots->max = max;
	slots->bits[0] = 1;
	if (max % 64) /* numbers past the end are never free */
		slots->bits[max / 64] |= ~0ull << (max % 64);
	return 0;
}

void spw_slots_close(struct spw_slots *slots)
{
	free(slots->bits);
	memset(slots, 0, sizeof(*slots));
}

uint32_t spw_slots_alloc(struct spw_slots *slots)
{
	for (; slots->first < words(slots->max); slots->first++) {
		uint64_t available = ~slots->bits[slots->first];
		if (available) {
			slots->bits[slots->first] |= available & -available;
			slots->used++;
			return slots->first * 64 + (uint32_t)__builtin_ctzll(available);
		}
	}
	return 0;
}

void spw_slots_free(struct spw_slots *slots, uint32_t slot)
{
	if (slot == 0 || !spw_slots_taken(slots, slot))
		return;
	slots->bits[slot / 64] &= ~(1ull << (slot % 64));
	slots->used--;
	if (slot / 64 < slots->first)
		slots->first = slot / 64;
}

void spw_slots_free_later(void *slots, uint64_t slot)
{
	spw_slots_free(slots, (uint32_t)slot);
}

int spw_slots_mark(struct spw_slots *slots, uint32_t slot)
{
	if (slot == 0 || slot >= slots->max)
		return -EINVAL;
	if (spw_slots_taken(slots, slot))
		return -EEXIST;
	slots->bits[slot / 64] |= 1ull << (slot % 64);
	slots->used++;
	return 0;
}

bool spw_slots_taken(const struct spw_slots *slots, uint32_t slot)
{
	return slot < slots->max && (slots->bits[slot / 64] >> (slot % 64) & 1);
}
