/* SPDX-License-Identifier: BSD-2-Clause */
/* eal.c - see eal.h. */
#include "perf/pktgen/eal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/eal_arguments.h"

#define EAL_OWN_MIB 32u /* devices and their queues, DPDK's tables, rings of virtual devices */
#define ALLOWED_TEXT_BYTES 4096u

/* "0,1,5" */
static void format_allowed(const cpu_set_t *allowed, char *text, size_t bytes)
{
	size_t used = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE && used < bytes; cpu++)
		if (CPU_ISSET(cpu, allowed))
			used += (size_t)snprintf(text + used, bytes - used, "%s%d", used ? "," : "",
						 cpu);
}

static int choose_cores(const struct spw_options *options, const cpu_set_t *allowed, int cores[2],
			char *why, unsigned int why_bytes)
{
	char text[512] = "";

	for (int i = 0; i < 2; i++) {
		cores[i] = options->cores[i];
		for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && cores[i] < 0; cpu--)
			if (CPU_ISSET(cpu, allowed))
				cores[i] = cpu;
		if (cores[i] < CPU_SETSIZE && CPU_ISSET(cores[i], allowed))
			continue;
		format_allowed(allowed, text, sizeof(text));
		snprintf(why, why_bytes, "--cores %d: this process may run on %s", cores[i], text);
		return -EINVAL;
	}
	return 0;
}

/* Lcore 0 may run anywhere; the sender and the receiver each have a core, or share one. */
static void format_lcores(struct spw_test_ports *ports, const cpu_set_t *allowed,
			  const int cores[2], char *text, size_t bytes)
{
	char allowed_text[ALLOWED_TEXT_BYTES] = "";

	format_allowed(allowed, allowed_text, sizeof(allowed_text));
	ports->lcores[0] = ports->lcores[1] = 1;
	if (cores[0] == cores[1]) {
		snprintf(text, bytes, "0@(%s),1@(%d)", allowed_text, cores[0]);
		return;
	}
	ports->lcores[1] = 2;
	snprintf(text, bytes, "0@(%s),1@(%d),2@(%d)", allowed_text, cores[0], cores[1]);
}

int spw_test_eal_start(struct spw_test_ports *ports, const struct spw_options *options,
		       const struct spw_interface_facts *facts, uint32_t facts_cnt,
		       size_t pool_bytes, char *why, unsigned int why_bytes)
{
	char memory_mib[16], prefix[48], lcores[ALLOWED_TEXT_BYTES + 64];
	struct spw_eal_arguments arguments = {0};
	cpu_set_t allowed;
	int cores[2];
	bool pci = false;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		CPU_ZERO(&allowed);
	int error = choose_cores(options, &allowed, cores, why, why_bytes);
	if (error)
		return error;
	format_lcores(ports, &allowed, cores, lcores, sizeof(lcores));
	snprintf(memory_mib, sizeof(memory_mib), "%zu", (pool_bytes >> 20) + 1 + EAL_OWN_MIB);
	snprintf(prefix, sizeof(prefix), "spw_pktgen_%d", (int)getpid());
	spw_eal_add(&arguments, "spillway-pktgen");
	spw_eal_add(&arguments, "--no-huge");
	spw_eal_add(&arguments, "--no-shconf");
	spw_eal_add(&arguments, "--log-level=lib.eal:error");
	spw_eal_add(&arguments, "-m");
	spw_eal_add(&arguments, memory_mib);
	for (uint32_t i = 0; i < facts_cnt; i++) {
		if (facts[i].kind != SPW_PORT_PCI)
			continue;
		spw_eal_add(&arguments, "-a");
		spw_eal_add(&arguments, ports->port[i].name);
		pci = true;
	}
	if (!pci)
		spw_eal_add(&arguments, "--no-pci");
	return spw_eal_init(&arguments, prefix, lcores, why, why_bytes);
}
