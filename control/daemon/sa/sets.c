/* SPDX-License-Identifier: BSD-2-Clause */
/* sets.c - see sets.h. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/log.h"
#include "control/daemon/sa/sets.h"

struct sa_answer {
	struct spw_tunnel_sas *entry;
	uint32_t serial;
};

/* ---- sets --------------------------------------------------------------------------------- */

struct spw_sa_set *spw_set_find(struct spw_tunnel_sas *entry, uint32_t serial)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *set = &entry->sets.set[i];
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
		struct spw_sa_set *set = &entry->sets.set[i];
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
	entry->sets.unpublished = false;
	retire_unused_out(entry);
	return 0;
}

void spw_sets_leave(struct spw_tunnel_sas *entry, uint32_t serial)
{
	struct spw_sa_set *set = spw_set_find(entry, serial);

	if (!set)
		return;
	set->state = SPW_SET_LEAVING;
	if (!entry->sets.unpublished && !entry->tunnel->dying)
		retire_unused_out(entry);
}

void spw_sets_leave_all(struct spw_tunnel_sas *entry)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++)
		if (entry->sets.set[i].state == SPW_SET_USED)
			entry->sets.set[i].state = SPW_SET_LEAVING;
}

void spw_sets_retire_before(struct spw_tunnel_sas *entry, uint32_t serial)
{
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *set = &entry->sets.set[i];
		if (set->state == SPW_SET_LEAVING && set->serial < serial)
			retire_in(entry, set);
	}
}

void spw_set_retire(struct spw_tunnel_sas *entry, uint32_t serial)
{
	struct spw_sa_set *set = spw_set_find(entry, serial);

	if (set && set->state == SPW_SET_LEAVING)
		retire_in(entry, set);
}

void spw_sets_reset(struct spw_tunnel_sas *entry)
{
	memset(entry->tunnel->tx_sa, 0, sizeof(entry->tunnel->tx_sa));
	entry->sets.unpublished = true;
	spw_sets_retire_before(entry, UINT32_MAX);
	spw_sets_retry(entry);
}

void spw_sets_retry(struct spw_tunnel_sas *entry)
{
	if (entry->sets.unpublished && spw_sets_publish(entry) < 0)
		spw_sas_retry_soon(entry->sas);
}

void spw_sets_stop(struct spw_tunnel_sas *entry)
{
	/* There is no record any more. */
	memset(entry->tunnel->tx_sa, 0, sizeof(entry->tunnel->tx_sa));
	spw_sets_leave_all(entry);
	spw_sets_retire_before(entry, UINT32_MAX);
	retire_unused_out(entry);
}

struct spw_sa_set *spw_set_new(struct spw_tunnel_sas *entry, uint32_t serial)
{
	struct spw_sa_set *oldest = NULL, *set = NULL;

	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *each = &entry->sets.set[i];
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

bool spw_set_take_in(struct spw_tunnel_sas *entry, uint32_t *slot, uint32_t *spi, uint32_t cnt)
{
	if (!take_slots(entry->sas->node->spi_slots, slot, cnt))
		return false;
	for (uint32_t i = 0; i < cnt; i++)
		spi[i] = spw_spi_new(entry->sas, slot[i]);
	return true;
}

bool spw_set_take_out(struct spw_tunnel_sas *entry, uint32_t *slot, uint32_t cnt)
{
	return take_slots(entry->sas->node->out_slots, slot, cnt);
}

/* ---- asking the dataplane ----------------------------------------------------------------- */

/* All answers are there. */
static void set_answered(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	if (set->state == SPW_SET_LEAVING) {
		if (!entry->sets.unpublished && !entry->tunnel->dying)
			retire_unused_out(entry);
		set_free_if_empty(set);
		return;
	}
	if (set->error < 0)
		spw_log("warning", "sa", "tunnel %s: the dataplane refused an SA: %s",
			entry->tunnel->name, strerror(-set->error));
	for (uint32_t i = 0; set->error == 0 && i < SPW_WORKERS_MAX; i++)
		if (set->in_slot[i])
			spw_spi_store(entry->sas->node, set->in_slot[i], set->spi_in[i],
				      entry->tunnel->id);
	entry->sets.answered(entry, set);
}

static void on_answer(void *arg, int error, uint64_t value)
{
	struct sa_answer *answer = arg;
	struct spw_tunnel_sas *entry = answer->entry;
	uint32_t serial = answer->serial;
	struct spw_sa_set *set;

	(void)value;
	free(answer);
	if (spw_tunnel_sas_unref(entry) || !entry->tunnel)
		return;
	set = spw_set_find(entry, serial);
	if (!set)
		return;
	if (error < 0 && set->error == 0)
		set->error = error;
	if (--set->pending == 0)
		set_answered(entry, set);
}

void spw_set_ask(struct spw_tunnel_sas *entry, struct spw_sa_set *set, struct spw_msg_sa_add *msg,
		 const struct spw_sa_secret *secret)
{
	struct sa_answer *answer = set->error == 0 ? malloc(sizeof(*answer)) : NULL;

	if (!answer) {
		set->error = set->error ? set->error : -ENOMEM;
		return;
	}
	*answer = (struct sa_answer){.entry = entry, .serial = set->serial};
	msg->head.type = SPW_MSG_SA_ADD;
	msg->tunnel = entry->tunnel->id;
	msg->iv_mask = msg->direction == SPW_SA_OUT ? secret->iv_mask : 0;
	memcpy(msg->salt, secret->salt, sizeof(msg->salt));
	memcpy(msg->key, secret->key, sizeof(msg->key));
	set->error = spw_link_request(entry->sas->node->link, msg, sizeof(*msg), on_answer, answer);
	OPENSSL_cleanse(msg, sizeof(*msg));
	if (set->error < 0) {
		free(answer);
		return;
	}
	entry->refs++;
	set->pending++;
}

void spw_set_asked(struct spw_tunnel_sas *entry, struct spw_sa_set *set)
{
	if (set->pending == 0)
		set_answered(entry, set);
}

int spw_sets_send_with(struct spw_tunnel_sas *entry, const struct spw_sa_set *set, uint32_t cnt)
{
	struct spw_tunnel_obj *tunnel = entry->tunnel;
	uint32_t old_sa[SPW_WORKERS_MAX];
	int err;

	memcpy(old_sa, tunnel->tx_sa, sizeof(old_sa));
	for (uint32_t w = 0; w < SPW_WORKERS_MAX; w++)
		tunnel->tx_sa[w] =
			set && w < entry->sas->node->workers ? set->out_slot[w % cnt] : 0;
	err = spw_sets_publish(entry);
	if (err < 0)
		memcpy(tunnel->tx_sa, old_sa, sizeof(old_sa));
	return err;
}

/* ---- restart ------------------------------------------------------------------------------ */

void spw_sets_adopt(struct spw_tunnel_sas *entry)
{
	struct spw_sas *sas = entry->sas;
	struct spw_sa_set *sets = entry->sets.set;
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

static json_t *describe_sa(uint32_t spi, uint32_t worker)
{
	return json_pack("{s:I, s:i}", "spi", (json_int_t)spi, "worker", (int)worker);
}

void spw_sets_describe(const struct spw_tunnel_sas *entry, json_t *out)
{
	json_t *in_list = json_array(), *out_list = json_array();
	uint32_t workers = entry->sas->node->workers;

	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		const struct spw_sa_set *set = &entry->sets.set[i];
		for (uint32_t c = 0; set->state != SPW_SET_FREE && c < SPW_WORKERS_MAX; c++) {
			if (set->in_slot[c])
				json_array_append_new(in_list,
						      describe_sa(set->spi_in[c], c % workers));
			/* No SPI: an SA that a control before has made. */
			if (set->spi_out[c] && set->out_slot[c] &&
			    in_use(entry->tunnel, set->out_slot[c]))
				json_array_append_new(out_list, describe_sa(set->spi_out[c], c));
		}
	}
	json_object_set_new(out, "in", in_list);
	json_object_set_new(out, "out", out_list);
}
