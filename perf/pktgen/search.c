/* SPDX-License-Identifier: BSD-2-Clause */
/* search.c - see search.h. */
#include "perf/pktgen/search.h"

#include <math.h>

void spw_search_begin(struct spw_search *search, double highest, double resolution_share,
		      double pdr_loss_max)
{
	*search = (struct spw_search){.highest = highest, .resolution = highest * resolution_share};
	for (uint32_t g = 0; g < SPW_SEARCH_GOALS; g++)
		search->goal[g].failed = INFINITY;
	search->goal[SPW_SEARCH_PDR].loss_max = pdr_loss_max;
}

double spw_search_next(const struct spw_search *search)
{
	for (uint32_t g = SPW_SEARCH_GOALS; g-- > 0;) { /* PDR first: it bounds NDR from above */
		const struct spw_search_goal *goal = &search->goal[g];
		if (isinf(goal->failed)) {
			if (goal->passed < search->highest)
				return search->highest;
			continue;
		}
		if (goal->failed - goal->passed > search->resolution)
			return (goal->passed + goal->failed) / 2;
	}
	return 0;
}

void spw_search_add(struct spw_search *search, double packets_per_s, double loss)
{
	for (uint32_t g = 0; g < SPW_SEARCH_GOALS; g++) {
		struct spw_search_goal *goal = &search->goal[g];
		if (loss > goal->loss_max) {
			goal->failed = fmin(goal->failed, packets_per_s);
			if (goal->passed >= goal->failed)
				goal->passed = 0;
		} else if (packets_per_s < goal->failed) {
			goal->passed = fmax(goal->passed, packets_per_s);
		}
	}
}
