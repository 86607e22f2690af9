/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h - addresses, prefixes, rates and names as people write them.
 *
 * Pure functions, any thread. Parsers return 0 or -EINVAL; `expected` then points to a constant
 * phrase that says what would have been right ("a prefix such as 10.0.0.0/24 or fd00::/64").
 */
#ifndef SPW_TEXT_H
#define SPW_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spw_prefix {
	uint8_t family;   /* 4 or 6 */
	uint8_t bits;     /* 0..32 or 0..128 */
	uint8_t addr[16]; /* network order, IPv4 in the first 4 bytes; bits beyond `bits` are 0 */
};

struct spw_endpoint {
	uint8_t family; /* 4 or 6; 0: none */
	uint8_t addr[16];
	uint16_t port; /* host order; 0: not given */
};

/* A prefix with host bits set is refused (it names something other than what it says). A bare
 * address is its /32 or /128. */
int spw_prefix_parse(const char *text, struct spw_prefix *prefix, const char **expected);
void spw_prefix_format(const struct spw_prefix *prefix, char *text, size_t text_bytes);

/* "192.0.2.1", "192.0.2.1:4500", "2001:db8::1", "[2001:db8::1]:4500". */
int spw_endpoint_parse(const char *text, struct spw_endpoint *endpoint, const char **expected);
void spw_endpoint_format(const struct spw_endpoint *endpoint, char *text, size_t text_bytes);
bool spw_endpoint_equal(const struct spw_endpoint *a, const struct spw_endpoint *b);

/* Whether the address can be another host's: not multicast, broadcast, loopback, unspecified, nor
 * link-local IPv6, which would need an interface beside it. */
bool spw_endpoint_is_unicast(const struct spw_endpoint *endpoint);
/* The same for an endpoint that packets are relayed to: it has a port, and is neither link-local
 * IPv4, where clouds keep their metadata, nor IPv4 written as IPv6. */
bool spw_endpoint_is_relayable(const struct spw_endpoint *endpoint);

/* "50mbit", "1.5gbit", "800kbit", "none" (0). In kbit/s, 1 or more where not "none". */
int spw_rate_parse(const char *text, uint32_t *rate_kbit, const char **expected);
void spw_rate_format(uint32_t rate_kbit, char *text, size_t text_bytes);

/* 1..31 of [a-z0-9_-], first a letter or digit. No dots: bpffs, where node names become folders,
 * refuses them. */
int spw_name_check(const char *text, const char **expected);

/* "Did you mean": the word that is fewest letters away from `text`, or NULL when none is near. */
const char *spw_word_nearest(const char *text, const char *const *words, size_t words_cnt);

#endif
