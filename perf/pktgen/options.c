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

static int take_packets(struct spw_options *options, const char *text, const char **expected)
{
	double packets = number_of(text, 1, 1e15);

	options->packets = packets >= 1 ? (uint64_t)packets : 0;
	NEED((double)options->packets == packets, "a whole number of packets, 1 or more");
}

/* What the value of an option becomes: a field of struct spw_options. */
enum kind {
	KIND_OWN,    /* what `take` makes of it; 0, or -EINVAL with what was expected */
	KIND_FLAG,   /* bool, true; the option has no value */
	KIND_TEXT,   /* const char *, of `min` to `max` bytes */
	KIND_NUMBER, /* double, `min` to `max` */
	KIND_COUNT,  /* uint32_t, the same, and whole */
};

#define FIELD(field) offsetof(struct spw_options, field)
#define FILE_BYTES_MAX 4095
#define PORT_BYTES_MAX 255

static const struct option {
	const char *name, *value; /* value NULL: it takes none */
	const char *help;
	int (*take)(struct spw_options *options, const char *text, const char **expected);
	enum kind kind;
	size_t field;
	double min, max;
	const char *expected;
} table[] = {
	{"--tx", "PORT", "where packets leave", NULL, KIND_TEXT, FIELD(tx), 1, PORT_BYTES_MAX,
	 "an interface, a PCI address or a DPDK device"},
	{"--rx", "PORT", "where they come back; left out: the same port", NULL, KIND_TEXT,
	 FIELD(rx), 1, PORT_BYTES_MAX, "an interface, a PCI address or a DPDK device"},
	{"--gateway", "ADDRESS|MAC",
	 "who the packets are sent to; left out: the rx port, with ESP its outer destination",
	 take_gateway},
	{"--cores", "N[,M]", "send and receive on core N, or receive on core M", take_cores},
	{"--src", "RANGE", "source addresses; left out: 198.18.0.1", take_src},
	{"--dst", "RANGE", "destination addresses; left out: 198.19.0.1", take_dst},
	{"--flows", "N", "flows, by addresses and source port; left out: 1, or 1 an SA", NULL,
	 KIND_COUNT, FIELD(flows), 1, SPW_FLOWS_MAX, "a number of flows from 1 to 1048576"},
	{"--size", "BYTES|imix|MIX", "of the IP packet, the inner one with ESP; left out: 64",
	 take_size},
	{"--esp", "FILE", "send ESP by the tx lines of FILE", NULL, KIND_TEXT, FIELD(esp_file), 1,
	 FILE_BYTES_MAX, "a file of SAs"},
	{"--decrypt", "FILE",
	 "decrypt what comes back by the rx lines of FILE, and send to what they name", NULL,
	 KIND_TEXT, FIELD(decrypt_file), 1, FILE_BYTES_MAX, "a file of SAs"},
	{"--pcap", "FILE", "send the frames of a capture", NULL, KIND_TEXT, FIELD(pcap_file), 1,
	 FILE_BYTES_MAX, "a capture file"},
	{"--speed", "FACTOR", "of the capture's own timing; left out: 1", NULL, KIND_NUMBER,
	 FIELD(speed), 1e-3, 1e6, "a factor from 0.001 to 1000000"},
	{"--rate", "RATE",
	 "50000, 1.5mpps, 200mbit (of IP packets) or max; left out: 1000, of a capture its own",
	 take_rate},
	{"--seconds", "S", "how long; left out: 10, of a capture once", NULL, KIND_NUMBER,
	 FIELD(seconds), 0.01, 86400, "seconds from 0.01 to 86400"},
	{"--packets", "N", "or how many", take_packets},
	{"--warmup", "S", "seconds of traffic that is not measured; left out: 1", NULL, KIND_NUMBER,
	 FIELD(warmup_s), 0, 3600, "seconds from 0 to 3600"},
	{"--search", NULL, "find the highest rates: NDR without loss, PDR with --loss", NULL,
	 KIND_FLAG, FIELD(search)},
	{"--trial", "S", "seconds of each trial of a search; left out: 5", NULL, KIND_NUMBER,
	 FIELD(trial_s), 0.05, 3600, "seconds from 0.05 to 3600"},
	{"--loss", "PERCENT", "the loss that PDR allows; left out: 0.5", NULL, KIND_NUMBER,
	 FIELD(loss_percent), 0, 99, "a percentage from 0 to 99"},
	{"--json", NULL, "print one JSON object at the end", NULL, KIND_FLAG, FIELD(json)},
	{"--csv", NULL, "print a line of comma-separated values each second", NULL, KIND_FLAG,
	 FIELD(csv)},
	{"--write-node-config", "DIR",
	 "write a node's configuration, keys and SAs into DIR, and end", NULL, KIND_TEXT,
	 FIELD(write_dir), 1, FILE_BYTES_MAX, "a folder"},
	{"--tunnels", "N", "of that configuration", NULL, KIND_COUNT, FIELD(tunnels), 1,
	 SPW_TUNNELS_MAX, "a number of tunnels from 1 to 16384"},
	{"--help", NULL, "this text", NULL, KIND_FLAG, FIELD(help)},
	{"--version", NULL, "the version", NULL, KIND_FLAG, FIELD(version)},
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

static int take_value(const struct option *option, struct spw_options *options, const char *text,
		      const char **expected)
{
	void *field = (char *)options + option->field;
	double number;

	*expected = option->expected;
	switch (option->kind) {
	case KIND_OWN:
		return option->take(options, text, expected);
	case KIND_FLAG:
		*(bool *)field = true;
		return 0;
	case KIND_TEXT:
		*(const char **)field = text;
		return strlen(text) >= option->min && strlen(text) <= option->max ? 0 : -EINVAL;
	case KIND_NUMBER:
		number = number_of(text, option->min, option->max);
		*(double *)field = number;
		return isnan(number) ? -EINVAL : 0;
	case KIND_COUNT:
		number = number_of(text, option->min, option->max);
		*(uint32_t *)field = isnan(number) ? 0 : (uint32_t)number;
		return *(uint32_t *)field == number ? 0 : -EINVAL;
	}
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
	if (take_value(&table[i], options, text, &expected)) {
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
