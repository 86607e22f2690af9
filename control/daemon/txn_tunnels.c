/* SPDX-License-Identifier: BSD-2-Clause */
/* txn_tunnels.c - see txn.h: what adding and deleting a tunnel demands, and what it takes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/model.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/sas.h"
#include "control/daemon/txn.h"

#define INNER_MTU_MIN 576u
#define INNER_MTU_MAX 9000u
#define OUT_SPI_MIN 256u /* RFC 4303 2.1: below are reserved */

/* ---- adding ------------------------------------------------------------------------------- */

static int check_foreign(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_tunnel_spec *spec = &op->tunnel;
	uint32_t slot = SPW_SPI_SLOT(spec->in.spi), sas_max = txn->node->maps.meta->sas_max;

	if (slot == 0 || slot >= sas_max)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": inbound SPI 0x%08x; expected 0x%08x to 0x%08x",
				     spec->name, spec->in.spi, 1u << SPW_SPI_GENERATION_BITS,
				     (sas_max << SPW_SPI_GENERATION_BITS) - 1);
	if (spec->out.spi < OUT_SPI_MIN)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": outbound SPI 0x%08x; expected 0x%08x or more "
				     "(RFC 4303 reserves those below)",
				     spec->name, spec->out.spi, OUT_SPI_MIN);
	if (!spec->in.key_file || !spec->out.key_file)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": expected a key_file for `in` and for `out`",
				     spec->name);
	return 0;
}

/* Whose sessions a key stands for must be clear: one tunnel to a peer. */
static int check_session(struct spw_txn *txn, const struct spw_op *op)
{
	static const uint8_t zero[SPW_PUBLIC_KEY_BYTES];
	const struct spw_tunnel_spec *spec = &op->tunnel;
	const struct spw_tunnel_obj *other;

	if (!txn->node->key_file[0])
		return spw_error_set(
			txn->error, -EINVAL, op->place,
			"tunnel \"%s\": this node has no key of its own; make one with \"spillway "
			"key generate FILE\", name it as key_file in config.yaml and start the "
			"node anew",
			spec->name);
	if (memcmp(spec->peer_key, zero, sizeof(zero)) == 0)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": the peer's public key is all zeros, which is "
				     "nobody's; expected its own",
				     spec->name);
	other = spw_tunnel_of_peer(txn->node, spec->peer_key);
	if (other)
		return spw_error_set(txn->error, -EEXIST, op->place,
				     "tunnel \"%s\" has the same peer as tunnel \"%s\"; expected "
				     "one tunnel to a peer, that allows all of its prefixes",
				     spec->name, other->name);
	return 0;
}

static int check_keying(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_tunnel_spec *spec = &op->tunnel;

	if (spec->keying == SPW_KEYING_FOREIGN)
		return check_foreign(txn, op);
	if (spec->keying == SPW_KEYING_SESSION) {
		int err = check_session(txn, op);
		if (err < 0)
			return err;
	} else if (!spec->secret_file) {
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": expected a secret_file", spec->name);
	}
	if (spec->key_bits != 16 && spec->key_bits != 32)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": expected the cipher aes-128-gcm or "
				     "aes-256-gcm",
				     spec->name);
	return 0;
}

/* Whether the tunnel that was deleted in the same transaction stands in this one's way: by its name
 * or, for sessions, by its peer. */
static bool is_in_the_way(const struct spw_tunnel_obj *gone, const struct spw_tunnel_spec *spec)
{
	return strcmp(gone->name, spec->name) == 0 ||
	       (gone->spec.keying == SPW_KEYING_SESSION && spec->keying == SPW_KEYING_SESSION &&
		memcmp(gone->spec.peer_key, spec->peer_key, sizeof(spec->peer_key)) == 0);
}

static int check_ends(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_tunnel_spec *spec = &op->tunnel;
	bool learned = spec->keying == SPW_KEYING_SESSION && spec->remote.family == 0;

	if (!learned && ((spec->remote.family != 4 && spec->remote.family != 6) ||
			 !spw_endpoint_is_unicast(&spec->remote)))
		return spw_error_set(
			txn->error, -EINVAL, op->place,
			"tunnel \"%s\": no peer can have this remote address; expected "
			"a unicast address such as 192.0.2.1 or 2001:db8::1",
			spec->name);
	if (spec->local.family && !learned && spec->local.family != spec->remote.family)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": local is IPv%u and remote is IPv%u; expected "
				     "one family",
				     spec->name, spec->local.family, spec->remote.family);
	return 0;
}

static int check_tunnel(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_tunnel_spec *spec = &op->tunnel;
	int err =
		spw_txn_name(txn, op, "tunnel", spec->name, spw_tunnel_find(txn->node, spec->name));

	if (err < 0)
		return err;
	for (uint32_t i = 0; txn->gone_cnt && i < txn->changes_cnt; i++)
		if (txn->changes[i].kind == SPW_CHANGE_TUNNEL_GONE &&
		    is_in_the_way(txn->changes[i].tunnel, spec))
			return spw_error_set(txn->error, -EBUSY, op->place,
					     "tunnel \"%s\" is deleted in the same batch, and its "
					     "keys are in use until that is done; add it in the "
					     "next one",
					     txn->changes[i].tunnel->name);
	err = check_ends(txn, op);
	if (err < 0)
		return err;
	if (spec->mtu_bytes && (spec->mtu_bytes < INNER_MTU_MIN || spec->mtu_bytes > INNER_MTU_MAX))
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "tunnel \"%s\": mtu %u; expected %u to %u bytes", spec->name,
				     spec->mtu_bytes, INNER_MTU_MIN, INNER_MTU_MAX);
	return check_keying(txn, op);
}

static int insert_allow(struct spw_txn *txn, const struct spw_op *op, struct spw_tunnel_obj *tunnel)
{
	char text[SPW_PREFIX_TEXT_BYTES];

	for (uint32_t i = 0; i < tunnel->allow_cnt; i++) {
		const struct spw_prefix *prefix = &tunnel->allow[i];
		struct spw_place place =
			op->tunnel.allow_places ? op->tunnel.allow_places[i] : op->place;
		int err = spw_trie_insert(txn->tries, &tunnel->allow_root[prefix->family == 6],
					  prefix, SPW_LEAF(SPW_LEAF_MEMBER, 0), false);
		if (err == -EEXIST) {
			spw_prefix_format(prefix, text, sizeof(text));
			return spw_error_set(txn->error, err, place,
					     "tunnel \"%s\": allow names %s twice; expected each "
					     "prefix once",
					     tunnel->name, text);
		}
		if (err < 0)
			return spw_txn_trie_failed(txn, place, "allowed source", prefix, err);
	}
	return 0;
}

static int new_tunnel(struct spw_txn *txn, const struct spw_op *op, struct spw_tenant_obj *tenant,
		      struct spw_tunnel_obj **out)
{
	struct spw_node *node = txn->node;
	const char *name = op->tunnel.name;
	uint32_t slot;

	*out = spw_tunnel_new(node, &op->tunnel, tenant, 0);
	if (!*out && errno == ENOSPC)
		return spw_error_set(txn->error, -ENOSPC, op->place,
				     "tunnel \"%s\": the tunnel table is full (%u tunnels); raise "
				     "limits.tunnels in config.yaml and start the node anew",
				     name, node->maps.meta->tunnels_max - 1);
	if (!*out)
		return spw_error_set(txn->error, -ENOMEM, op->place, "tunnel \"%s\": no memory",
				     name);
	slot = spw_slots_alloc(node->tunnel_slots);
	if (slot == 0) {
		spw_error_set(txn->error, -EBUSY, op->place,
			      "tunnel \"%s\": all %u record slots are taken, by deleted tunnels "
			      "for a moment longer; try again",
			      name, node->maps.meta->tunnel_slots_max - 1);
		goto fail_tunnel;
	}
	if (spw_txn_log(txn, op->place,
			(struct spw_change){SPW_CHANGE_TUNNEL_NEW, .tunnel = *out, .slot = slot}) <
	    0)
		goto fail_slot;
	return 0;

fail_slot:
	spw_slots_free(node->tunnel_slots, slot);
fail_tunnel:
	spw_tunnel_hide(node, *out);
	spw_tunnel_free(node, *out);
	return txn->error->code;
}

int spw_txn_tunnel_add(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_tenant_obj *tenant;
	struct spw_tunnel_obj *tunnel;
	int err = check_tunnel(txn, op);

	if (err < 0)
		return err;
	tenant = spw_txn_tenant(txn, op, op->tunnel.tenant);
	if (!tenant)
		return -ENOENT;
	/* From here on the log undoes all of it: abort asks what the tunnel has. */
	err = new_tunnel(txn, op, tenant, &tunnel);
	if (err == 0)
		err = insert_allow(txn, op, tunnel);
	if (err == 0)
		err = spw_nexthop_acquire(txn->node, tunnel, 0, txn->error);
	if (err == 0)
		err = spw_sas_prepare(txn->node, tunnel, &op->tunnel, op->place, txn->error);
	if (err < 0)
		spw_error_set(txn->error, err, op->place, "tunnel \"%s\": %s", op->tunnel.name,
			      strerror(-err));
	if (err < 0 && txn->error->place.line == 0)
		txn->error->place = op->place;
	return err;
}

/* ---- deleting ----------------------------------------------------------------------------- */

struct users {
	uint32_t leaf;
	uint32_t cnt;
	char text[3 * SPW_PREFIX_TEXT_BYTES];
};

static int name_user(const struct spw_prefix *prefix, uint32_t leaf, void *arg)
{
	struct users *users = arg;
	size_t used = strlen(users->text);
	char text[SPW_PREFIX_TEXT_BYTES];

	if (leaf != users->leaf)
		return 0;
	spw_prefix_format(prefix, text, sizeof(text));
	snprintf(users->text + used, sizeof(users->text) - used, "%s%s", used ? ", " : "", text);
	return ++users->cnt == 3;
}

static int refuse_used(struct spw_txn *txn, const struct spw_op *op, struct spw_tunnel_obj *tunnel)
{
	struct users users = {.leaf = SPW_LEAF(SPW_LEAF_TUNNEL, tunnel->id)};

	if (spw_trie_walk(txn->node->tries, tunnel->tenant->route_root[0], 4, name_user, &users) ==
	    0)
		spw_trie_walk(txn->node->tries, tunnel->tenant->route_root[1], 6, name_user,
			      &users);
	return spw_error_set(txn->error, -EBUSY, op->place,
			     "tunnel \"%s\": %u route%s of tenant \"%s\" lead%s into it: %s%s; "
			     "delete or move them first",
			     tunnel->name, tunnel->routes_cnt, tunnel->routes_cnt == 1 ? "" : "s",
			     tunnel->tenant->name, tunnel->routes_cnt == 1 ? "s" : "", users.text,
			     tunnel->routes_cnt > 3 ? ", ..." : "");
}

int spw_txn_tunnel_del(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_tunnel_obj *tunnel = spw_txn_tunnel(txn, op, op->tunnel.name);
	int err;

	if (!tunnel)
		return -ENOENT;
	if (tunnel->routes_cnt > 0)
		return refuse_used(txn, op, tunnel);
	err = spw_txn_log(txn, op->place,
			  (struct spw_change){SPW_CHANGE_TUNNEL_GONE, .tunnel = tunnel});
	if (err < 0)
		return err;
	spw_tunnel_hide(txn->node, tunnel);
	txn->gone_cnt++;
	/* One that this transaction added: no packet ever saw its allow tries. */
	for (unsigned int family = 0; err == 0 && tunnel->slot == 0 && family < 2; family++)
		err = spw_trie_clear(txn->tries, &tunnel->allow_root[family], family ? 6 : 4);
	if (err < 0)
		return spw_error_set(txn->error, err, op->place, "tunnel \"%s\": %s", tunnel->name,
				     strerror(-err));
	return 0;
}
