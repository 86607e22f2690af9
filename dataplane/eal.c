/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/eal.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_launch.h>

#include "dataplane/eal_arguments.h"
#include "dataplane/ports.h"

/* Beside the packet buffers: 32 device slots with their queues, handoff rings, DPDK's own tables.
 * 6 MiB were in use with 4 queues and 2 workers; untouched pages cost nothing. */
#define EAL_OWN_MIB 24u
/* A device's descriptor rings: 2048 of up to 64 bytes to each of 32 queues, and its admin queues.
 */
#define EAL_DEVICE_MIB 8u

/*
 * How long a worker wants to run at a stretch on a CPU that it shares: the shortest that Linux
 * gives (from 6.12 on; earlier ones take no notice). Who asks for less gets it sooner. With two
 * busy programs to each core a thread that slept was running after 0.06 ms in the median either
 * way, but at p90 after 3.4 ms with the usual slice and 0.1 ms with this one. It changes no one's
 * share.
 */
#define SLICE_NS 100000u

/* "0@(<allowed>),1@<cpu of worker 0>,..." */
static int format_lcores(char *text, size_t bytes, const struct spw_msg_setup *setup,
			 const struct spw_cpus *cpus)
{
	size_t used = (size_t)snprintf(text, bytes, "0@(%s)", cpus->allowed);

	for (uint32_t w = 0; w < setup->workers && used < bytes; w++)
		used += (size_t)snprintf(text + used, bytes - used, ",%u@%d", SPW_WORKER_LCORE(w),
					 cpus->worker[w]);
	return used < bytes ? 0 : -E2BIG;
}

static uint32_t devices_of(const struct spw_msg_setup *setup)
{
	uint32_t devices = 0;

	for (uint32_t i = 0; i < setup->ports_cnt; i++)
		devices += setup->ports[i].device[0] != '\0';
	return devices;
}

/* Free hugepages of all sizes, in MiB. */
static size_t hugepages_free_mib(void)
{
	static const char folder_name[] = "/sys/kernel/mm/hugepages";
	DIR *folder = opendir(folder_name);
	const struct dirent *entry;
	size_t free_kib = 0;

	while (folder && (entry = readdir(folder))) {
		char path[sizeof(folder_name) + sizeof(entry->d_name) + 16];
		unsigned long page_kib, pages = 0;
		if (sscanf(entry->d_name, "hugepages-%lukB", &page_kib) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", folder_name, entry->d_name);
		FILE *file = fopen(path, "re");
		if (file && fscanf(file, "%lu", &pages) == 1)
			free_kib += pages * page_kib;
		if (file)
			fclose(file);
	}
	if (folder)
		closedir(folder);
	return free_kib >> 10;
}

/* Hugepages where a device profits and enough are free; AF_XDP does as well without. Either way
 * there are no files: no second DPDK process shares this one's memory. */
static void add_memory(struct spw_eal_arguments *arguments, const struct spw_msg_setup *setup,
		       const char *memory_mib)
{
	if (devices_of(setup) > 0 && hugepages_free_mib() >= strtoul(memory_mib, NULL, 10)) {
		spw_eal_add(arguments, "--in-memory");
	} else {
		spw_eal_add(arguments, "--no-huge");
		spw_eal_add(arguments, "--no-shconf");
	}
	spw_eal_add(arguments, "-m");
	spw_eal_add(arguments, memory_mib);
}

/* The PCI devices that are ports, and no other. */
static void add_pci(struct spw_eal_arguments *arguments, const struct spw_msg_setup *setup)
{
	bool any = false;

	for (uint32_t i = 0; i < setup->ports_cnt; i++) {
		if (!spw_device_is_pci(setup->ports[i].device))
			continue;
		spw_eal_add(arguments, "-a");
		spw_eal_add(arguments, setup->ports[i].device);
		any = true;
	}
	if (!any)
		spw_eal_add(arguments, "--no-pci");
}

/* As linux/sched/types.h has it, which cannot stand beside sched.h. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* On a worker's thread. A refusal costs latency alone. */
static int want_short_slice(void *unused)
{
	struct scheduling wanted = {.size = sizeof(wanted), .runtime_ns = SLICE_NS};

	(void)unused;
	wanted.nice = getpriority(PRIO_PROCESS, 0);
	return (int)syscall(SYS_sched_setattr, 0, &wanted, 0);
}

int spw_eal_start(const struct spw_msg_setup *setup, const struct spw_cpus *cpus, size_t pool_bytes,
		  char *why, unsigned int why_bytes)
{
	struct spw_eal_arguments arguments = {0};
	char memory_mib[16], prefix[48], lcores[512];

	snprintf(memory_mib, sizeof(memory_mib), "%zu",
		 (pool_bytes >> 20) + 1 + EAL_OWN_MIB + EAL_DEVICE_MIB * devices_of(setup));
	snprintf(prefix, sizeof(prefix), "spw_%.31s", setup->node);
	if (format_lcores(lcores, sizeof(lcores), setup, cpus)) {
		snprintf(why, why_bytes, "the list of allowed CPUs is too long: \"%s\"",
			 cpus->allowed);
		return -E2BIG;
	}
	spw_eal_add(&arguments, "spillway-dataplane");
	add_memory(&arguments, setup, memory_mib);
	add_pci(&arguments, setup);
	int error = spw_eal_init(&arguments, prefix, lcores, why, why_bytes);
	if (error)
		return error;
	rte_eal_mp_remote_launch(want_short_slice, NULL, SKIP_MAIN);
	rte_eal_mp_wait_lcore();
	return 0;
}
