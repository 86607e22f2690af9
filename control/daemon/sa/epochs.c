/* SPDX-License-Identifier: BSD-2-Clause */
/* epochs.c - see epochs.h. */
#include "control/daemon/sa/epochs.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "control/daemon/sa/file.h"

#define EPOCH_FILE "epoch"
#define EPOCH_MAGIC "SPWEPOC1"

struct epoch_file {
	char magic[8];
	uint64_t value, instance;
	uint8_t sum[SPW_FILE_SUM_BYTES]; /* over all before it */
};
static_assert(sizeof(struct epoch_file) == 56, "epoch file layout");

static void fill(void *arg, const struct spw_file_stamp *stamp, void *data)
{
	const struct spw_epoch *epoch = arg;
	struct epoch_file *file = data;

	(void)stamp;
	memcpy(file->magic, EPOCH_MAGIC, sizeof(file->magic));
	file->value = epoch->value;
	file->instance = epoch->instance;
	spw_file_sum(file, offsetof(struct epoch_file, sum), file->sum);
}

int spw_epoch_load(const char *state_dir, struct spw_epoch *epoch, struct spw_error *error)
{
	struct epoch_file file;
	uint8_t sum[SPW_FILE_SUM_BYTES];
	int err = spw_file_read(state_dir, EPOCH_FILE, &file, sizeof(file), NULL);

	*epoch = (struct spw_epoch){0};
	if (err == -ENOENT)
		return 0;
	if (err == 0) {
		spw_file_sum(&file, offsetof(struct epoch_file, sum), sum);
		if (memcmp(sum, file.sum, sizeof(sum)) != 0 ||
		    memcmp(file.magic, EPOCH_MAGIC, sizeof(file.magic)) != 0)
			err = -EUCLEAN;
	}
	if (err == -EUCLEAN)
		return spw_error_set(error, err, (struct spw_place){0},
				     "%s/" EPOCH_FILE " is damaged; remove it, the node then takes "
				     "its next epoch from the clock, which must not run behind",
				     state_dir);
	if (err < 0)
		return spw_error_set(error, err, (struct spw_place){0},
				     "cannot read %s/" EPOCH_FILE ": %s", state_dir,
				     strerror(-err));
	*epoch = (struct spw_epoch){.value = file.value, .instance = file.instance};
	return 0;
}

int spw_epoch_raise(const char *state_dir, struct spw_epoch *epoch, uint64_t instance,
		    struct spw_error *error)
{
	struct spw_epoch next = {.value = epoch->value + 1, .instance = instance};
	int err;

	if (epoch->value == 0)
		next.value = (uint64_t)time(NULL);
	err = spw_file_replace(state_dir, EPOCH_FILE, fill, &next, sizeof(struct epoch_file));
	if (err < 0)
		return spw_error_set(error, err, (struct spw_place){0},
				     "cannot raise the boot epoch in %s/" EPOCH_FILE ": %s; no SA "
				     "is made before it is on disk",
				     state_dir, strerror(-err));
	*epoch = next;
	return 0;
}
