/* SPDX-License-Identifier: BSD-2-Clause */
/* sas.c - see sas.h: the SA manager's glue between tunnels, keys, the link and the epoch. */
#include "control/daemon/sa/sas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/clock.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/sets.h"

/* Requests that may wait for the dataplane besides the tunnels' own secrets (three cells at most).
 */
#define REQUEST_CELLS 4096u
#define CELLS_PER_TUNNEL 3u
#define RETRY_MS 50

/* ---- SPIs --------------------------------------------------------------------------------- */

uint32_t spw_spi_new(struct spw_sas *sas, uint32_t slot)
{
	uint32_t mask = (1u << SPW_SPI_GENERATION_BITS) - 1;
	uint32_t generation = (uint32_t)time(NULL) & mask;
	uint32_t last = sas->generations[slot];

	/* More than one in a second: the generation runs ahead of the clock for a while. */
	if (last && ((generation - (last - 1)) & mask) - 1 >= mask / 2)
		generation = last & mask;
	sas->generations[slot] = (uint16_t)(generation + 1);
	return slot << SPW_SPI_GENERATION_BITS | generation;
}

void spw_spi_store(struct spw_node *node, uint32_t slot, uint32_t spi, uint32_t tunnel)
{
	struct spw_spi record = {.spi = spi, .tunnel = tunnel};
	uint64_t word;

	memcpy(&word, &record, sizeof(word));
	/* Pairs with the classifier's and the workers' load: who sees the SPI finds its SA, which
	 * was acknowledged before. */
	__atomic_store_n((uint64_t *)(void *)&node->maps.spis[slot], word, __ATOMIC_RELEASE);
}

/* Indexes the SPIs that an earlier control left, so that each tunnel finds its own. */
static int find_spis(struct spw_sas *sas)
{
	const struct spw_maps *maps = &sas->node->maps;

	sas->found_first = calloc(maps->meta->tunnels_max, sizeof(*sas->found_first));
	sas->found_next = calloc(maps->meta->sas_max, sizeof(*sas->found_next));
	if (!sas->found_first || !sas->found_next)
		return -ENOMEM;
	for (uint32_t slot = 1; slot < maps->meta->sas_max; slot++) {
		const struct spw_spi *spi = &maps->spis[slot];
		if (spi->spi == 0 || spi->tunnel >= maps->meta->tunnels_max)
			continue;
		sas->found_next[slot] = sas->found_first[spi->tunnel];
		sas->found_first[spi->tunnel] = slot;
	}
	return 0;
}

/* ---- all tunnels -------------------------------------------------------------------------- */

static void entry_ready(struct spw_tunnel_sas *entry)
{
	if (entry->statics)
		spw_static_ready(entry);
	else if (entry->peer)
		spw_peer_ready(entry);
	else
		spw_foreign_ready(entry);
}

static void entry_lost(struct spw_tunnel_sas *entry)
{
	if (entry->statics)
		spw_static_lost(entry);
	else if (entry->peer)
		spw_peer_lost(entry);
	else
		spw_foreign_lost(entry);
}

static void entry_reset(struct spw_tunnel_sas *entry)
{
	entry->adopted = false;
	if (entry->statics)
		spw_static_reset(entry);
	else if (entry->peer)
		spw_peer_reset(entry);
	else
		spw_foreign_reset(entry);
}

static void for_started(struct spw_sas *sas, void (*call)(struct spw_tunnel_sas *entry))
{
	for (struct spw_tunnel_sas *entry = sas->all; entry; entry = entry->next)
		if (entry->started)
			call(entry);
}

/* ---- the dataplane's life ----------------------------------------------------------------- */

static int on_hello(void *arg, uint64_t instance)
{
	struct spw_sas *sas = arg;
	struct spw_error error = {0};

	if (instance == sas->epoch.instance)
		return 0;
	/* A new process: the SAs of any other are gone, and it needs an epoch of its own. */
	for_started(sas, entry_reset);
	if (spw_epoch_raise(sas->node->state_dir, &sas->epoch, instance, &error) < 0) {
		spw_log("error", "sa", "%s", error.text);
		return error.code;
	}
	return 0;
}

static void on_ready(void *arg)
{
	struct spw_sas *sas = arg;

	sas->gone = false;
	spw_retire_go_on(sas);
	for_started(sas, entry_ready);
}

static void on_lost(void *arg)
{
	for_started(arg, entry_lost);
}

static void on_gone(void *arg)
{
	struct spw_sas *sas = arg;

	sas->gone = true;
	for_started(sas, entry_reset);
	spw_retire_go_on(sas);
}

static void on_glean(void *arg, uint32_t port, const struct spw_endpoint *host)
{
	struct spw_sas *sas = arg;

	spw_net_glean(sas->node, port, host);
}

static void on_low(void *arg)
{
	struct spw_sas *sas = arg;

	for (struct spw_tunnel_sas *entry = sas->all; entry; entry = entry->next)
		if (entry->started && entry->foreign)
			spw_foreign_poll(entry);
}

/* The set that an inbound SA belongs to, by its SPI. NULL: it goes already. */
static struct spw_sa_set *find_set(struct spw_sas *sas, uint32_t slot, uint32_t spi,
				   struct spw_tunnel_sas **entry)
{
	const struct spw_maps *maps = &sas->node->maps;
	const struct spw_spi *record = &maps->spis[slot];
	struct spw_tunnel_obj *tunnel;

	if (record->spi != spi || record->tunnel >= maps->meta->tunnels_max)
		return NULL;
	tunnel = sas->node->tunnels[record->tunnel];
	*entry = tunnel ? tunnel->sas : NULL;
	if (!*entry || !(*entry)->peer)
		return NULL;
	for (uint32_t i = 0; i < SPW_SETS_MAX; i++) {
		struct spw_sa_set *set = &(*entry)->sets.set[i];
		for (uint32_t c = 0; set->state != SPW_SET_FREE && c < SPW_WORKERS_MAX; c++)
			if (set->in_slot[c] == slot)
				return set;
	}
	return NULL;
}

static void on_heard(void *arg, uint32_t slot, uint32_t spi)
{
	struct spw_tunnel_sas *entry;
	struct spw_sa_set *set = find_set(arg, slot, spi, &entry);

	if (set)
		spw_peer_heard(entry, set);
}

static void on_roamed(void *arg, uint32_t slot, uint32_t spi, uint32_t tunnel,
		      const struct spw_endpoint *source)
{
	struct spw_tunnel_sas *entry;
	struct spw_sa_set *set = find_set(arg, slot, spi, &entry);

	if (set && entry->tunnel->id == tunnel)
		spw_peer_roamed(entry, set, source);
}

static void on_final(void *arg, uint32_t direction, uint32_t slot, uint64_t sequence)
{
	struct spw_sas *sas = arg;

	for (struct spw_tunnel_sas *entry = sas->all; entry; entry = entry->next) {
		const struct spw_foreign *foreign = entry->foreign;
		if (entry->started && foreign &&
		    slot == (direction == SPW_SA_IN ? foreign->in_slot : foreign->out_slot))
			spw_foreign_final(entry, direction, sequence);
	}
}

static const struct spw_link_ops link_ops = {
	.hello = on_hello,
	.ready = on_ready,
	.lost = on_lost,
	.gone = on_gone,
	.glean = on_glean,
	.low = on_low,
	.heard = on_heard,
	.roamed = on_roamed,
	.final = on_final,
};

/* ---- timers ------------------------------------------------------------------------------- */

static void on_poll(evutil_socket_t fd, short events, void *arg)
{
	struct spw_sas *sas = arg;

	(void)fd, (void)events;
	if (spw_link_ready(sas->node->link))
		on_low(sas);
}

static void on_retry(evutil_socket_t fd, short events, void *arg)
{
	struct spw_sas *sas = arg;

	(void)fd, (void)events;
	spw_retire_go_on(sas);
	for (struct spw_tunnel_sas *entry = sas->all; entry; entry = entry->next) {
		if (entry->started)
			spw_sets_retry(entry);
		if (entry->started && entry->peer)
			spw_peer_follow_live(entry);
	}
}

void spw_sas_retry_soon(struct spw_sas *sas)
{
	struct timeval time = {.tv_usec = RETRY_MS * 1000};

	if (!evtimer_pending(sas->retry, NULL))
		evtimer_add(sas->retry, &time);
}

static void count_foreign(struct spw_sas *sas, int change)
{
	struct timeval time = {.tv_usec = SPW_FOREIGN_POLL_MS * 1000};

	sas->foreign_cnt = (uint32_t)((int)sas->foreign_cnt + change);
	if (sas->foreign_cnt > 0)
		event_add(sas->poll, &time);
	else
		event_del(sas->poll);
}

static void on_message(void *arg, const struct spw_message *message)
{
	struct spw_sas *sas = arg;

	if (spw_announce_key_id(message->data, message->bytes))
		spw_static_receive(sas, message->data, message->bytes);
	else if (sas->peers)
		spw_handshake_receive(sas->peers, message);
}

/* ---- creation ----------------------------------------------------------------------------- */

static void free_sas(struct spw_sas *sas)
{
	spw_messages_io_close(sas->io);
	spw_peers_close(sas);
	if (sas->poll)
		event_free(sas->poll);
	if (sas->retry)
		event_free(sas->retry);
	spw_keys_close(sas->keys);
	free(sas->found_first);
	free(sas->found_next);
	free(sas->generations);
	free(sas);
}

static int open_keys(struct spw_sas *sas, struct spw_error *error)
{
	uint32_t cells = sas->node->maps.meta->tunnels_max * CELLS_PER_TUNNEL + REQUEST_CELLS;
	int err = spw_keys_open(&sas->keys, cells);

	if (err == 0)
		return 0;
	return spw_error_set(error, err, (struct spw_place){0},
			     "cannot lock %u KiB of memory for keys: %s; raise the limit "
			     "(`ulimit -l`, LimitMEMLOCK=) or lower limits.tunnels",
			     cells / (1024 / SPW_KEYS_CELL_BYTES), strerror(-err));
}

int spw_sas_create(struct spw_node *node, struct spw_error *error)
{
	struct spw_sas *sas = calloc(1, sizeof(*sas));
	int err = -ENOMEM;

	if (!sas)
		goto fail_memory;
	sas->node = node;
	sas->gone = node->maps.created;
	sas->generations = calloc(node->maps.meta->sas_max, sizeof(*sas->generations));
	sas->poll = event_new(node->loop, -1, EV_PERSIST, on_poll, sas);
	sas->retry = evtimer_new(node->loop, on_retry, sas);
	if (!sas->generations || !sas->poll || !sas->retry ||
	    (!node->maps.created && find_spis(sas) < 0))
		goto fail_memory;
	err = open_keys(sas, error);
	if (err < 0)
		goto fail;
	err = spw_epoch_load(node->state_dir, &sas->epoch, error);
	if (err == 0 && node->key_file[0])
		err = spw_peers_open(sas, error);
	if (err < 0)
		goto fail;
	err = spw_messages_io_open(node, on_message, sas, &sas->io, error);
	if (err < 0)
		goto fail;
	err = spw_link_create(node, sas->keys, &link_ops, sas, &node->link, error);
	if (err < 0)
		goto fail;
	node->sas = sas;
	return 0;

fail_memory:
	spw_error_set(error, err, (struct spw_place){0}, "no memory for the SA manager");
fail:
	if (sas)
		free_sas(sas);
	return err;
}

static void free_entry(struct spw_tunnel_sas *entry)
{
	if (entry->at) {
		*entry->at = entry->next;
		if (entry->next)
			entry->next->at = entry->at;
	}
	free(entry);
}

void spw_sas_destroy(struct spw_node *node)
{
	struct spw_sas *sas = node->sas;

	if (!sas)
		return;
	spw_link_destroy(node->link);
	node->link = NULL;
	while (sas->all) {
		struct spw_tunnel_sas *entry = sas->all;
		/* The tables stay as they are: a control that starts again takes them up. */
		if (entry->statics)
			spw_static_free(entry);
		if (entry->peer)
			spw_peer_free(entry);
		if (entry->foreign) {
			entry->adopted = true; /* the slots are not given back */
			entry->foreign->made_file = false;
			spw_foreign_free(entry);
		}
		if (entry->tunnel)
			entry->tunnel->sas = NULL;
		free_entry(entry);
	}
	spw_retire_forget(sas);
	free_sas(sas);
	node->sas = NULL;
}

/* ---- tunnels ------------------------------------------------------------------------------ */

/* The same key twice would mean the same numbers under it twice. */
static int check_prints(const struct spw_tunnel_sas *entry, struct spw_place place,
			struct spw_error *error)
{
	const char *name = entry->tunnel->name;

	if (entry->prints_cnt == 2 &&
	    memcmp(entry->prints[0], entry->prints[1], SPW_FINGERPRINT_BYTES) == 0)
		return spw_error_set(error, -EEXIST, place,
				     "tunnel \"%s\": both directions have the same key; each needs "
				     "a key of its own",
				     name);
	for (const struct spw_tunnel_sas *other = entry->prints_cnt ? entry->sas->all : NULL; other;
	     other = other->next) {
		if (other == entry || !other->tunnel)
			continue;
		for (uint32_t i = 0; i < entry->prints_cnt; i++)
			for (uint32_t j = 0; j < other->prints_cnt; j++)
				if (memcmp(entry->prints[i], other->prints[j],
					   SPW_FINGERPRINT_BYTES) == 0)
					return spw_error_set(
						error, -EEXIST, place,
						"tunnel \"%s\": it has the same key as tunnel "
						"\"%s\"; each needs keys of its own",
						name, other->tunnel->name);
	}
	return 0;
}

int spw_sas_prepare(struct spw_node *node, struct spw_tunnel_obj *tunnel,
		    const struct spw_tunnel_spec *spec, struct spw_place place,
		    struct spw_error *error)
{
	struct spw_tunnel_sas *entry = calloc(1, sizeof(*entry));
	int err;

	if (!entry)
		return spw_error_set(error, -ENOMEM, place, "tunnel \"%s\": no memory for its SAs",
				     tunnel->name);
	*entry = (struct spw_tunnel_sas){
		.sas = node->sas, .tunnel = tunnel, .next = node->sas->all, .at = &node->sas->all};
	if (entry->next)
		entry->next->at = &entry->next;
	node->sas->all = entry;
	if (spec->keying == SPW_KEYING_STATIC)
		err = spw_static_prepare(entry, spec, place, error);
	else if (spec->keying == SPW_KEYING_SESSION)
		err = spw_peer_prepare(entry, spec, place, error);
	else
		err = spw_foreign_prepare(entry, spec, place, error);
	if (err == 0)
		err = check_prints(entry, place, error);
	tunnel->sas = entry;
	if (err < 0)
		spw_sas_abort(node, tunnel);
	return err;
}

void spw_sas_abort(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	(void)node;
	if (tunnel->sas->statics)
		spw_static_free(tunnel->sas);
	if (tunnel->sas->peer)
		spw_peer_free(tunnel->sas);
	if (tunnel->sas->foreign)
		spw_foreign_free(tunnel->sas);
	free_entry(tunnel->sas);
	tunnel->sas = NULL;
}

void spw_sas_start(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	struct spw_tunnel_sas *entry = tunnel->sas;

	entry->started = true;
	if (entry->foreign) {
		entry->foreign->made_file = false;
		count_foreign(node->sas, 1);
	}
	if (spw_link_ready(node->link))
		entry_ready(entry);
}

void spw_sas_stop(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	struct spw_tunnel_sas *entry = tunnel->sas;

	if (entry->foreign)
		count_foreign(node->sas, -1);
	if (entry->statics)
		spw_static_stop(entry);
	else if (entry->peer)
		spw_peer_stop(entry);
	else
		spw_foreign_stop(entry);
	tunnel->sas = NULL;
	entry->tunnel = NULL;
	entry->started = false;
	if (entry->refs == 0)
		free_entry(entry);
}

void spw_sas_discard(struct spw_node *node, uint32_t direction, uint32_t slot)
{
	spw_retire(node->sas, direction, slot);
}

bool spw_tunnel_sas_unref(struct spw_tunnel_sas *entry)
{
	entry->refs--;
	if (entry->tunnel || entry->refs > 0)
		return false;
	free_entry(entry);
	return true;
}

int spw_sas_first_use(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	(void)node;
	if (!tunnel->sas || !tunnel->sas->foreign)
		return spw_error_set(error, -EINVAL, (struct spw_place){0},
				     "tunnel \"%s\" has no foreign keys; only those have a reserve",
				     tunnel->name);
	return spw_foreign_first_use(tunnel->sas, error);
}

int spw_sas_rekey(struct spw_node *node, struct spw_tunnel_obj *tunnel, struct spw_error *error)
{
	(void)node;
	if (!tunnel->sas || !tunnel->sas->peer)
		return spw_error_set(
			error, -EINVAL, (struct spw_place){0},
			"tunnel \"%s\" has no sessions; expected a tunnel with a `peer`",
			tunnel->name);
	if (tunnel->remote.family == 0)
		return spw_error_set(
			error, -ENOTCONN, (struct spw_place){0},
			"tunnel \"%s\": where its peer is, is not known yet; it has to "
			"begin, or give it an `endpoint`",
			tunnel->name);
	spw_peer_rekey(tunnel->sas);
	return 0;
}

json_t *spw_sas_describe(struct spw_node *node, const struct spw_tunnel_obj *tunnel)
{
	json_t *out = json_object();

	(void)node;
	if (!tunnel->sas)
		json_object_set_new(out, "state", json_string("its keys could not be read"));
	else if (tunnel->sas->statics)
		spw_static_describe(tunnel->sas, out);
	else if (tunnel->sas->peer)
		spw_peer_describe(tunnel->sas, out);
	else
		spw_foreign_describe(tunnel->sas, out);
	return out;
}
