/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drops_table.c - prints docs/drops.md from ebpf/drops.h. The test `drops` compares the two; after
 * a change of the list: build/tests/docs/drops_table > docs/drops.md
 */
#include <stdio.h>

#include "ebpf/drops.h"

int main(void)
{
	puts("# Why packets are dropped\n\n"
	     "Every packet that is ours is transmitted, passed to the kernel or counted under exactly\n"
	     "one of these reasons. `spillway drops` shows the counts. Made from `ebpf/drops.h`.\n\n"
	     "| reason | where | meaning |\n|---|---|---|");
#define ROW(id, name, where, text) puts("| `" name "` | " where " | " text " |");
	SPW_DROP_LIST(ROW)
#undef ROW
	return 0;
}
