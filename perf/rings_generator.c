/* SPDX-License-Identifier: BSD-2-Clause */
/* rings_generator.c - see rings.h. */
#include <string.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_prefetch.h>

#include "perf/rings.h"

/* How long to wait for packets that do not come: they were dropped, which the node has counted. */
#define DRAIN_MS 20u

static uint64_t *stamp_of(const struct rings_generator *generator, struct rte_mbuf *mbuf)
{
	return RTE_MBUF_DYNFIELD(mbuf, generator->stamp_offset, uint64_t *);
}

/* What the worker has sent since the last call. */
static void take_in(struct rings_generator *generator, uint64_t now)
{
	struct rings_trial *trial = &generator->trial;
	struct rte_mbuf *mbuf[RINGS_BURST];
	uint32_t cnt;

	while ((cnt = rte_ring_sc_dequeue_burst(generator->out, (void **)mbuf, RINGS_BURST, NULL)) >
	       0) {
		for (uint32_t i = 0; i < cnt; i++)
			spw_histogram_add(&trial->latency_cycles,
					  now - *stamp_of(generator, mbuf[i]));
		rte_pktmbuf_free_bulk(mbuf, cnt);
		trial->received += cnt;
		trial->drained_tsc = now;
	}
}

/* `cnt` packets, for which the ring has room; the first was due at `due_q16`. */
static void give_out(struct rings_generator *generator, uint64_t due_q16, uint32_t cnt)
{
	struct rings_trial *trial = &generator->trial;
	struct rte_mbuf *mbuf[RINGS_BURST];

	if (rte_pktmbuf_alloc_bulk(generator->pool, mbuf, cnt) != 0) {
		trial->buffers_short += cnt;
		return;
	}
	for (uint32_t i = 0; i < cnt; i++) {
		const struct rings_frame *frame = &generator->frames[generator->next];
		if (++generator->next == generator->frames_cnt)
			generator->next = 0;
		memcpy(rte_pktmbuf_mtod(mbuf[i], void *), frame->data, frame->bytes);
		mbuf[i]->data_len = (uint16_t)frame->bytes;
		mbuf[i]->pkt_len = frame->bytes;
		*stamp_of(generator, mbuf[i]) = (due_q16 + i * trial->gap_q16) >> 16;
	}
	rte_ring_sp_enqueue_bulk(generator->in, (void **)mbuf, cnt, NULL);
}

static void give_due(struct rings_generator *generator, uint64_t now)
{
	struct rings_trial *trial = &generator->trial;
	uint64_t due_q16 = trial->offered * trial->gap_q16;

	if (due_q16 > now << 16)
		return;
	uint64_t due = RTE_MIN(((now << 16) - due_q16) / trial->gap_q16 + 1,
			       trial->packets - trial->offered);
	uint64_t fit = RTE_MIN(due, (uint64_t)rte_ring_free_count(generator->in));
	for (uint64_t k = 0; k < fit; k += RINGS_BURST)
		give_out(generator, due_q16 + k * trial->gap_q16,
			 (uint32_t)RTE_MIN(fit - k, (uint64_t)RINGS_BURST));
	trial->ring_full += due - fit;
	trial->offered += due;
}

/* What a wire would have brought while the CPU was away, and no room for it. */
static void count_missed(struct rings_generator *generator, uint64_t away_tsc)
{
	struct rings_trial *trial = &generator->trial;
	uint64_t missed = (away_tsc << 16) / trial->gap_q16,
		 room = rte_ring_free_count(generator->in);

	if (missed > room && trial->offered < trial->packets)
		trial->lost_away += missed - room;
}

void rings_generate(struct rings_generator *generator)
{
	struct rings_trial *trial = &generator->trial;

	if (!__atomic_load_n(&trial->running, __ATOMIC_ACQUIRE))
		return;
	if (!trial->clock.start_tsc)
		rings_clock_start(&trial->clock, generator->burst_tsc[trial->bare]);
	uint64_t away_tsc = trial->clock.away_tsc;
	uint64_t now = rings_clock_now(&trial->clock, rte_ring_count(generator->out));
	if (trial->clock.away_tsc != away_tsc)
		count_missed(generator, trial->clock.away_tsc - away_tsc);
	take_in(generator, now);
	give_due(generator, now);
	if (trial->offered < trial->packets) {
		trial->drained_tsc = now;
		return;
	}
	if (trial->received + trial->ring_full + trial->buffers_short == trial->offered ||
	    now - trial->drained_tsc > DRAIN_MS * (rte_get_tsc_hz() / 1000u)) {
		generator->burst_tsc[trial->bare] = trial->clock.burst_tsc;
		__atomic_store_n(&trial->running, 0, __ATOMIC_RELEASE);
	}
}

bool rings_pass_on(struct rings_generator *generator, struct rte_mbuf *mbuf[], uint32_t cnt)
{
	const struct rings_trial *trial = &generator->trial;

	if (!__atomic_load_n(&trial->running, __ATOMIC_ACQUIRE) || !trial->bare)
		return false;
	/* There is room: the ring was emptied at the last call. */
	rte_ring_sp_enqueue_bulk(generator->out, (void **)mbuf, cnt, NULL);
	return true;
}
