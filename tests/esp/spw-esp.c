/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spw-esp.c - sends packets through the real stages from a command line, for the tests against
 * other implementations of ESP.
 *
 *   spw-esp seal|open --key HEX --salt HEX --spi N --sequence N [--esn] [--iv-mask N] [--outer 4|6]
 *           [--aead PROVIDER]
 *
 * Standard input: one packet to a line, in hexadecimal. seal takes IP packets as they come from a
 * lan and prints the Ethernet frames that go out on the wan; open takes Ethernet frames from the
 * wan and prints the IP packets that go out on the lan. A packet that is dropped is a line "drop
 * REASON".
 * --sequence: seal: the first number to use; open: numbers below it are refused.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/dataplane/world.h"

#define SAS_ALL (1u << 22) /* room for every SPI there is */
#define PORT_WAN 0u
#define PORT_LAN 1u
#define NEIGHBOR_LAN 5u

struct options {
	bool seal;
	int outer;
	const char *aead; /* the provider */
	struct spw_msg_sa_add sa;
};

static int usage(const char *what)
{
	fprintf(stderr,
		"spw-esp: %s\nusage: spw-esp seal|open --key HEX --salt HEX --spi N --sequence N "
		"[--esn] [--iv-mask N] [--outer 4|6] [--aead PROVIDER]\n",
		what);
	return 2;
}

/* Returns the bytes, -1: not hexadecimal, or more than `max`. */
static int unhex(uint8_t *out, size_t max, const char *hex)
{
	size_t bytes = 0;
	unsigned int value;
	int used;

	for (; *hex && *hex != '\n'; hex += 2) {
		if (bytes == max || sscanf(hex, "%2x%n", &value, &used) != 1 || used != 2)
			return -1;
		out[bytes++] = (uint8_t)value;
	}
	return (int)bytes;
}

static int parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"key", required_argument, NULL, 'k'},
		{"salt", required_argument, NULL, 's'},
		{"spi", required_argument, NULL, 'p'},
		{"sequence", required_argument, NULL, 'n'},
		{"esn", no_argument, NULL, 'e'},
		{"iv-mask", required_argument, NULL, 'm'},
		{"outer", required_argument, NULL, 'o'},
		{"aead", required_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};
	struct spw_msg_sa_add *sa = &options->sa;
	int option, key_bytes = 0, salt_bytes = 0;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'k')
			key_bytes = unhex(sa->key, sizeof(sa->key), optarg);
		else if (option == 's')
			salt_bytes = unhex(sa->salt, sizeof(sa->salt), optarg);
		else if (option == 'p')
			sa->spi = (uint32_t)strtoull(optarg, NULL, 0);
		else if (option == 'n')
			sa->sequence = strtoull(optarg, NULL, 0);
		else if (option == 'e')
			sa->flags = SPW_SA_F_ESN;
		else if (option == 'm')
			sa->iv_mask = strtoull(optarg, NULL, 0);
		else if (option == 'o')
			options->outer = atoi(optarg);
		else if (option == 'a')
			options->aead = optarg;
		else
			return usage("unknown option");
	}
	if (key_bytes < 0 || salt_bytes != SPW_SALT_BYTES)
		return usage("--key and --salt are hexadecimal, the salt has 4 bytes");
	if (options->outer != 4 && options->outer != 6)
		return usage("--outer is 4 or 6");
	sa->key_bytes = (uint32_t)key_bytes;
	if (optind + 1 != argc ||
	    (strcmp(argv[optind], "seal") != 0 && strcmp(argv[optind], "open") != 0))
		return usage("say seal or open");
	options->seal = strcmp(argv[optind], "seal") == 0;
	return 0;
}

static uint32_t everything(struct world *world, const char *prefix, uint32_t leaf)
{
	return world_trie(world, &(struct world_prefix){prefix, leaf}, 1);
}

/* One tunnel, one lan, everything allowed and routed to the other side. */
static int furnish(struct world *world, struct options *options)
{
	struct spw_port_image *wan = &world->ports[PORT_WAN].image[0];
	struct spw_port_image *lan = &world->ports[PORT_LAN].image[0];
	struct spw_tunnel *tunnel = world_tunnel(world, 1, 1, options->outer);
	uint32_t leaf = options->seal ? SPW_LEAF(SPW_LEAF_TUNNEL, 1)
				      : SPW_LEAF(SPW_LEAF_NEIGHBOR, NEIGHBOR_LAN);
	static const char *const all[2] = {"0.0.0.0/0", "::/0"};

	*wan = (struct spw_port_image){.role = SPW_PORT_WAN,
				       .tunnel_port_be = __builtin_bswap16(WORLD_TUNNEL_PORT)};
	*lan = (struct spw_port_image){.role = SPW_PORT_LAN, .tenant = 1};
	world->lane.port_mtu_bytes[PORT_LAN] = 1500;
	world->neighbors[WORLD_NEIGHBOR_WAN] = (union spw_neighbor){
		.mac = {2, 0, 0, 0, 0, 1}, .port = PORT_WAN, .state = SPW_NEIGHBOR_VALID};
	world->neighbors[NEIGHBOR_LAN] = (union spw_neighbor){
		.mac = {2, 0, 0, 0, 0, 5}, .port = PORT_LAN, .state = SPW_NEIGHBOR_VALID};
	for (int k = 0; k < 2; k++) {
		lan->allow_root[k] = everything(world, all[k], SPW_LEAF(SPW_LEAF_MEMBER, 0));
		tunnel->allow_root[k] = lan->allow_root[k];
		world->tenants[1].route_root[k] = everything(world, all[k], leaf);
	}
	options->sa.direction = options->seal ? SPW_SA_OUT : SPW_SA_IN;
	options->sa.slot = options->seal ? 1 : SPW_SPI_SLOT(options->sa.spi);
	return world_sa_add(world, &options->sa);
}

static void print_packet(const struct outcome *outcome, uint32_t from)
{
	if (!outcome->transmitted) {
		printf("drop %s\n", world_drop_name(outcome->reason));
		return;
	}
	for (uint32_t k = from; k < outcome->bytes; k++)
		printf("%02x", outcome->data[k]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct options options = {
		.outer = 4,
		.aead = "openssl",
		.sa = {.tunnel = 1, .window_packets = 2048, .limit = UINT64_MAX},
	};
	char line[2 * WORLD_FRAME_MAX + 2];
	int error = parse(&options, argc, argv);

	if (error)
		return error;
	if (world_eal_start() != 0)
		return 1;
	error = world_provider(options.aead);
	if (error)
		return error;
	struct world *world = world_create(SAS_ALL);
	error = furnish(world, &options);
	if (error) {
		fprintf(stderr, "spw-esp: the SA was refused: %s\n", strerror(-error));
		error = 1;
		goto destroy;
	}
	while (fgets(line, sizeof(line), stdin)) {
		uint8_t packet[WORLD_FRAME_MAX], frame[WORLD_FRAME_MAX];
		int bytes = unhex(packet, 2000, line);
		if (bytes < 1) {
			error = usage("each line of input is a packet in hexadecimal");
			break;
		}
		if (options.seal) {
			bytes = (int)world_plain(frame, 0, packet, (uint32_t)bytes);
			struct outcome outcome =
				world_receive(world, PORT_LAN, frame, (uint32_t)bytes);
			print_packet(&outcome, 0);
		} else {
			struct outcome outcome =
				world_receive(world, PORT_WAN, packet, (uint32_t)bytes);
			print_packet(&outcome, SPW_ETHER_BYTES);
		}
	}
destroy:
	world_destroy(world);
	return error;
}
