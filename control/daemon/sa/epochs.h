/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epochs.h - the node's boot epoch: a number that every dataplane process gets for itself alone.
 *
 * It goes into the derivation of all keys of static SAs, so that no process ever sends under a key
 * of an earlier one. state_dir/epoch holds it together with the instance it was raised for: a
 * control that finds the same dataplane alive keeps epoch and SAs as they stand. Raised and fsynced
 * before first use. Control's thread only.
 */
#ifndef SPW_SA_EPOCHS_H
#define SPW_SA_EPOCHS_H

#include <stdint.h>

#include "control/daemon/error.h"

struct spw_epoch {
	uint64_t value;    /* 0: none yet */
	uint64_t instance; /* the dataplane process it belongs to (struct spw_msg_hello) */
};

/* Reads state_dir/epoch; where there is none, *epoch is zero. A damaged file is refused, as its
 * number may be too low: -EUCLEAN with the error set. */
int spw_epoch_load(const char *state_dir, struct spw_epoch *epoch, struct spw_error *error);

/*
 * spw_epoch_raise gives `instance` a new epoch, on disk before it returns. The first one of all is
 * the time of day, so that a node that lost its state folder still goes forwards in the eyes of its
 * peers. 0 or a negative errno with the error set; then *epoch is as before and must not be used.
 */
int spw_epoch_raise(const char *state_dir, struct spw_epoch *epoch, uint64_t instance,
		    struct spw_error *error);

#endif
