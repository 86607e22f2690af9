/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshakes.h - the two parts of spw-perf-handshakes: handshakes_peers.c plays peers,
 * handshakes_flood.c strangers. One thread; whoever calls owns the memory.
 */
#ifndef SPW_PERF_HANDSHAKES_H
#define SPW_PERF_HANDSHAKES_H

#include <netinet/in.h>
#include <stdint.h>

#include "control/daemon/noise/noise.h"

struct handshakes_target {
	struct sockaddr_in address;
	uint8_t public_key[SPW_WIRE_KEY_BYTES];
};

/* The same private key for the same number, so that a node can be configured for the peers. */
void handshakes_key(uint32_t number, uint8_t private_key[SPW_WIRE_KEY_BYTES]);

/* Peers first, first + 1, ... shake hands at once; ends when all are up, or after that long.
 * Prints one JSON object. */
void handshakes_peers(const struct handshakes_target *target, uint32_t first, uint32_t cnt,
		      uint32_t seconds);

/* INITs that nobody can read but whose mac1 is right, each from another source address. Prints one
 * JSON object. */
void handshakes_flood(const struct handshakes_target *target, uint32_t pps, uint32_t seconds);

#endif
