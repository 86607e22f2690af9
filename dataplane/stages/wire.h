/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h - what the stages know of the headers beyond ebpf/bytes.h: ESP, big-endian access and
 * sums.
 *
 * Headers are read and written byte-wise at offsets, never through a struct, so that alignment does
 * not matter. The caller has checked that the bytes are there. Any thread.
 */
#ifndef SPW_WIRE_H
#define SPW_WIRE_H

#include <stdint.h>
#include <string.h>

#include "ebpf/bytes.h"

#define SPW_ESP_BYTES 16u        /* SPI, sequence number, IV (RFC 4106 3) */
#define SPW_ESP_TRAILER_BYTES 2u /* pad length, next header */

static inline uint16_t spw_get_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t spw_get_be32(const uint8_t *at)
{
	uint32_t be;
	memcpy(&be, at, sizeof(be));
	return __builtin_bswap32(be);
}

static inline void spw_put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void spw_put_be32(uint8_t *at, uint32_t value)
{
	uint32_t be = __builtin_bswap32(value);
	memcpy(at, &be, sizeof(be));
}

static inline void spw_put_be64(uint8_t *at, uint64_t value)
{
	uint64_t be = __builtin_bswap64(value);
	memcpy(at, &be, sizeof(be));
}

/* The ones' complement sum of RFC 1071 over `bytes`, added to `sum`. At most 2^32 words in all. An
 * odd last byte counts as the high half of a word, so only the last piece may be odd. */
static inline uint64_t spw_sum(const uint8_t *at, uint32_t bytes, uint64_t sum)
{
	for (; bytes >= 4; at += 4, bytes -= 4)
		sum += spw_get_be32(at); /* 2^16 is 1 in this arithmetic: 32-bit words do as well */
	if (bytes >= 2) {
		sum += spw_get_be16(at);
		at += 2, bytes -= 2;
	}
	if (bytes)
		sum += (uint32_t)at[0] << 8;
	return sum;
}

/* Folds a sum to 16 bits; the checksum is its complement. */
static inline uint16_t spw_sum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

#endif
