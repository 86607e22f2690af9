/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_table.h - route tables for the trie's benchmark: prefixes with the lengths of the
 * Internet's.
 *
 * Who owns the memory: the caller, who gives arrays that are large enough. One thread.
 */
#ifndef SPW_PERF_TRIE_TABLE_H
#define SPW_PERF_TRIE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct table_route {
	uint32_t addr; /* host order, bits behind the length 0 */
	uint8_t bits;
};

/* xorshift64*: the same numbers in every run. *state is not 0. */
uint64_t table_random(uint64_t *state);

/*
 * table_make fills `routes` with cnt different IPv4 prefixes in random order. Lengths as in public
 * BGP tables, in 1,000: /24 600, /23 90, /22 110, /21 50, /20 45, /19 25, /18 15, /17 10, /16 14,
 * /25 to /32 24 (a network's own), the rest /8 to /15. Addresses: 1.0.0.0 to 223.255.255.255,
 * spread evenly or, `crowded`, three of four within one of cnt / 50 random /17s, as allocations
 * are.
 */
void table_make(struct table_route *routes, uint32_t cnt, bool crowded, uint64_t seed);

/* Addresses to look up: each in a random one of the routes, or (routes NULL) anywhere in IPv4. */
void table_addresses(uint32_t *addrs, uint32_t addrs_cnt, const struct table_route *routes,
		     uint32_t routes_cnt, uint64_t seed);

#endif
