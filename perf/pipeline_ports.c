/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline_ports.c - where the packets of spw-bench-pipeline come from and go to, see pipeline.h.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "perf/pipeline.h"

/* pcap(5), classic format, microseconds. */
struct file_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, length_max, link_type;
};
struct record_head {
	uint32_t seconds, microseconds, bytes, wire_bytes;
};

static void write_file(FILE *file, const struct packets *packets)
{
	const struct file_head head = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1 /* Ethernet */};

	fwrite(&head, sizeof(head), 1, file);
	for (uint32_t k = 0; k < packets->cnt; k++) {
		const struct packet *packet = &packets->packet[k];
		const struct record_head record = {0, k, packet->bytes, packet->bytes};
		fwrite(&record, sizeof(record), 1, file);
		fwrite(packet->frame, packet->bytes, 1, file);
	}
}

static uint16_t open_vdev(const char *name, const char *arguments, struct rte_mempool *pool)
{
	const struct rte_eth_conf config = {0};
	uint16_t ethdev;

	int error = rte_eal_hotplug_add("vdev", name, arguments);
	if (!error)
		error = rte_eth_dev_get_port_by_name(name, &ethdev);
	if (!error)
		error = rte_eth_dev_configure(ethdev, 1, 1, &config);
	if (!error)
		error = rte_eth_rx_queue_setup(ethdev, 0, 512, SOCKET_ID_ANY, NULL, pool);
	if (!error)
		error = rte_eth_tx_queue_setup(ethdev, 0, 512, SOCKET_ID_ANY, NULL);
	if (!error)
		error = rte_eth_dev_start(ethdev);
	if (error)
		broken("DPDK port %s: %s", name, strerror(-error));
	return ethdev;
}

uint16_t port_open_source(struct rte_mempool *pool, const struct packets *packets)
{
	static uint32_t opened;
	char name[32], arguments[96];
	int fd = memfd_create("packets", 0);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	if (!file)
		broken("no memory file for the packets");
	write_file(file, packets);
	fflush(file);
	snprintf(name, sizeof(name), "net_pcap%u", opened++);
	snprintf(arguments, sizeof(arguments), "rx_pcap=/proc/self/fd/%d,infinite_rx=1", fd);
	uint16_t ethdev = open_vdev(name, arguments, pool);
	fclose(file); /* the port holds the packets themselves */
	return ethdev;
}

void port_close_source(uint16_t ethdev)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	if (rte_eth_dev_get_name_by_port(ethdev, name) != 0 || rte_eth_dev_stop(ethdev) != 0 ||
	    rte_eal_hotplug_remove("vdev", name) != 0)
		broken("a DPDK port cannot be closed");
}

uint16_t port_open_sink(struct rte_mempool *pool)
{
	static uint32_t opened;
	char name[32];

	snprintf(name, sizeof(name), "net_null%u", opened++);
	return open_vdev(name, "", pool);
}
