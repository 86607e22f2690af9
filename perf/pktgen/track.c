/* SPDX-License-Identifier: BSD-2-Clause */
/* track.c - see track.h. */
#include "perf/pktgen/track.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_MIN 64u
#define WINDOW_MAX 65536u
#define WINDOWS_BITS (1u << 23) /* of all flows together: 1 MiB, which a CPU's cache holds */

struct spw_track *spw_track_create(uint32_t flows)
{
	struct spw_track *track = calloc(1, sizeof(*track));

	if (!track)
		return NULL;
	track->flows = flows;
	track->window = WINDOW_MAX;
	while (track->window > WINDOW_MIN && (uint64_t)track->window * flows > WINDOWS_BITS)
		track->window /= 2;
	track->next = calloc(flows, sizeof(*track->next));
	track->window_bits = calloc((size_t)flows * (track->window / 64), sizeof(uint64_t));
	if (!track->next || !track->window_bits) {
		spw_track_destroy(track);
		return NULL;
	}
	return track;
}

void spw_track_destroy(struct spw_track *track)
{
	if (!track)
		return;
	free(track->window_bits);
	free(track->next);
	free(track);
}

void spw_track_reset(struct spw_track *track)
{
	memset(track->next, 0, track->flows * sizeof(*track->next));
	memset(track->window_bits, 0, (size_t)track->flows * (track->window / 8));
}

enum spw_track_verdict spw_track_add(struct spw_track *track, uint32_t flow, uint32_t sequence)
{
	uint32_t mask = track->window - 1;
	uint64_t *bits = &track->window_bits[(size_t)flow * (track->window / 64)];
	uint32_t next = track->next[flow];
	uint32_t behind = next - sequence; /* 0: the expected one; above 2^31: ahead of it */
	uint64_t *word = &bits[(sequence & mask) / 64], bit = UINT64_C(1) << (sequence % 64);

	if (behind == 0 || behind > UINT32_MAX / 2) {
		uint32_t skipped = sequence - next;
		if (skipped >= mask)
			memset(bits, 0, track->window / 8);
		else
			for (uint32_t n = next; n != sequence; n++)
				bits[(n & mask) / 64] &= ~(UINT64_C(1) << (n % 64));
		*word |= bit;
		track->next[flow] = sequence + 1;
		return SPW_TRACK_IN_ORDER;
	}
	if (behind > track->window)
		return SPW_TRACK_LATE;
	if (*word & bit)
		return SPW_TRACK_DUPLICATE;
	*word |= bit;
	return SPW_TRACK_REORDERED;
}
