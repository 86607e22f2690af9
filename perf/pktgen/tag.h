/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tag.h - the first bytes of a test packet's UDP payload: what it takes to find out, when it comes
 * back, whether anything is missing and how long it was under way.
 *
 *   0  magic, 2 bytes        4  flow, 3 bytes               8  sequence in the flow, 4 bytes
 *   2  trial, 2 bytes        7  time, bits 32 to 39        12  time, bits 0 to 31
 *
 * The time is that of the sender's TSC; its 40 bits are minutes. A trial has a number of its own,
 * so that a straggler of an earlier one is not taken for a packet of this. 16 bytes let an IPv6
 * packet of 64 bytes carry it.
 */
#ifndef SPW_TAG_H
#define SPW_TAG_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/stages/wire.h"

#define SPW_TAG_BYTES 16u
#define SPW_TAG_MAGIC 0x5370u
#define SPW_TAG_TIME_MASK ((UINT64_C(1) << 40) - 1)

struct spw_tag {
	uint16_t trial;
	uint32_t flow; /* below 2^24 */
	uint32_t sequence;
	uint64_t ticks; /* modulo 2^40 */
};

static inline void spw_tag_write(uint8_t at[SPW_TAG_BYTES], const struct spw_tag *tag)
{
	spw_put_be32(at, SPW_TAG_MAGIC << 16 | tag->trial);
	spw_put_be32(at + 4, tag->flow << 8 | (uint32_t)(tag->ticks >> 32 & 0xff));
	spw_put_be32(at + 8, tag->sequence);
	spw_put_be32(at + 12, (uint32_t)tag->ticks);
}

/* False: these bytes are no tag. */
static inline bool spw_tag_read(const uint8_t at[SPW_TAG_BYTES], struct spw_tag *tag)
{
	uint32_t flow = spw_get_be32(at + 4);

	tag->trial = spw_get_be16(at + 2);
	tag->flow = flow >> 8;
	tag->sequence = spw_get_be32(at + 8);
	tag->ticks = (uint64_t)(flow & 0xff) << 32 | spw_get_be32(at + 12);
	return spw_get_be16(at) == SPW_TAG_MAGIC;
}

#endif
