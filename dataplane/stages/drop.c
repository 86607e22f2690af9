/* SPDX-License-Identifier: BSD-2-Clause */
/* drop.c - where a packet ends that goes nowhere, see stage.h. */
#include "dataplane/stages/stage.h"

void spw_drop(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, enum spw_drop reason)
{
	spw_count(&lane->row->drops[reason], 1);
	if (burst->tunnel_in[i])
		spw_count(&lane->counters[burst->tunnel_in[i]].rx_drops, 1);
	else if (burst->tunnel_out[i])
		spw_count(&lane->counters[burst->tunnel_out[i]].tx_drops, 1);
	burst->state[i] = SPW_DONE;
	rte_pktmbuf_free(burst->mbuf[i]);
}
