/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reserve.h - state_dir/<tunnel>.reserve: how far the sequence numbers of a foreign peer's SAs may
 * have been used, whatever crashes.
 *
 * A foreign SA keeps its key for ever, so that no number may be sent, or accepted, twice under it.
 * The file always holds bounds that lie beyond every number in use: after a crash the SA goes on
 * from there. It is stamped with its own inode and the time it was written, so that a copy that
 * someone puts in its place, with older bounds, is told from the original. Control's thread only;
 * the caller owns all memory.
 */
#ifndef SPW_SA_RESERVE_H
#define SPW_SA_RESERVE_H

#include <stddef.h>
#include <stdint.h>

#include "control/daemon/sa/keys.h"

#define SPW_RESERVE_NAME_BYTES 64u

struct spw_reserve {
	uint8_t print_in[SPW_FINGERPRINT_BYTES], print_out[SPW_FINGERPRINT_BYTES];
	uint64_t tx_limit; /* every number below it may have been sent */
	uint64_t rx_limit; /* every number below it may have been accepted */
};

/*
 * spw_reserve_load reads the bounds of the keys that print_in and print_out name. Errors, with a
 * sentence in `why` that says what to do:
 *   -ENOENT       there is no file
 *   -EUCLEAN      it is torn
 *   -ESTALE       it is a copy, or was written back over the original
 *   -EKEYREJECTED it belongs to other keys
 *   others        what the kernel said
 */
int spw_reserve_load(const char *state_dir, const char *tunnel, struct spw_reserve *reserve,
		     char *why, size_t why_bytes);

/* On disk when it returns 0; otherwise the former bounds stand, and `reserve` must not be used. */
int spw_reserve_store(const char *state_dir, const char *tunnel, const struct spw_reserve *reserve);

#endif
