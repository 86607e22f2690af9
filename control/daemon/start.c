/* SPDX-License-Identifier: BSD-2-Clause */
/* start.c - see start.h. The order of the steps is the point of this file. */
#include "control/daemon/start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/daemon/adopt.h"
#include "control/daemon/config.h"
#include "control/daemon/expand.h"
#include "control/daemon/folders.h"
#include "control/daemon/journal.h"
#include "control/daemon/live.h"
#include "control/daemon/log.h"
#include "control/daemon/model.h"
#include "control/daemon/net/attach.h"
#include "control/daemon/net/forget.h"
#include "control/daemon/net/net.h"
#include "control/daemon/net/taps.h"
#include "control/daemon/node_name.h"
#include "control/daemon/publish.h"
#include "control/daemon/rpc.h"
#include "control/daemon/sa/sas.h"

/* Entries that may wait for a grace period: some for each of 10,000 single changes within the 20 ms
 * that a period may take. */
#define LIMBO_MAX 65536u
/* A period takes about 10 ms, a busy machine ten times that, and a worker may wait for a core. */
#define DRAIN_TIMEOUT_MS 5000
#define STOP_DRAIN_TIMEOUT_MS 300 /* whoever presses Ctrl-C waits; the next start does the rest */

/* Control messages let through to our socket, where limits do not say. From one source: 1,000
 * tunnels behind one address begin within a second, with one message each. In all, per CPU, for
 * strangers and as much again for sources of live tunnels: far more than control can answer, since
 * a low bucket is one that forged sources keep empty, and honest strangers then never come through.
 * Under load control asks for a proof of the source (a cookie) before anything that costs more than
 * one HMAC, some microseconds. */
#define CONTROL_PER_SOURCE_PPS 1000u
#define CONTROL_TOTAL_PPS 200000u

static const struct spw_place nowhere;

/* ---- grace periods in the loop ------------------------------------------------------------ */

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct spw_node *node = arg;
	int again_ms = spw_grace_run(node->grace);
	struct timeval again = {again_ms / 1000, again_ms % 1000 * 1000};

	(void)fd;
	(void)what;
	spw_ports_publish_wanted(node);
	if (again_ms >= 0)
		evtimer_add(node->grace_timer, &again);
	else
		evtimer_del(node->grace_timer);
}

static int start_grace(struct spw_node *node, struct spw_error *error)
{
	int err = spw_grace_create(&node->grace, node->maps.meta, node->maps.workers, LIMBO_MAX);

	if (err < 0)
		return spw_error_set(error, err, nowhere, "cannot start grace periods: %s",
				     strerror(-err));
	node->grace_event = event_new(node->loop, spw_grace_fd(node->grace), EV_READ | EV_PERSIST,
				      on_grace, node);
	node->grace_timer = evtimer_new(node->loop, on_grace, node);
	if (!node->grace_event || !node->grace_timer || event_add(node->grace_event, NULL) < 0)
		return spw_error_set(error, -ENOMEM, nowhere, "no memory for grace periods");
	return 0;
}

/* Tables taken up: what an earlier control had in its limbo may be in use by a worker still. Rows
 * of a dataplane that died together with control would hold this up for ever, even when the next
 * dataplane waits already: it has no tables yet. */
static int await_workers(struct spw_node *node, struct spw_error *error)
{
	if (!spw_folders_dataplane_lives(node))
		spw_grace_workers_gone(node->grace, 0);
	if (spw_grace_drain(node->grace, DRAIN_TIMEOUT_MS) == 0)
		return 0;
	return spw_error_set(
		error, -ETIMEDOUT, nowhere,
		"a worker of node \"%s\" does not come round within %d ms, so its tables "
		"cannot be taken up; is its spillway-dataplane stopped or hung?",
		node->name, DRAIN_TIMEOUT_MS);
}

/* Every relay holds a descriptor, and there may be 1023, which is all that most systems give a
 * process at first. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		spw_log("warning", "start", "cannot raise the limit of open files: %s",
			strerror(errno));
}

/* ---- the steps ---------------------------------------------------------------------------- */

static bool exists(const char *folder, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static int name_node(struct spw_node *node, const char *config_path, struct spw_error *error)
{
	int err = spw_node_name_read(config_path, node->name, error);
	size_t used = strlen(error->text);
	char names[128];

	if (err == 0)
		return spw_folders_name(node, error);
	/* Of a node whose tables stand nothing is missing but its name. */
	spw_folders_standing(names, sizeof(names));
	if (names[0])
		snprintf(error->text + used, sizeof(error->text) - used,
			 "; tables of %s stand: to take up or to remove a node's, a file with the "
			 "one line `node: NAME` is enough",
			 names);
	return err;
}

/* Tables and journal stand and fall together. *standing: both are there. */
static int look_around(const struct spw_node *node, bool *standing, struct spw_error *error)
{
	bool tables = exists(node->pin_dir, "meta"), journal = exists(node->run_dir, "journal");

	*standing = tables && journal;
	if (tables == journal)
		return 0;
	return spw_error_set(error, -ESTALE, nowhere,
			     "node \"%s\" has left its %s, but not its %s; remove the rest with "
			     "`spillway-control --config %s --remove`, then start anew",
			     node->name, tables ? "tables" : "journal",
			     tables ? "journal" : "tables", node->config_path);
}

static int open_tables(struct spw_node *node, struct spw_error *error)
{
	char why[400];
	int err = spw_maps_open(&node->maps, node->pin_dir, &node->limits, why, sizeof(why));

	if (err < 0)
		return spw_error_set(error, err, nowhere, "%s", why);
	err = start_grace(node, error);
	if (err == 0 && spw_model_open(node) < 0)
		err = spw_error_set(error, -ENOMEM, nowhere, "no memory for the node's names");
	return err;
}

static int attach(struct spw_node *node, struct spw_error *error)
{
	struct spw_attach_port ports[SPW_PORTS_MAX];
	unsigned int ports_cnt = 0;
	char why[400] = "";
	int err;

	for (uint32_t port = 0; port < node->interfaces_cnt; port++) {
		const struct spw_interface *interface = &node->interfaces[port];
		if (interface->device[0])
			continue; /* its workers classify */
		ports[ports_cnt].port = port;
		memcpy(ports[ports_cnt++].ifname, interface->ifname, sizeof(ports->ifname));
	}
	if (ports_cnt == 0)
		return 0;
	err = spw_attach_open(&node->attach, node->pin_dir, node->maps.fd, ports, ports_cnt, why,
			      sizeof(why));
	if (err < 0)
		return spw_error_set(error, err, nowhere, "%s", why);
	if (why[0])
		spw_log("warning", "attach", "%s", why);
	return 0;
}

static void set_knobs(struct spw_node *node)
{
	const struct spw_limits *limits = &node->limits;
	struct spw_meta *meta = node->maps.meta;

	meta->control_per_source_pps = limits->control_per_source_pps
					       ? limits->control_per_source_pps
					       : CONTROL_PER_SOURCE_PPS;
	meta->control_total_pps =
		limits->control_total_pps ? limits->control_total_pps : CONTROL_TOTAL_PPS;
	meta->control_live_pps = meta->control_total_pps;
}

static int fill_tables(struct spw_node *node, const struct spw_config *config,
		       struct spw_error *error)
{
	const struct spw_meta *meta = node->maps.meta;
	int err;

	node->tries = spw_trie_pool_create(node->maps.route_units, meta->route_units_max);
	if (!node->tries)
		return spw_error_set(error, -ENOMEM, nowhere, "no memory for the route tables");
	spw_trie_marked(node->tries);
	set_knobs(node);
	err = spw_net_create(node, error);
	if (err == 0)
		err = spw_sas_create(node, error);
	/* The images that net has just published must not be in a grace period any more. */
	if (err == 0 && spw_grace_drain(node->grace, DRAIN_TIMEOUT_MS) < 0)
		err = spw_error_set(error, -ETIMEDOUT, nowhere, "grace periods do not end");
	if (err == 0)
		err = spw_journal_start(node, error);
	if (err == 0)
		err = spw_ops_apply(node, config->ops, config->ops_cnt, error);
	return err;
}

static int start_fresh(struct spw_node *node, const char *config_path, struct spw_error *error)
{
	struct spw_config *config;
	int err = spw_config_load(config_path, &config, error);

	if (err < 0)
		return err;
	node->listen_port = config->listen_port;
	node->limits = config->limits;
	node->workers = config->limits.workers;
	memcpy(node->aead, config->aead, sizeof(node->aead));
	memcpy(node->key_file, config->key_file, sizeof(node->key_file));
	node->interfaces_cnt = config->interfaces_cnt;
	memcpy(node->interfaces, config->interfaces, sizeof(node->interfaces));
	err = open_tables(node, error);
	if (err == 0)
		err = fill_tables(node, config, error);
	spw_config_free(config);
	return err;
}

static int start_adopting(struct spw_node *node, struct spw_error *error)
{
	struct spw_adoption adoption = {0};
	int err = spw_adopt_journal(node, &adoption, error);

	if (err == 0)
		err = open_tables(node, error);
	if (err == 0)
		err = await_workers(node, error);
	if (err == 0)
		err = spw_adopt_tables(node, &adoption, error);
	if (err == 0)
		err = spw_net_create(node, error);
	if (err == 0)
		err = spw_sas_create(node, error);
	if (err == 0)
		err = await_workers(node, error); /* images that net found changed */
	if (err == 0)
		err = spw_adopt_finish(node, &adoption, error);
	if (err == 0)
		err = spw_journal_start(node, error);
	if (err == 0)
		spw_log("info", "start",
			"node %s: took up its tables as they stood, with the running set of the "
			"journal (revision %llu); config.yaml was not read, it counts when the "
			"node is started after --remove",
			node->name, (unsigned long long)node->revision);
	spw_adopt_close(&adoption);
	return err;
}

static void remove_taps(const struct spw_node *node)
{
	int err = spw_taps_remove(node->name);

	if (err < 0)
		spw_log("warning", "start",
			"the TAPs of node %s are still there (%s); `ip link` shows them with the "
			"alias \"spillway %s\"",
			node->name, strerror(-err), node->name);
}

/* What a start that failed half way has made: the run folder with the lock, the sockets and the
 * journal, and the tables. Tables that it found stay, and so does a folder of pins that was
 * refused: it is somebody's. */
static void remove_made(struct spw_node *node)
{
	struct spw_error error = {0};
	char why[400];

	remove_taps(node);
	if (node->maps.created && spw_maps_remove(node->pin_dir, why, sizeof(why)) < 0)
		spw_log("error", "start", "%s", why);
	if (spw_folders_remove_run(node, &error) < 0)
		spw_log("error", "start", "%s", error.text);
}

int spw_node_start(struct spw_node *node, const char *config_path, struct spw_error *error)
{
	bool standing = false;
	int err = name_node(node, config_path, error);

	allow_descriptors();
	node->started_ns = spw_now_ns();
	node->config_path = config_path;
	node->lock_fd = -1;
	if (err == 0)
		err = spw_folders_make(node, error);
	if (err == 0) {
		node->lock_fd = spw_folders_lock(node, error);
		err = node->lock_fd < 0 ? node->lock_fd : 0;
	}
	if (err == 0)
		err = look_around(node, &standing, error);
	if (err < 0)
		return err;
	err = standing ? start_adopting(node, error) : start_fresh(node, config_path, error);
	if (err == 0)
		err = attach(node, error);
	if (err == 0)
		err = spw_rpc_create(node, error);
	if (err < 0 && !standing)
		remove_made(node);
	return err;
}

void spw_node_stop(struct spw_node *node)
{
	spw_rpc_destroy(node);
	/* Deleted tunnels and old SAs on their way out, two periods for some; what does not end in
	 * time the next start takes up. */
	for (int period = 0; node->grace && period < 2; period++)
		if (node->dying_cnt > 0 || spw_grace_waiting(node->grace) > 0)
			spw_grace_drain(node->grace, STOP_DRAIN_TIMEOUT_MS);
	spw_sas_destroy(node);
	spw_net_destroy(node);
	spw_attach_close(node->attach);
	spw_journal_close(node);
	if (node->maps.meta)
		spw_model_close(node);
	spw_live_close(node);
	if (node->grace_event)
		event_free(node->grace_event);
	if (node->grace_timer)
		event_free(node->grace_timer);
	if (node->grace)
		spw_grace_destroy(node->grace);
	if (node->tries)
		spw_trie_pool_destroy(node->tries);
	spw_maps_close(&node->maps);
	if (node->lock_fd > 0)
		close(node->lock_fd);
}

/* The pinned links tell which interfaces are the node's, so this comes before the tables go. */
static void forget_neighbors(const struct spw_node *node)
{
	int ifindexes[SPW_PORTS_MAX];
	int err = spw_neighbors_forget(ifindexes, spw_attach_standing(node->pin_dir, ifindexes));

	if (err < 0)
		spw_log("warning", "start",
			"the kernel goes on resolving neighbours of node %s (%s); `ip neigh` shows "
			"them as managed",
			node->name, strerror(-err));
}

int spw_node_remove(struct spw_node *node, const char *config_path, struct spw_error *error)
{
	char why[400];
	int lock_fd = -1, err = name_node(node, config_path, error);

	if (err == 0 && exists(node->run_dir, "lock")) {
		lock_fd = spw_folders_lock(node, error);
		err = lock_fd < 0 ? lock_fd : 0;
	}
	if (err == 0) {
		forget_neighbors(node);
		remove_taps(node);
		err = spw_maps_remove(node->pin_dir, why, sizeof(why));
		if (err < 0)
			spw_error_set(error, err, nowhere, "%s", why);
	}
	if (err == 0)
		err = spw_folders_remove_run(node, error);
	if (lock_fd >= 0)
		close(lock_fd);
	return err;
}
