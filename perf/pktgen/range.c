/* SPDX-License-Identifier: BSD-2-Clause */
/* range.c - see range.h. */
#include "perf/pktgen/range.h"

#include <errno.h>
#include <string.h>

#include "control/text.h"

static const char expected_range[] =
	"an address, a prefix such as 10.0.0.0/24, or a range such as 10.0.0.2-10.0.0.9";

/* An address as a number. */
static unsigned __int128 number_of(uint8_t family, const uint8_t address[16])
{
	unsigned __int128 number = 0;

	for (uint32_t i = 0; i < (family == 4 ? 4u : 16u); i++)
		number = number << 8 | address[i];
	return number;
}

static int range_between(const char *text, const char *dash, struct spw_range *range)
{
	struct spw_prefix first, last;
	const char *expected;
	char word[64];

	if ((size_t)(dash - text) >= sizeof(word))
		return -EINVAL;
	memcpy(word, text, (size_t)(dash - text));
	word[dash - text] = '\0';
	if (strchr(text, '/') || spw_prefix_parse(word, &first, &expected) ||
	    spw_prefix_parse(dash + 1, &last, &expected) || first.family != last.family)
		return -EINVAL;
	unsigned __int128 from = number_of(first.family, first.addr);
	unsigned __int128 to = number_of(last.family, last.addr);
	if (to < from)
		return -EINVAL;
	range->family = first.family;
	memcpy(range->first, first.addr, sizeof(range->first));
	range->cnt = to - from < SPW_RANGE_CNT_MAX ? (uint64_t)(to - from) + 1 : SPW_RANGE_CNT_MAX;
	return 0;
}

int spw_range_parse(const char *text, struct spw_range *range, const char **expected)
{
	const char *dash = strchr(text, '-');
	struct spw_prefix prefix;

	*range = (struct spw_range){0};
	if (dash) {
		*expected = expected_range;
		return range_between(text, dash, range);
	}
	if (spw_prefix_parse(text, &prefix, expected))
		return -EINVAL;
	uint32_t host_bits = (prefix.family == 4 ? 32u : 128u) - prefix.bits;
	range->family = prefix.family;
	memcpy(range->first, prefix.addr, sizeof(range->first));
	range->cnt = host_bits < 32 ? UINT64_C(1) << host_bits : SPW_RANGE_CNT_MAX;
	return 0;
}

void spw_range_address(const struct spw_range *range, uint64_t index, uint8_t address[16])
{
	uint32_t bytes = range->family == 4 ? 4 : 16;
	unsigned __int128 number = number_of(range->family, range->first) + index % range->cnt;

	memset(address, 0, 16);
	for (uint32_t i = 0; i < bytes; i++)
		address[bytes - 1 - i] = (uint8_t)(number >> 8 * i);
}

bool spw_range_contains(const struct spw_range *range, uint8_t family, const uint8_t address[16])
{
	return family == range->family &&
	       number_of(family, address) - number_of(family, range->first) < range->cnt;
}
