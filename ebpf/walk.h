/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * walk.h - spw_trie_lookup as BPF code calls it, so that the verifier has little to do.
 *
 * It is what the verifier judges longest: written as the plain loop of trie.h a program with it
 * takes 500,000 of the million steps that the verifier may take (Linux 6.18), with these functions
 * 120,000.
 */
#ifndef SPW_WALK_H
#define SPW_WALK_H

#include "maps.h"
#include "trie.h"

struct spw_walk {
	struct spw_trie_key key;
	struct spw_trie_way way;
};

static long spw_walk4(__u32 level, void *argument)
{
	struct spw_walk *walk = argument;

	(void)level;
	spw_trie_step(NULL, walk->key, SPW_TRIE_LEVELS4, &walk->way);
	return walk->way.ref == 0;
}

static long spw_walk6(__u32 level, void *argument)
{
	struct spw_walk *walk = argument;

	(void)level;
	spw_trie_step(NULL, walk->key, SPW_TRIE_LEVELS6, &walk->way);
	return walk->way.ref == 0;
}

/* Most lookups end within two steps: what these find on the way stays in registers. */
static __always_inline struct spw_trie_way spw_walk_start(__u32 root, struct spw_trie_key key,
							  __u32 levels)
{
	struct spw_trie_way way = {.ref = root};

	for (int step = 0; step < 2 && way.ref; step++)
		spw_trie_step(NULL, key, levels, &way);
	return way;
}

/* Neither inlined nor static, and with a loop of the kernel's: so the verifier judges a global
 * function once, not in every state of its callers, and one step of it, not every level. */
__noinline __u32 spw_lookup4(__u32 root, __u64 hi)
{
	struct spw_trie_key key = {.hi = hi};
	struct spw_trie_way way = spw_walk_start(root, key, SPW_TRIE_LEVELS4);
	struct spw_walk walk;

	if (!way.ref)
		return way.best;
	walk = (struct spw_walk){key, way};
	bpf_loop(SPW_TRIE_LEVELS4 - 2, spw_walk4, &walk, 0);
	return walk.way.best;
}

__noinline __u32 spw_lookup6(__u32 root, __u64 hi, __u64 lo)
{
	struct spw_trie_key key = {.hi = hi, .lo = lo};
	struct spw_trie_way way = spw_walk_start(root, key, SPW_TRIE_LEVELS6);
	struct spw_walk walk;

	if (!way.ref)
		return way.best;
	walk = (struct spw_walk){key, way};
	bpf_loop(SPW_TRIE_LEVELS6 - 2, spw_walk6, &walk, 0);
	return walk.way.best;
}

#endif
