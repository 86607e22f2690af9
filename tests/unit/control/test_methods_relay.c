/* SPDX-License-Identifier: BSD-2-Clause */
/* RPC lines about blind relays: shown, counted, armed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "control/daemon/methods.h"
#include "control/daemon/relays/relays.h"
#include "tests/unit/control/rpc_world.h"

#define CNT(table) (sizeof(table) / sizeof((table)[0]))

static void relays_begin(void)
{
	node->loop = event_base_new();
	must("relay.add", "{'name':'ab','port':51820,'between':['198.51.100.7:5','any']}");
	must("relay.add", "{'name':'six','port':51821,'between':['[2001:db8::7]:5',"
			  "'[2001:db8::8]:6'],'packets':5000,'rate':'20mbit'}");
}

static void relays_end(void)
{
	must("relay.del", "{'name':'ab'}");
	must("relay.del", "{'name':'six'}");
	if (node->relay_timer)
		event_free(node->relay_timer);
	node->relay_timer = NULL;
	event_base_free(node->loop);
}

static void test_show(void **state)
{
	(void)state;
	relays_begin();
	must("rate.set", "{'relay':'ab','rate':'7mbit','packets':70}");
	must("batch", "{'ops':[{'line':1,'method':'relay.add','params':{'name':'b','port':7,"
		      "'between':['any','192.0.2.9:1']}},{'line':2,'method':'rate.set','params':"
		      "{'relay':'b','rate':'1mbit'}},{'line':3,'method':'relay.del','params':"
		      "{'name':'b'}}]}");
	json_t *list = result_of("relay.show", "{}");
	assert_int_equal(json_array_size(list), 2);
	json_t *ab = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(ab, "state")), "unpinned");
	assert_int_equal(json_integer_value(json_object_get(ab, "limit_packets")), 70);
	assert_int_equal(json_integer_value(json_object_get(ab, "limit_kbit")), 7000);
	assert_true(json_is_null(json_object_get(ab, "armed_s")));
	json_t *b = json_object_get(ab, "b");
	assert_string_equal(json_string_value(json_object_get(b, "kind")), "any");
	assert_true(json_is_null(json_object_get(b, "remote")));
	assert_true(json_is_null(json_object_get(b, "next_hop")));
	json_decref(list);

	list = result_of("rate.list", "{}");
	json_t *last = json_array_get(list, json_array_size(list) - 1);
	assert_string_equal(json_string_value(json_object_get(last, "kind")), "relay");
	assert_string_equal(json_string_value(json_object_get(last, "name")), "six");
	assert_int_equal(json_integer_value(json_object_get(last, "rate_kbit")), 20000);
	assert_int_equal(json_integer_value(json_object_get(last, "packets")), 5000);
	json_decref(list);
	json_t *status = result_of("status", "{}");
	json_t *used = json_object_get(json_object_get(status, "tables"), "relays");
	assert_int_equal(json_integer_value(json_object_get(used, "max")), SPW_RELAYS_MAX - 1);
	json_decref(status);
	relays_end();
}

static void test_counters(void **state)
{
	(void)state;
	relays_begin();
	struct spw_relay_state *row = &node->maps.relay_states[spw_relay_find(node, "six")->id];
	row->to[1].packets = 3;
	row->to[1].bytes = 99;
	row->to[0].drops = 4;
	row->foreign_drops = 5;
	json_t *six = result_of("relay.show", "{'name':'six'}");
	assert_string_equal(json_string_value(json_object_get(six, "state")), "up");
	assert_int_equal(json_integer_value(json_object_get(six, "foreign_drops")), 5);
	json_t *b = json_object_get(six, "b");
	assert_string_equal(json_string_value(json_object_get(b, "remote")), "[2001:db8::8]:6");
	assert_string_equal(json_string_value(json_object_get(b, "kind")), "configured");
	assert_string_equal(json_string_value(json_object_get(b, "local")), "2001:db8::c8");
	assert_int_equal(json_integer_value(json_object_get(b, "packets")), 3);
	assert_int_equal(json_integer_value(json_object_get(b, "bytes")), 99);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(six, "a"), "drops")),
			 4);
	json_decref(six);
	relays_end();
}

static void test_arming(void **state)
{
	static const char *const times[] = {"1s", "60", "600s", "10m"};
	static const int seconds[] = {1, 60, 600, 600};
	static const char *const wrong[] = {"",  "0s",  "601s", "11m", "1h",
					    "s", "-5s", "5ss",  "5s "};
	char params[64];

	(void)state;
	relays_begin();
	for (size_t i = 0; i < CNT(times); i++) {
		snprintf(params, sizeof(params), "{'name':'ab','for':'%s'}", times[i]);
		json_t *armed = result_of("relay.arm", params);
		assert_int_equal(json_integer_value(json_object_get(armed, "armed_s")), seconds[i]);
		json_decref(armed);
	}
	for (size_t i = 0; i < CNT(wrong); i++) {
		snprintf(params, sizeof(params), "{'name':'ab','for':'%s'}", wrong[i]);
		json_t *answer = call("relay.arm", params);
		json_t *error = json_object_get(answer, "error");
		assert_int_equal(json_integer_value(json_object_get(error, "code")),
				 SPW_RPC_BAD_PARAMS);
		json_decref(answer);
	}
	json_t *ab = result_of("relay.show", "{'name':'ab'}");
	assert_string_equal(json_string_value(json_object_get(ab, "state")), "armed");
	assert_int_equal(json_integer_value(json_object_get(ab, "armed_s")), 600);
	json_decref(ab);
	relays_end();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rpc_open_node, rpc_close_node)
	const struct CMUnitTest tests[] = {
		TEST(test_show),
		TEST(test_counters),
		TEST(test_arming),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
