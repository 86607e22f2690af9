/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS_CHARS_MAX 64 /* longer than any address, prefix or port that inet_pton takes */
#define NAME_CHARS_MAX 31
#define FRACTION_DIGITS_MAX 6 /* of a gbit: 1 kbit/s */
#define WORD_CHARS_MAX 32     /* longer words have no nearest match */

static const char expected_prefix[] = "a prefix such as 10.0.0.0/24 or fd00::/64";
static const char expected_no_host_bits[] =
	"a prefix whose bits after the length are 0, such as 10.0.0.0/24 (one host: no length)";
static const char expected_not_mapped[] = "the IPv4 address itself, such as 192.0.2.1";
static const char expected_endpoint[] =
	"an address such as 192.0.2.1, 192.0.2.1:4500, 2001:db8::1 or [2001:db8::1]:4500";
static const char expected_port[] = "a port from 1 to 65535 after the address";
static const char expected_rate[] =
	"a rate such as 800kbit, 50mbit or 1.5gbit, whole kbit/s up to 4294gbit, or \"none\"";
static const char expected_name[] =
	"a name of 1 to 31 of a-z, 0-9, '_' and '-' that starts with a letter or digit";

static int refuse(const char **expected, const char *phrase)
{
	*expected = phrase;
	return -EINVAL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The whole of `text` as a decimal number without sign or leading zeros. */
static bool parse_decimal(const char *text, uint32_t max, uint32_t *value)
{
	uint64_t sum = 0;
	if (!is_digit(text[0]) || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text; text++) {
		if (!is_digit(*text))
			return false;
		sum = sum * 10 + (uint64_t)(*text - '0');
		if (sum > max)
			return false;
	}
	*value = (uint32_t)sum;
	return true;
}

static uint8_t parse_address(const char *text, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (inet_pton(AF_INET, text, addr) == 1)
		return 4;
	if (inet_pton(AF_INET6, text, addr) == 1)
		return 6;
	return 0;
}

static bool is_mapped(uint8_t family, const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	return family == 6 && memcmp(addr, mapped, sizeof(mapped)) == 0;
}

int spw_prefix_parse(const char *text, struct spw_prefix *prefix, const char **expected)
{
	char address[ADDRESS_CHARS_MAX];
	const char *slash = strchr(text, '/');
	size_t chars = slash ? (size_t)(slash - text) : strlen(text);
	if (chars >= sizeof(address))
		return refuse(expected, expected_prefix);
	memcpy(address, text, chars);
	address[chars] = '\0';

	struct spw_prefix parsed = {0};
	parsed.family = parse_address(address, parsed.addr);
	if (parsed.family == 0)
		return refuse(expected, expected_prefix);
	if (is_mapped(parsed.family, parsed.addr))
		return refuse(expected, expected_not_mapped);

	uint32_t bits_max = parsed.family == 4 ? 32 : 128;
	uint32_t bits = bits_max;
	if (slash && !parse_decimal(slash + 1, bits_max, &bits))
		return refuse(expected, expected_prefix);
	for (uint32_t bit = bits; bit < bits_max; bit++)
		if (parsed.addr[bit / 8] & (0x80u >> (bit % 8)))
			return refuse(expected, expected_no_host_bits);
	parsed.bits = (uint8_t)bits;
	*prefix = parsed;
	return 0;
}

static void format_address(uint8_t family, const uint8_t addr[16], char text[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(family == 4 ? AF_INET : AF_INET6, addr, text, INET6_ADDRSTRLEN))
		text[0] = '\0';
}

void spw_prefix_format(const struct spw_prefix *prefix, char *text, size_t text_bytes)
{
	char address[INET6_ADDRSTRLEN];
	format_address(prefix->family, prefix->addr, address);
	snprintf(text, text_bytes, "%s/%u", address, prefix->bits);
}

/* Splits "[address]:port" and "a.b.c.d:port"; port stays NULL where none is given. An IPv6 address
 * without brackets has two colons or more, and no port. */
static bool split_endpoint(char *text, char **address, char **port)
{
	*address = text;
	*port = NULL;
	if (text[0] == '[') {
		char *end = strchr(text, ']');
		if (!end || end[1] != ':')
			return false;
		*end = '\0';
		*address = text + 1;
		*port = end + 2;
		return strchr(*address, ':') != NULL;
	}
	char *colon = strchr(text, ':');
	if (colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
		*port = colon + 1;
	}
	return true;
}

int spw_endpoint_parse(const char *text, struct spw_endpoint *endpoint, const char **expected)
{
	char copy[ADDRESS_CHARS_MAX];
	size_t chars = strlen(text);
	if (chars >= sizeof(copy))
		return refuse(expected, expected_endpoint);
	memcpy(copy, text, chars + 1);

	char *address, *port_text;
	struct spw_endpoint parsed = {0};
	if (!split_endpoint(copy, &address, &port_text))
		return refuse(expected, expected_endpoint);
	parsed.family = parse_address(address, parsed.addr);
	if (parsed.family == 0)
		return refuse(expected, expected_endpoint);
	if (is_mapped(parsed.family, parsed.addr))
		return refuse(expected, expected_not_mapped);

	uint32_t port = 0;
	if (port_text && (!parse_decimal(port_text, UINT16_MAX, &port) || port == 0))
		return refuse(expected, expected_port);
	parsed.port = (uint16_t)port;
	*endpoint = parsed;
	return 0;
}

void spw_endpoint_format(const struct spw_endpoint *endpoint, char *text, size_t text_bytes)
{
	char address[INET6_ADDRSTRLEN] = "";
	if (endpoint->family != 0)
		format_address(endpoint->family, endpoint->addr, address);
	if (endpoint->port == 0)
		snprintf(text, text_bytes, "%s", address);
	else if (endpoint->family == 6)
		snprintf(text, text_bytes, "[%s]:%u", address, endpoint->port);
	else
		snprintf(text, text_bytes, "%s:%u", address, endpoint->port);
}

static const struct {
	const char *name;
	uint32_t kbit;
} rate_units[] = {{"gbit", 1000000}, {"mbit", 1000}, {"kbit", 1}};

#define RATE_UNITS_CNT (sizeof(rate_units) / sizeof(rate_units[0]))

int spw_rate_parse(const char *text, uint32_t *rate_kbit, const char **expected)
{
	if (strcmp(text, "none") == 0) {
		*rate_kbit = 0;
		return 0;
	}
	uint64_t digits = 0, scale = 1;
	bool fraction = false, last_is_digit = false;
	const char *at = text;
	for (; is_digit(*at) || (*at == '.' && !fraction && at > text); at++) {
		last_is_digit = *at != '.';
		if (!last_is_digit) {
			fraction = true;
			continue;
		}
		digits = digits * 10 + (uint64_t)(*at - '0');
		if (fraction)
			scale *= 10;
		if (at - text > 10 + FRACTION_DIGITS_MAX || scale > 1000000)
			return refuse(expected, expected_rate);
	}
	if (!last_is_digit)
		return refuse(expected, expected_rate);
	for (size_t i = 0; i < RATE_UNITS_CNT; i++) {
		if (strcmp(at, rate_units[i].name) != 0)
			continue;
		if (digits > UINT64_MAX / rate_units[i].kbit)
			break;
		uint64_t scaled = digits * rate_units[i].kbit;
		if (scaled == 0 || scaled % scale != 0 || scaled / scale > UINT32_MAX)
			break;
		*rate_kbit = (uint32_t)(scaled / scale);
		return 0;
	}
	return refuse(expected, expected_rate);
}

void spw_rate_format(uint32_t rate_kbit, char *text, size_t text_bytes)
{
	if (rate_kbit == 0) {
		snprintf(text, text_bytes, "none");
		return;
	}
	size_t unit = 0;
	while (rate_kbit < rate_units[unit].kbit)
		unit++;
	uint32_t whole = rate_kbit / rate_units[unit].kbit;
	uint32_t rest = rate_kbit % rate_units[unit].kbit;
	if (rest == 0) {
		snprintf(text, text_bytes, "%u%s", whole, rate_units[unit].name);
		return;
	}
	char fraction[FRACTION_DIGITS_MAX + 1];
	int digits = rate_units[unit].kbit == 1000 ? 3 : FRACTION_DIGITS_MAX;
	snprintf(fraction, sizeof(fraction), "%0*u", digits, rest % 1000000);
	for (int last = digits - 1; fraction[last] == '0'; last--)
		fraction[last] = '\0';
	snprintf(text, text_bytes, "%u.%s%s", whole, fraction, rate_units[unit].name);
}

int spw_name_check(const char *text, const char **expected)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t chars = strspn(text, allowed);
	if (text[chars] != '\0' || chars == 0 || chars > NAME_CHARS_MAX || strchr("_-", text[0]))
		return refuse(expected, expected_name);
	return 0;
}

bool spw_endpoint_is_unicast(const struct spw_endpoint *endpoint)
{
	if (endpoint->family == 4) {
		uint32_t addr_be;
		memcpy(&addr_be, endpoint->addr, sizeof(addr_be));
		uint32_t addr = ntohl(addr_be);
		return addr >> 24 != 0 && addr >> 24 != 127 && addr >> 28 < 14;
	}
	struct in6_addr addr;
	memcpy(&addr, endpoint->addr, sizeof(addr));
	return !IN6_IS_ADDR_UNSPECIFIED(&addr) && !IN6_IS_ADDR_LOOPBACK(&addr) &&
	       !IN6_IS_ADDR_MULTICAST(&addr) && !IN6_IS_ADDR_LINKLOCAL(&addr);
}

bool spw_endpoint_equal(const struct spw_endpoint *a, const struct spw_endpoint *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->addr, b->addr, a->family == 4 ? 4 : 16) == 0;
}

bool spw_endpoint_is_relayable(const struct spw_endpoint *endpoint)
{
	const uint8_t *addr = endpoint->addr;

	if (endpoint->port == 0 || !spw_endpoint_is_unicast(endpoint) ||
	    is_mapped(endpoint->family, addr))
		return false;
	return endpoint->family == 6 || addr[0] != 169 || addr[1] != 254;
}

/* Letters to insert, remove or replace (Levenshtein), both words at most WORD_CHARS_MAX long. */
static size_t word_distance(const char *a, const char *b)
{
	size_t row[WORD_CHARS_MAX + 1];
	size_t b_chars = strlen(b);
	for (size_t j = 0; j <= b_chars; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_chars; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_chars];
}

const char *spw_word_nearest(const char *text, const char *const *words, size_t words_cnt)
{
	const char *nearest = NULL;
	size_t chars = strlen(text);
	size_t nearest_distance = chars / 3 + 2; /* as far as this is no likeness any more */
	if (chars == 0 || chars > WORD_CHARS_MAX)
		return NULL;
	for (size_t i = 0; i < words_cnt; i++) {
		if (strlen(words[i]) > WORD_CHARS_MAX)
			continue;
		size_t distance = word_distance(text, words[i]);
		if (distance < nearest_distance && distance < chars) {
			nearest = words[i];
			nearest_distance = distance;
		}
	}
	return nearest;
}
