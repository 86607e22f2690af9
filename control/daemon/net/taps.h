/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * taps.h - the TAP that stands in the kernel for a port that is a DPDK device. Addresses, routes
 * and neighbours are on it as on any interface; the dataplane joins its queues.
 *
 * A TAP of ours bears the node's name as its alias (`ip link` shows it) and lives as long as the
 * node's tables do. One that stands already, made with `ip tuntap add dev NAME mode tap
 * multi_queue`, is used and left standing. Control's thread.
 */
#ifndef SPW_TAPS_H
#define SPW_TAPS_H

#include "control/daemon/net/netlink.h"
#include "control/daemon/node.h"

/* Makes the TAP of an interface with a device, up, or takes the one that stands, and keeps it from
 * losing its carrier while no dataplane runs. 0 or a negative errno with a sentence. */
int spw_tap_make(struct spw_netlink *netlink, const struct spw_node *node,
		 struct spw_interface *interface, struct spw_error *error);

/* Lets go of an interface's TAP, which stays. */
void spw_tap_release(struct spw_interface *interface);

/* Removes the TAPs of this network namespace that bear the node's name. 0, or the first negative
 * errno, having tried all. */
int spw_taps_remove(const char *node_name);

#endif
