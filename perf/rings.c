/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rings.c - what stands in the place of the dataplane's ports.c, see rings.h.
 *
 * Ports are pairs of rings, seen by the worker through DPDK's ring driver. Port 1, the lan, is the
 * one that is fed; port 0, the wan, the one that the generator listens to.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "dataplane/ports.h"
#include "perf/rings.h"

#define WAN 0u
#define LAN 1u
#define BUFFERS 8191u /* two rings full, what is in work, and the caches */
#define BUFFER_CACHE 256u

static struct rings_frame frames[RINGS_FRAMES_MAX];
static struct rings_generator generator = {.frames = frames};
static struct rings_commands commands = {.generator = &generator};

size_t spw_ports_pool_bytes(const struct spw_msg_setup *setup)
{
	(void)setup;
	return (size_t)(BUFFERS + 1) * 2560; /* header, mbuf and room of each, rounded up */
}

/* The ethdev's receive callback, called with what the ring had, or nothing. */
static uint16_t on_receive(uint16_t ethdev, uint16_t queue, struct rte_mbuf *mbuf[], uint16_t cnt,
			   uint16_t cnt_max, void *argument)
{
	(void)ethdev, (void)queue, (void)cnt_max;
	if (rings_pass_on(argument, mbuf, cnt))
		cnt = 0;
	rings_generate(argument);
	return cnt;
}

static int start_ethdev(uint16_t ethdev)
{
	const struct rte_eth_conf config = {0};

	int error = rte_eth_dev_configure(ethdev, 1, 1, &config);
	if (!error)
		error = rte_eth_rx_queue_setup(ethdev, 0, RINGS_PACKETS, SOCKET_ID_ANY, NULL,
					       generator.pool);
	if (!error)
		error = rte_eth_tx_queue_setup(ethdev, 0, RINGS_PACKETS, SOCKET_ID_ANY, NULL);
	return error ? error : rte_eth_dev_start(ethdev);
}

static int open_port(struct spw_ports *ports, const struct spw_msg_port *port)
{
	struct spw_queue *queue = &ports->queue[ports->queues];
	struct rte_ring *ring[2];
	char name[32];

	for (uint32_t way = 0; way < 2; way++) {
		snprintf(name, sizeof(name), "rings%u_%u", port->port, way);
		ring[way] = rte_ring_create(name, RINGS_PACKETS, SOCKET_ID_ANY,
					    RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
		if (!ring[way])
			return -rte_errno;
	}
	snprintf(name, sizeof(name), "rings%u", port->port);
	int ethdev = rte_eth_from_rings(name, &ring[0], 1, &ring[1], 1, SOCKET_ID_ANY);
	if (ethdev < 0)
		return rte_errno ? -rte_errno : -EIO;
	int error = start_ethdev((uint16_t)ethdev);
	if (error)
		return error;
	if (port->port == LAN) {
		generator.in = ring[0];
		if (!rte_eth_add_rx_callback((uint16_t)ethdev, 0, on_receive, &generator))
			return -rte_errno;
	} else if (port->port == WAN) {
		generator.out = ring[1];
	}
	*queue = (struct spw_queue){.ethdev = (uint16_t)ethdev,
				    .wake = SPW_WAKE_READABLE,
				    .wake_fd = commands.awake_fd,
				    .xsk_fd = -1};
	ports->port[port->port] =
		(struct spw_io_port){.queues = 1, .mtu_bytes = port->mtu_bytes, .queue = queue};
	ports->queues++;
	return 0;
}

static int open_all(struct spw_ports *ports, const struct spw_msg_setup *setup)
{
	static const struct rte_mbuf_dynfield stamp = {
		.name = "rings_stamp", .size = sizeof(uint64_t), .align = sizeof(uint64_t)};
	pthread_t thread;
	int error = 0;

	ports->pool = generator.pool = rte_pktmbuf_pool_create(
		"rings", BUFFERS, BUFFER_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	generator.stamp_offset = rte_mbuf_dynfield_register(&stamp);
	if (!generator.pool || generator.stamp_offset < 0)
		return -rte_errno;
	commands.awake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (commands.awake_fd < 0)
		return -errno;
	for (uint32_t i = 0; i < setup->ports_cnt && !error; i++)
		error = open_port(ports, &setup->ports[i]);
	if (!error && (!generator.in || !generator.out))
		return -ENODEV;
	/* Now, as later nothing may start a thread. */
	if (!error && sem_init(&commands.started, 0, 0) < 0)
		error = -errno;
	if (!error)
		error = -pthread_create(&thread, NULL, rings_commands_run, &commands);
	if (error)
		return error;
	sem_wait(&commands.started);
	return commands.error ? -EPERM : 0;
}

int spw_ports_open(struct spw_ports *ports, const struct spw_msg_setup *setup, char *why,
		   unsigned int why_bytes)
{
	memset(ports, 0, sizeof(*ports));
	int error = open_all(ports, setup);
	if (error)
		snprintf(why, why_bytes, "cannot make rings for a wan and a lan of one queue: %s",
			 strerror(-error));
	return error;
}
