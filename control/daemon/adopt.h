/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * adopt.h - taking up the tables of an earlier control where they stand.
 *
 * The journal says what people named, the tables say what packets see. Where they differ, control
 * died between writing a transaction to the journal and publishing all of it: then the transaction
 * is completed. Nothing that packets see is rewritten besides.
 *
 * The steps stand in start.c. Who owns the memory: struct spw_adoption is the caller's, zeroed, and
 * closed with spw_adopt_close. Control's thread only.
 */
#ifndef SPW_ADOPT_H
#define SPW_ADOPT_H

#include <jansson.h>

#include "control/daemon/node.h"

struct spw_graveyard;

struct spw_adoption {
	json_t *lines; /* the journal */
	uint64_t tables_id;
	/* What of the last transaction may be missing in the tables; strings live in `lines`. */
	struct spw_op *ops;
	struct spw_prefix **allows;
	uint32_t ops_cnt;
	struct spw_graveyard *orphans; /* records whose tunnel was deleted */
};

/* Reads the journal and fills the fixed part of the node from it. */
int spw_adopt_journal(struct spw_node *node, struct spw_adoption *adoption,
		      struct spw_error *error);

/* With the maps open, grace and model made: names what stands in the tables, marks every number and
 * block that is in use, and makes node->tries. Nothing may be allocated before. */
int spw_adopt_tables(struct spw_node *node, struct spw_adoption *adoption, struct spw_error *error);

/* With net and sas made: gives the tunnels their next hops and SAs back, completes the last
 * transaction, and buries what was deleted. A tunnel whose key files cannot be read any more keeps
 * the SAs it has (tunnel->sas is NULL), which is logged. */
int spw_adopt_finish(struct spw_node *node, struct spw_adoption *adoption, struct spw_error *error);

void spw_adopt_close(struct spw_adoption *adoption);

#endif
