/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * esp_out.c - from an inner packet to the frame on the wire: padding, encryption, ESP, UDP, IP and
 * Ethernet headers (RFC 4303 3.3, RFC 4106, RFC 3948).
 *
 * A sequence number is used up before anything is encrypted under it, so that whatever goes wrong
 * after that no (key, IV) occurs twice.
 */
#include "dataplane/stages/ether.h"
#include "dataplane/stages/sa.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* This worker's outbound SA of the tunnel, NULL: none. It is never taken from another worker or
 * tunnel, whatever the record says: its sequence number has one owner. */
static struct spw_sa *find_sa(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	uint32_t slot = burst->record_out[i]->tx_sa[lane->worker % SPW_WORKERS_MAX];
	struct spw_sa *sa = spw_sa_get(lane->sas->out, lane->sas->sas_max, slot);

	if (!sa || sa->worker != lane->worker || sa->tunnel != burst->tunnel_out[i])
		return NULL;
	return sa;
}

/* Takes the next sequence number. False: the packet was dropped. */
static bool next_sequence(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			  struct spw_sa *sa, uint64_t *sequence)
{
	uint64_t next = sa->sequence;
	uint64_t last = sa->flags & SPW_SA_F_ESN ? UINT64_MAX - 1 : UINT32_MAX;

	if (next > last) {
		spw_drop(lane, burst, i, SPW_DROP_SEQUENCE_EXHAUSTED);
		return false;
	}
	if (next >= __atomic_load_n(&sa->limit, __ATOMIC_RELAXED)) {
		spw_drop(lane, burst, i, SPW_DROP_RESERVE_EXHAUSTED);
		return false;
	}
	/* Read by the main thread, which reports how far the SA has come. */
	__atomic_store_n(&sa->sequence, next + 1, __ATOMIC_RELAXED);
	*sequence = next;
	return true;
}

/* Writes the ESP header and encrypts in place. `esp` points to SPW_ESP_BYTES of room for the
 * header, then `text_bytes` of payload with its trailer, then room for the ICV. */
static bool encrypt(const struct spw_sa *sa, uint8_t *esp, uint32_t text_bytes, uint64_t sequence)
{
	uint8_t nonce[SPW_NONCE_BYTES], aad[12];
	uint8_t *text = esp + SPW_ESP_BYTES;

	spw_put_be32(esp, sa->spi);
	spw_put_be32(esp + 4, (uint32_t)sequence);
	spw_put_be64(esp + 8, sequence ^ sa->iv_mask);
	size_t aad_bytes = spw_sa_aead_input(sa, esp, sequence, nonce, aad);
	return spw_aead_seal(sa->aead, nonce, aad, aad_bytes, text, text_bytes, text + text_bytes);
}

/* Padding 1, 2, 3, ..., its length and the next header, behind the inner packet. */
static void write_trailer(uint8_t *trailer, uint32_t pad_bytes, uint32_t family)
{
	for (uint32_t k = 0; k < pad_bytes; k++)
		trailer[k] = (uint8_t)(k + 1);
	trailer[pad_bytes] = (uint8_t)pad_bytes;
	trailer[pad_bytes + 1] = family == 4 ? SPW_PROTO_IPV4 : SPW_PROTO_IPV6;
}

/* Completes the outer headers, which the template gives but for what depends on the length.
 * udp_bytes: the UDP header and the ESP packet that stands behind it. */
static void finish_outer4(uint8_t *ip, uint32_t udp_bytes)
{
	uint8_t *udp = ip + SPW_IPV4_BYTES;
	uint32_t total_bytes = SPW_IPV4_BYTES + udp_bytes;
	uint64_t sum = (uint16_t)~spw_get_be16(ip + 10); /* of the header with total length 0 */

	spw_put_be16(ip + 2, (uint16_t)total_bytes);
	spw_put_be16(ip + 10, (uint16_t)~spw_sum_fold(sum + total_bytes));
	spw_put_be16(udp + 4, (uint16_t)udp_bytes);
	spw_put_be16(udp + 6, 0); /* RFC 3948 2.1: the ICV covers what matters */
}

static void finish_outer6(uint8_t *ip, uint32_t udp_bytes)
{
	uint8_t *udp = ip + SPW_IPV6_BYTES;

	spw_put_be16(ip + 4, (uint16_t)udp_bytes);
	spw_put_be16(udp + 4, (uint16_t)udp_bytes);
	spw_put_be16(udp + 6, 0);
	/* RFC 8200 8.1: addresses, length, next header, datagram; 0 would mean "none", which IPv6
	 * does not allow. */
	uint64_t sum = spw_sum(ip + 8, 32, udp_bytes + SPW_PROTO_UDP);
	uint16_t checksum = (uint16_t)~spw_sum_fold(spw_sum(udp, udp_bytes, sum));
	spw_put_be16(udp + 6, checksum ? checksum : 0xffff);
}

static void esp_out_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	const struct spw_tunnel *record = burst->record_out[i];
	uint32_t inner_bytes = burst->inner_bytes[i];
	uint32_t pad_bytes = -(inner_bytes + SPW_ESP_TRAILER_BYTES) % 4;
	uint32_t tail_bytes = pad_bytes + SPW_ESP_TRAILER_BYTES + SPW_ICV_BYTES;
	bool outer6 = record->outer_bytes == SPW_OUTER_BYTES_MAX;
	uint32_t outer_bytes = outer6 ? SPW_OUTER_BYTES_MAX : SPW_IPV4_BYTES + SPW_UDP_BYTES;
	uint64_t sequence;

	struct spw_sa *sa = find_sa(lane, burst, i);
	if (!sa) {
		spw_drop(lane, burst, i, SPW_DROP_SA_ABSENT);
		return;
	}
	rte_pktmbuf_adj(mbuf, burst->offset[i]);
	burst->offset[i] = 0;
	uint32_t head_bytes = outer_bytes + SPW_ESP_BYTES;
	if (rte_pktmbuf_headroom(mbuf) < head_bytes + SPW_ETHER_BYTES + SPW_VLAN_BYTES ||
	    rte_pktmbuf_tailroom(mbuf) < tail_bytes) {
		spw_drop(lane, burst, i, SPW_DROP_PACKET_TOO_LONG);
		return;
	}
	if (!next_sequence(lane, burst, i, sa, &sequence))
		return;

	write_trailer((uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)tail_bytes), pad_bytes,
		      burst->family[i]);
	uint8_t *outer = (uint8_t *)rte_pktmbuf_prepend(mbuf, (uint16_t)head_bytes);
	uint32_t text_bytes = inner_bytes + tail_bytes - SPW_ICV_BYTES;
	if (!encrypt(sa, outer + outer_bytes, text_bytes, sequence)) { /* its context is broken */
		spw_drop(lane, burst, i, SPW_DROP_SA_ABSENT);
		return;
	}
	memcpy(outer, record->outer, outer_bytes);
	uint32_t udp_bytes = SPW_UDP_BYTES + SPW_ESP_BYTES + text_bytes + SPW_ICV_BYTES;
	if (outer6)
		finish_outer6(outer, udp_bytes);
	else
		finish_outer4(outer, udp_bytes);
	/* Cannot fail: the room was looked at above. */
	spw_ether_push(lane, burst, i, outer6 ? SPW_ETHERTYPE_IPV6 : SPW_ETHERTYPE_IPV4);
	spw_count(&lane->counters[burst->tunnel_out[i]].tx_packets, 1);
	spw_count(&lane->counters[burst->tunnel_out[i]].tx_bytes, inner_bytes);
	burst->state[i] = SPW_AT_TRANSMIT;
}

void spw_stage_esp_out(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_AT_ESP_OUT)
			esp_out_one(lane, burst, i);
	}
}
