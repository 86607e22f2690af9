/* SPDX-License-Identifier: BSD-2-Clause */
/* Grace periods: step by step with rows that the test moves, then with threads as workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/daemon/tables/grace.h"

static struct spw_meta meta;
static struct spw_worker_row rows[SPW_WORKERS_MAX];
static uint32_t called;
static uint64_t called_arg;

static struct spw_grace *grace_open(uint32_t limbo_max)
{
	struct spw_grace *grace = NULL;

	memset(&meta, 0, sizeof(meta));
	memset(rows, 0, sizeof(rows));
	meta.epoch = 1;
	called = 0;
	assert_int_equal(spw_grace_create(&grace, &meta, rows, limbo_max), 0);
	return grace;
}

static void note(void *arg0, uint64_t arg1)
{
	assert_ptr_equal(arg0, &meta);
	assert_true(arg1 > called_arg ||
		    called == 0); /* in the order in which they were deferred */
	called_arg = arg1;
	called++;
}

static void defer(struct spw_grace *grace, uint64_t arg)
{
	assert_int_equal(spw_grace_reserve(grace, 1), 0);
	spw_grace_defer(grace, note, &meta, arg);
}

static bool readable(const struct spw_grace *grace, int timeout_ms)
{
	struct pollfd pollfd = {.fd = spw_grace_fd(grace), .events = POLLIN};
	return poll(&pollfd, 1, timeout_ms) == 1;
}

/* As an event loop does, for at most `ms`. */
static void loop(struct spw_grace *grace, int ms)
{
	int again = spw_grace_run(grace);
	for (int i = 0; i < ms; i++) {
		if (readable(grace, 1) || again >= 0)
			again = spw_grace_run(grace);
	}
}

static void test_idle(void **state)
{
	struct spw_grace *grace = grace_open(8);

	(void)state;
	assert_false(readable(grace, 0));
	assert_int_equal(spw_grace_run(grace), -1);
	assert_int_equal(meta.epoch, 1); /* no period without need */
	spw_grace_destroy(grace);
}

static void test_no_workers(void **state)
{
	struct spw_grace *grace = grace_open(8);

	(void)state;
	defer(grace, 1);
	defer(grace, 2);
	assert_int_equal(called, 0);
	loop(grace, 100);
	assert_int_equal(called, 2);
	assert_int_equal(meta.epoch, 2); /* one period for both */
	assert_int_equal(spw_grace_waiting(grace), 0);
	assert_int_equal(spw_grace_room(grace), 8);
	spw_grace_destroy(grace);
}

static void test_waits_for_each_worker(void **state)
{
	struct spw_grace *grace = grace_open(8);

	(void)state;
	rows[0].epoch = 1;
	rows[3].epoch = 1;
	rows[SPW_WORKERS_MAX - 1].epoch = 1;
	defer(grace, 1);
	loop(grace, 60);
	assert_int_equal(called, 0);
	assert_int_equal(meta.epoch, 2);
	assert_true(spw_grace_run(grace) > 0); /* workers lag: come again */

	rows[0].epoch = 2; /* quiescent */
	loop(grace, 30);
	assert_int_equal(called, 0);
	rows[3].epoch = 0; /* offline */
	loop(grace, 30);
	assert_int_equal(called, 0);
	/* Deferred while a period runs: not served by it. */
	defer(grace, 2);
	rows[SPW_WORKERS_MAX - 1].epoch = 2;
	loop(grace, 30);
	assert_int_equal(called, 1);
	assert_int_equal(meta.epoch, 3);
	rows[0].epoch = 3;
	rows[SPW_WORKERS_MAX - 1].epoch = 3;
	assert_int_equal(spw_grace_drain(grace, 100), -ETIMEDOUT); /* for it begins a third */
	assert_int_equal(called, 2);
	spw_grace_destroy(grace);
}

static void test_workers_gone(void **state)
{
	struct spw_grace *grace = grace_open(8);

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		rows[i].epoch = 1;
		rows[i].generation = 0xabc;
		rows[i].loops = 55;
	}
	rows[2].epoch = 1;
	rows[2].generation = 0xdef;
	defer(grace, 1);
	loop(grace, 50);
	assert_int_equal(called, 0);

	spw_grace_workers_gone(grace, 0xdef); /* says HELLO; 0xabc is gone */
	loop(grace, 30);
	assert_int_equal(called, 0);
	assert_int_equal(rows[0].epoch | rows[1].generation, 0);
	assert_int_equal(rows[0].loops, 55); /* counters stay */
	assert_int_equal(rows[2].generation, 0xdef);

	spw_grace_workers_gone(grace, 0);
	loop(grace, 30);
	assert_int_equal(called, 1);
	assert_int_equal(rows[2].epoch | rows[2].generation, 0);
	spw_grace_destroy(grace);
}

static void test_limbo_is_bounded(void **state)
{
	struct spw_grace *grace = grace_open(3);

	(void)state;
	assert_int_equal(spw_grace_reserve(grace, 4), -EBUSY);
	assert_int_equal(spw_grace_reserve(grace, 2), 0);
	assert_int_equal(spw_grace_room(grace), 1);
	assert_int_equal(spw_grace_reserve(grace, 2), -EBUSY);
	spw_grace_unreserve(grace, 1);
	spw_grace_defer(grace, note, &meta, 1);
	assert_int_equal(spw_grace_room(grace), 2);
	assert_int_equal(spw_grace_waiting(grace), 1);
	rows[0].epoch = 1;
	defer(grace, 2);
	defer(grace, 3);
	assert_int_equal(spw_grace_reserve(grace, 1), -EBUSY);
	loop(grace, 30);
	assert_int_equal(spw_grace_reserve(grace, 1), -EBUSY);
	rows[0].epoch = 0;
	assert_int_equal(spw_grace_drain(grace, 5000), 0);
	assert_int_equal(called, 3);
	assert_int_equal(spw_grace_room(grace), 3);
	struct spw_grace *other = NULL;
	assert_int_equal(spw_grace_create(&other, &meta, rows, 0), -EINVAL);
	assert_int_equal(spw_grace_create(&other, &meta, rows, UINT32_MAX), -EINVAL);
	spw_grace_destroy(grace);
}

static struct spw_grace *chained;

static void chain(void *arg0, uint64_t arg1)
{
	called++;
	if (arg1 == 0)
		return;
	assert_int_equal(spw_grace_reserve(chained, 1), 0);
	spw_grace_defer(chained, chain, arg0, arg1 - 1);
}

static void test_callback_may_defer(void **state)
{
	(void)state;
	chained = grace_open(1); /* its own place is free again when it is called */
	assert_int_equal(spw_grace_reserve(chained, 1), 0);
	spw_grace_defer(chained, chain, NULL, 3);
	loop(chained, 500);
	assert_int_equal(called, 4);
	assert_int_equal(meta.epoch, 5); /* a period each */
	spw_grace_destroy(chained);
}

static void test_drain_always_runs_a_period(void **state)
{
	struct spw_grace *grace = grace_open(4);

	(void)state;
	assert_int_equal(spw_grace_drain(grace, 5000), 0);
	assert_int_equal(meta.epoch, 2);
	rows[5].epoch = 1;
	assert_int_equal(spw_grace_drain(grace, 50), -ETIMEDOUT);
	rows[5].epoch = 0;
	assert_int_equal(spw_grace_drain(grace, 5000), 0);
	assert_true(meta.epoch >= 4);
	spw_grace_destroy(grace);
}

/* A drain that gave up has read what the helper had to say; the event loop goes on all the same. */
static void test_loop_goes_on_after_a_timeout(void **state)
{
	struct spw_grace *grace = grace_open(4);

	(void)state;
	rows[5].epoch = 1;
	defer(grace, 1);
	assert_int_equal(spw_grace_drain(grace, 100), -ETIMEDOUT);
	assert_true(readable(grace, 0));
	assert_true(spw_grace_run(grace) > 0); /* the worker lags: come again */
	rows[5].epoch = 0;
	loop(grace, 100);
	assert_int_equal(called, 1);
	spw_grace_destroy(grace);
}

/* The helper would keep the capabilities that control had when it was made. */
static void test_helper_has_no_capabilities(void **state)
{
	struct spw_grace *grace = grace_open(4);
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	uint32_t helpers = 0;

	(void)state;
	/* It has begun to serve. */
	assert_int_equal(spw_grace_drain(grace, 5000), 0);
	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		unsigned long long permitted, effective;
		char path[300], line[128];
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		FILE *status = fopen(path, "re");
		if (!status)
			continue;
		permitted = effective = 1;
		while (fgets(line, sizeof(line), status)) {
			sscanf(line, "CapPrm: %llx", &permitted);
			sscanf(line, "CapEff: %llx", &effective);
		}
		fclose(status);
		helpers++;
		assert_int_equal(permitted, 0);
		assert_int_equal(effective, 0);
	}
	closedir(tasks);
	assert_int_equal(helpers, 1);
	spw_grace_destroy(grace);
}

/* ---- threads as workers ------------------------------------------------------------------- */

#define SLOTS 64u
#define READERS 3u
#define CANARY 0x5afe5afe5afe5afeull
#define STRESS_NS 3000000000ll

/* What a published slot holds: words that all say the same. */
struct record {
	uint64_t words[8];
};

static struct record records[SLOTS];
static uint32_t published;
static bool stress_stop;
static uint64_t torn; /* readers: atomic add */
static uint64_t stress_loops[READERS];

static void record_fill(struct record *record, uint64_t word)
{
	for (int i = 0; i < 8; i++)
		__atomic_store_n(&record->words[i], word, __ATOMIC_RELAXED);
}

/* hold: the burst is a long one, longer than any barrier in the kernel. */
static void burst(bool hold)
{
	uint32_t slot = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
	uint64_t first = __atomic_load_n(&records[slot].words[0], __ATOMIC_RELAXED);

	for (int round = 0; round < 4; round++) {
		if (hold && round == 2)
			usleep(30000);
		for (int i = 0; i < 8; i++)
			if (__atomic_load_n(&records[slot].words[i], __ATOMIC_RELAXED) != first ||
			    first >> 32 != CANARY >> 32)
				__atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
	}
}

/* The worker's half of the contract in tables.h. */
static void *reader_run(void *arg)
{
	uint32_t index = (uint32_t)(uintptr_t)arg;
	struct spw_worker_row *row = &rows[index];
	uint64_t loops = 0;

	while (!__atomic_load_n(&stress_stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&row->epoch, __atomic_load_n(&meta.epoch, __ATOMIC_ACQUIRE),
				 __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		for (uint32_t i = 0; i < 1 + loops % 7; i++) {
			burst(false);
			__atomic_store_n(&row->epoch,
					 __atomic_load_n(&meta.epoch, __ATOMIC_ACQUIRE),
					 __ATOMIC_RELEASE);
		}
		burst(loops % 4096 == index);
		__atomic_store_n(&row->epoch, 0, __ATOMIC_RELEASE);
		if (++loops % 1024 == 0)
			sched_yield();
	}
	stress_loops[index] = loops;
	return NULL;
}

static uint32_t free_slots[SLOTS], free_cnt;

static void slot_poison(void *arg0, uint64_t slot)
{
	(void)arg0;
	record_fill(&records[slot], 0xdead0000dead0000ull + slot);
	free_slots[free_cnt++] = (uint32_t)slot;
}

static uint64_t stress_write(struct spw_grace *grace)
{
	int64_t end = (int64_t)spw_now_ns() + STRESS_NS;
	uint64_t changes = 0;
	int again = -1;

	while ((int64_t)spw_now_ns() < end) {
		while (free_cnt && spw_grace_reserve(grace, 1) == 0) {
			uint32_t slot = free_slots[--free_cnt], old = published;
			record_fill(&records[slot], CANARY + (uint32_t)changes % 1000);
			__atomic_store_n(&published, slot, __ATOMIC_RELEASE);
			spw_grace_defer(grace, slot_poison, NULL, old);
			changes++;
		}
		if (readable(grace, again < 0 ? 100 : again) || again >= 0)
			again = spw_grace_run(grace);
	}
	return changes;
}

static void test_stress(void **state)
{
	struct spw_grace *grace = grace_open(48);
	pthread_t readers[READERS];
	uint64_t loops = 0;

	(void)state;
	record_fill(&records[0], CANARY);
	for (uint32_t i = 1; i < SLOTS; i++) {
		record_fill(&records[i], 0xdead0000dead0000ull);
		free_slots[free_cnt++] = i;
	}
	for (uintptr_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader_run, (void *)i), 0);
	uint64_t changes = stress_write(grace);
	assert_int_equal(spw_grace_drain(grace, 10000), 0);
	__atomic_store_n(&stress_stop, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < READERS; i++) {
		pthread_join(readers[i], NULL);
		loops += stress_loops[i];
	}
	print_message("%lu changes in %lu periods, %lu loops of %u readers\n", changes,
		      (unsigned long)meta.epoch - 1, loops, READERS);
	assert_int_equal(torn, 0);
	assert_int_equal(free_cnt, SLOTS - 1); /* every old slot came back, once */
	assert_true(changes > 500);
	assert_true(meta.epoch > 20);
	spw_grace_destroy(grace);
}

/* ---- a kernel that refuses membarrier ----------------------------------------------------- */

static void refuse_membarrier(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(membarrier), 0) != 0 ||
	    seccomp_load(filter) != 0)
		_exit(77);
	seccomp_release(filter);
}

static void test_without_membarrier(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: the other way needs CAP_BPF, run as root\n");
		skip();
	}
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct spw_grace *grace = NULL;
		refuse_membarrier();
		called = 0;
		meta.epoch = 1;
		memset(rows, 0, sizeof(rows));
		if (spw_grace_create(&grace, &meta, rows, 4) != 0)
			_exit(1);
		if (spw_grace_reserve(grace, 1) != 0)
			_exit(2);
		spw_grace_defer(grace, note, &meta, 1);
		if (spw_grace_drain(grace, 5000) != 0 || called != 1)
			_exit(3);
		spw_grace_destroy(grace);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_no_workers),
		cmocka_unit_test(test_waits_for_each_worker),
		cmocka_unit_test(test_workers_gone),
		cmocka_unit_test(test_limbo_is_bounded),
		cmocka_unit_test(test_callback_may_defer),
		cmocka_unit_test(test_drain_always_runs_a_period),
		cmocka_unit_test(test_loop_goes_on_after_a_timeout),
		cmocka_unit_test(test_helper_has_no_capabilities),
		cmocka_unit_test(test_stress),
		cmocka_unit_test(test_without_membarrier),
	};
	return cmocka_run_group_tests_name("tables_grace", tests, NULL, NULL);
}
