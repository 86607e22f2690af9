/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.h - the messages between control and the dataplane on their private socket.
 *
 * A SOCK_SEQPACKET unix socket, /run/spillway/<node>/dataplane.sock, mode 0600; control listens,
 * one dataplane connects. Each side checks the other's SO_PEERCRED (same uid or root). This is the
 * only way on which keys travel: they never stand in a map, a file of the dataplane or a log. Both
 * sides wipe a message buffer that held a key (OPENSSL_cleanse) before they reuse it.
 *
 * Conversation:
 *   dataplane: HELLO
 *   control:   SETUP + the map descriptors (SCM_RIGHTS, in the order of enum spw_map_id)
 *   dataplane: maps them, opens its ports, locks its key arena, drops its privileges, then READY
 *              (or FAILED and exits)
 *   control:   SA_ADD, SA_DEL, SA_LIMIT, SA_QUERY, DUMMY at any time, each answered by one ACK
 *   dataplane: GLEAN, HEARD, ROAMED, SA_LOW and SA_FINAL at any time
 * After control has died the dataplane goes on forwarding, reconnects every 100 ms and says HELLO
 * with the same instance; then control answers SETUP with the same tables_id, the dataplane closes
 * the descriptors unused and says READY. Another tables_id: it exits, its tables are gone.
 *
 * Every message starts with struct spw_msg; host byte order; one message to a packet.
 */
#ifndef SPW_HANDOVER_H
#define SPW_HANDOVER_H

#include <stdint.h>

#include "ebpf/tables.h"

/* In the node's run folder, beside the socket. A dataplane holds it by flock(2) from before it maps
 * the tables until its process ends, so that a starting control can tell whether a worker may still
 * read them. */
#define SPW_HANDOVER_LOCK "dataplane.lock"

#define SPW_HANDOVER_VERSION 3u
#define SPW_KEY_BYTES_MAX 32u
#define SPW_SALT_BYTES 4u

enum spw_msg_type {
	SPW_MSG_HELLO = 1,
	SPW_MSG_SETUP,
	SPW_MSG_READY,
	SPW_MSG_FAILED,
	SPW_MSG_SA_ADD,
	SPW_MSG_SA_DEL,
	SPW_MSG_SA_LIMIT,
	SPW_MSG_SA_QUERY,
	SPW_MSG_ACK,
	SPW_MSG_GLEAN,
	SPW_MSG_SA_FINAL,
	SPW_MSG_SA_LOW,
	SPW_MSG_HEARD,
	SPW_MSG_ROAMED,
	SPW_MSG_DUMMY,
};

struct spw_msg {
	uint32_t type;       /* enum spw_msg_type */
	uint32_t request_id; /* of a request, repeated in its ACK; else 0 */
};

struct spw_msg_hello {
	struct spw_msg head;
	uint32_t handover_version;
	uint32_t layout_version;
	uint64_t instance; /* random, one per dataplane process, never 0 */
	int32_t pid;
	uint32_t reserved;
};

struct spw_msg_port {
	char ifname[16];
	uint32_t port;      /* port id */
	uint32_t queues;    /* receive queues, one XSK and one vdev each; of a device: at most */
	uint32_t mtu_bytes; /* of the interface: longest layer-3 packet */
	uint32_t reserved;
	/* Empty: the kernel interface `ifname`, through AF_XDP. Else a DPDK device, a PCI address
	 * or (tests, benchmarks) a virtual device with its arguments; `ifname` is then the TAP that
	 * stands for it in the kernel, made by control. */
	char device[96];
};

struct spw_msg_setup {
	struct spw_msg head;
	uint64_t tables_id;
	char node[32];
	uint32_t workers;
	uint32_t ports_cnt;
	char aead[16]; /* the provider that config.yaml asks for: "auto" or a provider's name */
	struct spw_msg_port ports[SPW_PORTS_MAX];
};

struct spw_msg_ready {
	struct spw_msg head;
	uint64_t instance;
	uint32_t workers;
	int32_t cpus[SPW_WORKERS_MAX]; /* the core of each worker */
	char aead[16];                 /* name of the provider in use */
	/* Why it is that one: the measurement, or why the one asked for is not there. */
	char aead_why[160];
};

struct spw_msg_failed {
	struct spw_msg head;
	char text[496];
};

enum spw_sa_direction { SPW_SA_IN = 0, SPW_SA_OUT = 1 };

enum spw_sa_flag {
	SPW_SA_F_ESN = 1 << 0, /* RFC 4304 extended sequence numbers */
	/* in, else -EINVAL: HEARD at the first authentic packet, ROAMED when the peer's address
	 * changes. */
	SPW_SA_F_SESSION = 1 << 1,
};

struct spw_msg_sa_add {
	struct spw_msg head;
	uint32_t direction; /* enum spw_sa_direction */
	uint32_t slot;      /* in: SPW_SPI_SLOT(spi); out: an outbound slot, 1..sas_max-1 */
	uint32_t spi;
	uint32_t tunnel;         /* tunnel id */
	uint32_t worker;         /* the only worker that may use it */
	uint32_t flags;          /* enum spw_sa_flag */
	uint32_t key_bytes;      /* 16 or 32 */
	uint32_t window_packets; /* in: replay window, a power of two, 64..8192 */
	/* out: the first sequence number to send; in: packets below it are refused (0: none). */
	uint64_t sequence;
	/* The first sequence number that must not be used or accepted before an SA_LIMIT raises it;
	 * UINT64_MAX: no reserve (SAs between our own nodes). */
	uint64_t limit;
	uint64_t iv_mask; /* out: IV = 64-bit sequence XOR mask */
	uint8_t salt[SPW_SALT_BYTES];
	/* The dataplane itself removes the SA and wipes its key that long after it was added, also
	 * when control has died or hangs: the hard end of a key's age. An SA_DEL that comes later
	 * is answered -ENOENT. 0: it stays until SA_DEL. */
	uint32_t lifetime_ms;
	uint8_t key[SPW_KEY_BYTES_MAX];
};

struct spw_msg_sa_del { /* the key is wiped before the ACK */
	struct spw_msg head;
	uint32_t direction;
	uint32_t slot;
};

struct spw_msg_sa_limit {
	struct spw_msg head;
	uint32_t direction;
	uint32_t slot;
	uint64_t limit;
};

struct spw_msg_sa_query { /* ACK.value: out: next sequence to send; in: highest authentic one */
	struct spw_msg head;
	uint32_t direction;
	uint32_t slot;
};

/* The owner sends one packet without content (next header 59, RFC 4303 2.6) under the outbound SA,
 * at once and past all caps; it is not counted as sent to the tunnel. The ACK says that the owner
 * was told. -ENOENT: no such SA; -EBUSY: too many dummies wait, try again later. */
struct spw_msg_dummy {
	struct spw_msg head;
	uint32_t slot;
};

struct spw_msg_ack {
	struct spw_msg head;
	int32_t error; /* 0 or a negative errno */
	uint32_t reserved;
	uint64_t value;
};

struct spw_msg_glean { /* a packet waits for the MAC of a host on a lan */
	struct spw_msg head;
	uint32_t port;   /* port id */
	uint32_t family; /* 4 or 6 */
	uint8_t addr[16];
};

/* Of inbound SAs with SPW_SA_F_SESSION. Neither is repeated while control is away: it asks for a
 * new session then. SA_QUERY says as well whether an SA was heard. */
struct spw_msg_heard { /* once for each SA: its first authentic packet has come */
	struct spw_msg head;
	uint32_t slot;
	uint32_t spi;
};

/* An authentic packet that advanced the highest sequence came from elsewhere than where the
 * tunnel's record sends to. At most once in 10 ms and SA, until the record says the same. */
struct spw_msg_roamed {
	struct spw_msg head;
	uint32_t slot;
	uint32_t spi;
	uint32_t tunnel;  /* tunnel id */
	uint16_t family;  /* 4 or 6 */
	uint16_t port;    /* UDP port, host order; not 0 */
	uint8_t addr[16]; /* IPv4 in the first 4 bytes, the others 0 */
};

/* SA_LOW is a struct spw_msg alone: some inbound SA has come within so many numbers of its limit,
 * half of the least that control gives at a time. Control looks at them all now, not at its
 * leisure. */
#define SPW_SA_LOW_PACKETS 512u

struct spw_msg_sa_final { /* on a clean stop, one for each SA with a limit */
	struct spw_msg head;
	uint32_t direction;
	uint32_t slot;
	uint64_t sequence; /* as ACK.value of SA_QUERY */
};

#define SPW_MSG_BYTES_MAX 3072u
static_assert(sizeof(struct spw_msg_setup) <= SPW_MSG_BYTES_MAX, "raise SPW_MSG_BYTES_MAX");

#endif
