/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/tables/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LONG_LIST SPW_BLOCK_LISTS

static bool is_free(const struct spw_blocks *blocks, uint32_t unit)
{
	return blocks->is_free[unit / 64] >> (unit % 64) & 1;
}

static void set_free(struct spw_blocks *blocks, uint32_t first, uint32_t units, bool value)
{
	for (uint32_t unit = first; unit < first + units; unit++) {
		uint64_t bit = 1ull << (unit % 64);
		if (value)
			blocks->is_free[unit / 64] |= bit;
		else
			blocks->is_free[unit / 64] &= ~bit;
	}
}

static uint32_t list_of(uint32_t units)
{
	return units > SPW_BLOCK_LISTS ? LONG_LIST : units - 1;
}

static void run_link(struct spw_blocks *blocks, uint32_t first, uint32_t units)
{
	uint32_t list = list_of(units);
	uint32_t head = blocks->list[list];

	blocks->run[first] = units;
	blocks->run[first + units - 1] = units;
	blocks->prev[first] = 0;
	blocks->next[first] = head;
	if (head)
		blocks->prev[head] = first;
	blocks->list[list] = first;
	if (list != LONG_LIST)
		blocks->lists |= 1ull << list;
}

static void run_unlink(struct spw_blocks *blocks, uint32_t first)
{
	uint32_t list = list_of(blocks->run[first]);
	uint32_t next = blocks->next[first], prev = blocks->prev[first];

	if (next)
		blocks->prev[next] = prev;
	if (prev)
		blocks->next[prev] = next;
	else
		blocks->list[list] = next;
	if (list != LONG_LIST && blocks->list[list] == 0)
		blocks->lists &= ~(1ull << list);
}

int spw_blocks_open(struct spw_blocks *blocks, uint32_t max)
{
	memset(blocks, 0, sizeof(*blocks));
	blocks->max = max;
	blocks->is_free = calloc(max / 64 + 1, sizeof(*blocks->is_free));
	blocks->run = calloc(max, sizeof(*blocks->run));
	blocks->next = calloc(max, sizeof(*blocks->next));
	blocks->prev = calloc(max, sizeof(*blocks->prev));
	if (!blocks->is_free || !blocks->run || !blocks->next || !blocks->prev) {
		spw_blocks_close(blocks);
		return -ENOMEM;
	}
	return 0;
}

void spw_blocks_close(struct spw_blocks *blocks)
{
	free(blocks->is_free);
	free(blocks->run);
	free(blocks->next);
	free(blocks->prev);
	memset(blocks, 0, sizeof(*blocks));
}

bool spw_blocks_mark(struct spw_blocks *blocks, uint32_t first, uint32_t units)
{
	if (first == 0 || first >= blocks->max || units > blocks->max - first)
		return false;
	for (uint32_t unit = first; unit < first + units; unit++)
		if (is_free(blocks, unit))
			return false;
	set_free(blocks, first, units, true);
	return true;
}

void spw_blocks_marked(struct spw_blocks *blocks)
{
	for (uint32_t unit = 1; unit < blocks->max;) {
		uint32_t first = unit;
		while (unit < blocks->max && !is_free(blocks, unit))
			unit++;
		uint32_t end = unit;
		/* The marks behind the run go first, or it would take its neighbour for free. */
		for (; unit < blocks->max && is_free(blocks, unit); unit++)
			set_free(blocks, unit, 1, false);
		if (end > first)
			spw_blocks_free(blocks, first, end - first);
	}
}

uint32_t spw_blocks_alloc(struct spw_blocks *blocks, uint32_t units)
{
	/* The shortest run that is long enough, so that long ones stay whole. */
	uint64_t fitting = units <= LONG_LIST ? blocks->lists >> (units - 1) << (units - 1) : 0;
	uint32_t first = blocks->list[fitting ? (uint32_t)__builtin_ctzll(fitting) : LONG_LIST];

	while (first && blocks->run[first] < units)
		first = blocks->next[first];
	if (first == 0)
		return 0;
	uint32_t rest = blocks->run[first] - units;
	run_unlink(blocks, first);
	set_free(blocks, first, units, false);
	if (rest)
		run_link(blocks, first + units, rest);
	blocks->free -= units;
	return first;
}

void spw_blocks_free(struct spw_blocks *blocks, uint32_t first, uint32_t units)
{
	blocks->free += units;
	set_free(blocks, first, units, true);
	if (is_free(blocks, first - 1)) { /* unit 0 is never free */
		uint32_t before = blocks->run[first - 1];
		first -= before;
		units += before;
		run_unlink(blocks, first);
	}
	if (first + units < blocks->max && is_free(blocks, first + units)) {
		uint32_t after = first + units;
		run_unlink(blocks, after);
		units += blocks->run[after];
	}
	run_link(blocks, first, units);
}
