/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * foreign_reserve.c - how far the sequence numbers of foreign SAs may go; see foreigns.h,
 * reserve.h.
 *
 * The dataplane neither sends nor accepts a number at or beyond the limit it was given, and control
 * gives no limit that is not on disk. So after any crash the numbers at and beyond the file's
 * bounds are unused: sending goes on there, and what lies below is refused as a possible replay.
 *
 * Sending reserves far ahead (numbers are free), receiving only a little: what a crash leaves
 * unused below the bound is refused from the peer afterwards.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/log.h"
#include "control/daemon/sa/foreigns.h"

/* Ten minutes without control at 28,000 packets/s; with ESN the numbers never run out. */
#define TX_BLOCK (1ull << 24)
#define TX_BLOCK_ESN (1ull << 32)
/* At least this many ahead; more (twice what came in the last two seconds) where traffic is fast.
 * After a crash at most so many packets of the peer are refused. */
#define RX_BLOCK_MIN 1024ull
/* Without ESN numbers end at 2^32 - 1 (RFC 4303 3.3.3); with it far earlier than they could. */
#define NUMBERS_END (1ull << 32)
#define NUMBERS_END_ESN (UINT64_MAX - 1)

static uint64_t numbers_end(const struct spw_foreign *foreign)
{
	return foreign->esn ? NUMBERS_END_ESN : NUMBERS_END;
}

/* from + block, or the end of all numbers. */
static uint64_t ahead(const struct spw_foreign *foreign, uint64_t from, uint64_t block)
{
	uint64_t end = numbers_end(foreign);

	return from < end && end - from > block ? from + block : end;
}

static uint64_t tx_block(const struct spw_foreign *foreign)
{
	return foreign->esn ? TX_BLOCK_ESN : TX_BLOCK;
}

static uint64_t rx_block(const struct spw_foreign *foreign)
{
	uint64_t then = foreign->rx_history[foreign->rx_history_at % SPW_RX_HISTORY];
	uint64_t recent = foreign->rx_top > then ? foreign->rx_top - then : 0;

	return 2 * recent > RX_BLOCK_MIN ? 2 * recent : RX_BLOCK_MIN;
}

/* ---- the file ----------------------------------------------------------------------------- */

static int store(struct spw_tunnel_sas *entry, const struct spw_reserve *next)
{
	const char *state_dir = entry->sas->node->state_dir, *name = entry->tunnel->name;
	int err = spw_reserve_store(state_dir, name, next);

	if (err < 0) {
		spw_log("error", "sa",
			"cannot write %s/%s.reserve: %s; tunnel %s will stop when "
			"its reserve is used up",
			state_dir, name, strerror(-err), name);
		return err;
	}
	entry->foreign->reserve = *next;
	return 0;
}

int spw_foreign_make_file(struct spw_tunnel_sas *entry, struct spw_place place,
			  struct spw_error *error)
{
	struct spw_foreign *foreign = entry->foreign;
	const char *state_dir = entry->sas->node->state_dir, *name = entry->tunnel->name;
	struct spw_reserve fresh = foreign->reserve;
	char why[512];
	int err = spw_reserve_load(state_dir, name, &fresh, why, sizeof(why));

	/* A file that stands is never overwritten: it may know better. */
	foreign->made_file = err == -ENOENT;
	if (err != -ENOENT)
		return 0;
	fresh.tx_limit = fresh.rx_limit = 1;
	err = spw_reserve_store(state_dir, name, &fresh);
	if (err < 0) {
		foreign->made_file = false;
		return spw_error_set(error, err, place,
				     "tunnel \"%s\": cannot write %s/%s.reserve: %s", name,
				     state_dir, name, strerror(-err));
	}
	return 0;
}

void spw_foreign_remove_file(struct spw_tunnel_sas *entry)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.reserve", entry->sas->node->state_dir,
		 entry->tunnel->name);
	unlink(path);
}

static void forget_history(struct spw_foreign *foreign)
{
	for (uint32_t i = 0; i < SPW_RX_HISTORY; i++)
		foreign->rx_history[i] = foreign->rx_top;
	foreign->rx_moved = false;
}

static int load(struct spw_tunnel_sas *entry, struct spw_reserve *reserve)
{
	struct spw_foreign *foreign = entry->foreign;
	char trouble[sizeof(foreign->trouble)];
	int err;

	*reserve = foreign->reserve;
	err = spw_reserve_load(entry->sas->node->state_dir, entry->tunnel->name, reserve, trouble,
			       sizeof(trouble));
	if (err == 0)
		return 0;
	if (strcmp(trouble, foreign->trouble) != 0)
		spw_log("error", "sa", "tunnel %s does not start: %s", entry->tunnel->name,
			trouble);
	memcpy(foreign->trouble, trouble, sizeof(trouble));
	return err;
}

int spw_foreign_open_reserve(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_reserve next, *from = &foreign->from;
	int err = load(entry, from);

	if (err < 0)
		return err;
	if (from->tx_limit >= numbers_end(foreign)) {
		snprintf(foreign->trouble, sizeof(foreign->trouble),
			 "its sequence numbers are used up; give both ends new keys");
		return -EOVERFLOW;
	}
	foreign->tx_next = from->tx_limit;
	foreign->rx_top = from->rx_limit - 1;
	forget_history(foreign);
	next = *from;
	next.tx_limit = ahead(foreign, from->tx_limit, tx_block(foreign));
	next.rx_limit = ahead(foreign, from->rx_limit, RX_BLOCK_MIN);
	err = store(entry, &next);
	foreign->opened = err == 0;
	if (err < 0)
		snprintf(foreign->trouble, sizeof(foreign->trouble),
			 "its reserve cannot be written: %s", strerror(-err));
	return err;
}

void spw_foreign_take_up_reserve(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_reserve reserve;

	/* A file that is not to be trusted: the SAs end at the limits they have. */
	if (load(entry, &reserve) < 0)
		return;
	foreign->reserve = reserve;
	foreign->tx_next = 0;
	foreign->rx_top = 0;
	forget_history(foreign);
	/* The limit that control died over may not have arrived. */
	foreign->limit_tx_due = foreign->limit_rx_due = true;
}

/* ---- renewal ------------------------------------------------------------------------------ */

static void on_limit(void *arg, int error, uint64_t value)
{
	(void)value;
	if (error < 0 && error != -ECONNRESET)
		spw_log("error", "sa", "the dataplane refused a new limit: %s", strerror(-error));
	spw_tunnel_sas_unref(arg);
}

/* False: not taken, try again at the next poll. */
static bool send_limit(struct spw_tunnel_sas *entry, uint32_t direction)
{
	struct spw_foreign *foreign = entry->foreign;
	bool in = direction == SPW_SA_IN;
	struct spw_msg_sa_limit msg = {
		.head.type = SPW_MSG_SA_LIMIT,
		.direction = direction,
		.slot = in ? foreign->in_slot : foreign->out_slot,
		.limit = in ? foreign->reserve.rx_limit : foreign->reserve.tx_limit,
	};

	if (spw_link_request(entry->sas->node->link, &msg, sizeof(msg), on_limit, entry) < 0)
		return false;
	entry->refs++;
	return true;
}

static void send_limits(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;

	if (foreign->limit_tx_due && send_limit(entry, SPW_SA_OUT))
		foreign->limit_tx_due = false;
	if (foreign->limit_rx_due && send_limit(entry, SPW_SA_IN))
		foreign->limit_rx_due = false;
}

/* Both numbers are known: renews what is more than half used. */
static void renew(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_reserve next = foreign->reserve;
	uint64_t tx_ahead = tx_block(foreign), rx_ahead = rx_block(foreign);
	uint64_t tx_want = ahead(foreign, foreign->tx_next, tx_ahead);
	uint64_t rx_want = ahead(foreign, foreign->rx_top + 1, rx_ahead);
	bool tx = tx_want > next.tx_limit && tx_want - next.tx_limit >= tx_ahead / 2;
	bool rx = rx_want > next.rx_limit && rx_want - next.rx_limit >= rx_ahead / 2;

	foreign->rx_history[foreign->rx_history_at++ % SPW_RX_HISTORY] = foreign->rx_top;
	if (!tx && !rx)
		return;
	if (tx)
		next.tx_limit = tx_want;
	if (rx)
		next.rx_limit = rx_want;
	if (store(entry, &next) < 0)
		return;
	foreign->limit_tx_due |= tx;
	foreign->limit_rx_due |= rx;
	send_limits(entry);
}

static void on_tx(void *arg, int error, uint64_t value)
{
	struct spw_tunnel_sas *entry = arg;

	if (spw_tunnel_sas_unref(entry) || !entry->tunnel)
		return;
	entry->foreign->query_tx = false;
	/* Never beyond what it was allowed. */
	if (error == 0 && value <= entry->foreign->reserve.tx_limit)
		entry->foreign->tx_next = value;
}

static void on_rx(void *arg, int error, uint64_t value)
{
	struct spw_tunnel_sas *entry = arg;
	struct spw_foreign *foreign = entry->foreign;

	if (spw_tunnel_sas_unref(entry) || !entry->tunnel)
		return;
	foreign->query_rx = false;
	if (error < 0 || foreign->state != SPW_FOREIGN_UP)
		return;
	/* The step from the bound on disk to where the peer stands says nothing about its rate. */
	if (value > foreign->rx_top && !foreign->rx_moved) {
		foreign->rx_top = value;
		forget_history(foreign);
		foreign->rx_moved = true;
	}
	foreign->rx_top = value;
	renew(entry);
}

static bool query(struct spw_tunnel_sas *entry, uint32_t direction, uint32_t slot,
		  spw_link_answer answer)
{
	struct spw_msg_sa_query msg = {
		.head.type = SPW_MSG_SA_QUERY, .direction = direction, .slot = slot};

	if (spw_link_request(entry->sas->node->link, &msg, sizeof(msg), answer, entry) < 0)
		return false;
	entry->refs++;
	return true;
}

void spw_foreign_poll(struct spw_tunnel_sas *entry)
{
	struct spw_foreign *foreign = entry->foreign;

	if (foreign->state == SPW_FOREIGN_DOWN && !entry->adopted) {
		spw_foreign_retry(entry);
		return;
	}
	if (foreign->state != SPW_FOREIGN_UP || foreign->query_tx || foreign->query_rx)
		return;
	send_limits(entry);
	/* In this order: renew runs on the second answer. */
	foreign->query_tx = query(entry, SPW_SA_OUT, foreign->out_slot, on_tx);
	foreign->query_rx = query(entry, SPW_SA_IN, foreign->in_slot, on_rx);
}

void spw_foreign_final(struct spw_tunnel_sas *entry, uint32_t direction, uint64_t sequence)
{
	struct spw_foreign *foreign = entry->foreign;
	struct spw_reserve next = foreign->reserve;

	if (foreign->state != SPW_FOREIGN_UP)
		return;
	/* What was said before cannot be taken back. */
	if (direction == SPW_SA_OUT && sequence >= foreign->tx_next && sequence <= next.tx_limit)
		next.tx_limit = sequence;
	else if (direction == SPW_SA_IN && sequence >= foreign->rx_top &&
		 sequence < numbers_end(foreign))
		next.rx_limit = sequence + 1;
	else
		return;
	store(entry, &next);
}
