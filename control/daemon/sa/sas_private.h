/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sas_private.h - the SA manager's inside, shared by sas.c (glue), retire.c (SAs on their way out),
 * statics.c (static tunnels), peers.c (sessions) and foreigns.c (foreign peers). Nobody else
 * includes it.
 *
 * Who owns the memory: struct spw_sas belongs to the node, struct spw_tunnel_sas to its tunnel
 * until spw_sas_stop; then it lives on, without a tunnel, until the dataplane's last answer.
 * Control's thread only.
 */
#ifndef SPW_SAS_PRIVATE_H
#define SPW_SAS_PRIVATE_H

#include "control/daemon/node.h"
#include "control/daemon/sa/agree.h"
#include "control/daemon/sa/epochs.h"
#include "control/daemon/sa/keys.h"
#include "control/daemon/sa/link.h"
#include "control/daemon/sa/messages_io.h"
#include "control/daemon/sa/reserve.h"
#include "control/daemon/sa/sas.h"

#define SPW_SA_WINDOW_LOG2 11u
#define SPW_SA_WINDOW_PACKETS (1u << SPW_SA_WINDOW_LOG2)
/* Live, next, two on their way out; and what an earlier control left (16 SAs to a set). */
#define SPW_SETS_MAX 6u

/* The SAs of one agreement (agree.h) or session, or those that were found at a restart (serial 0).
 */
struct spw_sa_set {
	enum { SPW_SET_FREE, SPW_SET_USED, SPW_SET_LEAVING } state;
	uint32_t serial;
	uint32_t in_slot[SPW_WORKERS_MAX], out_slot[SPW_WORKERS_MAX]; /* 0: none */
	uint32_t spi_in[SPW_WORKERS_MAX], spi_out[SPW_WORKERS_MAX];
	uint32_t pending; /* answers of the dataplane that are due */
	int error;
};

struct spw_sa_sets {
	struct spw_sa_set set[SPW_SETS_MAX];
	/* All that a set asked of the dataplane is answered: its SAs stand, or its error is set. */
	void (*answered)(struct spw_tunnel_sas *entry, struct spw_sa_set *set);
	bool unpublished; /* the record still names outbound SAs of leaving sets */
};

struct spw_static {
	struct spw_static_keys *keys; /* a cell */
	struct spw_agree agree;
	struct event *timer; /* the agreement's deadline */
	struct event *late;  /* time for late packets after an agreement has settled */
	uint32_t settled;    /* serial of that agreement */
	struct spw_tunnel_sas *bucket_next;
};

struct spw_foreign_key { /* in a cell */
	uint8_t key[SPW_KEY_BYTES_MAX];
	uint8_t salt[SPW_SALT_BYTES];
	uint32_t key_bytes;
};

#define SPW_RX_HISTORY 8u /* polls that cover two seconds */

struct spw_foreign {
	struct spw_foreign_key *in, *out; /* cells */
	uint32_t spi_in, spi_out;
	uint32_t in_slot, out_slot; /* kept as long as the tunnel */
	bool esn;
	bool made_file; /* first_use made the reserve file in prepare */
	enum {
		SPW_FOREIGN_DOWN,
		SPW_FOREIGN_STARTING,
		SPW_FOREIGN_UP,
	} state;
	uint32_t pending; /* answers that are due while starting */
	int error;
	struct spw_reserve reserve; /* as it is on disk */
	struct spw_reserve from;    /* where the SAs start, while `opened` */
	bool opened; /* the reserve is taken for SAs that were never published: take it once */
	bool limit_tx_due, limit_rx_due; /* the dataplane does not know the new limit yet */
	bool rx_moved;                   /* a packet has come since the SA was made */
	uint64_t tx_next, rx_top;        /* as the dataplane said last */
	uint64_t rx_history[SPW_RX_HISTORY];
	uint32_t rx_history_at;
	bool query_tx, query_rx; /* an answer is due */
	char trouble[512];       /* why it is down; empty: nothing is wrong */
};

struct spw_tunnel_sas {
	struct spw_sas *sas;
	struct spw_tunnel_obj *tunnel;     /* NULL: stopped */
	struct spw_tunnel_sas *next, **at; /* in sas->all */
	uint32_t refs;                     /* requests whose answers point here */
	bool started;
	bool adopted; /* SAs of it stand that an earlier control made */
	uint32_t prints_cnt;
	uint8_t prints[2][SPW_FINGERPRINT_BYTES];
	struct spw_sa_sets sets;    /* not of a foreign peer */
	struct spw_static *statics; /* one of these */
	struct spw_peer *peer;      /* peers.h */
	struct spw_foreign *foreign;
};

#define SPW_KEY_ID_BUCKETS 1024u

struct spw_sas {
	struct spw_node *node;
	struct spw_keys *keys;
	struct spw_messages_io *io;
	struct spw_peers *peers; /* peers.h; NULL: the node has no key of its own */
	struct spw_epoch epoch;
	bool gone; /* no dataplane process can have SAs */
	uint32_t foreign_cnt;
	struct event *poll;  /* reserves of foreign SAs, while there are any */
	struct event *retry; /* for what a full limbo or queue has put off */
	struct spw_retiring *retiring;
	struct spw_tunnel_sas *all;
	struct spw_tunnel_sas *by_key_id[SPW_KEY_ID_BUCKETS];
	/* SPIs that stood in the tables at the start, by tunnel: heads by tunnel id, links by slot.
	 */
	uint32_t *found_first, *found_next;
	uint16_t *generations; /* last one used, by SPI slot, plus 1; 0: none */
};

/* sas.c: a new SPI for a slot: its generation follows the clock, so that a slot's SPI comes back
 * after 1024 seconds at the earliest, restarts included. */
uint32_t spw_spi_new(struct spw_sas *sas, uint32_t slot);
void spw_spi_store(struct spw_node *node, uint32_t slot, uint32_t spi, uint32_t tunnel);
/* sas.c: after an answer: frees a tunnel's SAs that were stopped. True: it is gone. */
bool spw_tunnel_sas_unref(struct spw_tunnel_sas *entry);
void spw_sas_retry_soon(struct spw_sas *sas);

/* retire.c: withdraws an inbound SA's SPI; then, after a grace period, has the SA removed and gives
 * its slot back. An outbound SA must stand in no published record any more. */
void spw_retire(struct spw_sas *sas, uint32_t direction, uint32_t slot);
void spw_retire_go_on(struct spw_sas *sas); /* the dataplane's state has changed, or time passed */
void spw_retire_forget(struct spw_sas *sas);

/* statics.c */
int spw_static_prepare(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
		       struct spw_place place, struct spw_error *error);
void spw_static_free(struct spw_tunnel_sas *entry);
void spw_static_ready(struct spw_tunnel_sas *entry); /* the dataplane takes SAs */
void spw_static_lost(struct spw_tunnel_sas *entry);  /* not now; those that stand, stand */
void spw_static_reset(struct spw_tunnel_sas *entry); /* no SA stands any more */
void spw_static_stop(struct spw_tunnel_sas *entry);
void spw_static_receive(struct spw_sas *sas, const void *data, size_t bytes);
void spw_static_describe(const struct spw_tunnel_sas *entry, json_t *out);

/* peers.c: the same for a peer with which keys are agreed on in sessions. */
int spw_peers_open(struct spw_sas *sas, struct spw_error *error);
void spw_peers_close(struct spw_sas *sas); /* without peers any more */
int spw_peer_prepare(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
		     struct spw_place place, struct spw_error *error);
void spw_peer_free(struct spw_tunnel_sas *entry);
void spw_peer_ready(struct spw_tunnel_sas *entry);
void spw_peer_lost(struct spw_tunnel_sas *entry);
void spw_peer_reset(struct spw_tunnel_sas *entry);
void spw_peer_stop(struct spw_tunnel_sas *entry);
void spw_peer_rekey(struct spw_tunnel_sas *entry);
/* The classifier is to know the endpoint as that of a live tunnel while it has a session. */
void spw_peer_follow_live(struct spw_tunnel_sas *entry);
/* The first authentic packet came on an SA of the set; one came from elsewhere. */
void spw_peer_heard(struct spw_tunnel_sas *entry, const struct spw_sa_set *set);
void spw_peer_roamed(struct spw_tunnel_sas *entry, const struct spw_sa_set *set,
		     const struct spw_endpoint *source);
void spw_peer_describe(const struct spw_tunnel_sas *entry, json_t *out);
/* handshakes.c */
void spw_handshake_receive(struct spw_peers *peers, const struct spw_message *message);

/* foreigns.c: the same for a foreign peer. */
int spw_foreign_prepare(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
			struct spw_place place, struct spw_error *error);
void spw_foreign_free(struct spw_tunnel_sas *entry);
void spw_foreign_ready(struct spw_tunnel_sas *entry);
void spw_foreign_lost(struct spw_tunnel_sas *entry);
void spw_foreign_reset(struct spw_tunnel_sas *entry);
void spw_foreign_stop(struct spw_tunnel_sas *entry);
void spw_foreign_poll(struct spw_tunnel_sas *entry); /* every SPW_FOREIGN_POLL_MS, and when low */
void spw_foreign_final(struct spw_tunnel_sas *entry, uint32_t direction, uint64_t sequence);
int spw_foreign_first_use(struct spw_tunnel_sas *entry, struct spw_error *error);
void spw_foreign_describe(const struct spw_tunnel_sas *entry, json_t *out);

#define SPW_FOREIGN_POLL_MS 250u

#endif
