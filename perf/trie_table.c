/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_table.c - see trie_table.h. */
#include "perf/trie_table.h"

#include <stdlib.h>
#include <string.h>

uint64_t table_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static uint32_t mask(uint32_t bits)
{
	return bits ? ~0u << (32 - bits) : 0;
}

static uint8_t random_length(uint64_t *seed)
{
	static const struct {
		uint16_t until; /* of 1,000 */
		uint8_t bits;
	} mix[] = {{600, 24}, {690, 23}, {800, 22}, {850, 21}, {895, 20},
		   {920, 19}, {935, 18}, {945, 17}, {959, 16}};
	uint64_t dice = table_random(seed);

	for (size_t i = 0; i < sizeof(mix) / sizeof(*mix); i++)
		if (dice % 1000 < mix[i].until)
			return mix[i].bits;
	if (dice % 1000 < 983)
		return (uint8_t)(25 + (dice >> 32) % 8);
	/* Each bit of length doubles how many there are: /15 most often. */
	uint32_t shorter = (uint32_t)__builtin_ctzll(dice >> 32 | 1ull << 7);
	return (uint8_t)(15 - shorter);
}

static uint32_t random_address(uint64_t *seed)
{
	uint32_t addr;

	do
		addr = (uint32_t)(table_random(seed) >> 32);
	while (addr < 1u << 24 || addr >= 224u << 24);
	return addr;
}

/* Open addressing over routes + 1, so that no prefix comes twice. */
static bool is_new(uint32_t *hash, uint32_t hash_max, const struct table_route *routes, uint32_t i)
{
	uint32_t at = (routes[i].addr ^ routes[i].bits * 0x9e3779b9u) * 2654435761u;

	for (at %= hash_max; hash[at]; at = (at + 1) % hash_max) {
		const struct table_route *other = &routes[hash[at] - 1];
		if (other->addr == routes[i].addr && other->bits == routes[i].bits)
			return false;
	}
	hash[at] = i + 1;
	return true;
}

void table_make(struct table_route *routes, uint32_t cnt, bool crowded, uint64_t seed)
{
	uint32_t hash_max = 2 * cnt + 1, blocks_cnt = cnt / 50 + 1;
	uint32_t *hash = calloc(hash_max, sizeof(*hash));
	uint32_t *blocks = calloc(blocks_cnt, sizeof(*blocks));

	if (!hash || !blocks)
		abort();
	for (uint32_t i = 0; i < blocks_cnt; i++)
		blocks[i] = random_address(&seed) & mask(17);
	for (uint32_t i = 0; i < cnt;) {
		uint32_t addr = random_address(&seed);
		uint64_t dice = table_random(&seed);
		uint8_t bits = random_length(&seed);
		if (crowded && dice % 4 && bits > 17)
			addr = blocks[(dice >> 32) % blocks_cnt] | (addr & ~mask(17));
		routes[i] = (struct table_route){addr & mask(bits), bits};
		i += is_new(hash, hash_max, routes, i);
	}
	free(hash);
	free(blocks);
}

void table_addresses(uint32_t *addrs, uint32_t addrs_cnt, const struct table_route *routes,
		     uint32_t routes_cnt, uint64_t seed)
{
	for (uint32_t i = 0; i < addrs_cnt; i++) {
		uint64_t dice = table_random(&seed);
		addrs[i] = (uint32_t)(dice >> 32);
		if (!routes)
			continue;
		const struct table_route *route = &routes[table_random(&seed) % routes_cnt];
		addrs[i] = route->addr | (addrs[i] & ~mask(route->bits));
	}
}
