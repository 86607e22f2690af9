/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * render.h - results of the control socket as text for people.
 *
 * Each function prints one method's result (docs/control-api.md). A member that is missing prints
 * as "-", so that an older or newer node is still readable.
 */
#ifndef SPW_CLI_RENDER_H
#define SPW_CLI_RENDER_H

#include <jansson.h>
#include <stdio.h>

void spw_render_status(FILE *out, const json_t *result);
void spw_render_tunnels(FILE *out, const json_t *result);
void spw_render_routes(FILE *out, const json_t *result);
void spw_render_rates(FILE *out, const json_t *result);
/* One relay, or a list of them. */
void spw_render_relays(FILE *out, const json_t *result);
void spw_render_drops(FILE *out, const json_t *result);
void spw_render_batch(FILE *out, const json_t *result);
/* Any object, one member to a line. */
void spw_render_record(FILE *out, const json_t *result);
void spw_render_tunnel(FILE *out, const json_t *result);

#endif
