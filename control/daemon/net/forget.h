/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forget.h - undoes, after a node's end, what its control has told the kernel about neighbours.
 *
 * Needs no node: the kernel's own entries carry our mark. Owns nothing between calls. The one
 * thread of `spillway-control --remove`.
 */
#ifndef SPW_FORGET_H
#define SPW_FORGET_H

#include <stddef.h>

/* Takes the managed flag from the neighbours that carry our mark, on these interfaces of this
 * network namespace and on the VLAN devices above them. All others stay as they are, and so do
 * permanent ones. 0, or the first negative errno, having tried all that could be found. */
int spw_neighbors_forget(const int *ifindexes, size_t cnt);

#endif
