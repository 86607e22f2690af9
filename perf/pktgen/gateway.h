/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gateway.h - the MAC that frames are sent to: as given, asked for by ARP or neighbour discovery
 * over the port itself, or that of the receiving port.
 *
 * Thread: main, before the first trial.
 */
#ifndef SPW_GATEWAY_H
#define SPW_GATEWAY_H

#include "perf/pktgen/options.h"
#include "perf/pktgen/trial.h"

/* Sets the MACs of all frames. 0, or a negative errno with a sentence. */
int spw_gateway_find(struct spw_load *load, const struct spw_options *options, char *why,
		     unsigned int why_bytes);

#endif
