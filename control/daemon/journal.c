/* SPDX-License-Identifier: BSD-2-Clause */
/* journal.c - see journal.h: the file. What stands in its lines: journal_ops.c. */
#include "control/daemon/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/daemon/journal_ops.h"
#include "control/daemon/log.h"

#define JOURNAL_TIDY_BYTES (4u << 20)

struct spw_journal {
	int fd;
	size_t bytes;       /* of whole lines */
	size_t start_bytes; /* of the snapshot */
};

static void journal_path(const struct spw_node *node, const char *suffix, char path[128])
{
	snprintf(path, 128, "%s/journal%s", node->run_dir, suffix);
}

/* Writes text and a newline at the end of the file, or nothing. */
static int write_line(int fd, size_t at_bytes, const char *text)
{
	size_t bytes = strlen(text), done = 0;
	int err = 0;

	while (done < bytes + 1) {
		ssize_t wrote =
			done < bytes ? write(fd, text + done, bytes - done) : write(fd, "\n", 1);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			err = wrote < 0 ? -errno : -EIO;
			break;
		}
		done += (size_t)wrote;
	}
	/* A torn line in the middle would make the file unreadable, if this fails too. */
	if (err < 0 && ftruncate(fd, (off_t)at_bytes) < 0)
		spw_log("error", "journal", "a torn line stays in it: %s", strerror(errno));
	return err;
}

static char *snapshot_text(struct spw_node *node)
{
	json_t *snapshot = spw_journal_snapshot(node);
	char *text = snapshot ? json_dumps(snapshot, JSON_COMPACT) : NULL;

	json_decref(snapshot);
	return text;
}

int spw_journal_start(struct spw_node *node, struct spw_error *error)
{
	struct spw_place nowhere = {0};
	char path[128], fresh[128];
	struct spw_journal *journal = calloc(1, sizeof(*journal));
	char *text = snapshot_text(node);
	int err = -ENOMEM;

	journal_path(node, "", path);
	journal_path(node, ".new", fresh);
	if (!journal || !text)
		goto fail_memory;
	journal->fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	err = -errno;
	if (journal->fd < 0)
		goto fail_memory;
	err = write_line(journal->fd, 0, text);
	if (err < 0)
		goto fail_file;
	if (rename(fresh, path) < 0) {
		err = -errno;
		goto fail_file;
	}
	journal->bytes = journal->start_bytes = strlen(text) + 1;
	free(text);
	spw_journal_close(node);
	node->journal = journal;
	return 0;

fail_file:
	unlink(fresh);
	close(journal->fd);
fail_memory:
	free(text);
	free(journal);
	return spw_error_set(error, err, nowhere, "cannot write %s: %s", fresh, strerror(-err));
}

void spw_journal_close(struct spw_node *node)
{
	if (!node->journal)
		return;
	close(node->journal->fd);
	free(node->journal);
	node->journal = NULL;
}

void spw_journal_tidy(struct spw_node *node)
{
	const struct spw_journal *journal = node->journal;
	struct spw_error error = {0};

	/* Not before it has doubled, however many tunnels the snapshot names. */
	if (!journal || journal->bytes < JOURNAL_TIDY_BYTES + 2 * journal->start_bytes)
		return;
	if (spw_journal_start(node, &error) < 0)
		spw_log("warning", "journal", "%s; the old one goes on growing", error.text);
}

int spw_journal_append(struct spw_node *node, const struct spw_op *ops, uint32_t ops_cnt,
		       struct spw_error *error)
{
	struct spw_journal *journal = node->journal;
	struct spw_place nowhere = {0};
	json_t *line = spw_journal_line(node, ops, ops_cnt);
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	int err = -ENOMEM;

	if (text)
		err = write_line(journal->fd, journal->bytes, text);
	if (err == 0)
		journal->bytes += strlen(text) + 1;
	else
		spw_error_set(error, err, nowhere,
			      "cannot write %s/journal: %s; nothing was changed", node->run_dir,
			      strerror(-err));
	free(text);
	json_decref(line);
	return err;
}

/* ---- reading ------------------------------------------------------------------------------ */

static char *read_whole(const char *path, size_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat stat;
	size_t done = 0;
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &stat) < 0 || !(text = malloc((size_t)stat.st_size + 1)))
		err = errno;
	while (err == 0 && done < (size_t)stat.st_size) {
		ssize_t got = read(fd, text + done, (size_t)stat.st_size - done);
		if (got < 0 && errno != EINTR)
			err = errno;
		if (got == 0)
			break;
		done += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	if (err) {
		free(text);
		errno = err;
		return NULL;
	}
	*bytes = done;
	return text;
}

json_t *spw_journal_read(const struct spw_node *node, struct spw_error *error)
{
	struct spw_place place = {0};
	char path[128];
	size_t bytes = 0;
	json_t *lines = json_array();
	char *text, *at, *end;

	journal_path(node, "", path);
	text = read_whole(path, &bytes);
	if (!text || !lines) {
		int err = lines ? -errno : -ENOMEM;
		spw_error_set(error, err, place, "%s: %s", path, strerror(-err));
		goto fail;
	}
	for (at = text; (end = memchr(at, '\n', bytes - (size_t)(at - text))); at = end + 1) {
		json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
		place.line++;
		if (json_array_append_new(lines, line) < 0) {
			spw_error_set(error, -EUCLEAN, place, "%s: line %d is damaged", path,
				      place.line);
			goto fail;
		}
	}
	if (json_array_size(lines) == 0) {
		spw_error_set(error, -EUCLEAN, place, "%s is empty", path);
		goto fail;
	}
	free(text);
	return lines;

fail:
	free(text);
	json_decref(lines);
	return NULL;
}
