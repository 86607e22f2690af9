/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshakes.c - spw-perf-handshakes: handshakes of many peers with one node, and floods of INITs
 * from sources that do not exist.
 *
 *   keys FIRST CNT                                  public keys of those peers, one a line
 *   peers ADDRESS PORT NODE_KEY FIRST CNT SECONDS   they shake hands, from one socket
 *   flood ADDRESS PORT NODE_KEY PPS SECONDS         needs root: a raw socket
 *
 * The node has a tunnel with cipher aes-256-gcm and without endpoint for each of the peers.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "control/base64.h"
#include "perf/broken.h"
#include "perf/handshakes.h"

static const char usage[] =
	"usage: spw-perf-handshakes keys FIRST CNT\n"
	"       spw-perf-handshakes peers ADDRESS PORT NODE_KEY FIRST CNT SECONDS\n"
	"       spw-perf-handshakes flood ADDRESS PORT NODE_KEY PPS SECONDS\n";

void handshakes_key(uint32_t number, uint8_t private_key[SPW_WIRE_KEY_BYTES])
{
	struct spw_bytes part = {&number, sizeof(number)};

	if (spw_sha256(&part, 1, private_key) < 0)
		broken("OpenSSL cannot hash");
}

static uint32_t number_of(const char *text, uint32_t most)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || number > most)
		broken("%s: expected a number of at most %u", text, most);
	return (uint32_t)number;
}

static void print_keys(uint32_t first, uint32_t cnt)
{
	uint8_t private_key[SPW_WIRE_KEY_BYTES], public_key[SPW_WIRE_KEY_BYTES];
	char text[SPW_KEY_CHARS + 1];

	for (uint32_t i = first; i < first + cnt; i++) {
		handshakes_key(i, private_key);
		if (spw_noise_public(private_key, public_key) < 0)
			broken("OpenSSL makes no key");
		spw_key_encode(public_key, text);
		puts(text);
	}
}

static struct handshakes_target target_of(char **words)
{
	struct handshakes_target target = {.address = {.sin_family = AF_INET}};
	const char *expected;

	if (inet_pton(AF_INET, words[0], &target.address.sin_addr) != 1)
		broken("%s: expected an IPv4 address", words[0]);
	target.address.sin_port = htons((uint16_t)number_of(words[1], UINT16_MAX));
	if (spw_public_key_parse(words[2], target.public_key, &expected) < 0)
		broken("%s: expected %s", words[2], expected);
	return target;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	struct handshakes_target target;

	if (strcmp(verb, "keys") == 0 && argc == 4) {
		print_keys(number_of(argv[2], UINT16_MAX), number_of(argv[3], UINT16_MAX));
	} else if (strcmp(verb, "peers") == 0 && argc == 8) {
		target = target_of(argv + 2);
		handshakes_peers(&target, number_of(argv[5], UINT16_MAX),
				 number_of(argv[6], UINT16_MAX), number_of(argv[7], 3600));
	} else if (strcmp(verb, "flood") == 0 && argc == 7) {
		target = target_of(argv + 2);
		handshakes_flood(&target, number_of(argv[5], 10000000), number_of(argv[6], 3600));
	} else {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}
