/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ebpf/tables.h"

#define MTU_BYTES_MIN 576 /* what every IPv4 host takes (RFC 791) */
#define MTU_BYTES_MAX 9000
#define SPI_RESERVED_MAX 255 /* RFC 4303 2.1 */

static int refuse(const char **expected, const char *phrase)
{
	*expected = phrase;
	return -EINVAL;
}

int spw_value_remote(const char *text, struct spw_endpoint *remote, const char **expected)
{
	int rc = spw_endpoint_parse(text, remote, expected);
	if (rc == 0 && !spw_endpoint_is_unicast(remote))
		return refuse(expected, "the address of a host: not multicast, broadcast, "
					"loopback, link-local IPv6 or 0");
	return rc;
}

int spw_value_local(const char *text, const struct spw_endpoint *remote, struct spw_endpoint *local,
		    const char **expected)
{
	int rc = spw_value_remote(text, local, expected);
	if (rc < 0)
		return rc;
	if (local->port != 0)
		return refuse(expected, "an address without a port: tunnels send from the port of "
					"\"listen\"");
	if (local->family != remote->family)
		return refuse(expected, "an address of the same IP version as the remote");
	return 0;
}

int spw_value_mtu(uint64_t value, uint16_t *mtu_bytes, const char **expected)
{
	if (value < MTU_BYTES_MIN || value > MTU_BYTES_MAX)
		return refuse(expected, "576 to 9000 bytes");
	*mtu_bytes = (uint16_t)value;
	return 0;
}

int spw_value_cipher(const char *text, uint8_t *key_bytes, const char **expected)
{
	if (!text || strcmp(text, "aes-128-gcm") == 0)
		*key_bytes = 16;
	else if (strcmp(text, "aes-256-gcm") == 0)
		*key_bytes = 32;
	else
		return refuse(expected, "aes-128-gcm or aes-256-gcm");
	return 0;
}

int spw_value_spi(uint64_t value, bool in, uint32_t *spi, const char **expected)
{
	if (in && (value > UINT32_MAX || SPW_SPI_SLOT(value) == 0))
		return refuse(expected, "a number from 0x400 to 0xffffffff (22 bits of slot, then "
					"10 bits of generation)");
	if (!in && (value > UINT32_MAX || value <= SPI_RESERVED_MAX))
		return refuse(expected, "a number from 0x100 to 0xffffffff");
	*spi = (uint32_t)value;
	return 0;
}

struct spw_quoted spw_quote(const char *text)
{
	static const char more[] = "...";
	struct spw_quoted quoted;
	size_t used = 0, room = sizeof(quoted.text) - sizeof(more) - 1; /* and the closing quote */
	quoted.text[used++] = '"';
	for (; *text && used < room; text++) {
		unsigned char c = (unsigned char)*text;
		quoted.text[used++] = c < ' ' || c >= 0x7f ? '?' : *text;
	}
	snprintf(quoted.text + used, sizeof(quoted.text) - used, "%s\"", *text ? more : "");
	return quoted;
}
