/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_stamps.c - time stamps of INITs over restarts, crashes and clocks that are set: none of ours
 * is ever as old as one before, none of a peer's is taken twice.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/daemon/sa/stamps.h"

#define NS_PER_S UINT64_C(1000000000)
#define START_S UINT64_C(1700000000)
#define PEERS_MAX 4u

/* ---- the clock: the linker sends stamps.c and file.c here (meson.build) ------------------- */

static uint64_t now_ns;

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	(void)clock;
	*time = (struct timespec){.tv_sec = (time_t)(now_ns / NS_PER_S),
				  .tv_nsec = (long)(now_ns % NS_PER_S)};
	return 0;
}

/* ---- helpers ------------------------------------------------------------------------------ */

static char dir[64], path[128];
static struct event_base *loop;
static struct spw_stamps *stamps;
static struct spw_tai64n own; /* the last of ours */

static void open_stamps(void)
{
	assert_int_equal(spw_stamps_open(loop, dir, PEERS_MAX, &stamps), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/spw-stamps-XXXXXX");
	loop = event_base_new();
	if (!mkdtemp(dir) || !loop)
		return -1;
	snprintf(path, sizeof(path), "%s/stamps", dir);
	now_ns = START_S * NS_PER_S;
	own = (struct spw_tai64n){0};
	open_stamps();
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	spw_stamps_close(stamps);
	event_base_free(loop);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void restart(void)
{
	spw_stamps_close(stamps);
	open_stamps();
}

/* What the last second has brought is lost: the file is put back as it was. */
static void crash(void)
{
	char kept[160], command[400];

	snprintf(kept, sizeof(kept), "%s.kept", path);
	snprintf(command, sizeof(command), "cp -p %s %s", path, kept);
	assert_int_equal(system(command), 0);
	spw_stamps_close(stamps);
	assert_int_equal(rename(kept, path), 0);
	open_stamps();
}

static bool take(uint8_t peer, uint64_t stamp_ns)
{
	uint8_t key[SPW_PUBLIC_KEY_BYTES];
	struct spw_tai64n stamp = {0};

	memset(key, peer, sizeof(key));
	spw_tai64n_next(&stamp, stamp_ns);
	return spw_stamps_take(stamps, key, &stamp);
}

/* Another one of ours, later than all before it. */
static void next(void)
{
	struct spw_tai64n stamp = spw_stamps_next(stamps);

	assert_true(spw_tai64n_later(&stamp, &own));
	own = stamp;
}

/* ---- stamps ------------------------------------------------------------------------------- */

static void test_own_increase(void **state)
{
	struct spw_tai64n at_clock = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		next(); /* all in one nanosecond */
	now_ns += NS_PER_S;
	next();
	spw_tai64n_next(&at_clock, now_ns);
	assert_memory_equal(&own, &at_clock, sizeof(own));
	now_ns -= 1000 * NS_PER_S;
	next();
	next();
}

static void test_peer_once(void **state)
{
	(void)state;
	assert_true(take(1, now_ns));
	assert_false(take(1, now_ns));
	assert_false(take(1, now_ns - 1));
	assert_true(take(1, now_ns + 1));
	assert_true(take(2, now_ns - NS_PER_S)); /* each has a clock of its own */
	assert_false(take(2, now_ns - NS_PER_S));
}

/* ---- over restarts ------------------------------------------------------------------------ */

static void test_restart(void **state)
{
	(void)state;
	next();
	assert_true(take(1, now_ns) && take(2, now_ns + 5));
	restart();
	assert_false(take(1, now_ns));
	assert_false(take(2, now_ns + 5));
	assert_true(take(1, now_ns + 1) && take(2, now_ns + 6));
	next(); /* in the same nanosecond as before the restart */
	now_ns -= 3600 * NS_PER_S;
	restart();
	next();
	now_ns += 7200 * NS_PER_S;
	restart();
	next();
}

/* Nothing is written before a second has passed, and then all at once. */
static void test_written_after_a_second(void **state)
{
	(void)state;
	next();
	assert_true(take(1, now_ns));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(event_base_dispatch(loop), 1); /* ends when no timer is left */
	assert_int_equal(access(path, F_OK), 0);
	crash();
	assert_false(take(1, now_ns));
	next();
}

/* The stamps of the last second are not in the file, and the clock stands still. */
static void test_crash_within_the_second(void **state)
{
	(void)state;
	next();
	restart();
	now_ns += NS_PER_S - 1;
	for (int i = 0; i < 10; i++)
		next();
	crash();
	next();
	restart();
	now_ns -= NS_PER_S / 2;
	next();
	crash();
	next();
}

/* ---- more peers than rows ----------------------------------------------------------------- */

static void test_silent_one_makes_room(void **state)
{
	(void)state;
	for (uint8_t peer = 0; peer < PEERS_MAX; peer++)
		assert_true(take(peer, now_ns + peer));
	assert_true(take(0, now_ns + 100)); /* now 1 is the one that was silent longest */
	assert_true(take(PEERS_MAX, now_ns + 101));
	assert_false(take(0, now_ns + 100));
	assert_false(take(2, now_ns + 2));
	assert_false(take(PEERS_MAX, now_ns + 101));
	restart();
	assert_false(take(PEERS_MAX, now_ns + 101));
	assert_true(take(1, now_ns + 1)); /* forgotten; takes the place of 2 */
	assert_false(take(3, now_ns + 3));
}

static void test_file_with_more_rows(void **state)
{
	(void)state;
	for (uint8_t peer = 0; peer < PEERS_MAX; peer++)
		assert_true(take(peer, now_ns));
	spw_stamps_close(stamps);
	assert_int_equal(spw_stamps_open(loop, dir, 2, &stamps), 0);
	assert_false(take(0, now_ns));
	assert_false(take(1, now_ns));
}

/* ---- damage ------------------------------------------------------------------------------- */

static void flip(off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Whatever is wrong with it, the file is started anew as a whole, and written anew. */
static void test_damaged_file(void **state)
{
	struct stat status;

	(void)state;
	assert_true(take(1, now_ns));
	restart();
	assert_int_equal(stat(path, &status), 0);
	for (off_t at = 0; at < status.st_size; at += 3) {
		flip(at);
		restart();
		assert_true(take(1, now_ns));
		restart();
		assert_false(take(1, now_ns));
	}
	for (off_t bytes = 0; bytes < status.st_size; bytes += 7) {
		assert_int_equal(truncate(path, bytes), 0);
		restart();
		assert_true(take(1, now_ns));
		restart();
		assert_false(take(1, now_ns));
	}
	assert_int_equal(truncate(path, status.st_size + 1), 0);
	restart();
	assert_true(take(1, now_ns));
}

static void test_file_is_private(void **state)
{
	struct stat status;

	(void)state;
	next();
	restart();
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* Nothing new: the file stays as it is. */
static void test_no_write_without_a_change(void **state)
{
	(void)state;
	assert_true(take(1, now_ns));
	restart();
	assert_int_equal(unlink(path), 0);
	assert_false(take(1, now_ns));
	restart();
	assert_int_equal(access(path, F_OK), -1);
	assert_true(take(1, now_ns));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_increase),
		TEST(test_peer_once),
		TEST(test_restart),
		TEST(test_written_after_a_second),
		TEST(test_crash_within_the_second),
		TEST(test_silent_one_makes_room),
		TEST(test_file_with_more_rows),
		TEST(test_damaged_file),
		TEST(test_file_is_private),
		TEST(test_no_write_without_a_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
