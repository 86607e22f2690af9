/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * device.h - an interface's `device:` in config.yaml: which texts name a DPDK device, and whether a
 * PCI device is ready to be taken.
 *
 * Any thread; nothing is changed.
 */
#ifndef SPW_DEVICE_H
#define SPW_DEVICE_H

#include <stddef.h>

#define SPW_DEVICE_BYTES 96u /* as handover.h sends it */

/* A PCI address in full (0000:01:00.0), or one of DPDK's virtual devices for tests and benchmarks
 * with its arguments (net_memif0,role=server,socket=/run/a.sock). 0, or -EINVAL with what was
 * expected. */
int spw_device_check(const char *device, const char **expected);

/*
 * Whether the kernel has let go of a PCI device, so that vfio can take it; virtual ones always are
 * ready. root: where /sys and /dev are, "" but in tests.
 * 0, or a negative errno with a sentence's end in `why`: what is so, and what to do.
 */
int spw_device_ready(const char *root, const char *device, char *why, size_t why_bytes);

#endif
