/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file.h - small state files that are whole or not there, whatever crashes.
 *
 * A file is replaced by writing <name>.tmp, fsync, rename, fsync of the folder: a reader finds the
 * old contents or the new ones. Control's thread only; the caller owns all memory.
 */
#ifndef SPW_SA_FILE_H
#define SPW_SA_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPW_FILE_SUM_BYTES 32u

/* What a file may be stamped with before it is written: see spw_file_replace. */
struct spw_file_stamp {
	uint64_t inode;      /* of the file being written */
	uint64_t written_ns; /* CLOCK_REALTIME */
};

/* Fills `data` for the stamp; called once or, where the disk was slow, twice. */
typedef void (*spw_file_fill)(void *arg, const struct spw_file_stamp *stamp, void *data);

/*
 * spw_file_replace writes dir/name (mode 0600) with `bytes` that `fill` makes, and returns after
 * the disk has them. 0 or a negative errno; then the old file stands.
 */
int spw_file_replace(const char *dir, const char *name, spw_file_fill fill, void *arg,
		     size_t bytes);

/* Bytes of dir/name, or a negative errno. */
ssize_t spw_file_bytes(const char *dir, const char *name);

/*
 * spw_file_read reads exactly `bytes` of dir/name. stamp: inode and ctime (as written_ns) of the
 * file as it stands, or NULL. 0, -ENOENT, -EUCLEAN (another length) or what the kernel said.
 */
int spw_file_read(const char *dir, const char *name, void *data, size_t bytes,
		  struct spw_file_stamp *stamp);

/* SHA-256, to tell a torn file from a whole one. */
void spw_file_sum(const void *data, size_t bytes, uint8_t sum[SPW_FILE_SUM_BYTES]);

#endif
