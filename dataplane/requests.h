/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * requests.h - what control asks of a running dataplane: SAs, for a time or until it says so.
 *
 * A message that is short, of an unknown kind or out of range is answered with -EINVAL and changes
 * nothing. Thread: main.
 */
#ifndef SPW_REQUESTS_H
#define SPW_REQUESTS_H

#include "dataplane/crew.h"
#include "dataplane/link.h"

/* Carries out one request of `bytes` bytes (at least a struct spw_msg) and returns its ACK. */
struct spw_msg_ack spw_request_handle(struct spw_crew *crew, struct spw_sa_table *sas,
				      const union spw_msg_buffer *msg, size_t bytes);

/* Removes the SAs whose lifetime is over. Returns in how many milliseconds there will be more, -1:
 * never. */
int spw_request_end_sas(struct spw_crew *crew, struct spw_sa_table *sas);

/* On a clean stop, when no worker runs: SA_FINAL for every SA with a limit. Stops at the first
 * that cannot be sent. */
void spw_request_send_finals(const struct spw_sa_table *sas, struct spw_link *link);

#endif
