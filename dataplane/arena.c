/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/arena.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

/*
 * Blocks of whole granules, each behind a header granule of its own. A freed block goes to the list
 * of its exact size and comes back from there: an SA always asks for the same few sizes, so memory
 * never splinters, and both calls take constant time. Nothing is ever split or joined.
 */
#define GRANULE_BYTES 64u
#define EXACT_GRANULES_MAX 256u /* above, sizes are rounded up to a power of two granules */
#define LARGE_CLASSES 32u
#define CLASSES (EXACT_GRANULES_MAX + LARGE_CLASSES)
#define CLASS_NESTED UINT32_MAX /* lies inside another block, and goes with that */

/*
 * The arena asks for huge pages, and is aligned for them: a packet of one of many tunnels finds its
 * SA's page in no TLB. With 4,096 SAs in random order sealing 64 bytes took 186 cycles in small
 * pages and 156 in huge ones, 512 bytes 470 and 425 (ipsec-mb, keys prefetched; 121 and 378 with 64
 * SAs). Where the kernel has none to give, small pages do.
 */
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

struct block {
	struct block *next; /* while free: next of its class */
	size_t granules;    /* of the payload */
	uint32_t class;
} __attribute__((aligned(GRANULE_BYTES)));

static struct {
	/* OpenSSL may allocate its error queue on a worker's first failure; workers touch it once
	 * before the first packet (worker.c), so no packet ever waits for this lock. */
	pthread_mutex_t lock;
	uint8_t *next; /* first byte never used */
	uint8_t *end;
	struct block *free[CLASSES + 1];
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* See spw_arena_nest. Of the thread that has asked for it alone. */
static _Thread_local struct {
	uint8_t *next, *end;
} nest;

/* The class of a payload; rounds *granules up to the class's size. */
static uint32_t arena_class(size_t *granules)
{
	if (*granules <= EXACT_GRANULES_MAX)
		return (uint32_t)*granules;
	uint32_t shift = 64 - (uint32_t)__builtin_clzll(*granules - 1);
	*granules = 1ull << shift;
	return EXACT_GRANULES_MAX + shift - 8; /* 512 granules are the first of these classes */
}

void *spw_arena_alloc(size_t bytes)
{
	if (bytes == 0 || bytes > SIZE_MAX / 4)
		return NULL;
	size_t granules = (bytes + GRANULE_BYTES - 1) / GRANULE_BYTES;
	uint32_t class = arena_class(&granules);
	if (class > CLASSES)
		return NULL;

	pthread_mutex_lock(&arena.lock);
	struct block *block = arena.free[class];
	if (block) {
		arena.free[class] = block->next;
	} else if ((size_t)(arena.end - arena.next) / GRANULE_BYTES > granules) {
		block = (struct block *)arena.next;
		arena.next += (granules + 1) * GRANULE_BYTES;
		block->granules = granules;
		block->class = class;
	}
	pthread_mutex_unlock(&arena.lock);
	/* Fresh pages are zero, and freed blocks were wiped. */
	return block ? block + 1 : NULL;
}

void spw_arena_free(void *memory)
{
	if (!memory)
		return;
	struct block *block = (struct block *)memory - 1;
	explicit_bzero(memory, block->granules * GRANULE_BYTES);
	if (block->class == CLASS_NESTED)
		return;
	pthread_mutex_lock(&arena.lock);
	block->next = arena.free[block->class];
	arena.free[block->class] = block;
	pthread_mutex_unlock(&arena.lock);
}

void spw_arena_nest(void *memory, size_t bytes)
{
	nest.next = memory;
	nest.end = nest.next + bytes;
}

/* NULL: there is no nest, or no room in it. */
static void *nest_alloc(size_t bytes)
{
	size_t granules = (bytes + GRANULE_BYTES - 1) / GRANULE_BYTES;
	struct block *block = (struct block *)nest.next;

	if (bytes == 0 || (size_t)(nest.end - nest.next) / GRANULE_BYTES <= granules)
		return NULL;
	nest.next += (granules + 1) * GRANULE_BYTES;
	block->granules = granules;
	block->class = CLASS_NESTED;
	return block + 1;
}

static void *openssl_malloc(size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	void *nested = nest_alloc(bytes);
	return nested ? nested : spw_arena_alloc(bytes);
}

static void openssl_free(void *memory, const char *file, int line)
{
	(void)file, (void)line;
	spw_arena_free(memory);
}

static void *openssl_realloc(void *memory, size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	if (!memory)
		return spw_arena_alloc(bytes);
	if (bytes == 0) {
		spw_arena_free(memory);
		return NULL;
	}
	const struct block *block = (struct block *)memory - 1;
	size_t had = block->granules * GRANULE_BYTES;
	if (bytes <= had)
		return memory;
	void *grown = spw_arena_alloc(bytes);
	if (grown) {
		memcpy(grown, memory, had);
		spw_arena_free(memory);
	}
	return grown;
}

int spw_arena_open(size_t bytes)
{
	int error;

	bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
	uint8_t *mapped = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	uint8_t *base = mapped + -(uintptr_t)mapped % HUGE_PAGE_BYTES;
	(void)madvise(base, bytes, MADV_HUGEPAGE);
	/* On fault: a page that no key needed yet costs nothing. The right to lock is checked here,
	 * once, for all of it. */
	if (mlock2(base, bytes, MLOCK_ONFAULT) < 0 || madvise(base, bytes, MADV_DONTDUMP) < 0 ||
	    madvise(base, bytes, MADV_WIPEONFORK) < 0) {
		error = -errno;
		goto fail;
	}
	arena.next = base;
	arena.end = base + bytes;
	if (!CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free)) {
		error = -EALREADY; /* somebody has used OpenSSL before */
		goto fail;
	}
	return 0;
fail:
	arena.next = arena.end = NULL;
	munmap(mapped, bytes + HUGE_PAGE_BYTES);
	return error;
}
