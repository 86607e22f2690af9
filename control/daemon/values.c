/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/op.h"
#include "ebpf/tables.h"

#define MTU_BYTES_MIN 576 /* what every IPv4 host takes (RFC 791) */
#define MTU_BYTES_MAX 9000
#define SPI_RESERVED_MAX 255 /* RFC 4303 2.1 */
#define ARM_SECONDS_MAX 600  /* SPW_RELAY_ARM_SECONDS_MAX */

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
	if (remote->family != 0 && local->family != remote->family)
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

int spw_value_relay_end(const char *text, struct spw_endpoint *end, const char **expected)
{
	if (strcmp(text, "any") == 0) {
		*end = (struct spw_endpoint){0};
		return 0;
	}
	if (spw_endpoint_parse(text, end, expected) < 0 || !spw_endpoint_is_relayable(end))
		return refuse(expected, "a host's address and port, such as 198.51.100.7:51820 or "
					"[2001:db8::7]:51820, or any");
	return 0;
}

int spw_value_relay_pps(uint64_t value, uint32_t *pps, const char **expected)
{
	if (value < 1 || value > SPW_RELAY_PPS_MAX)
		return refuse(expected, "1 to 100000000 packets a second");
	*pps = (uint32_t)value;
	return 0;
}

int spw_value_relay_rate(const char *text, uint32_t *rate_kbit, const char **expected)
{
	int rc = spw_rate_parse(text, rate_kbit, expected);
	if (rc == 0 && (*rate_kbit == 0 || *rate_kbit > SPW_RELAY_KBIT_MAX))
		return refuse(expected, "a rate such as 500mbit, up to 100gbit: a relay always has "
					"one");
	return rc;
}

int spw_value_arm_seconds(const char *text, uint32_t *seconds, const char **expected)
{
	char *end = NULL;
	unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
	if (end && end[0] == 'm' && value <= ARM_SECONDS_MAX) {
		value *= 60;
		end++;
	} else if (end && end[0] == 's') {
		end++;
	}
	if (value < 1 || value > ARM_SECONDS_MAX || *end)
		return refuse(expected, "1s to 600s, or 1m to 10m");
	*seconds = (uint32_t)value;
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
