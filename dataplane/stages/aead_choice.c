/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead_choice.c - which provider makes the keys, and how that is found out. Main thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#include "dataplane/arena.h"
#include "dataplane/stages/aead_provider.h"

#define SIZES 3u
static const uint32_t sizes_bytes[SIZES] = {64, 512, 1408};

/*
 * A burst takes some microseconds, so that most are not interrupted, and the shortest of 64 was
 * not: with a busy neighbour on the core the minimum of 64 differed by 2 % from that of 4000.
 * OpenSSL needs 2 ms for all of it.
 */
#define BURST_PACKETS 8u
#define BURSTS 64u

static const struct spw_aead_provider *in_use = &spw_aead_openssl;
static uint32_t workers_loaded = UINT32_MAX; /* OpenSSL does not care */

struct spw_aead_layout spw_aead_layout = {
	.key_bytes = SPW_AEAD_OPENSSL_BYTES,
};

const char *spw_aead_provider(void)
{
	return in_use->name;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static const struct spw_aead_provider *provider_of(const struct spw_aead *aead)
{
	return aead->direct ? &spw_aead_ipsec_mb : &spw_aead_openssl;
}

bool spw_aead_init(struct spw_aead *aead, uint32_t worker, const uint8_t *key, uint32_t key_bytes,
		   bool encrypt)
{
	if ((key_bytes != 16 && key_bytes != 32) || worker >= workers_loaded)
		return false;
	return in_use->init(aead, worker, key, key_bytes, encrypt);
}

void *spw_aead_fini(struct spw_aead *aead)
{
	const struct spw_aead_provider *provider = provider_of(aead);

	provider->fini(aead);
	return spw_aead_front(aead, provider->key_bytes);
}

static struct spw_aead *create(const struct spw_aead_provider *provider, uint32_t worker,
			       const uint8_t *key, uint32_t key_bytes, bool encrypt)
{
	uint8_t *front = spw_arena_alloc(provider->key_bytes + sizeof(struct spw_aead));

	if (!front)
		return NULL;
	struct spw_aead *aead = (struct spw_aead *)(front + provider->key_bytes);
	if (!provider->init(aead, worker, key, key_bytes, encrypt)) {
		spw_arena_free(front);
		return NULL;
	}
	return aead;
}

struct spw_aead *spw_aead_create(uint32_t worker, const uint8_t *key, uint32_t key_bytes,
				 bool encrypt)
{
	if ((key_bytes != 16 && key_bytes != 32) || worker >= workers_loaded)
		return NULL;
	return create(in_use, worker, key, key_bytes, encrypt);
}

void spw_aead_destroy(struct spw_aead *aead)
{
	if (aead)
		spw_arena_free(spw_aead_fini(aead));
}

/* ---- is it right, and how fast is it? ------------------------------------------------------- */

/* Seals so many bytes under a fixed key and opens them again, and once more with a wrong tag. */
static bool round_trip(const struct spw_aead_provider *provider, uint32_t worker,
		       uint32_t key_bytes, uint8_t *text, uint32_t bytes,
		       uint8_t tag[SPW_ICV_BYTES])
{
	static const uint8_t key[32] = "an example's key, nobody's own";
	static const uint8_t nonce[SPW_NONCE_BYTES] = "its nonce", aad[12] = "header";
	uint8_t plain[SPW_AEAD_STEP_BYTES * 2] = {0}, opened[sizeof(plain)];
	bool good = false;

	struct spw_aead *seal = create(provider, worker, key, key_bytes, true);
	struct spw_aead *open = create(provider, worker, key, key_bytes, false);
	if (!seal || !open)
		goto destroy;
	memcpy(text, plain, bytes);
	good = spw_aead_seal(seal, nonce, aad, sizeof(aad), text, bytes, tag);
	memcpy(opened, text, bytes);
	good = good && spw_aead_open(open, nonce, aad, sizeof(aad), opened, bytes, tag) &&
	       memcmp(opened, plain, bytes) == 0;
	memcpy(opened, text, bytes);
	tag[0] ^= 1;
	good = good && !spw_aead_open(open, nonce, aad, sizeof(aad), opened, bytes, tag);
	tag[0] ^= 1;
destroy:
	spw_aead_destroy(seal);
	spw_aead_destroy(open);
	return good;
}

/* Whether it gives what OpenSSL gives. Also wakes it wholly: what it reads and allocates at its
 * first use it must read and allocate before privileges are gone. */
static bool works(const struct spw_aead_provider *provider, uint32_t workers)
{
	static const uint32_t lengths[] = {1, 16, 77, SPW_AEAD_STEP_BYTES * 2};
	uint8_t text[2][SPW_AEAD_STEP_BYTES * 2], tag[2][SPW_ICV_BYTES];

	for (uint32_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
		for (uint32_t key_bytes = 16; key_bytes <= 32; key_bytes += 16) {
			if (!round_trip(&spw_aead_openssl, 0, key_bytes, text[0], lengths[k],
					tag[0]))
				return false;
			for (uint32_t w = 0; w < workers; w++) {
				if (!round_trip(provider, w, key_bytes, text[1], lengths[k],
						tag[1]) ||
				    memcmp(text[0], text[1], lengths[k]) != 0 ||
				    memcmp(tag[0], tag[1], SPW_ICV_BYTES) != 0)
					return false;
			}
		}
	}
	return true;
}

/* Cycles for a packet of each size, with one key and one buffer, both in the cache: what tells the
 * providers apart is arithmetic and calls. */
static int measure(const struct spw_aead_provider *provider, uint32_t cycles[SIZES])
{
	static uint8_t text[1408 + SPW_ICV_BYTES];
	static const uint8_t key[16];
	uint8_t nonce[SPW_NONCE_BYTES] = {0}, aad[8] = {0};

	struct spw_aead *aead = create(provider, 0, key, sizeof(key), true);
	if (!aead)
		return -ENOMEM;
	for (uint32_t k = 0; k < SIZES; k++) {
		uint64_t least = UINT64_MAX;
		for (uint32_t burst = 0; burst < BURSTS; burst++) {
			uint64_t start = rte_rdtsc();
			for (uint32_t i = 0; i < BURST_PACKETS; i++)
				spw_aead_seal(aead, nonce, aad, sizeof(aad), text, sizes_bytes[k],
					      text + sizes_bytes[k]);
			uint64_t took = rte_rdtsc() - start;
			least = took < least ? took : least;
		}
		cycles[k] = (uint32_t)(least / BURST_PACKETS);
	}
	spw_aead_destroy(aead);
	return 0;
}

/* ---- the choice ----------------------------------------------------------------------------- */

static void use(const struct spw_aead_provider *provider, uint32_t workers)
{
	in_use = provider;
	workers_loaded = workers;
	spw_aead_layout.key_bytes = provider->key_bytes;
	provider->learn_pieces(spw_aead_layout.pieces);
}

/* Takes the faster one. note: what else there is to say, or "". */
static int compare(uint32_t workers, const char *note, char *why, unsigned int why_bytes)
{
	uint32_t other[SIZES], openssl[SIZES];
	uint64_t other_sum = 0, openssl_sum = 0;

	if (measure(&spw_aead_ipsec_mb, other) != 0 || measure(&spw_aead_openssl, openssl) != 0)
		return -ENOMEM;
	for (uint32_t k = 0; k < SIZES; k++) {
		other_sum += other[k];
		openssl_sum += openssl[k];
	}
	if (other_sum < openssl_sum)
		use(&spw_aead_ipsec_mb, workers);
	snprintf(why, why_bytes,
		 "ipsec-mb needs %u, %u and %u cycles for %u, %u and %u bytes, openssl %u, %u and "
		 "%u%s%s",
		 other[0], other[1], other[2], sizes_bytes[0], sizes_bytes[1], sizes_bytes[2],
		 openssl[0], openssl[1], openssl[2], note[0] ? "; " : "", note);
	return 0;
}

int spw_aead_choose(const char *asked, uint32_t workers, char *why, unsigned int why_bytes)
{
	bool automatic = strcmp(asked, "auto") == 0 || asked[0] == '\0';
	char note[120] = "";

	if (!automatic && strcmp(asked, "openssl") != 0 && strcmp(asked, "ipsec-mb") != 0) {
		snprintf(why, why_bytes,
			 "no AEAD provider is called \"%.15s\"; expected auto, openssl or ipsec-mb",
			 asked);
		return -EINVAL;
	}
	use(&spw_aead_openssl, UINT32_MAX);
	if (!works(&spw_aead_openssl, 1)) {
		snprintf(why, why_bytes, "AES-GCM of OpenSSL does not work here");
		return -ENOTSUP;
	}
	snprintf(why, why_bytes, "as configured");
	if (strcmp(asked, "openssl") == 0)
		return 0;

	int error = spw_aead_ipsec_mb.load(workers, note, sizeof(note));
	if (!error && !works(&spw_aead_ipsec_mb, workers)) {
		snprintf(note, sizeof(note), "it does not give the same bytes as openssl here");
		error = -ENOTSUP;
	}
	if (error == -ENOMEM)
		return error;
	if (error) {
		snprintf(why, why_bytes, "%s: %s",
			 automatic ? "ipsec-mb cannot be used"
				   : "ipsec-mb is asked for but cannot be used",
			 note);
		return 0;
	}
	if (automatic)
		return compare(workers, note, why, why_bytes);
	use(&spw_aead_ipsec_mb, workers);
	if (note[0])
		snprintf(why, why_bytes, "as configured; %s", note);
	return 0;
}
