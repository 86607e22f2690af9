/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * statics.c - static tunnels between our own nodes: what an agreement (agree.h) asks for is done in
 * the dataplane and in the tables; see sas_private.h and docs/static-sas.md.
 */

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "control/clock.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/sets.h"

/* How long after the peer said that it sends with new SAs packets of the old ones may still be
 * under way: far more than any path's reordering. */
#define LATE_SECONDS 2

/* After every call into agree.h: the timer is set to its deadline. */
static void arm(struct spw_tunnel_sas *entry)
{
	uint64_t now_ms = spw_now_ms(), at_ms = spw_agree_deadline(&entry->statics->agree);
	uint64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
	struct timeval time = {.tv_sec = (time_t)(wait_ms / 1000),
			       .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};

	if (at_ms == UINT64_MAX)
		evtimer_del(entry->statics->timer);
	else
		evtimer_add(entry->statics->timer, &time);
}

/* ---- what the agreement asks for ---------------------------------------------------------- */

static void op_send(void *arg, const struct spw_announce *announce)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_announce_wire wire;
	struct spw_endpoint from;

	if (spw_net_source(entry->sas->node, entry->tunnel, &from) < 0)
		return; /* sent again when the kernel may have a route */
	spw_announce_build(announce, entry->statics->keys, &wire);
	spw_messages_io_send(entry->sas->io, &from, &entry->tunnel->remote, &wire, sizeof(wire));
}

static void op_draw_nonce(void *arg, uint8_t nonce[SPW_NONCE_BYTES])
{
	(void)arg;
	/* Without randomness there is no security to keep up: stop, traffic goes on. */
	if (RAND_bytes(nonce, SPW_NONCE_BYTES) != 1) {
		spw_log("error", "sa", "OpenSSL gives no random bytes");
		abort();
	}
}

static void op_settled(void *arg, uint32_t serial)
{
	struct spw_tunnel_sas *entry = arg;
	struct timeval time = {.tv_sec = LATE_SECONDS};

	spw_log("info", "sa", "tunnel %s: up with the peer's epoch %llu", entry->tunnel->name,
		(unsigned long long)entry->tunnel->peer_epoch);
	entry->statics->settled = serial;
	evtimer_add(entry->statics->late, &time);
}

/* One SA: its secret is derived and wiped here. */
static void add_sa(struct spw_tunnel_sas *entry, struct spw_sa_set *set, struct spw_msg_sa_add *msg,
		   const struct spw_static_label *label)
{
	struct spw_sa_secret secret;

	msg->spi = label->spi;
	msg->flags = SPW_SA_F_ESN;
	msg->key_bytes = label->key_bits / 8;
	msg->limit = UINT64_MAX;
	set->error = set->error ? set->error
				: spw_static_sa_derive(entry->statics->keys->prk, label, &secret);
	spw_set_ask(entry, set, msg, &secret);
	OPENSSL_cleanse(&secret, sizeof(secret));
}

static void op_make_in(void *arg, const struct spw_pair *pair)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_agree *agree = &entry->statics->agree;
	struct spw_static_label label = {.key_bits = agree->key256 ? 256 : 128,
					 .sender_epoch = pair->peer_epoch,
					 .receiver_epoch = pair->local_epoch};
	struct spw_sa_set *set = spw_set_new(entry, pair->serial);

	if (!set || !spw_set_take_in(entry, set->in_slot, set->spi_in, pair->peer_children)) {
		if (set)
			set->state = SPW_SET_FREE;
		spw_agree_in_made(agree, pair->serial, -ENOSPC, NULL, spw_now_ms());
		return;
	}
	memcpy(label.sender_nonce, pair->peer_nonce, SPW_NONCE_BYTES);
	memcpy(label.receiver_nonce, pair->local_nonce, SPW_NONCE_BYTES);
	for (uint32_t c = 0; c < pair->peer_children; c++) {
		struct spw_msg_sa_add msg = {.direction = SPW_SA_IN,
					     .slot = set->in_slot[c],
					     .worker = c % entry->sas->node->workers,
					     .window_packets = SPW_SA_WINDOW_PACKETS};
		label.child = (uint8_t)c;
		label.spi = set->spi_in[c];
		add_sa(entry, set, &msg, &label);
	}
	spw_set_asked(entry, set);
}

static void op_make_out(void *arg, const struct spw_pair *pair)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_agree *agree = &entry->statics->agree;
	struct spw_static_label label = {.key_bits = agree->key256 ? 256 : 128,
					 .sender_epoch = pair->local_epoch,
					 .receiver_epoch = pair->peer_epoch};
	struct spw_sa_set *set = spw_set_find(entry, pair->serial);

	if (!set || !spw_set_take_out(entry, set->out_slot, agree->children)) {
		spw_agree_out_made(agree, pair->serial, -ENOSPC, spw_now_ms());
		return;
	}
	memcpy(label.sender_nonce, pair->local_nonce, SPW_NONCE_BYTES);
	memcpy(label.receiver_nonce, pair->peer_nonce, SPW_NONCE_BYTES);
	for (uint32_t c = 0; c < agree->children; c++) {
		struct spw_msg_sa_add msg = {.direction = SPW_SA_OUT,
					     .slot = set->out_slot[c],
					     .worker = c,
					     .sequence = 1};
		label.child = (uint8_t)c;
		label.spi = set->spi_out[c] = pair->spi_out[c];
		add_sa(entry, set, &msg, &label);
	}
	spw_set_asked(entry, set);
}

static void out_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	struct spw_agree *agree = &entry->statics->agree;
	struct spw_tunnel_obj *tunnel = entry->tunnel;
	int err = set->error;

	if (!agree->has_next || agree->next.serial != set->serial)
		return;
	if (err == 0) {
		tunnel->local_epoch = agree->next.local_epoch;
		tunnel->peer_epoch = agree->next.peer_epoch;
		err = spw_sets_send_with(entry, set, agree->children);
	}
	spw_agree_out_made(agree, set->serial, err, spw_now_ms());
}

/* First the inbound SAs are asked for, then, once the peer has its own, the outbound ones. */
static void answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	uint32_t spi_in[SPW_WORKERS_MAX];

	memcpy(spi_in, set->spi_in, sizeof(spi_in));
	if (set->out_slot[0])
		out_answered(entry, set);
	else
		spw_agree_in_made(&entry->statics->agree, set->serial, set->error, spi_in,
				  spw_now_ms());
	arm(entry);
}

static void op_leave(void *arg, uint32_t serial)
{
	spw_sets_leave(arg, serial);
}

static const struct spw_agree_ops agree_ops = {
	.send = op_send,
	.draw_nonce = op_draw_nonce,
	.make_in = op_make_in,
	.make_out = op_make_out,
	.leave = op_leave,
	.settled = op_settled,
};

/* ---- time ---------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
	struct spw_tunnel_sas *entry = arg;

	(void)fd, (void)events;
	spw_agree_tick(&entry->statics->agree, spw_now_ms());
	arm(entry);
}

static void on_late(evutil_socket_t fd, short events, void *arg)
{
	struct spw_tunnel_sas *entry = arg;

	(void)fd, (void)events;
	spw_sets_retire_before(entry, entry->statics->settled);
}

/* ---- messages ----------------------------------------------------------------------------- */

static struct spw_tunnel_sas **bucket_of(struct spw_sas *sas, const uint8_t *key_id)
{
	uint16_t hash;

	memcpy(&hash, key_id, sizeof(hash));
	return &sas->by_key_id[hash % SPW_KEY_ID_BUCKETS];
}

void spw_static_receive(struct spw_sas *sas, const void *data, size_t bytes)
{
	const uint8_t *key_id = spw_announce_key_id(data, bytes);
	struct spw_tunnel_sas *entry;
	struct spw_announce announce;

	if (!key_id)
		return;
	entry = *bucket_of(sas, key_id);
	while (entry && memcmp(entry->statics->keys->key_id, key_id, SPW_KEY_ID_BYTES) != 0)
		entry = entry->statics->bucket_next;
	if (!entry || spw_announce_parse(data, bytes, entry->statics->keys, &announce) < 0)
		return;
	spw_agree_receive(&entry->statics->agree, &announce, spw_now_ms());
	arm(entry);
}

/* ---- life --------------------------------------------------------------------------------- */

static void free_static(struct spw_keys *keys, struct spw_static *statics)
{
	if (!statics)
		return;
	if (statics->timer)
		event_free(statics->timer);
	if (statics->late)
		event_free(statics->late);
	spw_keys_free(keys, statics->keys);
	free(statics);
}

static int read_root(struct spw_tunnel_sas *entry, const char *path, struct spw_place place,
		     struct spw_error *error)
{
	static const unsigned int lengths[] = {SPW_ROOT_BYTES, 0};
	struct spw_keys *keys = entry->sas->keys;
	const char *name = entry->tunnel->name;
	uint8_t *root = spw_keys_alloc(keys);
	int err;

	if (!root)
		return spw_error_set(error, -ENOSPC, place,
				     "tunnel \"%s\": no locked memory is left for its keys", name);
	err = spw_key_file_read(keys, path, lengths, root, name, place, error);
	if (err > 0) {
		spw_key_fingerprint(root, SPW_ROOT_BYTES, entry->prints[entry->prints_cnt++]);
		err = spw_static_keys_derive(root, entry->statics->keys);
		if (err < 0)
			spw_error_set(error, err, place,
				      "tunnel \"%s\": OpenSSL cannot derive its keys", name);
	}
	spw_keys_free(keys, root);
	return err;
}

int spw_static_prepare(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
		       struct spw_place place, struct spw_error *error)
{
	struct spw_sas *sas = entry->sas;
	struct spw_static *statics = calloc(1, sizeof(*statics));
	struct spw_tunnel_sas **bucket;
	int err = -ENOMEM;

	if (!statics)
		goto fail_memory;
	entry->statics = statics;
	statics->keys = spw_keys_alloc(sas->keys);
	statics->timer = evtimer_new(sas->node->loop, on_timer, entry);
	statics->late = evtimer_new(sas->node->loop, on_late, entry);
	if (!statics->keys || !statics->timer || !statics->late)
		goto fail_memory;
	err = read_root(entry, spec->secret_file, place, error);
	if (err < 0)
		goto fail;
	spw_agree_init(&statics->agree, &agree_ops, entry, (uint8_t)sas->node->workers,
		       spec->key_bits == 32, entry->tunnel->peer_epoch);
	entry->sets.answered = answered;
	spw_sets_adopt(entry);
	bucket = bucket_of(sas, statics->keys->key_id);
	statics->bucket_next = *bucket;
	*bucket = entry;
	return 0;

fail_memory:
	spw_error_set(error, err, place, "tunnel \"%s\": no memory for its SAs",
		      entry->tunnel->name);
fail:
	free_static(sas->keys, statics);
	entry->statics = NULL;
	return err;
}

void spw_static_free(struct spw_tunnel_sas *entry)
{
	struct spw_tunnel_sas **at = bucket_of(entry->sas, entry->statics->keys->key_id);

	while (*at && *at != entry)
		at = &(*at)->statics->bucket_next;
	if (*at)
		*at = entry->statics->bucket_next;
	free_static(entry->sas->keys, entry->statics);
	entry->statics = NULL;
}

void spw_static_ready(struct spw_tunnel_sas *entry)
{
	spw_agree_start(&entry->statics->agree, entry->sas->epoch.value, spw_now_ms());
	arm(entry);
}

void spw_static_lost(struct spw_tunnel_sas *entry)
{
	/* What stands goes on until a new agreement has replaced it. */
	spw_agree_stop(&entry->statics->agree);
	arm(entry);
	evtimer_del(entry->statics->late);
	spw_sets_leave_all(entry);
}

void spw_static_reset(struct spw_tunnel_sas *entry)
{
	spw_static_lost(entry);
	spw_sets_reset(entry);
}

void spw_static_stop(struct spw_tunnel_sas *entry)
{
	spw_agree_stop(&entry->statics->agree);
	spw_sets_stop(entry);
	spw_static_free(entry);
}

/* ---- description -------------------------------------------------------------------------- */

static const char *state_text(const struct spw_tunnel_sas *entry)
{
	static const char *const texts[] = {
		[SPW_AGREE_STOPPED] = "waiting for the dataplane",
		[SPW_AGREE_WAITING] = "waiting for the peer",
		[SPW_AGREE_AGREEING] = "agreeing with the peer",
		[SPW_AGREE_UP] = "up",
		[SPW_AGREE_SILENT] = "up, but the peer is silent",
		[SPW_AGREE_CIPHER] = "the peer is configured for another cipher",
	};
	enum spw_agree_state state = spw_agree_state(&entry->statics->agree);

	/* After a restart of control: those of before carry packets until new ones are agreed on.
	 */
	if ((state == SPW_AGREE_WAITING || state == SPW_AGREE_AGREEING) && entry->tunnel->tx_sa[0])
		return "up";
	return texts[state];
}

void spw_static_describe(const struct spw_tunnel_sas *entry, json_t *out)
{
	json_object_set_new(out, "keying", json_string("static"));
	json_object_set_new(out, "state", json_string(state_text(entry)));
	json_object_set_new(out, "local_epoch",
			    json_integer((json_int_t)entry->tunnel->local_epoch));
	json_object_set_new(out, "peer_epoch", json_integer((json_int_t)entry->tunnel->peer_epoch));
	spw_sets_describe(entry, out);
}
