/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service.h - the main thread: what it holds, and its loop while the workers run.
 */
#ifndef SPW_SERVICE_H
#define SPW_SERVICE_H

#include "dataplane/crew.h"
#include "dataplane/link.h"
#include "dataplane/tables_view.h"
#include "dataplane/topology.h"

struct spw_service {
	const char *node;
	struct spw_link link;
	struct spw_msg_setup setup; /* as the process was started with; holds no key */
	struct spw_tables tables;
	struct spw_cpus cpus;
	struct spw_ports ports;
	struct spw_sa_table *sas;
	char aead_why[sizeof(((struct spw_msg_ready *)0)->aead_why)]; /* see spw_aead_choose */
	struct spw_crew crew;
	/* Where control's messages, and so keys, arrive: in the arena once that is there. */
	union spw_msg_buffer *buffer;
	int signals_fd;                       /* signalfd of SIGTERM and SIGINT, non-blocking */
	uint64_t tried_ms;                    /* CLOCK_MONOTONIC of the last attempt to connect */
	uint64_t devices_asked_ms;            /* and when devices were last asked for losses */
	bool devices;                         /* there are some */
	uint32_t glean_seen[SPW_WORKERS_MAX]; /* glean_seq of each worker's row that was sent */
};

/*
 * Connects to control, waiting for it as long as it takes, and takes SETUP with the descriptors of
 * the tables. Returns 0 with service->setup filled and fds to be closed by the caller; -EINTR on
 * SIGTERM or SIGINT; another negative errno with a sentence in `why`.
 */
int spw_service_await_setup(struct spw_service *service, int fds[SPW_MAP_CNT], char *why,
			    unsigned int why_bytes);

/* Says READY. */
int spw_service_send_ready(struct spw_service *service);

/* Serves control until SIGTERM or SIGINT (0), or until control has other tables than these (a
 * negative errno; logged, and said to control). The workers go on meanwhile. */
int spw_service_run(struct spw_service *service);

#endif
