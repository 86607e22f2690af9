/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fixtures.h - what the classifier must say to which packet, on the node of node.h.
 *
 * Constant data.
 */
#ifndef SPW_TEST_FIXTURES_H
#define SPW_TEST_FIXTURES_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

struct fixture {
	const char *name;
	uint32_t port;
	bool absent;    /* no worker listens */
	uint32_t queue; /* a worker listens on queue 0 alone */
	struct frame_spec frame;
	uint32_t verdict;      /* enum xdp_action */
	uint32_t counter;      /* enum spw_drop or enum spw_classifier_counter */
	struct frame_spec out; /* of a relay: the frame it becomes; else it stays what it was */
};

extern const struct fixture fixtures[];
extern const unsigned int fixtures_cnt;

#endif
