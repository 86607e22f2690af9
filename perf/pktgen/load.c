/* SPDX-License-Identifier: BSD-2-Clause */
/* load.c - see load.h. */
#include "perf/pktgen/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>
#include <rte_cycles.h>

#include "dataplane/arena.h"
#include "perf/pktgen/gateway.h"

/* Locked memory of an SA: OpenSSL's context and the key; and what OpenSSL has for itself. Pages
 * that nothing needs cost nothing. */
#define ARENA_SA_BYTES 8192u
#define ARENA_OWN_BYTES (4u << 20)

/* The arena, which must be open before anything uses OpenSSL, and the AEAD if there are keys. */
static int open_keys(const struct spw_options *options, char *why, unsigned int why_bytes)
{
	const char *files[] = {options->esp_file, options->decrypt_file};
	size_t sas = 0;

	for (uint32_t i = 0; i < 2; i++) {
		int cnt = files[i] ? spw_sas_count(files[i], why, why_bytes) : 0;
		if (cnt < 0)
			return cnt;
		sas += (size_t)cnt;
	}
	int error = spw_arena_open(ARENA_OWN_BYTES + sas * ARENA_SA_BYTES);
	if (error)
		snprintf(
			why, why_bytes,
			"cannot lock memory for keys (%s): grant CAP_IPC_LOCK or raise `ulimit -l`",
			strerror(-error));
	else if (sas)
		error = spw_aead_choose("auto", SPW_AEAD_WORKERS, why, why_bytes);
	return error;
}

static int open_traffic(struct spw_load *load, const struct spw_options *options, char *why,
			unsigned int why_bytes)
{
	struct spw_flow_plan plan = {.flows = options->flows,
				     .mix = &options->mix,
				     .src = options->src,
				     .dst = options->dst};
	int error = open_keys(options, why, why_bytes);

	if (!error && options->esp_file)
		error = spw_sas_read(options->esp_file, true, &load->tx_sas, why, why_bytes);
	if (!error && options->decrypt_file)
		error = spw_sas_read(options->decrypt_file, false, &load->rx_sas, why, why_bytes);
	if (!error && options->pcap_file)
		return spw_capture_read(options->pcap_file, &load->capture, why, why_bytes);
	if (error)
		return error;
	if (options->esp_file)
		plan.ranges_of = plan.sas = &load->tx_sas;
	else if (options->decrypt_file && !options->has_src && !options->has_dst)
		plan.ranges_of = &load->rx_sas;
	load->generator = spw_generator_create(&plan, why, why_bytes);
	return load->generator ? 0 : -EINVAL;
}

static int check_mtu(const struct spw_load *load, char *why, unsigned int why_bytes)
{
	const struct spw_test_port *tx = load->ports.tx;
	uint32_t frame_bytes = 0;

	if (load->generator)
		frame_bytes = spw_generator_frame_bytes(load->generator);
	for (uint32_t i = 0; i < load->capture.frames_cnt; i++)
		frame_bytes = RTE_MAX(frame_bytes, load->capture.frame[i].bytes);
	if (!tx->mtu_bytes || frame_bytes <= tx->mtu_bytes + SPW_ETHER_BYTES)
		return 0;
	snprintf(why, why_bytes,
		 "%s: its MTU is %u, but the longest packet will have %u bytes with its outer "
		 "headers; give a smaller --size",
		 tx->name, tx->mtu_bytes, frame_bytes - SPW_ETHER_BYTES);
	return -EINVAL;
}

static bool played_add(struct spw_load *load, const struct spw_range *range)
{
	struct spw_range *ranges = (struct spw_range *)load->played.range;
	uint32_t cnt = load->played.cnt;

	/* The SAs of one peer have its address in common. */
	if (cnt && memcmp(&ranges[cnt - 1], range, sizeof(*range)) == 0)
		return true;
	ranges = realloc(ranges, (cnt + 1) * sizeof(*ranges));
	if (!ranges)
		return false;
	ranges[cnt] = *range;
	load->played.range = ranges;
	load->played.cnt++;
	return true;
}

static bool played_add_host(struct spw_load *load, const struct spw_endpoint *endpoint)
{
	struct spw_range range = {.family = endpoint->family, .cnt = 1};

	memcpy(range.first, endpoint->addr, sizeof(range.first));
	return played_add(load, &range);
}

/* The hosts that are ours: the tunnels' peer, and the hosts on this side of the node. */
static int open_played(struct spw_load *load, const struct spw_options *options, char *why,
		       unsigned int why_bytes)
{
	bool good = true;

	for (uint32_t i = 0; i < load->tx_sas.cnt && good; i++)
		good = played_add_host(load, &load->tx_sas.sa[i].outer_src);
	for (uint32_t i = 0; i < load->tx_sas.cnt && good; i++)
		good = played_add(load, &load->tx_sas.sa[i].inner_dst);
	for (uint32_t i = 0; i < load->rx_sas.cnt && good; i++)
		good = played_add_host(load, &load->rx_sas.sa[i].outer_dst);
	for (uint32_t i = 0; i < load->rx_sas.cnt && good; i++)
		good = played_add(load, &load->rx_sas.sa[i].inner_src);
	if (good && load->generator && options->src.family && !options->esp_file)
		good = played_add(load, &options->src) && played_add(load, &options->dst);
	load->played.not_ours = options->gateway;
	if (!good)
		snprintf(why, why_bytes, "no memory for the addresses");
	return good ? 0 : -ENOMEM;
}

int spw_load_open(struct spw_load *load, const struct spw_options *options, char *why,
		  unsigned int why_bytes)
{
	*load = (struct spw_load){0};
	int error = open_traffic(load, options, why, why_bytes);
	if (!error)
		error = spw_test_ports_open(&load->ports, options, why, why_bytes);
	if (!error)
		error = check_mtu(load, why, why_bytes);
	if (!error)
		error = open_played(load, options, why, why_bytes);
	if (error)
		return error;
	load->ticks_per_s = (double)rte_get_tsc_hz();
	RAND_bytes((unsigned char *)&load->trial, sizeof(load->trial));
	load->measure =
		spw_measure_create(load->generator ? load->generator->flows_cnt : 1,
				   load->rx_sas.cnt ? &load->rx_sas : NULL, load->ticks_per_s);
	if (!load->measure) {
		snprintf(why, why_bytes, "no memory for the flows' windows");
		return -ENOMEM;
	}
	load->measure->any = options->pcap_file;
	error = spw_gateway_find(load, options, why, why_bytes);
	if (!error && load->tx_sas.cnt)
		error = spw_sas_sequence_open(&load->tx_sas, why, why_bytes);
	return error;
}

int spw_load_close(struct spw_load *load, char *why, unsigned int why_bytes)
{
	int error = 0;

	spw_test_ports_close(&load->ports);
	if (load->tx_sas.limit)
		error = spw_sas_sequence_close(&load->tx_sas, why, why_bytes);
	spw_measure_destroy(load->measure);
	spw_generator_destroy(load->generator);
	spw_capture_free(&load->capture);
	spw_sas_free(&load->tx_sas);
	spw_sas_free(&load->rx_sas);
	free((void *)load->played.range);
	return error;
}
