/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sas.h - the SA manager: what keys a tunnel has, and which SAs stand in the dataplane for it.
 *
 * Two kinds of keying. `static`: both ends hold a root secret; epochs.c agrees with the peer on
 * boot epochs and derives one SA per worker and direction. `foreign`: fixed keys and SPIs with a
 * persisted reserve (reserve.c). Control's thread only. Key bytes live in one locked mapping that
 * this module owns, and are wiped when a tunnel goes.
 */
#ifndef SPW_SAS_H
#define SPW_SAS_H

#include <jansson.h>

#include "control/daemon/node.h"

int spw_sas_create(struct spw_node *node, struct spw_error *error); /* sets node->sas, node->link */
void spw_sas_destroy(struct spw_node *node);

/* Steps of a transaction that adds a tunnel. prepare reads the key files (refused unless mode is
 * 0600 or 0400 and the owner is us or root), checks sizes and that no key material is used twice,
 * allocates what the tunnel needs and sets tunnel->sas; nothing is visible yet. abort undoes it.
 * start, after the tunnel's record is published, begins to talk to the peer or the dataplane. */
int spw_sas_prepare(struct spw_node *node, struct spw_tunnel_obj *tunnel,
		    const struct spw_tunnel_spec *spec, struct spw_place place,
		    struct spw_error *error);
void spw_sas_abort(struct spw_node *node, struct spw_tunnel_obj *tunnel);
void spw_sas_start(struct spw_node *node, struct spw_tunnel_obj *tunnel);

/* After the tunnel's record was withdrawn: withdraws its SPIs, and removes the SAs after a grace
 * period. tunnel->sas is NULL afterwards; the object may be freed. */
void spw_sas_stop(struct spw_node *node, struct spw_tunnel_obj *tunnel);

/* An SA that was found at a restart and belongs to no tunnel, or to one whose keys could not be
 * read: withdraws it, and removes it after a grace period. An outbound one (slot of a record's
 * tx_sa) must stand in no published record any more. */
void spw_sas_discard(struct spw_node *node, uint32_t direction, uint32_t slot);

/* A foreign SA whose reserve file is missing: start it as never used. -EALREADY: it has one. */
int spw_sas_first_use(struct spw_node *node, struct spw_tunnel_obj *tunnel,
		      struct spw_error *error);

/* Starts a handshake for new keys at once, whatever the age of those in use, which stay until the
 * new ones are confirmed. 0: it is under way, or was already. -EINVAL: no session tunnel.
 * -ENOTCONN: the peer's endpoint is not known yet. Each with a sentence in `error`. */
int spw_sas_rekey(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error);

/* A new reference to {"keying", "state" ("up", "waiting for the peer", ...), "in": [{spi, worker}],
 * "out": [...], "local_epoch", "peer_epoch", "reserve" ...}; never a key. */
json_t *spw_sas_describe(struct spw_node *node, const struct spw_tunnel_obj *tunnel);

/* {"public_key", "cookies_sent", "failures": {cause: count}} of handshake messages that no tunnel
 * can be blamed for; null: the node has no key of its own. */
json_t *spw_handshakes_describe(struct spw_node *node);

/* {"connected": bool, "pid", "workers": [{"cpu"}], "aead", "aead_why"} of the dataplane. */
json_t *spw_link_describe(struct spw_node *node);

#endif
