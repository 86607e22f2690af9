/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_reserve.c - the state files: what a crash, a copy or a restored backup makes of them, and
 * what is said then. A crash is a child process that ends inside a wrapped system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/daemon/sa/epochs.h"
#include "control/daemon/sa/reserve.h"

/* ---- crash points: the linker sends these calls here (meson.build; off_t has 64 bits) ----- */

enum point { NEVER, BEFORE_WRITE, TORN_WRITE, BEFORE_FSYNC, BEFORE_RENAME, AFTER_RENAME };
static enum point crash_at;

ssize_t __real_pwrite64(int fd, const void *data, size_t bytes, off_t offset);
int __real_fsync(int fd);
int __real_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t bytes, off_t offset);
int __wrap_fsync(int fd);
int __wrap_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name);

ssize_t __wrap_pwrite64(int fd, const void *data, size_t bytes, off_t offset)
{
	if (crash_at == BEFORE_WRITE)
		_exit(0);
	ssize_t n = __real_pwrite64(fd, data, crash_at == TORN_WRITE ? bytes / 2 : bytes, offset);
	if (crash_at == TORN_WRITE)
		_exit(0);
	return n;
}

int __wrap_fsync(int fd)
{
	if (crash_at == BEFORE_FSYNC)
		_exit(0);
	return __real_fsync(fd);
}

int __wrap_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	if (crash_at == BEFORE_RENAME)
		_exit(0);
	int err = __real_renameat(old_dir, old_name, new_dir, new_name);
	if (crash_at == AFTER_RENAME)
		_exit(0);
	return err;
}

/* ---- helpers ------------------------------------------------------------------------------ */

static char dir[64], path[128], copy[128];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/spw-reserve-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/t1.reserve", dir);
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct spw_reserve sample(uint64_t tx_limit, uint64_t rx_limit)
{
	struct spw_reserve reserve = {.tx_limit = tx_limit, .rx_limit = rx_limit};

	memset(reserve.print_in, 1, sizeof(reserve.print_in));
	memset(reserve.print_out, 2, sizeof(reserve.print_out));
	return reserve;
}

static void store(uint64_t tx_limit, uint64_t rx_limit)
{
	struct spw_reserve reserve = sample(tx_limit, rx_limit);

	assert_int_equal(spw_reserve_store(dir, "t1", &reserve), 0);
}

/* says: what the sentence must name, for errors. */
static void expect(int err, uint64_t tx_limit, uint64_t rx_limit, const char *says)
{
	struct spw_reserve reserve = sample(0, 0);
	char why[512] = "";

	assert_int_equal(spw_reserve_load(dir, "t1", &reserve, why, sizeof(why)), err);
	if (err < 0) {
		assert_non_null(strstr(why, path));
		assert_non_null(strstr(why, "spillway tunnel first-use t1"));
		assert_non_null(strstr(why, says));
		assert_int_equal(reserve.tx_limit, 0);
		return;
	}
	assert_int_equal(reserve.tx_limit, tx_limit);
	assert_int_equal(reserve.rx_limit, rx_limit);
}

static void copy_file(const char *from, const char *to, int flags)
{
	uint8_t data[4096];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | flags, 0600);
	ssize_t n = read(in, data, sizeof(data));

	assert_true(in >= 0 && out >= 0 && n > 0);
	assert_int_equal(write(out, data, (size_t)n), n);
	close(in);
	close(out);
}

static void crash(enum point point, uint64_t tx_limit, uint64_t rx_limit)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		crash_at = point;
		struct spw_reserve reserve = sample(tx_limit, rx_limit);
		spw_reserve_store(dir, "t1", &reserve);
		_exit(1); /* it did not crash */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- reserve ------------------------------------------------------------------------------ */

static void test_round_trip(void **state)
{
	struct stat status;

	(void)state;
	expect(-ENOENT, 0, 0, "there is no");
	store(1ull << 32, 77);
	expect(0, 1ull << 32, 77, NULL);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	for (uint64_t i = 1; i < 50; i++) {
		store(i, UINT64_MAX - i);
		expect(0, i, UINT64_MAX - i, NULL);
	}
}

static void test_crash_points(void **state)
{
	static const enum point points[] = {BEFORE_WRITE, TORN_WRITE, BEFORE_FSYNC, BEFORE_RENAME};

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		store(100 + i, 7);
		crash(points[i], 999, 9);
		expect(0, 100 + i, 7, NULL); /* the former bounds */
		store(200 + i, 8);           /* and the rest of the crash is in nobody's way */
		expect(0, 200 + i, 8, NULL);
	}
	crash(AFTER_RENAME, 1000, 10);
	expect(0, 1000, 10, NULL);
}

static void test_torn(void **state)
{
	struct stat status;
	uint8_t byte;
	int fd;

	(void)state;
	store(5, 6);
	assert_int_equal(stat(path, &status), 0);
	/* Every byte matters. */
	for (off_t i = 0; i < status.st_size; i++) {
		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, i), 1);
		byte ^= 0x40;
		assert_int_equal(__real_pwrite64(fd, &byte, 1, i), 1);
		close(fd);
		expect(-EUCLEAN, 0, 0, "torn");
		byte ^= 0x40;
		fd = open(path, O_RDWR);
		assert_int_equal(__real_pwrite64(fd, &byte, 1, i), 1);
		close(fd);
	}
	expect(0, 5, 6, NULL);
	for (off_t n = status.st_size - 1; n >= 0; n -= 7) {
		assert_int_equal(truncate(path, n), 0);
		expect(-EUCLEAN, 0, 0, "torn");
	}
}

static void test_other_keys(void **state)
{
	struct spw_reserve reserve = sample(5, 6);
	char why[512];

	(void)state;
	assert_int_equal(spw_reserve_store(dir, "t1", &reserve), 0);
	reserve.print_out[7] ^= 1;
	assert_int_equal(spw_reserve_load(dir, "t1", &reserve, why, sizeof(why)), -EKEYREJECTED);
	assert_non_null(strstr(why, "other keys"));
	reserve = sample(0, 0);
	reserve.print_in[0] ^= 1;
	assert_int_equal(spw_reserve_load(dir, "t1", &reserve, why, sizeof(why)), -EKEYREJECTED);
}

/* cp file backup; ...; mv backup file */
static void test_restored_by_rename(void **state)
{
	(void)state;
	store(5, 6);
	copy_file(path, copy, 0);
	store(1000, 1000);
	assert_int_equal(rename(copy, path), 0);
	expect(-ESTALE, 0, 0, "copy or was restored");
}

/* cp file backup; ...; rm file; cp backup file: another inode, or the same one by chance. */
static void test_restored_by_copy(void **state)
{
	(void)state;
	store(5, 6);
	copy_file(path, copy, 0);
	sleep(3);
	unlink(path);
	copy_file(copy, path, 0);
	expect(-ESTALE, 0, 0, "copy or was restored");
}

/* cp backup file, over the original: the inode stays, its ctime does not. */
static void test_restored_in_place(void **state)
{
	(void)state;
	store(5, 6);
	expect(0, 5, 6, NULL);
	copy_file(path, copy, 0);
	sleep(3);
	expect(0, 5, 6, NULL); /* age alone does no harm */
	copy_file(copy, path, O_TRUNC);
	expect(-ESTALE, 0, 0, "copy or was restored");
}

static void test_unwritable(void **state)
{
	struct spw_reserve reserve = sample(5, 6);

	(void)state;
	assert_int_equal(spw_reserve_store("/nonexistent", "t1", &reserve), -ENOENT);
	store(1, 2);
	/* A folder in the temporary file's place cannot be unlinked. */
	snprintf(copy, sizeof(copy), "%s/t1.reserve.tmp", dir);
	assert_int_equal(mkdir(copy, 0700), 0);
	assert_true(spw_reserve_store(dir, "t1", &reserve) < 0);
	rmdir(copy);
	expect(0, 1, 2, NULL);
	/* A symbolic link is not followed, neither way. */
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(spw_reserve_load(dir, "t1", &reserve, copy, sizeof(copy)), -ELOOP);
	store(3, 4);
	expect(0, 3, 4, NULL);
}

/* ---- epoch -------------------------------------------------------------------------------- */

static void test_epoch(void **state)
{
	struct spw_error error = {0};
	struct spw_epoch epoch, loaded;
	uint64_t first;

	(void)state;
	assert_int_equal(spw_epoch_load(dir, &epoch, &error), 0);
	assert_int_equal(epoch.value, 0);
	assert_int_equal(spw_epoch_raise(dir, &epoch, 11, &error), 0);
	first = epoch.value;
	assert_in_range(first, (uint64_t)time(NULL) - 5, (uint64_t)time(NULL));
	for (uint64_t i = 1; i < 20; i++) {
		assert_int_equal(spw_epoch_raise(dir, &epoch, 11 + i, &error), 0);
		assert_int_equal(epoch.value, first + i);
		assert_int_equal(spw_epoch_load(dir, &loaded, &error), 0);
		assert_int_equal(loaded.value, first + i);
		assert_int_equal(loaded.instance, 11 + i);
	}
}

static void test_epoch_crash(void **state)
{
	struct spw_error error = {0};
	struct spw_epoch epoch = {0}, loaded;

	(void)state;
	assert_int_equal(spw_epoch_raise(dir, &epoch, 1, &error), 0);
	for (int point = BEFORE_WRITE; point <= BEFORE_RENAME; point++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			crash_at = (enum point)point;
			spw_epoch_raise(dir, &epoch, 2, &error);
			_exit(1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(spw_epoch_load(dir, &loaded, &error), 0);
		assert_int_equal(loaded.value, epoch.value);
		assert_int_equal(loaded.instance, 1);
	}
}

static void test_epoch_damaged(void **state)
{
	struct spw_error error = {0};
	struct spw_epoch epoch = {0};
	struct stat status;
	int fd;

	(void)state;
	assert_int_equal(spw_epoch_raise(dir, &epoch, 1, &error), 0);
	snprintf(path, sizeof(path), "%s/epoch", dir);
	assert_int_equal(stat(path, &status), 0);
	for (off_t i = 0; i < status.st_size; i++) {
		uint8_t byte;
		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, i), 1);
		byte ^= 1;
		assert_int_equal(__real_pwrite64(fd, &byte, 1, i), 1);
		error = (struct spw_error){0};
		assert_int_equal(spw_epoch_load(dir, &epoch, &error), -EUCLEAN);
		assert_int_equal(epoch.value, 0);
		assert_non_null(strstr(error.text, "remove it"));
		byte ^= 1;
		assert_int_equal(__real_pwrite64(fd, &byte, 1, i), 1);
		close(fd);
	}
	error = (struct spw_error){0};
	assert_true(spw_epoch_raise("/nonexistent", &epoch, 5, &error) < 0);
	assert_int_equal(epoch.value, 0);
	assert_non_null(strstr(error.text, "/nonexistent"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_crash_points),
		TEST(test_torn),
		TEST(test_other_keys),
		TEST(test_restored_by_rename),
		TEST(test_restored_by_copy),
		TEST(test_restored_in_place),
		TEST(test_unwritable),
		TEST(test_epoch),
		TEST(test_epoch_crash),
		TEST(test_epoch_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
