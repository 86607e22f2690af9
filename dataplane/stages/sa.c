/* SPDX-License-Identifier: BSD-2-Clause */
/* sa.c - the table of SAs, see sa.h. All of it runs on the main thread. */
#include "dataplane/stages/sa.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/arena.h"

/* RFC 4303 2.1: SPIs 1 to 255 are reserved. */
#define SPI_MIN 256u

/* The tables themselves hold pointers only and need no locked memory. */
struct spw_sa_table *spw_sa_table_create(uint32_t sas_max)
{
	struct spw_sa_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->sas_max = sas_max;
	TAILQ_INIT(&table->ends);
	table->in = calloc(sas_max, sizeof(struct spw_sa *));
	if (!table->in)
		goto free_table;
	table->out = calloc(sas_max, sizeof(struct spw_sa *));
	if (!table->out)
		goto free_in;
	return table;

free_in:
	free(table->in);
free_table:
	free(table);
	return NULL;
}

static void end_forget(struct spw_sa_table *table, struct spw_sa_end *end)
{
	TAILQ_REMOVE(&table->ends, end, at);
	free(end);
}

/* Puts the SA's end in its place. Lifetimes are mostly alike, so the place is mostly the last. */
static void end_note(struct spw_sa_table *table, struct spw_sa_end *end)
{
	struct spw_sa_end *before = TAILQ_LAST(&table->ends, spw_sa_ends);

	while (before && before->ms > end->ms)
		before = TAILQ_PREV(before, spw_sa_ends, at);
	if (before)
		TAILQ_INSERT_AFTER(&table->ends, before, end, at);
	else
		TAILQ_INSERT_HEAD(&table->ends, end, at);
}

void spw_sa_table_destroy(struct spw_sa_table *table)
{
	if (!table)
		return;
	while (!TAILQ_EMPTY(&table->ends))
		end_forget(table, TAILQ_FIRST(&table->ends));
	for (uint32_t slot = 0; slot < table->sas_max; slot++) {
		spw_sa_destroy(table->in[slot]);
		spw_sa_destroy(table->out[slot]);
	}
	free(table->out);
	free(table->in);
	free(table);
}

/* The place of an SA in the table; NULL: direction or slot out of range. */
static struct spw_sa **place_of(struct spw_sa_table *table, uint32_t direction, uint32_t slot)
{
	if (slot == 0 || slot >= table->sas_max)
		return NULL;
	if (direction == SPW_SA_IN)
		return &table->in[slot];
	return direction == SPW_SA_OUT ? &table->out[slot] : NULL;
}

static bool valid(const struct spw_msg_sa_add *msg)
{
	if (msg->tunnel == 0 || msg->worker >= SPW_WORKERS_MAX || msg->spi < SPI_MIN)
		return false;
	uint32_t flags = SPW_SA_F_ESN | (msg->direction == SPW_SA_IN ? SPW_SA_F_SESSION : 0);
	if ((msg->key_bytes != 16 && msg->key_bytes != 32) || msg->flags & ~flags)
		return false;
	if (msg->direction == SPW_SA_IN)
		return SPW_SPI_SLOT(msg->spi) == msg->slot &&
		       spw_replay_window_valid(msg->window_packets);
	return msg->sequence != 0; /* ESP never sends number 0 */
}

/* Outbound, where the numbers end is a limit like the reserve's: packets look at one of them. */
static uint64_t limit_of(uint32_t direction, uint32_t flags, uint64_t limit)
{
	uint64_t end = spw_sa_last(flags) + 1;

	return direction == SPW_SA_OUT && limit > end ? end : limit;
}

int spw_sa_add(struct spw_sa_table *table, const struct spw_msg_sa_add *msg, uint64_t now_ms)
{
	struct spw_sa **place = place_of(table, msg->direction, msg->slot);
	bool in = msg->direction == SPW_SA_IN;

	if (!place || !valid(msg))
		return -EINVAL;
	if (*place)
		return -EEXIST;

	struct spw_sa_end *end = NULL;
	if (msg->lifetime_ms) {
		end = malloc(sizeof(*end));
		if (!end)
			return -ENOMEM;
		*end = (struct spw_sa_end){.ms = now_ms + msg->lifetime_ms,
					   .direction = msg->direction,
					   .slot = msg->slot};
	}
	/* One block: the key, the SA, its replay ring. A packet touches all three. */
	uint8_t *block = spw_arena_alloc(spw_aead_layout.key_bytes + sizeof(struct spw_sa) +
					 (in ? spw_replay_bytes(msg->window_packets) : 0));
	if (!block)
		goto free_end;
	struct spw_sa *sa = (struct spw_sa *)(block + spw_aead_layout.key_bytes);
	if (!spw_aead_init(sa->aead, msg->worker, msg->key, msg->key_bytes, !in)) {
		spw_arena_free(block);
		goto free_end;
	}
	sa->spi = msg->spi;
	sa->tunnel = msg->tunnel;
	sa->worker = msg->worker;
	sa->flags = msg->flags;
	memcpy(&sa->salt_be, msg->salt, sizeof(sa->salt_be));
	sa->spi_be = __builtin_bswap32(msg->spi);
	sa->iv_mask_be = __builtin_bswap64(msg->iv_mask);
	sa->limit = limit_of(msg->direction, msg->flags, msg->limit);
	sa->sequence = msg->sequence;
	sa->end = end;
	if (end)
		end_note(table, end);
	if (in)
		spw_replay_init(&sa->replay, msg->window_packets, msg->sequence);
	/* Pairs with the acquire load of spw_sa_get. */
	__atomic_store_n(place, sa, __ATOMIC_RELEASE);
	__atomic_store_n(&table->sas_cnt, table->sas_cnt + 1, __ATOMIC_RELAXED);
	return 0;

free_end:
	free(end);
	return -ENOMEM;
}

struct spw_sa *spw_sa_unpublish(struct spw_sa_table *table, uint32_t direction, uint32_t slot)
{
	struct spw_sa **place = place_of(table, direction, slot);
	if (!place)
		return NULL;
	struct spw_sa *sa = *place;
	__atomic_store_n(place, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&table->sas_cnt, table->sas_cnt - (sa != NULL), __ATOMIC_RELAXED);
	if (sa && sa->end)
		end_forget(table, sa->end);
	return sa;
}

struct spw_sa *spw_sa_unpublish_ended(struct spw_sa_table *table, uint64_t now_ms)
{
	const struct spw_sa_end *end = TAILQ_FIRST(&table->ends);

	return end && end->ms <= now_ms ? spw_sa_unpublish(table, end->direction, end->slot) : NULL;
}

int spw_sa_ends_in_ms(const struct spw_sa_table *table, uint64_t now_ms)
{
	const struct spw_sa_end *end = TAILQ_FIRST(&table->ends);

	if (!end)
		return -1;
	if (end->ms <= now_ms)
		return 0;
	return end->ms - now_ms < INT_MAX ? (int)(end->ms - now_ms) : INT_MAX;
}

void spw_sa_destroy(struct spw_sa *sa)
{
	if (!sa)
		return;
	spw_arena_free(spw_aead_fini(sa->aead)); /* wipes all three */
}

int spw_sa_limit(struct spw_sa_table *table, uint32_t direction, uint32_t slot, uint64_t limit)
{
	struct spw_sa **place = place_of(table, direction, slot);
	if (!place)
		return -EINVAL;
	if (!*place)
		return -ENOENT;
	__atomic_store_n(&(*place)->limit, limit_of(direction, (*place)->flags, limit),
			 __ATOMIC_RELAXED);
	return 0;
}

int spw_sa_query(struct spw_sa_table *table, uint32_t direction, uint32_t slot, uint64_t *sequence)
{
	struct spw_sa **place = place_of(table, direction, slot);
	if (!place)
		return -EINVAL;
	if (!*place)
		return -ENOENT;
	const struct spw_sa *sa = *place;
	if (direction == SPW_SA_IN) {
		uint64_t top = __atomic_load_n(&sa->replay.top, __ATOMIC_RELAXED);
		uint64_t wanted = __atomic_load_n(&sa->wanted, __ATOMIC_RELAXED);
		*sequence = top > wanted ? top : wanted;
	} else {
		*sequence = __atomic_load_n(&sa->sequence, __ATOMIC_RELAXED);
	}
	return 0;
}
