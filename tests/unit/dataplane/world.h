/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.h - a worker's whole surroundings in plain memory, for tests, the ESP tool and the fuzzer:
 * tables, SAs, mbufs, and a packet's way from received bytes to sent bytes.
 *
 * The tries are built by the world's own few lines, not by control's writer: the two are checked
 * against the same reader. Who owns the memory: the world. One thread.
 *
 * world_create makes empty tables. world_furnish puts in what most tests want:
 *
 *   port 0: wan          port 1: lan of tenant 1    port 2: lan of tenant 2   port 3: lan of
 *                                                                            tenant 1, VLAN 5
 *   tunnel  tenant  outer  key bits  ESN   inner net behind it
 *   1       1       IPv4   128       no    10.1.0.0/16  2001:db8:1::/48
 *   2       1       IPv4   256       yes   10.2.0.0/16  2001:db8:2::/48
 *   3       1       IPv6   256       yes   10.3.0.0/16  2001:db8:3::/48
 *   4       2       IPv4   128       yes   10.1.0.0/16  (the same as tunnel 1)
 *   tenant 1, lan port 1: 10.9.0.0/24 2001:db8:9::/64, hosts .5 and ::5 known (neighbor 5)
 *   tenant 1, lan port 3: 10.8.0.0/24, host .5 known (neighbor 6)
 *   tenant 2, lan port 2: 10.9.0.0/24, host .5 known (neighbor 7)
 */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include "control/daemon/tables/trie.h"
#include "dataplane/stages/sa.h"
#include "dataplane/stages/stage.h"
#include "dataplane/stages/wire.h"

#define WORLD_TUNNELS 8u
#define WORLD_TENANTS 4u
#define WORLD_NEIGHBORS 16u
#define WORLD_TRIE_UNITS (1u << 16)
#define WORLD_FRAME_MAX 4096u
#define WORLD_TUNNEL_PORT 4500u

/* What the table in front of this file calls the wan's next hop. */
#define WORLD_NEIGHBOR_WAN 1u

/* No two of them are one bit apart. */
#define WORLD_SPI_IN(tunnel) ((uint32_t)(tunnel) << SPW_SPI_GENERATION_BITS | (7u + 40u * (tunnel)))
#define WORLD_SPI_OUT(tunnel) (0x70000000u | (uint32_t)(tunnel))

/* How much a world has room for; ids and slots run from 0 to one less. */
struct world_size {
	uint32_t sas, tunnels, tenants, neighbors, trie_units;
};

struct world {
	struct world_size size;
	struct spw_lane lane;
	struct rte_mempool *pool;
	/* Received buffers end where the frame does, and with AddressSanitizer a byte read behind
	 * that is an error. Then there is no room for an ESP trailer that was not there before. */
	bool tight;
	struct spw_meta meta;
	struct spw_port ports[SPW_PORTS_MAX];
	struct spw_tenant *tenants;
	struct spw_spi *spis;
	struct spw_tunnel_root *tunnel_roots;
	struct spw_tunnel *tunnels; /* slot = id */
	struct spw_rate *rates;     /* tunnels, then tenants */
	union spw_neighbor *neighbors;
	struct spw_trie_unit *units;
	struct spw_trie_pool *tries; /* control's own writer, over `units` */
	struct spw_worker_row *workers;
	struct spw_grace *grace;
	struct spw_worker_row row;
	struct spw_tunnel_counters *counters;
};

/* Starts DPDK without hugepages, devices or files that stay. Returns 0 or -1. */
int world_eal_start(void);

/* Has all keys made by that AEAD provider, for workers 0 and 1. 0, or WORLD_SKIPPED, which tells
 * meson so when main returns it, where the provider is not there. */
#define WORLD_SKIPPED 77
int world_provider(const char *name);

struct world *world_create(uint32_t sas_max); /* of the size that the tests use */
struct world *world_create_sized(const struct world_size *size);
void world_destroy(struct world *world);
void world_furnish(struct world *world);

/* A test's setup and teardown (cmocka): a furnished world, and that nothing of it is left over. */
int world_setup(void **state);
int world_teardown(void **state);

/* ---- tables ------------------------------------------------------------------------------- */

struct world_prefix {
	const char *text; /* "10.0.0.0/8" or "2001:db8::/32", all of one family */
	uint32_t leaf;
};
uint32_t world_trie(struct world *world, const struct world_prefix *prefixes, size_t cnt);

/* The record and root of a tunnel, with an outer template from .1 to .2 of a documentation net. */
struct spw_tunnel *world_tunnel(struct world *world, uint32_t id, uint32_t tenant, int family);

/* A message that adds an SA as tunnels 1 to 4 have it; tests change fields before they use it. */
struct spw_msg_sa_add world_sa(uint32_t direction, uint32_t tunnel);

/* Adds an SA as the main thread does, and publishes the SPI of an inbound one as control does. */
int world_sa_add(struct world *world, const struct spw_msg_sa_add *sa);

/* ---- packets ------------------------------------------------------------------------------ */

/* An inner packet of `bytes` in all, its payload a pattern. Returns `bytes`. */
uint32_t world_inner4(uint8_t *at, const char *source, const char *destination, uint8_t ttl,
		      uint32_t bytes);
uint32_t world_inner6(uint8_t *at, const char *source, const char *destination, uint8_t ttl,
		      uint32_t bytes);

/* A plain frame for a lan port, tagged where vlan is not 0. Returns its length. */
uint32_t world_plain(uint8_t *frame, uint16_t vlan, const uint8_t *inner, uint32_t bytes);

struct world_esp { /* how the peer of a tunnel seals a packet; world_esp says the usual way */
	struct spw_msg_sa_add sa; /* key, salt, flags, SPI: as the receiver's */
	uint64_t sequence;
	uint64_t iv;
	uint8_t next_header;
	int outer;     /* 4 or 6 */
	bool raw_text; /* the text is sealed as it is: the caller brings the trailer */
};
struct world_esp world_esp(uint32_t tunnel, uint64_t sequence, uint8_t next_header);
/* The frame in which `esp` carries `text`. Returns its length. */
uint32_t world_seal(uint8_t *frame, const struct world_esp *esp, const uint8_t *text,
		    uint32_t bytes);
/* Opens a frame that the world sent into a tunnel, every header checked. `text` gets the payload
 * with its trailer. Returns its length, 0: something is wrong, said on stderr. */
uint32_t world_open(const struct world *world, uint32_t tunnel, const uint8_t *frame,
		    uint32_t bytes, uint64_t sequence, uint8_t *text);

/* ---- running ------------------------------------------------------------------------------ */

struct outcome {
	bool transmitted;
	bool handed_off;
	int reason;    /* enum spw_drop, -1: not dropped */
	uint32_t port; /* it was transmitted on */
	uint32_t bytes;
	uint8_t data[WORLD_FRAME_MAX];
};

/* All stages, in the order of the worker's loop. */
void world_stages(struct spw_lane *lane);
/* Has the world receive one frame. Ends the process where the packet is not accounted for exactly
 * once. */
struct outcome world_receive(struct world *world, uint32_t port, const uint8_t *frame,
			     uint32_t bytes);
/* mbufs that are out: not in the pool. */
uint32_t world_mbufs_out(const struct world *world);

const char *world_drop_name(int reason);

#endif
