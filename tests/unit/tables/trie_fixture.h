/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie_fixture.h - a pool of tries in plain memory, with grace periods in which no worker runs.
 * Each test makes its own fixture and closes it; one thread.
 */
#ifndef SPW_TRIE_FIXTURE_H
#define SPW_TRIE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>

#include "control/daemon/tables/trie.h"
#include "ebpf/trie.h"

struct fixture {
	struct spw_trie_unit *units;
	uint32_t units_max;
	struct spw_trie_pool *pool;
	struct spw_meta *meta;
	struct spw_worker_row *workers;
	struct spw_grace *grace;
	struct spw_trie view; /* as a worker has it */
};

static inline void fixture_pool(struct fixture *fixture)
{
	fixture->pool = spw_trie_pool_create(fixture->units, fixture->units_max);
	assert_non_null(fixture->pool);
}

static inline void fixture_open_limbo(struct fixture *fixture, uint32_t units_max,
				      uint32_t limbo_max)
{
	fixture->units_max = units_max;
	fixture->units = aligned_alloc(SPW_CACHE_LINE, units_max * sizeof(*fixture->units));
	fixture->meta = aligned_alloc(SPW_CACHE_LINE, sizeof(*fixture->meta));
	fixture->workers =
		aligned_alloc(SPW_CACHE_LINE, SPW_WORKERS_MAX * sizeof(*fixture->workers));
	assert_true(fixture->units && fixture->meta && fixture->workers);
	memset(fixture->units, 0, units_max * sizeof(*fixture->units));
	memset(fixture->meta, 0, sizeof(*fixture->meta));
	memset(fixture->workers, 0, SPW_WORKERS_MAX * sizeof(*fixture->workers));
	fixture->meta->epoch = 1;
	assert_int_equal(
		spw_grace_create(&fixture->grace, fixture->meta, fixture->workers, limbo_max), 0);
	fixture->view = (struct spw_trie){fixture->units, units_max};
	fixture_pool(fixture);
	spw_trie_marked(fixture->pool);
}

#define FIXTURE_LIMBO 4u

static inline void fixture_open(struct fixture *fixture, uint32_t units_max)
{
	fixture_open_limbo(fixture, units_max, FIXTURE_LIMBO);
}

static inline void fixture_close(struct fixture *fixture)
{
	assert_int_equal(spw_grace_drain(fixture->grace, 5000), 0);
	spw_grace_destroy(fixture->grace);
	spw_trie_pool_destroy(fixture->pool);
	free(fixture->units);
	free(fixture->meta);
	free(fixture->workers);
}

static inline struct spw_trie_txn *fixture_begin(struct fixture *fixture)
{
	struct spw_trie_txn *txn = NULL;
	assert_int_equal(spw_trie_txn_begin(fixture->pool, &txn), 0);
	return txn;
}

/* Publishes one root and waits until the old blocks are free. */
static inline void fixture_commit(struct fixture *fixture, struct spw_trie_txn *txn,
				  uint32_t *published, uint32_t root)
{
	assert_int_equal(spw_trie_txn_seal(txn, fixture->grace), 0);
	__atomic_store_n(published, root, __ATOMIC_RELEASE);
	spw_trie_txn_retire(txn);
	assert_int_equal(spw_grace_drain(fixture->grace, 5000), 0);
}

static inline struct spw_trie_usage fixture_usage(const struct fixture *fixture)
{
	struct spw_trie_usage usage;
	spw_trie_usage(fixture->pool, &usage);
	return usage;
}

static inline int count_prefix(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	(void)prefix;
	(void)leaf;
	++*(uint32_t *)arg;
	return 0;
}

/* How many prefixes a walk finds. */
static inline uint32_t fixture_count(const struct fixture *fixture, uint32_t root,
				     unsigned int family)
{
	uint32_t cnt = 0;
	assert_int_equal(spw_trie_walk(fixture->pool, root, family, count_prefix, &cnt), 0);
	return cnt;
}

/* Bits behind prefix->bits become 0. */
static inline void prefix_mask(struct spw_prefix *prefix)
{
	for (unsigned int i = 0; i < sizeof(prefix->addr); i++) {
		if (8 * i >= prefix->bits)
			prefix->addr[i] = 0;
		else if (8 * i + 8 > prefix->bits)
			prefix->addr[i] &= (uint8_t)(0xff00 >> prefix->bits % 8);
	}
}

/* "10.0.0.0/8", "fd00::/8"; written here so that the test does not lean on the parser. */
static inline struct spw_prefix prefix_of(const char *text)
{
	struct spw_prefix prefix = {0};
	char addr[64];
	const char *slash = strchr(text, '/');

	assert_non_null(slash);
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	prefix.family = strchr(text, ':') ? 6 : 4;
	prefix.bits = (uint8_t)atoi(slash + 1);
	assert_int_equal(inet_pton(prefix.family == 6 ? AF_INET6 : AF_INET, addr, prefix.addr), 1);
	return prefix;
}

/* What a worker finds for an address (16 bytes, IPv4 in the first 4). */
static inline uint32_t lookup(const struct fixture *fixture, uint32_t root, unsigned int family,
			      const uint8_t *addr)
{
	if (family == 6)
		return spw_trie_lookup(&fixture->view, root, spw_trie_key6(addr), SPW_TRIE_LEVELS6);
	uint32_t addr_be;
	memcpy(&addr_be, addr, sizeof(addr_be));
	return spw_trie_lookup(&fixture->view, root, spw_trie_key4(ntohl(addr_be)),
			       SPW_TRIE_LEVELS4);
}

static inline uint32_t lookup_text(const struct fixture *fixture, uint32_t root, const char *text)
{
	uint8_t addr[16] = {0};
	unsigned int family = strchr(text, ':') ? 6 : 4;
	assert_int_equal(inet_pton(family == 6 ? AF_INET6 : AF_INET, text, addr), 1);
	return lookup(fixture, root, family, addr);
}

/* xorshift64*: the same numbers in every run. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545F4914F6CDD1Dull;
}

static inline void insert(struct spw_trie_txn *txn, uint32_t *root, const char *text, uint32_t leaf)
{
	struct spw_prefix prefix = prefix_of(text);
	assert_int_equal(spw_trie_insert(txn, root, &prefix, leaf, false), 0);
}

/* Prefixes that cover one another often. */
static inline struct spw_prefix random_prefix(uint64_t *seed, unsigned int family)
{
	struct spw_prefix prefix = {.family = (uint8_t)family};
	uint64_t a = random_next(seed), b = random_next(seed);

	/* Few values to a byte. */
	a &= 0x0303030703030703ull;
	b &= 0x0303030303030303ull;
	memcpy(prefix.addr, &a, 8);
	memcpy(prefix.addr + 8, &b, 8);
	prefix.bits = (uint8_t)(random_next(seed) % (family == 4 ? 33 : 129));
	prefix_mask(&prefix);
	return prefix;
}

/* Returns how many of them are different. */
static inline uint32_t fill(const struct fixture *fixture, struct spw_trie_txn *txn, uint32_t *root,
			    unsigned int family, uint64_t *seed, uint32_t cnt)
{
	uint32_t different = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		struct spw_prefix prefix = random_prefix(seed, family);
		different += spw_trie_get(fixture->pool, *root, &prefix) == 0;
		assert_int_equal(spw_trie_insert(txn, root, &prefix, i + 1, true), 0);
	}
	return different;
}

static inline void change_much(struct spw_trie_txn *txn, uint32_t *root, unsigned int family,
			       uint64_t *seed, int cnt)
{
	for (int i = 0; i < cnt; i++) {
		struct spw_prefix prefix = random_prefix(seed, family);
		if (random_next(seed) % 2)
			assert_int_equal(spw_trie_insert(txn, root, &prefix, 77, true), 0);
		else
			(void)spw_trie_remove(txn, root, &prefix); /* -ENOENT is as good */
	}
}

#endif
