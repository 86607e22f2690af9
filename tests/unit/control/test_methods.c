/* SPDX-License-Identifier: BSD-2-Clause */
/* RPC lines in, answers out, over the real model and the real transactions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/methods.h"
#include "control/daemon/rpc.h"
#include "ebpf/drops.h"
#include "tests/unit/control/node_double.h"
#include "tests/unit/control/rpc_world.h"

#define CNT(table) (sizeof(table) / sizeof((table)[0]))

#define TUNNEL_ADD                                                                                 \
	"{'name':'to-relay','tenant':'blue','remote':'192.0.2.2','allow':['10.2.0.0/24'],"         \
	"'static':{'secret_file':'/k'}}"
#define SWAN_ADD                                                                                   \
	"{'name':'swan','tenant':'blue','remote':'[2001:db8::9]:4600','local':'2001:db8::1',"      \
	"'allow':['10.9.0.0/24','fd00::/8'],'mtu':1300,'foreign':{'esn':true,"                     \
	"'in':{'spi':65537,'key_file':'/i'},'out':{'spi':300,'key_file':'/o'}}}"

/* ---- lines that are refused --------------------------------------------------------------- */

struct refused {
	const char *line;
	int code;
	const char *message, *expected; /* pieces of them; NULL: not looked at */
};

#define CALL(method, params) "{'jsonrpc':'2.0','id':1,'method':'" method "','params':" params "}"

static const struct refused refused[] = {
	/* The form of the line. */
	{"", SPW_RPC_NOT_JSON, "not JSON", NULL},
	{"hello", SPW_RPC_NOT_JSON, "not JSON", NULL},
	{"{'jsonrpc':'2.0'", SPW_RPC_NOT_JSON, "not JSON", NULL},
	{"{} {}", SPW_RPC_NOT_JSON, "not JSON", NULL},
	{"{'id':1,'id':2}", SPW_RPC_NOT_JSON, "duplicate", NULL},
	{"'\xff'", SPW_RPC_NOT_JSON, "not JSON", NULL},
	{"[]", SPW_RPC_BAD_REQUEST, "no object", "one object"},
	{"[{'jsonrpc':'2.0','id':1,'method':'status'}]", SPW_RPC_BAD_REQUEST, "no object", NULL},
	{"{}", SPW_RPC_BAD_REQUEST, "jsonrpc", NULL},
	{"{'jsonrpc':2.0,'id':1,'method':'status'}", SPW_RPC_BAD_REQUEST, "jsonrpc", NULL},
	{"{'jsonrpc':'1.0','id':1,'method':'status'}", SPW_RPC_BAD_REQUEST, "jsonrpc", NULL},
	{"{'jsonrpc':'2.0','id':1}", SPW_RPC_BAD_REQUEST, "method", NULL},
	{"{'jsonrpc':'2.0','id':1,'method':5}", SPW_RPC_BAD_REQUEST, "method", NULL},
	{"{'jsonrpc':'2.0','id':{},'method':'status'}", SPW_RPC_BAD_REQUEST, "id", NULL},
	{"{'jsonrpc':'2.0','id':1,'method':'status','parms':{}}", SPW_RPC_BAD_REQUEST, "parms",
	 NULL},
	/* Methods and the form of parameters. */
	{CALL("route.ad", "{}"), SPW_RPC_NO_METHOD, "did you mean \"route.add\"", "route.del"},
	{CALL("", "{}"), SPW_RPC_NO_METHOD, "no method", "status"},
	{CALL("status", "[]"), SPW_RPC_BAD_PARAMS, "no object", NULL},
	{CALL("status", "null"), SPW_RPC_BAD_PARAMS, "no object", NULL},
	{CALL("status", "{'x':1}"), SPW_RPC_BAD_PARAMS, "unknown parameter \"x\"", "no parameters"},
	{CALL("tunnel.show", "{}"), SPW_RPC_BAD_PARAMS, "name is missing", "a string"},
	{CALL("tunnel.show", "{'name':1}"), SPW_RPC_BAD_PARAMS, "wrong type", "a string"},
	{CALL("tunnel.show", "{'name':'a\\u0000b'}"), SPW_RPC_NOT_JSON, NULL, NULL},
	{CALL("route.add", "{'tenant':'blue','prefx':'1'}"), SPW_RPC_BAD_PARAMS,
	 "did you mean \"prefix\"", "tenant, prefix, tunnel"},
	/* Values. */
	{CALL("route.add", "{'tenant':'blue','prefix':'10.0.0.1/8','tunnel':'t'}"),
	 SPW_RPC_BAD_PARAMS, "prefix is \"10.0.0.1/8\"", "after the length are 0"},
	{CALL("route.del", "{'tenant':'blue','prefix':'10'}"), SPW_RPC_BAD_PARAMS, "prefix is",
	 "such as 10.0.0.0/24"},
	{CALL("rate.set", "{'rate':'1mbit'}"), SPW_RPC_BAD_PARAMS, "none of",
	 "one of tunnel, tenant and relay"},
	{CALL("rate.set", "{'rate':'1mbit','tunnel':'a','tenant':'b'}"), SPW_RPC_BAD_PARAMS,
	 "more than one", NULL},
	{CALL("rate.set", "{'rate':'none','relay':'ab'}"), SPW_RPC_BAD_PARAMS, "rate is \"none\"",
	 "always has one"},
	{CALL("rate.set", "{'rate':'1mbit','relay':'ab','direction':'in'}"), SPW_RPC_BAD_PARAMS,
	 "direction", "each direction"},
	{CALL("rate.set", "{'rate':'1mbit','relay':'ab','burst_bytes':9000}"), SPW_RPC_BAD_PARAMS,
	 "burst", NULL},
	{CALL("rate.set", "{'rate':'1mbit','tunnel':'a','packets':5}"), SPW_RPC_BAD_PARAMS,
	 "packets are given for a tunnel", NULL},
	{CALL("rate.set", "{'rate':'1mbit','relay':'ab','packets':0}"), SPW_RPC_BAD_PARAMS,
	 "packets is 0", "1 to 100000000"},
	{CALL("relay.add", "{'name':'x','port':0,'between':[]}"), SPW_RPC_BAD_PARAMS, "port is 0",
	 "1 to 65535"},
	{CALL("relay.add", "{'name':'x','port':65536,'between':[]}"), SPW_RPC_BAD_PARAMS,
	 "port is 65536", NULL},
	{CALL("relay.add", "{'name':'x','port':1,'between':['any']}"), SPW_RPC_BAD_PARAMS,
	 "1 entries", "two endpoints"},
	{CALL("relay.add", "{'name':'x','port':1,'between':['any',5]}"), SPW_RPC_BAD_PARAMS,
	 "wrong type", NULL},
	{CALL("relay.add", "{'name':'x','port':1,'between':['any','192.0.2.1']}"),
	 SPW_RPC_BAD_PARAMS, "192.0.2.1", "or any"},
	{CALL("relay.add", "{'name':'x','port':1,'between':['any','169.254.169.254:80']}"),
	 SPW_RPC_BAD_PARAMS, "169.254", NULL},
	{CALL("relay.add", "{'name':'X','port':1,'between':['any','192.0.2.1:5']}"),
	 SPW_RPC_BAD_PARAMS, "name is", NULL},
	{CALL("relay.show", "{'name':'x'}"), SPW_RPC_REFUSED, "no relay \"x\"", NULL},
	{CALL("relay.arm", "{'name':'x'}"), SPW_RPC_REFUSED, "no relay \"x\"", NULL},
	{CALL("rate.set", "{'rate':'1','tunnel':'a'}"), SPW_RPC_BAD_PARAMS, "rate is \"1\"",
	 "50mbit"},
	{CALL("rate.set", "{'rate':'1mbit','tunnel':'a','direction':'up'}"), SPW_RPC_BAD_PARAMS,
	 "direction is", "in, out or both"},
	{CALL("rate.set", "{'rate':'1mbit','tenant':'a','direction':'in'}"), SPW_RPC_BAD_PARAMS,
	 "direction", "no direction"},
	{CALL("rate.set", "{'rate':'1mbit','tenant':'a','burst_bytes':-1}"), SPW_RPC_BAD_PARAMS,
	 "burst_bytes", "whole number"},
	{CALL("rate.set", "{'rate':'1mbit','tenant':'a','burst_bytes':4294967296}"),
	 SPW_RPC_BAD_PARAMS, "burst_bytes", NULL},
	{CALL("tunnel.add", "{'name':'T','tenant':'blue','remote':'1.1.1.1','allow':['::/"
			    "0'],'static':{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "name is \"T\"", "1 to 31"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'0.0.0.0','allow':['::/"
			    "0'],'static':{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "remote", "address of a host"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':[],'static':{'"
			    "secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "allow is empty", NULL},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':[7],'static':{'"
			    "secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "allow[0]", "a string"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':['x'],'static':"
			    "{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "allow is \"x\"", "a prefix"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','peer':'x','allow':['::/0']}"),
	 SPW_RPC_BAD_PARAMS, "peer is \"x\"", "44 characters"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','peer':'x','remote':'1.1.1.1','allow':['::"
			    "/0']}"),
	 SPW_RPC_BAD_PARAMS, "remote is given", "endpoint"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','endpoint':'1.1.1.1','allow':['::/0'],"
			    "'static':{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "endpoint is given", "remote"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','allow':['::/0'],'static':{'secret_file':'"
			    "/k'}}"),
	 SPW_RPC_BAD_PARAMS, "remote is missing", NULL},
	{CALL("tunnel.add", "{'name':'t','peer':'x','allow':['::/0']}"), SPW_RPC_BAD_PARAMS,
	 "tenant is missing, and the node has 2", NULL},
	{CALL("tunnel.rekey", "{'name':'x'}"), SPW_RPC_REFUSED, "no tunnel \"x\"", NULL},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':['::/0']}"),
	 SPW_RPC_BAD_PARAMS, "none of peer, static and foreign", NULL},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':['::/"
			    "0'],'static':{'secret_file':'k'}}"),
	 SPW_RPC_BAD_PARAMS, "static.secret_file is \"k\"", "an absolute path"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':['::/"
			    "0'],'cipher':'des','static':{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "cipher is", "aes-256-gcm"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':['::/"
			    "0'],'static':{'secret':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "unknown parameter static.\"secret\"", "secret_file"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','allow':['::/"
			    "0'],'foreign':{'in':{'spi':1023,'key_file':'/"
			    "i'},'out':{'spi':300,'key_file':'/o'}}}"),
	 SPW_RPC_BAD_PARAMS, "foreign.in.spi is 1023", "0x400"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','mtu':100,'allow':['::/"
			    "0'],'static':{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "mtu is 100", "576"},
	{CALL("tunnel.add", "{'name':'t','tenant':'blue','remote':'1.1.1.1','local':'::1','allow':["
			    "'::/0'],'static':{'secret_file':'/k'}}"),
	 SPW_RPC_BAD_PARAMS, "local", NULL},
	/* What the running state refuses. */
	{CALL("tunnel.show", "{'name':'nobody'}"), SPW_RPC_REFUSED, "nobody", NULL},
	{CALL("tunnel.del", "{'name':'nobody'}"), SPW_RPC_REFUSED, "nobody", NULL},
	{CALL("tunnel.first_use", "{'name':'nobody'}"), SPW_RPC_REFUSED, "nobody", NULL},
	{CALL("route.list", "{'tenant':'nobody'}"), SPW_RPC_REFUSED, "nobody", NULL},
	{CALL("route.add", "{'tenant':'blue','prefix':'10.0.0.0/8','tunnel':'nobody'}"),
	 SPW_RPC_REFUSED, "nobody", NULL},
	{CALL("route.del", "{'tenant':'blue','prefix':'10.77.0.0/16'}"), SPW_RPC_REFUSED,
	 "10.77.0.0/16", NULL},
	{CALL("rate.set", "{'tunnel':'nobody','rate':'1mbit'}"), SPW_RPC_REFUSED, "nobody", NULL},
	/* Batches. */
	{CALL("batch", "{'ops':{}}"), SPW_RPC_BAD_PARAMS, "wrong type", "a list"},
	{CALL("batch", "{'ops':[1]}"), SPW_RPC_BAD_PARAMS, "no object", NULL},
	{CALL("batch", "{'ops':[{'method':'route.del','params':{}}]}"), SPW_RPC_BAD_PARAMS,
	 "line is missing", NULL},
	{CALL("batch", "{'ops':[{'line':3,'method':'status','params':{}}]}"), SPW_RPC_BAD_PARAMS,
	 "no method of a batch", "tunnel.add"},
	{CALL("batch", "{'ops':[{'line':3,'method':'batch','params':{'ops':[]}}]}"),
	 SPW_RPC_BAD_PARAMS, "no method of a batch", NULL},
};

static void test_refused(void **state)
{
	(void)state;
	uint64_t revision = node->revision;
	for (size_t i = 0; i < CNT(refused); i++) {
		const struct refused *c = &refused[i];
		json_t *answer = ask(c->line);
		json_t *error = json_object_get(answer, "error");
		json_t *data = json_object_get(error, "data");
		const char *message = json_string_value(json_object_get(error, "message"));
		const char *expected = json_string_value(json_object_get(data, "expected"));
		if (!message)
			fail_msg("case %zu was taken: %s", i, c->line);
		if (json_integer_value(json_object_get(error, "code")) != c->code)
			fail_msg("case %zu: code %lld: %s", i,
				 json_integer_value(json_object_get(error, "code")), message);
		if (c->message && !strstr(message, c->message))
			fail_msg("case %zu: no \"%s\" in: %s", i, c->message, message);
		if (c->expected && (!expected || !strstr(expected, c->expected)))
			fail_msg("case %zu: no \"%s\" in: %s", i, c->expected,
				 expected ? expected : "nothing");
		if (c->code == SPW_RPC_REFUSED)
			assert_string_equal(json_string_value(json_object_get(data, "errno")),
					    "ENOENT");
		json_decref(answer);
	}
	assert_int_equal(node->revision, revision);
}

static void test_ids(void **state)
{
	(void)state;
	json_t *answer = ask("{'jsonrpc':'2.0','id':'a','method':'status'}");
	assert_string_equal(json_string_value(json_object_get(answer, "id")), "a");
	json_decref(answer);
	answer = ask("{'jsonrpc':'2.0','id':null,'method':'status'}");
	assert_true(json_is_null(json_object_get(answer, "id")));
	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
	/* Notifications: no answer, whatever comes of them; what has no form is answered. */
	assert_null(ask("{'jsonrpc':'2.0','method':'status'}"));
	assert_null(ask("{'jsonrpc':'2.0','method':'nothing'}"));
	answer = ask("{'jsonrpc':'2.0'}");
	assert_true(json_is_null(json_object_get(answer, "id")));
	json_decref(answer);
}

/* ---- changes ------------------------------------------------------------------------------ */

static void test_tunnels(void **state)
{
	(void)state;
	json_t *result = result_of("tunnel.add", TUNNEL_ADD);
	const struct spw_tunnel_obj *tunnel = spw_tunnel_find(node, "to-relay");
	assert_non_null(tunnel);
	assert_int_equal(json_integer_value(json_object_get(result, "id")), tunnel->id);
	assert_int_equal(tunnel->remote.port, 4500);
	assert_string_equal(tunnel->spec.secret_file, "/k");
	assert_int_equal(tunnel->spec.key_bits, 16);
	json_decref(result);

	must("tunnel.add", SWAN_ADD);
	tunnel = spw_tunnel_find(node, "swan");
	assert_non_null(tunnel);
	assert_true(tunnel->foreign && tunnel->spec.esn && !tunnel->spec.first_use);
	assert_int_equal(tunnel->spec.in.spi, 65537);
	assert_string_equal(tunnel->spec.out.key_file, "/o");
	assert_int_equal(tunnel->remote.port, 4600);
	must("tunnel.first_use", "{'name':'swan'}");

	json_t *answer = call("tunnel.first_use", "{'name':'to-relay'}");
	json_t *data = json_object_get(json_object_get(answer, "error"), "data");
	assert_string_equal(json_string_value(json_object_get(data, "errno")), "EALREADY");
	json_decref(answer);

	must("tunnel.del", "{'name':'swan'}");
	assert_null(spw_tunnel_find(node, "swan"));
}

/* Its prefix is a route from the same transaction on, and goes with it. */
static void test_session(void **state)
{
	static const char add[] =
		"{'name':'s','tenant':'green','peer':"
		"'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=','allow':['10.7.0.0/24']}";
	(void)state;
	json_t *answer = call("tunnel.add", add);
	const char *message =
		json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
	assert_non_null(message);
	assert_non_null(strstr(message, "spillway key generate FILE"));
	json_decref(answer);

	strcpy(node->key_file, "/node.key");
	must("tunnel.add", add);
	must("tunnel.rekey", "{'name':'s'}");
	json_t *routes = result_of("route.list", "{'tenant':'green'}");
	assert_int_equal(json_array_size(routes), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(routes, 0), "tunnel")),
			    "s");
	json_decref(routes);
	json_t *tunnel = result_of("tunnel.show", "{'name':'s'}");
	assert_true(json_is_null(json_object_get(tunnel, "remote")));
	json_decref(tunnel);
	must("tunnel.del", "{'name':'s'}");
	node->key_file[0] = '\0';
}

static void test_batch(void **state)
{
	(void)state;
	must("tunnel.add", TUNNEL_ADD);
	uint64_t revision = node->revision;
	json_t *result = result_of(
		"batch",
		"{'ops':[{'line':1,'method':'tunnel.add','params':" SWAN_ADD "},"
		"{'line':4,'method':'route.add','params':{'tenant':'blue','prefix':'10.9.0.0/24',"
		"'tunnel':'swan'}},"
		"{'line':5,'method':'rate.set','params':{'tunnel':'swan','rate':'5mbit'}}]}");
	assert_int_equal(json_integer_value(json_object_get(result, "applied")), 3);
	assert_int_equal(node->revision, revision + 1);
	json_decref(result);

	/* The third is wrong in form, then in substance: nothing of the first two stays. */
	static const char *const third[] = {
		"{'tenant':'blue','prefix':'10.4.0.0/33','tunnel':'swan'}",
		"{'tenant':'blue','prefix':'10.9.0.0/24','tunnel':'swan'}"};
	static const int codes[] = {SPW_RPC_BAD_PARAMS, SPW_RPC_REFUSED};
	for (size_t i = 0; i < CNT(third); i++) {
		char *params;
		assert_true(asprintf(&params,
				     "{'ops':[{'line':1,'method':'route.add','params':{'tenant':"
				     "'blue','prefix':'10.3.0.0/24','tunnel':'swan'}},"
				     "{'line':2,'method':'rate.set','params':{'tunnel':'swan',"
				     "'rate':'1mbit'}},"
				     "{'line':7,'method':'route.add','params':%s}]}",
				     third[i]) > 0);
		json_t *answer = call("batch", params);
		json_t *error = json_object_get(answer, "error");
		json_t *data = json_object_get(error, "data");
		assert_int_equal(json_integer_value(json_object_get(error, "code")), codes[i]);
		assert_int_equal(json_integer_value(json_object_get(data, "line")), 7);
		json_decref(answer);
		free(params);
		assert_int_equal(node->revision, revision + 1);
	}
	json_t *rates = result_of("rate.list", "{}");
	json_t *last = json_array_get(rates, json_array_size(rates) - 1);
	assert_string_equal(json_string_value(json_object_get(last, "name")), "swan");
	assert_string_equal(json_string_value(json_object_get(last, "direction")), "out");
	assert_int_equal(json_integer_value(json_object_get(last, "rate_kbit")), 5000);
	json_decref(rates);
}

static void test_rates(void **state)
{
	(void)state;
	must("tunnel.add", TUNNEL_ADD);
	const struct spw_rate *rates = node->maps.rates;
	uint32_t tunnel = spw_tunnel_find(node, "to-relay")->id;
	uint32_t tenant = DOUBLE_TUNNELS_MAX + spw_tenant_find(node, "blue")->id;
	must("rate.set", "{'tunnel':'to-relay','rate':'50mbit','direction':'out',"
			 "'burst_bytes':123456}");
	assert_int_equal(rates[tunnel].in_cap, 0);
	assert_int_equal(rates[tunnel].out_cap, SPW_CAP(50000, 123456));
	must("rate.set", "{'tunnel':'to-relay','rate':'1gbit'}");
	assert_int_equal(SPW_CAP_RATE_KBIT(rates[tunnel].in_cap), 1000000);
	assert_int_equal(SPW_CAP_RATE_KBIT(rates[tunnel].out_cap), 1000000);
	must("rate.set", "{'tenant':'blue','rate':'200mbit'}");
	assert_int_equal(SPW_CAP_RATE_KBIT(rates[tenant].in_cap), 200000);
	assert_int_equal(rates[tenant].out_cap, 0);
	must("rate.set", "{'tunnel':'to-relay','rate':'none','direction':'in'}");
	assert_int_equal(rates[tunnel].in_cap, 0);
}

/* ---- lists -------------------------------------------------------------------------------- */

static const char *member(const json_t *list, size_t index, const char *key)
{
	const char *text = json_string_value(json_object_get(json_array_get(list, index), key));
	return text ? text : "(none)";
}

static void test_routes(void **state)
{
	(void)state;
	must("tunnel.add", TUNNEL_ADD);
	must("route.add", "{'tenant':'blue','prefix':'fd00:2::/64','tunnel':'to-relay'}");
	must("route.add", "{'tenant':'blue','prefix':'10.2.0.0/24','tunnel':'to-relay'}");
	const struct spw_prefix host = {.family = 4, .bits = 32, .addr = {10, 1, 0, 9}};
	node->maps.neighbors[5].port = 1;
	assert_int_equal(spw_host_route_set(node, 1, &host, 5), 0);

	json_t *list = result_of("route.list", "{}");
	static const char *const lines[][4] = {{"10.1.0.0/24", "lan", "interface", "lan0"},
					       {"10.1.0.9/32", "host", "interface", "lan0"},
					       {"10.2.0.0/24", "tunnel", "tunnel", "to-relay"},
					       {"fd00:2::/64", "tunnel", "tunnel", "to-relay"}};
	assert_int_equal(json_array_size(list), CNT(lines));
	for (size_t i = 0; i < CNT(lines); i++) {
		assert_string_equal(member(list, i, "tenant"), "blue");
		assert_string_equal(member(list, i, "prefix"), lines[i][0]);
		assert_string_equal(member(list, i, "kind"), lines[i][1]);
		assert_string_equal(member(list, i, lines[i][2]), lines[i][3]);
	}
	json_decref(list);
	list = result_of("route.list", "{'tenant':'green'}");
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

static void test_tunnel_show(void **state)
{
	(void)state;
	must("tunnel.add", TUNNEL_ADD);
	uint32_t id = spw_tunnel_find(node, "to-relay")->id;
	for (uint32_t worker = 0; worker < node->workers; worker++) {
		struct spw_tunnel_counters *row =
			&node->maps.counters[worker * DOUBLE_TUNNELS_MAX + id];
		row->rx_packets = 1 + worker;
		row->tx_bytes = 100 + worker;
		row->replays = 7;
	}
	json_t *list = result_of("tunnel.list", "{}");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(member(list, 0, "name"), "to-relay");
	assert_string_equal(member(list, 0, "state"), "up");
	assert_string_equal(member(list, 0, "remote"), "192.0.2.2:4500");
	json_decref(list);

	json_t *show = result_of("tunnel.show", "{'name':'to-relay'}");
	assert_int_equal(json_integer_value(json_object_get(show, "rx_packets")), 3);
	assert_int_equal(json_integer_value(json_object_get(show, "tx_bytes")), 201);
	assert_int_equal(json_integer_value(json_object_get(show, "replays")), 14);
	assert_true(json_is_null(json_object_get(show, "idle_s")));
	assert_true(json_integer_value(json_object_get(show, "mtu")) > 1300);
	assert_string_equal(json_string_value(json_object_get(show, "rate_in")), "none");
	const json_t *hop = json_object_get(show, "next_hop");
	assert_string_equal(json_string_value(json_object_get(hop, "interface")), "wan0");
	assert_string_equal(json_string_value(json_object_get(hop, "state")), "unresolved");
	assert_string_equal(json_string_value(json_array_get(json_object_get(show, "allow"), 0)),
			    "10.2.0.0/24");
	json_decref(show);
}

static void test_status(void **state)
{
	(void)state;
	node->maps.workers[1].generation = 77;
	node->maps.workers[1].sleeps = 5;
	node->maps.workers[0].ports[1].rx_bytes = 10;
	node->maps.workers[1].ports[1].rx_bytes = 20;
	json_t *status = result_of("status", "{}");
	assert_string_equal(json_string_value(json_object_get(status, "node")), "test");
	json_t *dataplane = json_object_get(status, "dataplane");
	json_t *workers = json_object_get(dataplane, "workers");
	assert_int_equal(json_array_size(workers), 2);
	json_t *second = json_array_get(workers, 1);
	assert_int_equal(json_integer_value(json_object_get(second, "cpu")), 5);
	assert_int_equal(json_integer_value(json_object_get(second, "sleeps")), 5);
	assert_true(json_is_true(json_object_get(second, "online")));
	assert_false(json_is_true(json_object_get(json_array_get(workers, 0), "online")));
	json_t *lan = json_array_get(json_object_get(status, "interfaces"), 1);
	assert_string_equal(json_string_value(json_object_get(lan, "tenant")), "blue");
	assert_int_equal(json_integer_value(json_object_get(lan, "rx_bytes")), 30);
	assert_int_equal(json_integer_value(json_object_get(lan, "steered")),
			 2000 + SPW_CLASSIFIED_STEER);
	assert_int_equal(json_integer_value(json_object_get(lan, "dropped")),
			 2000 * SPW_DROP_CNT + SPW_DROP_CNT * (SPW_DROP_CNT - 1) / 2);
	json_t *tenants = json_object_get(json_object_get(status, "tables"), "tenants");
	assert_int_equal(json_integer_value(json_object_get(tenants, "used")), 2);
	assert_int_equal(json_integer_value(json_object_get(tenants, "max")),
			 DOUBLE_TENANTS_MAX - 1);
	json_decref(status);
}

static void test_drops(void **state)
{
	(void)state;
	node->maps.workers[0].drops[SPW_DROP_AUTH_FAILED] = 3;
	node->maps.workers[1].drops[SPW_DROP_AUTH_FAILED] = 4;
	json_t *drops = result_of("drops", "{}");
	assert_int_equal(json_array_size(drops), SPW_DROP_CNT);
	json_t *drop = json_array_get(drops, SPW_DROP_AUTH_FAILED);
	assert_string_equal(member(drops, SPW_DROP_AUTH_FAILED, "reason"), "auth_failed");
	assert_string_equal(member(drops, SPW_DROP_AUTH_FAILED, "where"), "esp_in");
	/* Three ports of the double, 1000, 2000 and 3000. */
	assert_int_equal(json_integer_value(json_object_get(drop, "packets")),
			 6000 + 3 * SPW_DROP_AUTH_FAILED + 7);
	json_decref(drops);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rpc_open_node, rpc_close_node)
	const struct CMUnitTest tests[] = {
		TEST(test_refused), TEST(test_ids),         TEST(test_tunnels), TEST(test_session),
		TEST(test_batch),   TEST(test_rates),       TEST(test_routes),  TEST(test_drops),
		TEST(test_status),  TEST(test_tunnel_show),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
