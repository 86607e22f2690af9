/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/log.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <rte_log.h>

/* A start prints some 10 lines, a failed one perhaps 30; only a fault that repeats says more. */
#define LOG_LINES_PER_S 50u
#define LOG_LINE_BYTES_MAX 600

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static time_t log_second;    /* under log_lock, as the two below */
static uint32_t log_lines;   /* written in this second */
static uint64_t log_dropped; /* left out since the last line that was written */

/* Whether one more line may be written now; says first how many could not. */
static bool log_admit(void)
{
	struct timespec now;
	char line[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != log_second) {
		log_second = now.tv_sec;
		log_lines = 0;
	}
	if (log_lines >= LOG_LINES_PER_S) {
		log_dropped++;
		return false;
	}
	log_lines++;
	if (log_dropped) {
		int bytes = snprintf(line, sizeof(line), "warning log: %llu lines left out\n",
				     (unsigned long long)log_dropped);
		if (write(STDERR_FILENO, line, (size_t)bytes) > 0)
			log_dropped = 0;
	}
	return true;
}

static void log_line(enum spw_log_level level, const char *area, const char *format, va_list args)
{
	static const char *const names[] = {"info", "warning", "error"};
	char line[LOG_LINE_BYTES_MAX];

	size_t used = (size_t)snprintf(line, sizeof(line), "%s %s: ", names[level], area);
	int text = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	used += text < 0 ? 0 : (size_t)text;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	while (used && line[used - 1] == '\n')
		used--;
	line[used++] = '\n';
	pthread_mutex_lock(&log_lock);
	/* One write per line, so that lines of two processes on one terminal do not mix. A stderr
	 * that takes nothing is nobody's to report to. */
	if (log_admit() && write(STDERR_FILENO, line, used) < 0)
		log_dropped++;
	pthread_mutex_unlock(&log_lock);
}

void spw_log(enum spw_log_level level, const char *area, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(level, area, format, args);
	va_end(args);
}

static int log_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN)
		log_line(SPW_LOG_WARNING, "libbpf", format, args);
	return 0;
}

static int log_libxdp(enum libxdp_print_level level, const char *format, va_list args)
{
	/* That our classifier counts no users is on purpose: it stays when the sockets go. */
	if (level == LIBXDP_WARN && !strstr(format, "refcnt"))
		log_line(SPW_LOG_WARNING, "libxdp", format, args);
	return 0;
}

static ssize_t log_dpdk(void *cookie, const char *text, size_t bytes)
{
	(void)cookie;
	spw_log(SPW_LOG_WARNING, "dpdk", "%.*s", (int)bytes, text);
	return (ssize_t)bytes;
}

void spw_log_open(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_dpdk});

	if (stream) {
		setvbuf(stream, NULL, _IOLBF, BUFSIZ);
		rte_openlog_stream(stream);
	}
	rte_log_set_global_level(RTE_LOG_WARNING);
	libbpf_set_print(log_libbpf);
	libxdp_set_print(log_libxdp);
}
