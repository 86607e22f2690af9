/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/cli/render.h"

#include <string.h>

#include "control/cli/table.h"

#define COLUMNS(array) (array), sizeof(array) / sizeof((array)[0])

void spw_render_tunnels(FILE *out, const json_t *result)
{
	static const struct spw_column columns[] = {
		{"NAME", "name"},
		{"TENANT", "tenant"},
		{"REMOTE", "remote"},
		{"STATE", "state"},
		{"RX", "rx_bytes"},
		{"TX", "tx_bytes"},
		{"RX PACKETS", "rx_packets"},
		{"TX PACKETS", "tx_packets"},
		{"RX DROPS", "rx_drops"},
		{"TX DROPS", "tx_drops"},
	};

	size_t i;
	json_t *tunnel;

	json_array_foreach (result, i, tunnel)
		if (json_is_null(json_object_get(tunnel, "remote")))
			json_object_set_new(tunnel, "remote", json_string("not known yet"));
	spw_table_print(out, COLUMNS(columns), result, "no tunnels (spillway tunnel add --help)");
}

void spw_render_routes(FILE *out, const json_t *result)
{
	static const struct spw_column columns[] = {
		{"TENANT", "tenant"}, {"PREFIX", "prefix"}, {"KIND", "kind"}, {"TO", "to"}};
	size_t i;
	json_t *route;

	json_array_foreach (result, i, route) {
		json_t *to =
			json_object_get(route, "tunnel") ?: json_object_get(route, "interface");
		if (to)
			json_object_set(route, "to", to);
	}
	spw_table_print(out, COLUMNS(columns), result, "no routes (spillway route add --help)");
}

/* People want to see what is there; --json has the rest. A new reference. */
static json_t *rows_above_zero(const json_t *rows, const char *key)
{
	json_t *some = json_array(), *row;
	size_t i;

	json_array_foreach (rows, i, row)
		if (json_integer_value(json_object_get(row, key)) > 0)
			json_array_append(some, row);
	return some;
}

void spw_render_rates(FILE *out, const json_t *result)
{
	static const struct spw_column columns[] = {
		{"KIND", "kind"},      {"NAME", "name"},         {"DIRECTION", "direction"},
		{"RATE", "rate_kbit"}, {"BURST", "burst_bytes"}, {"PACKETS/S", "packets"}};

	json_t *some = rows_above_zero(result, "rate_kbit");

	spw_table_print(out, COLUMNS(columns), some, "no caps (spillway rate set --help)");
	json_decref(some);
}

void spw_render_relays(FILE *out, const json_t *result)
{
	static const struct spw_column columns[] = {
		{"NAME", "name"},
		{"PORT", "port"},
		{"STATE", "state"},
		{"ARMED", "armed_s"},
		{"A", "a.remote"},
		{"B", "b.remote"},
		{"TO A", "a.bytes"},
		{"TO B", "b.bytes"},
		{"TO A PACKETS", "a.packets"},
		{"TO B PACKETS", "b.packets"},
		{"TO A DROPS", "a.drops"},
		{"TO B DROPS", "b.drops"},
		{"FOREIGN", "foreign_drops"},
	};

	if (json_is_array(result))
		spw_table_print(out, COLUMNS(columns), result,
				"no relays (spillway relay add --help)");
	else
		spw_render_record(out, result);
}

void spw_render_drops(FILE *out, const json_t *result)
{
	static const struct spw_column columns[] = {{"PACKETS", "packets"},
						    {"REASON", "reason"},
						    {"WHERE", "where"},
						    {"MEANING", "text"}};
	json_t *some = rows_above_zero(result, "packets");

	spw_table_print(out, COLUMNS(columns), some, "no packet was dropped");
	json_decref(some);
}

void spw_render_batch(FILE *out, const json_t *result)
{
	json_int_t applied = json_integer_value(json_object_get(result, "applied"));

	fprintf(out, "%lld change%s applied\n", (long long)applied, applied == 1 ? "" : "s");
}

static void members_print(FILE *out, const json_t *object, int indent)
{
	const char *key;
	json_t *value;
	int width = 0;

	json_object_foreach ((json_t *)object, key, value)
		if ((int)strlen(key) > width)
			width = strlen(key);
	json_object_foreach ((json_t *)object, key, value) {
		char text[1024];
		if (json_object_size(value) > 0) {
			fprintf(out, "%*s%s\n", indent, "", key);
			members_print(out, value, indent + 2);
			continue;
		}
		if (json_is_object(json_array_get(value, 0))) {
			size_t i;
			json_t *item;
			json_array_foreach (value, i, item) {
				fprintf(out, "%*s%s %zu\n", indent, "", key, i);
				members_print(out, item, indent + 2);
			}
			continue;
		}
		spw_value_format(key, value, text, sizeof(text));
		fprintf(out, "%*s%-*s  %s\n", indent, "", width, key, text);
	}
}

void spw_render_record(FILE *out, const json_t *result)
{
	members_print(out, result, 0);
}

/* Failures of handshakes by cause: those that never happened say nothing. */
static void failures_tidy(json_t *owner)
{
	json_t *failures = json_object_get(owner, "failures"), *count;
	const char *cause;
	void *next;

	json_object_foreach_safe(failures, next, cause, count) if (json_integer_value(count) == 0)
		json_object_del(failures, cause);
	if (failures && json_object_size(failures) == 0)
		json_object_del(owner, "failures");
}

static void session_tidy(json_t *sa)
{
	failures_tidy(sa);
	if (json_is_null(json_object_get(sa, "endpoint")))
		json_object_set_new(sa, "endpoint", json_string("not known until the peer speaks"));
	if (json_is_null(json_object_get(sa, "handshake_age_s")))
		json_object_set_new(sa, "handshake_age_s", json_string("never"));
}

void spw_render_tunnel(FILE *out, const json_t *result)
{
	json_t *sa = json_object_get(result, "sa");
	const char *keying = json_string_value(json_object_get(sa, "keying"));

	if (keying && strcmp(keying, "session") == 0)
		session_tidy(sa);
	spw_render_record(out, result);
}

static void status_head(FILE *out, const json_t *status)
{
	static const char *const keys[] = {"version", "pid", "uptime_s", "revision"};
	static const char *const labels[] = {"version", "pid", "up", "revision"};
	const json_t *dataplane = json_object_get(status, "dataplane");
	char text[200];

	spw_value_format("node", json_object_get(status, "node"), text, sizeof(text));
	fprintf(out, "node %s", text);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		spw_value_format(keys[i], json_object_get(status, keys[i]), text, sizeof(text));
		fprintf(out, ", %s %s", labels[i], text);
	}
	fputc('\n', out);
	if (!json_is_true(json_object_get(dataplane, "connected"))) {
		fputs("dataplane not connected: tunnel packets are dropped unless one still "
		      "runs\n",
		      out);
		return;
	}
	spw_value_format("pid", json_object_get(dataplane, "pid"), text, sizeof(text));
	fprintf(out, "dataplane connected, pid %s", text);
	spw_value_format("aead", json_object_get(dataplane, "aead"), text, sizeof(text));
	fprintf(out, ", aead %s", text);
	spw_value_format("aead_why", json_object_get(dataplane, "aead_why"), text, sizeof(text));
	fprintf(out, " (%s)\n", text);
}

/* The node's own key, and what its handshakes met that no tunnel's did. */
static void status_handshakes(FILE *out, json_t *handshakes)
{
	json_t *failures, *count;
	const char *cause, *between = ": ";
	json_int_t cookies = json_integer_value(json_object_get(handshakes, "cookies_sent"));

	if (!json_is_object(handshakes))
		return;
	fprintf(out, "public key %s\n",
		json_string_value(json_object_get(handshakes, "public_key")));
	if (cookies > 0)
		fprintf(out, "cookies sent while many handshakes came: %lld\n", (long long)cookies);
	failures_tidy(handshakes);
	failures = json_object_get(handshakes, "failures");
	if (!failures)
		return;
	fputs("handshake messages not answered", out);
	json_object_foreach (failures, cause, count) {
		fprintf(out, "%s%s %lld", between, cause, (long long)json_integer_value(count));
		between = ", ";
	}
	fputc('\n', out);
}

static void status_tables(FILE *out, const json_t *tables)
{
	static const struct spw_column columns[] = {
		{"TABLE", "table"}, {"USED", "used"}, {"MAX", "max"}};
	json_t *rows = json_array(), *table;
	const char *name;

	json_object_foreach ((json_t *)tables, name, table) {
		json_t *row = json_pack("{s:s}", "table", name);
		json_object_update(row, table);
		json_array_append_new(rows, row);
	}
	spw_table_print(out, COLUMNS(columns), rows, "no tables");
	json_decref(rows);
}

void spw_render_status(FILE *out, const json_t *result)
{
	static const struct spw_column workers[] = {{"WORKER", "worker"}, {"CPU", "cpu"},
						    {"ONLINE", "online"}, {"LOOPS", "loops"},
						    {"SLEEPS", "sleeps"}, {"HANDOFFS", "handoffs"}};
	static const struct spw_column interfaces[] = {
		{"INTERFACE", "name"},  {"ROLE", "role"},       {"VLAN", "vlan"},
		{"TENANT", "tenant"},   {"XDP", "xdp_mode"},    {"RX", "rx_bytes"},
		{"TX", "tx_bytes"},     {"PASSED", "passed"},   {"STEERED", "steered"},
		{"RELAYED", "relayed"}, {"CONTROL", "control"}, {"DROPPED", "dropped"},
	};
	static const struct spw_column neighbors[] = {{"NEIGHBOR", "address"},
						      {"INTERFACE", "interface"},
						      {"MAC", "mac"},
						      {"STATE", "state"},
						      {"FAILURES", "failures"}};
	const json_t *dataplane = json_object_get(result, "dataplane");

	status_head(out, result);
	status_handshakes(out, json_object_get(result, "handshakes"));
	fputc('\n', out);
	if (json_array_size(json_object_get(dataplane, "workers")) > 0) {
		spw_table_print(out, COLUMNS(workers), json_object_get(dataplane, "workers"), "");
		fputc('\n', out);
	}
	spw_table_print(out, COLUMNS(interfaces), json_object_get(result, "interfaces"),
			"no interfaces");
	fputc('\n', out);
	spw_table_print(out, COLUMNS(neighbors), json_object_get(result, "neighbors"),
			"no neighbors yet");
	fputc('\n', out);
	status_tables(out, json_object_get(result, "tables"));
}
