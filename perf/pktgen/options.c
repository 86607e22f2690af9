/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - the table of options and what their values may be; see options.h. */
#include "perf/pktgen/options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "perf/pktgen/options_check.h"

#define NEED(condition, phrase)                                                                    \
	do {                                                                                       \
		bool good = (condition);                                                           \
		*expected = phrase;                                                                \
		return good ? 0 : -EINVAL;                                                         \
	} while (0)

/* The whole of `text` as a number that is at least `min`; NAN: it is none. */
static double number_of(const char *text, double min, double max)
{
	char *end;

	if (text[0] != '.' && (text[0] < '0' || text[0] > '9'))
		return NAN;
	double number = strtod(text, &end);
	return *end == '\0' && number >= min && number <= max ? number : NAN;
}

static int take_tx(struct spw_options *options, const char *text, const char **expected)
{
	options->tx = text;
	NEED(text[0] && strlen(text) < 256, "an interface, a PCI address or a DPDK device");
}

static int take_rx(struct spw_options *options, const char *text, const char **expected)
{
	options->rx = text;
	NEED(text[0] && strlen(text) < 256, "an interface, a PCI address or a DPDK device");
}

static int take_gateway(struct spw_options *options, const char *text, const char **expected)
{
	uint8_t *mac = options->gateway_mac;
	int end = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) == 6 &&
	    end == 17 && text[17] == '\0') {
		options->has_gateway_mac = true;
		return 0;
	}
	NEED(spw_endpoint_parse(text, &options->gateway, expected) == 0 &&
		     options->gateway.port == 0 && spw_endpoint_is_unicast(&options->gateway),
	     "the address of a neighbour, such as 192.0.2.1, or its MAC");
}

static int take_cores(struct spw_options *options, const char *text, const char **expected)
{
	int end = 0,
	    cnt = sscanf(text, "%d%n,%d%n", &options->cores[0], &end, &options->cores[1], &end);

	if (cnt == 1)
		options->cores[1] = options->cores[0];
	NEED(cnt >= 1 && text[end] == '\0' && options->cores[0] >= 0 && options->cores[1] >= 0,
	     "the number of a core, or of two: N or N,M");
}

static int take_esp(struct spw_options *options, const char *text, const char **expected)
{
	options->esp_file = text;
	NEED(text[0], "a file of SAs");
}

static int take_decrypt(struct spw_options *options, const char *text, const char **expected)
{
	options->decrypt_file = text;
	NEED(text[0], "a file of SAs");
}

static int take_pcap(struct spw_options *options, const char *text, const char **expected)
{
	options->pcap_file = text;
	NEED(text[0], "a capture file");
}

static int take_src(struct spw_options *options, const char *text, const char **expected)
{
	options->has_src = true;
	return spw_range_parse(text, &options->src, expected);
}

static int take_dst(struct spw_options *options, const char *text, const char **expected)
{
	options->has_dst = true;
	return spw_range_parse(text, &options->dst, expected);
}

static int take_flows(struct spw_options *options, const char *text, const char **expected)
{
	double flows = number_of(text, 1, SPW_FLOWS_MAX);

	options->flows = flows >= 1 ? (uint32_t)flows : 0;
	NEED(options->flows == flows, "a number of flows from 1 to 1048576");
}

static int take_size(struct spw_options *options, const char *text, const char **expected)
{
	options->has_size = true;
	return spw_mix_parse(text, &options->mix, expected);
}

static int take_rate(struct spw_options *options, const char *text, const char **expected)
{
	static const struct {
		const char *name;
		enum spw_rate_kind kind;
		double scale;
	} units[] = {{"", SPW_RATE_PACKETS, 1},       {"pps", SPW_RATE_PACKETS, 1},
		     {"kpps", SPW_RATE_PACKETS, 1e3}, {"mpps", SPW_RATE_PACKETS, 1e6},
		     {"bit", SPW_RATE_BITS, 1},       {"kbit", SPW_RATE_BITS, 1e3},
		     {"mbit", SPW_RATE_BITS, 1e6},    {"gbit", SPW_RATE_BITS, 1e9}};
	char *end = NULL;

	*expected = "\"max\", packets per second such as 50000, 800kpps or 1.5mpps, or bits per "
		    "second such as 200mbit or 1.5gbit";
	if (strcmp(text, "max") == 0) {
		options->rate_kind = SPW_RATE_MAX;
		return 0;
	}
	if (text[0] != '.' && (text[0] < '0' || text[0] > '9'))
		return -EINVAL;
	double number = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		options->rate_kind = units[i].kind;
		options->rate = number * units[i].scale;
		return options->rate > 0 && isfinite(options->rate) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int take_speed(struct spw_options *options, const char *text, const char **expected)
{
	options->speed = number_of(text, 1e-3, 1e6);
	NEED(!isnan(options->speed), "a factor from 0.001 to 1000000");
}

static int take_seconds(struct spw_options *options, const char *text, const char **expected)
{
	options->seconds = number_of(text, 0.01, 86400);
	NEED(!isnan(options->seconds), "seconds from 0.01 to 86400");
}

static int take_packets(struct spw_options *options, const char *text, const char **expected)
{
	double packets = number_of(text, 1, 1e15);

	options->packets = packets >= 1 ? (uint64_t)packets : 0;
	NEED((double)options->packets == packets, "a whole number of packets, 1 or more");
}

static int take_warmup(struct spw_options *options, const char *text, const char **expected)
{
	options->warmup_s = number_of(text, 0, 3600);
	NEED(!isnan(options->warmup_s), "seconds from 0 to 3600");
}

static int take_search(struct spw_options *options, const char *text, const char **expected)
{
	(void)text, (void)expected;
	options->search = true;
	return 0;
}

static int take_trial(struct spw_options *options, const char *text, const char **expected)
{
	options->trial_s = number_of(text, 0.05, 3600);
	NEED(!isnan(options->trial_s), "seconds from 0.05 to 3600");
}

static int take_loss(struct spw_options *options, const char *text, const char **expected)
{
	options->loss_percent = number_of(text, 0, 99);
	NEED(!isnan(options->loss_percent), "a percentage from 0 to 99");
}

static int take_json(struct spw_options *options, const char *text, const char **expected)
{
	(void)text, (void)expected;
	options->json = true;
	return 0;
}

static int take_csv(struct spw_options *options, const char *text, const char **expected)
{
	(void)text, (void)expected;
	options->csv = true;
	return 0;
}

static int take_write_dir(struct spw_options *options, const char *text, const char **expected)
{
	options->write_dir = text;
	NEED(text[0], "a folder");
}

static int take_tunnels(struct spw_options *options, const char *text, const char **expected)
{
	double tunnels = number_of(text, 1, SPW_TUNNELS_MAX);

	options->tunnels = tunnels >= 1 ? (uint32_t)tunnels : 0;
	NEED(options->tunnels == tunnels, "a number of tunnels from 1 to 16384");
}

static int take_help(struct spw_options *options, const char *text, const char **expected)
{
	(void)text, (void)expected;
	options->help = true;
	return 0;
}

static int take_version(struct spw_options *options, const char *text, const char **expected)
{
	(void)text, (void)expected;
	options->version = true;
	return 0;
}

static const struct {
	const char *name, *value; /* value NULL: it takes none */
	int (*take)(struct spw_options *options, const char *text, const char **expected);
	const char *help;
} table[] = {
	{"--tx", "PORT", take_tx, "where packets leave"},
	{"--rx", "PORT", take_rx, "where they come back; left out: the same port"},
	{"--gateway", "ADDRESS|MAC", take_gateway,
	 "who the packets are sent to; left out: the rx port, with ESP its outer destination"},
	{"--cores", "N[,M]", take_cores, "send and receive on core N, or receive on core M"},
	{"--src", "RANGE", take_src, "source addresses; left out: 198.18.0.1"},
	{"--dst", "RANGE", take_dst, "destination addresses; left out: 198.19.0.1"},
	{"--flows", "N", take_flows,
	 "flows, by addresses and source port; left out: 1, or 1 an SA"},
	{"--size", "BYTES|imix|MIX", take_size,
	 "of the IP packet, the inner one with ESP; left out: 64"},
	{"--esp", "FILE", take_esp, "send ESP by the tx lines of FILE"},
	{"--decrypt", "FILE", take_decrypt,
	 "decrypt what comes back by the rx lines of FILE, and send to what they name"},
	{"--pcap", "FILE", take_pcap, "send the frames of a capture"},
	{"--speed", "FACTOR", take_speed, "of the capture's own timing; left out: 1"},
	{"--rate", "RATE", take_rate,
	 "50000, 1.5mpps, 200mbit (of IP packets) or max; left out: 1000, of a capture its own"},
	{"--seconds", "S", take_seconds, "how long; left out: 10, of a capture once"},
	{"--packets", "N", take_packets, "or how many"},
	{"--warmup", "S", take_warmup, "seconds of traffic that is not measured; left out: 1"},
	{"--search", NULL, take_search,
	 "find the highest rates: NDR without loss, PDR with --loss"},
	{"--trial", "S", take_trial, "seconds of each trial of a search; left out: 5"},
	{"--loss", "PERCENT", take_loss, "the loss that PDR allows; left out: 0.5"},
	{"--json", NULL, take_json, "print one JSON object at the end"},
	{"--csv", NULL, take_csv, "print a line of comma-separated values each second"},
	{"--write-node-config", "DIR", take_write_dir,
	 "write a node's configuration, keys and SAs into DIR, and end"},
	{"--tunnels", "N", take_tunnels, "of that configuration"},
	{"--help", NULL, take_help, "this text"},
	{"--version", NULL, take_version, "the version"},
};

#define OPTIONS_CNT (sizeof(table) / sizeof(table[0]))

void spw_options_help(FILE *out)
{
	char word[64];

	fputs("spillway-pktgen sends packets, takes them back and measures loss, order and delay.\n"
	      "\nusage: spillway-pktgen --tx PORT [--rx PORT] [OPTION ...]\n\n"
	      "A PORT is a kernel interface (through AF_XDP; all of its traffic goes to the\n"
	      "generator), a PCI address, or a DPDK device such as net_memif0,role=client.\n\n",
	      out);
	for (size_t i = 0; i < OPTIONS_CNT; i++) {
		snprintf(word, sizeof(word), "%s%s%s", table[i].name, table[i].value ? " " : "",
			 table[i].value ?: "");
		fprintf(out, "  %-24s %s\n", word, table[i].help);
	}
	fputs("\nexample: spillway-pktgen --tx lan0 --rx wan0 --gateway 10.1.0.1 --rate 100kpps\n"
	      "exit: 0 done, 1 failed, 2 not understood; docs/pktgen.md says more\n",
	      out);
}

static int refuse_word(const char *word, char *why, unsigned int why_bytes)
{
	const char *names[OPTIONS_CNT];

	for (size_t i = 0; i < OPTIONS_CNT; i++)
		names[i] = table[i].name;
	const char *nearest = spw_word_nearest(word, names, OPTIONS_CNT);
	snprintf(why, why_bytes, "\"%s\" is no option%s%s%s; --help lists them", word,
		 nearest ? "; did you mean \"" : "", nearest ?: "", nearest ? "\"?" : "");
	return -EINVAL;
}

/* Takes the option that stands at argv[at]; returns how many words it has, or -EINVAL. */
static int take_option(int argc, char **argv, int at, uint64_t *seen, struct spw_options *options,
		       char *why, unsigned int why_bytes)
{
	const char *expected = "";
	size_t i = 0;

	while (i < OPTIONS_CNT && strcmp(table[i].name, argv[at]) != 0)
		i++;
	if (i == OPTIONS_CNT)
		return refuse_word(argv[at], why, why_bytes);
	if (*seen & UINT64_C(1) << i) {
		snprintf(why, why_bytes, "%s is given twice", table[i].name);
		return -EINVAL;
	}
	*seen |= UINT64_C(1) << i;
	if (table[i].value && (at + 1 == argc || strncmp(argv[at + 1], "--", 2) == 0)) {
		snprintf(why, why_bytes, "%s needs a value: %s %s", table[i].name, table[i].name,
			 table[i].value);
		return -EINVAL;
	}
	const char *text = table[i].value ? argv[at + 1] : "";
	if (table[i].take(options, text, &expected)) {
		snprintf(why, why_bytes, "%s: \"%s\" is not right; expected %s", table[i].name,
			 text, expected);
		return -EINVAL;
	}
	return table[i].value ? 2 : 1;
}

int spw_options_parse(int argc, char **argv, struct spw_options *options, char *why,
		      unsigned int why_bytes)
{
	uint64_t seen = 0;

	*options = (struct spw_options){.cores = {-1, -1},
					.speed = NAN,
					.warmup_s = 1,
					.trial_s = NAN,
					.loss_percent = NAN};
	for (int at = 1, used; at < argc; at += used) {
		used = take_option(argc, argv, at, &seen, options, why, why_bytes);
		if (used < 0)
			return used;
	}
	return options->help || options->version ? 0 : spw_options_check(options, why, why_bytes);
}
