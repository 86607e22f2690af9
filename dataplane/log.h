/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - what the dataplane says, one line each on stderr: "level area: text".
 *
 * What DPDK, libxdp and libbpf print goes the same way, as warnings. Lines above a steady rate are
 * left out and counted, so that no fault can fill a disk. A key never stands in a line.
 *
 * Thread: the main thread. Workers never log; a driver that does so from a worker is taken care of
 * by a lock of its own.
 */
#ifndef SPW_LOG_H
#define SPW_LOG_H

enum spw_log_level { SPW_LOG_INFO, SPW_LOG_WARNING, SPW_LOG_ERROR };

/* Points the libraries' output here. Called once, before any of them is used. */
void spw_log_open(void);

/* area: one word, the part that speaks. The text has no newline at its end. */
void spw_log(enum spw_log_level level, const char *area, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
