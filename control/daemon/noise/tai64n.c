/* SPDX-License-Identifier: BSD-2-Clause */
/* tai64n.c - see tai64n.h. */
#include "control/daemon/noise/tai64n.h"

#include <endian.h>
#include <string.h>

#define TAI64_AT_UNIX_0 ((UINT64_C(1) << 62) + 10)
#define NS_PER_S UINT64_C(1000000000)

struct __attribute__((packed)) stamp {
	uint64_t seconds_be;
	uint32_t ns_be;
};
static_assert(sizeof(struct stamp) == SPW_TAI64N_BYTES, "TAI64N layout");

bool spw_tai64n_later(const struct spw_tai64n *stamp, const struct spw_tai64n *than)
{
	return memcmp(stamp->bytes, than->bytes, SPW_TAI64N_BYTES) > 0;
}

static struct spw_tai64n stamp_of(uint64_t seconds, uint64_t ns)
{
	struct stamp stamp = {.seconds_be = htobe64(seconds), .ns_be = htobe32((uint32_t)ns)};
	struct spw_tai64n out;

	memcpy(out.bytes, &stamp, sizeof(stamp));
	return out;
}

void spw_tai64n_next(struct spw_tai64n *last, uint64_t unix_ns)
{
	struct spw_tai64n now = stamp_of(TAI64_AT_UNIX_0 + unix_ns / NS_PER_S, unix_ns % NS_PER_S);
	struct stamp stamp;
	uint64_t seconds, ns;

	if (!spw_tai64n_later(&now, last)) {
		memcpy(&stamp, last->bytes, sizeof(stamp));
		seconds = be64toh(stamp.seconds_be);
		ns = (uint64_t)be32toh(stamp.ns_be) + 1;
		now = ns < NS_PER_S ? stamp_of(seconds, ns) : stamp_of(seconds + 1, 0);
	}
	*last = now;
}
