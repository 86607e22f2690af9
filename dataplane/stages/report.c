/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. */
#include "dataplane/stages/report.h"

#include <rte_ring_elem.h>

static bool post(struct spw_lane *lane, const union spw_report *report)
{
	if (rte_ring_sp_enqueue_elem(lane->reports, (void *)(uintptr_t)report, sizeof(*report)) !=
	    0) {
		spw_count(&lane->row->reports_late, 1);
		return false;
	}
	lane->reported = true;
	return true;
}

void spw_report_heard(struct spw_lane *lane, struct spw_sa *sa)
{
	const union spw_report report = {.heard = {.head.type = SPW_MSG_HEARD,
						   .slot = SPW_SPI_SLOT(sa->spi),
						   .spi = sa->spi}};

	if (post(lane, &report))
		sa->report_ns = lane->now_ns;
}

void spw_report_roamed(struct spw_lane *lane, const struct spw_burst *burst, uint32_t i,
		       struct spw_sa *sa, const uint8_t *udp)
{
	const uint8_t *ip = burst->outer[i];
	uint16_t port = spw_get_be16(udp), family = ip[0] >> 4;
	union spw_report report = {.roamed = {.head.type = SPW_MSG_ROAMED,
					      .slot = SPW_SPI_SLOT(sa->spi),
					      .spi = sa->spi,
					      .tunnel = sa->tunnel,
					      .family = family,
					      .port = port}};

	/* Nothing can be sent to port 0. */
	if (lane->now_ns < sa->report_ns || port == 0)
		return;
	memcpy(report.roamed.addr, ip + (family == 4 ? 12 : 8), family == 4 ? 4 : 16);
	if (post(lane, &report))
		sa->report_ns = lane->now_ns + SPW_ROAMED_EVERY_NS;
}
