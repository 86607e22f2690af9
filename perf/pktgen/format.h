/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * format.h - numbers for people. Pure functions, any thread; they return `text`.
 */
#ifndef SPW_FORMAT_H
#define SPW_FORMAT_H

#include <stdint.h>
#include <stdio.h>

#define SPW_FORMAT_BYTES 32u

/* "812", "50.0 k", "1.49 M" */
static inline const char *spw_format_rate(double value, char text[SPW_FORMAT_BYTES])
{
	const char *units[] = {"", " k", " M", " G", " T"};
	uint32_t unit = 0;

	for (; value >= 9999.5 && unit < 4; unit++)
		value /= 1000;
	snprintf(text, SPW_FORMAT_BYTES, unit ? "%.4g%s" : "%.0f%s", value, units[unit]);
	return text;
}

/* "850 ns", "12.3 us", "4.56 ms" */
static inline const char *spw_format_ns(uint64_t ns, char text[SPW_FORMAT_BYTES])
{
	if (ns < 1000)
		snprintf(text, SPW_FORMAT_BYTES, "%u ns", (unsigned int)ns);
	else if (ns < 1000000)
		snprintf(text, SPW_FORMAT_BYTES, "%.3g us", (double)ns / 1e3);
	else
		snprintf(text, SPW_FORMAT_BYTES, "%.3g ms", (double)ns / 1e6);
	return text;
}

#endif
