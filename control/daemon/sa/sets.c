/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sets.c - the SAs of a static tunnel, set by set; see statics.h.
 *
 * A set is made for a pair (agree.h): inbound SAs first, each asked of the dataplane and, when all
 * are there, let into the `spis` table; then outbound ones, put into the tunnel's record in one
 * publication. A leaving set's inbound SAs are removed when the agreement says so, its outbound SAs
 * as soon as no published record names them.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "control/clock.h"
#include "control/daemon/log.h"
#include "control/daemon/sa/statics.h"

struct sa_answer {
	struct spw_tunnel_sas *entry;
	uint32_t serial, direction;
};

/* ---- sets --------------------------------------------------------------------------------- */

static struct spw_sa_set *set_find(struct spw_tunnel_sas *entry, uint32_t serial)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *set = &entry->statics->sets[i];
		if (set->state != SPW_SET_FREE && set->serial == serial)
			return set;
	}
	return NULL;
}

static void set_free_if_empty(struct spw_sa_set *set)
{
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++)
		if (set->in_slot[i] || set->out_slot[i])
			return;
	if (set->pending == 0)
		set->state = SPW_SET_FREE;
}

static void retire_in(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++) {
		if (set->in_slot[i])
			spw_retire(entry->sas, SPW_SA_IN, set->in_slot[i]);
		set->in_slot[i] = 0;
	}
	set_free_if_empty(set);
}

static bool in_use(const struct spw_tunnel_obj *tunnel, uint32_t out_slot)
{
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++)
		if (tunnel->tx_sa[i] == out_slot)
			return true;
	return false;
}

/* The record is as the tunnel's object: what that does not name, no new packet can find. */
static void retire_unused_out(struct spw_tunnel_sas *entry)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *set = &entry->statics->sets[i];
		if (set->state != SPW_SET_LEAVING)
			continue;
		for (uint32_t c = 0; c < SPW_WORKERS_MAX; c++) {
			if (!set->out_slot[c] || in_use(entry->tunnel, set->out_slot[c]))
				continue;
			spw_retire(entry->sas, SPW_SA_OUT, set->out_slot[c]);
			set->out_slot[c] = 0;
		}
		set_free_if_empty(set);
	}
}

int spw_sets_publish(struct spw_tunnel_sas *entry)
{
	int err;

	/* A tunnel that is being deleted keeps its last record until spw_sas_stop. */
	if (entry->tunnel->dying)
		return -EBUSY;
	err = spw_tunnel_publish(entry->sas->node, entry->tunnel);
	if (err < 0)
		return err;
	entry->statics->unpublished = false;
	retire_unused_out(entry);
	return 0;
}

void spw_sets_leave(void *arg, uint32_t serial)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_sa_set *set = set_find(entry, serial);

	if (!set)
		return;
	set->state = SPW_SET_LEAVING;
	if (!entry->statics->unpublished && !entry->tunnel->dying)
		retire_unused_out(entry);
}

void spw_sets_leave_all(struct spw_tunnel_sas *entry)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++)
		if (entry->statics->sets[i].state == SPW_SET_USED)
			entry->statics->sets[i].state = SPW_SET_LEAVING;
}

void spw_sets_retire_before(struct spw_tunnel_sas *entry, uint32_t serial)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *set = &entry->statics->sets[i];
		if (set->state == SPW_SET_LEAVING && set->serial < serial)
			retire_in(entry, set);
	}
}

void spw_sets_stop(struct spw_tunnel_sas *entry)
{
	/* There is no record any more. */
	memset(entry->tunnel->tx_sa, 0, sizeof(entry->tunnel->tx_sa));
	spw_sets_leave_all(entry);
	spw_sets_retire_before(entry, UINT32_MAX);
	retire_unused_out(entry);
}

/* A set for a new pair. Where none is free, the oldest leaving one loses its inbound SAs early. */
static struct spw_sa_set *set_new(struct spw_tunnel_sas *entry, uint32_t serial)
{
	struct spw_sa_set *oldest = NULL, *set = NULL;

	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *each = &entry->statics->sets[i];
		if (each->state == SPW_SET_FREE)
			set = each;
		if (each->state == SPW_SET_LEAVING && (!oldest || each->serial < oldest->serial))
			oldest = each;
	}
	if (!set && oldest) {
		retire_in(entry, oldest);
		set = oldest->state == SPW_SET_FREE ? oldest : NULL;
	}
	if (set)
		*set = (struct spw_sa_set){.state = SPW_SET_USED, .serial = serial};
	return set;
}

static bool take_slots(struct spw_slots *slots, uint32_t *slot, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++) {
		slot[i] = spw_slots_alloc(slots);
		if (slot[i])
			continue;
		while (i-- > 0) {
			spw_slots_free(slots, slot[i]);
			slot[i] = 0;
		}
		spw_log("error", "sa", "no SA slot is left; raise limits.tunnels in config.yaml");
		return false;
	}
	return true;
}

/* ---- asking the dataplane ----------------------------------------------------------------- */

static void in_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	uint32_t spi_in[SPW_WORKERS_MAX];

	memcpy(spi_in, set->spi_in, sizeof(spi_in));
	for (uint32_t i = 0; set->error == 0 && i < SPW_WORKERS_MAX; i++)
		if (set->in_slot[i])
			spw_spi_store(entry->sas->node, set->in_slot[i], set->spi_in[i],
				      entry->tunnel->id);
	spw_agree_in_made(&entry->statics->agree, set->serial, set->error, spi_in, spw_now_ms());
}

static void out_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set,
			 const struct spw_pair *pair)
{
	struct spw_tunnel_obj *tunnel = entry->tunnel;
	uint32_t old_sa[SPW_WORKERS_MAX];
	int err = set->error;

	if (err == 0) {
		memcpy(old_sa, tunnel->tx_sa, sizeof(old_sa));
		memcpy(tunnel->tx_sa, set->out_slot, sizeof(tunnel->tx_sa));
		tunnel->local_epoch = pair->local_epoch;
		tunnel->peer_epoch = pair->peer_epoch;
		err = spw_sets_publish(entry);
		if (err < 0)
			memcpy(tunnel->tx_sa, old_sa, sizeof(old_sa));
	}
	spw_agree_out_made(&entry->statics->agree, set->serial, err, spw_now_ms());
}

/* All answers of one direction are there. */
static void set_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set, uint32_t direction)
{
	struct spw_agree *agree = &entry->statics->agree;

	if (set->state == SPW_SET_LEAVING) {
		if (!entry->statics->unpublished && !entry->tunnel->dying)
			retire_unused_out(entry);
		set_free_if_empty(set);
		return;
	}
	if (set->error < 0)
		spw_log("warning", "sa", "tunnel %s: the dataplane refused an SA: %s",
			entry->tunnel->name, strerror(-set->error));
	if (direction == SPW_SA_IN)
		in_answered(entry, set);
	else if (agree->has_next && agree->next.serial == set->serial)
		out_answered(entry, set, &agree->next);
	spw_static_arm(entry);
}

static void on_answer(void *arg, int error, uint64_t value)
{
	struct sa_answer *answer = arg;
	struct spw_tunnel_sas *entry = answer->entry;
	uint32_t serial = answer->serial, direction = answer->direction;
	struct spw_sa_set *set;

	(void)value;
	free(answer);
	if (spw_tunnel_sas_unref(entry) || !entry->tunnel)
		return;
	set = set_find(entry, serial);
	if (!set)
		return;
	if (error < 0 && set->error == 0)
		set->error = error;
	if (--set->pending == 0)
		set_answered(entry, set, direction);
}

static int ask(struct spw_tunnel_sas *entry, struct spw_sa_set *set, struct spw_msg_sa_add *msg,
	       const struct spw_static_label *label)
{
	struct sa_answer *answer = malloc(sizeof(*answer));
	struct spw_sa_secret secret;
	int err = -ENOMEM;

	if (!answer)
		return err;
	*answer = (struct sa_answer){
		.entry = entry, .serial = set->serial, .direction = msg->direction};
	err = spw_static_sa_derive(entry->statics->keys->prk, label, &secret);
	if (err == 0) {
		msg->head.type = SPW_MSG_SA_ADD;
		msg->spi = label->spi;
		msg->tunnel = entry->tunnel->id;
		msg->flags = SPW_SA_F_ESN;
		msg->key_bytes = label->key_bits / 8;
		msg->limit = UINT64_MAX;
		msg->iv_mask = msg->direction == SPW_SA_OUT ? secret.iv_mask : 0;
		memcpy(msg->salt, secret.salt, sizeof(msg->salt));
		memcpy(msg->key, secret.key, sizeof(msg->key));
		err = spw_link_request(entry->sas->node->link, msg, sizeof(*msg), on_answer,
				       answer);
		OPENSSL_cleanse(msg, sizeof(*msg));
	}
	OPENSSL_cleanse(&secret, sizeof(secret));
	if (err < 0) {
		free(answer);
		return err;
	}
	entry->refs++;
	set->pending++;
	return 0;
}

void spw_sets_make_in(void *arg, const struct spw_pair *pair)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_node *node = entry->sas->node;
	struct spw_agree *agree = &entry->statics->agree;
	struct spw_static_label label = {.key_bits = agree->key256 ? 256 : 128,
					 .sender_epoch = pair->peer_epoch,
					 .receiver_epoch = pair->local_epoch};
	struct spw_sa_set *set = set_new(entry, pair->serial);

	if (!set || !take_slots(node->spi_slots, set->in_slot, pair->peer_children)) {
		if (set)
			set->state = SPW_SET_FREE;
		spw_agree_in_made(agree, pair->serial, -ENOSPC, NULL, spw_now_ms());
		return;
	}
	memcpy(label.sender_nonce, pair->peer_nonce, SPW_NONCE_BYTES);
	memcpy(label.receiver_nonce, pair->local_nonce, SPW_NONCE_BYTES);
	for (uint32_t c = 0; set->error == 0 && c < pair->peer_children; c++) {
		struct spw_msg_sa_add msg = {.direction = SPW_SA_IN,
					     .slot = set->in_slot[c],
					     .worker = c % node->workers,
					     .window_packets = SPW_STATIC_WINDOW_PACKETS};
		label.child = (uint8_t)c;
		label.spi = set->spi_in[c] = spw_spi_new(entry->sas, set->in_slot[c]);
		set->error = ask(entry, set, &msg, &label);
	}
	if (set->pending == 0)
		set_answered(entry, set, SPW_SA_IN);
}

void spw_sets_make_out(void *arg, const struct spw_pair *pair)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_node *node = entry->sas->node;
	struct spw_agree *agree = &entry->statics->agree;
	struct spw_static_label label = {.key_bits = agree->key256 ? 256 : 128,
					 .sender_epoch = pair->local_epoch,
					 .receiver_epoch = pair->peer_epoch};
	struct spw_sa_set *set = set_find(entry, pair->serial);

	if (!set || !take_slots(node->out_slots, set->out_slot, node->workers)) {
		spw_agree_out_made(agree, pair->serial, -ENOSPC, spw_now_ms());
		return;
	}
	memcpy(label.sender_nonce, pair->local_nonce, SPW_NONCE_BYTES);
	memcpy(label.receiver_nonce, pair->peer_nonce, SPW_NONCE_BYTES);
	for (uint32_t c = 0; set->error == 0 && c < node->workers; c++) {
		struct spw_msg_sa_add msg = {.direction = SPW_SA_OUT,
					     .slot = set->out_slot[c],
					     .worker = c,
					     .sequence = 1};
		label.child = (uint8_t)c;
		label.spi = pair->spi_out[c];
		set->error = ask(entry, set, &msg, &label);
	}
	if (set->pending == 0)
		set_answered(entry, set, SPW_SA_OUT);
}

/* ---- restart ------------------------------------------------------------------------------ */

void spw_sets_adopt(struct spw_tunnel_sas *entry)
{
	struct spw_sas *sas = entry->sas;
	struct spw_sa_set *sets = entry->statics->sets;
	uint32_t cnt = 0, slot = sas->found_first ? sas->found_first[entry->tunnel->id] : 0;

	/* Two sets must stay free for the new agreement; more SAs than fit are withdrawn. */
	for (; slot; slot = sas->found_next[slot], cnt++) {
		struct spw_sa_set *set = &sets[cnt / SPW_WORKERS_MAX];
		if (cnt >= (SPW_SETS_MAX - 2) * SPW_WORKERS_MAX) {
			spw_retire(sas, SPW_SA_IN, slot);
			continue;
		}
		set->state = SPW_SET_LEAVING;
		set->in_slot[cnt % SPW_WORKERS_MAX] = slot;
		set->spi_in[cnt % SPW_WORKERS_MAX] = sas->node->maps.spis[slot].spi;
	}
	if (sas->found_first)
		sas->found_first[entry->tunnel->id] = 0;
	if (entry->tunnel->slot == 0)
		return;
	memcpy(sets[0].out_slot, entry->tunnel->tx_sa, sizeof(sets[0].out_slot));
	sets[0].state = SPW_SET_LEAVING;
	set_free_if_empty(&sets[0]);
}

/* ---- description -------------------------------------------------------------------------- */

void spw_sets_describe(const struct spw_tunnel_sas *entry, json_t *out)
{
	json_t *in_list = json_array(), *out_list = json_array();
	const struct spw_agree *agree = &entry->statics->agree;
	uint32_t workers = entry->sas->node->workers;

	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		const struct spw_sa_set *set = &entry->statics->sets[i];
		for (uint32_t c = 0; set->state != SPW_SET_FREE && c < SPW_WORKERS_MAX; c++)
			if (set->in_slot[c])
				json_array_append_new(in_list,
						      json_pack("{s:I, s:i}", "spi",
								(json_int_t)set->spi_in[c],
								"worker", (int)(c % workers)));
	}
	for (uint32_t c = 0; agree->has_live && c < workers; c++)
		json_array_append_new(out_list, json_pack("{s:I, s:i}", "spi",
							  (json_int_t)agree->live.spi_out[c],
							  "worker", (int)c));
	json_object_set_new(out, "in", in_list);
	json_object_set_new(out, "out", out_list);
}
