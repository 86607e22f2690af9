/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.h - puts the classifier on the interfaces, and reads its counters.
 *
 * Who owns what: the kernel holds the program by a pinned link, so it stays attached when control
 * is gone. Under <pin_dir>, beside the tables:
 *   link_<ifname>        the attachment
 *   xsks_<ifname>        its map of XSKs, in which the dataplane's sockets stand
 *   classifier_counters, sources, control_total, tx_ports: shared by all interfaces of the node
 * A control that starts again takes all of them up: it replaces the program in one step by one that
 * has the same maps, so that no packet is lost and the dataplane's sockets go on receiving.
 *
 * struct spw_attach is the caller's until spw_attach_close. Control's one thread.
 */
#ifndef SPW_ATTACH_H
#define SPW_ATTACH_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "ebpf/tables.h"

struct spw_attach;

struct spw_attach_port {
	char ifname[IF_NAMESIZE]; /* in this network namespace */
	uint32_t port;            /* port id, below SPW_PORTS_MAX */
};

/*
 * spw_attach_open attaches the classifier to every port, or to none that did not have it before.
 * Interfaces that had it from an earlier start and are no longer among the ports lose it. The port
 * images should stand in the tables by then; a port whose image is empty passes everything.
 * pin_dir: a folder on a bpf filesystem that exists; map_fds: by enum spw_map_id.
 *
 * The attachment is native where the driver can do it, else generic. Hardware stripping of VLAN
 * tags is switched off, and stays off, as it would hide the tags from the classifier. (On a veth
 * the tag is hidden by the peer's `txvlan` offload, which is not ours to change.)
 *
 * Returns 0; `why` then holds warnings, or is empty. Or a negative errno with a sentence in `why`:
 *   -EINVAL  a port is out of range
 *   -ENODEV  no such interface here
 *   -EBUSY   another XDP program is attached to the interface
 *   others   what the kernel said; -EPERM wants CAP_BPF and CAP_NET_ADMIN
 */
int spw_attach_open(struct spw_attach **out, const char *pin_dir, const int map_fds[SPW_MAP_CNT],
		    const struct spw_attach_port *ports, unsigned int ports_cnt, char *why,
		    size_t why_bytes);

/* The interfaces of this network namespace that have the node's classifier by a link in pin_dir, in
 * no order; how many. Those in other namespaces are left out, as are links that cannot be read. */
size_t spw_attach_standing(const char *pin_dir, int ifindexes[SPW_PORTS_MAX]);

/* Frees what control holds; the classifier stays attached, until spw_maps_remove removes the pins.
 * NULL is allowed. */
void spw_attach_close(struct spw_attach *attach);

/* spw_attach_counters adds up a port's counters over all CPUs; they count on through a restart of
 * control. out: by enum spw_drop, then enum spw_classifier_counter. 0, -EINVAL or the kernel's. */
int spw_attach_counters(const struct spw_attach *attach, uint32_t port,
			uint64_t out[SPW_CLASSIFIER_COUNTERS]);

#endif
