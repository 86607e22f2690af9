/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/ports.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "dataplane/crew.h"

/*
 * Descriptors of a queue's receive and transmit ring, and frames that wait in its fill ring. On two
 * cores that three nodes and their hosts share, a worker waits for its turn for some milliseconds;
 * 2048 frames bridge 20 ms at 100,000 packets per second. Smaller rings drop there; larger ones
 * only add latency behind a queue that is too slow anyway.
 */
#define RING_DESCRIPTORS 2048u

/* Frames a worker keeps at hand; half the ring of free frames is never stuck in caches. */
#define POOL_CACHE 256u

/*
 * The PMD registers the pool itself as umem: a frame is a whole pool object (64 bytes of header,
 * 128 of mbuf, the data room), of which the headers, the mbuf's headroom (128) and the kernel's
 * (256) are not for the packet. Above 4032 bytes the pool would spread the objects over memory
 * channels beyond the 4096 that the kernel takes as a chunk.
 */
#define OBJECT_HEADERS_BYTES 192u
#define OBJECT_BYTES_MAX 4032u
#define FRAME_LOST_BYTES (RTE_PKTMBUF_HEADROOM + 256u)
#define LINK_HEADER_BYTES 18u /* Ethernet with one VLAN tag */
/* Behind an inner packet: padding and trailer of ESP, and its ICV. */
#define TAILROOM_BYTES 32u

static uint32_t data_room_bytes(const struct spw_msg_setup *setup)
{
	uint32_t mtu_bytes = 0;

	for (uint32_t i = 0; i < setup->ports_cnt; i++)
		mtu_bytes = RTE_MAX(mtu_bytes, setup->ports[i].mtu_bytes);
	uint32_t room = mtu_bytes + LINK_HEADER_BYTES + TAILROOM_BYTES + FRAME_LOST_BYTES;
	return RTE_MAX(RTE_ALIGN_CEIL(room, 64u), (uint32_t)RTE_MBUF_DEFAULT_BUF_SIZE);
}

static uint32_t pool_frames(const struct spw_msg_setup *setup)
{
	uint32_t queues = 0;

	for (uint32_t i = 0; i < setup->ports_cnt; i++)
		queues += setup->ports[i].queues;
	/* Each queue: frames for the kernel to fill or filled by it, transmit ring, completion
	 * ring, one burst; each worker: its cache (up to half as much again), its handoff ring. */
	return queues * (3 * RING_DESCRIPTORS + SPW_BURST_MAX) +
	       (setup->workers + 1) * (POOL_CACHE * 3 / 2 + SPW_HANDOFF_PACKETS);
}

size_t spw_ports_pool_bytes(const struct spw_msg_setup *setup)
{
	return (size_t)pool_frames(setup) * (data_room_bytes(setup) + OBJECT_HEADERS_BYTES + 64u);
}

/* As rte_pktmbuf_pool_create, but with the objects packed. That function would start each one on a
 * page of its own when there are no hugepages, and the PMD, which takes the umem to be as long as
 * all objects together, would leave nearly half of them outside: the kernel refuses those, and they
 * never come back. Nothing here needs the physical addresses that the flag gives up. */
static struct rte_mempool *make_pool(uint32_t frames, uint32_t room)
{
	struct rte_pktmbuf_pool_private sizes = {.mbuf_data_room_size = (uint16_t)room};
	struct rte_mempool *pool = rte_mempool_create_empty(
		"spw_frames", frames, (unsigned int)sizeof(struct rte_mbuf) + room, POOL_CACHE,
		sizeof(sizes), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, &sizes);
	int error = rte_mempool_populate_default(pool);
	if (error < 0) {
		rte_mempool_free(pool);
		rte_errno = -error;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

static int open_pool(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		     unsigned int why_bytes)
{
	uint32_t room = data_room_bytes(setup);

	if (room + OBJECT_HEADERS_BYTES > OBJECT_BYTES_MAX) {
		snprintf(why, why_bytes,
			 "an interface has an MTU above %u bytes, the longest that fits AF_XDP's "
			 "frames: lower it with `ip link set dev <interface> mtu %u`",
			 OBJECT_BYTES_MAX - OBJECT_HEADERS_BYTES - FRAME_LOST_BYTES -
				 TAILROOM_BYTES - LINK_HEADER_BYTES,
			 OBJECT_BYTES_MAX - OBJECT_HEADERS_BYTES - FRAME_LOST_BYTES -
				 TAILROOM_BYTES - LINK_HEADER_BYTES);
		return -EMSGSIZE;
	}
	ports->pool = make_pool(pool_frames(setup), room);
	if (!ports->pool) {
		snprintf(why, why_bytes, "no memory for %u packet buffers of %u bytes: %s",
			 pool_frames(setup), room, rte_strerror(rte_errno));
		return -ENOMEM;
	}
	if (ports->pool->nb_mem_chunks != 1) {
		snprintf(why, why_bytes, "the packet buffers lie in %u pieces, AF_XDP needs one",
			 ports->pool->nb_mem_chunks);
		return -EFAULT;
	}
	return 0;
}

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
		error = rte_eth_rx_queue_setup(ethdev, 0, RING_DESCRIPTORS, SOCKET_ID_ANY, NULL,
					       pool);
	if (!error)
		error = rte_eth_tx_queue_setup(ethdev, 0, RING_DESCRIPTORS, SOCKET_ID_ANY, NULL);
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
	opened->xsk_fd = find_xsk(ports);
	if (opened->xsk_fd < 0) {
		snprintf(why, why_bytes, "%s: the AF_XDP socket of queue %u cannot be found",
			 port->ifname, queue);
		return -ENOENT;
	}
	ports->queues++;
	return 0;
}

static int open_port(struct spw_ports *ports, const struct spw_msg_port *port, char *why,
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
	*io = (struct spw_io_port){
		.mtu_bytes = port->mtu_bytes,
		.queue = &ports->queue[ports->queues],
	};
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

int spw_ports_open(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		   unsigned int why_bytes)
{
	memset(ports, 0, sizeof(*ports));
	int error = open_pool(ports, setup, why, why_bytes);
	for (uint32_t i = 0; i < setup->ports_cnt && !error; i++)
		error = open_port(ports, &setup->ports[i], why, why_bytes);
	return error;
}
