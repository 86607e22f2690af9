/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * gcra.h - a token bucket in one word that any CPU may take from, for BPF and native code.
 *
 * The word is the time at which the bucket will be full again (the generic cell rate algorithm of
 * ITU-T I.371): what is taken costs time, and the bucket holds as much time as its burst. Nothing
 * has to run to fill it. Times are in any unit and may wrap around; whoever calls brings the clock.
 *
 * Who owns the memory: a BPF map. Any CPU and any worker, by compare and swap.
 */
#ifndef SPW_GCRA_H
#define SPW_GCRA_H

#include <linux/types.h>
#include <stdbool.h>
#ifndef __bpf__
#include <sys/cdefs.h> /* __always_inline */
#endif

/* How often a lost race for the word is tried again. Two CPUs meet within the some 10 ns between
 * load and swap at most every 50th packet, so who has lost 8 times does not exist; there has to be
 * an end for the verifier's sake. */
#define SPW_GCRA_TRIES 8

/*
 * spw_gcra_take takes `cost` out of the bucket, and nothing where it does not hold as much.
 * now: since any fixed time; cost and burst: in units of it, below 2^62; a cost above the burst
 * never passes.
 */
static __always_inline bool spw_gcra_take(__u64 *full, __u64 now, __u64 cost, __u64 burst)
{
	for (int tries = 0; tries < SPW_GCRA_TRIES; tries++) {
		__u64 seen = *(volatile __u64 *)full;
		__u64 ahead = seen - now;
		if ((__s64)ahead < 0)
			ahead = 0;
		if (ahead > burst || cost > burst - ahead)
			return false;
		if (__sync_val_compare_and_swap(full, seen, now + ahead + cost) == seen)
			return true;
	}
	return false;
}

/* To be called where a bucket refused. A word that lies farther ahead than the bucket can hold was
 * written under a larger burst, or is from so long ago that the clock went half round: then the
 * bucket is empty now, and fills again. */
static __always_inline void spw_gcra_mend(__u64 *full, __u64 now, __u64 burst)
{
	__u64 seen = *(volatile __u64 *)full;

	if ((__s64)(seen - now) > 0 && seen - now > burst)
		__sync_val_compare_and_swap(full, seen, now + burst);
}

/* Gives back what spw_gcra_take has just taken. */
static __always_inline void spw_gcra_return(__u64 *full, __u64 cost)
{
	__sync_fetch_and_sub(full, cost);
}

#endif
