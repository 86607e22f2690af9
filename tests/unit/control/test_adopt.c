/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_adopt.c - control dies and comes back: the tables stay as they are, names come from the
 * journal, and a transaction that was not published wholly is completed.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/daemon/adopt.h"
#include "control/daemon/journal.h"
#include "control/daemon/live.h"
#include "control/daemon/model.h"
#include "control/daemon/publish.h"
#include "tests/unit/control/node_double.h"

#define UNITS_MAX 4000u

static struct spw_node *node;
static struct spw_prefix allow[] = {{.family = 4, .bits = 24, .addr = {10, 2, 0, 0}}};
static const struct spw_prefix routed = {.family = 4, .bits = 16, .addr = {10, 3, 0, 0}};
static const struct spw_prefix lan = {.family = 4, .bits = 24, .addr = {10, 1, 0, 0}};
static const struct spw_prefix host = {.family = 4, .bits = 32, .addr = {10, 1, 0, 9}};

static const struct spw_op first[] = {
	{.kind = SPW_OP_TENANT_ADD, .tenant.name = "blue"},
	{.kind = SPW_OP_TENANT_ADD, .tenant.name = "green"},
	{.kind = SPW_OP_LAN_ADD, .lan = {1, {.family = 4, .bits = 24, .addr = {10, 1, 0, 0}}}},
	{.kind = SPW_OP_TUNNEL_ADD,
	 .tunnel = {.name = "one",
		    .tenant = "blue",
		    .remote = {.family = 4, .addr = {192, 0, 2, 2}, .port = 4501},
		    .local = {.family = 4, .addr = {192, 0, 2, 1}},
		    .allow = allow,
		    .allow_cnt = 1,
		    .mtu_bytes = 1400,
		    .key_bits = 32,
		    .secret_file = "/a \"secret\""}},
	{.kind = SPW_OP_TUNNEL_ADD,
	 .tunnel = {.name = "two",
		    .tenant = "green",
		    .remote = {.family = 6, .addr = {0x20, 1, 0xd, 0xb8, [15] = 2}},
		    .keying = SPW_KEYING_FOREIGN,
		    .in = {0x10001, "/in"},
		    .out = {0xc1a20001, "/out"},
		    .esn = true}},
	{.kind = SPW_OP_ROUTE_ADD,
	 .route = {"blue", {.family = 4, .bits = 16, .addr = {10, 3, 0, 0}}, "one"}},
};

static const struct spw_op session = {.kind = SPW_OP_TUNNEL_ADD,
				      .tunnel = {.name = "session",
						 .tenant = "green",
						 .allow = allow,
						 .allow_cnt = 1,
						 .key_bits = 32,
						 .keying = SPW_KEYING_SESSION,
						 .peer_key = {9, [31] = 7},
						 .psk_file = "/psk"}};

/* The transaction during which control dies, or does not. */
static const struct spw_op last[] = {
	{.kind = SPW_OP_TUNNEL_ADD,
	 .tunnel = {.name = "three",
		    .tenant = "blue",
		    .remote = {.family = 4, .addr = {192, 0, 2, 3}},
		    .allow = allow,
		    .allow_cnt = 1,
		    .key_bits = 16,
		    .secret_file = "/three"}},
	{.kind = SPW_OP_ROUTE_DEL,
	 .route = {"blue", {.family = 4, .bits = 16, .addr = {10, 3, 0, 0}}, NULL}},
	{.kind = SPW_OP_ROUTE_ADD,
	 .route = {"blue", {.family = 4, .bits = 16, .addr = {10, 3, 0, 0}}, "three"}},
	{.kind = SPW_OP_TUNNEL_DEL, .tunnel.name = "one"},
	{.kind = SPW_OP_RATE_SET,
	 .rate = {.tunnel = "three", .in = true, .rate_kbit = 100, .burst_bytes = 5000}},
	{.kind = SPW_OP_DENY_ADD, .deny.prefix = {.family = 4, .bits = 8, .addr = {10, 0, 0, 0}}},
};

static void drain(void)
{
	for (int period = 0; period < 3; period++)
		assert_int_equal(spw_grace_drain(node->grace, 1000), 0);
	spw_ports_publish_wanted(node);
}

static void must_apply(const struct spw_op *ops, uint32_t ops_cnt)
{
	struct spw_error error = {0};

	if (spw_txn_apply(node, ops, ops_cnt, true, &error) < 0)
		fail_msg("%s", error.text);
	drain();
}

/* As start.c does it. */
static int adopt(struct spw_error *error)
{
	struct spw_adoption adoption = {0};
	int err;

	*error = (struct spw_error){0};
	node = node_double_reborn();
	double_trace[0] = '\0';
	err = spw_adopt_journal(node, &adoption, error);
	if (err == 0)
		err = spw_grace_drain(node->grace, 1000);
	if (err == 0)
		err = spw_adopt_tables(node, &adoption, error);
	if (err == 0)
		err = spw_adopt_finish(node, &adoption, error);
	spw_adopt_close(&adoption);
	return err;
}

static void must_adopt(void)
{
	struct spw_error error;

	if (adopt(&error) < 0)
		fail_msg("%s", error.text);
}

static uint32_t route_of(const char *tenant, const struct spw_prefix *prefix)
{
	const struct spw_tenant_obj *obj = spw_tenant_find(node, tenant);

	assert_memory_equal(obj->route_root, node->maps.tenants[obj->id].route_root,
			    sizeof(obj->route_root));
	return spw_trie_get(node->tries, obj->route_root[prefix->family == 6], prefix);
}

static int open_node(void **state)
{
	(void)state;
	node = node_double_open(UNITS_MAX);
	must_apply(first, sizeof(first) / sizeof(first[0]));
	return 0;
}

static int close_node(void **state)
{
	(void)state;
	drain();
	node_double_close();
	return 0;
}

/* Both tunnels, with all that they were made from. */
static void assert_both_are_back(void)
{
	const struct spw_tunnel_obj *one, *two;

	one = spw_tunnel_find(node, "one");
	assert_int_equal(one->slot, node->maps.tunnel_roots[one->id].slot);
	assert_string_equal(one->tenant->name, "blue");
	assert_string_equal(one->spec.secret_file, "/a \"secret\"");
	assert_int_equal(one->spec.key_bits, 32);
	assert_int_equal(one->remote.port, 4501);
	assert_memory_equal(one->local.addr, first[3].tunnel.local.addr, 16);
	assert_int_equal(one->mtu_bytes, 1400);
	assert_int_equal(one->allow_cnt, 1);
	assert_memory_equal(one->allow, allow, sizeof(allow));
	assert_int_equal(one->tx_sa[1], 9);
	assert_int_equal(one->peer_epoch, 1234);
	assert_int_equal(one->routes_cnt, 1);
	assert_false(one->foreign);
	two = spw_tunnel_find(node, "two");
	assert_true(two->foreign);
	assert_true(two->spec.esn);
	assert_int_equal(two->spec.in.spi, 0x10001);
	assert_int_equal(two->spec.out.spi, 0xc1a20001);
	assert_string_equal(two->spec.in.key_file, "/in");
	assert_string_equal(two->spec.out.key_file, "/out");
	assert_int_equal(two->remote.port, 4500);
	assert_memory_equal(two->remote.addr, first[4].tunnel.remote.addr, 16);
}

/* What a second control sees and holds is what the first did. */
static void nothing_changes(void **state)
{
	struct double_tables *before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));
	struct spw_trie_usage usage, usage_before;
	uint32_t neighbors, slots;

	(void)state;
	spw_host_route_set(node, 1, &host, 20);
	node_double_tables()->neighbors[20].port = 1;
	node_double_tables()->spis[77] = (struct spw_spi){77 << 10 | 1, 1};
	spw_tunnel_find(node, "one")->tx_sa[1] = 9;
	spw_tunnel_find(node, "one")->peer_epoch = 1234;
	assert_int_equal(spw_tunnel_publish(node, spw_tunnel_find(node, "one")), 0);
	drain();
	spw_trie_usage(node->tries, &usage_before);
	neighbors = node->neighbor_ids->used;
	slots = node->tunnel_slots->used;
	node_double_die();
	*before = *node_double_tables();

	must_adopt();
	assert_string_equal(node->aead, "ipsec-mb");
	before->meta.epoch = node->maps.meta->epoch; /* the clock runs on */
	assert_memory_equal(node_double_tables(), before, sizeof(*before));
	assert_string_equal(double_trace, "prepare one;start one;prepare two;start two;"
					  "host 10.1.0.9/32 port 1 neighbor 20;");
	spw_trie_usage(node->tries, &usage);
	assert_memory_equal(&usage, &usage_before, sizeof(usage));
	assert_int_equal(node->revision, 1);
	assert_int_equal(node->tunnel_slots->used, slots);
	assert_int_equal(node->neighbor_ids->used, neighbors + 1);
	assert_true(spw_slots_taken(node->spi_slots, 77));
	assert_true(spw_slots_taken(node->out_slots, 9));
	assert_int_equal(node->spi_slots->used + node->out_slots->used, 2);
	assert_both_are_back();
	free(before);
}

/* Nobody counts any more who speaks from there: tunnels that come up again are added anew. */
static void live_sources_end(void **state)
{
	const struct spw_endpoint source = {.family = 6, .addr = {0x20, 1, [15] = 9}};
	struct spw_trie_usage usage, usage_before;

	(void)state;
	spw_trie_usage(node->tries, &usage_before);
	assert_int_equal(spw_live_add(node, &source), 0);
	assert_int_not_equal(node->maps.meta->live_root[1], 0);
	spw_live_close(node);
	node_double_die();
	must_adopt();
	assert_int_equal(node->maps.meta->live_root[1], 0);
	spw_trie_usage(node->tries, &usage);
	assert_memory_equal(&usage, &usage_before, sizeof(usage));
	assert_int_equal(spw_live_add(node, &source), 0);
	assert_int_equal(spw_live_del(node, &source), 0);
}

static void assert_last_is_done(void)
{
	const struct spw_tunnel_obj *three = spw_tunnel_find(node, "three");

	assert_non_null(three);
	assert_null(spw_tunnel_find(node, "one"));
	assert_int_equal(node->maps.tunnel_roots[three->id].slot, three->slot);
	assert_int_not_equal(three->slot, 0);
	assert_int_equal(route_of("blue", &routed), SPW_LEAF(SPW_LEAF_TUNNEL, three->id));
	assert_int_equal(route_of("blue", &lan), SPW_LEAF(SPW_LEAF_LAN, 1));
	assert_int_equal(three->routes_cnt, 1);
	assert_int_equal(node->maps.rates[three->id].in_cap, SPW_CAP(100, 5000));
	assert_int_not_equal(node->maps.meta->deny_root[0], 0);
	assert_int_equal(node->tunnel_ids->used, 2);
	assert_int_equal(node->tunnel_slots->used, 2);
	assert_int_equal(node->revision, 2);
	assert_int_equal(node->dying_cnt, 0);
	for (uint32_t id = 0; id < DOUBLE_TUNNELS_MAX; id++)
		assert_true(!node->maps.tunnel_roots[id].slot == !node->tunnels[id]);
}

/* Control dies after the journal's line, when none, or some part, or all of it is published. */
static void the_last_transaction_is_completed(void **state)
{
	static const char *const stages[] = {"journal", "records", "all", "all, twice"};
	struct double_tables *dead = aligned_alloc(SPW_CACHE_LINE, sizeof(*dead));
	struct spw_trie_usage usage, usage_done = {0};

	for (size_t stage = 4; stage-- > 0;) {
		struct spw_error error = {0};
		struct double_tables *tables;
		struct spw_tunnel_obj *three;
		uint32_t one_id;
		open_node(state);
		one_id = spw_tunnel_find(node, "one")->id;
		tables = node_double_tables();
		if (stage == 0) {
			/* The id that the tunnel would have had is free. */
			assert_int_equal(spw_tunnel_new(node, &last[0].tunnel,
							spw_tenant_find(node, "blue"), 0)
						 ->id,
					 3);
			assert_int_equal(spw_journal_append(node, last, 6, &error), 0);
			three = spw_tunnel_find(node, "three");
			spw_tunnel_hide(node, three);
			spw_tunnel_free(node, three);
			node_double_die();
		} else if (stage == 1) {
			/* Records and caps stand, the roots do not yet, nothing was retired. */
			*dead = *tables;
			assert_int_equal(spw_txn_apply(node, last, 6, true, &error), 0);
			memcpy(dead->tunnels, tables->tunnels, sizeof(dead->tunnels));
			memcpy(dead->tunnel_roots, tables->tunnel_roots,
			       sizeof(dead->tunnel_roots));
			memcpy(dead->rates, tables->rates, sizeof(dead->rates));
			memcpy(dead->route_units, tables->route_units, sizeof(dead->route_units));
			node_double_die();
			dead->meta.epoch = tables->meta.epoch;
			*tables = *dead;
		} else {
			must_apply(last, 6);
			node_double_die();
			if (stage == 3) {
				must_adopt();
				node_double_die();
			}
		}
		must_adopt();
		drain();
		assert_last_is_done();
		assert_int_equal(tables->tunnel_roots[one_id].slot, 0);
		spw_trie_usage(node->tries, &usage);
		if (stage == 3)
			usage_done = usage;
		if (memcmp(&usage, &usage_done, sizeof(usage)) != 0)
			fail_msg("stage %s: blocks got lost", stages[stage]);
		close_node(state);
	}
	free(dead);
}

/* All of a session tunnel's spec comes back, from a line of its own and from a snapshot. */
static void a_session_is_back(void **state)
{
	const struct spw_tunnel_obj *tunnel;

	(void)state;
	strcpy(node->key_file, "/node.key");
	assert_int_equal(spw_journal_start(node, &(struct spw_error){0}), 0);
	must_apply(&session, 1);
	for (int time = 0; time < 2; time++) {
		node_double_die();
		must_adopt();
		assert_string_equal(node->key_file, "/node.key");
		tunnel = spw_tunnel_of_peer(node, session.tunnel.peer_key);
		assert_non_null(tunnel);
		assert_string_equal(tunnel->name, "session");
		assert_int_equal(tunnel->spec.keying, SPW_KEYING_SESSION);
		assert_int_equal(tunnel->spec.key_bits, 32);
		assert_int_equal(tunnel->remote.family, 0);
		assert_string_equal(tunnel->spec.psk_file, "/psk");
		assert_int_equal(spw_journal_start(node, &(struct spw_error){0}), 0);
	}
}

/* A torn last line is a transaction that never was. */
static void a_torn_line_is_left_out(void **state)
{
	char path[128], text[] = "{\"txn\":2,\"ops\":[{\"op\":\"tunnel_del\",\"na";
	int fd;

	(void)state;
	node_double_die();
	node = node_double_reborn();
	snprintf(path, sizeof(path), "%s/journal", node->run_dir);
	node_double_die();
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	must_adopt();
	assert_non_null(spw_tunnel_find(node, "one"));
	assert_int_equal(node->revision, 1);
}

static void write_journal(const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/journal", node->run_dir);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static char *read_journal(void)
{
	static char text[65536];
	char path[128];
	int fd;
	ssize_t bytes;

	snprintf(path, sizeof(path), "%s/journal", node->run_dir);
	fd = open(path, O_RDONLY);
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(bytes > 0);
	text[bytes] = '\0';
	return text;
}

/* Whatever the journal has become, control says so, and touches no table. */
static void a_damaged_journal_is_refused(void **state)
{
	struct double_tables *before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));
	const char *broken[] = {
		"", "\n", "{}\n", "{\"journal\":2}\n", "[]\n", "not JSON\n", NULL,
	};
	struct spw_error error;
	char *text, *whole;

	(void)state;
	whole = strdup(read_journal());
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		text = strdup(whole);
		if (!broken[i]) {
			/* A tunnel of a tenant that is not there. */
			char *at = strstr(text, "\"tenant\":\"green\",\"remote\"");
			assert_non_null(at);
			memcpy(at, "\"tenant\":\"grown\"", 16);
		}
		write_journal(broken[i] ? broken[i] : text);
		free(text);
		node_double_die();
		*before = *node_double_tables();
		assert_true(adopt(&error) < 0);
		assert_int_equal(error.code, -EUCLEAN);
		assert_non_null(strstr(error.text, "journal"));
		before->meta.epoch = node->maps.meta->epoch;
		assert_memory_equal(node_double_tables(), before, sizeof(*before));
	}
	/* Cut anywhere, the last line is a torn one, or the file is refused. */
	for (size_t cut = 1; cut < 300; cut += 23) {
		text = strdup(whole);
		text[strlen(text) - cut] = '\0';
		write_journal(text);
		free(text);
		node_double_die();
		(void)adopt(&error);
	}
	/* As it was, all is well again. */
	write_journal(whole);
	node_double_die();
	*node_double_tables() = *before;
	must_adopt();
	free(whole);
	free(before);
}

static void other_tables_are_refused(void **state)
{
	struct spw_error error;

	(void)state;
	node_double_die();
	node_double_tables()->meta.tables_id++;
	assert_int_equal(adopt(&error), -EUCLEAN);
	assert_non_null(strstr(error.text, "do not belong together"));
	node_double_tables()->meta.tables_id--;
}

/* Keys that cannot be read any more do not keep the other tunnels, or this one, from going on. */
static void a_missing_key_leaves_the_tunnel_alone(void **state)
{
	struct double_tables *before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));

	(void)state;
	node_double_die();
	*before = *node_double_tables();
	double_sas_error = -ENOENT;
	must_adopt();
	assert_null(spw_tunnel_find(node, "one")->sas);
	before->meta.epoch = node->maps.meta->epoch;
	assert_memory_equal(node_double_tables(), before, sizeof(*before));
	free(before);
}

/* SAs that nobody names any more are removed, whether the record still stands or not. */
static void sas_of_deleted_tunnels_are_removed(void **state)
{
	struct spw_op ops[] = {last[1], last[3]};
	struct double_tables *before = aligned_alloc(SPW_CACHE_LINE, sizeof(*before));
	struct spw_tunnel_obj *one = spw_tunnel_find(node, "one");

	(void)state;
	one->tx_sa[0] = 5;
	assert_int_equal(spw_tunnel_publish(node, one), 0);
	drain();
	node_double_tables()->spis[77] = (struct spw_spi){77 << 10 | 1, one->id};
	node_double_tables()->spis[78] = (struct spw_spi){78 << 10 | 1, 50};
	must_apply(ops, 1);
	*before = *node_double_tables();
	must_apply(&ops[1], 1);
	node_double_die();
	before->meta.epoch = node_double_tables()->meta.epoch;
	*node_double_tables() = *before; /* it died before the record was withdrawn */
	free(before);
	must_adopt();
	assert_string_equal(double_trace, "prepare two;start two;discard in 78;");
	drain();
	assert_string_equal(double_trace, "prepare two;start two;discard in 78;"
					  "discard out 5;discard in 77;");
	assert_int_equal(node->tunnel_ids->used, 1);
}

/* A journal that has grown long starts anew with a snapshot, and says the same. */
static void a_long_journal_is_written_anew(void **state)
{
	static struct spw_op ops[2000];
	struct spw_error error = {0};
	size_t longest = 0, bytes = 0;

	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		ops[i] = (struct spw_op){.kind = i % 2 ? SPW_OP_ROUTE_DEL : SPW_OP_ROUTE_ADD};
		ops[i].route.tenant = "blue";
		ops[i].route.tunnel = "one";
		ops[i].route.prefix =
			(struct spw_prefix){.family = 4,
					    .bits = 32,
					    .addr = {20, 0, (uint8_t)(i / 512), (uint8_t)(i / 2)}};
	}
	for (int i = 0; i < 60; i++) {
		char path[128];
		int fd;
		assert_int_equal(spw_txn_apply(node, ops, 2000, true, &error), 0);
		assert_int_equal(spw_grace_drain(node->grace, 1000), 0);
		snprintf(path, sizeof(path), "%s/journal", node->run_dir);
		fd = open(path, O_RDONLY);
		bytes = (size_t)lseek(fd, 0, SEEK_END);
		close(fd);
		longest = bytes > longest ? bytes : longest;
	}
	assert_true(longest > 4u << 20 && longest < 5u << 20);
	assert_true(bytes < longest);
	node_double_die();
	must_adopt();
	assert_int_equal(node->revision, 61);
	assert_int_equal(spw_tunnel_find(node, "one")->routes_cnt, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_changes, open_node, close_node),
		cmocka_unit_test_setup_teardown(live_sources_end, open_node, close_node),
		cmocka_unit_test(the_last_transaction_is_completed),
		cmocka_unit_test_setup_teardown(a_session_is_back, open_node, close_node),
		cmocka_unit_test_setup_teardown(a_torn_line_is_left_out, open_node, close_node),
		cmocka_unit_test_setup_teardown(a_damaged_journal_is_refused, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(other_tables_are_refused, open_node, close_node),
		cmocka_unit_test_setup_teardown(a_missing_key_leaves_the_tunnel_alone, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(sas_of_deleted_tunnels_are_removed, open_node,
						close_node),
		cmocka_unit_test_setup_teardown(a_long_journal_is_written_anew, open_node,
						close_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
