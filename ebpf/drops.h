/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * drops.h - every reason for which a packet is dropped, once.
 *
 * From this list come the enum, the counters' order in the shared tables, the names that the CLI
 * prints and the table in docs/drops.md. Append at the end: the numbers are part of the layout.
 * `classifier` is the XDP program, and a worker's filter stage on ports that XDP does not see.
 */
#ifndef SPW_DROPS_H
#define SPW_DROPS_H

#include "tables.h"

/* X(enum suffix, name, where, text) */
#define SPW_DROP_LIST(X)                                                                           \
	X(OUTER_TRUNCATED, "outer_truncated", "classifier", "for our tunnel port or a relay's, but shorter than its headers say") \
	X(OUTER_FRAGMENT, "outer_fragment", "classifier", "first fragment of a datagram for our tunnel port or a relay's; tunnels never fragment") \
	X(SOURCE_DENIED, "source_denied", "classifier", "for our tunnel port or a relay's, from a denied source prefix") \
	X(CONTROL_LIMITED, "control_limited", "classifier", "control message above the limit per source or in all") \
	X(SPI_UNKNOWN, "spi_unknown", "classifier, esp_in", "no SA has this SPI") \
	X(SPI_LIMITED, "spi_limited", "classifier", "unknown SPI from a source that is above the limit") \
	X(WORKER_ABSENT, "worker_absent", "classifier", "ours, but no worker listens on this queue") \
	X(OUTER_BAD, "outer_bad", "classifier, classify", "for a relay, with IP options or extension headers; or steered to a worker, but not a packet of ours") \
	X(ESP_TRUNCATED, "esp_truncated", "esp_in", "too short or misaligned for ESP with AES-GCM (RFC 4303 2, RFC 4106 3)") \
	X(REPLAYED, "replayed", "esp_in", "sequence number seen before") \
	X(REPLAY_OLD, "replay_old", "esp_in", "sequence number below the replay window") \
	X(AUTH_FAILED, "auth_failed", "esp_in", "the ICV is wrong") \
	X(PADDING_BAD, "padding_bad", "esp_in", "padding is not 1, 2, 3, ... or longer than the packet (RFC 4303 2.4)") \
	X(NEXT_HEADER_BAD, "next_header_bad", "esp_in", "the payload is neither IPv4 nor IPv6") \
	X(INNER_BAD, "inner_bad", "inner", "the inner packet is not valid IPv4 or IPv6") \
	X(INNER_SOURCE_DENIED, "inner_source_denied", "inner", "the inner source may not come in by this tunnel or port") \
	X(TTL_EXPIRED, "ttl_expired", "inner", "the inner TTL or hop limit is used up") \
	X(RATE_TUNNEL_IN, "rate_tunnel_in", "police", "above the tunnel's cap from the peer") \
	X(RATE_TENANT, "rate_tenant", "police", "above the tenant's cap") \
	X(ROUTE_MISSING, "route_missing", "route", "the tenant has no route to the inner destination") \
	X(RATE_TUNNEL_OUT, "rate_tunnel_out", "route", "above the tunnel's cap to the peer") \
	X(INNER_TOO_BIG, "inner_too_big", "route", "longer than the MTU of the way out") \
	X(NEIGHBOR_UNRESOLVED, "neighbor_unresolved", "classifier, route", "the next hop's MAC is not known") \
	X(SA_ABSENT, "sa_absent", "esp_out", "the tunnel has no outbound SA yet") \
	X(SEQUENCE_EXHAUSTED, "sequence_exhausted", "esp_out", "the SA's sequence numbers are used up") \
	X(RESERVE_EXHAUSTED, "reserve_exhausted", "esp_in, esp_out", "beyond the persisted reserve of a foreign peer's SA; control must renew it") \
	X(TX_FULL, "tx_full", "transmit", "the port's transmit ring is full") \
	X(HANDOFF_FULL, "handoff_full", "spread, esp_in, route, transmit", "the ring to the worker that must go on with the packet is full") \
	X(PACKET_TOO_LONG, "packet_too_long", "classifier, classify, route, esp_out", "does not fit into one buffer with its headers: jumbo frames are not supported") \
	X(DUMMY, "dummy", "esp_in", "an authentic dummy packet (RFC 4303 2.6), consumed") \
	X(PORT_ABSENT, "port_absent", "classifier, transmit", "the way out is a port that this node does not have") \
	X(RING_FULL, "ring_full", "receive", "steered to a worker that was too slow, or longer than a buffer: the kernel could not hand it over") \
	X(RELAY_SOURCE_FOREIGN, "relay_source_foreign", "classifier", "for a relay's port, but from neither of its two endpoints") \
	X(RELAY_ENDPOINT_UNKNOWN, "relay_endpoint_unknown", "classifier", "the relay's other endpoint is not known yet") \
	X(RELAY_RATE, "relay_rate", "classifier", "above the relay's packet or byte rate") \
	X(RELAY_TTL_EXPIRED, "relay_ttl_expired", "classifier", "the TTL or hop limit of a relayed packet is used up") \
	X(TAP_FULL, "tap_full", "transmit", "for the kernel, but the port's TAP took no more") \
	X(RELAY_TOO_BIG, "relay_too_big", "classifier", "longer than the MTU of the port that the relayed packet leaves by")

enum spw_drop {
#define SPW_DROP_ENUM(id, name, where, text) SPW_DROP_##id,
	SPW_DROP_LIST(SPW_DROP_ENUM)
#undef SPW_DROP_ENUM
	SPW_DROP_CNT
};
SPW_STATIC_ASSERT(SPW_DROP_CNT <= SPW_DROPS_MAX, "no room for another drop reason");

#endif
