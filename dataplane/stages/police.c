/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * police.c - the caps where a packet enters: of the tunnel it came out of, and of its tenant.
 *
 * A tunnel's cap is not split: all of it is counted where its SA is owned. A tenant's packets enter
 * at any worker, so each has its even part of the cap.
 */
#include "dataplane/stages/stage.h"

static uint64_t cap_of(const struct spw_lane *lane, uint32_t row)
{
	return __atomic_load_n(&lane->tables.rates[row].in_cap, __ATOMIC_RELAXED);
}

static void police_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	uint32_t tenant = burst->tenant[i], tunnel = burst->tunnel_in[i];
	uint32_t bytes = burst->inner_bytes[i];
	struct spw_bucket *tunnel_bucket = &lane->tunnel_in_buckets[tunnel];

	if (tenant >= lane->tables.tenants_max) { /* a tenant that is not there has no routes */
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	/* Both are asked before either is charged: what the tenant's cap refuses must not use up
	 * the tunnel's. */
	if (tunnel != 0 &&
	    !spw_bucket_admits(tunnel_bucket, cap_of(lane, tunnel), lane->now_ns, bytes, 1)) {
		spw_drop(lane, burst, i, SPW_DROP_RATE_TUNNEL_IN);
		return;
	}
	if (!spw_bucket_admits(&lane->tenant_buckets[tenant],
			       cap_of(lane, lane->tables.tunnels_max + tenant), lane->now_ns, bytes,
			       lane->workers)) {
		spw_drop(lane, burst, i, SPW_DROP_RATE_TENANT);
		return;
	}
	if (tunnel != 0)
		spw_bucket_take(tunnel_bucket, bytes, 1);
	spw_bucket_take(&lane->tenant_buckets[tenant], bytes, lane->workers);
	burst->state[i] = SPW_AT_ROUTE;
}

void spw_stage_police(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_AT_POLICE)
			police_one(lane, burst, i);
	}
}
