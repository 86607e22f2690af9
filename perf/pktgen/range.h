/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * range.h - a range of addresses, out of which flows take theirs.
 *
 * Pure functions, any thread.
 */
#ifndef SPW_RANGE_H
#define SPW_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#define SPW_RANGE_CNT_MAX (UINT64_C(1) << 32)

struct spw_range {
	uint8_t family;    /* 4 or 6; 0: none */
	uint8_t first[16]; /* network order, IPv4 in the first 4 bytes */
	uint64_t cnt;      /* addresses, at most SPW_RANGE_CNT_MAX: of a longer one its beginning */
};

/* "192.0.2.1", "10.0.0.0/24" (all of its addresses) or "10.0.0.2-10.0.0.9"; IPv6 likewise. 0, or
 * -EINVAL with what was expected. */
int spw_range_parse(const char *text, struct spw_range *range, const char **expected);

/* The address that stands `index` % cnt behind the first one. */
void spw_range_address(const struct spw_range *range, uint64_t index, uint8_t address[16]);

bool spw_range_contains(const struct spw_range *range, uint8_t family, const uint8_t address[16]);

#endif
