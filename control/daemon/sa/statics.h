/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * statics.h - a static tunnel's sets of SAs (sets.c), and what they need of statics.c.
 *
 * Who owns the memory: the sets stand in struct spw_static; the dataplane's answers hold a
 * reference to the tunnel's SAs. Control's thread only.
 */
#ifndef SPW_SA_STATICS_H
#define SPW_SA_STATICS_H

#include "control/daemon/sa/sas_private.h"

/* statics.c: sets the timer to the agreement's deadline, after every call into agree.h. */
void spw_static_arm(struct spw_tunnel_sas *entry);

/* spw_agree_ops; arg is the struct spw_tunnel_sas. */
void spw_sets_make_in(void *arg, const struct spw_pair *pair);
void spw_sets_make_out(void *arg, const struct spw_pair *pair);
void spw_sets_leave(void *arg, uint32_t serial);

/* All sets are on their way out. Their SAs stay as they are. */
void spw_sets_leave_all(struct spw_tunnel_sas *entry);
/* Removes the inbound SAs of leaving sets whose serial is lower. */
void spw_sets_retire_before(struct spw_tunnel_sas *entry, uint32_t serial);
/* Publishes the tunnel's record; on success the outbound SAs of leaving sets are removed. */
int spw_sets_publish(struct spw_tunnel_sas *entry);
/* The tunnel's record is withdrawn: removes all of its SAs. */
void spw_sets_stop(struct spw_tunnel_sas *entry);
/* Takes what an earlier control left in the tables into leaving sets. */
void spw_sets_adopt(struct spw_tunnel_sas *entry);
/* Sets "in" and "out". */
void spw_sets_describe(const struct spw_tunnel_sas *entry, json_t *out);

#endif
