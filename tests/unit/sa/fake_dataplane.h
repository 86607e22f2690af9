/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_dataplane.h - the dataplane's double, the main function of a process of its own. */
#ifndef TEST_SA_FAKE_DATAPLANE_H
#define TEST_SA_FAKE_DATAPLANE_H

#include "tests/unit/sa/world.h"

/* Serves control on run_dir/dataplane.sock, and again after control has died, until SIGTERM. */
_Noreturn void fake_dataplane_main(struct fake *fake, const char *run_dir, uint32_t workers);

#endif
