/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * foreigns.c - tunnels to foreign peers: fixed SPIs and keys, one SA and one owner worker in each
 * direction; see sas_private.h. foreign_reserve.c: how far their sequence numbers may go.
 */
#include "control/daemon/sa/foreigns.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/log.h"

/* What charon's libipsec and the kernel stay well within, and enough for reordering. */
#define WINDOW_PACKETS 2048u
#define OWNER_WORKER 0u

/* ---- life --------------------------------------------------------------------------------- */

static void free_foreign(struct spw_keys *keys, struct spw_foreign *foreign)
{
	if (!foreign)
		return;
	spw_keys_free(keys, foreign->in);
	spw_keys_free(keys, foreign->out);
	free(foreign);
}

static int read_key(struct spw_tunnel_sas *entry, const char *path, struct spw_foreign_key **out,
		    uint8_t print[SPW_FINGERPRINT_BYTES], struct spw_place place,
		    struct spw_error *error)
{
	static const unsigned int lengths[] = {16 + SPW_SALT_BYTES, 32 + SPW_SALT_BYTES, 0};
	struct spw_keys *keys = entry->sas->keys;
	const char *name = entry->tunnel->name;
	uint8_t *secret = spw_keys_alloc(keys);
	struct spw_foreign_key *key = spw_keys_alloc(keys);
	int bytes;

	*out = key;
	if (!secret || !key) {
		spw_keys_free(keys, secret);
		return spw_error_set(error, -ENOSPC, place,
				     "tunnel \"%s\": no locked memory is left for its keys", name);
	}
	bytes = spw_key_file_read(keys, path, lengths, secret, name, place, error);
	if (bytes > 0) {
		key->key_bytes = (uint32_t)bytes - SPW_SALT_BYTES;
		memcpy(key->key, secret, key->key_bytes);
		memcpy(key->salt, secret + key->key_bytes, SPW_SALT_BYTES);
		/* Without the salt: two SAs with one key and two salts are not what anyone wants.
		 */
		spw_key_fingerprint(key->key, key->key_bytes, print);
		memcpy(entry->prints[entry->prints_cnt++], print, SPW_FINGERPRINT_BYTES);
	}
	spw_keys_free(keys, secret);
	return bytes < 0 ? bytes : 0;
}

static bool stands(const struct spw_tunnel_sas *entry)
{
	const struct spw_node *node = entry->sas->node;
	const struct spw_spi *spi = &node->maps.spis[entry->foreign->in_slot];

	return entry->tunnel->slot != 0 && entry->tunnel->tx_sa[OWNER_WORKER] != 0 &&
	       spi->spi == entry->foreign->spi_in && spi->tunnel == entry->tunnel->id;
}

static int take_slots(struct spw_tunnel_sas *entry, struct spw_place place, struct spw_error *error)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_node *node = entry->sas->node;
	const char *name = entry->tunnel->name;
	uint32_t sas_max = node->maps.meta->sas_max, slot = SPW_SPI_SLOT(foreign->spi_in);
	int err;

	if (slot == 0 || slot >= sas_max)
		return spw_error_set(error, -ERANGE, place,
				     "tunnel \"%s\": the inbound SPI 0x%08x is out of range; "
				     "expected 0x%08x to 0x%08x",
				     name, foreign->spi_in, 1u << SPW_SPI_GENERATION_BITS,
				     (sas_max << SPW_SPI_GENERATION_BITS) - 1);
	if (foreign->spi_out < 256)
		return spw_error_set(error, -ERANGE, place,
				     "tunnel \"%s\": the outbound SPI 0x%08x is reserved; expected "
				     "0x00000100 or higher",
				     name, foreign->spi_out);
	foreign->in_slot = slot;
	if (stands(entry)) {
		entry->adopted = true;
		foreign->out_slot = entry->tunnel->tx_sa[OWNER_WORKER];
		return 0;
	}
	err = spw_slots_mark(node->spi_slots, slot);
	if (err < 0) {
		foreign->in_slot = 0;
		return spw_error_set(error, -EEXIST, place,
				     "tunnel \"%s\": slot %u of the inbound SPI 0x%08x is taken by "
				     "another SA, maybe for a moment only; try again or choose "
				     "another SPI",
				     name, slot, foreign->spi_in);
	}
	foreign->out_slot = spw_slots_alloc(node->out_slots);
	if (foreign->out_slot)
		return 0;
	spw_slots_free(node->spi_slots, slot);
	foreign->in_slot = 0;
	return spw_error_set(error, -ENOSPC, place,
			     "tunnel \"%s\": all %u SA slots are taken; raise limits.tunnels in "
			     "config.yaml",
			     name, sas_max);
}

int spw_foreign_prepare(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
			struct spw_place place, struct spw_error *error)
{
	struct spw_foreign *foreign = calloc(1, sizeof(*foreign));
	int err;

	if (!foreign)
		return spw_error_set(error, -ENOMEM, place, "tunnel \"%s\": no memory for its SAs",
				     entry->tunnel->name);
	entry->foreign = foreign;
	foreign->spi_in = spec->in.spi;
	foreign->spi_out = spec->out.spi;
	foreign->esn = spec->esn;
	err = read_key(entry, spec->in.key_file, &foreign->in, foreign->reserve.print_in, place,
		       error);
	if (err == 0)
		err = read_key(entry, spec->out.key_file, &foreign->out, foreign->reserve.print_out,
			       place, error);
	if (err == 0)
		err = take_slots(entry, place, error);
	if (err == 0 && spec->first_use)
		err = spw_foreign_make_file(entry, place, error);
	if (err == 0)
		return 0;
	spw_foreign_free(entry);
	return err;
}

/* Undoes prepare. The slots go back at once: nothing was ever published with them. */
void spw_foreign_free(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_node *node = entry->sas->node;

	if (!entry->adopted && foreign->in_slot)
		spw_slots_free(node->spi_slots, foreign->in_slot);
	if (!entry->adopted && foreign->out_slot)
		spw_slots_free(node->out_slots, foreign->out_slot);
	if (foreign->made_file)
		spw_foreign_remove_file(entry);
	free_foreign(entry->sas->keys, foreign);
	entry->foreign = NULL;
}

void spw_foreign_stop(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;

	memset(entry->tunnel->tx_sa, 0, sizeof(entry->tunnel->tx_sa));
	spw_retire(entry->sas, SPW_SA_IN, foreign->in_slot);
	spw_retire(entry->sas, SPW_SA_OUT, foreign->out_slot);
	free_foreign(entry->sas->keys, foreign);
	entry->foreign = NULL;
}

/* ---- the SAs in the dataplane ------------------------------------------------------------- */

static void starting_done(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_tunnel_obj *tunnel = entry->tunnel;
	int err = foreign->error;

	if (err == 0) {
		tunnel->tx_sa[OWNER_WORKER] = foreign->out_slot;
		err = tunnel->dying ? -EBUSY : spw_tunnel_publish(entry->sas->node, tunnel);
	}
	if (err < 0) {
		snprintf(foreign->trouble, sizeof(foreign->trouble),
			 "the dataplane or the tables do not take its SAs: %s; trying again",
			 strerror(-err));
		tunnel->tx_sa[OWNER_WORKER] = 0;
		foreign->state = SPW_FOREIGN_DOWN;
		return;
	}
	/* Numbers are being used: the next SAs need a reserve of their own. */
	foreign->opened = false;
	spw_spi_store(entry->sas->node, foreign->in_slot, foreign->spi_in, tunnel->id);
	foreign->state = SPW_FOREIGN_UP;
	foreign->trouble[0] = '\0';
	spw_log("info", "sa", "tunnel %s: up", tunnel->name);
}

static void on_answer(void *arg, int error, uint64_t value)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_foreign *foreign = entry->foreign;

	(void)value;
	if (spw_tunnel_sas_unref(entry) || !entry->tunnel)
		return;
	/* SA_DEL of what an earlier control may have left in the slot: mostly nothing. */
	if (error < 0 && error != -ENOENT && foreign->error == 0)
		foreign->error = error;
	if (--foreign->pending == 0 && foreign->state == SPW_FOREIGN_STARTING)
		starting_done(entry);
}

static void request(struct spw_tunnel_sas *entry, const void *msg, size_t bytes)
{
	struct spw_foreign *foreign = entry->foreign;
	int err = spw_link_request(entry->sas->node->link, msg, bytes, on_answer, entry);

	if (err < 0) {
		foreign->error = err;
		return;
	}
	entry->refs++;
	foreign->pending++;
}

static void add_sa(struct spw_tunnel_sas *entry, uint32_t direction, uint64_t sequence,
		   uint64_t limit)
{
	struct spw_foreign *foreign = entry->foreign;
	bool in = direction == SPW_SA_IN;
	const struct spw_foreign_key *key = in ? foreign->in : foreign->out;
	struct spw_msg_sa_del del = {.head.type = SPW_MSG_SA_DEL,
				     .direction = direction,
				     .slot = in ? foreign->in_slot : foreign->out_slot};
	struct spw_msg_sa_add msg = {
		.head.type = SPW_MSG_SA_ADD,
		.direction = direction,
		.slot = del.slot,
		.spi = in ? foreign->spi_in : foreign->spi_out,
		.tunnel = entry->tunnel->id,
		.worker = OWNER_WORKER,
		.flags = foreign->esn ? SPW_SA_F_ESN : 0,
		.key_bytes = key->key_bytes,
		.window_packets = in ? WINDOW_PACKETS : 0,
		.sequence = sequence,
		.limit = limit,
	};

	memcpy(msg.salt, key->salt, sizeof(msg.salt));
	memcpy(msg.key, key->key, key->key_bytes);
	if (!in && spw_foreign_iv_mask(key->key, key->key_bytes, &msg.iv_mask) < 0)
		foreign->error = -EIO;
	request(entry, &del, sizeof(del));
	if (foreign->error == 0)
		request(entry, &msg, sizeof(msg));
	OPENSSL_cleanse(&msg, sizeof(msg));
}

/* Both SAs, from the bounds on disk to the new ones, which are on disk before. */
static void bring_up(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;

	if (!foreign->opened && spw_foreign_open_reserve(entry) < 0)
		return;
	foreign->state = SPW_FOREIGN_STARTING;
	foreign->error = 0;
	add_sa(entry, SPW_SA_IN, foreign->from.rx_limit, foreign->reserve.rx_limit);
	add_sa(entry, SPW_SA_OUT, foreign->from.tx_limit, foreign->reserve.tx_limit);
	if (foreign->pending == 0)
		starting_done(entry);
}

void spw_foreign_ready(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;

	/* After a lost connection, or a restart of control: they stand where they stood. */
	if (entry->adopted || foreign->state == SPW_FOREIGN_UP) {
		foreign->state = SPW_FOREIGN_UP;
		entry->adopted = false;
		spw_foreign_take_up_reserve(entry);
		return;
	}
	if (foreign->pending == 0)
		bring_up(entry);
}

void spw_foreign_lost(struct spw_tunnel_sas *entry)
{
	entry->foreign->query_tx = entry->foreign->query_rx = false;
	if (entry->foreign->state == SPW_FOREIGN_STARTING)
		entry->foreign->state = SPW_FOREIGN_DOWN;
}

void spw_foreign_reset(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_node *node = entry->sas->node;

	spw_foreign_lost(entry);
	entry->adopted = false;
	foreign->state = SPW_FOREIGN_DOWN;
	/* The slots stay this tunnel's, so that nothing else can stand in what is still published.
	 */
	spw_spi_store(node, foreign->in_slot, 0, 0);
	memset(entry->tunnel->tx_sa, 0, sizeof(entry->tunnel->tx_sa));
	spw_tunnel_publish(node, entry->tunnel);
}

void spw_foreign_retry(struct spw_tunnel_sas *entry)
{
	if (entry->foreign->pending == 0)
		bring_up(entry);
}

int spw_foreign_first_use(struct spw_tunnel_sas *entry, struct spw_error *error)
{
	int err = spw_foreign_make_file(entry, (struct spw_place){0}, error);

	if (err < 0)
		return err;
	if (!entry->foreign->made_file)
		return spw_error_set(error, -EALREADY, (struct spw_place){0},
				     "tunnel \"%s\" has a reserve file already%s%s; if these keys "
				     "were never used, remove %s/%s.reserve first",
				     entry->tunnel->name, entry->foreign->trouble[0] ? ": " : "",
				     entry->foreign->trouble, entry->sas->node->state_dir,
				     entry->tunnel->name);
	entry->foreign->made_file = false;
	if (spw_link_ready(entry->sas->node->link))
		spw_foreign_ready(entry);
	return 0;
}

/* ---- description -------------------------------------------------------------------------- */

void spw_foreign_describe(const struct spw_tunnel_sas *entry, json_t *out)
{
	const struct spw_foreign *foreign = entry->foreign;
	const char *state = "waiting for the dataplane";

	if (foreign->trouble[0])
		state = foreign->trouble;
	else if (foreign->state == SPW_FOREIGN_UP || entry->adopted)
		state = "up";
	json_object_set_new(out, "keying", json_string("foreign"));
	json_object_set_new(out, "state", json_string(state));
	json_object_set_new(out, "esn", json_boolean(foreign->esn));
	json_object_set_new(out, "in",
			    json_pack("[{s:I, s:i}]", "spi", (json_int_t)foreign->spi_in, "worker",
				      OWNER_WORKER));
	json_object_set_new(out, "out",
			    json_pack("[{s:I, s:i}]", "spi", (json_int_t)foreign->spi_out, "worker",
				      OWNER_WORKER));
	json_object_set_new(out, "reserve",
			    json_pack("{s:I, s:I, s:I, s:I}", "tx_next",
				      (json_int_t)foreign->tx_next, "tx_limit",
				      (json_int_t)foreign->reserve.tx_limit, "rx_highest",
				      (json_int_t)foreign->rx_top, "rx_limit",
				      (json_int_t)foreign->reserve.rx_limit));
}
