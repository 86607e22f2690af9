/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * esp_in.c - from an ESP packet to the inner packet: SA, replay window, decryption, padding
 * (RFC 4303 3.4, RFC 4106).
 *
 * Until the ICV is found right, nothing but a counter changes.
 */
#include "dataplane/stages/sa.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

/* The shortest payload: no data, no padding but to 4 bytes, and the two trailer bytes. */
#define ESP_PACKET_BYTES_MIN (SPW_ESP_BYTES + 4u + SPW_ICV_BYTES)

/* The SA of a packet, with tunnel_in and record_in set; NULL: it has none. Control withdraws an SPI
 * from the table first, and gives its tunnel's id away long before the SA itself is gone: a packet
 * that still lies in a ring then must not find the id's next owner. */
static struct spw_sa *find_sa(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			      uint32_t spi)
{
	uint32_t slot = SPW_SPI_SLOT(spi);
	struct spw_sa *sa = spw_sa_get(lane->sas->in, lane->sas->sas_max, slot);
	if (!sa || sa->spi != spi || slot >= lane->tables.sas_max ||
	    __atomic_load_n(&lane->tables.spis[slot].spi, __ATOMIC_ACQUIRE) != spi)
		return NULL;
	const struct spw_tunnel *record = spw_tunnel_record(&lane->tables, sa->tunnel);
	if (!record)
		return NULL;
	burst->tunnel_in[i] = sa->tunnel;
	burst->record_in[i] = record;
	burst->tenant[i] = record->tenant;
	return sa;
}

static void hand_off(struct spw_lane *lane, struct spw_burst *burst, uint32_t i, uint32_t worker)
{
	struct rte_ring *ring = worker < SPW_WORKERS_MAX ? lane->handoff[worker] : NULL;

	burst->mbuf[i]->port = burst->port_in[i];
	if (!ring || rte_ring_enqueue(ring, burst->mbuf[i]) != 0) {
		spw_drop(lane, burst, i, SPW_DROP_HANDOFF_FULL);
		return;
	}
	burst->state[i] = SPW_DONE;
	lane->handoff_wanted |= 1u << worker;
	spw_count(&lane->row->handoffs, 1);
}

/* Sequence number against the window. False: the packet was dropped. */
static bool check_window(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			 const struct spw_sa *sa, uint64_t sequence)
{
	enum spw_replay_verdict verdict = spw_replay_check(&sa->replay, sequence);

	if (verdict == SPW_REPLAY_OK)
		return true;
	spw_count(&lane->counters[sa->tunnel].replays, 1);
	spw_drop(lane, burst, i,
		 verdict == SPW_REPLAY_OLD ? SPW_DROP_REPLAY_OLD : SPW_DROP_REPLAYED);
	return false;
}

/* An authentic packet's number against the reserve. Beyond it the number is noted for control,
 * which raises the limit to where the peer is. False: the packet was dropped. */
static bool check_limit(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			struct spw_sa *sa, uint64_t sequence)
{
	/* Raised by the main thread; a stale value costs a packet near the end of the reserve. */
	uint64_t limit = __atomic_load_n(&sa->limit, __ATOMIC_RELAXED);
	if (limit == UINT64_MAX)
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
static bool decrypt(const struct spw_sa *sa, uint8_t *esp, uint32_t text_bytes, uint64_t sequence)
{
	uint8_t nonce[SPW_NONCE_BYTES], aad[12];
	size_t aad_bytes = spw_sa_aead_input(sa, esp, sequence, nonce, aad);
	uint8_t *text = esp + SPW_ESP_BYTES;
	return spw_aead_open(sa->aead, nonce, aad, aad_bytes, text, text_bytes, text + text_bytes);
}

/* The bytes of the payload without padding and trailer; negative: the padding is wrong. */
static int32_t payload_bytes(const uint8_t *text, uint32_t text_bytes)
{
	uint32_t pad_bytes = text[text_bytes - 2];

	if (pad_bytes + SPW_ESP_TRAILER_BYTES > text_bytes)
		return -1;
	uint32_t bytes = text_bytes - SPW_ESP_TRAILER_BYTES - pad_bytes;
	for (uint32_t k = 0; k < pad_bytes; k++) {
		if (text[bytes + k] != k + 1)
			return -1;
	}
	return (int32_t)bytes;
}

/* Takes the decrypted packet apart and moves it on. */
static void open_payload(struct spw_lane *lane, struct spw_burst *burst, uint32_t i,
			 const uint8_t *text, uint32_t text_bytes)
{
	struct rte_mbuf *mbuf = burst->mbuf[i];
	struct spw_tunnel_counters *counters = &lane->counters[burst->tunnel_in[i]];
	uint8_t next_header = text[text_bytes - 1];
	int32_t bytes = payload_bytes(text, text_bytes);

	spw_count(&counters->rx_packets, 1);
	__atomic_store_n(&counters->rx_last_ns, lane->now_ns, __ATOMIC_RELAXED);
	if (bytes < 0) {
		spw_drop(lane, burst, i, SPW_DROP_PADDING_BAD);
		return;
	}
	if (next_header == SPW_PROTO_NONE) {
		spw_drop(lane, burst, i, SPW_DROP_DUMMY);
		return;
	}
	if (next_header != SPW_PROTO_IPV4 && next_header != SPW_PROTO_IPV6) {
		spw_drop(lane, burst, i, SPW_DROP_NEXT_HEADER_BAD);
		return;
	}
	spw_count(&counters->rx_bytes, (uint32_t)bytes);
	burst->family[i] = next_header == SPW_PROTO_IPV4 ? 4 : 6;
	burst->offset[i] += SPW_ESP_BYTES;
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - burst->offset[i] - (uint32_t)bytes));
	burst->state[i] = SPW_AT_INNER;
}

static void esp_in_one(struct spw_lane *lane, struct spw_burst *burst, uint32_t i)
{
	uint8_t *esp = rte_pktmbuf_mtod_offset(burst->mbuf[i], uint8_t *, burst->offset[i]);
	uint32_t bytes = burst->mbuf[i]->data_len - burst->offset[i];

	if (bytes < ESP_PACKET_BYTES_MIN || bytes % 4 != 0) {
		spw_drop(lane, burst, i, SPW_DROP_ESP_TRUNCATED);
		return;
	}
	struct spw_sa *sa = find_sa(lane, burst, i, spw_get_be32(esp));
	if (!sa) {
		spw_drop(lane, burst, i, SPW_DROP_SPI_UNKNOWN);
		return;
	}
	if (sa->worker != lane->worker) {
		hand_off(lane, burst, i, sa->worker);
		return;
	}

	uint64_t sequence = spw_get_be32(esp + 4);
	if (sa->flags & SPW_SA_F_ESN)
		sequence = spw_replay_extend(&sa->replay, (uint32_t)sequence);
	if (!check_window(lane, burst, i, sa, sequence))
		return;
	uint32_t text_bytes = bytes - SPW_ESP_BYTES - SPW_ICV_BYTES;
	if (!decrypt(sa, esp, text_bytes, sequence)) {
		spw_count(&lane->counters[sa->tunnel].auth_failures, 1);
		spw_drop(lane, burst, i, SPW_DROP_AUTH_FAILED);
		return;
	}
	if (!check_limit(lane, burst, i, sa, sequence))
		return;
	spw_replay_accept(&sa->replay, sequence);
	open_payload(lane, burst, i, esp + SPW_ESP_BYTES, text_bytes);
}

void spw_stage_esp_in(struct spw_lane *lane, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		if (burst->state[i] == SPW_AT_ESP_IN)
			esp_in_one(lane, burst, i);
	}
}
