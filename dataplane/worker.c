/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker.c - the loop that every packet goes through, written once.
 */
#include "dataplane/worker.h"

#include <unistd.h>

#include <openssl/err.h>
#include <rte_ethdev.h>
#include <rte_ring_elem.h>

#include "control/clock.h"
#include "dataplane/crew.h"
#include "dataplane/stages/handoff.h"
#include "dataplane/stages/sa.h"
#include "dataplane/tap.h"

/*
 * How long a worker polls on after its last packet before it blocks. Nodes share cores with each
 * other and with the owner's programs, so what is polled in vain is taken from somebody. One node,
 * 5000 packets per second there and back, two cores that others kept busy (mean of three runs,
 * which differed by half): 31 % of a core when it blocked at once, 19 % with 5 us, 23 % with 20 us,
 * 24 % with 50 us, 54 % with 200 us; latency and loss followed the other load, not this value.
 * Among those that cost little 20 us is the gap between packets at 50,000 per second: from there
 * on a worker with a core of its own stays awake.
 */
#define SPIN_NS 20000u

/* Hosts without a MAC are told to the main thread at most 100 times a second: what asks for them
 * is the kernel's neighbour discovery, which sends one request per host and second. */
#define GLEAN_TELL_NS 10000000u

/* A reserve is renewed with two fsyncs, some milliseconds on a disk: asking more often is no use.
 */
#define LOW_TELL_NS 1000000u

/* The whole way of a burst. */
static void walk(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	struct spw_burst *burst = &lane->burst;

	spw_stage_classify(lane, burst);
	spw_stage_esp_in(lane, burst);
	spw_stage_inner(lane, burst);
	spw_stage_police(lane, burst);
	spw_stage_route(lane, burst);
	spw_stage_esp_out(lane, burst);
	spw_transmit(worker, burst);
	if (lane->handing)
		spw_stage_handoff(lane, burst);
}

/* One burst from one queue. Returns how many packets it had. */
static uint32_t take_queue(struct spw_worker *worker, const struct spw_rx *rx)
{
	struct spw_burst *burst = &worker->lane.burst;
	struct spw_port_counters *counters = &worker->lane.row->ports[rx->port];
	uint64_t bytes = 0;

	burst->cnt = rte_eth_rx_burst(rx->ethdev, rx->queue, burst->mbuf, SPW_BURST_MAX);
	if (burst->cnt == 0)
		return 0;
	memset(burst->state, SPW_AT_CLASSIFY, sizeof(burst->state));
	memset(burst->port_in, rx->port, sizeof(burst->port_in));
	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		bytes += burst->mbuf[i]->pkt_len;
		spw_prefetch(rte_pktmbuf_mtod(burst->mbuf[i], const void *));
	}
	spw_count(&counters->rx_packets, burst->cnt);
	spw_count(&counters->rx_bytes, bytes);
	uint32_t taken = burst->cnt;
	if (worker->lane.port_native & 1u << rx->port)
		spw_stage_filter(&worker->lane, burst);
	if (rx->spread)
		spw_stage_spread(&worker->lane, burst, rx->port);
	walk(worker);
	return taken;
}

/* One burst of what other workers gave this one. */
static uint32_t take_handoffs(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	struct spw_burst *burst = &lane->burst;

	burst->cnt = rte_ring_dequeue_burst(lane->handoff[lane->worker], (void **)burst->mbuf,
					    SPW_BURST_MAX, NULL);
	if (burst->cnt == 0)
		return 0;
	for (uint32_t i = 0; i < burst->cnt; i++)
		spw_handoff_take(burst, i);
	walk(worker);
	return burst->cnt;
}

/* The packets without content that the main thread has asked for. What finds no buffer stays in the
 * ring. Returns how many there were. */
static __attribute__((cold, noinline)) uint32_t send_dummies(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	struct spw_burst *burst = &lane->burst;
	struct spw_dummy dummy;

	burst->cnt = 0;
	while (burst->cnt < SPW_BURST_MAX && !rte_ring_empty(worker->dummies)) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->pool);
		if (!mbuf)
			break;
		rte_ring_sc_dequeue_elem(worker->dummies, &dummy, sizeof(dummy));
		struct spw_sa *sa = spw_sa_get(lane->sas->out, lane->sas->sas_max, dummy.slot);
		if (!sa || sa->spi != dummy.spi || sa->worker != lane->worker) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		burst->mbuf[burst->cnt] = mbuf;
		spw_esp_out_dummy(lane, burst, burst->cnt++, sa);
	}
	spw_transmit(worker, burst);
	if (lane->handing)
		spw_stage_handoff(lane, burst);
	return burst->cnt;
}

/* Wakes the workers that were given packets. */
static void wake_owners(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;

	for (uint32_t wanted = lane->handoff_wanted; wanted; wanted &= wanted - 1)
		spw_idle_wake(worker->crew->worker[__builtin_ctz(wanted)]);
	lane->handoff_wanted = 0;
}

static void wake_main(const struct spw_worker *worker)
{
	const uint64_t one = 1;

	/* EAGAIN: it has not read the last million yet and will find this one too. */
	if (write(worker->crew->events_fd, &one, sizeof(one)) < 0)
		return;
}

/* Tells the main thread of a new host to resolve (its eventfd; it reads the row itself). */
static void tell_glean(struct spw_worker *worker)
{
	uint64_t now_ns = worker->lane.now_ns;

	if (now_ns - worker->glean_told_ns < GLEAN_TELL_NS)
		return;
	worker->glean_told_ns = now_ns;
	worker->glean_told = worker->lane.row->glean_seq;
	wake_main(worker);
}

static void tell_low(struct spw_worker *worker)
{
	uint64_t now_ns = worker->lane.now_ns;

	if (now_ns - worker->low_told_ns < LOW_TELL_NS)
		return;
	worker->low_told_ns = now_ns;
	worker->lane.reserve_low = false;
	__atomic_store_n(&worker->reserve_low, 1, __ATOMIC_RELEASE);
	wake_main(worker);
}

/* Between two rounds, when no reference into the tables or to an SA is held. */
static void keep_house(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	uint64_t epoch = __atomic_load_n(&lane->tables.meta->epoch, __ATOMIC_ACQUIRE);

	/* Release: the loads of the round before come before it; pairs with control's acquire. */
	__atomic_store_n(&lane->row->epoch, epoch, __ATOMIC_RELEASE);
	rte_rcu_qsbr_quiescent(worker->qsbr, lane->worker);
	spw_count(&lane->row->loops, 1);
	if (lane->handoff_wanted)
		wake_owners(worker);
	if (lane->row->glean_seq != worker->glean_told)
		tell_glean(worker);
	if (lane->reserve_low)
		tell_low(worker);
	if (lane->reported) {
		lane->reported = false;
		wake_main(worker);
	}
	spw_losses_count(worker);
}

void spw_worker_begin(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;

	/* OpenSSL makes a thread's error queue at its first use: now, not behind a packet. */
	ERR_clear_error();
	rte_rcu_qsbr_thread_register(worker->qsbr, lane->worker);
	spw_idle_online(worker);
	worker->busy_ns = lane->now_ns = spw_now_ns();
}

uint32_t spw_worker_round(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	uint32_t packets = take_handoffs(worker);

	for (uint32_t q = 0; q < worker->rx_cnt; q++)
		packets += take_queue(worker, &worker->rx[q]);
	if (!rte_ring_empty(worker->dummies))
		packets += send_dummies(worker);
	if (worker->taps_cnt)
		packets += spw_taps_take(worker);
	keep_house(worker);

	lane->now_ns = spw_now_ns();
	if (packets)
		worker->busy_ns = lane->now_ns;
	return packets;
}

int spw_worker_run(void *argument)
{
	struct spw_worker *worker = argument;
	struct spw_lane *lane = &worker->lane;

	spw_worker_begin(worker);
	while (!__atomic_load_n(&worker->crew->stop, __ATOMIC_ACQUIRE)) {
		if (spw_worker_round(worker) == 0 && !worker->awake &&
		    lane->now_ns - worker->busy_ns >= SPIN_NS) {
			spw_idle_sleep(worker);
			worker->busy_ns = lane->now_ns = spw_now_ns();
		}
	}
	spw_idle_offline(worker);
	return 0;
}
