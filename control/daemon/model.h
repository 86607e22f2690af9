/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * model.h - tenants and tunnels by name and by id, and the pools their numbers come from.
 *
 * The objects belong to the model until they are freed here; nothing in it touches a table that
 * packets see. Control's thread only.
 */
#ifndef SPW_MODEL_H
#define SPW_MODEL_H

#include "control/daemon/node.h"

/* Makes the pools and the empty name trees, sized by node->maps.meta. 0 or -ENOMEM; on failure
 * call spw_model_close too. */
int spw_model_open(struct spw_node *node);
void spw_model_close(struct spw_node *node); /* frees all objects; their SAs must be gone */

/* A new tenant. id 0: the lowest free one, else (at a restart) that very id. NULL with errno set:
 * ENOSPC no id is left, EEXIST the id is taken, ENOMEM. The name must be new. */
struct spw_tenant_obj *spw_tenant_new(struct spw_node *node, const char *name, uint32_t id);
void spw_tenant_drop(struct spw_node *node, struct spw_tenant_obj *tenant);

/* A new tunnel with a deep copy of the spec; neither slot nor keys. As spw_tenant_new. */
struct spw_tunnel_obj *spw_tunnel_new(struct spw_node *node, const struct spw_tunnel_spec *spec,
				      struct spw_tenant_obj *tenant, uint32_t id);
/* Takes a tunnel's name and id out of the model (nobody finds it) and back in. The id number stays
 * taken until spw_tunnel_free. */
void spw_tunnel_hide(struct spw_node *node, struct spw_tunnel_obj *tunnel);
void spw_tunnel_unhide(struct spw_node *node, struct spw_tunnel_obj *tunnel);
/* Of a hidden tunnel: gives its id back and frees it. */
void spw_tunnel_free(struct spw_node *node, struct spw_tunnel_obj *tunnel);

#endif
