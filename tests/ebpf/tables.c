// SPDX-License-Identifier: BSD-2-Clause
/* tables.c - shared tables for tests. See tables.h. */
#include "tables.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

/* Every table with its record and size, by its field in struct test_tables. */
#define TABLES(X)                                                                                  \
	X(META, meta, 1)                                                                           \
	X(PORTS, ports, SPW_PORTS_MAX)                                                             \
	X(TENANTS, tenants, TEST_TENANTS_MAX)                                                      \
	X(SPIS, spis, TEST_SAS_MAX)                                                                \
	X(ROUTE_UNITS, units, TEST_UNITS_MAX)                                                      \
	X(NEIGHBORS, neighbors, TEST_NEIGHBORS_MAX)                                                \
	X(RELAY_PORTS, relay_ports, 65536)                                                         \
	X(RELAYS, relays, SPW_RELAY_SLOTS_MAX)                                                     \
	X(RELAY_STATES, relay_states, SPW_RELAYS_MAX)

static size_t map_bytes(size_t record_bytes, __u32 entries)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (record_bytes * entries + page - 1) / page * page;
}

static int open_table(struct test_tables *tables, enum spw_map_id id, size_t record_bytes,
		      __u32 entries, void *view)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "spw_test", 4, (__u32)record_bytes, entries,
				&options);

	if (fd < 0)
		return fd;
	tables->fd[id] = fd;
	void *memory = mmap(NULL, map_bytes(record_bytes, entries), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	memcpy(view, &memory, sizeof(memory));
	return 0;
}

int test_tables_open(struct test_tables *tables)
{
	int error = 0;

	memset(tables, 0, sizeof(*tables));
	for (int i = 0; i < SPW_MAP_CNT; i++)
		tables->fd[i] = -1;
#define OPEN(id, field, entries)                                                                   \
	if (!error)                                                                                \
		error = open_table(tables, SPW_MAP_##id, sizeof(*tables->field), entries,          \
				   &tables->field);
	TABLES(OPEN)
#undef OPEN
	if (error)
		test_tables_close(tables);
	else
		tables->units_cnt = 1;
	return error;
}

void test_tables_close(struct test_tables *tables)
{
#define UNMAP(id, field, entries)                                                                  \
	if (tables->field)                                                                         \
		munmap(tables->field, map_bytes(sizeof(*tables->field), entries));
	TABLES(UNMAP)
#undef UNMAP
	for (int i = 0; i < SPW_MAP_CNT; i++)
		if (tables->fd[i] >= 0)
			close(tables->fd[i]);
}

struct test_prefix test_prefix(const char *text, __u32 leaf)
{
	struct test_prefix prefix = {.leaf = leaf};
	char addr_text[64];
	__u8 addr[16];

	if (sscanf(text, "%63[^/]/%u", addr_text, &prefix.bits) != 2)
		abort();
	if (inet_pton(AF_INET6, addr_text, addr) == 1) {
		prefix.key = spw_trie_key6(addr);
	} else if (inet_pton(AF_INET, addr_text, addr) == 1) {
		__u32 word;
		memcpy(&word, addr, sizeof(word));
		prefix.key = spw_trie_key4(ntohl(word));
	} else {
		abort();
	}
	return prefix;
}

/* ---- tries -------------------------------------------------------------------------------- */

/* Bits `from` to from + cnt - 1 of a key; zeros behind its end. */
static __u32 key_bits(struct spw_trie_key key, __u32 from, __u32 cnt)
{
	__u32 value = 0;

	for (__u32 i = from; i < from + cnt; i++)
		value = value << 1 | (__u32)(i < 64    ? key.hi >> (63 - i) & 1
					     : i < 128 ? key.lo >> (127 - i) & 1
						       : 0);
	return value;
}

struct build {
	struct test_tables *tables;
	__u32 family;
};

static __u32 build(const struct build *to, const struct test_prefix *prefixes, __u32 cnt, __u32 pos,
		   __u32 direct);

static __u64 *take(const struct build *to, __u32 words, __u32 shape, __u32 *ref)
{
	struct test_tables *tables = to->tables;
	__u32 first = tables->units_cnt;

	tables->units_cnt += (words + SPW_TRIE_UNIT_WORDS - 1) / SPW_TRIE_UNIT_WORDS;
	assert(tables->units_cnt < TEST_UNITS_MAX);
	*ref = SPW_TRIE_REF(shape, first);
	return tables->units[first].word;
}

static int longer_first(const void *a, const void *b)
{
	return (int)((const struct test_prefix *)b)->bits -
	       (int)((const struct test_prefix *)a)->bits;
}

static __u32 per_unit(__u32 family)
{
	return family == 4 ? SPW_TRIE_LIST4 : SPW_TRIE_LIST6;
}

/* A list or, where `guard` is its first entry with a ref for a leaf, a guard. */
static __u32 build_list(const struct build *to, const struct test_prefix *prefixes, __u32 cnt,
			const struct test_prefix *guard)
{
	__u32 unit = per_unit(to->family), all = cnt + !!guard, ref;
	__u32 log_units = all <= unit ? 0 : all <= 2 * unit ? 1 : 2;
	__u64 *words = take(to, SPW_TRIE_UNIT_WORDS << log_units,
			    (guard ? SPW_TRIE_GUARD : SPW_TRIE_LIST) + log_units, &ref);
	struct test_prefix entries[16];

	assert(all <= 4 * unit && all <= 14);
	memcpy(entries + !!guard, prefixes, cnt * sizeof(*prefixes));
	qsort(entries + !!guard, cnt, sizeof(*entries), longer_first);
	if (guard)
		entries[0] = *guard;
	for (__u32 i = 0; i < all; i++) {
		__u32 *at = (__u32 *)(words + SPW_TRIE_UNIT_WORDS * (i / unit));
		__u32 bits = entries[i].bits, k = i % unit;
		struct spw_trie_key code = entries[i].key;
		if (bits < 64) /* a one behind the last bit */
			code.hi |= 1ull << (63 - bits);
		else if (bits < 128)
			code.lo |= 1ull << (127 - bits);
		if (to->family == 4) {
			at[7] |= (__u32)(bits == 32) << k;
			at[8 + k] = entries[i].leaf;
			at[k] = bits == 32 ? (__u32)(entries[i].key.hi >> 32)
					   : (__u32)(code.hi >> 32);
		} else {
			at[0] |= (__u32)(bits == 128) << k;
			at[1 + k] = entries[i].leaf;
			memcpy(at + 4 + 4 * k, &code, sizeof(code));
		}
	}
	return ref;
}

/* Builds what is longer than `end` bits and has `value` in the bits from pos to there. */
static __u32 build_below(const struct build *to, const struct test_prefix *prefixes, __u32 cnt,
			 __u32 pos, __u32 end, __u32 value)
{
	struct test_prefix *below = calloc(cnt + 1, sizeof(*below));
	__u32 below_cnt = 0, ref;

	for (__u32 i = 0; i < cnt; i++)
		if (prefixes[i].bits > end && key_bits(prefixes[i].key, pos, end - pos) == value)
			below[below_cnt++] = prefixes[i];
	ref = build(to, below, below_cnt, end, 0);
	free(below);
	return ref;
}

static __u32 build_node(const struct build *to, const struct test_prefix *prefixes, __u32 cnt,
			__u32 pos)
{
	__u32 values[64 + 64 + 62], values_cnt = 0, ref;
	__u64 map[3] = {0};

	for (__u32 chunk = 0; chunk < 64; chunk++) {
		__u32 child = build_below(to, prefixes, cnt, pos, pos + 6, chunk);
		if (child) {
			map[0] |= 1ull << chunk;
			values[values_cnt++] = child;
		}
	}
	for (__u32 l = 7; l-- > 1;) { /* 6, then 1 to 5 */
		__u32 bits = l == 6 ? 6 : 6 - l;
		for (__u32 value = 0; value < 1u << bits; value++)
			for (__u32 i = 0; i < cnt; i++) {
				if (prefixes[i].bits != pos + bits ||
				    key_bits(prefixes[i].key, pos, bits) != value)
					continue;
				if (bits == 6)
					map[1] |= 1ull << value;
				else
					map[2] |= 1ull << (1u << bits | value);
				values[values_cnt++] = prefixes[i].leaf;
			}
	}
	__u64 *words = take(to, 3 + (values_cnt + 1) / 2, SPW_TRIE_NODE, &ref);
	memcpy(words, map, sizeof(map));
	memcpy(words + 3, values, values_cnt * sizeof(*values));
	return ref;
}

static __u32 build_direct(const struct build *to, const struct test_prefix *prefixes, __u32 cnt,
			  __u32 pos, __u32 bits)
{
	__u32 ref;
	__u64 *words = take(to, SPW_TRIE_UNIT_WORDS + (1u << bits), SPW_TRIE_DIRECT, &ref);

	words[SPW_TRIE_FORM_WORD] = SPW_TRIE_FORM(pos + bits, bits);

	for (__u32 slot = 0; slot < 1u << bits; slot++) {
		const struct test_prefix *best = NULL;
		for (__u32 i = 0; i < cnt; i++)
			if (prefixes[i].bits <= pos + bits &&
			    (!best || prefixes[i].bits > best->bits) &&
			    key_bits(prefixes[i].key, pos, prefixes[i].bits - pos) ==
				    slot >> (pos + bits - prefixes[i].bits))
				best = &prefixes[i];
		words[SPW_TRIE_UNIT_WORDS + slot] =
			(__u64)build_below(to, prefixes, cnt, pos, pos + bits, slot) << 32 |
			(best ? best->leaf : 0);
	}
	return ref;
}

/* How many of their first bits all the prefixes share, and are longer. */
static __u32 shared_bits(const struct test_prefix *prefixes, __u32 cnt)
{
	for (__u32 shared = 0; shared < 127; shared++)
		for (__u32 i = 0; i < cnt; i++)
			if (prefixes[i].bits <= shared + 1 ||
			    key_bits(prefixes[i].key, shared, 1) !=
				    key_bits(prefixes[0].key, shared, 1))
				return shared;
	return 127;
}

/* All the prefixes are longer than pos, the bits that they share, but for one of length 0. */
static __u32 build(const struct build *to, const struct test_prefix *prefixes, __u32 cnt, __u32 pos,
		   __u32 direct)
{
	struct test_prefix guard = {0}, *rest;
	__u32 ref, zero = cnt;

	if (cnt <= (to->family == 4 ? 14u : 12u))
		return cnt ? build_list(to, prefixes, cnt, NULL) : 0;
	if (direct)
		return build_direct(to, prefixes, cnt, pos, direct);
	for (__u32 i = 0; i < cnt; i++)
		if (prefixes[i].bits == 0)
			zero = i;
	guard.bits = zero < cnt ? 0 : shared_bits(prefixes, cnt);
	if (zero == cnt && guard.bits < pos + 6)
		return build_node(to, prefixes, cnt, pos);
	rest = calloc(cnt, sizeof(*rest));
	memcpy(rest, prefixes, zero * sizeof(*rest));
	if (zero < cnt)
		memcpy(rest + zero, prefixes + zero + 1, (cnt - zero - 1) * sizeof(*rest));
	guard.leaf = build(to, rest, cnt - (zero < cnt), guard.bits, 0);
	for (__u32 i = 0; i < guard.bits; i++) {
		__u64 bit = key_bits(prefixes[0].key, i, 1);
		*(i < 64 ? &guard.key.hi : &guard.key.lo) |= bit << (63 - i % 64);
	}
	ref = build_list(to, prefixes + zero, zero < cnt, &guard);
	free(rest);
	return ref;
}

__u32 test_trie_build(struct test_tables *tables, const struct test_prefix *prefixes, __u32 cnt,
		      __u32 family, __u32 direct)
{
	return build(&(struct build){tables, family}, prefixes, cnt, 0, direct);
}

static bool covers(const struct test_prefix *prefix, struct spw_trie_key key)
{
	for (__u32 i = 0; i < prefix->bits; i++)
		if (key_bits(prefix->key, i, 1) != key_bits(key, i, 1))
			return false;
	return true;
}

__u32 test_trie_scan(const struct test_prefix *prefixes, __u32 cnt, struct spw_trie_key key)
{
	const struct test_prefix *best = NULL;

	for (__u32 i = 0; i < cnt; i++)
		if ((!best || prefixes[i].bits > best->bits) && covers(&prefixes[i], key))
			best = &prefixes[i];
	return best ? best->leaf : 0;
}
