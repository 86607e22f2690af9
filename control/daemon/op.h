/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * op.h - one change to the running state, as config.yaml and the command line both express it.
 *
 * A transaction is an array of ops (txn.h): all of them take effect, or none. The strings belong to
 * whoever built the op and must live until the transaction has been applied.
 */
#ifndef SPW_OP_H
#define SPW_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/error.h"
#include "control/text.h"

#define SPW_PUBLIC_KEY_BYTES 32 /* X25519 (RFC 7748) */
#define SPW_NAME_BYTES 32       /* names: 1..31 of [a-z0-9_-], starting with a letter or digit */

enum spw_op_kind {
	SPW_OP_TENANT_ADD,
	SPW_OP_TUNNEL_ADD,
	SPW_OP_TUNNEL_DEL, /* refused while routes lead into the tunnel */
	SPW_OP_ROUTE_ADD,
	SPW_OP_ROUTE_DEL,
	SPW_OP_RATE_SET,
	SPW_OP_DENY_ADD,
	SPW_OP_LAN_ADD, /* a lan interface's prefixes into its tenant: configuration only */
	SPW_OP_RELAY_ADD,
	SPW_OP_RELAY_DEL,
};

/* Key material of a tunnel: files are named here, their contents are read by the SA manager. */
enum spw_keying { SPW_KEYING_STATIC, SPW_KEYING_FOREIGN, SPW_KEYING_SESSION };

struct spw_foreign_spec {     /* one direction of a foreign peer's SA */
	uint32_t spi;         /* in: chosen by us, slot form of tables.h; out: the peer's */
	const char *key_file; /* hex, (16 or 32) + 4 bytes: key, then salt */
};

struct spw_tunnel_spec {
	const char *name;
	const char *tenant;
	struct spw_endpoint remote; /* port 0: the node's own tunnel port; family 0, session
				     * alone: the peer's endpoint is learned when it speaks */
	struct spw_endpoint local;  /* family 0: what the kernel's route to `remote` prefers */
	const struct spw_prefix *allow;
	const struct spw_place *allow_places; /* one per prefix, or NULL */
	uint32_t allow_cnt;
	uint16_t mtu_bytes; /* inner; 0: from the outer interface */
	uint8_t key_bits;   /* static, session: 128 or 256, stored / 8: 16 or 32 */
	enum spw_keying keying;
	const char *secret_file;         /* static: hex, 32 bytes */
	struct spw_foreign_spec in, out; /* foreign */
	bool esn;                        /* foreign */
	bool first_use; /* foreign: these keys were never used here, start their reserve at 1 */
	uint8_t peer_key[SPW_PUBLIC_KEY_BYTES]; /* session: the peer's public key, never zero */
	const char *psk_file;                   /* session: base64 or hex, 32 bytes; NULL: none */
};

/* What a blind relay lets through in each direction; it always has both limits. A tenth of what one
 * core relays, so that a relay that nobody thought about cannot take the whole link. */
#define SPW_RELAY_PPS_MAX 100000000u
#define SPW_RELAY_PPS_DEFAULT 100000u
#define SPW_RELAY_KBIT_MAX                                                                         \
	100000000u /* 100 Gbit/s: a byte costs 82 ticks (SPW_RELAY_TICKS_PER_NS) */
#define SPW_RELAY_KBIT_DEFAULT 1000000u

struct spw_relay_limits {
	uint32_t pps;       /* packets per second, 1..SPW_RELAY_PPS_MAX */
	uint32_t rate_kbit; /* of IP packets, 1..SPW_RELAY_KBIT_MAX */
};

struct spw_relay_spec {
	const char *name;
	uint16_t port; /* UDP port of the node, towards both endpoints */
	struct spw_endpoint
		between[2]; /* with their ports; family 0: any, of one of them at most */
	struct spw_relay_limits limits; /* 0: the default */
};

struct spw_op {
	enum spw_op_kind kind;
	struct spw_place place;
	union {
		struct {
			const char *name;
		} tenant;
		struct spw_tunnel_spec tunnel; /* TUNNEL_DEL reads the name alone */
		struct {
			const char *tenant;
			struct spw_prefix prefix;
			const char *tunnel; /* ROUTE_ADD */
		} route;
		struct {
			const char *tenant; /* two of the three are NULL */
			const char *tunnel;
			const char *relay;
			bool in, out;         /* tunnel: which directions; tenant: `in` */
			uint32_t rate_kbit;   /* 0: no cap; relay: as it was */
			uint32_t burst_bytes; /* 0: the default for the rate; relay: 0 */
			uint32_t pps;         /* relay alone; 0: as it was */
		} rate;
		struct {
			struct spw_prefix prefix;
		} deny;
		struct {
			uint32_t port; /* port id */
			struct spw_prefix prefix;
		} lan;
		struct spw_relay_spec relay; /* RELAY_DEL reads the name alone */
	};
};

#endif
