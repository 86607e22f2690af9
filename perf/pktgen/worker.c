/* SPDX-License-Identifier: BSD-2-Clause */
/* worker.c - the loops of sender and receiver; see trial.h. */
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "perf/pktgen/trial.h"

/* What stays under way after the last packet was sent: nothing new for so long, and it is over. A
 * duplicate may follow even when all have come. */
#define SETTLE_ALL_MS 20u
#define SETTLE_LOSS_MS 1000u
#define SETTLE_MAX_MS 3000u
#define PENDING_MAX_MS 200u /* that a full transmit ring is waited for at the end */

static bool stopped(const struct spw_trial *trial)
{
	return __atomic_load_n(&trial->load->stop, __ATOMIC_RELAXED);
}

static uint64_t ticks_of_ms(const struct spw_trial *trial, uint32_t ms)
{
	return (uint64_t)(trial->load->ticks_per_s / 1000 * ms);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* How many packets may be sent now. */
static uint32_t due_now(struct spw_trial *trial, uint64_t now_ticks)
{
	const struct spw_trial_spec *spec = &trial->spec;
	uint64_t left = spec->packets ? spec->packets - trial->made : UINT64_MAX;
	uint32_t max = left < SPW_TRIAL_BURST ? (uint32_t)left : SPW_TRIAL_BURST, due = 0;

	if (spec->speed == 0)
		return spw_pace_take(&trial->pace, now_ticks, max);
	double past_ns = (double)(now_ticks - trial->start_ticks) / trial->load->ticks_per_s * 1e9;
	while (due < max &&
	       spw_capture_due_ns(&trial->load->capture, trial->made + due, spec->speed) <= past_ns)
		due++;
	return due;
}

static void write_captured(struct spw_trial *trial, struct rte_mbuf *mbuf, uint64_t index)
{
	const struct spw_load *load = trial->load;
	const struct spw_capture_frame *frame =
		&load->capture.frame[index % load->capture.frames_cnt];
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);

	memcpy(data, frame->data, frame->bytes);
	if (load->has_mac)
		memcpy(data, load->macs, sizeof(load->macs));
	mbuf->data_len = (uint16_t)frame->bytes;
	mbuf->pkt_len = frame->bytes;
	mbuf->hash.usr = frame->bytes - SPW_ETHER_BYTES;
}

/* Makes a burst, which becomes pending. */
static void make_burst(struct spw_trial *trial, uint64_t now_ticks)
{
	uint32_t cnt = due_now(trial, now_ticks), made = cnt;

	if (!cnt)
		return;
	if (rte_pktmbuf_alloc_bulk(trial->load->ports.pool, trial->pending, cnt) != 0) {
		trial->pace.taken -= cnt; /* all buffers are under way: later */
		return;
	}
	if (trial->load->generator)
		made = spw_generate(trial->load->generator, trial->pending, cnt, now_ticks);
	else
		for (uint32_t i = 0; i < cnt; i++)
			write_captured(trial, trial->pending[i], trial->made + i);
	rte_pktmbuf_free_bulk(trial->pending + made, cnt - made);
	trial->pace.taken -= cnt - made;
	trial->made += made;
	trial->pending_first = 0;
	trial->pending_cnt = made;
}

static void send_pending(struct spw_trial *trial)
{
	struct rte_mbuf **first = &trial->pending[trial->pending_first];
	uint64_t bytes = 0, each_bytes[SPW_TRIAL_BURST];

	for (uint32_t i = 0; i < trial->pending_cnt; i++)
		each_bytes[i] = first[i]->hash.usr; /* afterwards they are the driver's */
	uint16_t taken = rte_eth_tx_burst(trial->load->ports.tx->ethdev[0], 0, first,
					  (uint16_t)trial->pending_cnt);
	for (uint32_t i = 0; i < taken; i++)
		bytes += each_bytes[i];
	trial->pending_first += taken;
	trial->pending_cnt -= taken;
	__atomic_store_n(&trial->sent, trial->sent + taken, __ATOMIC_RELAXED);
	__atomic_store_n(&trial->sent_bytes, trial->sent_bytes + bytes, __ATOMIC_RELAXED);
}

/* One turn of the sender; false: it is done. */
static bool send_some(struct spw_trial *trial)
{
	uint64_t now_ticks = rte_rdtsc();
	bool over = now_ticks >= trial->end_ticks || stopped(trial) ||
		    (trial->spec.packets && trial->made == trial->spec.packets);

	if (!trial->pending_cnt && !over)
		make_burst(trial, now_ticks);
	if (trial->pending_cnt)
		send_pending(trial);
	if (!over)
		return true;
	if (trial->pending_cnt &&
	    now_ticks < trial->end_ticks + ticks_of_ms(trial, PENDING_MAX_MS) && !stopped(trial))
		return true;
	rte_pktmbuf_free_bulk(&trial->pending[trial->pending_first], trial->pending_cnt);
	trial->pending_cnt = 0;
	trial->sent_all_ticks = rte_rdtsc();
	__atomic_store_n(&trial->sent_all, true, __ATOMIC_RELEASE);
	return false;
}

static void send_replies(struct spw_trial *trial)
{
	struct rte_mbuf *mbuf;

	while (rte_ring_dequeue(trial->replies, (void **)&mbuf) == 0)
		if (rte_eth_tx_burst(mbuf->port, 0, &mbuf, 1) == 0)
			rte_pktmbuf_free(mbuf); /* neighbours ask again */
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* Answers a neighbour, or frees the frame. */
static void answer(struct spw_trial *trial, const struct spw_test_port *port, struct rte_mbuf *mbuf)
{
	uint32_t bytes = spw_neighbors_answer(&trial->load->played, port->mac,
					      rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len);

	mbuf->port = port->ethdev[0];
	mbuf->data_len = (uint16_t)bytes;
	mbuf->pkt_len = bytes;
	if (!bytes || rte_ring_enqueue(trial->replies, mbuf) != 0)
		rte_pktmbuf_free(mbuf);
}

/* Takes one frame, which is then gone. What comes in at the sending port, when that is another one,
 * is not what was sent; but neighbours ask there, too. */
static void take_frame(struct spw_trial *trial, const struct spw_test_port *port,
		       struct rte_mbuf *mbuf, uint64_t now_ticks)
{
	const struct spw_test_ports *ports = &trial->load->ports;
	struct spw_measure *measure = trial->load->measure;
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);

	if (mbuf->nb_segs > 1) {
		measure->counts.other++;
		rte_pktmbuf_free(mbuf);
	} else if (port == ports->rx ? !spw_measure_frame(measure, frame, mbuf->data_len, now_ticks)
				     : spw_neighbors_is_talk(frame, mbuf->data_len)) {
		answer(trial, port, mbuf);
	} else {
		rte_pktmbuf_free(mbuf);
	}
}

static void receive_from(struct spw_trial *trial, const struct spw_test_port *port)
{
	struct rte_mbuf *mbufs[SPW_TRIAL_BURST];

	for (uint32_t queue = 0; queue < port->queues; queue++) {
		uint16_t cnt = rte_eth_rx_burst(port->ethdev[queue], 0, mbufs, SPW_TRIAL_BURST);
		uint64_t now_ticks = cnt ? rte_rdtsc() : 0;
		for (uint32_t i = 0; i < cnt; i++) {
			if (i + 1 < cnt)
				rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 1], void *));
			take_frame(trial, port, mbufs[i], now_ticks);
		}
	}
}

/* The receiver's idea of when it is over. */
struct settling {
	uint64_t returned, since_ticks;
};

static bool settled(struct spw_trial *trial, struct settling *settling)
{
	if (!__atomic_load_n(&trial->sent_all, __ATOMIC_ACQUIRE))
		return false;
	uint64_t now_ticks = rte_rdtsc(), returned = spw_returned(&trial->load->measure->counts);
	if (!settling->since_ticks || returned != settling->returned)
		*settling = (struct settling){returned, now_ticks};
	bool all = returned >= trial->sent || stopped(trial);
	return now_ticks - settling->since_ticks >=
		       ticks_of_ms(trial, all ? SETTLE_ALL_MS : SETTLE_LOSS_MS) ||
	       now_ticks - trial->sent_all_ticks >= ticks_of_ms(trial, SETTLE_MAX_MS);
}

/* One turn of the receiver; false: it is done. */
static bool receive_some(struct spw_trial *trial, struct settling *settling)
{
	const struct spw_test_ports *ports = &trial->load->ports;

	receive_from(trial, ports->rx);
	if (ports->tx != ports->rx)
		receive_from(trial, ports->tx);
	if (!settled(trial, settling))
		return true;
	__atomic_store_n(&trial->received_all, true, __ATOMIC_RELEASE);
	return false;
}

int spw_trial_send(void *arg)
{
	struct spw_trial *trial = arg;
	bool sending = true;

	while (!__atomic_load_n(&trial->received_all, __ATOMIC_ACQUIRE)) {
		sending = sending && send_some(trial);
		send_replies(trial);
	}
	send_replies(trial);
	return 0;
}

int spw_trial_receive(void *arg)
{
	struct settling settling = {0};

	while (receive_some(arg, &settling))
		;
	return 0;
}

int spw_trial_send_and_receive(void *arg)
{
	struct spw_trial *trial = arg;
	struct settling settling = {0};
	bool sending = true;

	do {
		sending = sending && send_some(trial);
		send_replies(trial);
	} while (receive_some(trial, &settling));
	send_replies(trial);
	return 0;
}
