/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world_setup.c - what tests begin and end with, see world.h. Apart from the rest because of the
 * arena's stand-in: benchmarks run in a world with the real one.
 */
#include <stdio.h>

#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/world.h"

int world_provider(const char *name)
{
	char why[160];

	if (spw_aead_choose(name, 2, why, sizeof(why)) != 0 ||
	    strcmp(spw_aead_provider(), name) != 0) {
		fprintf(stderr, "%s\n", why);
		return WORLD_SKIPPED;
	}
	arena_live_cnt = 0; /* what it keeps for good is no leak */
	return 0;
}

int world_setup(void **state)
{
	struct world *world = world_create(64);

	world_furnish(world);
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;
	uint32_t mbufs = world_mbufs_out(world);

	world_destroy(world);
	if (mbufs == 0 && arena_live_cnt == 0)
		return 0;
	fprintf(stderr, "left over: %u buffers, %zu pieces of the arena\n", mbufs, arena_live_cnt);
	return -1;
}
