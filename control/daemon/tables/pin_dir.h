/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pin_dir.h - a node's folder on the bpf filesystem.
 *
 * The folder and the one above it are ours alone, 0700: whoever can write there can put other
 * tables in the place of ours. Private to maps.c. Control's one thread. Errors: negative errno, and
 * a whole sentence in `why`.
 */
#ifndef SPW_PIN_DIR_H
#define SPW_PIN_DIR_H

#include <stddef.h>

/* Makes the folder and the one above it, on a bpf filesystem, or checks those that are there. */
int spw_pin_dir_make(const char *pin_dir, char *why, size_t why_bytes);

/* Unpins all that is in the folder: links, then `meta`, then the rest, so that an interrupted run
 * never leaves tables that look whole. 0 also when there is no such folder. */
int spw_pin_dir_empty(const char *pin_dir, char *why, size_t why_bytes);

#endif
