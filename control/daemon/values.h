/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * values.h - the rules for single values, the same for config.yaml and for the RPC methods.
 *
 * Each returns 0, or -EINVAL with `expected` pointing to a constant phrase. Pure functions.
 */
#ifndef SPW_VALUES_H
#define SPW_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "control/text.h"

/* An address that a peer or an interface can have: no multicast, broadcast, loopback or "any". */
int spw_value_remote(const char *text, struct spw_endpoint *remote, const char **expected);

/* Likewise, without a port, and of the remote's family, where one is known. */
int spw_value_local(const char *text, const struct spw_endpoint *remote, struct spw_endpoint *local,
		    const char **expected);

/* Longest inner packet in bytes: 576..9000. */
int spw_value_mtu(uint64_t value, uint16_t *mtu_bytes, const char **expected);

/* "aes-128-gcm" -> 16, "aes-256-gcm" -> 32; NULL: the default, 16. */
int spw_value_cipher(const char *text, uint8_t *key_bytes, const char **expected);

/* in: an SPI of ours, see SPW_SPI_SLOT; out: the peer's, RFC 4303 2.1 reserves 0..255. */
int spw_value_spi(uint64_t value, bool in, uint32_t *spi, const char **expected);

/* An endpoint of a relay: an address with its port, or "any" (family 0). */
int spw_value_relay_end(const char *text, struct spw_endpoint *end, const char **expected);

/* What a relay lets through in each direction: packets a second, and a rate such as "500mbit". */
int spw_value_relay_pps(uint64_t value, uint32_t *pps, const char **expected);
int spw_value_relay_rate(const char *text, uint32_t *rate_kbit, const char **expected);

/* "60s", "5m" or "60", 1..600 seconds. */
int spw_value_arm_seconds(const char *text, uint32_t *seconds, const char **expected);

/* A value as it may stand in a sentence: quoted, one line, printable, not too long. */
struct spw_quoted {
	char text[64];
};
struct spw_quoted spw_quote(const char *text);

#endif
