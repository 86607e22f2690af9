/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tai64n.h - the time stamps of INITs: a receiver takes only one that is later than the last it
 * took from that peer, so that a recorded INIT is worth nothing.
 *
 * TAI64N: seconds (big-endian, from 2^62 at 1970 TAI), then nanoseconds (big-endian). The 10 s that
 * TAI was ahead of UTC in 1970 are added, leap seconds since are not: only the order counts. Pure
 * functions, any thread; the caller owns all memory and brings the time.
 */
#ifndef SPW_NOISE_TAI64N_H
#define SPW_NOISE_TAI64N_H

#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/noise/wire.h"

struct spw_tai64n { /* zeros: earlier than any */
	uint8_t bytes[SPW_TAI64N_BYTES];
};

bool spw_tai64n_later(const struct spw_tai64n *stamp, const struct spw_tai64n *than);

/* Moves *last on to unix_ns (CLOCK_REALTIME), or by one nanosecond where that would not be later:
 * the clock has stepped back, or two stamps fall on one nanosecond. */
void spw_tai64n_next(struct spw_tai64n *last, uint64_t unix_ns);

#endif
