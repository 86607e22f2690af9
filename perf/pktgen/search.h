/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * search.h - which rates to try next to find the highest one that is forwarded without loss (NDR)
 * and the highest one with a loss that is still allowed (PDR), after RFC 2544 26.1.
 *
 * Each goal has an interval: the highest rate that passed, the lowest that failed. A trial narrows
 * both. The interval is halved until it is narrower than the resolution. A goal that fails at a
 * rate which another trial has passed above has met noise: what passed counts no more.
 *
 * Pure, without clock or ports. Who owns the memory: the caller. Thread: one.
 */
#ifndef SPW_SEARCH_H
#define SPW_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

enum spw_search_goal_name { SPW_SEARCH_NDR, SPW_SEARCH_PDR, SPW_SEARCH_GOALS };

struct spw_search_goal {
	double loss_max; /* a share: 0.005 is 0.5 % */
	double passed;   /* packets/s; 0: none did */
	double failed;   /* packets/s; infinite: none did */
};

struct spw_search {
	double highest; /* packets/s, the first rate that is tried */
	double resolution;
	struct spw_search_goal goal[SPW_SEARCH_GOALS];
};

/* highest: packets/s; resolution_share: how much of it the answer may be off. */
void spw_search_begin(struct spw_search *search, double highest, double resolution_share,
		      double pdr_loss_max);

/* The next rate to try. 0: both goals are known. */
double spw_search_next(const struct spw_search *search);

/* What a trial at that rate has lost, as a share of what was sent. */
void spw_search_add(struct spw_search *search, double packets_per_s, double loss);

#endif
