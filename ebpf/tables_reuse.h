/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables_reuse.h - puts a node's tables in place of the classifier's own declarations (maps.h).
 *
 * Who owns the memory: the caller, both the skeleton and the descriptors, which may be closed once
 * the program is loaded. Any one thread.
 */
#ifndef SPW_EBPF_TABLES_REUSE_H
#define SPW_EBPF_TABLES_REUSE_H

#include "ebpf/tables.h"

struct spw_classifier;

/* On an opened skeleton, before it is loaded. 0, or a negative errno of libbpf's. */
int spw_classifier_tables_reuse(struct spw_classifier *skel, const int map_fds[SPW_MAP_CNT]);

#endif
