/* SPDX-License-Identifier: BSD-2-Clause */
/* privileges.c - see privileges.h. */
#include "control/daemon/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>

int spw_privileges_drop(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_BPF, CAP_NET_ADMIN,
			  CAP_NET_BIND_SERVICE, -1) < 0 ||
	    capng_apply(CAPNG_SELECT_ALL) < 0)
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}
