/* SPDX-License-Identifier: BSD-2-Clause */
/* keys.c - the locked cells and the key files; see keys.h. */
#include "control/daemon/sa/keys.h"

#include "control/base64.h"
#include "control/daemon/op.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct spw_keys {
	uint8_t *memory;
	size_t bytes;
	uint32_t free_cnt;
	uint32_t *free_cells; /* a stack of cell numbers, outside of the locked memory */
};

int spw_keys_open(struct spw_keys **out, uint32_t cells)
{
	struct spw_keys *keys = calloc(1, sizeof(*keys));
	int err = -ENOMEM;

	if (!keys)
		return -ENOMEM;
	keys->bytes = (size_t)cells * SPW_KEYS_CELL_BYTES;
	keys->free_cells = calloc(cells, sizeof(*keys->free_cells));
	if (!keys->free_cells)
		goto fail_keys;
	keys->memory =
		mmap(NULL, keys->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (keys->memory == MAP_FAILED)
		goto fail_cells;
	if (mlock(keys->memory, keys->bytes) < 0 ||
	    madvise(keys->memory, keys->bytes, MADV_DONTDUMP) < 0 ||
	    madvise(keys->memory, keys->bytes, MADV_WIPEONFORK) < 0) {
		err = -errno;
		goto fail_memory;
	}
	for (uint32_t i = 0; i < cells; i++)
		keys->free_cells[i] = cells - 1 - i;
	keys->free_cnt = cells;
	*out = keys;
	return 0;

fail_memory:
	munmap(keys->memory, keys->bytes);
fail_cells:
	free(keys->free_cells);
fail_keys:
	free(keys);
	return err;
}

void spw_keys_close(struct spw_keys *keys)
{
	if (!keys)
		return;
	OPENSSL_cleanse(keys->memory, keys->bytes);
	munmap(keys->memory, keys->bytes);
	free(keys->free_cells);
	free(keys);
}

void *spw_keys_alloc(struct spw_keys *keys)
{
	if (keys->free_cnt == 0)
		return NULL;
	return keys->memory + (size_t)keys->free_cells[--keys->free_cnt] * SPW_KEYS_CELL_BYTES;
}

void spw_keys_free(struct spw_keys *keys, void *cell)
{
	if (!cell)
		return;
	OPENSSL_cleanse(cell, SPW_KEYS_CELL_BYTES);
	keys->free_cells[keys->free_cnt++] =
		(uint32_t)(((uint8_t *)cell - keys->memory) / SPW_KEYS_CELL_BYTES);
}

/* ---- key files ---------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Without a table: which digit it is must not show in the cache. -1: no hex digit. */
static int hex_value(char c)
{
	int digit = c - '0', letter = (c | 0x20) - 'a';
	int is_digit = -(digit >= 0 && digit <= 9), is_letter = -(letter >= 0 && letter <= 5);

	return (is_digit & digit) | (is_letter & (letter + 10)) | ~(is_digit | is_letter);
}

/* Bytes decoded, or -EINVAL where something is no hex digit or one digit is left over. */
static int hex_decode(const char *text, size_t chars, uint8_t *out, size_t out_bytes)
{
	size_t n = 0;

	while (chars > 0 && is_space(text[chars - 1]))
		chars--;
	while (chars > 0 && is_space(*text))
		text++, chars--;
	if (chars % 2 != 0 || chars / 2 > out_bytes)
		return -EINVAL;
	for (; n < chars / 2; n++) {
		int high = hex_value(text[2 * n]), low = hex_value(text[2 * n + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		out[n] = (uint8_t)(high << 4 | low);
	}
	return (int)n;
}

/* The sizes that would have been right, as digits: "64" or "40 or 72". */
static const char *expected_digits(const unsigned int *lengths, char *text, size_t text_bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (; *lengths && used < text_bytes; lengths++)
		used += (size_t)snprintf(text + used, text_bytes - used, "%s%u", used ? " or " : "",
					 *lengths * 2);
	return text;
}

/* Whose key a sentence is about. */
struct owner {
	char text[SPW_NAME_BYTES + 16];
};

static struct owner owner_of(const char *tunnel)
{
	struct owner owner = {"the node"};

	if (tunnel)
		snprintf(owner.text, sizeof(owner.text), "tunnel \"%s\"", tunnel);
	return owner;
}

static int open_key_file(const char *path, const struct owner *owner, struct spw_place place,
			 struct spw_error *error)
{
	struct stat status;
	int err, fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0) {
		int problem = errno;
		if (fd >= 0)
			close(fd);
		/* ENOENT is what an unknown name gives. */
		return spw_error_set(error, problem == ENOENT ? -ENOKEY : -problem, place,
				     "%s: cannot read the key file %s: %s", owner->text, path,
				     strerror(problem));
	}
	if (!S_ISREG(status.st_mode)) {
		err = spw_error_set(error, -EINVAL, place,
				    "%s: %s is no regular file; expected a file of hex "
				    "digits",
				    owner->text, path);
	} else if (status.st_uid != 0 && status.st_uid != geteuid()) {
		err = spw_error_set(error, -EPERM, place,
				    "%s: the key file %s belongs to user %u; it must "
				    "belong to root or to user %u: chown it",
				    owner->text, path, status.st_uid, geteuid());
	} else if (status.st_mode & 0177) {
		err = spw_error_set(error, -EPERM, place,
				    "%s: the key file %s has mode %04o, so others may "
				    "read it; expected 0600 or 0400: chmod 0600 %s",
				    owner->text, path, status.st_mode & 07777, path);
	} else {
		return fd;
	}
	close(fd);
	return err;
}

/* The file's text in a cell of its own. Returns its characters, or a negative errno. */
static ssize_t read_key_text(struct spw_keys *keys, const char *path, const struct owner *owner,
			     char **text, struct spw_place place, struct spw_error *error)
{
	int err, fd = open_key_file(path, owner, place, error);
	ssize_t chars;

	if (fd < 0)
		return fd;
	*text = spw_keys_alloc(keys);
	if (!*text) {
		close(fd);
		return spw_error_set(error, -ENOSPC, place,
				     "%s: no locked memory is left for its keys", owner->text);
	}
	chars = read(fd, *text, SPW_KEYS_CELL_BYTES);
	err = chars < 0 ? -errno : 0;
	close(fd);
	if (err == 0)
		return chars;
	spw_keys_free(keys, *text);
	return spw_error_set(error, err, place, "%s: cannot read the key file %s: %s", owner->text,
			     path, strerror(-err));
}

int spw_key_file_read(struct spw_keys *keys, const char *path, const unsigned int *lengths,
		      uint8_t *secret, const char *tunnel, struct spw_place place,
		      struct spw_error *error)
{
	struct owner owner = owner_of(tunnel);
	char digits[32];
	char *text;
	ssize_t chars = read_key_text(keys, path, &owner, &text, place, error);
	int bytes, err = 0;

	if (chars < 0)
		return (int)chars;
	bytes = hex_decode(text, (size_t)chars, secret, SPW_KEY_BYTES_MAX + SPW_SALT_BYTES);
	for (const unsigned int *length = lengths; *length; length++)
		if (bytes == (int)*length)
			err = bytes;
	if (err == 0)
		err = spw_error_set(error, -EINVAL, place,
				    "%s: the key file %s does not hold a key; expected "
				    "%s hex digits and nothing else",
				    owner.text, path,
				    expected_digits(lengths, digits, sizeof(digits)));
	spw_keys_free(keys, text);
	return err;
}

int spw_key32_file_read(struct spw_keys *keys, const char *path, uint8_t key[SPW_ROOT_BYTES],
			const char *tunnel, struct spw_place place, struct spw_error *error)
{
	struct owner owner = owner_of(tunnel);
	char *text;
	ssize_t chars = read_key_text(keys, path, &owner, &text, place, error);
	const char *from = text;
	int err = 0;

	if (chars < 0)
		return (int)chars;
	while (chars > 0 && is_space(from[chars - 1]))
		chars--;
	while (chars > 0 && is_space(*from))
		from++, chars--;
	if (!(chars == SPW_KEY_CHARS && spw_key_decode(from, key)) &&
	    hex_decode(from, (size_t)chars, key, SPW_ROOT_BYTES) != (int)SPW_ROOT_BYTES)
		err = spw_error_set(error, -EINVAL, place,
				    "%s: the key file %s does not hold a key; expected %d "
				    "characters of base64, or 64 hex digits, and nothing else",
				    owner.text, path, SPW_KEY_CHARS);
	spw_keys_free(keys, text);
	return err;
}
