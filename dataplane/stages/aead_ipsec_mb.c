/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead_ipsec_mb.c - AES-GCM through intel-ipsec-mb's direct calls.
 *
 * The library is loaded when the dataplane starts, so that it may be absent: only its header is
 * needed to build. Of its manager, which also serves much that is not needed here, the few function
 * pointers are kept that it has chosen for this CPU.
 *
 * Before version 1.4 every call stores to a variable that all threads of the process share
 * (`imb_errno`). With 1.3, AES-128 and two cores at work, 107 cycles for 64 bytes became 120 to 136
 * (spw-bench-aead: "library": "shared"); from 512 bytes on it costs two cores nothing, but every
 * further core waits for the same cache line. So every worker but the first has a copy of the
 * library of its own, with which each of two cores needs what one alone does.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <intel-ipsec-mb.h>

#include "dataplane/arena.h"
#include "dataplane/stages/aead_provider.h"
#include "ebpf/tables.h"

#define LIBRARY "libIPSec_MB.so.1"
#define VERSION_WITHOUT_SHARED_ERRNO IMB_VERSION(1, 4, 0)

/* Linux 6.3; kernels before it make every memfd executable and refuse the flag. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static_assert(sizeof(struct gcm_key_data) <= SPW_AEAD_IPSEC_MB_BYTES &&
		      SPW_AEAD_IPSEC_MB_BYTES <= SPW_AEAD_PIECES_MAX * SPW_AEAD_PIECE_BYTES,
	      "raise it");

/* What one copy of the library offers. [0]: 128-bit keys, [1]: 256-bit ones. */
struct calls {
	aes_gcm_pre_t make_key[2];
	spw_aead_direct_fn seal[2], open[2];
	unsigned int version;
};

static struct {
	struct calls calls;
	/* In the arena: what is left in it after a packet would give away the authentication key.
	 * On lines of its own, as the worker writes it with every packet. */
	struct gcm_context_data *context;
} worker[SPW_WORKERS_MAX];
static uint32_t workers_loaded;

/* ---- loading -------------------------------------------------------------------------------- */

/* Fills `calls` from a library that was opened. */
static int take_calls(void *library, struct calls *calls, char *why, unsigned int why_bytes)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	unsigned int (*version)(void) = dlsym(library, "imb_get_version");
	IMB_MGR *(*manager_alloc)(uint64_t) = dlsym(library, "alloc_mb_mgr");
	void (*manager_init)(IMB_MGR *, IMB_ARCH *) = dlsym(library, "init_mb_mgr_auto");
	void (*manager_free)(IMB_MGR *) = dlsym(library, "free_mb_mgr");
	int error = 0;

	if (!version || !manager_alloc || !manager_init || !manager_free) {
		snprintf(why, why_bytes, "%s lacks functions of version %s", LIBRARY,
			 IMB_VERSION_STR);
		return -ELIBBAD;
	}
	IMB_MGR *manager = manager_alloc(0);
	if (!manager)
		return -ENOMEM;
	manager_init(manager, NULL);
	if ((manager->features & needed) != needed || !manager->gcm128_enc) {
		snprintf(why, why_bytes, "this CPU lacks AES-NI or PCLMULQDQ");
		error = -ENOTSUP;
	} else if ((manager->features & IMB_FEATURE_SELF_TEST) &&
		   !(manager->features & IMB_FEATURE_SELF_TEST_PASS)) {
		snprintf(why, why_bytes, "the self-test of %s fails", LIBRARY);
		error = -ENOTSUP;
	}
	*calls = (struct calls){
		.make_key = {manager->gcm128_pre, manager->gcm256_pre},
		.seal = {manager->gcm128_enc, manager->gcm256_enc},
		.open = {manager->gcm128_dec, manager->gcm256_dec},
		.version = version(),
	};
	manager_free(manager);
	return error;
}

/* Copies the file of a loaded library into memory. Returns a descriptor or a negative errno. */
static int copy_file(const char *path)
{
	struct stat stat;
	off_t done = 0;
	int to, error = 0, from = open(path, O_RDONLY | O_CLOEXEC);

	if (from < 0)
		return -errno;
	to = memfd_create(LIBRARY, MFD_CLOEXEC | MFD_EXEC);
	if (to < 0 && errno == EINVAL)
		to = memfd_create(LIBRARY, MFD_CLOEXEC);
	if (to < 0 || fstat(from, &stat) < 0)
		error = -errno;
	while (!error && done < stat.st_size) {
		if (sendfile(to, from, &done, (size_t)(stat.st_size - done)) <= 0)
			error = errno ? -errno : -EIO;
	}
	close(from);
	if (error && to >= 0)
		close(to);
	return error ? error : to;
}

/* Loads the library once more, with variables of its own. The code of the copy, 12 MiB, takes
 * memory too: the loader knows a file again under any name. NULL: `why` says why. */
static void *open_copy(void *library, uint32_t w, char *why, unsigned int why_bytes)
{
	static const char slashes[SPW_WORKERS_MAX + 1] = "////////////////";
	struct link_map *map;
	char path[64];

	int fd = dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 ? copy_file(map->l_name) : -ENOENT;
	if (fd < 0) {
		snprintf(why, why_bytes, "%s", strerror(-fd));
		return NULL;
	}
	/* The loader compares names as well, and descriptors come back: no two names are alike. */
	snprintf(path, sizeof(path), "/proc/self%.*s/fd/%d", (int)w + 1, slashes, fd);
	void *copy = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!copy)
		snprintf(why, why_bytes, "%s", dlerror());
	close(fd); /* else the process could write to its own code */
	return copy;
}

/* One more worker; the first one must be loaded. */
static int load_worker(void *library, uint32_t w, char *why, unsigned int why_bytes)
{
	char reason[80];

	worker[w].context = spw_arena_alloc(sizeof(*worker[w].context));
	if (!worker[w].context)
		return -ENOMEM;
	worker[w].calls = worker[0].calls;
	if (w == 0 || worker[0].calls.version >= VERSION_WITHOUT_SHARED_ERRNO)
		return 0;
	void *copy = open_copy(library, w, reason, sizeof(reason));
	if (!copy)
		/* Slower, not wrong. */
		snprintf(why, why_bytes, "workers share one copy of it: %s", reason);
	return copy ? take_calls(copy, &worker[w].calls, why, why_bytes) : 0;
}

static int ipsec_mb_load(uint32_t workers, char *why, unsigned int why_bytes)
{
	static void *library; /* stays, as its functions are in use */
	int error = 0;

	if (workers == 0 || workers > SPW_WORKERS_MAX)
		return -EINVAL;
	if (!library) {
		library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
		if (!library) {
			snprintf(why, why_bytes, "%s", dlerror());
			return -ENOENT;
		}
	}
	if (workers_loaded == 0)
		error = take_calls(library, &worker[0].calls, why, why_bytes);
	while (!error && workers_loaded < workers) {
		error = load_worker(library, workers_loaded, why, why_bytes);
		workers_loaded += error == 0;
	}
	return error;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static struct gcm_key_data *key_of(struct spw_aead *aead)
{
	return spw_aead_front(aead, SPW_AEAD_IPSEC_MB_BYTES);
}

static bool ipsec_mb_init(struct spw_aead *aead, uint32_t w, const uint8_t *key, uint32_t key_bytes,
			  bool encrypt)
{
	const struct calls *calls = &worker[w].calls;
	uint32_t size = key_bytes == 32;

	calls->make_key[size](key, key_of(aead));
	aead->direct = encrypt ? calls->seal[size] : calls->open[size];
	aead->context = worker[w].context;
	return true;
}

static void ipsec_mb_fini(struct spw_aead *aead)
{
	(void)aead; /* nothing hangs on it */
}

/* ---- which pieces of a key a packet needs --------------------------------------------------- */

static void change_piece(struct spw_aead *aead, uint32_t n)
{
	uint8_t *piece = (uint8_t *)key_of(aead) + (size_t)n * SPW_AEAD_PIECE_BYTES;

	for (uint32_t k = 0; k < SPW_AEAD_PIECE_BYTES; k++)
		piece[k] ^= 0x5a;
}

/* Bit n: with another n-th piece of the key, the tag of a text of so many bytes is another. */
static uint32_t pieces_needed(struct spw_aead *aead, uint32_t bytes)
{
	static uint8_t in[9000], out[9000];
	static const uint8_t nonce[SPW_NONCE_BYTES], aad[12];
	uint8_t right[SPW_ICV_BYTES], tag[SPW_ICV_BYTES];
	uint32_t pieces = 0;

	aead->direct(key_of(aead), aead->context, out, in, bytes, nonce, aad, sizeof(aad), right,
		     SPW_ICV_BYTES);
	for (uint32_t n = 0; n < SPW_AEAD_IPSEC_MB_BYTES / SPW_AEAD_PIECE_BYTES; n++) {
		change_piece(aead, n);
		aead->direct(key_of(aead), aead->context, out, in, bytes, nonce, aad, sizeof(aad),
			     tag, SPW_ICV_BYTES);
		change_piece(aead, n); /* back to what it was */
		if (memcmp(tag, right, sizeof(tag)) != 0)
			pieces |= 1u << n;
	}
	return pieces;
}

/*
 * A key has 11 or 15 round keys and, in front of the end of a table, as many powers of the hash key
 * as a text has blocks, but at most as many as the CPU's version of the code takes at once: 8 with
 * AVX2, where a packet needs 3 of its 8 pieces, up to 48 with AVX-512. Tried rather than known: it
 * takes 2 ms.
 */
static void learn_pieces(uint32_t pieces[SPW_AEAD_STEPS])
{
	static const uint32_t within[] = {1, 33, 65, 97, 127};
	static const uint8_t raw[32] = "an example's key, nobody's own";
	static alignas(SPW_AEAD_LINE_BYTES) struct {
		uint8_t key[SPW_AEAD_IPSEC_MB_BYTES];
		struct spw_aead aead;
	} at;

	for (uint32_t variant = 0; variant < 4; variant++) {
		ipsec_mb_init(&at.aead, 0, raw, variant & 1 ? 32 : 16, variant & 2);
		for (uint32_t step = 0; step < SPW_AEAD_STEPS; step++) {
			for (uint32_t k = 0; k < sizeof(within) / sizeof(within[0]); k++)
				pieces[step] |= pieces_needed(&at.aead, step * SPW_AEAD_STEP_BYTES +
										within[k]);
		}
		pieces[SPW_AEAD_STEPS - 1] |= pieces_needed(&at.aead, 9000);
	}
}

static void ipsec_mb_learn_pieces(uint32_t pieces[SPW_AEAD_STEPS])
{
	static uint32_t learned[SPW_AEAD_STEPS];

	if (learned[0] == 0)
		learn_pieces(learned);
	memcpy(pieces, learned, sizeof(learned));
}

const struct spw_aead_provider spw_aead_ipsec_mb = {
	.name = "ipsec-mb",
	.load = ipsec_mb_load,
	.init = ipsec_mb_init,
	.fini = ipsec_mb_fini,
	.learn_pieces = ipsec_mb_learn_pieces,
	.key_bytes = SPW_AEAD_IPSEC_MB_BYTES,
};
