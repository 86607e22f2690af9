/* SPDX-License-Identifier: BSD-2-Clause */
/* generate.c - the sender's inner loop; see generate.h. Flows are made in flows.c. */
#include "perf/pktgen/generate.h"

#include "perf/pktgen/tag.h"

/* IP, UDP, tag and pattern at `ip`, `bytes` in all. */
static void write_packet(const struct spw_generator *generator, const struct spw_flow *flow,
			 uint8_t *ip, uint32_t size, const struct spw_tag *tag)
{
	uint32_t bytes = generator->mix->bytes[size];
	uint8_t *udp = ip + flow->header_bytes - SPW_UDP_BYTES, *payload = udp + SPW_UDP_BYTES;
	uint32_t udp_bytes = bytes - flow->header_bytes + SPW_UDP_BYTES;

	memcpy(ip, flow->header, sizeof(flow->header)); /* a fixed size; the rest is overwritten */
	if (flow->ether_type == SPW_ETHERTYPE_IPV4) {
		spw_put_be16(ip + 2, (uint16_t)bytes);
		spw_put_be16(ip + 10, (uint16_t)~spw_sum_fold((uint64_t)flow->ip_sum + bytes));
	} else {
		spw_put_be16(ip + 4, (uint16_t)udp_bytes);
	}
	spw_put_be16(udp + 4, (uint16_t)udp_bytes);
	spw_put_be16(udp + 6, 0);
	spw_tag_write(payload, tag);
	memcpy(payload + SPW_TAG_BYTES, generator->pattern,
	       bytes - flow->header_bytes - SPW_TAG_BYTES);
	/* The length counts twice: in the pseudo header and in the header. */
	uint64_t sum = (uint64_t)flow->udp_sum + 2 * udp_bytes + generator->pattern_sum[size];
	uint16_t checksum = (uint16_t)~spw_sum_fold(spw_sum(payload, SPW_TAG_BYTES, sum));
	spw_put_be16(udp + 6, checksum ? checksum : 0xffff);
}

/* Lengths and sums of the outer header. udp_bytes: from the UDP header to the ICV. */
static void finish_outer(uint8_t *ip, uint32_t outer_bytes, uint32_t udp_bytes)
{
	uint8_t *udp = ip + outer_bytes - SPW_UDP_BYTES;

	spw_put_be16(udp + 4, (uint16_t)udp_bytes);
	if (outer_bytes != SPW_OUTER_HEADER_BYTES) { /* IPv4: UDP without a sum, RFC 3948 2.1 */
		spw_put_be16(ip + 2, (uint16_t)(SPW_IPV4_BYTES + udp_bytes));
		spw_put_be16(ip + 10, (uint16_t)~spw_sum_fold(spw_sum(ip, SPW_IPV4_BYTES, 0)));
		return;
	}
	spw_put_be16(ip + 4, (uint16_t)udp_bytes);
	uint64_t sum = spw_sum(ip + 8, 32, udp_bytes + SPW_PROTO_UDP);
	uint16_t checksum = (uint16_t)~spw_sum_fold(spw_sum(udp, udp_bytes, sum));
	spw_put_be16(udp + 6, checksum ? checksum : 0xffff);
}

/* The packet at `inner`, `bytes` long, becomes ESP text, and gets its headers in front. */
static void wrap(struct spw_peer_sa *sa, uint8_t *outer, uint32_t bytes, uint16_t ether_type)
{
	uint8_t *esp = outer + sa->outer_bytes, *trailer = esp + SPW_ESP_BYTES + bytes;
	uint32_t pad_bytes = -(bytes + SPW_ESP_TRAILER_BYTES) % 4;

	for (uint32_t k = 0; k < pad_bytes; k++)
		trailer[k] = (uint8_t)(k + 1);
	trailer[pad_bytes] = (uint8_t)pad_bytes;
	trailer[pad_bytes + 1] = ether_type == SPW_ETHERTYPE_IPV4 ? SPW_PROTO_IPV4 : SPW_PROTO_IPV6;
	uint32_t text_bytes = bytes + pad_bytes + SPW_ESP_TRAILER_BYTES;
	/* Fails only when the cipher's context is broken; then the tested refuses the packet. */
	spw_peer_sa_seal(sa, esp, text_bytes);
	memcpy(outer, sa->outer, sa->outer_bytes);
	finish_outer(outer, sa->outer_bytes,
		     SPW_UDP_BYTES + SPW_ESP_BYTES + text_bytes + SPW_ICV_BYTES);
}

static void write_frame(struct spw_generator *generator, struct spw_flow *flow,
			struct rte_mbuf *mbuf, uint64_t now_ticks)
{
	uint32_t size = generator->mix->order[generator->next_size];
	uint32_t bytes = generator->mix->bytes[size];
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *), *ip = frame + SPW_ETHER_BYTES;
	struct spw_tag tag = {.trial = generator->trial,
			      .flow = (uint32_t)(flow - generator->flow),
			      .sequence = flow->sequence++,
			      .ticks = now_ticks};
	uint16_t ether_type = flow->ether_type;
	uint32_t frame_bytes = SPW_ETHER_BYTES + bytes;

	if (flow->sa) {
		uint32_t head_bytes = flow->sa->outer_bytes + SPW_ESP_BYTES;
		uint32_t text_bytes = bytes + SPW_ESP_TRAILER_BYTES;
		write_packet(generator, flow, ip + head_bytes, size, &tag);
		wrap(flow->sa, ip, bytes, ether_type);
		frame_bytes +=
			head_bytes + ((SPW_ESP_TRAILER_BYTES + -text_bytes % 4) + SPW_ICV_BYTES);
		ether_type =
			flow->sa->outer_src.family == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6;
	} else {
		write_packet(generator, flow, ip, size, &tag);
	}
	memcpy(frame, generator->macs, sizeof(generator->macs));
	spw_put_be16(frame + 12, ether_type);
	mbuf->data_len = (uint16_t)frame_bytes;
	mbuf->pkt_len = frame_bytes;
	mbuf->hash.usr = bytes;
	if (++generator->next_size == generator->mix->order_cnt)
		generator->next_size = 0;
}

uint32_t spw_generate(struct spw_generator *generator, struct rte_mbuf **mbufs, uint32_t cnt,
		      uint64_t now_ticks)
{
	uint64_t limit =
		generator->sas ? __atomic_load_n(&generator->sas->limit, __ATOMIC_RELAXED) : 0;

	for (uint32_t i = 0; i < cnt; i++) {
		struct spw_flow *flow = &generator->flow[generator->next_flow];
		if (flow->sa && flow->sa->sequence >= limit)
			return i;
		write_frame(generator, flow, mbufs[i], now_ticks);
		if (++generator->next_flow == generator->flows_cnt)
			generator->next_flow = 0;
	}
	return cnt;
}
