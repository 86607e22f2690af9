/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamps.h - the time stamps of INITs that outlive control: the last one of each peer, so that a
 * recorded INIT is worth nothing after a restart either, and the last of our own, so that peers
 * take ours though the clock stepped back meanwhile.
 *
 * state_dir/stamps, written as a whole (file.h) at most once a second after something changed. What
 * the last second before a crash brought may be missing there: an INIT of that second could be
 * played again, once, and would cost a handshake; it cannot move a tunnel, as sending changes with
 * an authentic packet only. Our own stamps go on two seconds behind the last that was written,
 * which is written at once.
 *
 * Who owns the memory: the caller, from spw_stamps_open to spw_stamps_close. Control's thread only.
 */
#ifndef SPW_SA_STAMPS_H
#define SPW_SA_STAMPS_H

#include <event2/event.h>
#include <stdint.h>

#include "control/daemon/error.h"
#include "control/daemon/noise/tai64n.h"
#include "control/daemon/op.h"

struct spw_stamps;

/* Reads what is there. A damaged file is started anew, which is logged. peers_max: the most that
 * are remembered; beyond that the one that was silent longest is forgotten. */
int spw_stamps_open(struct event_base *loop, const char *state_dir, uint32_t peers_max,
		    struct spw_stamps **out);
/* Writes what has changed. NULL is allowed. */
void spw_stamps_close(struct spw_stamps *stamps);

/* A stamp for an INIT of ours, later than all before it. */
struct spw_tai64n spw_stamps_next(struct spw_stamps *stamps);

/* Whether an INIT's stamp is later than all that were taken from this peer; then it is taken. */
bool spw_stamps_take(struct spw_stamps *stamps, const uint8_t peer[SPW_PUBLIC_KEY_BYTES],
		     const struct spw_tai64n *stamp);

#endif
