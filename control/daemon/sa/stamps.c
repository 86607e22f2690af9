/* SPDX-License-Identifier: BSD-2-Clause */
/* stamps.c - see stamps.h. */
#include "control/daemon/sa/stamps.h"

#include <endian.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/daemon/log.h"
#include "control/daemon/sa/file.h"

#define FILE_NAME "stamps"
#define WRITE_AFTER_S 1
#define NS_PER_S UINT64_C(1000000000)
/* What may be missing in the file after a crash, and a second more. */
#define LEAP_S (WRITE_AFTER_S + 1)

static const char magic[8] = "SPWSTMP1";

struct row {
	uint8_t peer[SPW_PUBLIC_KEY_BYTES];
	struct spw_tai64n heard;
};
static_assert(sizeof(struct row) == SPW_PUBLIC_KEY_BYTES + SPW_TAI64N_BYTES, "file layout");

struct head {
	char magic[sizeof(magic)];
	uint8_t sum[SPW_FILE_SUM_BYTES]; /* of all behind it, and of what stands before it */
	struct spw_tai64n sent;
	uint32_t rows_cnt; /* host byte order */
};

struct spw_stamps {
	char state_dir[256];
	struct event *timer;
	struct spw_tai64n sent;
	struct row *rows;
	uint32_t rows_cnt, rows_max;
	void *by_peer; /* tsearch(3) tree of rows */
};

static int compare(const void *a, const void *b)
{
	return memcmp(((const struct row *)a)->peer, ((const struct row *)b)->peer,
		      SPW_PUBLIC_KEY_BYTES);
}

/* ---- the file ----------------------------------------------------------------------------- */

static size_t file_bytes(uint32_t rows_cnt)
{
	return sizeof(struct head) + (size_t)rows_cnt * sizeof(struct row);
}

static void sum_of(const struct head *head, uint8_t sum[SPW_FILE_SUM_BYTES])
{
	const uint8_t *from = (const uint8_t *)&head->sent;

	spw_file_sum(from, file_bytes(head->rows_cnt) - offsetof(struct head, sent), sum);
}

static void fill(void *arg, const struct spw_file_stamp *stamp, void *data)
{
	const struct spw_stamps *stamps = arg;
	struct head *head = data;

	(void)stamp;
	*head = (struct head){.sent = stamps->sent, .rows_cnt = stamps->rows_cnt};
	memcpy(head->magic, magic, sizeof(magic));
	memcpy(head + 1, stamps->rows, stamps->rows_cnt * sizeof(*stamps->rows));
	sum_of(head, head->sum);
}

static void write_file(struct spw_stamps *stamps)
{
	int err = spw_file_replace(stamps->state_dir, FILE_NAME, fill, stamps,
				   file_bytes(stamps->rows_cnt));

	if (err < 0)
		spw_log("warning", "sa", "cannot write %s/" FILE_NAME ": %s", stamps->state_dir,
			strerror(-err));
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
	(void)fd, (void)events;
	write_file(arg);
}

static void changed(struct spw_stamps *stamps)
{
	struct timeval time = {.tv_sec = WRITE_AFTER_S};

	if (!evtimer_pending(stamps->timer, NULL))
		evtimer_add(stamps->timer, &time);
}

static struct row *row_new(struct spw_stamps *stamps, const uint8_t *peer)
{
	struct row *row = &stamps->rows[stamps->rows_cnt];

	memcpy(row->peer, peer, SPW_PUBLIC_KEY_BYTES);
	if (!tsearch(row, &stamps->by_peer, compare))
		return NULL;
	stamps->rows_cnt++;
	return row;
}

static int check_file(const struct head *head, size_t bytes)
{
	uint8_t sum[SPW_FILE_SUM_BYTES];

	if (memcmp(head->magic, magic, sizeof(magic)) != 0 || bytes != file_bytes(head->rows_cnt))
		return -EUCLEAN;
	sum_of(head, sum);
	return memcmp(sum, head->sum, sizeof(sum)) == 0 ? 0 : -EUCLEAN;
}

static void take_file(struct spw_stamps *stamps, const struct head *head)
{
	const struct row *rows = (const struct row *)(head + 1);
	uint64_t seconds_be;

	for (uint32_t i = 0; i < head->rows_cnt && i < stamps->rows_max; i++) {
		struct row *row = row_new(stamps, rows[i].peer);
		if (row)
			row->heard = rows[i].heard;
	}
	stamps->sent = head->sent;
	memcpy(&seconds_be, stamps->sent.bytes, sizeof(seconds_be));
	seconds_be = htobe64(be64toh(seconds_be) + LEAP_S);
	memcpy(stamps->sent.bytes, &seconds_be, sizeof(seconds_be));
}

/* 0; -ENOENT: there is none yet; -EUCLEAN: it is damaged. */
static int read_file(struct spw_stamps *stamps)
{
	ssize_t bytes = spw_file_bytes(stamps->state_dir, FILE_NAME);
	struct head *head;
	int err;

	if (bytes < (ssize_t)sizeof(*head))
		return bytes < 0 ? (int)bytes : -EUCLEAN;
	head = malloc((size_t)bytes);
	if (!head)
		return -ENOMEM;
	err = spw_file_read(stamps->state_dir, FILE_NAME, head, (size_t)bytes, NULL);
	if (err == 0)
		err = check_file(head, (size_t)bytes);
	if (err == 0)
		take_file(stamps, head);
	free(head);
	return err;
}

/* ---- life --------------------------------------------------------------------------------- */

int spw_stamps_open(struct event_base *loop, const char *state_dir, uint32_t peers_max,
		    struct spw_stamps **out)
{
	struct spw_stamps *stamps = calloc(1, sizeof(*stamps));
	int err;

	if (!stamps)
		return -ENOMEM;
	stamps->rows_max = peers_max;
	stamps->rows = calloc(peers_max, sizeof(*stamps->rows));
	stamps->timer = evtimer_new(loop, on_timer, stamps);
	snprintf(stamps->state_dir, sizeof(stamps->state_dir), "%s", state_dir);
	if (!stamps->rows || !stamps->timer) {
		spw_stamps_close(stamps);
		return -ENOMEM;
	}
	err = read_file(stamps);
	/* Or two starts within a second would leap to the same stamp. */
	if (err == 0)
		write_file(stamps);
	else if (err != -ENOENT)
		spw_log("warning", "sa",
			"%s/" FILE_NAME " is damaged (%s) and is started anew: a handshake that "
			"somebody recorded may be played once more, to no use",
			state_dir, strerror(-err));
	*out = stamps;
	return 0;
}

void spw_stamps_close(struct spw_stamps *stamps)
{
	if (!stamps)
		return;
	if (stamps->timer && evtimer_pending(stamps->timer, NULL))
		write_file(stamps);
	if (stamps->timer)
		event_free(stamps->timer);
	while (stamps->by_peer)
		tdelete(*(struct row **)stamps->by_peer, &stamps->by_peer, compare);
	free(stamps->rows);
	free(stamps);
}

/* ---- stamps ------------------------------------------------------------------------------- */

struct spw_tai64n spw_stamps_next(struct spw_stamps *stamps)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	spw_tai64n_next(&stamps->sent, (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
	changed(stamps);
	return stamps->sent;
}

/* The one that was heard least recently makes room. */
static struct row *row_oldest(struct spw_stamps *stamps, const uint8_t *peer)
{
	struct row *oldest = &stamps->rows[0];

	for (uint32_t i = 1; i < stamps->rows_cnt; i++)
		if (spw_tai64n_later(&oldest->heard, &stamps->rows[i].heard))
			oldest = &stamps->rows[i];
	tdelete(oldest, &stamps->by_peer, compare);
	memcpy(oldest->peer, peer, SPW_PUBLIC_KEY_BYTES);
	oldest->heard = (struct spw_tai64n){0};
	return tsearch(oldest, &stamps->by_peer, compare) ? oldest : NULL;
}

bool spw_stamps_take(struct spw_stamps *stamps, const uint8_t peer[SPW_PUBLIC_KEY_BYTES],
		     const struct spw_tai64n *stamp)
{
	struct row key, **found, *row;

	memcpy(key.peer, peer, sizeof(key.peer));
	found = tfind(&key, &stamps->by_peer, compare);
	if (found)
		row = *found;
	else if (stamps->rows_cnt < stamps->rows_max)
		row = row_new(stamps, peer);
	else
		row = row_oldest(stamps, peer);
	if (!row || !spw_tai64n_later(stamp, &row->heard))
		return false;
	row->heard = *stamp;
	changed(stamps);
	return true;
}
