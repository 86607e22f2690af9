/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * esp_in.c - from an ESP packet to the inner packet: SA, replay window, decryption, padding
 * (RFC 4303 3.4, RFC 4106).
 *
 * Until the ICV is found right, nothing but a counter changes.
 */
#include "dataplane/stages/handoff.h"
#include "dataplane/stages/report.h"
#include "dataplane/stages/sa.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* The shortest payload: no data, no padding but to 4 bytes, and the two trailer bytes. */
#define ESP_PACKET_BYTES_MIN (SPW_ESP_BYTES + 4u + SPW_ICV_BYTES)

/* Sequence number against the window. False: the packet was dropped. */
static inline bool check_window(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
				const struct spw_sa *sa, uint64_t sequence)
{
	enum spw_replay_verdict verdict = spw_replay_check(&sa->replay, sequence);

	if (spw_likely(verdict == SPW_REPLAY_OK))
		return true;
	spw_count(&lane->counters[sa->tunnel].replays, 1);
	spw_drop(lane, burst, i,
		 verdict == SPW_REPLAY_OLD ? SPW_DROP_REPLAY_OLD : SPW_DROP_REPLAYED);
	return false;
}

/* An authentic packet's number against the reserve. Beyond it the number is noted for control,
 * which raises the limit to where the peer is. False: the packet was dropped. */
static inline bool check_limit(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			       struct spw_sa *sa, uint64_t sequence)
{
	/* Raised by the main thread; a stale value costs a packet near the end of the reserve. */
	uint64_t limit = __atomic_load_n(&sa->limit, __ATOMIC_RELAXED);
	if (spw_likely(limit == UINT64_MAX))
		return true;
	if (sequence >= limit || limit - sequence < SPW_SA_LOW_PACKETS)
		lane->reserve_low = true;
	if (sequence < limit)
		return true;
	if (sequence > sa->wanted)
		__atomic_store_n(&sa->wanted, sequence, __ATOMIC_RELAXED);
	spw_drop(lane, burst, i, SPW_DROP_RESERVE_EXHAUSTED);
	return false;
}

/* Decrypts in place: `text_bytes` behind the ESP header, the ICV behind them. */
static inline bool decrypt(const struct spw_sa *sa, uint8_t *esp, uint32_t text_bytes,
			   uint64_t sequence)
{
	uint8_t nonce[SPW_NONCE_BYTES], aad[12];
	uint64_t iv_be;
	memcpy(&iv_be, esp + 8, sizeof(iv_be));
	size_t aad_bytes = spw_sa_aead_input(sa, iv_be, sequence, nonce, aad);
	uint8_t *text = esp + SPW_ESP_BYTES;
	return spw_aead_open(sa->aead, nonce, aad, aad_bytes, text, text_bytes, text + text_bytes);
}

/* The bytes of the payload without padding and trailer; negative: the padding is wrong. */
static inline int32_t payload_bytes(const uint8_t *text, uint32_t text_bytes)
{
	/* Padding and the byte before the next header, as every sender writes them for alignment.
	 */
	static const uint32_t usual[4] = {0x00, 0x0101, 0x020201, 0x03030201};
	const uint8_t *trailer = text + text_bytes - SPW_ESP_TRAILER_BYTES;
	uint32_t pad_bytes = trailer[0], bytes = text_bytes - SPW_ESP_TRAILER_BYTES - pad_bytes;
	uint32_t last;

	if (pad_bytes + SPW_ESP_TRAILER_BYTES > text_bytes)
		return -1;
	if (spw_likely(pad_bytes < 4)) {
		memcpy(&last, trailer - 3, sizeof(last)); /* at worst of the ESP header */
		return last >> 8 * (3 - pad_bytes) == usual[pad_bytes] ? (int32_t)bytes : -1;
	}
	for (uint32_t k = 0; k < pad_bytes; k++) {
		if (text[bytes + k] != k + 1)
			return -1;
	}
	return (int32_t)bytes;
}

/* Whether packet i came from where its tunnel's record sends to. Its UDP header stands in front of
 * the head; the record's template has the same headers, without options or extensions. */
static inline bool from_remote(const struct spw_burst *burst, uint32_t i, const uint8_t *udp)
{
	const struct spw_tunnel *record = burst->record_in[i];
	const uint8_t *ip = burst->outer[i], *to = record->outer;

	if (spw_likely(ip[0] >> 4 == 4))
		return record->outer_bytes == SPW_IPV4_BYTES + SPW_UDP_BYTES &&
		       spw_load32(ip + 12) == spw_load32(to + 16) &&
		       spw_load16(udp) == spw_load16(to + SPW_IPV4_BYTES + 2);
	return record->outer_bytes == SPW_OUTER_BYTES_MAX && memcmp(ip + 8, to + 24, 16) == 0 &&
	       spw_load16(udp) == spw_load16(to + SPW_IPV6_BYTES + 2);
}

/* What a session wants to know of an authentic packet. An older one says nothing about where the
 * peer is now. */
static inline void watch_peer(struct spw_lane *lane, const struct spw_burst *burst, uint32_t i,
			      struct spw_sa *sa, bool highest)
{
	const uint8_t *udp = burst->head[i] - SPW_UDP_BYTES;

	if (spw_unlikely(sa->report_ns == 0))
		spw_report_heard(lane, sa);
	if (spw_likely(highest) && spw_unlikely(!from_remote(burst, i, udp)))
		spw_report_roamed(lane, burst, i, sa, udp);
}

/* Takes the decrypted packet apart and moves it on. */
static inline void open_payload(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
				uint8_t *text, uint32_t text_bytes)
{
	struct spw_tunnel_counters *counters = &lane->counters[burst->tunnel_in[i]];
	uint8_t next_header = text[text_bytes - 1];
	int32_t bytes = payload_bytes(text, text_bytes);

	spw_count(&counters->rx_packets, 1);
	__atomic_store_n(&counters->rx_last_ns, lane->now_ns, __ATOMIC_RELAXED);
	if (spw_unlikely(bytes < 0)) {
		spw_drop(lane, burst, i, SPW_DROP_PADDING_BAD);
		return;
	}
	if (spw_unlikely(next_header != SPW_PROTO_IPV4 && next_header != SPW_PROTO_IPV6)) {
		spw_drop(lane, burst, i,
			 next_header == SPW_PROTO_NONE ? SPW_DROP_DUMMY : SPW_DROP_NEXT_HEADER_BAD);
		return;
	}
	spw_count(&counters->rx_bytes, (uint32_t)bytes);
	burst->tenant[i] = burst->record_in[i]->tenant;
	burst->family[i] = next_header == SPW_PROTO_IPV4 ? 4 : 6;
	burst->head[i] = text;
	burst->bytes[i] = (uint16_t)bytes;
	burst->state[i] = SPW_AT_INNER;
}

/* Window, decryption, reserve, and what a session reports. */
static inline void open_packet(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			       struct spw_sa *sa)
{
	uint8_t *esp = burst->head[i];
	uint32_t text_bytes = burst->bytes[i] - SPW_ESP_BYTES - SPW_ICV_BYTES;
	uint64_t sequence = spw_get_be32(esp + 4);

	if (sa->flags & SPW_SA_F_ESN)
		sequence = spw_replay_extend(&sa->replay, (uint32_t)sequence);
	if (!check_window(lane, burst, i, sa, sequence))
		return;
	if (spw_unlikely(!decrypt(sa, esp, text_bytes, sequence))) {
		spw_count(&lane->counters[sa->tunnel].auth_failures, 1);
		spw_drop(lane, burst, i, SPW_DROP_AUTH_FAILED);
		return;
	}
	if (!check_limit(lane, burst, i, sa, sequence))
		return;
	bool highest = spw_replay_accept(&sa->replay, sequence);
	if (sa->flags & SPW_SA_F_SESSION)
		watch_peer(lane, burst, i, sa, highest);
	open_payload(lane, burst, i, esp + SPW_ESP_BYTES, text_bytes);
}

/* The published SA of an SPI's slot, which may yet be that of another SPI. NULL: none. */
static inline struct spw_sa *find_sa(const struct spw_lane *lane, uint32_t spi)
{
	return spw_sa_get(lane->sas->in, lane->sas->sas_max, SPW_SPI_SLOT(spi));
}

/* Whether the SA is that of the packet's SPI, and its tunnel's record is there. Control withdraws
 * an SPI from the table first, and gives its tunnel's id away long before the SA itself is gone: a
 * packet that still lies in a ring then must not find the id's next owner. */
static inline bool belongs(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, uint32_t spi,
			   const struct spw_sa *sa)
{
	uint32_t slot = SPW_SPI_SLOT(spi);

	if (spw_unlikely(!sa || sa->spi != spi || slot >= lane->tables.sas_max ||
			 __atomic_load_n(&lane->tables.spis[slot].spi, __ATOMIC_ACQUIRE) != spi))
		return false;
	const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, sa->tunnel);
	if (spw_unlikely(!record))
		return false;
	burst->tunnel_in[i] = sa->tunnel;
	burst->record_in[i] = record;
	return true;
}

static inline void esp_in_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	uint32_t bytes = burst->bytes[i];

	if (spw_unlikely(bytes < ESP_PACKET_BYTES_MIN || bytes % 4 != 0)) {
		spw_drop(lane, burst, i, SPW_DROP_ESP_TRUNCATED);
		return;
	}
	uint32_t spi = spw_get_be32(burst->head[i]);
	struct spw_sa *sa = find_sa(lane, spi);
	if (spw_unlikely(!belongs(lane, burst, i, spi, sa))) {
		spw_drop(lane, burst, i, SPW_DROP_SPI_UNKNOWN);
		return;
	}
	if (spw_unlikely(sa->worker != lane->worker)) {
		spw_hand_off(lane, burst, i, sa->worker, SPW_AT_CLASSIFY);
		return;
	}
	open_packet(lane, burst, i, sa);
}

/* Asks for what the packets of the burst need, but for the keys: first for the SAs, then for what
 * these point to. */
static __attribute__((noinline)) void prefetch_tunnels(const struct spw_lane *lane,
						       const struct spw_burst *burst)
{
	const struct spw_sa *sa[SPW_BURST_MAX];

	for (uint32_t i = 0; i < burst->cnt; i++) {
		sa[i] = NULL;
		if (burst->state[i] != SPW_AT_ESP_IN || burst->bytes[i] < ESP_PACKET_BYTES_MIN)
			continue;
		sa[i] = find_sa(lane, spw_get_be32(burst->head[i]));
		if (sa[i])
			spw_prefetch(sa[i]);
	}
	for (uint32_t i = 0; i < burst->cnt; i++) {
		uint32_t tunnel = sa[i] ? sa[i]->tunnel : 0;
		const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, tunnel);
		if (!record)
			continue;
		spw_prefetch(record);
		spw_prefetch(&lane->counters[tunnel]);
		spw_prefetch(&lane->tunnel_in_buckets[tunnel]);
		spw_prefetch(&lane->tables.rates[tunnel]);
	}
}

/* Asks for the SA of packet i with its key and window, if it is to be decrypted. */
static inline void prefetch_sa(const struct spw_lane *lane, const struct spw_burst *burst,
			       uint32_t i)
{
	if (i >= burst->cnt || burst->state[i] != SPW_AT_ESP_IN ||
	    burst->bytes[i] < ESP_PACKET_BYTES_MIN)
		return;
	const struct spw_sa *sa = find_sa(lane, spw_get_be32(burst->head[i]));
	if (sa)
		spw_sa_prefetch(sa, burst->bytes[i]);
}

void spw_stage_esp_in(struct spw_lane *lane, struct spw_burst *burst)
{
	bool far = spw_sas_far(lane->sas);

	if (!(burst->at & 1u << SPW_AT_ESP_IN))
		return;
	if (far)
		prefetch_tunnels(lane, burst);
	for (uint32_t i = 0, cnt = burst->cnt; i < cnt; i++) {
		if (far)
			prefetch_sa(lane, burst, i + SPW_SA_AHEAD);
		if (burst->state[i] == SPW_AT_ESP_IN)
			esp_in_one(lane, burst, i);
	}
}
