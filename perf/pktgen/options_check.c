/* SPDX-License-Identifier: BSD-2-Clause */
/* options_check.c - see options_check.h. */
#include "perf/pktgen/options_check.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>

#include "dataplane/stages/wire.h"
#include "perf/pktgen/tag.h"

/* Above these no port sends, and the pacing would run out of digits. */
#define RATE_PACKETS_MAX 500e6
#define RATE_BITS_MAX 4e12

__attribute__((format(printf, 3, 4))) static int refuse(char *why, unsigned int why_bytes,
							const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_bytes, format, args);
	va_end(args);
	return -EINVAL;
}

/* Options that only another one gives a meaning to. */
static int check_pairs(struct spw_options *options, char *why, unsigned int why_bytes)
{
	bool captured = options->pcap_file;
	const struct {
		bool wrong;
		const char *sentence;
	} rules[] = {
		{options->json && options->csv, "--json and --csv both want standard output"},
		{captured && options->esp_file, "--pcap and --esp are two kinds of traffic"},
		{captured && options->decrypt_file, "--decrypt measures test packets, which a "
						    "capture (--pcap) has not"},
		{captured && (options->has_src || options->has_dst || options->flows),
		 "--src, --dst and --flows are not for --pcap: its frames are sent as they are"},
		{captured && options->has_size, "--size is not for --pcap: its frames have theirs"},
		{captured && options->search, "--search needs test packets, not --pcap"},
		{captured && options->gateway.family,
		 "--gateway with --pcap must be a MAC: a capture has no address to ask from"},
		{options->esp_file && (options->has_src || options->has_dst),
		 "--src and --dst are not for --esp: the file's lines have the addresses"},
		{!isnan(options->speed) && !captured, "--speed is for --pcap"},
		{!isnan(options->speed) && options->rate_kind,
		 "--speed scales a capture's own timing, --rate replaces it: give one of them"},
		{options->seconds != 0 && options->packets, "give one of --seconds and --packets"},
		{options->search && (options->seconds != 0 || options->packets),
		 "a search takes --trial, not --seconds or --packets"},
		{!options->search && (!isnan(options->trial_s) || !isnan(options->loss_percent)),
		 "--trial and --loss are for --search"},
		{options->tunnels, "--tunnels is for --write-node-config; how many are used "
				   "follows from the files of --esp and --decrypt"},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].wrong)
			return refuse(why, why_bytes, "%s", rules[i].sentence);
	return 0;
}

static int check_flows(const struct spw_options *options, char *why, unsigned int why_bytes)
{
	if (options->src.family != options->dst.family)
		return refuse(
			why, why_bytes,
			"--src and --dst must be of one family, here they are IPv%d and IPv%d",
			options->src.family, options->dst.family);
	double room = (double)options->src.cnt * (double)options->dst.cnt * SPW_SOURCE_PORTS;
	if (options->flows <= room)
		return 0;
	return refuse(why, why_bytes,
		      "--flows %u: these addresses and %u source ports make %.0f flows; give --src "
		      "or --dst more addresses",
		      options->flows, SPW_SOURCE_PORTS, room);
}

static int check_rate(const struct spw_options *options, char *why, unsigned int why_bytes)
{
	bool packets = options->rate_kind == SPW_RATE_PACKETS;

	if (!options->rate_kind || options->rate_kind == SPW_RATE_MAX)
		return 0;
	if (options->rate > (packets ? RATE_PACKETS_MAX : RATE_BITS_MAX))
		return refuse(why, why_bytes,
			      "--rate: no port sends that fast; expected at most 500mpps or "
			      "4000gbit, or \"max\"");
	return 0;
}

/* IPv6 or not is known once the flows are: with --esp and --decrypt from their files. */
static int check_sizes(const struct spw_options *options, char *why, unsigned int why_bytes)
{
	uint32_t ip_bytes = options->src.family == 6 ? SPW_IPV6_BYTES : SPW_IPV4_BYTES;
	uint32_t least = ip_bytes + SPW_UDP_BYTES + SPW_TAG_BYTES;

	for (uint32_t s = 0; s < options->mix.sizes_cnt; s++) {
		uint32_t bytes = options->mix.bytes[s];
		if (bytes < least)
			return refuse(why, why_bytes,
				      "--size %u: an IPv%d packet with UDP header and the %u bytes "
				      "that it is known by has at least %u",
				      bytes, options->src.family, SPW_TAG_BYTES, least);
		if (bytes > SPW_SIZE_BYTES_MAX)
			return refuse(why, why_bytes, "--size %u: expected at most %u", bytes,
				      SPW_SIZE_BYTES_MAX);
	}
	return 0;
}

static void fill_in(struct spw_options *options)
{
	const char *expected;

	if (!options->rx)
		options->rx = options->tx;
	if (!options->has_src)
		spw_range_parse(options->dst.family == 6 ? "2001:2::1" : "198.18.0.1",
				&options->src, &expected);
	if (!options->has_dst)
		spw_range_parse(options->src.family == 6 ? "2001:2:0:1::1" : "198.19.0.1",
				&options->dst, &expected);
	if (!options->has_size)
		spw_mix_parse("64", &options->mix, &expected);
	if (isnan(options->speed))
		options->speed = 1;
	if (isnan(options->trial_s))
		options->trial_s = 5;
	if (isnan(options->loss_percent))
		options->loss_percent = 0.5;
	if (options->pcap_file)
		options->warmup_s = 0; /* its packets are what they are, once */
	else if (!options->rate_kind && options->search)
		options->rate_kind = SPW_RATE_MAX;
	else if (!options->rate_kind) {
		options->rate_kind = SPW_RATE_PACKETS;
		options->rate = 1000;
	}
	if (options->seconds == 0 && !options->packets && !options->pcap_file)
		options->seconds = options->search ? options->trial_s : 10;
}

static int check_writing(const struct spw_options *options, char *why, unsigned int why_bytes)
{
	if (options->tx || options->rx || options->esp_file || options->decrypt_file ||
	    options->pcap_file || options->search)
		return refuse(why, why_bytes,
			      "--write-node-config only writes files: beside it only --tunnels");
	if (!options->tunnels)
		return refuse(why, why_bytes, "--write-node-config needs --tunnels N");
	return 0;
}

int spw_options_check(struct spw_options *options, char *why, unsigned int why_bytes)
{
	if (options->write_dir)
		return check_writing(options, why, why_bytes);
	if (!options->tx)
		return refuse(why, why_bytes,
			      "no port: --tx PORT says where to send; an interface, a PCI address "
			      "or a DPDK device");
	int error = check_pairs(options, why, why_bytes);
	if (!error)
		error = check_rate(options, why, why_bytes);
	if (error)
		return error;
	fill_in(options);
	if (options->esp_file || options->pcap_file)
		return 0;
	if (options->decrypt_file && !options->has_src && !options->has_dst)
		return 0;
	error = check_flows(options, why, why_bytes);
	return error ? error : check_sizes(options, why, why_bytes);
}

double spw_options_packets_per_s(const struct spw_options *options, double mean_bytes)
{
	if (options->rate_kind == SPW_RATE_PACKETS)
		return options->rate;
	if (options->rate_kind == SPW_RATE_BITS)
		return options->rate / 8 / mean_bytes;
	return 0;
}
