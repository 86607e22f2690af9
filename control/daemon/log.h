/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - one line to stderr, "level area: text", for people and for whatever collects it.
 *
 * Levels: "error", "warning", "info". Never a key, never once per packet. Control's thread only.
 */
#ifndef SPW_LOG_H
#define SPW_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "control/clock.h"

__attribute__((format(printf, 3, 4))) static inline void
spw_log(const char *level, const char *area, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "%s %s: %s\n", level, area, text);
}

/* Of a line about what others can bring about as often as they like. Starts as zeros. */
struct spw_log_pause {
	uint64_t written_ms; /* when the line was written last, 0: never */
	uint32_t cnt;        /* what has happened since */
};
#define SPW_LOG_PAUSE_MS 60000u

/* Once more. True: write the line now, about pause->cnt, and call spw_log_paused then. */
static inline bool spw_log_due(struct spw_log_pause *pause)
{
	pause->cnt++;
	return pause->written_ms == 0 || spw_now_ms() - pause->written_ms >= SPW_LOG_PAUSE_MS;
}

static inline void spw_log_paused(struct spw_log_pause *pause)
{
	*pause = (struct spw_log_pause){.written_ms = spw_now_ms()};
}

#endif
