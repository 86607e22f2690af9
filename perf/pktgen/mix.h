/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mix.h - packet sizes: one, or several in fixed proportions.
 *
 * Sizes are those of the IP packet, with ESP of the inner one. The order is shuffled, always in the
 * same way, so that neither a flow nor a burst always gets the same sizes; in a whole round of
 * `order_cnt` packets the proportions are exact.
 *
 * Who owns the memory: the caller. Immutable once parsed; any thread.
 */
#ifndef SPW_MIX_H
#define SPW_MIX_H

#include <stdint.h>

#define SPW_MIX_SIZES_MAX 8u
#define SPW_MIX_ORDER_MAX 4096u

struct spw_mix {
	uint32_t sizes_cnt;
	uint16_t bytes[SPW_MIX_SIZES_MAX];
	uint32_t order_cnt;
	uint8_t order[SPW_MIX_ORDER_MAX]; /* indices of bytes[] */
	double mean_bytes;
};

/* "512", "imix", or "7x64,4x576,1x1408". 0, or -EINVAL with what was expected. Whether the sizes
 * hold their headers is for the caller to see. */
int spw_mix_parse(const char *text, struct spw_mix *mix, const char **expected);

#endif
