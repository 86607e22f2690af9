/* SPDX-License-Identifier: BSD-2-Clause */
/* ports_xdp.c - a kernel interface: one AF_XDP socket and one vdev per receive queue. */
#include "dataplane/ports.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>

/* The id of the classifier on an interface. 0: something else, or nothing, is attached. */
static uint32_t classifier_id(int ifindex)
{
	struct bpf_prog_info info = {0};
	uint32_t info_bytes = sizeof(info), id = 0;

	if (bpf_xdp_query_id(ifindex, 0, &id) < 0 || id == 0)
		return 0;
	int fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &info_bytes) < 0 ||
	    strcmp(info.name, "xsk_def_prog") != 0)
		id = 0;
	close(fd);
	return id;
}

static bool is_known(const struct spw_ports *ports, int fd)
{
	for (uint32_t q = 0; q < ports->queues; q++) {
		if (ports->queue[q].xsk_fd == fd)
			return true;
	}
	return false;
}

/* The PMD keeps the socket to itself: it is the one descriptor that answers like an AF_XDP socket
 * and that no earlier queue has. Returns -1 when there is none. */
static int find_xsk(const struct spw_ports *ports)
{
	int found = -1;
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (!folder)
		return -1;
	while ((entry = readdir(folder))) {
		struct xdp_mmap_offsets offsets;
		socklen_t bytes = sizeof(offsets);
		int fd = atoi(entry->d_name);
		if (entry->d_name[0] == '.' || fd == dirfd(folder) || is_known(ports, fd))
			continue;
		if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) == 0)
			found = fd;
	}
	closedir(folder);
	return found;
}

static int start_ethdev(uint16_t ethdev, struct rte_mempool *pool)
{
	const struct rte_eth_conf config = {0};

	int error = rte_eth_dev_configure(ethdev, 1, 1, &config);
	if (!error)
		error = rte_eth_rx_queue_setup(ethdev, 0, SPW_RING_DESCRIPTORS, SOCKET_ID_ANY, NULL,
					       pool);
	if (!error)
		error = rte_eth_tx_queue_setup(ethdev, 0, SPW_RING_DESCRIPTORS, SOCKET_ID_ANY,
					       NULL);
	return error ? error : rte_eth_dev_start(ethdev);
}

/* One queue of an interface: a vdev of its own, which joins the classifier that is attached. It is
 * tried once: the sockets of a dataplane that was killed are gone before a new one gets here, and
 * the PMD cannot be asked twice (it loses the frames of a failed attempt).
 * force_copy: zero copy needs busy polling (with busy_budget=0 the PMD may sleep for a second
 * inside a receive call), and busy polling would keep an idle worker from blocking. */
static int open_queue(struct spw_ports *ports, const struct spw_msg_port *port, uint32_t queue,
		      char *why, unsigned int why_bytes)
{
	struct spw_queue *opened = &ports->queue[ports->queues];
	char name[32], arguments[96];

	snprintf(name, sizeof(name), "net_af_xdp%u", ports->queues);
	snprintf(arguments, sizeof(arguments), "iface=%s,start_queue=%u,busy_budget=0,force_copy=1",
		 port->ifname, queue);
	int error = rte_eal_hotplug_add("vdev", name, arguments);
	if (!error)
		error = rte_eth_dev_get_port_by_name(name, &opened->ethdev);
	if (!error)
		error = start_ethdev(opened->ethdev, ports->pool);
	if (error) {
		snprintf(why, why_bytes,
			 "%s: cannot open an AF_XDP socket on queue %u: %s; is it taken by another "
			 "program, or is CAP_NET_RAW, CAP_NET_ADMIN, CAP_SYS_ADMIN or CAP_IPC_LOCK "
			 "missing?",
			 port->ifname, queue, strerror(-error));
		return error;
	}
	opened->queue = 0;
	opened->xsk_fd = opened->wake_fd = find_xsk(ports);
	opened->wake = SPW_WAKE_READABLE;
	if (opened->xsk_fd < 0) {
		snprintf(why, why_bytes, "%s: the AF_XDP socket of queue %u cannot be found",
			 port->ifname, queue);
		return -ENOENT;
	}
	ports->queues++;
	return 0;
}

int spw_xdp_open(struct spw_ports *ports, const struct spw_msg_port *port, char *why,
		 unsigned int why_bytes)
{
	struct spw_io_port *io = &ports->port[port->port];
	int ifindex = (int)if_nametoindex(port->ifname);

	if (ifindex == 0) {
		snprintf(why, why_bytes, "%s: no such interface in this network namespace",
			 port->ifname);
		return -ENODEV;
	}
	uint32_t program = classifier_id(ifindex);
	if (program == 0) {
		snprintf(why, why_bytes,
			 "%s: the classifier is not attached (control attaches it), or "
			 "CAP_SYS_ADMIN is missing to look at it",
			 port->ifname);
		return -ENOENT;
	}
	for (uint32_t queue = 0; queue < port->queues; queue++) {
		int error = open_queue(ports, port, queue, why, why_bytes);
		if (error)
			return error;
		io->queues++;
	}
	/* The sockets stand in the map of the program that was looked up while they were opened. */
	if (classifier_id(ifindex) != program) {
		snprintf(why, why_bytes, "%s: the classifier was exchanged meanwhile; start again",
			 port->ifname);
		return -ESTALE;
	}
	return 0;
}
