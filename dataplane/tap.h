/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.h - the kernel's side of a port that is a DPDK device: what belongs to the kernel goes to a
 * TAP, and what the kernel sends there goes out by the device. Control makes the TAP, and the
 * kernel's addresses, routes and neighbours stand on it as on any interface.
 *
 * This is a driver, the one that makes its own system calls: DPDK's net_tap announces each packet
 * to the process by a queued signal, of which a slow moment makes more than the kernel keeps, and
 * sets queueing disciplines, MTU and MAC of an interface that is the owner's.
 *
 * Who owns the memory: the caller. A descriptor is one of the TAP's queues and belongs to one
 * worker.
 */
#ifndef SPW_TAP_H
#define SPW_TAP_H

#include <rte_mbuf.h>

struct spw_worker;
struct spw_burst;

/* Main thread, at start: joins a TAP with several queues. The descriptor, not blocking, or a
 * negative errno with a sentence in `why`. Needs CAP_NET_ADMIN. */
int spw_tap_join(const char *ifname, char *why, unsigned int why_bytes);

/* Main thread, at start: gives the TAP the device's MAC, so that the kernel answers for it. */
int spw_tap_set_mac(const char *ifname, const uint8_t mac[6], char *why, unsigned int why_bytes);

/* Worker: sends what the kernel has for the worker's devices; looks at most every 20 us. Returns
 * how many packets it took. */
uint32_t spw_taps_take(struct spw_worker *worker);

/* Worker: gives the packets of a burst that stand at SPW_AT_KERNEL to the TAPs of the ports they
 * came in on; what a TAP does not take is dropped. */
void spw_taps_give(struct spw_worker *worker, struct spw_burst *burst);

#endif
