/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/eal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

/* Beside the packet buffers: 32 device slots with their queues, handoff rings, DPDK's own tables.
 * 6 MiB were in use with 4 queues and 2 workers; untouched pages cost nothing. */
#define EAL_OWN_MIB 24u

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

int spw_eal_start(const struct spw_msg_setup *setup, const struct spw_cpus *cpus, size_t pool_bytes,
		  char *why, unsigned int why_bytes)
{
	char memory_mib[16], prefix[48], lcores[512];

	snprintf(memory_mib, sizeof(memory_mib), "%zu", (pool_bytes >> 20) + 1 + EAL_OWN_MIB);
	snprintf(prefix, sizeof(prefix), "spw_%.31s", setup->node);
	if (format_lcores(lcores, sizeof(lcores), setup, cpus)) {
		snprintf(why, why_bytes, "the list of allowed CPUs is too long: \"%s\"",
			 cpus->allowed);
		return -E2BIG;
	}
	/* --no-shconf: no second DPDK process shares this one's memory, so it needs no files, no
	 * socket and no thread that listens on one. */
	char *arguments[] = {
		(char *)"spillway-dataplane",
		(char *)"--no-huge",
		(char *)"--no-pci",
		(char *)"--no-telemetry",
		(char *)"--no-shconf",
		(char *)"--iova-mode=va",
		(char *)"-m",
		memory_mib,
		(char *)"--file-prefix",
		prefix,
		(char *)"--main-lcore",
		(char *)"0",
		(char *)"--lcores",
		lcores,
	};
	int taken = rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), arguments);
	/* Made whatever the options say, and left empty. */
	if (rte_eal_get_runtime_dir()[0])
		rmdir(rte_eal_get_runtime_dir());
	if (taken < 0) {
		snprintf(why, why_bytes, "DPDK did not start: %s; see the lines above",
			 rte_strerror(rte_errno));
		return rte_errno ? -rte_errno : -EIO;
	}
	return 0;
}
