/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commands.c - the table of all commands.
 *
 * Who adds a command adds a row here, and a function to render.c if it prints anything.
 */
#include "control/cli/command.h"
#include "control/cli/error.h"
#include "control/cli/render.h"

static const struct spw_param run_params[] = {
	{NULL, "CONFIG", "config", SPW_PARAM_FILE, .required = true,
	 .help = "the node's config.yaml (docs/configuration.md)"},
	{0},
};

static const struct spw_param tunnel_name_params[] = {
	{NULL, "NAME", "name", SPW_PARAM_NAME, .required = true, .help = "the tunnel"},
	{0},
};

static const struct spw_param tunnel_add_params[] = {
	{NULL, "NAME", "name", SPW_PARAM_NAME, .required = true,
	 .help = "up to 31 of a-z, 0-9, '_' and '-'"},
	{"--allow", "PREFIX", "allow", SPW_PARAM_PREFIX, .required = true, .repeat = true,
	 .help = "inner sources that may come out of the tunnel; with --peer also routed into it"},
	{"--tenant", "NAME", "tenant", SPW_PARAM_NAME,
	 .help = "whose packets it carries; left out: the node's only tenant"},
	{"--peer", "KEY", "peer", SPW_PARAM_KEY,
	 .help = "the peer is a Spillway node with this public key (spillway key public)"},
	{"--endpoint", "ADDRESS[:PORT]", "endpoint", SPW_PARAM_ENDPOINT,
	 .help = "with --peer: where it is; left out: learned when it speaks"},
	{"--psk-file", "FILE", "psk_file", SPW_PARAM_FILE,
	 .help = "with --peer: 32 bytes that both hold, in base64 or hex digits"},
	{"--remote", "ADDRESS[:PORT]", "remote", SPW_PARAM_ENDPOINT,
	 .help = "without --peer: where it is; no port: the node's own tunnel port"},
	{"--local", "ADDRESS", "local", SPW_PARAM_ENDPOINT,
	 .help = "outer source; left out: what the kernel's route to the peer prefers"},
	{"--mtu", "BYTES", "mtu", SPW_PARAM_NUMBER,
	 .help = "longest inner packet; left out: what the outer link carries"},
	{"--secret-file", "FILE", "static.secret_file", SPW_PARAM_FILE,
	 .help = "the peer is a Spillway node with the same 64 hex digits"},
	{"--cipher", "aes-128-gcm|aes-256-gcm", "cipher", SPW_PARAM_CHOICE,
	 .help = "with --peer or --secret-file; aes-128-gcm if left out"},
	{"--in-spi", "SPI", "foreign.in.spi", SPW_PARAM_NUMBER,
	 .help = "any other ESP peer: the SPI that it sends to us"},
	{"--in-key", "FILE", "foreign.in.key_file", SPW_PARAM_FILE,
	 .help = "40 or 72 hex digits: key, then 4 bytes of salt"},
	{"--out-spi", "SPI", "foreign.out.spi", SPW_PARAM_NUMBER,
	 .help = "the SPI that it expects from us"},
	{"--out-key", "FILE", "foreign.out.key_file", SPW_PARAM_FILE,
	 .help = "as --in-key, and another key"},
	{"--esn", NULL, "foreign.esn", SPW_PARAM_FLAG,
	 .help = "the peer uses extended sequence numbers"},
	{"--first-use", NULL, "foreign.first_use", SPW_PARAM_FLAG,
	 .help = "these keys were never used before: start counting at 1"},
	{0},
};

static const struct spw_param key_generate_params[] = {
	{NULL, "FILE", "file", SPW_PARAM_FILE, .required = true,
	 .help = "a new file: one that is there is never overwritten"},
	{0},
};

static const struct spw_param key_public_params[] = {
	{NULL, "FILE", "file", SPW_PARAM_TEXT, .required = true, .help = "- reads standard input"},
	{0},
};

static const struct spw_param route_list_params[] = {
	{"tenant", "NAME", "tenant", SPW_PARAM_NAME, .help = "only this tenant's"},
	{0},
};

static const struct spw_param route_add_params[] = {
	{NULL, "PREFIX", "prefix", SPW_PARAM_PREFIX, .required = true,
	 .help = "inner destinations, such as 10.2.0.0/24 or fd00:2::/64"},
	{"tunnel", "NAME", "tunnel", SPW_PARAM_NAME, .required = true,
	 .help = "where they go; a tunnel of the same tenant"},
	{"tenant", "NAME", "tenant", SPW_PARAM_NAME, .required = true,
	 .help = "whose routes change"},
	{0},
};

static const struct spw_param route_del_params[] = {
	{NULL, "PREFIX", "prefix", SPW_PARAM_PREFIX, .required = true,
	 .help = "exactly as it was added"},
	{"tenant", "NAME", "tenant", SPW_PARAM_NAME, .required = true,
	 .help = "whose routes change"},
	{0},
};

static const struct spw_param rate_set_params[] = {
	{"tunnel", "NAME", "tunnel", SPW_PARAM_NAME, .help = "cap this tunnel"},
	{"tenant", "NAME", "tenant", SPW_PARAM_NAME, .help = "or cap all of a tenant's packets"},
	{"relay", "NAME", "relay", SPW_PARAM_NAME, .help = "or limit a relay, in each direction"},
	{NULL, "RATE", "rate", SPW_PARAM_RATE, .required = true,
	 .help = "such as 50mbit, 800kbit or 1.5gbit; none takes a cap away"},
	{"direction", "in|out|both", "direction", SPW_PARAM_CHOICE,
	 .help = "tunnels: from the peer, to the peer; both if left out"},
	{"burst", "BYTES", "burst_bytes", SPW_PARAM_NUMBER,
	 .help = "what may pass at once; left out: 100 ms worth, at least 64 KiB"},
	{"packets", "N", "packets", SPW_PARAM_NUMBER,
	 .help = "relays: packets a second; left out: as it was"},
	{0},
};

static const struct spw_param relay_name_params[] = {
	{NULL, "NAME", "name", SPW_PARAM_NAME, .required = true, .help = "the relay"},
	{0},
};

static const struct spw_param relay_show_params[] = {
	{NULL, "NAME", "name", SPW_PARAM_NAME, .help = "everything about this one"},
	{0},
};

static const struct spw_param relay_add_params[] = {
	{NULL, "NAME", "name", SPW_PARAM_NAME, .required = true,
	 .help = "up to 31 of a-z, 0-9, '_' and '-'"},
	{"--port", "N", "port", SPW_PARAM_NUMBER, .required = true,
	 .help = "the node's UDP port that both endpoints send to"},
	{"--between", "ENDPOINT", "between", SPW_PARAM_TEXT, .required = true, .repeat = true,
	 .help = "two of them: ADDRESS:PORT, or any for one that is learned (relay arm)"},
	{"--packets", "N", "packets", SPW_PARAM_NUMBER,
	 .help = "packets a second, in each direction; 100000 if left out"},
	{"--rate", "RATE", "rate", SPW_PARAM_RATE,
	 .help = "of IP packets, in each direction; 1gbit if left out"},
	{0},
};

static const struct spw_param relay_arm_params[] = {
	{NULL, "NAME", "name", SPW_PARAM_NAME, .required = true, .help = "the relay"},
	{"--for", "TIME", "for", SPW_PARAM_TEXT, .help = "1s to 600s; 60s if left out"},
	{0},
};

static const struct spw_param batch_params[] = {
	{NULL, "FILE", "file", SPW_PARAM_TEXT, .required = true, .help = "- reads standard input"},
	{0},
};

/* Which of the options go together; what each holds is the node's to judge. */
static int session_check(const json_t *params, json_t **error)
{
	static const struct {
		const char *key, *with_peer, *without;
	} rows[] = {
		{"remote", "--endpoint in place of --remote, which is for tunnels without --peer",
		 NULL},
		{"endpoint", NULL, "--remote in place of --endpoint, which goes with --peer"},
		{"psk_file", NULL, "--psk-file with --peer only"},
	};
	bool peer = json_object_get(params, "peer");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *expected = peer ? rows[i].with_peer : rows[i].without;
		if (!expected || !json_object_get(params, rows[i].key))
			continue;
		*error = spw_error_make(SPW_ERROR_PARAMS, expected,
					"these options do not go together");
		return -1;
	}
	if (peer || json_object_get(params, "remote"))
		return 0;
	*error = spw_error_make(SPW_ERROR_PARAMS, "--remote ADDRESS[:PORT]", "--remote is missing");
	return -1;
}

static int tunnel_add_check(const struct spw_command *command, const json_t *params, json_t **error)
{
	const json_t *fixed = json_object_get(params, "static");
	const json_t *foreign = json_object_get(params, "foreign");
	const json_t *in = json_object_get(foreign, "in");
	const json_t *out = json_object_get(foreign, "out");

	(void)command;
	bool peer = json_object_get(params, "peer");
	if (peer + !!fixed + !!foreign != 1) {
		*error = spw_error_make(SPW_ERROR_PARAMS,
					"--peer KEY, --secret-file FILE, or --in-spi, --in-key, "
					"--out-spi and --out-key",
					peer || fixed ? "a peer's key, a secret and fixed keys "
							"exclude each other"
						      : "the tunnel has no keys");
		return -1;
	}
	if (foreign && json_object_get(params, "cipher")) {
		*error = spw_error_make(SPW_ERROR_PARAMS, "--cipher with --peer or --secret-file",
					"the length of a foreign peer's key says which cipher it "
					"is for");
		return -1;
	}
	if (foreign && (json_object_size(in) != 2 || json_object_size(out) != 2)) {
		*error = spw_error_make(SPW_ERROR_PARAMS,
					"all of --in-spi, --in-key, --out-spi and --out-key",
					"a foreign peer needs an SPI and a key in both directions");
		return -1;
	}
	return session_check(params, error);
}

static int rate_set_check(const struct spw_command *command, const json_t *params, json_t **error)
{
	bool tunnel = json_object_get(params, "tunnel");
	bool tenant = json_object_get(params, "tenant");
	bool relay = json_object_get(params, "relay");
	char usage[384];

	spw_usage_format(command, usage, sizeof(usage));
	if (tunnel + tenant + relay != 1)
		*error = spw_error_make(
			SPW_ERROR_PARAMS, usage,
			tunnel || tenant
				? "a rate is for a tunnel, a tenant or a relay, not for several"
				: "whose rate? a tunnel, a tenant or a relay is missing");
	else if (tenant && json_object_get(params, "direction"))
		*error = spw_error_make(SPW_ERROR_PARAMS, "no direction, or tunnel NAME",
					"a tenant's cap counts its packets once, where they enter, "
					"and has no direction");
	return *error ? -1 : 0;
}

static int relay_add_check(const struct spw_command *command, const json_t *params, json_t **error)
{
	(void)command;
	if (json_array_size(json_object_get(params, "between")) == 2)
		return 0;
	*error = spw_error_make(SPW_ERROR_PARAMS, "--between ENDPOINT ENDPOINT",
				"a relay joins two endpoints");
	return -1;
}

const struct spw_command spw_commands[] = {
	{.thing = "run",
	 .summary = "start a node in the foreground",
	 .about = "Starts the control process, and when that is ready the dataplane, and keeps "
		  "both\nrunning: one that dies is started again, and the other goes on "
		  "meanwhile. Ctrl-C or\nSIGTERM stops the node and takes its tables and its XDP "
		  "program away.",
	 .examples = "spillway run /etc/spillway/config.yaml",
	 .params = run_params,
	 .run = spw_supervise_run},
	{.thing = "status",
	 .summary = "what runs, on which cores and interfaces, and how full the tables are",
	 .about = "The first thing to look at. Interfaces count packets as the classifier saw "
		  "them:\npassed to the kernel, steered to a worker, or dropped.",
	 .examples = "spillway status\nspillway --node gw-a --json status",
	 .method = "status",
	 .render = spw_render_status},
	{.thing = "tunnel",
	 .verb = "list",
	 .summary = "all tunnels, their state and traffic",
	 .about = "Packets and bytes are those inside the tunnel.",
	 .examples = "spillway tunnel list",
	 .method = "tunnel.list",
	 .render = spw_render_tunnels},
	{.thing = "tunnel",
	 .verb = "show",
	 .summary = "everything about one tunnel",
	 .about = "Its ends, what may come out of it, caps, next hop and SAs; never a key.",
	 .examples = "spillway tunnel show to-relay",
	 .method = "tunnel.show",
	 .params = tunnel_name_params,
	 .render = spw_render_tunnel},
	{.thing = "tunnel",
	 .verb = "add",
	 .summary = "add a tunnel to a peer",
	 .about = "A tunnel carries one tenant's packets to one peer, encrypted. With --peer both "
		  "nodes know\neach other by public keys and change the packets' keys by "
		  "themselves; what is allowed\nis routed into the tunnel as well. Else packets "
		  "only go into it once a route leads there.\nSecrets are read from files (mode "
		  "0600); they never stand on a command line.",
	 .examples =
		 "spillway tunnel add to-b --peer jNQ...= --endpoint 192.0.2.9 --allow "
		 "10.2.0.0/24\n"
		 "spillway tunnel add to-b --tenant blue --remote 192.0.2.9 --allow 10.2.0.0/24 "
		 "fd00:2::/64 \\\n    --secret-file /etc/spillway/to-b.secret\n"
		 "spillway tunnel add to-swan --tenant blue --remote 192.0.2.7 --allow 10.9.0.0/24 "
		 "\\\n    --in-spi 0x00010001 --in-key swan-in.key --out-spi 0xc1a20001 --out-key "
		 "swan-out.key --first-use",
	 .usage = "NAME --allow PREFIX... [--tenant NAME] [--local ADDRESS] [--mtu BYTES]\n"
		  "\t--peer KEY [--endpoint ADDRESS[:PORT]] [--psk-file FILE] [--cipher C] |\n"
		  "\t--remote ADDRESS[:PORT] --secret-file FILE [--cipher C] |\n"
		  "\t--remote ADDRESS[:PORT] --in-spi SPI --in-key FILE --out-spi SPI --out-key "
		  "FILE [--esn] [--first-use]",
	 .method = "tunnel.add",
	 .change = true,
	 .params = tunnel_add_params,
	 .check = tunnel_add_check},
	{.thing = "tunnel",
	 .verb = "del",
	 .summary = "delete a tunnel and wipe its keys",
	 .about = "Refused while routes lead into it: delete those first. Those that --peer's "
		  "--allow "
		  "made go\nwith it.",
	 .examples = "spillway tunnel del to-relay",
	 .method = "tunnel.del",
	 .change = true,
	 .params = tunnel_name_params},
	{.thing = "tunnel",
	 .verb = "first-use",
	 .summary = "start a foreign peer's keys as never used",
	 .about = "A tunnel with fixed keys whose reserve file is missing does not start, because "
		  "sending\na sequence number twice would break its encryption. Say this only if "
		  "these keys were\nnever used on any host; else make new keys.",
	 .examples = "spillway tunnel first-use to-swan",
	 .method = "tunnel.first_use",
	 .params = tunnel_name_params},
	{.thing = "tunnel",
	 .verb = "rekey",
	 .summary = "agree on new keys with a peer now",
	 .about =
		 "Keys change by themselves, every two minutes of traffic. This starts a change at "
		 "once; the\nkeys in use stay until the new ones work, and no packet is lost.",
	 .examples = "spillway tunnel rekey to-b",
	 .method = "tunnel.rekey",
	 .params = tunnel_name_params},
	{.thing = "key",
	 .verb = "generate",
	 .summary = "make this node's private key, and print its public key",
	 .about =
		 "The file (mode 0600) is named as key_file in config.yaml; give the public key to "
		 "the other\nside, where it stands as peer. Needs no running node.",
	 .examples = "spillway key generate /etc/spillway/node.key",
	 .params = key_generate_params,
	 .run = spw_key_generate_run},
	{.thing = "key",
	 .verb = "public",
	 .summary = "print the public key of a private one",
	 .about = "What the other side needs. Needs no running node.",
	 .examples = "spillway key public /etc/spillway/node.key",
	 .params = key_public_params,
	 .run = spw_key_public_run},
	{.thing = "route",
	 .verb = "list",
	 .summary = "where inner destinations go",
	 .about = "Routes into tunnels, the prefixes of lan interfaces, and the lan hosts found "
		  "so far.",
	 .examples = "spillway route list\nspillway route list tenant blue",
	 .method = "route.list",
	 .params = route_list_params,
	 .render = spw_render_routes},
	{.thing = "route",
	 .verb = "add",
	 .summary = "send a prefix into a tunnel",
	 .about = "The longest prefix wins. Takes effect at once and costs no packet.",
	 .examples = "spillway route add 10.2.0.0/24 tunnel to-relay tenant blue",
	 .method = "route.add",
	 .change = true,
	 .params = route_add_params},
	{.thing = "route",
	 .verb = "del",
	 .summary = "delete a route",
	 .about = "Packets for it then follow the next shorter prefix, or are dropped.",
	 .examples = "spillway route del 10.2.0.0/24 tenant blue",
	 .method = "route.del",
	 .change = true,
	 .params = route_del_params},
	{.thing = "rate",
	 .verb = "list",
	 .summary = "all caps",
	 .about = "Caps count inner IP bytes.",
	 .examples = "spillway rate list",
	 .method = "rate.list",
	 .render = spw_render_rates},
	{.thing = "rate",
	 .verb = "set",
	 .summary = "cap a tunnel or a tenant, or take the cap away; limit a relay",
	 .about = "What exceeds the cap is dropped and counted (spillway drops). Takes effect at "
		  "once.\nA relay always has a rate.",
	 .examples = "spillway rate set tunnel to-relay 50mbit direction out\n"
		     "spillway rate set tenant blue none\n"
		     "spillway rate set relay site-a-b 200mbit packets 50000",
	 .usage = "tunnel NAME RATE [direction in|out|both] [burst BYTES]\n"
		  "\tor: spillway rate set tenant NAME RATE [burst BYTES]\n"
		  "\tor: spillway rate set relay NAME RATE [packets N]",
	 .method = "rate.set",
	 .change = true,
	 .params = rate_set_params,
	 .check = rate_set_check},
	{.thing = "relay",
	 .verb = "show",
	 .summary = "blind relays: their endpoints, limits and traffic",
	 .about =
		 "A relay forwards UDP between two endpoints without a key: whatever they speak. "
		 "a and b are\nits endpoints in the order in which they were given; packets, bytes "
		 "and drops are those\ntowards each. An endpoint sends to the address of the node "
		 "that stands beside it as local.",
	 .examples = "spillway relay show\nspillway relay show site-a-b",
	 .method = "relay.show",
	 .params = relay_show_params,
	 .render = spw_render_relays},
	{.thing = "relay",
	 .verb = "add",
	 .summary = "join two endpoints by a UDP port of this node",
	 .about = "Packets from one endpoint to the port go to the other one, and nothing else "
		  "does. The port\nmust be free on this host.",
	 .examples = "spillway relay add site-a-b --port 51820 --between 198.51.100.7:51820 "
		     "203.0.113.9:51820\n"
		     "spillway relay add roam --port 51821 --between 198.51.100.7:51820 any --rate "
		     "200mbit\nspillway relay arm roam",
	 .method = "relay.add",
	 .change = true,
	 .params = relay_add_params,
	 .check = relay_add_check},
	{.thing = "relay",
	 .verb = "del",
	 .summary = "delete a relay",
	 .about = "Its port belongs to the host again.",
	 .examples = "spillway relay del site-a-b",
	 .method = "relay.del",
	 .change = true,
	 .params = relay_name_params},
	{.thing = "relay",
	 .verb = "arm",
	 .summary = "let the endpoint that was given as any be learned",
	 .about = "The first source that sends within the time becomes the endpoint, and stays it "
		  "until the\nrelay is armed again, which forgets it. What it sends first is "
		  "dropped; "
		  "its protocol sends\nthat again.",
	 .examples = "spillway relay arm roam --for 5m",
	 .method = "relay.arm",
	 .params = relay_arm_params},
	{.thing = "drops",
	 .summary = "how many packets were dropped, and why",
	 .about = "Every packet that is not forwarded or passed is counted under exactly one "
		  "reason\n(docs/drops.md). With --json also the reasons that never occurred.",
	 .examples = "spillway drops",
	 .method = "drops",
	 .render = spw_render_drops},
	{.thing = "batch",
	 .summary = "many changes from a file, all of them or none",
	 .about =
		 "One command to a line, without the word spillway: tunnel add, tunnel del, "
		 "route add,\nroute del, rate set, relay add and relay del. # begins a comment. If "
		 "one line is refused,\nnothing is changed.",
	 .examples = "spillway batch changes.txt\n"
		     "printf 'route add 10.%d.0.0/16 tunnel to-b tenant blue\\n' 3 4 5 | spillway "
		     "batch -",
	 .method = "batch",
	 .params = batch_params,
	 .run = spw_batch_run,
	 .render = spw_render_batch},
	{0},
};
