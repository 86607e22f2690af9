/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture.h - the frames of a capture file, in memory, and when they are due.
 *
 * Files are of the classic pcap format, of either byte order, with times in micro- or nanoseconds.
 *
 * Who owns the memory: spw_capture_read to spw_capture_free. Thread: main reads, the sender uses
 * it.
 */
#ifndef SPW_CAPTURE_H
#define SPW_CAPTURE_H

#include <stdint.h>

#define SPW_CAPTURE_FRAME_BYTES_MAX 1792u /* what AF_XDP's frames hold */

struct spw_capture_frame {
	uint64_t time_ns; /* since the first one; never less than the one before */
	const uint8_t *data;
	uint32_t bytes;
};

struct spw_capture {
	uint32_t frames_cnt;
	struct spw_capture_frame *frame;
	uint64_t span_ns;  /* of one round: to the last frame, and one mean gap */
	double mean_bytes; /* of what is behind the Ethernet headers */
	uint8_t *file;
};

/* 0, or a negative errno with a sentence that names the file and the frame. */
int spw_capture_read(const char *path, struct spw_capture *capture, char *why,
		     unsigned int why_bytes);
void spw_capture_free(struct spw_capture *capture);

/* When frame `index` is due after the start, round after round, at `speed` times its own timing. */
double spw_capture_due_ns(const struct spw_capture *capture, uint64_t index, double speed);

#endif
