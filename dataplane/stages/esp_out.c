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

/* Takes the next sequence number. False: the packet was dropped. */
static inline bool next_sequence(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
				 struct spw_sa *sa, uint64_t *sequence)
{
	uint64_t next = sa->sequence;

	/* The limit of an outbound SA is never beyond its last number (sa.c). */
	if (spw_unlikely(next >= __atomic_load_n(&sa->limit, __ATOMIC_RELAXED))) {
		spw_drop(lane, burst, i,
			 next > spw_sa_last(sa->flags) ? SPW_DROP_SEQUENCE_EXHAUSTED
						       : SPW_DROP_RESERVE_EXHAUSTED);
		return false;
	}
	/* Read by the main thread, which reports how far the SA has come. */
	__atomic_store_n(&sa->sequence, next + 1, __ATOMIC_RELAXED);
	*sequence = next;
	return true;
}

/* Writes the ESP header and encrypts in place. `esp` points to SPW_ESP_BYTES of room for the
 * header, then `text_bytes` of payload with its trailer, then room for the ICV. */
static inline bool encrypt(const struct spw_sa *sa, uint8_t *esp, uint32_t text_bytes,
			   uint64_t sequence)
{
	uint8_t nonce[SPW_NONCE_BYTES], aad[12];
	uint8_t *text = esp + SPW_ESP_BYTES;
	uint64_t sequence_be = __builtin_bswap64(sequence);
	uint64_t iv_be = sequence_be ^ sa->iv_mask_be;
	uint64_t spi_and_low = sequence_be >> 32 << 32 | sa->spi_be;

	memcpy(esp, &spi_and_low, sizeof(spi_and_low));
	memcpy(esp + 8, &iv_be, sizeof(iv_be));
	size_t aad_bytes = spw_sa_aead_input(sa, iv_be, sequence, nonce, aad);
	return spw_aead_seal(sa->aead, nonce, aad, aad_bytes, text, text_bytes, text + text_bytes);
}

/* Padding 1, 2, 3, its length and the next header, as they lie behind the inner packet, by what it
 * is (IPv4, IPv6, none) and length of the padding. */
#define TRAILERS(next)                                                                             \
	{                                                                                          \
		0x0000 | (next) << 8, 0x000101 | (next) << 16, 0x00020201 | (next) << 24,          \
			0x0003030201 | (next) << 32                                                \
	}
static const uint64_t trailers[3][4] = {TRAILERS((uint64_t)SPW_PROTO_IPV4),
					TRAILERS((uint64_t)SPW_PROTO_IPV6),
					TRAILERS((uint64_t)SPW_PROTO_NONE)};
#define TRAILER_NONE 2u

/* The outer headers: the record's template, and what depends on the length. udp_bytes: the UDP
 * header and the ESP packet that stands behind it. */
static inline void write_outer4(uint8_t *ip, const struct spw_tunnel *record, uint32_t udp_bytes)
{
	uint16_t udp_be = __builtin_bswap16((uint16_t)udp_bytes);
	uint16_t total_be = __builtin_bswap16((uint16_t)(SPW_IPV4_BYTES + udp_bytes));
	uint16_t sum;

	memcpy(ip, record->outer, SPW_IPV4_BYTES + SPW_UDP_BYTES);
	/* The template's checksum is that of the header with total length 0; ones' complement sums
	 * may be taken in either byte order. */
	memcpy(&sum, record->outer + 10, sizeof(sum));
	bool carry = __builtin_add_overflow((uint16_t)~sum, total_be, &sum);
	sum = (uint16_t) ~(sum + carry);
	memcpy(ip + 2, &total_be, sizeof(total_be));
	memcpy(ip + 10, &sum, sizeof(sum));
	/* The UDP checksum of 0 is the template's (RFC 3948 2.1: the ICV covers what matters). */
	memcpy(ip + SPW_IPV4_BYTES + 4, &udp_be, sizeof(udp_be));
}

static void write_outer6(uint8_t *ip, const struct spw_tunnel *record, uint32_t udp_bytes)
{
	memcpy(ip, record->outer, SPW_OUTER_BYTES_MAX);
	spw_put_be16(ip + 4, (uint16_t)udp_bytes);
	spw_put_be16(ip + SPW_IPV6_BYTES + 4, (uint16_t)udp_bytes);
}

/* The UDP checksum, which IPv6 wants and which is over the encrypted bytes as well. RFC 8200 8.1:
 * addresses, length, next header, datagram; 0 would mean "none", which IPv6 does not allow. */
static void sum_outer6(uint8_t *udp, uint32_t udp_bytes)
{
	uint64_t sum = spw_sum(udp - 32, 32, udp_bytes + SPW_PROTO_UDP);
	uint16_t checksum = (uint16_t)~spw_sum_fold(spw_sum(udp, udp_bytes, sum));

	spw_put_be16(udp + 6, checksum ? checksum : 0xffff);
}

/* The headers in front of ESP's, which make all of it the frame of packet i. udp_bytes: as above.
 */
static inline void push_outer(struct spw_burst *burst, uint32_t i, const struct spw_tunnel *record,
			      const struct spw_port_image *image, uint8_t *udp, uint32_t udp_bytes)
{
	if (spw_likely(record->outer_bytes != SPW_OUTER_BYTES_MAX)) {
		write_outer4(udp - SPW_IPV4_BYTES, record, udp_bytes);
		spw_ether_push(burst, i, image, udp - SPW_IPV4_BYTES, SPW_IPV4_BYTES + udp_bytes,
			       SPW_ETHERTYPE_IPV4);
	} else {
		write_outer6(udp - SPW_IPV6_BYTES, record, udp_bytes);
		spw_ether_push(burst, i, image, udp - SPW_IPV6_BYTES, SPW_IPV6_BYTES + udp_bytes,
			       SPW_ETHERTYPE_IPV6);
	}
}

/* All that a packet may gain in front and behind. */
#define FRONT_BYTES_MAX (SPW_ESP_BYTES + SPW_OUTER_BYTES_MAX + SPW_ETHER_BYTES + SPW_VLAN_BYTES)
#define BACK_BYTES_MAX (3u + SPW_ESP_TRAILER_BYTES + SPW_ICV_BYTES)

static inline bool has_room(const struct rte_mbuf *mbuf, const uint8_t *inner, uint32_t bytes)
{
	uint32_t offset = (uint32_t)(inner - (uint8_t *)mbuf->buf_addr);

	return offset >= FRONT_BYTES_MAX && offset + bytes + BACK_BYTES_MAX <= mbuf->buf_len;
}

/* Makes the frame of packet i; `trailer`: first index of its trailer. False: it was dropped.
 * Encryption comes last: what stands before it is done while the cipher of the packet before is
 * still at work, and nothing need be kept in memory across its call. */
static inline __attribute__((always_inline)) bool seal(struct spw_lane *lane,
						       struct spw_burst *burst, uint32_t i,
						       struct spw_sa *sa, uint32_t trailer,
						       struct spw_port_seen *seen)
{
	const struct spw_tunnel *record = burst->record_out[i];
	uint8_t *inner = burst->head[i], *udp = inner - SPW_ESP_BYTES - SPW_UDP_BYTES;
	uint32_t inner_bytes = burst->bytes[i];
	uint32_t pad_bytes = -(inner_bytes + SPW_ESP_TRAILER_BYTES) % 4;
	uint32_t text_bytes = inner_bytes + pad_bytes + SPW_ESP_TRAILER_BYTES;
	uint32_t udp_bytes = SPW_UDP_BYTES + SPW_ESP_BYTES + text_bytes + SPW_ICV_BYTES;
	uint64_t sequence;

	if (spw_unlikely(!has_room(burst->mbuf[i], inner, inner_bytes))) {
		spw_drop(lane, burst, i, SPW_DROP_PACKET_TOO_LONG);
		return false;
	}
	if (!next_sequence(lane, burst, i, sa, &sequence))
		return false;

	/* Up to 5 bytes, written as 8: the ICV comes behind them. */
	memcpy(inner + inner_bytes, &trailers[trailer][pad_bytes], 8);
	push_outer(burst, i, record, spw_port_see(lane, seen, burst->port_out[i]), udp, udp_bytes);
	if (spw_unlikely(!encrypt(sa, inner - SPW_ESP_BYTES, text_bytes, sequence))) {
		spw_drop(lane, burst, i, SPW_DROP_SA_ABSENT); /* its context is broken */
		return false;
	}
	if (spw_unlikely(record->outer_bytes == SPW_OUTER_BYTES_MAX))
		sum_outer6(udp, udp_bytes);
	burst->state[i] = SPW_AT_TRANSMIT;
	return true;
}

static inline void esp_out_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			       struct spw_sa *sa, struct spw_port_seen *seen)
{
	if (!seal(lane, burst, i, sa, burst->family[i] != 4, seen))
		return;
	struct spw_tunnel_counters *counters = &lane->counters[burst->tunnel_out[i]];
	spw_count(&counters->tx_packets, 1);
	spw_count(&counters->tx_bytes, burst->bytes[i]);
}

void spw_esp_out_dummy(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
		       struct spw_sa *sa)
{
	const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, sa->tunnel);
	struct spw_port_seen seen = SPW_PORT_UNSEEN;

	burst->port_in[i] = 0;
	burst->tunnel_in[i] = 0;
	burst->tunnel_out[i] = sa->tunnel;
	burst->head[i] = rte_pktmbuf_mtod(burst->mbuf[i], uint8_t *);
	burst->bytes[i] = 0;
	if (!record || record->port >= SPW_PORTS_MAX) {
		spw_drop(lane, burst, i, SPW_DROP_ROUTE_MISSING);
		return;
	}
	if (!spw_resolve(lane, record->neighbor, &burst->next_hop[i])) {
		spw_drop(lane, burst, i, SPW_DROP_NEIGHBOR_UNRESOLVED);
		return;
	}
	burst->record_out[i] = record;
	burst->port_out[i] = record->port;
	seal(lane, burst, i, sa, TRAILER_NONE, &seen);
}

/* This worker's outbound SA of the tunnel that packet i goes into, NULL: none. */
static inline struct spw_sa *find_sa(const struct spw_lane *lane, const struct spw_burst *burst,
				     uint32_t i)
{
	uint32_t slot = burst->record_out[i]->tx_sa[lane->worker % SPW_WORKERS_MAX];

	return spw_sa_get(lane->sas->out, lane->sas->sas_max, slot);
}

/* An SA is never taken from another worker or tunnel, whatever the record says: its sequence number
 * has one owner. */
static inline bool is_own(const struct spw_lane *lane, const struct spw_burst *burst, uint32_t i,
			  const struct spw_sa *sa)
{
	return sa && sa->worker == lane->worker && sa->tunnel == burst->tunnel_out[i];
}

/* Asks for the SA of packet i with its key, if it is to be encrypted. */
static inline void prefetch_sa(const struct spw_lane *lane, const struct spw_burst *burst,
			       uint32_t i)
{
	if (i >= burst->cnt || burst->state[i] != SPW_AT_ESP_OUT)
		return;
	const struct spw_sa *sa = find_sa(lane, burst, i);
	if (sa)
		spw_sa_prefetch(sa, burst->bytes[i]);
}

void spw_stage_esp_out(struct spw_lane *lane, struct spw_burst *burst)
{
	struct spw_port_seen seen = SPW_PORT_UNSEEN;
	bool far = spw_sas_far(lane->sas);

	if (!(burst->at & 1u << SPW_AT_ESP_OUT))
		return;
	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (far)
			prefetch_sa(lane, burst, i + SPW_SA_AHEAD);
		if (burst->state[i] != SPW_AT_ESP_OUT)
			continue;
		struct spw_sa *sa = find_sa(lane, burst, i);
		if (spw_likely(is_own(lane, burst, i, sa)))
			esp_out_one(lane, burst, i, sa, &seen);
		else
			spw_drop(lane, burst, i, SPW_DROP_SA_ABSENT);
	}
}
