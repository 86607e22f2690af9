/* SPDX-License-Identifier: BSD-2-Clause */
/* trial.c - starts the threads of a trial, looks after them, adds up; see trial.h. */
#include "perf/pktgen/trial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#define WATCH_EVERY_US 50000u
#define RENEW_EVERY 5u       /* watches: four times a second */
#define REPLIES_PACKETS 256u /* to neighbours that ask at once */

/* Frames that came between trials are nobody's. */
static void drain(const struct spw_test_port *port)
{
	struct rte_mbuf *mbufs[SPW_TRIAL_BURST];

	for (uint32_t queue = 0; queue < port->queues; queue++) {
		/* Bounded: a port that makes packets (net_null) never runs dry. */
		for (uint32_t i = 0; i < 1024; i++) {
			uint16_t cnt =
				rte_eth_rx_burst(port->ethdev[queue], 0, mbufs, SPW_TRIAL_BURST);
			if (cnt == 0)
				break;
			rte_pktmbuf_free_bulk(mbufs, cnt);
		}
	}
}

static void prepare(struct spw_trial *trial)
{
	struct spw_load *load = trial->load;

	load->trial++;
	if (load->generator)
		spw_generator_reset(load->generator, load->trial);
	spw_measure_reset(load->measure, load->trial);
	drain(load->ports.rx);
	drain(load->ports.tx);
	spw_test_port_missed(load->ports.rx);
	trial->start_ticks = rte_rdtsc();
	trial->end_ticks = UINT64_MAX / 2;
	if (trial->spec.seconds > 0)
		trial->end_ticks =
			trial->start_ticks + (uint64_t)(trial->spec.seconds * load->ticks_per_s);
	spw_pace_start(&trial->pace, trial->spec.packets_per_s, load->ticks_per_s,
		       trial->start_ticks);
}

static void launch(struct spw_trial *trial)
{
	const unsigned int *lcores = trial->load->ports.lcores;

	if (lcores[0] == lcores[1]) {
		rte_eal_remote_launch(spw_trial_send_and_receive, trial, lcores[0]);
		return;
	}
	rte_eal_remote_launch(spw_trial_receive, trial, lcores[1]);
	rte_eal_remote_launch(spw_trial_send, trial, lcores[0]);
}

/* Until the receiver is done. */
static int look_after(struct spw_trial *trial, spw_trial_watch watch, void *watch_arg, char *why,
		      unsigned int why_bytes)
{
	struct spw_load *load = trial->load;
	int error = 0;

	for (uint32_t i = 0; !__atomic_load_n(&trial->received_all, __ATOMIC_ACQUIRE); i++) {
		usleep(WATCH_EVERY_US);
		watch(watch_arg, trial);
		if (error || !load->tx_sas.cnt || i % RENEW_EVERY != 0)
			continue;
		error = spw_sas_sequence_renew(&load->tx_sas, why, why_bytes);
		if (error)
			__atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
	}
	rte_eal_mp_wait_lcore();
	watch(watch_arg, trial);
	return error;
}

int spw_trial_run(struct spw_load *load, const struct spw_trial_spec *spec, spw_trial_watch watch,
		  void *watch_arg, struct spw_trial_result *result, char *why,
		  unsigned int why_bytes)
{
	struct spw_trial trial = {.load = load, .spec = *spec};

	trial.replies = rte_ring_create("spw_replies", REPLIES_PACKETS, SOCKET_ID_ANY,
					RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (!trial.replies) {
		snprintf(why, why_bytes, "no memory for a ring of %u packets", REPLIES_PACKETS);
		return -ENOMEM;
	}
	prepare(&trial);
	launch(&trial);
	int error = look_after(&trial, watch, watch_arg, why, why_bytes);
	rte_ring_free(trial.replies);
	*result = (struct spw_trial_result){
		.seconds = (double)(trial.sent_all_ticks - trial.start_ticks) / load->ticks_per_s,
		.sent = trial.sent,
		.sent_bytes = trial.sent_bytes,
		.given_up = trial.pace.given_up,
		.missed = spw_test_port_missed(load->ports.rx),
		.counts = load->measure->counts,
		.latency_ns = load->measure->latency_ns,
	};
	return error;
}
