/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * flood.h - what flood.c and flood.bpf.c share. Writer: the sink, one record per CPU; reader:
 * flood.c, while it is written.
 */
#ifndef SPW_FLOOD_H
#define SPW_FLOOD_H

#include <linux/types.h>

struct flood_count {
	__u64 packets, bytes; /* UDP over IPv4; bytes of frames */
};

#endif
