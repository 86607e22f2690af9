/* SPDX-License-Identifier: BSD-2-Clause */
/* txn_ops.c - see txn.h: what each op demands, and what it takes; tenants and rates. Tunnels stand
 * in txn_tunnels.c, prefixes in txn_routes.c, relays in txn_relays.c. */
#include <errno.h>
#include <string.h>

#include "control/daemon/model.h"
#include "control/daemon/txn.h"

#define RATE_KBIT_MAX 400000000u /* 400 Gbit/s */
#define BURST_BYTES_MIN 4096u    /* a bucket must hold the longest packet */
#define BURST_DEFAULT_MIN 65536u

struct spw_tenant_obj *spw_txn_tenant(struct spw_txn *txn, const struct spw_op *op,
				      const char *name)
{
	struct spw_tenant_obj *tenant = spw_tenant_find(txn->node, name);

	if (!tenant)
		spw_error_set(txn->error, -ENOENT, op->place, "there is no tenant \"%s\"", name);
	return tenant;
}

struct spw_tunnel_obj *spw_txn_tunnel(struct spw_txn *txn, const struct spw_op *op,
				      const char *name)
{
	struct spw_tunnel_obj *tunnel = spw_tunnel_find(txn->node, name);

	if (!tunnel)
		spw_error_set(txn->error, -ENOENT, op->place, "there is no tunnel \"%s\"", name);
	return tunnel;
}

int spw_txn_name(struct spw_txn *txn, const struct spw_op *op, const char *what, const char *name,
		 bool there)
{
	const char *expected = "";

	if (spw_name_check(name, &expected) < 0)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "%s \"%.40s\" has a bad name; expected %s", what, name,
				     expected);
	if (there)
		return spw_error_set(txn->error, -EEXIST, op->place,
				     "%s \"%s\" is there already; expected a new name", what, name);
	return 0;
}

int spw_txn_trie_failed(struct spw_txn *txn, struct spw_place place, const char *what,
			const struct spw_prefix *prefix, int err)
{
	char text[SPW_PREFIX_TEXT_BYTES];
	struct spw_trie_usage usage;

	if (err != -ENOSPC) {
		spw_prefix_format(prefix, text, sizeof(text));
		return spw_error_set(txn->error, err, place, "%s %s: %s", what, text,
				     err == -EEXIST ? "is there already" : strerror(-err));
	}
	spw_trie_usage(txn->node->tries, &usage);
	/* Room that comes back by itself is no reason to start anew. */
	if (spw_grace_waiting(txn->node->grace) > 0)
		return spw_error_set(
			txn->error, -EBUSY, place,
			"the route table is full (%u of %u units taken), in part by what earlier "
			"changes replaced and workers may read a moment longer; try again in a "
			"second",
			usage.units_used, usage.units_max);
	return spw_error_set(txn->error, -ENOSPC, place,
			     "the route table is full (%u of %u units taken, made for "
			     "limits.routes = %u prefixes); raise limits.routes in config.yaml and "
			     "start the node anew",
			     usage.units_used, usage.units_max, txn->node->limits.routes);
}

/* ---- tenants ------------------------------------------------------------------------------ */

static int prepare_tenant_add(struct spw_txn *txn, const struct spw_op *op)
{
	struct spw_node *node = txn->node;
	const char *name = op->tenant.name;
	struct spw_tenant_obj *tenant;
	int err = spw_txn_name(txn, op, "tenant", name, spw_tenant_find(node, name));

	if (err < 0)
		return err;
	tenant = spw_tenant_new(node, name, 0);
	if (!tenant && errno == ENOSPC)
		return spw_error_set(txn->error, -ENOSPC, op->place,
				     "tenant \"%s\": the tenant table is full (%u tenants); raise "
				     "limits.tenants in config.yaml and start the node anew",
				     name, node->limits.tenants);
	if (!tenant)
		return spw_error_set(txn->error, -ENOMEM, op->place, "tenant \"%s\": no memory",
				     name);
	err = spw_txn_log(txn, op->place,
			  (struct spw_change){SPW_CHANGE_TENANT_NEW, .tenant = tenant});
	if (err < 0) {
		spw_tenant_drop(node, tenant);
		return err;
	}
	for (uint32_t port = 0; port < node->interfaces_cnt; port++)
		if (node->interfaces[port].role == SPW_PORT_LAN &&
		    strcmp(node->interfaces[port].tenant, name) == 0)
			txn->ports_changed |= 1u << port;
	return 0;
}

/* ---- rates -------------------------------------------------------------------------------- */

static int store_cap(struct spw_txn *txn, const struct spw_op *op, __u64 *word, uint64_t cap)
{
	struct spw_cap_store *caps = spw_txn_room(txn, op->place, txn->caps, txn->caps_cnt,
						  &txn->caps_max, sizeof(*caps));

	if (!caps)
		return -ENOMEM;
	txn->caps = caps;
	txn->caps[txn->caps_cnt++] = (struct spw_cap_store){word, cap};
	return 0;
}

/* 100 ms of the rate. TCP CUBIC over three nodes under a cap of 50 Mbit/s carried 47.7 Mbit/s of IP
 * bytes with 50 ms, 50.7 with 100 ms and 49.9 with 200 ms, which only lets longer bursts through.
 */
static uint32_t default_burst(uint32_t rate_kbit)
{
	uint64_t burst_bytes = (uint64_t)rate_kbit * 125 / 10;

	if (burst_bytes < BURST_DEFAULT_MIN)
		return BURST_DEFAULT_MIN;
	return burst_bytes < UINT32_MAX ? (uint32_t)burst_bytes : UINT32_MAX;
}

static int check_rate(struct spw_txn *txn, const struct spw_op *op)
{
	if (!op->rate.tunnel == !op->rate.tenant || (op->rate.tenant && op->rate.out) ||
	    (!op->rate.in && !op->rate.out))
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "expected the rate of a tunnel, in, out or both, or that of a "
				     "tenant as a whole");
	if (op->rate.rate_kbit > RATE_KBIT_MAX)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "rate %u kbit/s; expected 1 kbit/s to 400 Gbit/s, or none",
				     op->rate.rate_kbit);
	if (op->rate.burst_bytes && op->rate.burst_bytes < BURST_BYTES_MIN)
		return spw_error_set(txn->error, -EINVAL, op->place,
				     "burst %u; expected %u bytes or more, so that the longest "
				     "packet can pass",
				     op->rate.burst_bytes, BURST_BYTES_MIN);
	return 0;
}

static int prepare_rate_set(struct spw_txn *txn, const struct spw_op *op)
{
	const struct spw_maps *maps = &txn->node->maps;
	struct spw_tenant_obj *tenant;
	struct spw_tunnel_obj *tunnel;
	struct spw_rate *rate;
	uint32_t rate_kbit = op->rate.rate_kbit;
	uint64_t cap = 0;
	int err;

	if (op->rate.relay)
		return spw_txn_relay_limits(txn, op);
	err = check_rate(txn, op);
	if (err < 0)
		return err;
	if (rate_kbit)
		cap = SPW_CAP(rate_kbit, op->rate.burst_bytes ? op->rate.burst_bytes
							      : default_burst(rate_kbit));
	if (op->rate.tenant) {
		tenant = spw_txn_tenant(txn, op, op->rate.tenant);
		if (!tenant)
			return -ENOENT;
		return store_cap(txn, op, &maps->rates[maps->meta->tunnels_max + tenant->id].in_cap,
				 cap);
	}
	tunnel = spw_txn_tunnel(txn, op, op->rate.tunnel);
	if (!tunnel)
		return -ENOENT;
	rate = &maps->rates[tunnel->id];
	if (op->rate.in)
		err = store_cap(txn, op, &rate->in_cap, cap);
	if (err == 0 && op->rate.out)
		err = store_cap(txn, op, &rate->out_cap, cap);
	return err;
}

int spw_txn_prepare(struct spw_txn *txn, const struct spw_op *op)
{
	switch (op->kind) {
	case SPW_OP_TENANT_ADD:
		return prepare_tenant_add(txn, op);
	case SPW_OP_TUNNEL_ADD:
		return spw_txn_tunnel_add(txn, op);
	case SPW_OP_TUNNEL_DEL:
		return spw_txn_tunnel_del(txn, op);
	case SPW_OP_ROUTE_ADD:
		return spw_txn_route_add(txn, op);
	case SPW_OP_ROUTE_DEL:
		return spw_txn_route_del(txn, op);
	case SPW_OP_RATE_SET:
		return prepare_rate_set(txn, op);
	case SPW_OP_DENY_ADD:
		return spw_txn_deny_add(txn, op);
	case SPW_OP_LAN_ADD:
		return spw_txn_lan_add(txn, op);
	case SPW_OP_RELAY_ADD:
		return spw_txn_relay_add(txn, op);
	case SPW_OP_RELAY_DEL:
		return spw_txn_relay_del(txn, op);
	}
	return spw_error_set(txn->error, -EINVAL, op->place, "unknown op %d", (int)op->kind);
}
