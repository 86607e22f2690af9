/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups while the trie changes: threads play workers and look up prefixes that are always there,
 * while 2,000 others in the same nodes, and shorter ones that cover them, come and go in
 * transactions. Every lookup must find its own prefix. A block that is written or freed too early
 * shows up at once, for freed blocks are zeroed.
 */
#include "control/clock.h"
#include "tests/unit/tables/trie_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define READERS 2u
#define STABLE_CNT 500u
#define CHURN_CNT 2000u
#define RUN_NS 3000000000ll

static struct fixture fixture;
static uint32_t published;
static uint32_t stable[STABLE_CNT]; /* addresses, host order */
static bool stop;
static uint64_t wrong, lookups; /* readers: atomic add */

static struct spw_prefix prefix4(uint32_t addr, uint8_t bits)
{
	struct spw_prefix prefix = {.family = 4, .bits = bits};
	uint32_t addr_be = htonl(addr);
	memcpy(prefix.addr, &addr_be, sizeof(addr_be));
	prefix_mask(&prefix);
	return prefix;
}

/* A /26 in 10.0.0.0/13. Odd ones are stable, even ones come and go. */
static uint32_t network(uint32_t n, bool odd)
{
	return 10u << 24 | (n * 11 % 4096) << 7 | (uint32_t)odd << 6;
}

static void *reader_run(void *arg)
{
	struct spw_worker_row *row = arg;
	uint64_t bad = 0, loops = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		uint64_t epoch = __atomic_load_n(&fixture.meta->epoch, __ATOMIC_ACQUIRE);
		__atomic_store_n(&row->epoch, epoch, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		uint32_t root = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
		for (uint32_t i = 0; i < STABLE_CNT; i++) {
			struct spw_trie_key key = spw_trie_key4(stable[i]);
			uint32_t leaf = spw_trie_lookup(&fixture.view, root, key, SPW_TRIE_LEVELS4);
			bad += leaf != i + 1;
			/* Now and then a burst longer than any barrier in the kernel. */
			if (loops % 1024 == 0 && i == STABLE_CNT / 2)
				usleep(30000);
		}
		__atomic_store_n(&row->epoch, 0, __ATOMIC_RELEASE);
		loops++;
	}
	__atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
	__atomic_fetch_add(&lookups, loops * STABLE_CNT, __ATOMIC_RELAXED);
	return NULL;
}

/* One transaction of 1 to 64 changes, and whatever the event loop would do. */
static bool churn(uint64_t *seed, uint32_t *root)
{
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	uint32_t changed = *root;

	for (uint64_t n = 1 + random_next(seed) % 64; n; n--) {
		uint64_t dice = random_next(seed);
		uint32_t addr = network((uint32_t)(dice >> 8) % CHURN_CNT, false);
		struct spw_prefix prefix = prefix4(addr, dice % 4 ? 26 : 16 + dice % 9);
		if (spw_trie_get(fixture.pool, changed, &prefix))
			assert_int_equal(spw_trie_remove(txn, &changed, &prefix), 0);
		else
			assert_int_equal(spw_trie_insert(txn, &changed, &prefix, 0x7fffffff, false),
					 0);
	}
	if (spw_trie_txn_seal(txn, fixture.grace) != 0) {
		spw_trie_txn_abort(txn); /* the limbo is full */
		return false;
	}
	*root = changed;
	__atomic_store_n(&published, changed, __ATOMIC_RELEASE);
	spw_trie_txn_retire(txn);
	return true;
}

static void test_lookups_during_changes(void **state)
{
	pthread_t readers[READERS];
	uint64_t seed = 6, done = 0, full = 0;
	uint32_t root = 0;

	(void)state;
	fixture_open_limbo(&fixture, 65536, 32);
	struct spw_trie_txn *txn = fixture_begin(&fixture);
	for (uint32_t i = 0; i < STABLE_CNT; i++) {
		struct spw_prefix prefix = prefix4(network(i, true), 26);
		assert_int_equal(spw_trie_insert(txn, &root, &prefix, i + 1, false), 0);
		stable[i] = network(i, true) + i % 64;
	}
	fixture_commit(&fixture, txn, &published, root);
	for (uint32_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader_run, &fixture.workers[i]),
				 0);

	for (int64_t end = (int64_t)spw_now_ns() + RUN_NS; (int64_t)spw_now_ns() < end;) {
		if (churn(&seed, &root)) {
			done++;
		} else {
			full++;
			usleep(1000);
		}
		spw_grace_run(fixture.grace);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	print_message("%lu transactions, the limbo was full %lu times; %lu lookups, %lu wrong\n",
		      (unsigned long)done, (unsigned long)full, (unsigned long)lookups,
		      (unsigned long)wrong);
	assert_int_equal(wrong, 0);
	assert_true(done > 30);
	assert_true(lookups > 100ull * STABLE_CNT);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups_during_changes),
	};
	return cmocka_run_group_tests_name("tables_trie_threads", tests, NULL, NULL);
}
