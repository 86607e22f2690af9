/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <hwloc/linux.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX 1024u

/* /proc/stat counts in ticks of 10 ms: below some 5 of them a busy CPU looks like an idle one. */
#define SAMPLE_NS 50000000

/* Ticks that each CPU has spent on anything but idling. */
static void read_busy(uint64_t busy[CPUS_MAX])
{
	char line[512];
	FILE *file = fopen("/proc/stat", "re");

	memset(busy, 0, CPUS_MAX * sizeof(*busy));
	if (!file)
		return; /* all CPUs then look alike */
	while (fgets(line, sizeof(line), file)) {
		unsigned int cpu;
		unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
		if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &user,
			   &nice, &system, &idle, &iowait, &irq, &softirq, &steal) == 9 &&
		    cpu < CPUS_MAX)
			busy[cpu] = user + nice + system + irq + softirq + steal;
	}
	fclose(file);
}

/* The PCI device behind an interface; empty: there is none (veth). It is asked from the driver:
 * /sys/class/net shows the namespace that sysfs was mounted in. */
static void find_pci(const char *ifname, char *address, size_t address_bytes)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&info};

	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (ioctl(fd, SIOCETHTOOL, &request) == 0)
		snprintf(address, address_bytes, "%.31s", info.bus_info);
	close(fd);
}

/* Adds the CPUs near a port's PCI device. */
static void add_near(hwloc_bitmap_t near, const struct spw_msg_port *port)
{
	char path[192], address[sizeof(port->device)] = "";
	hwloc_bitmap_t local = hwloc_bitmap_alloc();

	if (port->device[0])
		memcpy(address, port->device, sizeof(address));
	else
		find_pci(port->ifname, address, sizeof(address));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/local_cpus", address);
	if (local && address[0] && access(path, R_OK) == 0 &&
	    hwloc_linux_read_path_as_cpumask(path, local) == 0)
		hwloc_bitmap_or(near, near, local);
	hwloc_bitmap_free(local);
}

/* How many workers before `worker` are on the core of `cpu`. */
static uint32_t core_load(hwloc_topology_t topology, const struct spw_cpus *cpus, uint32_t worker,
			  unsigned int cpu)
{
	hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(topology, cpu);
	hwloc_obj_t core = pu ? hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, pu) : NULL;
	uint32_t load = 0;

	for (uint32_t w = 0; w < worker; w++) {
		unsigned int other = (unsigned int)cpus->worker[w];
		/* The very same CPU is worse than the other thread of its core. */
		if (other == cpu)
			load += 2;
		else if (core && hwloc_bitmap_isset(core->cpuset, other))
			load += 1;
	}
	return load;
}

static int32_t pick(hwloc_topology_t topology, hwloc_const_bitmap_t allowed,
		    hwloc_const_bitmap_t near, const uint64_t busy[CPUS_MAX],
		    const struct spw_cpus *cpus, uint32_t worker)
{
	int32_t best = -1;
	uint64_t best_cost = UINT64_MAX;
	unsigned int cpu;

	hwloc_bitmap_foreach_begin(cpu, allowed)
	{
		if (cpu >= CPUS_MAX)
			break;
		/* In this order: an own core, nearness, little other work. */
		uint64_t cost = (uint64_t)core_load(topology, cpus, worker, cpu) << 40;
		cost += hwloc_bitmap_isset(near, cpu) ? 0 : 1ull << 32;
		cost += busy[cpu];
		if (cost < best_cost) {
			best_cost = cost;
			best = (int32_t)cpu;
		}
	}
	hwloc_bitmap_foreach_end();
	return best;
}

static void sample_busy(uint64_t busy[CPUS_MAX])
{
	const struct timespec pause = {.tv_nsec = SAMPLE_NS};
	static uint64_t before[CPUS_MAX]; /* too large for a stack, and this runs once */

	read_busy(before);
	nanosleep(&pause, NULL);
	read_busy(busy);
	for (uint32_t cpu = 0; cpu < CPUS_MAX; cpu++)
		busy[cpu] -= before[cpu];
}

int spw_topology_choose(struct spw_cpus *cpus, const struct spw_msg_setup *setup)
{
	static uint64_t busy[CPUS_MAX];
	hwloc_topology_t topology;
	int error = -ENOMEM;

	if (hwloc_topology_init(&topology) < 0)
		return -ENOMEM;
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc(), near = hwloc_bitmap_alloc();
	if (!allowed || !near)
		goto out;
	if (hwloc_topology_load(topology) < 0 ||
	    hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) < 0) {
		error = errno ? -errno : -EIO;
		goto out;
	}
	for (uint32_t i = 0; i < setup->ports_cnt; i++)
		add_near(near, &setup->ports[i]);
	if (!hwloc_bitmap_intersects(near, allowed))
		hwloc_bitmap_copy(near, allowed);

	sample_busy(busy);
	for (uint32_t w = 0; w < setup->workers; w++) {
		cpus->worker[w] = pick(topology, allowed, near, busy, cpus, w);
		if (cpus->worker[w] < 0) {
			error = -ENODEV;
			goto out;
		}
	}
	if (hwloc_bitmap_list_snprintf(cpus->allowed, sizeof(cpus->allowed), allowed) >=
	    (int)sizeof(cpus->allowed)) {
		error = -E2BIG;
		goto out;
	}
	error = 0;
out:
	hwloc_bitmap_free(near);
	hwloc_bitmap_free(allowed);
	hwloc_topology_destroy(topology);
	return error;
}
