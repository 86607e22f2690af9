/* SPDX-License-Identifier: BSD-2-Clause */
/* rekey.c - see sas.h: no tunnel can have a session yet, so there is none to renew. */
#include <errno.h>

#include "control/daemon/sa/sas.h"

int spw_sas_rekey(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	(void)node;
	return spw_error_set(error, -EINVAL, (struct spw_place){0},
			     "tunnel \"%s\" has no session; expected a tunnel with a \"peer\"",
			     tunnel->name);
}
