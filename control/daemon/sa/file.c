/* SPDX-License-Identifier: BSD-2-Clause */
/* file.c - see file.h. */
#include "control/daemon/sa/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A stamp older than this at the time of the rename is written again: readers take a file whose
 * ctime lies more than 2 s behind its stamp for one that was restored in place. */
#define STAMP_AGE_MAX_NS 1000000000ull
#define STAMP_TRIES 5

static uint64_t timespec_ns(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * 1000000000ull + (uint64_t)time->tv_nsec;
}

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return timespec_ns(&now);
}

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pwrite(fd, data + done, bytes - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_stamped(int fd, spw_file_fill fill, void *arg, uint8_t *data, size_t bytes)
{
	struct spw_file_stamp stamp;
	struct stat status;
	int err;

	if (fstat(fd, &status) < 0)
		return -errno;
	for (int i = 0; i < STAMP_TRIES; i++) {
		stamp.inode = status.st_ino;
		stamp.written_ns = realtime_ns();
		fill(arg, &stamp, data);
		err = write_all(fd, data, bytes);
		if (err < 0)
			return err;
		if (realtime_ns() - stamp.written_ns < STAMP_AGE_MAX_NS)
			return 0;
	}
	return -ETIMEDOUT;
}

int spw_file_replace(const char *dir, const char *name, spw_file_fill fill, void *arg, size_t bytes)
{
	char temporary[NAME_MAX + 1];
	int dir_fd, fd, err = -ENOMEM;
	uint8_t *data;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.tmp", name) >= sizeof(temporary))
		return -ENAMETOOLONG;
	data = malloc(bytes);
	if (!data)
		return -ENOMEM;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		err = -errno;
		goto out_data;
	}
	/* What an earlier crash left there is no good to anyone. */
	unlinkat(dir_fd, temporary, 0);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto out_dir;
	}
	err = write_stamped(fd, fill, arg, data, bytes);
	if (err == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		err = -errno;
	if (err < 0)
		unlinkat(dir_fd, temporary, 0);
	else if (fsync(dir_fd) < 0)
		err = -errno;
	close(fd);
out_dir:
	close(dir_fd);
out_data:
	free(data);
	return err;
}

ssize_t spw_file_bytes(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat status;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	return lstat(path, &status) < 0 ? -errno : status.st_size;
}

int spw_file_read(const char *dir, const char *name, void *data, size_t bytes,
		  struct spw_file_stamp *stamp)
{
	char path[PATH_MAX];
	struct stat status;
	ssize_t n;
	int fd, err = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0) {
		err = -errno;
	} else if (!S_ISREG(status.st_mode) || (size_t)status.st_size != bytes) {
		err = -EUCLEAN;
	} else {
		n = pread(fd, data, bytes, 0);
		if (n != (ssize_t)bytes)
			err = n < 0 ? -errno : -EUCLEAN;
		if (stamp)
			*stamp = (struct spw_file_stamp){
				.inode = status.st_ino, .written_ns = timespec_ns(&status.st_ctim)};
	}
	close(fd);
	return err;
}

void spw_file_sum(const void *data, size_t bytes, uint8_t sum[SPW_FILE_SUM_BYTES])
{
	SHA256(data, bytes, sum);
}
