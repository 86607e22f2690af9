/* SPDX-License-Identifier: BSD-2-Clause */
/* reserve.c - see reserve.h. */
#include "control/daemon/sa/reserve.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "control/daemon/sa/file.h"

#define RESERVE_MAGIC "SPWRSRV1"
/* The kernel sets ctime at the rename, which follows the stamp at once (file.c sees to that). */
#define CTIME_LAG_MAX_NS 2000000000ull

struct reserve_file {
	char magic[8];
	uint64_t inode, written_ns;
	uint8_t print_in[SPW_FINGERPRINT_BYTES], print_out[SPW_FINGERPRINT_BYTES];
	uint64_t tx_limit, rx_limit;
	uint8_t sum[SPW_FILE_SUM_BYTES]; /* over all before it */
};
static_assert(sizeof(struct reserve_file) == 88, "reserve file layout");

static void file_name(const char *tunnel, char name[SPW_RESERVE_NAME_BYTES])
{
	snprintf(name, SPW_RESERVE_NAME_BYTES, "%s.reserve", tunnel);
}

static void fill(void *arg, const struct spw_file_stamp *stamp, void *data)
{
	const struct spw_reserve *reserve = arg;
	struct reserve_file *file = data;

	memcpy(file->magic, RESERVE_MAGIC, sizeof(file->magic));
	file->inode = stamp->inode;
	file->written_ns = stamp->written_ns;
	memcpy(file->print_in, reserve->print_in, sizeof(file->print_in));
	memcpy(file->print_out, reserve->print_out, sizeof(file->print_out));
	file->tx_limit = reserve->tx_limit;
	file->rx_limit = reserve->rx_limit;
	spw_file_sum(file, offsetof(struct reserve_file, sum), file->sum);
}

static int check(const struct reserve_file *file, const struct spw_file_stamp *stamp,
		 const struct spw_reserve *keys)
{
	uint8_t sum[SPW_FILE_SUM_BYTES];

	spw_file_sum(file, offsetof(struct reserve_file, sum), sum);
	if (memcmp(sum, file->sum, sizeof(sum)) != 0 ||
	    memcmp(file->magic, RESERVE_MAGIC, sizeof(file->magic)) != 0)
		return -EUCLEAN;
	if (file->inode != stamp->inode || stamp->written_ns > file->written_ns + CTIME_LAG_MAX_NS)
		return -ESTALE;
	if (memcmp(file->print_in, keys->print_in, sizeof(file->print_in)) != 0 ||
	    memcmp(file->print_out, keys->print_out, sizeof(file->print_out)) != 0)
		return -EKEYREJECTED;
	return 0;
}

static void explain(int err, const char *path, const char *tunnel, char *why, size_t bytes)
{
	static const char way_out[] = "give both ends new keys, remove the file and run "
				      "`spillway tunnel first-use";

	switch (err) {
	case -ENOENT:
		snprintf(
			why, bytes,
			"there is no %s, so nobody knows which sequence numbers were used; if "
			"these keys were never used, run `spillway tunnel first-use %s`, else give "
			"both ends new keys first",
			path, tunnel);
		break;
	case -EUCLEAN:
		snprintf(why, bytes, "%s is torn; %s %s`", path, way_out, tunnel);
		break;
	case -ESTALE:
		snprintf(
			why, bytes,
			"%s is a copy or was restored or touched, so that its sequence numbers may "
			"have been used again since; %s %s`",
			path, way_out, tunnel);
		break;
	case -EKEYREJECTED:
		snprintf(
			why, bytes,
			"%s belongs to other keys; if the present ones were never used, remove the "
			"file and run `spillway tunnel first-use %s`",
			path, tunnel);
		break;
	default:
		snprintf(why, bytes, "cannot read %s: %s", path, strerror(-err));
	}
}

int spw_reserve_load(const char *state_dir, const char *tunnel, struct spw_reserve *reserve,
		     char *why, size_t why_bytes)
{
	char name[SPW_RESERVE_NAME_BYTES], path[512];
	struct reserve_file file;
	struct spw_file_stamp stamp;
	int err;

	file_name(tunnel, name);
	err = spw_file_read(state_dir, name, &file, sizeof(file), &stamp);
	if (err == 0)
		err = check(&file, &stamp, reserve);
	if (err < 0) {
		snprintf(path, sizeof(path), "%s/%s", state_dir, name);
		explain(err, path, tunnel, why, why_bytes);
		return err;
	}
	reserve->tx_limit = file.tx_limit;
	reserve->rx_limit = file.rx_limit;
	return 0;
}

int spw_reserve_store(const char *state_dir, const char *tunnel, const struct spw_reserve *reserve)
{
	char name[SPW_RESERVE_NAME_BYTES];

	file_name(tunnel, name);
	return spw_file_replace(state_dir, name, fill, (void *)reserve,
				sizeof(struct reserve_file));
}
