/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include "dataplane/crew.h"

/* Frames a worker keeps at hand; half the ring of free frames is never stuck in caches. */
#define POOL_CACHE 256u

/*
 * AF_XDP's PMD registers the pool itself as umem: a frame is a whole pool object (64 bytes of
 * header, 128 of mbuf, the data room), of which the headers, the mbuf's headroom (128) and the
 * kernel's (256) are not for the packet. Above 4032 bytes the pool would spread the objects over
 * memory channels beyond the 4096 that the kernel takes as a chunk.
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
	/* Each queue: frames for the kernel or the device to fill or filled by it, transmit ring,
	 * completion ring, one burst; each worker: its cache (up to half as much again), its
	 * handoff ring. */
	return queues * (3 * SPW_RING_DESCRIPTORS + SPW_BURST_MAX) +
	       (setup->workers + 1) * (POOL_CACHE * 3 / 2 + SPW_HANDOFF_PACKETS);
}

size_t spw_ports_pool_bytes(const struct spw_msg_setup *setup)
{
	return (size_t)pool_frames(setup) * (data_room_bytes(setup) + OBJECT_HEADERS_BYTES + 64u);
}

/* The pool knows no device addresses, so what it has put down as the buffer's is nothing. They are
 * the virtual ones, as eal.c asks for. */
static void init_frame(struct rte_mempool *pool, void *opaque, void *object, unsigned int index)
{
	struct rte_mbuf *mbuf = object;

	rte_pktmbuf_init(pool, opaque, object, index);
	mbuf->buf_iova = (rte_iova_t)(uintptr_t)mbuf->buf_addr;
}

/* As rte_pktmbuf_pool_create, but with the objects packed. That function would start each one on a
 * page of its own when there are no hugepages, and AF_XDP's PMD, which takes the umem to be as long
 * as all objects together, would leave nearly half of them outside: the kernel refuses those, and
 * they never come back. */
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
	rte_mempool_obj_iter(pool, init_frame, NULL);
	return pool;
}

static bool any_af_xdp(const struct spw_msg_setup *setup)
{
	for (uint32_t i = 0; i < setup->ports_cnt; i++) {
		if (!setup->ports[i].device[0])
			return true;
	}
	return false;
}

static int open_pool(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		     unsigned int why_bytes)
{
	uint32_t room = data_room_bytes(setup);
	uint32_t mtu_max_bytes = any_af_xdp(setup) ? OBJECT_BYTES_MAX - OBJECT_HEADERS_BYTES
						   : UINT16_MAX / 64u * 64u;

	if (room > mtu_max_bytes) {
		mtu_max_bytes -= FRAME_LOST_BYTES + TAILROOM_BYTES + LINK_HEADER_BYTES;
		snprintf(why, why_bytes,
			 "an interface has an MTU above %u bytes, the longest that fits %s frames: "
			 "lower it with `ip link set dev <interface> mtu %u`",
			 mtu_max_bytes, any_af_xdp(setup) ? "AF_XDP's" : "DPDK's", mtu_max_bytes);
		return -EMSGSIZE;
	}
	ports->pool = make_pool(pool_frames(setup), room);
	if (!ports->pool) {
		snprintf(why, why_bytes, "no memory for %u packet buffers of %u bytes: %s",
			 pool_frames(setup), room, rte_strerror(rte_errno));
		return -ENOMEM;
	}
	if (any_af_xdp(setup) && ports->pool->nb_mem_chunks != 1) {
		snprintf(why, why_bytes, "the packet buffers lie in %u pieces, AF_XDP needs one",
			 ports->pool->nb_mem_chunks);
		return -EFAULT;
	}
	return 0;
}

int spw_ports_open(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		   unsigned int why_bytes)
{
	memset(ports, 0, sizeof(*ports));
	int error = open_pool(ports, setup, why, why_bytes);
	for (uint32_t i = 0; i < setup->ports_cnt && !error; i++) {
		const struct spw_msg_port *port = &setup->ports[i];
		ports->port[port->port] = (struct spw_io_port){
			.mtu_bytes = port->mtu_bytes,
			.queue = &ports->queue[ports->queues],
		};
		error = port->device[0]
				? spw_device_open(ports, port, setup->workers, why, why_bytes)
				: spw_xdp_open(ports, port, why, why_bytes);
	}
	return error;
}
