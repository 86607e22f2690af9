/* SPDX-License-Identifier: BSD-2-Clause */
/* ports.c - see ports.h. EAL is started in eal.c, interfaces are looked at in interface.c. */
#include "perf/pktgen/ports.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <xdp/libxdp.h>

#include "perf/pktgen/eal.h"
#include "perf/pktgen/interface.h"

#ifdef __SANITIZE_ADDRESS__
/* What the AF_XDP driver has from these libraries it keeps in memory that DPDK mapped itself, where
 * the leak checker does not look for pointers. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libxdp\nleak:libbpf\n";
}
#endif

#define RING_DESCRIPTORS 2048u
#define POOL_CACHE 256u
#define LINK_UP_WAIT_MS 10000u

/* The frames of all queues: in the kernel's hands or filled by it, in the transmit and in the
 * completion ring; and what sender and receiver hold in caches and bursts. */
static uint32_t pool_frames(uint32_t queues)
{
	return queues * 3 * RING_DESCRIPTORS + 4 * POOL_CACHE + 8192;
}

/* Packed objects, as AF_XDP needs them; dataplane/ports.c says why. */
static struct rte_mempool *make_pool(uint32_t frames)
{
	struct rte_pktmbuf_pool_private sizes = {.mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE};
	struct rte_mempool *pool = rte_mempool_create_empty(
		"spw_frames", frames,
		(unsigned int)sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, POOL_CACHE,
		sizeof(sizes), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, &sizes);
	if (rte_mempool_populate_default(pool) < 0) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

static int start_ethdev(uint16_t ethdev, struct rte_mempool *pool)
{
	const struct rte_eth_conf config = {0};
	uint16_t rx = RING_DESCRIPTORS, tx = RING_DESCRIPTORS;

	int error = rte_eth_dev_configure(ethdev, 1, 1, &config);
	if (!error)
		error = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &rx, &tx);
	if (!error)
		error = rte_eth_rx_queue_setup(ethdev, 0, rx, SOCKET_ID_ANY, NULL, pool);
	if (!error)
		error = rte_eth_tx_queue_setup(ethdev, 0, tx, SOCKET_ID_ANY, NULL);
	return error ? error : rte_eth_dev_start(ethdev);
}

/* Starts a device that EAL knows as `name` and adds it to the port's. */
static int add_device(struct spw_test_port *port, const char *name, struct rte_mempool *pool)
{
	uint16_t *ethdev = &port->ethdev[port->queues];

	int error = rte_eth_dev_get_port_by_name(name, ethdev);
	if (!error)
		error = start_ethdev(*ethdev, pool);
	if (!error)
		port->queues++;
	return error;
}

/* force_copy: the zero-copy mode of this driver sleeps in its receive call for up to a second when
 * it does not poll busily, which costs a system call for each look at an empty ring. */
static int open_interface(struct spw_test_port *port, uint32_t number,
			  const struct spw_interface_facts *facts, struct rte_mempool *pool,
			  char *why, unsigned int why_bytes)
{
	char name[32], arguments[96];
	int error = 0;

	port->program = spw_interface_take(port->name, why, why_bytes);
	if (!port->program)
		return -EPERM;
	for (uint32_t queue = 0; queue < facts->queues && !error; queue++) {
		snprintf(name, sizeof(name), "net_af_xdp%u", number * SPW_TEST_QUEUES_MAX + queue);
		snprintf(arguments, sizeof(arguments),
			 "iface=%s,start_queue=%u,busy_budget=0,force_copy=1", port->name, queue);
		error = rte_eal_hotplug_add("vdev", name, arguments);
		if (!error)
			error = add_device(port, name, pool);
	}
	if (error)
		snprintf(why, why_bytes,
			 "%s: cannot open an AF_XDP socket: %s; it needs CAP_NET_RAW, "
			 "CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_IPC_LOCK",
			 port->name, strerror(-error));
	port->mtu_bytes = facts->mtu_bytes;
	return error;
}

/* "net_memif0,role=client": a name and arguments. */
static int open_vdev(struct spw_test_port *port, struct rte_mempool *pool, char *why,
		     unsigned int why_bytes)
{
	char name[256];
	const char *comma = strchr(port->name, ',');

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(port->name, ","), port->name);
	int error = rte_eal_hotplug_add("vdev", name, comma ? comma + 1 : "");
	if (!error)
		error = add_device(port, name, pool);
	if (error)
		snprintf(why, why_bytes,
			 "%s: DPDK cannot make this device: %s; the lines above say why", name,
			 strerror(-error));
	else
		rte_eth_promiscuous_enable(port->ethdev[0]); /* not all have it, or need it */
	return error;
}

static int open_pci(struct spw_test_port *port, struct rte_mempool *pool, char *why,
		    unsigned int why_bytes)
{
	char address[16];

	/* EAL has probed it at its start (-a), where it is bound to vfio. */
	snprintf(address, sizeof(address), "%s%s", strlen(port->name) < 12 ? "0000:" : "",
		 port->name);
	int error = add_device(port, address, pool);
	if (error)
		snprintf(why, why_bytes,
			 "%s: DPDK has no such device: %s; bind it with `dpdk-devbind.py -b "
			 "vfio-pci %s`",
			 address, strerror(-error), address);
	else
		rte_eth_promiscuous_enable(port->ethdev[0]);
	return error;
}

/* A memif has no link before its peer is there. */
static int wait_for_link(const struct spw_test_port *port, char *why, unsigned int why_bytes)
{
	struct rte_eth_link link = {0};

	for (uint32_t ms = 0; ms < LINK_UP_WAIT_MS; ms += 10) {
		if (rte_eth_link_get_nowait(port->ethdev[0], &link) == 0 && link.link_status)
			return 0;
		usleep(10000);
	}
	snprintf(why, why_bytes, "%s: no link within %u s; is the other end there?", port->name,
		 LINK_UP_WAIT_MS / 1000);
	return -ENOLINK;
}

static int open_port(struct spw_test_port *port, uint32_t number,
		     const struct spw_interface_facts *facts, struct rte_mempool *pool, char *why,
		     unsigned int why_bytes)
{
	int error;

	if (facts->kind == SPW_PORT_INTERFACE)
		error = open_interface(port, number, facts, pool, why, why_bytes);
	else if (facts->kind == SPW_PORT_PCI)
		error = open_pci(port, pool, why, why_bytes);
	else
		error = open_vdev(port, pool, why, why_bytes);
	if (!error)
		error = wait_for_link(port, why, why_bytes);
	if (error)
		return error;
	struct rte_ether_addr mac;
	if (rte_eth_macaddr_get(port->ethdev[0], &mac) == 0)
		memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
	spw_test_port_missed(port);
	return 0;
}

int spw_test_ports_open(struct spw_test_ports *ports, const struct spw_options *options, char *why,
			unsigned int why_bytes)
{
	struct spw_interface_facts facts[2];
	uint32_t cnt = strcmp(options->tx, options->rx) == 0 ? 1 : 2, queues = 0;

	*ports = (struct spw_test_ports){.tx = &ports->port[0],
					 .rx = &ports->port[cnt - 1],
					 .port = {{.name = options->tx}, {.name = options->rx}}};
	for (uint32_t i = 0; i < cnt; i++) {
		int error = spw_interface_look(ports->port[i].name, &facts[i], why, why_bytes);
		if (error)
			return error;
		queues += facts[i].queues;
	}
	/* Whatever fails in them is said by the sentences here. */
	libbpf_set_print(NULL);
	libxdp_set_print(NULL);
	uint32_t frames = pool_frames(queues);
	int error = spw_test_eal_start(ports, options, facts, cnt,
				       (size_t)frames * (RTE_MBUF_DEFAULT_BUF_SIZE + 320), why,
				       why_bytes);
	if (error)
		return error;
	ports->pool = make_pool(frames);
	if (!ports->pool || ports->pool->nb_mem_chunks != 1) {
		snprintf(why, why_bytes, "no memory for %u packet buffers in one piece", frames);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < cnt && !error; i++)
		error = open_port(&ports->port[i], i, &facts[i], ports->pool, why, why_bytes);
	return error;
}

void spw_test_ports_close(struct spw_test_ports *ports)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct spw_test_port *port = &ports->port[i];
		/* AF_XDP sockets go with the process. The driver's own way would try to detach a
		 * program that is not its own, and say that it cannot. */
		for (uint32_t queue = 0; queue < port->queues && !port->program; queue++) {
			rte_eth_dev_stop(port->ethdev[queue]);
			rte_eth_dev_close(port->ethdev[queue]);
		}
		spw_interface_release(port->program);
		*port = (struct spw_test_port){.name = port->name};
	}
}

uint64_t spw_test_port_missed(struct spw_test_port *port)
{
	struct rte_eth_stats stats;
	uint64_t missed = 0;

	for (uint32_t queue = 0; queue < port->queues; queue++)
		if (rte_eth_stats_get(port->ethdev[queue], &stats) == 0)
			missed += stats.imissed + stats.rx_nombuf;
	uint64_t since = missed - port->missed_before;
	port->missed_before = missed;
	return since;
}
