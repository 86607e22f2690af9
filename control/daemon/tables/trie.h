/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trie.h - the only writer of route_units (format and lookup: ebpf/trie.h).
 *
 * All tries, the tenants' routes and the allow and deny sets in both families, share one pool. A
 * trie is its root, a number that the caller keeps and publishes; 0 is the empty trie. What shapes
 * a trie is made of follows from its prefixes, and changes with them (trie_build.c, trie_plan.c).
 *
 * A transaction works on the caller's private copies of the roots:
 *
 *	spw_trie_txn_begin(pool, &txn);
 *	root = tenant->route_root[0];
 *	spw_trie_insert(txn, &root, &prefix, leaf, false);	any number of changes, any roots
 *	spw_trie_txn_seal(txn, grace);				the last thing that can fail
 *	__atomic_store_n(&tenant->route_root[0], root, __ATOMIC_RELEASE);	publish every root
 *	spw_trie_txn_retire(txn);			the rest of the changes, then old blocks go
 *
 * or, at any time before the first root was published, spw_trie_txn_abort(txn): nothing happened.
 * A change that returns an error has changed nothing; the transaction may go on or be aborted.
 *
 * Published blocks are never written, with one exception: the slots of a direct table at the top,
 * each a word that changes in one store. Until retire these changes are kept aside; a trie whose changes are
 * all of that kind keeps its root. So a reader meets, for each destination, the route before or
 * after the transaction. Whoever reads through the pool (spw_trie_get, spw_trie_walk) while a
 * transaction is open sees the tries as the transaction has them.
 *
 * Who owns the memory: the blocks are the shared table's; the pool's book-keeping belongs to the
 * pool, a transaction to the pool until it is retired or aborted. Control's one thread.
 */
#ifndef SPW_CONTROL_TRIE_H
#define SPW_CONTROL_TRIE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/daemon/tables/grace.h"
#include "control/text.h" /* struct spw_prefix: family, bits, addr */
#include "ebpf/tables.h"

struct spw_trie_pool;
struct spw_trie_txn;

/* ---- the pool ----------------------------------------------------------------------------- */

/* units_max entries (as in spw_meta). NULL: no memory. The pool starts with nothing known about
 * what is in use: mark every published root, then spw_trie_marked(). */
struct spw_trie_pool *spw_trie_pool_create(struct spw_trie_unit *units, uint32_t units_max);
/* Not while a transaction is open. If its old blocks are in the limbo still, no spw_grace_run may
 * follow; the next start finds those blocks free. */
void spw_trie_pool_destroy(struct spw_trie_pool *pool);

/* On start: takes the blocks of one published trie; each distinct root once, 0 is allowed. family:
 * 4 or 6. What control left half done in a direct table's slots when it died is set right. 0, or
 * -EUCLEAN: the trie points out of the pool or into another one (the tables are damaged; the pool
 * is of no use any more). */
int spw_trie_mark(struct spw_trie_pool *pool, uint32_t root, unsigned int family);
/* All roots are marked (none in new tables): the rest is free. Before the first transaction. */
void spw_trie_marked(struct spw_trie_pool *pool);

struct spw_trie_usage {
	uint32_t units_used, units_max; /* blocks in the limbo count as used */
};
void spw_trie_usage(const struct spw_trie_pool *pool, struct spw_trie_usage *usage);

/* ---- reading ------------------------------------------------------------------------------ */

/* Leaf of exactly this prefix, 0: not there. root: published or a transaction's. */
uint32_t spw_trie_get(const struct spw_trie_pool *pool, uint32_t root,
		      const struct spw_prefix *prefix);

/* Calls fn for each prefix, in the order of addresses, a covering prefix before those within it.
 * fn returns 0 to go on; anything else ends the walk and is returned. -ENOMEM: no memory for the
 * list of them (24 bytes a prefix). */
typedef int (*spw_trie_walk_fn)(const struct spw_prefix *prefix, uint32_t leaf, void *arg);
int spw_trie_walk(const struct spw_trie_pool *pool, uint32_t root, unsigned int family,
		  spw_trie_walk_fn fn, void *arg);

/* ---- changing ----------------------------------------------------------------------------- */

/* 0, -EBUSY: one is open already, -ENOMEM. */
int spw_trie_txn_begin(struct spw_trie_pool *pool, struct spw_trie_txn **out);

/* Errors, each with nothing changed:
 *   -EINVAL the prefix is no prefix (family, bits, address bits behind them), or leaf is 0
 *   -EEXIST the prefix is there already and `replace` is false
 *   -ENOENT remove: the prefix is not there
 *   -ENOSPC the pool is full (limits.routes); the last of it is kept for removals
 *   -ENOMEM */
int spw_trie_insert(struct spw_trie_txn *txn, uint32_t *root, const struct spw_prefix *prefix,
		    uint32_t leaf, bool replace);
int spw_trie_remove(struct spw_trie_txn *txn, uint32_t *root, const struct spw_prefix *prefix);
/* Removes every prefix and sets *root to 0. family: 4 or 6. 0 or -ENOMEM. */
int spw_trie_clear(struct spw_trie_txn *txn, uint32_t *root, unsigned int family);

/* Whether anything was changed. */
bool spw_trie_txn_changed(const struct spw_trie_txn *txn);

/* Ends the changes and takes the place in the limbo that retire will need: 0, -ENOMEM, or -EBUSY:
 * no room there (abort, say "try again"). */
int spw_trie_txn_seal(struct spw_trie_txn *txn, struct spw_grace *grace);
/* After every changed root was published (or the record that holds it): stores the changed slots
 * of direct tables, and gives what was replaced to the limbo. */
void spw_trie_txn_retire(struct spw_trie_txn *txn);
/* Before the first root was published, sealed or not. NULL is allowed. */
void spw_trie_txn_abort(struct spw_trie_txn *txn);

#endif
