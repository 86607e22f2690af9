/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h - what the command line of spillway-pktgen asks for.
 *
 * Thread: main. Strings point into argv.
 */
#ifndef SPW_OPTIONS_H
#define SPW_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "control/text.h"
#include "perf/pktgen/mix.h"
#include "perf/pktgen/range.h"

#define SPW_FLOWS_MAX (1u << 20)
#define SPW_TUNNELS_MAX 16384u
#define SPW_SIZE_BYTES_MAX 1500u
#define SPW_SOURCE_PORT_FIRST 1024u
#define SPW_SOURCE_PORTS 64512u

enum spw_rate_kind { SPW_RATE_UNSET, SPW_RATE_MAX, SPW_RATE_PACKETS, SPW_RATE_BITS };

struct spw_options {
	const char *tx, *rx; /* as given; rx is tx where it was not */
	struct spw_endpoint gateway;
	uint8_t gateway_mac[6]; /* where gateway.family is 0 and has_gateway_mac */
	bool has_gateway_mac;
	int cores[2]; /* of sender and receiver; -1: any; equal: one thread does both */

	const char *esp_file, *decrypt_file, *pcap_file;
	struct spw_range src, dst;
	bool has_src, has_dst;
	uint32_t flows; /* 0: one for each SA */
	struct spw_mix mix;
	bool has_size;

	enum spw_rate_kind rate_kind;
	double rate;      /* packets/s or bits/s */
	double speed;     /* of a capture's own timing */
	double seconds;   /* 0: not given */
	uint64_t packets; /* 0: not given */
	double warmup_s;

	bool search;
	double trial_s, loss_percent;

	bool json, csv;
	const char *write_dir;
	uint32_t tunnels;
	bool help, version;
};

/* Reads and checks everything that can be known before a port is opened. 0, or -EINVAL with a
 * sentence in `why` that says what was expected. */
int spw_options_parse(int argc, char **argv, struct spw_options *options, char *why,
		      unsigned int why_bytes);

void spw_options_help(FILE *out);

/* The packets per second that the options ask for when a packet has so many bytes on average;
 * 0: as fast as it goes. */
double spw_options_packets_per_s(const struct spw_options *options, double mean_bytes);

#endif
