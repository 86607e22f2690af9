/* SPDX-License-Identifier: BSD-2-Clause */
/* node_config.c - see node_config.h. */
#include "perf/pktgen/node_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Addresses for tests of network devices (RFC 2544 C.2.2, RFC 5735): 198.18.0.0/15. Behind the
 * tunnels 10.64.0.0/10 has a /24 for each of 16,384. */
#define NODE_WAN "198.18.0.1"
#define PEER "198.18.0.2"
#define NODE_LAN "198.19.0.1"
#define LAN "198.19.0.0/24"
#define LAN_HOSTS "198.19.0.2-198.19.0.17"

#define KEY_BYTES 20u                              /* AES-128 and 4 bytes of salt */
#define SPI_IN(tunnel) (((tunnel) + 1) << 10 | 77) /* the node's: slot and generation */
#define SPI_OUT(tunnel) (0xc1000000u + (tunnel))

static FILE *open_in(const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

/* Closes a file; false: something of it was not written. */
static bool close_good(FILE *file)
{
	bool good = file && !ferror(file);

	return file && fclose(file) == 0 && good;
}

static bool write_config(const char *dir, uint32_t tunnels)
{
	FILE *file = open_in(dir, "config.yaml");

	if (!file)
		return false;
	fprintf(file,
		"# A node for a load test of %u tunnels. Name the interfaces, and give them\n"
		"# " NODE_WAN "/24 (wan) and " NODE_LAN "/24 (lan). Then, once it runs:\n"
		"#   spillway batch %s/tunnels\n"
		"node: load\n"
		"limits:\n"
		"  tunnels: %u\n"
		"  routes: %u\n"
		"interfaces:\n"
		"  - {name: wan0, role: wan}\n"
		"  - {name: lan0, role: lan, tenant: load, prefixes: [" LAN "]}\n"
		"tenants:\n"
		"  - name: load\n",
		tunnels, dir, tunnels + 1, 4 * tunnels + 1000);
	return close_good(file);
}

static bool write_key(const char *dir, uint32_t tunnel, const char *way)
{
	uint8_t key[KEY_BYTES];
	char name[64];

	snprintf(name, sizeof(name), "keys/%u-%s.key", tunnel, way);
	FILE *file = getrandom(key, sizeof(key), 0) == sizeof(key) ? open_in(dir, name) : NULL;
	for (uint32_t i = 0; file && i < sizeof(key); i++)
		fprintf(file, "%02x", key[i]);
	if (file)
		fputc('\n', file);
	explicit_bzero(key, sizeof(key));
	return close_good(file);
}

/* dir: absolute, for the node's command line. */
static bool write_tunnel(const char *dir, uint32_t tunnel, FILE *batch, FILE *sas)
{
	char prefix[32];

	snprintf(prefix, sizeof(prefix), "10.%u.%u.0/24", 64 + tunnel / 256, tunnel % 256);
	fprintf(batch,
		"tunnel add load%u --tenant load --remote " PEER " --allow %s --in-spi 0x%x "
		"--in-key %s/keys/%u-in.key --out-spi 0x%x --out-key %s/keys/%u-out.key "
		"--first-use\n"
		"route add %s tunnel load%u tenant load\n",
		tunnel, prefix, SPI_IN(tunnel), dir, tunnel, SPI_OUT(tunnel), dir, tunnel, prefix,
		tunnel);
	fprintf(sas,
		"tx 0x%08x keys/%u-in.key  no " PEER " " NODE_WAN " %s " LAN_HOSTS "\n"
		"rx 0x%08x keys/%u-out.key no " NODE_WAN " " PEER " " LAN_HOSTS " %s\n",
		SPI_IN(tunnel), tunnel, prefix, SPI_OUT(tunnel), tunnel, prefix);
	return write_key(dir, tunnel, "in") && write_key(dir, tunnel, "out");
}

static bool write_tunnels(const char *dir, uint32_t tunnels)
{
	FILE *batch = open_in(dir, "tunnels"), *sas = open_in(dir, "sas");
	bool good = batch && sas;

	if (good)
		fputs("# way SPI key-file ESN outer-source outer-destination inner-source "
		      "inner-destination\n",
		      sas);
	for (uint32_t tunnel = 0; good && tunnel < tunnels; tunnel++)
		good = write_tunnel(dir, tunnel, batch, sas);
	bool batch_good = close_good(batch), sas_good = close_good(sas);
	return good && batch_good && sas_good;
}

int spw_node_config_write(const char *dir, uint32_t tunnels, char *why, unsigned int why_bytes)
{
	char keys[PATH_MAX], full[PATH_MAX];
	bool long_name = snprintf(keys, sizeof(keys), "%s/keys", dir) >= (int)sizeof(keys);

	if (long_name || mkdir(dir, 0700) < 0) {
		int error = long_name ? -ENAMETOOLONG : -errno;
		snprintf(why, why_bytes,
			 "%s: %s; expected a folder that is not there yet, for new keys", dir,
			 strerror(-error));
		return error;
	}
	if (mkdir(keys, 0700) < 0 || !realpath(dir, full) || !write_config(full, tunnels) ||
	    !write_tunnels(full, tunnels)) {
		int error = errno ? -errno : -EIO;
		snprintf(why, why_bytes, "%s: cannot write into it: %s", dir, strerror(-error));
		return error;
	}
	printf("%s has config.yaml and keys for %u tunnels. As root:\n"
	       "  spillway run %s/config.yaml          # its first lines say what it expects\n"
	       "  spillway batch %s/tunnels\n"
	       "then packets into the tunnels, or out of them:\n"
	       "  spillway-pktgen --tx LAN --rx WAN --gateway " NODE_LAN " --decrypt %s/sas\n"
	       "  spillway-pktgen --tx WAN --rx LAN --esp %s/sas\n",
	       dir, tunnels, dir, dir, dir, dir);
	return 0;
}
