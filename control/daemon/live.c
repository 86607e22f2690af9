/* SPDX-License-Identifier: BSD-2-Clause */
/* live.c - see live.h. */
#include "control/daemon/live.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct live {
	struct spw_prefix host;
	uint32_t tunnels;
};

static int compare(const void *a, const void *b)
{
	const struct spw_prefix *one = &((const struct live *)a)->host;
	const struct spw_prefix *other = &((const struct live *)b)->host;

	if (one->family != other->family)
		return one->family < other->family ? -1 : 1;
	return memcmp(one->addr, other->addr, sizeof(one->addr));
}

static int key_of(const struct spw_endpoint *source, struct live *key)
{
	uint32_t addr_bytes = source->family == 4 ? 4 : 16;

	if (source->family != 4 && source->family != 6)
		return -EINVAL;
	*key = (struct live){.host = {.family = source->family}};
	key->host.bits = (uint8_t)(addr_bytes * 8);
	memcpy(key->host.addr, source->addr, addr_bytes);
	return 0;
}

/* Puts the host into its family's trie, or takes it out, and publishes the root. */
static int publish(struct spw_node *node, const struct spw_prefix *host, bool in)
{
	uint32_t *published = &node->maps.meta->live_root[host->family == 6];
	uint32_t root = *published;
	struct spw_trie_txn *tries;
	int err = spw_trie_txn_begin(node->tries, &tries);

	if (err < 0)
		return err;
	err = in ? spw_trie_insert(tries, &root, host, SPW_LEAF(SPW_LEAF_MEMBER, 0), false)
		 : spw_trie_remove(tries, &root, host);
	if (err == 0)
		err = spw_trie_txn_seal(tries, node->grace);
	if (err < 0) {
		spw_trie_txn_abort(tries);
		return err;
	}
	__atomic_store_n(published, root, __ATOMIC_RELEASE);
	spw_trie_txn_retire(tries);
	return 0;
}

int spw_live_add(struct spw_node *node, const struct spw_endpoint *source)
{
	struct live key, *live, **at;
	int err = key_of(source, &key);

	if (err < 0)
		return err;
	at = tfind(&key, &node->live, compare);
	if (at) {
		(*at)->tunnels++;
		return 0;
	}
	live = malloc(sizeof(*live));
	if (!live)
		return -ENOMEM;
	*live = key;
	live->tunnels = 1;
	if (!tsearch(live, &node->live, compare)) {
		free(live);
		return -ENOMEM;
	}
	err = publish(node, &live->host, true);
	if (err < 0) {
		tdelete(live, &node->live, compare);
		free(live);
	}
	return err;
}

int spw_live_del(struct spw_node *node, const struct spw_endpoint *source)
{
	struct live key, *live, **at;
	int err = key_of(source, &key);

	if (err < 0)
		return err;
	at = tfind(&key, &node->live, compare);
	if (!at)
		return -ENOENT;
	live = *at;
	if (live->tunnels == 1) {
		err = publish(node, &live->host, false);
		if (err < 0)
			return err;
		tdelete(live, &node->live, compare);
		free(live);
		return 0;
	}
	live->tunnels--;
	return 0;
}

void spw_live_close(struct spw_node *node)
{
	tdestroy(node->live, free);
	node->live = NULL;
}
