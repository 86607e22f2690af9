/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * limit.h - how many control messages and unknown SPIs get through: per source and in all.
 *
 * Every bucket (gcra.h) holds one second's worth of packets. An entry that is older than a second
 * says no more than a missing one, so whoever keeps the buckets may forget it: the classifier keeps
 * them in an LRU map, a worker in dataplane/stages/limiter.h.
 *
 * Unauthenticated packets change nothing but these buckets and the relays' own, whose number is
 * fixed.
 */
#ifndef SPW_LIMIT_H
#define SPW_LIMIT_H

#include "gcra.h"
#include "trie.h"

#define SPW_NS_PER_S 1000000000ull

/* Both kinds have a bucket of their own: a peer whose SAs we lost sends unknown SPIs at line rate,
 * and must not thereby lose the control messages that would make new ones. */
enum spw_limit_kind { SPW_LIMIT_CONTROL, SPW_LIMIT_SPI, SPW_LIMIT_KINDS };

/* The buckets of all control messages: of sources of live tunnels, and of all others. A flood from
 * strangers cannot use up what those share that have a tunnel, nor the other way round. */
enum spw_limit_share { SPW_LIMIT_STRANGERS, SPW_LIMIT_LIVE, SPW_LIMIT_SHARES };

struct spw_source {
	__u64 prefix; /* IPv4: the address in the top half; IPv6: the /64 */
	__u32 family; /* 4 or 6 */
	__u32 zero;
};

struct spw_source_buckets {
	__u64 full_ns[SPW_LIMIT_KINDS];
};

/* Takes one packet out of a bucket of `pps` packets per second, 1 or more; false: it is empty. */
static __always_inline bool spw_limit_take(__u64 *full_ns, __u64 now_ns, __u32 pps)
{
	if (spw_gcra_take(full_ns, now_ns, SPW_NS_PER_S / pps, SPW_NS_PER_S))
		return true;
	spw_gcra_mend(full_ns, now_ns, SPW_NS_PER_S);
	return false;
}

#ifdef __bpf__

/* Far above the peers of a node, and above what the kernel keeps apart for its CPUs (lots of 128
 * entries each). The size costs memory only, 96 bytes an entry, 1.5 MiB in all: a packet from a
 * new source took 0.5 to 0.7 us more than one from a known source, with 1,024 entries as with
 * 262,144 (2 CPUs, Linux 6.18). */
#define SPW_SOURCES_MAX 16384

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SPW_SOURCES_MAX);
	__type(key, struct spw_source);
	__type(value, struct spw_source_buckets);
} sources SEC(".maps");

/* The buckets of all control messages, per CPU, by enum spw_limit_share: forged sources fill
 * `sources` with fresh buckets, and then these protect control. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPW_LIMIT_SHARES);
	__type(key, __u32);
	__type(value, __u64);
} control_total SEC(".maps");

/*
 * spw_limit_source counts one packet of a source against its bucket of that kind.
 * pps: packets per second that one source (/32 or /64) may send, also the burst; 0: no limit.
 * Returns whether it is within the limit; without memory for the source it is not.
 */
static __always_inline bool spw_limit_source(struct spw_frame *frame, struct spw_trie_key src,
					     __u32 family, enum spw_limit_kind kind, __u32 pps,
					     __u64 now_ns)
{
	struct spw_source source = {.prefix = src.hi, .family = family};
	struct spw_source_buckets *buckets;

	(void)frame;
	if (pps == 0)
		return true;
	buckets = bpf_map_lookup_elem(&sources, &source);
	if (!buckets) {
		struct spw_source_buckets full = {0};
		bpf_map_update_elem(&sources, &source, &full, BPF_NOEXIST);
		buckets = bpf_map_lookup_elem(&sources, &source);
		if (!buckets)
			return false;
	}
	return spw_limit_take(&buckets->full_ns[kind], now_ns, pps);
}

/* spw_limit_total counts one control message against this CPU's bucket of that share; pps 0: no
 * limit. */
static __always_inline bool spw_limit_total(struct spw_frame *frame, enum spw_limit_share share,
					    __u32 pps, __u64 now_ns)
{
	__u32 index = share;
	__u64 *full_ns = bpf_map_lookup_elem(&control_total, &index);

	(void)frame;
	return pps == 0 || (full_ns && spw_limit_take(full_ns, now_ns, pps));
}

#endif

#endif
