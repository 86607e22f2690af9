/* SPDX-License-Identifier: BSD-2-Clause */
/* arena_double.c - dataplane/arena.h on malloc, which counts and can be told to be full. */
#include "tests/unit/dataplane/arena_double.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/arena.h"

#define ALIGN 64u

size_t arena_live_cnt;
int arena_allowed_cnt = -1;

void *spw_arena_alloc(size_t bytes)
{
	if (arena_allowed_cnt == 0)
		return NULL;
	if (arena_allowed_cnt > 0)
		arena_allowed_cnt--;
	/* One line in front holds the length, so that the sanitizer sees the end exactly. */
	char *memory = NULL;
	if (posix_memalign((void **)&memory, ALIGN, ALIGN + bytes) != 0)
		return NULL;
	memcpy(memory, &bytes, sizeof(bytes));
	memset(memory + ALIGN, 0, bytes);
	arena_live_cnt++;
	return memory + ALIGN;
}

/* OpenSSL's own allocator serves it here. */
void spw_arena_nest(void *memory, size_t bytes)
{
	(void)memory, (void)bytes;
}

void spw_arena_free(void *memory)
{
	if (!memory)
		return;
	size_t bytes;
	memcpy(&bytes, (char *)memory - ALIGN, sizeof(bytes));
	explicit_bzero(memory, bytes);
	arena_live_cnt--;
	free((char *)memory - ALIGN);
}
