/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ports_device.c - a DPDK device as a port: a PCI one, which EAL has found at its start, or a
 * virtual one. Its hardware shares flows out over its queues; the workers classify, and a TAP takes
 * to the kernel what is the kernel's.
 */
#include "dataplane/ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include "dataplane/tap.h"

/* What is spread over queues, where the hardware can: IP alone for what has no ports. */
#define RSS_WANTED (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP)

bool spw_device_is_pci(const char *device)
{
	return device[0] && strncmp(device, "net_", 4) != 0;
}

/* net_memif leaves a server's socket behind when its process ends, and cannot open it again. */
static void remove_stale_socket(const char *arguments)
{
	const char *path = strstr(arguments, "socket=/");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat stat;

	if (!path || !strstr(arguments, "role=server"))
		return;
	path += strlen("socket=");
	snprintf(address.sun_path, sizeof(address.sun_path), "%.*s", (int)strcspn(path, ","), path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && lstat(address.sun_path, &stat) == 0 && S_ISSOCK(stat.st_mode) &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
	    errno == ECONNREFUSED) /* nobody listens */
		unlink(address.sun_path);
	if (fd >= 0)
		close(fd);
}

/* Finds, or makes, the ethdev. */
static int find_ethdev(const char *device, uint16_t *ethdev)
{
	char name[sizeof(((struct spw_msg_port *)0)->device)];
	const char *arguments = strchr(device, ',');
	int length = (int)(arguments ? (size_t)(arguments - device) : strlen(device));
	int error = 0;

	snprintf(name, sizeof(name), "%.*s", length, device);
	arguments = arguments ? arguments + 1 : "";
	if (strncmp(name, "net_memif", 9) == 0)
		remove_stale_socket(arguments);
	if (!spw_device_is_pci(device))
		error = rte_eal_hotplug_add("vdev", name, arguments);
	return error ? error : rte_eth_dev_get_port_by_name(name, ethdev);
}

static int setup_queues(uint16_t ethdev, uint16_t queues, struct rte_mempool *pool)
{
	uint16_t rx_descriptors = SPW_RING_DESCRIPTORS, tx_descriptors = SPW_RING_DESCRIPTORS;
	int error = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &rx_descriptors, &tx_descriptors);

	for (uint16_t q = 0; q < queues && !error; q++) {
		error = rte_eth_rx_queue_setup(ethdev, q, rx_descriptors, SOCKET_ID_ANY, NULL,
					       pool);
		if (!error)
			error = rte_eth_tx_queue_setup(ethdev, q, tx_descriptors, SOCKET_ID_ANY,
						       NULL);
	}
	return error;
}

/* Configures and starts it with up to `queues` queues; returns how many, or a negative errno. */
static int start_ethdev(uint16_t ethdev, uint32_t queues, uint32_t mtu_bytes, bool pci,
			struct rte_mempool *pool)
{
	struct rte_eth_dev_info info;
	int error = rte_eth_dev_info_get(ethdev, &info);

	if (error)
		return error;
	queues = RTE_MIN(queues, info.max_rx_queues);
	queues = RTE_MIN(queues, info.max_tx_queues);
	struct rte_eth_conf config = {
		/* Every buffer comes from the one pool and has one user. */
		.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE,
		.intr_conf.rxq = 1,
	};
	if (queues > 1 && info.flow_type_rss_offloads & RSS_WANTED) {
		config.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		config.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & RSS_WANTED;
	}
	error = rte_eth_dev_configure(ethdev, (uint16_t)queues, (uint16_t)queues, &config);
	if (error && pci) { /* no interrupts per queue: its workers do not sleep */
		config.intr_conf.rxq = 0;
		error = rte_eth_dev_configure(ethdev, (uint16_t)queues, (uint16_t)queues, &config);
	}
	if (!error)
		error = setup_queues(ethdev, (uint16_t)queues, pool);
	if (!error) {
		error = rte_eth_dev_set_mtu(ethdev, (uint16_t)mtu_bytes);
		if (error == -ENOTSUP) /* it takes any, or the usual: its own limit counts */
			error = 0;
	}
	if (!error)
		error = rte_eth_dev_start(ethdev);
	if (error)
		return error;
	/* The kernel behind the TAP lives with others' neighbour discovery; a virtual device has
	 * the TAP's MAC, of which it knows nothing. Neither is offered by all. */
	rte_eth_allmulticast_enable(ethdev);
	if (!pci)
		rte_eth_promiscuous_enable(ethdev);
	return (int)queues;
}

/* Asked only of those that may have it: others are loud about it. */
static void find_wake(struct spw_queue *queue, const char *device)
{
	bool tap = strncmp(device, "net_tap", 7) == 0;

	queue->wake = SPW_WAKE_NEVER;
	queue->wake_fd = -1;
	if (tap || spw_device_is_pci(device))
		queue->wake_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(queue->ethdev, queue->queue);
	if (queue->wake_fd >= 0)
		queue->wake = tap ? SPW_WAKE_READABLE : SPW_WAKE_INTERRUPT;
}

/* The kernel's side: a queue of the TAP for each worker. */
static int open_tap(struct spw_io_port *io, const struct spw_msg_port *port, uint16_t ethdev,
		    uint32_t workers, char *why, unsigned int why_bytes)
{
	struct rte_ether_addr mac;

	for (uint32_t w = 0; w < workers; w++) {
		io->tap_fd[w] = spw_tap_join(port->ifname, why, why_bytes);
		if (io->tap_fd[w] < 0)
			return io->tap_fd[w];
	}
	/* Virtual devices draw a new one at every start: theirs is not used. */
	if (!spw_device_is_pci(port->device))
		return 0;
	int error = rte_eth_macaddr_get(ethdev, &mac);
	if (error) {
		snprintf(why, why_bytes, "%s: %s does not tell its MAC address", port->ifname,
			 port->device);
		return error;
	}
	return spw_tap_set_mac(port->ifname, mac.addr_bytes, why, why_bytes);
}

int spw_device_open(struct spw_ports *ports, const struct spw_msg_port *port, uint32_t workers,
		    char *why, unsigned int why_bytes)
{
	struct spw_io_port *io = &ports->port[port->port];
	bool pci = spw_device_is_pci(port->device);
	uint16_t ethdev;

	int queues = find_ethdev(port->device, &ethdev);
	if (queues) {
		/* Drivers say why in the log alone: their error is -1, whatever it was. */
		snprintf(why, why_bytes, "%s: DPDK does not open the device %s: %s", port->ifname,
			 port->device,
			 pci ? "has it a driver of DPDK's, and may this process use /dev/vfio?"
			     : "see the lines above");
		return queues;
	}
	queues = start_ethdev(ethdev, port->queues, port->mtu_bytes, pci, ports->pool);
	if (queues <= 0) {
		snprintf(why, why_bytes,
			 "%s: the device %s does not start with up to %u queues and an "
			 "MTU of %u bytes: %s",
			 port->ifname, port->device, port->queues, port->mtu_bytes,
			 queues == 0    ? "it has no queues"
			 : queues == -1 ? "see the lines above"
					: strerror(-queues));
		return queues ? queues : -ENODEV;
	}
	io->device = true;
	for (int q = 0; q < queues; q++) {
		struct spw_queue *queue = &ports->queue[ports->queues++];
		*queue = (struct spw_queue){.ethdev = ethdev, .queue = (uint16_t)q, .xsk_fd = -1};
		find_wake(queue, port->device);
		io->queues++;
	}
	return open_tap(io, port, ethdev, workers, why, why_bytes);
}

uint64_t spw_devices_lost(const struct spw_ports *ports)
{
	uint64_t lost = 0;

	for (uint32_t p = 0; p < SPW_PORTS_MAX; p++) {
		struct rte_eth_stats stats;
		if (ports->port[p].device &&
		    rte_eth_stats_get(ports->port[p].queue->ethdev, &stats) == 0)
			lost += stats.imissed;
	}
	return lost;
}
