/* SPDX-License-Identifier: BSD-2-Clause */
/* world.c - see world.h. */
#include "tests/unit/net/world.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/clock.h"
#include "control/daemon/publish.h"

#define SLOTS_MAX 8u
#define UNITS_MAX 1024u

struct tables {
	struct spw_meta meta;
	struct spw_worker_row workers[SPW_WORKERS_MAX];
	struct spw_port ports[SPW_PORTS_MAX];
	struct spw_tunnel_root roots[WORLD_TUNNELS_MAX];
	struct spw_tunnel tunnels[SLOTS_MAX];
	struct spw_tenant tenants[2];
	union spw_neighbor neighbors[WORLD_NEIGHBORS_MAX];
	struct spw_trie_unit units[UNITS_MAX];
};

struct spw_node *world_node;
static struct tables *tables;
static struct spw_slots neighbor_ids, tunnel_slots;
static struct spw_tenant_obj blue = {.name = "blue", .id = 1};
static struct spw_tunnel_obj *tunnels[WORLD_TUNNELS_MAX];
static pid_t peer_pid;

/* ---- doubles of txn.c and model.c --------------------------------------------------------- */

struct spw_tenant_obj *spw_tenant_find(struct spw_node *node, const char *name)
{
	(void)node;
	return strcmp(name, "blue") == 0 ? &blue : NULL;
}

static int change(const struct spw_prefix *prefix, uint32_t leaf)
{
	uint32_t *root = &blue.route_root[prefix->family == 6];
	struct spw_trie_txn *txn;
	int err = spw_trie_txn_begin(world_node->tries, &txn);

	assert_int_equal(err, 0);
	err = leaf ? spw_trie_insert(txn, root, prefix, leaf, true)
		   : spw_trie_remove(txn, root, prefix);
	if (err == 0)
		err = spw_trie_txn_seal(txn, world_node->grace);
	if (err < 0)
		spw_trie_txn_abort(txn);
	else
		spw_trie_txn_retire(txn);
	return err;
}

int spw_host_route_set(struct spw_node *node, uint32_t port, const struct spw_prefix *host,
		       uint32_t neighbor)
{
	uint32_t leaf = spw_trie_get(node->tries, blue.route_root[host->family == 6], host);

	assert_int_equal(port, 2);
	if (leaf && SPW_LEAF_KIND(leaf) != SPW_LEAF_NEIGHBOR)
		return neighbor ? -EEXIST : 0;
	if (!leaf && !neighbor)
		return 0;
	return change(host, neighbor ? SPW_LEAF(SPW_LEAF_NEIGHBOR, neighbor) : 0);
}

/* ---- commands ----------------------------------------------------------------------------- */

static void shell(const char *prefix, const char *format, va_list args)
{
	char command[1024];
	int at = snprintf(command, sizeof(command), "%s", prefix);

	vsnprintf(command + at, sizeof(command) - (size_t)at, format, args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

void here(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	shell("", format, args);
	va_end(args);
}

void peer(const char *format, ...)
{
	char prefix[64];
	va_list args;

	snprintf(prefix, sizeof(prefix), "nsenter --net=/proc/%d/ns/net ", (int)peer_pid);
	va_start(args, format);
	shell(prefix, format, args);
	va_end(args);
}

bool says(const char *command, const char *text)
{
	FILE *output = popen(command, "r");
	char line[512];
	bool found = false;

	assert_non_null(output);
	while (fgets(line, sizeof(line), output))
		found |= strstr(line, text) != NULL;
	assert_int_equal(pclose(output), 0);
	return found;
}

/* ---- namespaces --------------------------------------------------------------------------- */

static bool enter(void)
{
	int ready[2];
	char byte;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || pipe(ready) < 0)
		return false;
	peer_pid = fork();
	if (peer_pid < 0)
		return false;
	if (peer_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		close(ready[0]);
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	bool entered = read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	return entered;
}

int world_run_tests(const struct CMUnitTest *tests, size_t cnt)
{
	if (!enter()) {
		print_message("skipped: needs root and network namespaces\n");
		return 77;
	}
	int failed = _cmocka_run_group_tests("tests", tests, cnt, NULL, NULL);
	kill(peer_pid, SIGKILL);
	waitpid(peer_pid, NULL, 0);
	return failed;
}

static void wire(const char *ifname, const char *peer_ifname)
{
	here("ip link add %s type veth peer name %s netns %d", ifname, peer_ifname, (int)peer_pid);
	here("ip link set %s up", ifname);
	peer("ip link set %s up", peer_ifname);
}

void world_wires(void)
{
	here("for i in all default; do echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad; done");
	peer("sh -c 'for i in all default; do echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad; "
	     "done'");
	here("ip link set lo up");
	wire("wan0", "peer0");
	wire("wan1", "peer1");
	wire("lan0", "peer2");
	here("ip addr add 192.0.2.1/24 dev wan0");
	here("ip addr add 2001:db8::1/64 dev wan0 nodad");
	here("ip addr add 198.51.100.1/24 dev wan1");
	here("ip addr add 10.1.0.1/24 dev lan0");
	here("ip addr add fd00:1::1/64 dev lan0 nodad");
	peer("ip link set peer0 address 02:00:00:00:00:20");
	peer("ip link set peer1 address 02:00:00:00:01:20");
	peer("ip link set peer2 address 02:00:00:00:02:20");
	peer("ip addr add 192.0.2.2/24 dev peer0");
	peer("ip addr add 192.0.2.3/24 dev peer0");
	peer("ip addr add 2001:db8::2/64 dev peer0 nodad");
	peer("ip addr add 198.51.100.2/24 dev peer1");
	peer("ip addr add 10.1.0.10/24 dev peer2");
	peer("ip addr add fd00:1::10/64 dev peer2 nodad");
}

static void cut_wires(void)
{
	here("for i in wan0 wan1 lan0; do ip link del $i 2>/dev/null; done; ip route flush table "
	     "main");
}

/* ---- the node ----------------------------------------------------------------------------- */

static void new_node(void)
{
	static const struct spw_interface interfaces[] = {
		{.ifname = "wan0", .role = SPW_PORT_WAN},
		{.ifname = "wan1", .role = SPW_PORT_WAN},
		{.ifname = "lan0", .role = SPW_PORT_LAN, .tenant = "blue"},
	};
	struct spw_maps *maps;

	world_node = calloc(1, sizeof(*world_node));
	assert_non_null(world_node);
	maps = &world_node->maps;
	maps->created = true;
	maps->meta = &tables->meta;
	maps->ports = tables->ports;
	maps->tunnel_roots = tables->roots;
	maps->tunnels = tables->tunnels;
	maps->tenants = tables->tenants;
	maps->neighbors = tables->neighbors;
	maps->route_units = tables->units;
	maps->workers = tables->workers;
	world_node->listen_port = 4500;
	memcpy(world_node->interfaces, interfaces, sizeof(interfaces));
	world_node->interfaces_cnt = 3;
	world_node->tunnels = tunnels;
	world_node->neighbor_ids = &neighbor_ids;
	world_node->tunnel_slots = &tunnel_slots;
	world_node->loop = event_base_new();
	assert_non_null(world_node->loop);
	assert_int_equal(spw_slots_open(&neighbor_ids, WORLD_NEIGHBORS_MAX), 0);
	assert_int_equal(spw_grace_create(&world_node->grace, &tables->meta, tables->workers, 256),
			 0);
	world_node->tries = spw_trie_pool_create(tables->units, UNITS_MAX);
	assert_non_null(world_node->tries);
	for (unsigned int family = 0; family < 2; family++)
		assert_int_equal(
			spw_trie_mark(world_node->tries, blue.route_root[family], family ? 6 : 4),
			0);
	spw_trie_marked(world_node->tries);
}

static void end_node(void)
{
	assert_int_equal(spw_grace_drain(world_node->grace, 1000), 0);
	spw_net_destroy(world_node);
	spw_trie_pool_destroy(world_node->tries);
	spw_grace_destroy(world_node->grace);
	spw_slots_close(&neighbor_ids);
	event_base_free(world_node->loop);
	free(world_node);
}

void world_tables(void)
{
	tables = aligned_alloc(SPW_CACHE_LINE, sizeof(*tables));
	assert_non_null(tables);
	memset(tables, 0, sizeof(*tables));
	tables->meta = (struct spw_meta){.layout_version = SPW_LAYOUT_VERSION,
					 .tunnels_max = WORLD_TUNNELS_MAX,
					 .tunnel_slots_max = SLOTS_MAX,
					 .tenants_max = 2,
					 .route_units_max = UNITS_MAX,
					 .neighbors_max = WORLD_NEIGHBORS_MAX,
					 .epoch = 1};
	memset(blue.route_root, 0, sizeof(blue.route_root));
	assert_int_equal(spw_slots_open(&tunnel_slots, SLOTS_MAX), 0);
	new_node();
	world_route("10.1.0.0/24", SPW_LEAF(SPW_LEAF_LAN, 2));
	world_route("fd00:1::/64", SPW_LEAF(SPW_LEAF_LAN, 2));
}

int world_start(struct spw_error *error)
{
	return spw_net_create(world_node, error);
}

int world_setup(void **state)
{
	struct spw_error error = {0};

	(void)state;
	world_wires();
	world_tables();
	if (world_start(&error) < 0)
		fail_msg("%s", error.text);
	return 0;
}

int world_teardown(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < WORLD_TUNNELS_MAX; id++)
		if (tunnels[id])
			world_tunnel_free(tunnels[id]);
	end_node();
	spw_slots_close(&tunnel_slots);
	free(tables);
	cut_wires();
	return 0;
}

void world_restart(const uint32_t *marked, uint32_t marked_cnt)
{
	struct spw_error error = {0};

	end_node();
	new_node();
	for (uint32_t i = 0; i < marked_cnt; i++)
		assert_int_equal(spw_slots_mark(&neighbor_ids, marked[i]), 0);
	if (world_start(&error) < 0)
		fail_msg("%s", error.text);
}

/* ---- time --------------------------------------------------------------------------------- */

static void turn(void)
{
	event_base_loop(world_node->loop, EVLOOP_NONBLOCK);
	spw_grace_run(world_node->grace);
	spw_ports_publish_wanted(world_node);
	usleep(2000);
}

bool world_until(bool (*done)(void), int timeout_ms)
{
	uint64_t end_ms = spw_now_ms() + (uint64_t)timeout_ms;

	while (!done()) {
		if (spw_now_ms() > end_ms)
			return false;
		turn();
	}
	return true;
}

void world_run(int ms)
{
	uint64_t end_ms = spw_now_ms() + (uint64_t)ms;

	while (spw_now_ms() < end_ms)
		turn();
}

/* ---- tunnels, words, routes --------------------------------------------------------------- */

struct spw_endpoint world_address(const char *text)
{
	struct spw_endpoint endpoint = {0};
	const char *expected;

	if (spw_endpoint_parse(text, &endpoint, &expected) < 0)
		fail_msg("%s: expected %s", text, expected);
	return endpoint;
}

struct spw_tunnel_obj *world_tunnel(uint32_t id, const char *remote, const char *local)
{
	struct spw_tunnel_obj *tunnel = calloc(1, sizeof(*tunnel));
	struct spw_error error = {0};
	uint32_t slot = spw_slots_alloc(&tunnel_slots);

	assert_non_null(tunnel);
	assert_int_not_equal(slot, 0);
	snprintf(tunnel->name, sizeof(tunnel->name), "tunnel-%u", id);
	tunnel->id = id;
	tunnel->tenant = &blue;
	tunnel->remote = world_address(remote);
	tunnel->remote.port = 4500;
	if (local)
		tunnel->local = world_address(local);
	if (spw_nexthop_acquire(world_node, tunnel, 0, &error) < 0)
		fail_msg("%s", error.text);
	tunnels[id] = tunnel;
	spw_tunnel_publish_at(world_node, tunnel, slot);
	return tunnel;
}

void world_tunnel_free(struct spw_tunnel_obj *tunnel)
{
	spw_tunnel_withdraw(world_node, tunnel);
	if (tunnel->nexthop)
		spw_nexthop_release(world_node, tunnel);
	spw_slots_free(&tunnel_slots, tunnel->slot);
	tunnels[tunnel->id] = NULL;
	free(tunnel);
}

const struct spw_tunnel *world_record(uint32_t id)
{
	return &tables->tunnels[tables->roots[id].slot];
}

union spw_neighbor world_word(uint32_t neighbor)
{
	return tables->neighbors[neighbor];
}

bool world_valid(uint32_t neighbor, const char *mac)
{
	union spw_neighbor word = world_word(neighbor);
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", word.mac[0], word.mac[1],
		 word.mac[2], word.mac[3], word.mac[4], word.mac[5]);
	return word.state == SPW_NEIGHBOR_VALID && strcmp(text, mac) == 0;
}

static struct spw_prefix parse(const char *text)
{
	struct spw_prefix prefix;
	const char *expected;

	if (spw_prefix_parse(text, &prefix, &expected) < 0)
		fail_msg("%s: expected %s", text, expected);
	return prefix;
}

uint32_t world_leaf(const char *text)
{
	struct spw_prefix prefix = parse(text);

	return spw_trie_get(world_node->tries, blue.route_root[prefix.family == 6], &prefix);
}

void world_route(const char *text, uint32_t leaf)
{
	struct spw_prefix prefix = parse(text);

	assert_int_equal(change(&prefix, leaf), 0);
}
