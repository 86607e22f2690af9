/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * foreigns.h - what foreigns.c (SAs) and foreign_reserve.c (their reserve) need of each other.
 *
 * Who owns the memory: struct spw_foreign belongs to its tunnel's SAs. Control's thread only.
 */
#ifndef SPW_SA_FOREIGNS_H
#define SPW_SA_FOREIGNS_H

#include "control/daemon/sa/sas_private.h"

/* foreigns.c: starts the SAs again where that failed before. */
void spw_foreign_retry(struct spw_tunnel_sas *entry);

/* foreign_reserve.c */

/* Makes the file of keys that were never used, unless there is a file (made_file says which). */
int spw_foreign_make_file(struct spw_tunnel_sas *entry, struct spw_place place,
			  struct spw_error *error);
void spw_foreign_remove_file(struct spw_tunnel_sas *entry);

/* Loads the bounds into foreign->from and puts the next ones on disk and into foreign->reserve. On
 * error foreign->trouble says why, and the SAs must not start. */
int spw_foreign_open_reserve(struct spw_tunnel_sas *entry);

/* The SAs stand already: loads the bounds that they were given. */
void spw_foreign_take_up_reserve(struct spw_tunnel_sas *entry);

#endif
