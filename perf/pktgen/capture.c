/* SPDX-License-Identifier: BSD-2-Clause */
/* capture.c - see capture.h. */
#include "perf/pktgen/capture.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/stages/wire.h"

#define MAGIC_US 0xa1b2c3d4u
#define MAGIC_NS 0xa1b23c4du
#define MAGIC_PCAPNG 0x0a0d0d0au
#define FILE_HEADER_BYTES 24u
#define FRAME_HEADER_BYTES 16u
#define LINK_ETHERNET 1u

/* A capture's bytes, and how its numbers are written. */
struct source {
	const char *path;
	const uint8_t *at, *end;
	bool swapped, nanoseconds;
	char *why;
	unsigned int why_bytes;
};

static uint32_t number(const struct source *source, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return source->swapped ? __builtin_bswap32(value) : value;
}

static int read_header(struct source *source)
{
	uint32_t magic = 0, size = (uint32_t)(source->end - source->at);

	if (size >= FILE_HEADER_BYTES)
		memcpy(&magic, source->at, sizeof(magic));
	source->swapped =
		magic == __builtin_bswap32(MAGIC_US) || magic == __builtin_bswap32(MAGIC_NS);
	magic = source->swapped ? __builtin_bswap32(magic) : magic;
	if (magic != MAGIC_US && magic != MAGIC_NS) {
		snprintf(source->why, source->why_bytes, "%s: this is no pcap file%s", source->path,
			 magic == MAGIC_PCAPNG ? " but pcapng; `editcap -F pcap` converts it" : "");
		return -EINVAL;
	}
	source->nanoseconds = magic == MAGIC_NS;
	uint32_t link = number(source, source->at + 20) & 0xffff;
	if (link != LINK_ETHERNET) {
		snprintf(source->why, source->why_bytes,
			 "%s: its link type is %u, expected Ethernet (1)", source->path, link);
		return -EINVAL;
	}
	source->at += FILE_HEADER_BYTES;
	return 0;
}

/* The next frame; frame->time_ns is absolute. */
static int read_frame(struct source *source, uint32_t index, struct spw_capture_frame *frame)
{
	const char *problem = NULL;
	uint32_t bytes = 0, full_bytes = 0;

	if (source->end - source->at < (ptrdiff_t)FRAME_HEADER_BYTES) {
		problem = "the file ends in it";
	} else {
		bytes = number(source, source->at + 8);
		full_bytes = number(source, source->at + 12);
		if (bytes > (uint64_t)(source->end - source->at) - FRAME_HEADER_BYTES)
			problem = "the file ends in it";
		else if (bytes < full_bytes)
			problem =
				"the capture has not all of it (capture with a longer snap length)";
		else if (bytes < SPW_ETHER_BYTES)
			problem = "it has no Ethernet header";
		else if (bytes > SPW_CAPTURE_FRAME_BYTES_MAX)
			problem = "it is longer than 1792 bytes";
	}
	if (problem) {
		snprintf(source->why, source->why_bytes, "%s: frame %u: %s", source->path,
			 index + 1, problem);
		return -EINVAL;
	}
	frame->time_ns =
		number(source, source->at) * UINT64_C(1000000000) +
		(uint64_t)number(source, source->at + 4) * (source->nanoseconds ? 1 : 1000);
	frame->data = source->at + FRAME_HEADER_BYTES;
	frame->bytes = bytes;
	source->at += FRAME_HEADER_BYTES + bytes;
	return 0;
}

static int read_frames(struct source *source, struct spw_capture *capture)
{
	uint64_t first_ns = 0, last_ns = 0, bytes = 0;
	uint32_t room = 0;

	while (source->at < source->end) {
		if (capture->frames_cnt == room) {
			room = room ? 2 * room : 1024;
			void *grown = realloc(capture->frame, room * sizeof(*capture->frame));
			if (!grown) {
				snprintf(source->why, source->why_bytes, "%s: no memory for it",
					 source->path);
				return -ENOMEM;
			}
			capture->frame = grown;
		}
		struct spw_capture_frame *frame = &capture->frame[capture->frames_cnt];
		int error = read_frame(source, capture->frames_cnt, frame);
		if (error)
			return error;
		if (capture->frames_cnt++ == 0)
			first_ns = frame->time_ns;
		/* Captures of several queues may step back a little. */
		uint64_t time_ns = frame->time_ns > first_ns ? frame->time_ns - first_ns : 0;
		last_ns = frame->time_ns = time_ns > last_ns ? time_ns : last_ns;
		bytes += frame->bytes - SPW_ETHER_BYTES;
	}
	if (capture->frames_cnt == 0) {
		snprintf(source->why, source->why_bytes, "%s: there is no frame in it",
			 source->path);
		return -EINVAL;
	}
	capture->mean_bytes = (double)bytes / capture->frames_cnt;
	capture->span_ns = capture->frames_cnt > 1 ? last_ns + last_ns / (capture->frames_cnt - 1)
						   : UINT64_C(1000000000);
	return 0;
}

/* All of a file; NULL with errno set. */
static uint8_t *load(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "re");
	uint8_t *data = NULL;
	struct stat status;

	if (!file)
		return NULL;
	if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode))
		data = malloc((size_t)status.st_size + 1);
	else
		errno = EINVAL;
	if (data)
		*bytes = fread(data, 1, (size_t)status.st_size, file);
	fclose(file);
	return data;
}

int spw_capture_read(const char *path, struct spw_capture *capture, char *why,
		     unsigned int why_bytes)
{
	size_t bytes = 0;

	*capture = (struct spw_capture){.file = load(path, &bytes)};
	if (!capture->file) {
		int error = -errno;
		snprintf(why, why_bytes, "%s: cannot read it: %s", path, strerror(errno));
		return error;
	}
	struct source source = {.path = path,
				.at = capture->file,
				.end = capture->file + bytes,
				.why = why,
				.why_bytes = why_bytes};
	int error = read_header(&source);
	if (!error)
		error = read_frames(&source, capture);
	if (error)
		spw_capture_free(capture);
	return error;
}

void spw_capture_free(struct spw_capture *capture)
{
	free(capture->frame);
	free(capture->file);
	*capture = (struct spw_capture){0};
}

double spw_capture_due_ns(const struct spw_capture *capture, uint64_t index, double speed)
{
	uint64_t round = index / capture->frames_cnt;
	const struct spw_capture_frame *frame = &capture->frame[index % capture->frames_cnt];

	return ((double)round * (double)capture->span_ns + (double)frame->time_ns) / speed;
}
