/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classifier.h - the two halves of spw-bench-classifier: what a packet costs, what attaching costs.
 *
 * Both print their rows, and their errors on stderr. The process's main thread, in a network
 * namespace of its own.
 */
#ifndef SPW_PERF_CLASSIFIER_H
#define SPW_PERF_CLASSIFIER_H

#include <stdbool.h>

#include "tests/ebpf/node.h"

/* TCP into the host with and without the classifier on its interface. 0, or -1: it could not be
 * measured. */
int bench_owner_tcp(struct test_node *node, bool quick);

#endif
