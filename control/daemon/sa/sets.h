/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sets.h - a tunnel's SAs where keys change (statics.c, sessions.c): one set for each agreement.
 *
 * A set is asked of the dataplane SA by SA. When all answers are there its inbound SPIs are let
 * into the `spis` table, and entry->sets.answered is told. Its outbound SAs are put to use by one
 * publication of the tunnel's record. A leaving set's inbound SAs are removed when the owner says
 * so, its outbound ones as soon as no published record names them.
 *
 * Who owns the memory: the sets stand in struct spw_tunnel_sas, to which the dataplane's answers
 * hold a reference. Control's thread only.
 */
#ifndef SPW_SA_SETS_H
#define SPW_SA_SETS_H

#include "control/daemon/sa/sas_private.h"

/* NULL: there is none of that serial. */
struct spw_sa_set *spw_set_find(struct spw_tunnel_sas *entry, uint32_t serial);
/* A set without SAs. Where none is free, the oldest leaving one loses its inbound SAs early. NULL:
 * all are in use. */
struct spw_sa_set *spw_set_new(struct spw_tunnel_sas *entry, uint32_t serial);
/* Takes cnt SPI slots, with new SPIs, or outbound slots. false: there are not as many; logged. */
bool spw_set_take_in(struct spw_tunnel_sas *entry, uint32_t *slot, uint32_t *spi, uint32_t cnt);
bool spw_set_take_out(struct spw_tunnel_sas *entry, uint32_t *slot, uint32_t cnt);

/* Asks for one SA of the set; `msg` says all but the tunnel and the secret, and is wiped. An error
 * stands in set->error, and nothing more is asked for. */
void spw_set_ask(struct spw_tunnel_sas *entry, struct spw_sa_set *set, struct spw_msg_sa_add *msg,
		 const struct spw_sa_secret *secret);
/* After the last spw_set_ask: `answered` follows, from within this call if nothing was asked. */
void spw_set_asked(struct spw_tunnel_sas *entry, struct spw_sa_set *set);

/* Sends with a set's outbound SAs, worker w with child w % cnt, or (NULL) with none. A negative
 * errno: the record stays as it was. */
int spw_sets_send_with(struct spw_tunnel_sas *entry, const struct spw_sa_set *set, uint32_t cnt);

void spw_sets_leave(struct spw_tunnel_sas *entry, uint32_t serial);
/* All sets are on their way out. Their SAs stay as they are. */
void spw_sets_leave_all(struct spw_tunnel_sas *entry);
/* Removes the inbound SAs of leaving sets whose serial is lower. */
void spw_sets_retire_before(struct spw_tunnel_sas *entry, uint32_t serial);
/* And those of one leaving set. */
void spw_set_retire(struct spw_tunnel_sas *entry, uint32_t serial);
/* Publishes the tunnel's record; on success the outbound SAs of leaving sets are removed. */
int spw_sets_publish(struct spw_tunnel_sas *entry);
/* No SA stands any more: the record is to name none. */
void spw_sets_reset(struct spw_tunnel_sas *entry);
/* Publishes what could not be published before. */
void spw_sets_retry(struct spw_tunnel_sas *entry);
/* The tunnel's record is withdrawn: removes all of its SAs. */
void spw_sets_stop(struct spw_tunnel_sas *entry);
/* Takes what an earlier control left in the tables into leaving sets. */
void spw_sets_adopt(struct spw_tunnel_sas *entry);
/* Sets "in" and "out". */
void spw_sets_describe(const struct spw_tunnel_sas *entry, json_t *out);

#endif
