/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.h - one stretch of traffic at one rate, and what became of it.
 *
 * main starts sender and receiver on their cores (one thread may be both), looks after them and
 * waits for the last packets. Between trials nobody touches the ports.
 */
#ifndef SPW_TRIAL_H
#define SPW_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ring.h>

#include "perf/pktgen/capture.h"
#include "perf/pktgen/generate.h"
#include "perf/pktgen/measure.h"
#include "perf/pktgen/neighbors.h"
#include "perf/pktgen/pace.h"
#include "perf/pktgen/ports.h"

#define SPW_TRIAL_BURST 32u /* what the AF_XDP driver's copy mode sends with one system call */

/* Everything that trials have in common. */
struct spw_load {
	struct spw_test_ports ports;
	struct spw_generator *generator; /* NULL: a capture is replayed */
	struct spw_capture capture;
	bool has_mac; /* replay: frames get our MACs */
	uint8_t macs[12];
	struct spw_sas tx_sas, rx_sas;
	struct spw_measure *measure;
	struct spw_played played;
	double ticks_per_s;
	uint16_t trial; /* number of the last one; it begins anywhere, so that runs differ too */
	/* Set by main on a signal, read by sender and receiver; relaxed. */
	bool stop;
};

struct spw_trial_spec {
	double packets_per_s; /* 0: as fast as it goes, or a capture's own timing */
	double speed;         /* of a capture's own timing; 0: not by that */
	double seconds;       /* 0: until `packets` */
	uint64_t packets;     /* 0: until `seconds` */
};

struct spw_trial_result {
	double seconds;            /* of sending */
	uint64_t sent, sent_bytes; /* bytes of IP packets, with ESP of the inner ones */
	uint64_t given_up;         /* packets that were due but not sent: the sender was late */
	uint64_t missed;           /* came back, but the generator was too slow to take them */
	struct spw_measure_counts counts;
	struct spw_histogram latency_ns;
};

/* A trial that runs. Written by main before it starts, else as said. */
struct spw_trial {
	struct spw_load *load;
	struct spw_trial_spec spec;
	struct spw_pace pace;
	uint64_t start_ticks, end_ticks; /* end: of sending at the latest */
	struct rte_ring *replies;        /* to neighbours, from the receiver to the sender */
	struct rte_mbuf *pending[SPW_TRIAL_BURST]; /* sender: made, not yet taken by the port */
	uint32_t pending_first, pending_cnt;
	uint64_t made; /* sender */

	/* Sender: relaxed stores; main and receiver: relaxed loads. */
	uint64_t sent, sent_bytes;
	/* Sender: release store when all of the above are final; receiver: acquire load. */
	bool sent_all;
	uint64_t sent_all_ticks; /* written before sent_all */
	/* Receiver: release store; sender and main: acquire loads. */
	bool received_all;
};

/* Called by main every 50 ms, and once after the end. */
typedef void (*spw_trial_watch)(void *arg, const struct spw_trial *trial);

/* 0, or a negative errno with a sentence: sequence numbers are used up or cannot be written. */
int spw_trial_run(struct spw_load *load, const struct spw_trial_spec *spec, spw_trial_watch watch,
		  void *watch_arg, struct spw_trial_result *result, char *why,
		  unsigned int why_bytes);

/* The threads of a trial, in worker.c; arg: a struct spw_trial. */
int spw_trial_send(void *arg);
int spw_trial_receive(void *arg);
int spw_trial_send_and_receive(void *arg);

/* The packets that are known to have come back: those measured, and ESP that was only counted. */
static inline uint64_t spw_returned(const struct spw_measure_counts *counts)
{
	return counts->packets + counts->unopened;
}

static inline uint64_t spw_lost(const struct spw_trial_result *result)
{
	uint64_t returned = spw_returned(&result->counts);

	return result->sent > returned ? result->sent - returned : 0;
}

#endif
