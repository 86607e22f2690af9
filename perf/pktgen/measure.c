/* SPDX-License-Identifier: BSD-2-Clause */
/* measure.c - the receiver's inner loop; see measure.h. */
#include "perf/pktgen/measure.h"

#include <stdlib.h>
#include <string.h>

#include "perf/pktgen/neighbors.h"
#include "perf/pktgen/tag.h"

#define PORT_ESP 4500u /* where no SA says another one */

static void count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

struct spw_measure *spw_measure_create(uint32_t flows, struct spw_sas *sas, double ticks_per_s)
{
	struct spw_measure *measure = calloc(1, sizeof(*measure));

	if (!measure)
		return NULL;
	measure->sas = sas;
	measure->esp_port = sas ? sas->sa[0].outer_dst.port : PORT_ESP;
	measure->ns_per_tick = 1e9 / ticks_per_s;
	measure->track = spw_track_create(flows);
	if (!measure->track) {
		free(measure);
		return NULL;
	}
	return measure;
}

void spw_measure_destroy(struct spw_measure *measure)
{
	if (!measure)
		return;
	spw_track_destroy(measure->track);
	free(measure);
}

void spw_measure_reset(struct spw_measure *measure, uint16_t trial)
{
	measure->trial = trial;
	measure->counts = (struct spw_measure_counts){0};
	measure->latency_ns = (struct spw_histogram){0};
	spw_track_reset(measure->track);
}

/* The UDP datagram of an IP packet that stands at `ip`; NULL: there is none. *ip_bytes: what is
 * there; then the length of the packet, which a frame's padding may follow. */
static uint8_t *udp_of(uint8_t *ip, uint32_t *ip_bytes)
{
	uint32_t header_bytes = SPW_IPV6_BYTES, total_bytes;
	bool good;

	if (*ip_bytes < SPW_IPV4_BYTES)
		return NULL;
	if (ip[0] >> 4 == 4) {
		header_bytes = 4u * (ip[0] & 15);
		total_bytes = spw_get_be16(ip + 2);
		/* Not a fragment: neither an offset nor more to come. */
		good = ip[9] == SPW_PROTO_UDP && (spw_get_be16(ip + 6) & 0x3fff) == 0 &&
		       header_bytes >= SPW_IPV4_BYTES;
	} else {
		good = *ip_bytes >= SPW_IPV6_BYTES && ip[0] >> 4 == 6 && ip[6] == SPW_PROTO_UDP;
		total_bytes = SPW_IPV6_BYTES + spw_get_be16(ip + 4);
	}
	if (!good || total_bytes > *ip_bytes || total_bytes < header_bytes + SPW_UDP_BYTES)
		return NULL;
	*ip_bytes = total_bytes;
	return ip + header_bytes;
}

static void take_packet(struct spw_measure *measure, uint8_t *ip, uint32_t bytes,
			uint64_t now_ticks)
{
	struct spw_measure_counts *counts = &measure->counts;
	struct spw_tag tag;
	uint8_t *udp = udp_of(ip, &bytes);

	if (!udp || udp + SPW_UDP_BYTES + SPW_TAG_BYTES > ip + bytes ||
	    !spw_tag_read(udp + SPW_UDP_BYTES, &tag)) {
		count(&counts->other, 1);
		return;
	}
	if (tag.trial != measure->trial || tag.flow >= measure->track->flows) {
		count(&counts->stale, 1);
		return;
	}
	enum spw_track_verdict verdict = spw_track_add(measure->track, tag.flow, tag.sequence);
	if (verdict == SPW_TRACK_DUPLICATE) {
		count(&counts->duplicates, 1);
		return;
	}
	if (verdict != SPW_TRACK_IN_ORDER)
		count(&counts->reordered, 1);
	if (verdict == SPW_TRACK_LATE)
		count(&counts->late, 1);
	count(&counts->packets, 1);
	count(&counts->bytes, bytes);
	uint64_t ticks = (now_ticks - tag.ticks) & SPW_TAG_TIME_MASK;
	spw_histogram_add(&measure->latency_ns, (uint64_t)((double)ticks * measure->ns_per_tick));
}

/* A datagram for the ESP port. */
static void take_esp(struct spw_measure *measure, uint8_t *esp, uint32_t bytes, uint64_t now_ticks)
{
	struct spw_peer_sa *sa = measure->sas && bytes >= SPW_ESP_BYTES
					 ? spw_sas_find(measure->sas, spw_get_be32(esp))
					 : NULL;

	/* Keepalives and control messages are not traffic. */
	if (bytes < SPW_ESP_BYTES || spw_get_be32(esp) == 0) {
		count(&measure->counts.other, 1);
		return;
	}
	if (!sa) {
		count(&measure->counts.unopened, 1);
		return;
	}
	int inner_bytes = spw_peer_sa_open(sa, esp, bytes);
	if (inner_bytes < 0)
		count(&measure->counts.refused, 1);
	else
		take_packet(measure, esp + SPW_ESP_BYTES, (uint32_t)inner_bytes, now_ticks);
}

bool spw_measure_frame(struct spw_measure *measure, uint8_t *frame, uint32_t bytes,
		       uint64_t now_ticks)
{
	uint8_t *ip = frame + SPW_ETHER_BYTES;

	if (spw_neighbors_is_talk(frame, bytes))
		return false;
	if (measure->any) {
		count(&measure->counts.packets, 1);
		count(&measure->counts.bytes,
		      bytes - (bytes < SPW_ETHER_BYTES ? bytes : SPW_ETHER_BYTES));
		return true;
	}
	if (bytes >= SPW_ETHER_BYTES + SPW_VLAN_BYTES &&
	    spw_get_be16(frame + 12) == SPW_ETHERTYPE_VLAN)
		ip += SPW_VLAN_BYTES;
	uint32_t ip_bytes = bytes > (uint32_t)(ip - frame) ? bytes - (uint32_t)(ip - frame) : 0;
	uint32_t outer_bytes = ip_bytes;
	uint8_t *udp = udp_of(ip, &outer_bytes);
	if (udp && spw_get_be16(udp + 2) == measure->esp_port)
		take_esp(measure, udp + SPW_UDP_BYTES,
			 outer_bytes - (uint32_t)(udp + SPW_UDP_BYTES - ip), now_ticks);
	else
		take_packet(measure, ip, ip_bytes, now_ticks);
	return true;
}
