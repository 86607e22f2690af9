/* SPDX-License-Identifier: BSD-2-Clause */
/* trie_txn.c - see trie.h: the pool, transactions, and what they leave to the limbo. */
#include <errno.h>
#include <stdlib.h>

#include "control/daemon/tables/trie_pool.h"

/* ---- the pool ----------------------------------------------------------------------------- */

struct spw_trie_pool *spw_trie_pool_create(struct spw_trie_unit *units, uint32_t units_max)
{
	struct spw_trie_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->units = units;
	pool->view = (struct spw_trie){units, units_max};
	pool->retired_end = &pool->retired_first;
	pool->born = calloc(units_max, sizeof(*pool->born));
	if (!pool->born || spw_blocks_open(&pool->blocks, units_max) != 0) {
		spw_trie_pool_destroy(pool);
		return NULL;
	}
	return pool;
}

static void txn_free(struct spw_trie_txn *txn)
{
	for (uint32_t i = 0; i < txn->drafts_cnt; i++)
		trie_draft_free(&txn->drafts[i]);
	free(txn->drafts);
	free(txn->born.at);
	free(txn->old.at);
	free(txn);
}

void spw_trie_pool_destroy(struct spw_trie_pool *pool)
{
	if (!pool)
		return;
	for (struct spw_trie_txn *txn = pool->retired_first, *next; txn; txn = next) {
		next = txn->next;
		txn_free(txn);
	}
	spw_blocks_close(&pool->blocks);
	free(pool->fresh.at);
	free(pool->gone.at);
	free(pool->born);
	free(pool);
}

void spw_trie_usage(const struct spw_trie_pool *pool, struct spw_trie_usage *usage)
{
	usage->units_max = pool->blocks.max - 1;
	usage->units_used = usage->units_max - pool->blocks.free;
}

/* ---- transactions ------------------------------------------------------------------------- */

int spw_trie_txn_begin(struct spw_trie_pool *pool, struct spw_trie_txn **out)
{
	if (pool->open)
		return -EBUSY;
	struct spw_trie_txn *txn = calloc(1, sizeof(*txn));
	if (!txn)
		return -ENOMEM;
	txn->pool = pool;
	pool->open = txn;
	*out = txn;
	return 0;
}

bool spw_trie_txn_changed(const struct spw_trie_txn *txn)
{
	return txn->changed;
}

int spw_trie_txn_seal(struct spw_trie_txn *txn, struct spw_grace *grace)
{
	if (txn->grace)
		return -EINVAL;
	for (uint32_t i = 0; i < txn->drafts_cnt; i++)
		if (trie_draft_seal(txn->pool, &txn->drafts[i]) != 0)
			return -ENOMEM;
	int error = spw_grace_reserve(grace, 1);
	if (error == 0)
		txn->grace = grace;
	return error;
}

static void retired(void *arg0, uint64_t arg1)
{
	struct spw_trie_txn *txn = arg0;
	struct spw_trie_pool *pool = txn->pool;

	(void)arg1;
	pool->retired_first = txn->next; /* the limbo keeps the order */
	if (!pool->retired_first)
		pool->retired_end = &pool->retired_first;
	for (uint32_t i = 0; i < txn->old.cnt; i++)
		trie_block_free(pool, txn->old.at[i]);
	txn_free(txn);
}

/* Blocks born in the transaction are published blocks from now on. */
static void born_forget(struct spw_trie_txn *txn)
{
	for (uint32_t i = 0; i < txn->born.cnt; i++)
		txn->pool->born[SPW_TRIE_INDEX(txn->born.at[i])] = 0;
}

void spw_trie_txn_retire(struct spw_trie_txn *txn)
{
	struct spw_trie_pool *pool = txn->pool;

	for (uint32_t i = 0; i < txn->drafts_cnt; i++)
		trie_draft_publish(pool, &txn->drafts[i]);
	born_forget(txn);
	pool->open = NULL;
	*pool->retired_end = txn;
	pool->retired_end = &txn->next;
	spw_grace_defer(txn->grace, retired, txn, 0);
}

void spw_trie_txn_abort(struct spw_trie_txn *txn)
{
	if (!txn)
		return;
	struct spw_trie_pool *pool = txn->pool;
	if (txn->grace)
		spw_grace_unreserve(txn->grace, 1);
	for (uint32_t i = 0; i < txn->drafts_cnt; i++)
		if (txn->drafts[i].ref)
			pool->born[SPW_TRIE_INDEX(txn->drafts[i].ref)] = 0;
	born_forget(txn);
	for (uint32_t i = 0; i < txn->born.cnt; i++)
		trie_block_free(pool, txn->born.at[i]);
	pool->open = NULL;
	txn_free(txn);
}
