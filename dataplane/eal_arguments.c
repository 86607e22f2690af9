/* SPDX-License-Identifier: BSD-2-Clause */
/* eal_arguments.c - see eal_arguments.h. */
#include "dataplane/eal_arguments.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

void spw_eal_add(struct spw_eal_arguments *arguments, const char *value)
{
	if ((uint32_t)arguments->cnt < SPW_EAL_ARGUMENTS_MAX)
		arguments->value[arguments->cnt++] = (char *)value;
}

int spw_eal_init(struct spw_eal_arguments *arguments, const char *file_prefix, const char *lcores,
		 char *why, unsigned int why_bytes)
{
	spw_eal_add(arguments, "--no-telemetry");
	spw_eal_add(arguments, "--iova-mode=va"); /* ports.c counts on it */
	spw_eal_add(arguments, "--file-prefix");
	spw_eal_add(arguments, file_prefix);
	spw_eal_add(arguments, "--main-lcore");
	spw_eal_add(arguments, "0");
	spw_eal_add(arguments, "--lcores");
	spw_eal_add(arguments, lcores);
	int taken = rte_eal_init(arguments->cnt, arguments->value);
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
