/* SPDX-License-Identifier: BSD-2-Clause */
/* sas_file.c - reads the file of SAs and their keys; see sas.h. */
#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/arena.h"
#include "perf/pktgen/sas.h"

#define LINE_BYTES 1024u
#define WORDS 8u
#define PORT_ESP 4500u
#define KEY_BYTES_MAX 36u /* AES-256 and the salt */
#define OUTER_TTL 64u

/* Where a sentence about a line goes. */
struct place {
	const char *path;
	unsigned int line;
	char *why;
	unsigned int why_bytes;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct place *place,
							const char *format, ...)
{
	va_list args;
	int used = snprintf(place->why, place->why_bytes, "%s:%u: ", place->path, place->line);

	va_start(args, format);
	if (used >= 0 && (unsigned int)used < place->why_bytes)
		vsnprintf(place->why + used, place->why_bytes - (unsigned int)used, format, args);
	va_end(args);
	return -EINVAL;
}

/* Splits a line in place; returns the number of its words, at most WORDS + 1. */
static uint32_t split(char *line, char *words[WORDS + 1])
{
	uint32_t cnt = 0;
	char *rest;

	line[strcspn(line, "#")] = '\0';
	for (char *word = strtok_r(line, " \t\r\n", &rest); word && cnt <= WORDS;
	     word = strtok_r(NULL, " \t\r\n", &rest))
		words[cnt++] = word;
	return cnt;
}

/* The bytes of a file of hex digits, 20 or 36; 0: it is no such file. */
static uint32_t read_key(const char *path, uint8_t key[KEY_BYTES_MAX])
{
	FILE *file = fopen(path, "re");
	uint32_t bytes = 0;
	unsigned int value;

	if (!file)
		return 0;
	setvbuf(file, NULL, _IONBF, 0); /* no copy of the key in a buffer that nobody wipes */
	while (bytes < KEY_BYTES_MAX && fscanf(file, "%2x", &value) == 1)
		key[bytes++] = (uint8_t)value;
	int rest = fscanf(file, " %*c") == EOF ? fgetc(file) : 0;
	fclose(file);
	return rest == EOF && (bytes == 20 || bytes == 36) ? bytes : 0;
}

static int take_key(const struct place *place, const char *name, bool tx, struct spw_peer_sa *sa)
{
	char *copy = strdup(place->path), path[4096];
	uint8_t *key = spw_arena_alloc(KEY_BYTES_MAX);

	snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : dirname(copy),
		 name[0] == '/' ? "" : "/", name);
	free(copy);
	uint32_t bytes = key ? read_key(path, key) : 0;
	if (bytes) {
		sa->aead = spw_aead_create(tx ? SPW_SENDER : SPW_RECEIVER, key, bytes - 4, tx);
		memcpy(sa->salt, key + bytes - 4, 4);
	}
	spw_arena_free(key);
	if (!bytes)
		return refuse(place,
			      "\"%s\": expected a file of 40 or 72 hex digits, the key and 4 bytes "
			      "of salt",
			      path);
	return sa->aead ? 0 : refuse(place, "no locked memory is left for its key");
}

static int take_endpoint(const struct place *place, const char *word, struct spw_endpoint *endpoint)
{
	const char *expected;

	if (spw_endpoint_parse(word, endpoint, &expected))
		return refuse(place, "\"%s\": expected %s", word, expected);
	if (!endpoint->port)
		endpoint->port = PORT_ESP;
	return 0;
}

static int take_range(const struct place *place, const char *word, struct spw_range *range)
{
	const char *expected;

	if (spw_range_parse(word, range, &expected))
		return refuse(place, "\"%s\": expected %s", word, expected);
	return 0;
}

/* The outer header but for lengths and sums. IPv4: no fragments (DF), as tunnels never fragment. */
static void write_outer(struct spw_peer_sa *sa)
{
	uint8_t *ip = sa->outer, *udp;

	if (sa->outer_src.family == 4) {
		ip[0] = 0x45;
		ip[6] = 0x40;
		ip[8] = OUTER_TTL;
		ip[9] = SPW_PROTO_UDP;
		memcpy(ip + 12, sa->outer_src.addr, 4);
		memcpy(ip + 16, sa->outer_dst.addr, 4);
		udp = ip + SPW_IPV4_BYTES;
	} else {
		ip[0] = 0x60;
		ip[6] = SPW_PROTO_UDP;
		ip[7] = OUTER_TTL;
		memcpy(ip + 8, sa->outer_src.addr, 16);
		memcpy(ip + 24, sa->outer_dst.addr, 16);
		udp = ip + SPW_IPV6_BYTES;
	}
	spw_put_be16(udp, sa->outer_src.port);
	spw_put_be16(udp + 2, sa->outer_dst.port);
	sa->outer_bytes = (uint32_t)(udp + SPW_UDP_BYTES - ip);
}

static int take_line(const struct place *place, char *words[], bool tx, struct spw_peer_sa *sa)
{
	char *end;
	unsigned long spi = strtoul(words[1], &end, 0);

	if (*end || words[1][0] < '0' || words[1][0] > '9' || spi < 256 || spi > UINT32_MAX)
		return refuse(place, "SPI \"%s\": expected 0x100 to 0xffffffff", words[1]);
	sa->spi = (uint32_t)spi;
	sa->esn = strcmp(words[3], "yes") == 0;
	if (!sa->esn && strcmp(words[3], "no") != 0)
		return refuse(place, "ESN \"%s\": expected yes or no", words[3]);
	int error = take_endpoint(place, words[4], &sa->outer_src);
	if (!error)
		error = take_endpoint(place, words[5], &sa->outer_dst);
	if (!error)
		error = take_range(place, words[6], &sa->inner_src);
	if (!error)
		error = take_range(place, words[7], &sa->inner_dst);
	if (error)
		return error;
	if (sa->outer_src.family != sa->outer_dst.family ||
	    sa->inner_src.family != sa->inner_dst.family)
		return refuse(place, "source and destination must be of one family");
	write_outer(sa);
	return take_key(place, words[2], tx, sa);
}

/* Enters the last SA into the hash table; false: its SPI is there already. */
static bool enter(struct spw_sas *sas)
{
	uint32_t spi = sas->sa[sas->cnt].spi, at = spi * 2654435761u & sas->buckets_mask;

	if (spw_sas_find(sas, spi))
		return false;
	while (sas->bucket[at])
		at = (at + 1) & sas->buckets_mask;
	sas->bucket[at] = ++sas->cnt;
	return true;
}

static int read_lines(FILE *file, struct place *place, bool tx, struct spw_sas *sas)
{
	char line[LINE_BYTES], *words[WORDS + 1];

	while (fgets(line, sizeof(line), file)) {
		place->line++;
		uint32_t cnt = split(line, words);
		if (cnt == 0)
			continue;
		if (strcmp(words[0], "tx") != 0 && strcmp(words[0], "rx") != 0)
			return refuse(place, "\"%s\": expected tx or rx", words[0]);
		if (cnt != WORDS)
			return refuse(place,
				      "expected 8 words: way, SPI, key file, ESN, outer "
				      "source and destination, inner source and destination");
		if ((words[0][0] == 't') != tx)
			continue;
		int error = take_line(place, words, tx, &sas->sa[sas->cnt]);
		if (!error && !enter(sas)) {
			spw_aead_destroy(sas->sa[sas->cnt].aead);
			error = refuse(place, "SPI %s stands twice", words[1]);
		}
		if (error)
			return error;
	}
	return 0;
}

int spw_sas_count(const char *path, char *why, unsigned int why_bytes)
{
	FILE *file = fopen(path, "re");
	char line[LINE_BYTES], *words[WORDS + 1];
	int cnt = 0;

	if (!file) {
		int error = -errno;
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		return error;
	}
	while (fgets(line, sizeof(line), file))
		cnt += split(line, words) > 0;
	fclose(file);
	return cnt;
}

int spw_sas_read(const char *path, bool tx, struct spw_sas *sas, char *why, unsigned int why_bytes)
{
	struct place place = {.path = path, .why = why, .why_bytes = why_bytes};

	*sas = (struct spw_sas){0};
	int lines = spw_sas_count(path, why, why_bytes);
	if (lines < 0)
		return lines;
	sas->buckets_mask = 1;
	while (sas->buckets_mask < 2 * (uint32_t)lines)
		sas->buckets_mask = sas->buckets_mask * 2 + 1;
	sas->sa = calloc((size_t)lines + 1, sizeof(*sas->sa));
	sas->bucket = calloc(sas->buckets_mask + 1, sizeof(*sas->bucket));
	FILE *file = fopen(path, "re");
	int error = -ENOMEM;
	if (!sas->sa || !sas->bucket || !file ||
	    asprintf(&sas->sequence_path, "%s.sequence", path) < 0)
		snprintf(why, why_bytes, "%s: no memory for %d SAs", path, lines);
	else
		error = read_lines(file, &place, tx, sas);
	if (file)
		fclose(file);
	if (!error && sas->cnt == 0) {
		snprintf(why, why_bytes, "%s: there is no %s line in it", path, tx ? "tx" : "rx");
		error = -EINVAL;
	}
	if (error)
		spw_sas_free(sas);
	return error;
}

void spw_sas_free(struct spw_sas *sas)
{
	for (uint32_t i = 0; i < sas->cnt; i++)
		spw_aead_destroy(sas->sa[i].aead);
	free(sas->sequence_path);
	free(sas->bucket);
	free(sas->sa);
	*sas = (struct spw_sas){0};
}
