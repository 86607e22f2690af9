/* SPDX-License-Identifier: BSD-2-Clause */
/* mix.c - see mix.h. */
#include "perf/pktgen/mix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "perf/pktgen/random.h"

#define WEIGHTS_MAX 1000u
#define BYTES_MAX 9999u

/* The usual 7:4:1 of frames of 64, 594 and 1518 bytes, which are IP packets of 46, 576 and 1500:
 * the smallest made to hold a tag over IPv6, the largest to fit into a tunnel over links of 1500.
 */
#define IMIX "7x64,4x576,1x1408"

static const char expected_mix[] =
	"a size in bytes, \"imix\" (" IMIX "), or such a list of up to 8 sizes";

/* A decimal number from 1 to max; moves *at behind it. 0: there is none. */
static uint32_t take_number(const char **at, uint32_t max)
{
	char *end;

	if (**at < '1' || **at > '9')
		return 0;
	unsigned long number = strtoul(*at, &end, 10);
	*at = end;
	return number <= max ? (uint32_t)number : 0;
}

/* The same order for the same mix, whatever ran before. */
static void shuffle(struct spw_mix *mix)
{
	uint64_t state = SPW_RANDOM_SEED;

	for (uint32_t i = mix->order_cnt; i > 1; i--) {
		uint32_t j = (uint32_t)(spw_random_next(&state) >> 33) % i;
		uint8_t other = mix->order[j];
		mix->order[j] = mix->order[i - 1];
		mix->order[i - 1] = other;
	}
}

int spw_mix_parse(const char *text, struct spw_mix *mix, const char **expected)
{
	const char *at = strcmp(text, "imix") == 0 ? IMIX : text;
	uint32_t weight[SPW_MIX_SIZES_MAX], weights = 0, bytes = 0;

	*expected = expected_mix;
	*mix = (struct spw_mix){0};
	for (;; at++) { /* past the comma */
		uint32_t number = take_number(&at, BYTES_MAX), times = 1;
		if (*at == 'x' && number) {
			times = number;
			at++;
			number = take_number(&at, BYTES_MAX);
		}
		if (!number || mix->sizes_cnt == SPW_MIX_SIZES_MAX || (*at && *at != ','))
			return -EINVAL;
		weight[mix->sizes_cnt] = times;
		mix->bytes[mix->sizes_cnt++] = (uint16_t)number;
		weights += times;
		bytes += times * number;
		if (weights > WEIGHTS_MAX)
			return -EINVAL;
		if (!*at)
			break;
	}
	mix->mean_bytes = (double)bytes / weights;
	uint32_t rounds = mix->sizes_cnt == 1 ? 1 : SPW_MIX_ORDER_MAX / weights;
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t s = 0; s < mix->sizes_cnt; s++) {
			uint32_t times = mix->sizes_cnt == 1 ? 1 : weight[s];
			memset(&mix->order[mix->order_cnt], (int)s, times);
			mix->order_cnt += times;
		}
	}
	shuffle(mix);
	return 0;
}
