/* SPDX-License-Identifier: BSD-2-Clause */
/* admission.c - see admission.h. */
#include "control/daemon/sa/admission.h"

#include <string.h>

static void count_second(struct spw_admission *admission, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - admission->second_ms;
	bool loaded = admission->inits_cnt > SPW_INITS_UNASKED;

	if (passed_ms < 1000)
		return;
	/* What the last second saw says what this one begins with. */
	admission->inits_cnt = passed_ms < 2000 && loaded ? SPW_INITS_UNASKED : 0;
	admission->cookies_cnt = admission->first_cnt = 0;
	admission->second_ms = now_ms;
	if (!loaded)
		return; /* nobody was noted */
	admission->current ^= 1;
	memset(admission->seen[admission->current], 0, sizeof(admission->seen[0]));
	if (passed_ms >= 2000)
		memset(admission->seen[admission->current ^ 1], 0, sizeof(admission->seen[0]));
}

bool spw_admission_unasked(struct spw_admission *admission, uint64_t now_ms)
{
	count_second(admission, now_ms);
	if (admission->inits_cnt <= SPW_INITS_UNASKED)
		admission->inits_cnt++;
	return admission->inits_cnt <= SPW_INITS_UNASKED;
}

/* Nothing depends on nobody being able to guess it: who finds sources that look like others gets
 * cookies that he could have had by sending twice. */
static uint64_t hash_of(const uint8_t address[16])
{
	uint64_t half[2];

	memcpy(half, address, sizeof(half));
	half[1] = (half[0] ^ half[1]) * 0x9e3779b97f4a7c15u;
	half[1] = (half[1] ^ half[1] >> 32) * 0xd6e8feb86659fd93u;
	return half[1] ^ half[1] >> 32;
}

/* Notes the source; whether it was noted before, in this second or in the last. */
static bool comes_again(struct spw_admission *admission, const uint8_t address[16])
{
	uint64_t hash = hash_of(address);
	bool again[2] = {true, true};

	for (int i = 0; i < 2; i++) {
		uint32_t bit = (uint32_t)(hash >> (32 * i)) % SPW_SEEN_BITS;
		uint64_t mask = UINT64_C(1) << bit % 64;
		for (uint32_t half = 0; half < 2; half++)
			again[half] = again[half] && admission->seen[half][bit / 64] & mask;
		admission->seen[admission->current][bit / 64] |= mask;
	}
	return again[0] || again[1];
}

bool spw_admission_cookie(struct spw_admission *admission, const uint8_t address[16])
{
	if (!comes_again(admission, address) && admission->first_cnt++ >= SPW_COOKIES_FIRST_MAX)
		return false;
	return admission->cookies_cnt++ < SPW_COOKIES_MAX;
}
