/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - what a worker tells the main thread about inbound SAs of sessions: that the first
 * authentic packet has come, and that the peer's address is another.
 *
 * A report goes into the lane's ring as the message that control gets. Where the ring is full it is
 * counted, and the SA's next packet brings it again.
 *
 * Thread: the SA's owner; the main thread takes out of the ring.
 */
#ifndef SPW_REPORT_H
#define SPW_REPORT_H

#include "control/handover.h"
#include "dataplane/stages/sa.h"
#include "dataplane/stages/stage.h"

/* Room for what 1,000 tunnels report at once, as after a start: 40 KiB a worker. */
#define SPW_REPORTS_MAX 1024u

/* An SA tells of a changed address at most so often, until control has changed the record. */
#define SPW_ROAMED_EVERY_NS 10000000u

union spw_report {
	struct spw_msg head;
	struct spw_msg_heard heard;
	struct spw_msg_roamed roamed;
};
static_assert(sizeof(union spw_report) % 4 == 0, "a ring's elements are words");

/* The SA's first authentic packet has come. */
void spw_report_heard(struct spw_lane *lane, struct spw_sa *sa) __attribute__((cold, noinline));

/* Packet i, authentic and the SA's highest so far, stands behind the UDP header at `udp` and came
 * from elsewhere than its tunnel's record sends to. */
void spw_report_roamed(struct spw_lane *lane, const struct spw_burst *burst, uint32_t i,
		       struct spw_sa *sa, const uint8_t *udp) __attribute__((cold, noinline));

#endif
