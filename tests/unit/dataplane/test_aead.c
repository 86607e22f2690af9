/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_aead.c - the two AEAD providers: equal bit by bit, unforgiving of any flipped bit, and how
 * one of them is chosen, with the library there, not there and not to be copied. Published answers:
 * test_esp.c, once with each provider.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/arena.h"
#include "dataplane/stages/aead.h"
#include "perf/pktgen/random.h"

#define BYTES_MAX 9000u
#define GUARD_BYTES 64u
#define WORKERS 3u

/* What the loader does for aead_ipsec_mb.c (linked with --wrap=dlopen). */
static enum { LOADS_ALL, LOADS_NOTHING, LOADS_NO_COPY } loader;

void *__real_dlopen(const char *path, int flags);
void *__wrap_dlopen(const char *path, int flags);
void *__wrap_dlopen(const char *path, int flags)
{
	if (loader == LOADS_NOTHING || (loader == LOADS_NO_COPY && path[0] == '/'))
		path = "libabsent.so.1";
	return __real_dlopen(path, flags);
}

static uint64_t random_state = 1;

static uint8_t random_byte(void)
{
	return (uint8_t)(spw_random_next(&random_state) >> 32);
}

static void randomize(uint8_t *bytes, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		bytes[i] = random_byte();
}

static struct spw_aead *create(const char *provider, uint32_t worker, const uint8_t *key,
			       uint32_t key_bytes, bool encrypt)
{
	char why[160];

	if (strcmp(spw_aead_provider(), provider) != 0)
		assert_int_equal(spw_aead_choose(provider, WORKERS, why, sizeof(why)), 0);
	if (strcmp(spw_aead_provider(), provider) != 0) {
		print_message("no %s here: %s\n", provider, why);
		skip();
	}
	struct spw_aead *aead = spw_aead_create(worker, key, key_bytes, encrypt);
	assert_non_null(aead);
	return aead;
}

/* ---- the choice; in this order, as a library that was loaded stays -------------------------- */

static void library_absent(void **state)
{
	char why[160];

	(void)state;
	loader = LOADS_NOTHING;
	/* Before any choice. */
	assert_string_equal(spw_aead_provider(), "openssl");
	assert_int_equal(spw_aead_choose("ipsec-mb", 1, why, sizeof(why)), 0);
	assert_string_equal(spw_aead_provider(), "openssl");
	assert_string_equal(why, "ipsec-mb is asked for but cannot be used: libabsent.so.1: cannot "
				 "open shared object file: No such file or directory");
	assert_int_equal(spw_aead_choose("auto", 1, why, sizeof(why)), 0);
	assert_string_equal(spw_aead_provider(), "openssl");
	assert_memory_equal(why, "ipsec-mb cannot be used: libabsent", 34);
	loader = LOADS_ALL;
}

static void unknown_provider(void **state)
{
	char why[160];

	(void)state;
	assert_int_equal(spw_aead_choose("aesni", 1, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "no AEAD provider is called \"aesni\"; expected auto, openssl or "
				 "ipsec-mb");
	assert_string_equal(spw_aead_provider(), "openssl");
}

/* One copy for two workers is no reason to do without. */
static void library_not_copied(void **state)
{
	static const uint8_t key[16] = {1};
	char why[160];

	(void)state;
	loader = LOADS_NO_COPY;
	assert_int_equal(spw_aead_choose("ipsec-mb", 2, why, sizeof(why)), 0);
	loader = LOADS_ALL;
	if (strcmp(spw_aead_provider(), "ipsec-mb") != 0)
		skip();
	struct spw_aead *first = spw_aead_create(0, key, 16, true);
	struct spw_aead *second = spw_aead_create(1, key, 16, true);
	assert_ptr_equal(first->direct, second->direct);
	assert_ptr_not_equal(first->context, second->context);
	/* A version that needs no copies says nothing. */
	if (strcmp(why, "as configured") != 0)
		assert_memory_equal(
			why, "as configured; workers share one copy of it: libabsent.so.1: ", 61);
	spw_aead_destroy(first);
	spw_aead_destroy(second);
}

static void choices(void **state)
{
	uint32_t cycles[6], sizes[3];
	uint8_t key[33] = {1};
	char why[160];

	(void)state;
	assert_int_equal(spw_aead_choose("openssl", 1, why, sizeof(why)), 0);
	assert_string_equal(spw_aead_provider(), "openssl");
	assert_string_equal(why, "as configured");
	assert_int_equal(spw_aead_choose("ipsec-mb", WORKERS, why, sizeof(why)), 0);
	if (strcmp(spw_aead_provider(), "ipsec-mb") != 0)
		skip();
	assert_null(spw_aead_create(WORKERS, key, 16, true)); /* nobody's */
	for (uint32_t bytes = 0; bytes <= 33; bytes++) {
		struct spw_aead *aead = spw_aead_create(WORKERS - 1, key, bytes, true);
		assert_int_equal(aead != NULL, bytes == 16 || bytes == 32);
		spw_aead_destroy(aead);
	}

	assert_int_equal(spw_aead_choose("auto", WORKERS, why, sizeof(why)), 0);
	int read = sscanf(why,
			  "ipsec-mb needs %u, %u and %u cycles for %u, %u and %u bytes, openssl "
			  "%u, %u and %u",
			  &cycles[0], &cycles[1], &cycles[2], &sizes[0], &sizes[1], &sizes[2],
			  &cycles[3], &cycles[4], &cycles[5]);
	assert_int_equal(read, 9);
	assert_true(sizes[0] == 64 && sizes[1] == 512 && sizes[2] == 1408);
	bool ipsec_mb = cycles[0] + cycles[1] + cycles[2] < cycles[3] + cycles[4] + cycles[5];
	assert_string_equal(spw_aead_provider(), ipsec_mb ? "ipsec-mb" : "openssl");
	for (int k = 0; k < 6; k++)
		assert_true(cycles[k] > 10); /* it was a measurement */
}

/* ---- equal bytes ---------------------------------------------------------------------------- */

struct pair { /* one key, from both providers */
	struct spw_aead *seal[2], *open[2];
};

static struct pair pair_create(uint32_t key_bytes, uint32_t worker)
{
	uint8_t key[32];
	struct pair pair;

	randomize(key, sizeof(key));
	for (int k = 0; k < 2; k++) {
		const char *name = k ? "ipsec-mb" : "openssl";
		pair.seal[k] = create(name, worker, key, key_bytes, true);
		pair.open[k] = create(name, worker, key, key_bytes, false);
	}
	assert_null(pair.seal[0]->direct);
	assert_non_null(pair.seal[1]->direct);
	return pair;
}

static void pair_destroy(struct pair *pair)
{
	for (int k = 0; k < 2; k++) {
		spw_aead_destroy(pair->seal[k]);
		spw_aead_destroy(pair->open[k]);
	}
}

/* One text through both, each opening what the other sealed; nothing beside it may change. */
static void both_ways(struct pair *pair, const uint8_t *plain, uint32_t bytes, size_t aad_bytes)
{
	static uint8_t room[2][GUARD_BYTES + BYTES_MAX + SPW_ICV_BYTES + GUARD_BYTES];
	uint8_t nonce[SPW_NONCE_BYTES], aad[12], guard[GUARD_BYTES];

	randomize(nonce, sizeof(nonce));
	randomize(aad, sizeof(aad));
	memset(guard, 0xa5, sizeof(guard));
	for (int k = 0; k < 2; k++) {
		uint8_t *text = room[k] + GUARD_BYTES;
		memset(room[k], 0xa5, GUARD_BYTES + bytes + SPW_ICV_BYTES + GUARD_BYTES);
		memcpy(text, plain, bytes);
		assert_true(spw_aead_seal(pair->seal[k], nonce, aad, aad_bytes, text, bytes,
					  text + bytes));
	}
	assert_memory_equal(room[0], room[1], GUARD_BYTES + bytes + SPW_ICV_BYTES + GUARD_BYTES);
	for (int k = 0; k < 2; k++) {
		uint8_t *text = room[k] + GUARD_BYTES;
		assert_true(spw_aead_open(pair->open[!k], nonce, aad, aad_bytes, text, bytes,
					  text + bytes));
		assert_memory_equal(text, plain, bytes);
		assert_memory_equal(room[k], guard, GUARD_BYTES);
		assert_memory_equal(text + bytes + SPW_ICV_BYTES, guard, GUARD_BYTES);
	}
}

static void every_length(void **state)
{
	static uint8_t plain[BYTES_MAX];
	struct pair pair = {{NULL}};

	(void)state;
	randomize(plain, sizeof(plain));
	for (uint32_t bytes = 0; bytes <= BYTES_MAX; bytes++) {
		if (bytes % 250 == 0) {
			pair_destroy(&pair);
			pair = pair_create(bytes / 250 % 2 ? 32 : 16, bytes / 500 % WORKERS);
		}
		both_ways(&pair, plain, bytes, 8);
		both_ways(&pair, plain, bytes, 12);
		if (bytes < 600 &&
		    bytes % 20 == 0) { /* where the two sizes of keys meet the short paths */
			struct pair other = pair_create(bytes / 250 % 2 ? 16 : 32, 0);
			both_ways(&other, plain, bytes, 8);
			both_ways(&other, plain, bytes, 12);
			pair_destroy(&other);
		}
	}
	pair_destroy(&pair);
}

/* ---- flipped bits --------------------------------------------------------------------------- */

struct sealed {
	uint8_t nonce[SPW_NONCE_BYTES], aad[12], text[77], tag[SPW_ICV_BYTES];
};

static bool opens(struct spw_aead *open, struct sealed sealed)
{
	return spw_aead_open(open, sealed.nonce, sealed.aad, 12, sealed.text, sizeof(sealed.text),
			     sealed.tag);
}

static void every_bit(void **state)
{
	(void)state;
	for (uint32_t key_bytes = 16; key_bytes <= 32; key_bytes += 16) {
		struct pair pair = pair_create(key_bytes, 0);
		for (int k = 0; k < 2; k++) {
			struct sealed sealed;
			randomize((uint8_t *)&sealed, sizeof(sealed));
			spw_aead_seal(pair.seal[k], sealed.nonce, sealed.aad, 12, sealed.text,
				      sizeof(sealed.text), sealed.tag);
			assert_true(opens(pair.open[k], sealed));
			for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
				struct sealed flipped = sealed;
				((uint8_t *)&flipped)[bit / 8] ^= (uint8_t)(1u << bit % 8);
				assert_false(opens(pair.open[k], flipped));
			}
			assert_true(opens(pair.open[k], sealed)); /* and nothing is left of it */
		}
		pair_destroy(&pair);
	}
}

/* ---- what is prefetched --------------------------------------------------------------------- */

/* A packet is sealed right with a key of which only the pieces are left that are prefetched. */
static void pieces_suffice(void **state)
{
	static uint8_t in[BYTES_MAX], out[BYTES_MAX];
	uint8_t raw[32], right[SPW_ICV_BYTES], tag[SPW_ICV_BYTES];
	const uint8_t nonce[SPW_NONCE_BYTES] = {1}, aad[8] = {2};

	(void)state;
	randomize(raw, sizeof(raw));
	for (uint32_t key_bytes = 16; key_bytes <= 32; key_bytes += 16) {
		struct spw_aead *whole = create("ipsec-mb", 0, raw, key_bytes, true);
		for (uint32_t bytes = 1; bytes <= BYTES_MAX; bytes += bytes < 2200 ? 1 : 97) {
			uint32_t step = bytes / SPW_AEAD_STEP_BYTES;
			uint32_t pieces =
				spw_aead_layout
					.pieces[step < SPW_AEAD_STEPS ? step : SPW_AEAD_STEPS - 1];
			struct spw_aead *part = spw_aead_create(0, raw, key_bytes, true);
			uint8_t *front = spw_aead_front(part, spw_aead_layout.key_bytes);
			uint32_t pieces_cnt =
				(uint32_t)spw_aead_layout.key_bytes / SPW_AEAD_PIECE_BYTES;
			for (uint32_t n = 0; n < pieces_cnt; n++) {
				if (!(pieces & 1u << n))
					randomize(front + n * SPW_AEAD_PIECE_BYTES,
						  SPW_AEAD_PIECE_BYTES);
			}
			memcpy(out, in, bytes);
			spw_aead_seal(whole, nonce, aad, 8, out, bytes, right);
			memcpy(out, in, bytes);
			spw_aead_seal(part, nonce, aad, 8, out, bytes, tag);
			assert_memory_equal(tag, right, sizeof(tag));
			spw_aead_prefetch(part, bytes);
			spw_aead_destroy(part);
		}
		spw_aead_destroy(whole);
	}
}

/* ---- two workers at once -------------------------------------------------------------------- */

struct runner {
	struct spw_aead *seal, *open;
	uint32_t wrong_cnt;
};

static void *run(void *argument)
{
	struct runner *runner = argument;
	uint8_t text[512], tag[SPW_ICV_BYTES], aad[8] = {0}, nonce[SPW_NONCE_BYTES] = {0};

	memset(text, 7, sizeof(text));
	for (uint32_t i = 0; i < 50000; i++) {
		memcpy(nonce, &i, sizeof(i));
		uint32_t bytes = i % sizeof(text);
		spw_aead_seal(runner->seal, nonce, aad, 8, text, bytes, tag);
		bool good = spw_aead_open(runner->open, nonce, aad, 8, text, bytes, tag);
		for (uint32_t k = 0; k < bytes && good; k++)
			good = text[k] == 7;
		if (!good) {
			runner->wrong_cnt++;
			memset(text, 7, sizeof(text));
		}
	}
	return NULL;
}

static void two_workers(void **state)
{
	static const char *const names[] = {"openssl", "ipsec-mb"};
	uint8_t key[16] = {9};
	pthread_t threads[2];

	(void)state;
	for (int name = 0; name < 2; name++) {
		struct runner runners[2] = {0};
		for (uint32_t w = 0; w < 2; w++) {
			runners[w].seal = create(names[name], w, key, sizeof(key), true);
			runners[w].open = create(names[name], w, key, sizeof(key), false);
		}
		for (uint32_t w = 0; w < 2; w++)
			assert_int_equal(pthread_create(&threads[w], NULL, run, &runners[w]), 0);
		for (uint32_t w = 0; w < 2; w++) {
			pthread_join(threads[w], NULL);
			assert_int_equal(runners[w].wrong_cnt, 0);
			spw_aead_destroy(runners[w].seal);
			spw_aead_destroy(runners[w].open);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(library_absent),     cmocka_unit_test(unknown_provider),
		cmocka_unit_test(library_not_copied), cmocka_unit_test(choices),
		cmocka_unit_test(every_length),       cmocka_unit_test(every_bit),
		cmocka_unit_test(pieces_suffice),     cmocka_unit_test(two_workers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
