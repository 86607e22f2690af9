/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checksum.h - the ones' complement sum of RFC 1071, which is the same in either byte order: words
 * go in and the sum comes out as they lie in a header. Any thread.
 */
#ifndef SPW_CHECKSUM_H
#define SPW_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds an even number of bytes. */
static inline uint32_t spw_sum_add(uint32_t sum, const void *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 2) {
		uint16_t word;
		memcpy(&word, (const uint8_t *)data + i, sizeof(word));
		sum += word;
	}
	return sum;
}

/* The checksum is its complement. */
static inline uint16_t spw_sum_fold_be(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

#endif
