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

/* The bucket of a tenant, for as long as its packets follow each other. */
static struct spw_bucket_run open_tenant(const struct spw_lane *lane, uint32_t tenant)
{
	return spw_bucket_open(&lane->tenant_buckets[tenant],
			       cap_of(lane, lane->tables.tunnels_max + tenant), lane->now_ns,
			       lane->workers);
}

static inline void police_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			      struct spw_bucket_run *own)
{
	uint32_t tunnel = burst->tunnel_in[i], bytes = burst->bytes[i];

	/* What the tenant's cap refuses must not use up the tunnel's, nor the other way round: the
	 * tenant's is asked here, and charged last. */
	bool own_admits = spw_bucket_run_admits(own, bytes);
	if (tunnel != 0) {
		struct spw_bucket *bucket = &lane->tunnel_in_buckets[tunnel];
		if (spw_unlikely(!spw_bucket_admits(bucket, cap_of(lane, tunnel), lane->now_ns,
						    bytes, 1))) {
			spw_drop(lane, burst, i, SPW_DROP_RATE_TUNNEL_IN);
			return;
		}
		if (spw_likely(own_admits))
			spw_bucket_take(bucket, bytes, 1);
	}
	if (spw_unlikely(!own_admits)) {
		spw_drop(lane, burst, i, SPW_DROP_RATE_TENANT);
		return;
	}
	spw_bucket_run_take(own, bytes);
	burst->state[i] = SPW_AT_ROUTE;
}

void spw_stage_police(struct spw_lane *lane, struct spw_burst *burst)
{
	uint32_t tenant = 0; /* no tenant has this id, but it has a bucket */
	struct spw_bucket_run own = open_tenant(lane, tenant);

	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (burst->state[i] != SPW_AT_POLICE)
			continue;
		if (spw_unlikely(burst->tenant[i] != tenant)) {
			if (burst->tenant[i] >= lane->tables.tenants_max) {
				/* A tenant that is not there has no routes. */
				spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
				continue;
			}
			spw_bucket_close(&own);
			tenant = burst->tenant[i];
			own = open_tenant(lane, tenant);
		}
		police_one(lane, burst, i, &own);
	}
	spw_bucket_close(&own);
}
