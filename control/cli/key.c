/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * key.c - the node's own key: `spillway key generate` and `spillway key public`.
 *
 * Both work without a running node. A private key is never printed, nor quoted in an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/base64.h"
#include "control/cli/command.h"
#include "control/cli/error.h"

/* The key's text and what may end its line; one more is too many. */
#define FILE_BYTES_MAX (SPW_KEY_CHARS + 2)

static const char expected_key[] =
	"one line with a private key in base64, as \"spillway key generate FILE\" makes it";

static int fail(json_t **error, const char *expected, const char *what, const char *file,
		const char *why)
{
	*error = spw_error_make(SPW_ERROR_REFUSED, expected, "%s %s: %s", what, file, why);
	return -1;
}

/* -1: OpenSSL cannot. */
static int public_of(const uint8_t private[SPW_KEY_BYTES], uint8_t public[SPW_KEY_BYTES])
{
	size_t bytes = SPW_KEY_BYTES;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, SPW_KEY_BYTES);
	int good = key && EVP_PKEY_get_raw_public_key(key, public, &bytes) == 1;

	EVP_PKEY_free(key);
	return good ? 0 : -1;
}

static int print_public(const struct spw_cli *cli, const uint8_t private[SPW_KEY_BYTES],
			json_t **error)
{
	uint8_t public[SPW_KEY_BYTES];
	char text[SPW_KEY_CHARS + 1];

	if (public_of(private, public) < 0) {
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "OpenSSL offers no X25519");
		return SPW_EXIT_FAILED;
	}
	spw_key_encode(public, text);
	printf(cli->json ? "{\"public_key\": \"%s\"}\n" : "%s\n", text);
	return SPW_EXIT_DONE;
}

/* ---- generate ----------------------------------------------------------------------------- */

/* Clamped as RFC 7748 section 5 says, so that every tool shows the same 32 bytes. */
static int make_private(uint8_t private[SPW_KEY_BYTES])
{
	size_t bytes = SPW_KEY_BYTES;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	int good = key && EVP_PKEY_get_raw_private_key(key, private, &bytes) == 1;

	EVP_PKEY_free(key);
	private[0] &= 248;
	private[SPW_KEY_BYTES - 1] = (private[SPW_KEY_BYTES - 1] & 127) | 64;
	return good ? 0 : -1;
}

static int write_line(int fd, const uint8_t private[SPW_KEY_BYTES])
{
	char text[SPW_KEY_CHARS + 1];
	size_t done = 0;
	int err = 0;

	spw_key_encode(private, text);
	text[SPW_KEY_CHARS] = '\n';
	while (err == 0 && done < sizeof(text)) {
		ssize_t n = write(fd, text + done, sizeof(text) - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			err = -errno;
	}
	OPENSSL_cleanse(text, sizeof(text));
	return err == 0 && fsync(fd) < 0 ? -errno : err;
}

/* A name that is lost in a crash would leave peers with the public half of a key that is gone. */
static int sync_folder(const char *file)
{
	const char *slash = strrchr(file, '/');
	char folder[4096];
	int fd, err = 0;

	snprintf(folder, sizeof(folder), "%.*s", slash > file ? (int)(slash - file) : 1, file);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int create_file(const char *file, const uint8_t private[SPW_KEY_BYTES], json_t **error)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return fail(error,
			    errno == EEXIST ? "a new name: a key that peers know is never "
					      "overwritten"
					    : "a file that can be made",
			    "cannot make", file, strerror(errno));
	/* The umask takes bits away, and must not take the owner's. */
	err = fchmod(fd, 0600) < 0 ? -errno : write_line(fd, private);
	if (close(fd) < 0 && err == 0)
		err = -errno;
	if (err == 0)
		err = sync_folder(file);
	if (err == 0)
		return 0;
	unlink(file);
	return fail(error, NULL, "cannot write", file, strerror(-err));
}

int spw_key_generate_run(const struct spw_cli *cli, const struct spw_command *command,
			 const json_t *params, json_t **error)
{
	const char *file = json_string_value(json_object_get(params, "file"));
	uint8_t private[SPW_KEY_BYTES];
	int status = SPW_EXIT_FAILED;

	(void)command;
	if (make_private(private) < 0)
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "OpenSSL offers no X25519");
	else if (create_file(file, private, error) == 0)
		status = print_public(cli, private, error);
	OPENSSL_cleanse(private, sizeof(private));
	return status;
}

/* ---- public ------------------------------------------------------------------------------- */

/* Whom a private key may be readable for: the daemon asks the same of it. */
static int check_file(int fd, const char *file, json_t **error)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return fail(error, NULL, "cannot read", file, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(error, "a regular file, or - for standard input", "cannot read", file,
			    "not a regular file");
	if ((status.st_mode & 07777) != 0600 && (status.st_mode & 07777) != 0400)
		return fail(error, "mode 0600 or 0400: chmod 600 FILE", "will not read", file,
			    "others may have read or changed this private key");
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return fail(error, "a file that belongs to you or to root", "will not read", file,
			    "it belongs to someone else");
	return 0;
}

/* The text of at most one key; cnt: how much there was, FILE_BYTES_MAX: too much. */
static int read_text(int fd, char text[FILE_BYTES_MAX], size_t *cnt)
{
	*cnt = 0;
	while (*cnt < FILE_BYTES_MAX) {
		ssize_t n = read(fd, text + *cnt, FILE_BYTES_MAX - *cnt);
		if (n == 0)
			return 0;
		if (n > 0)
			*cnt += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int read_private(int fd, const char *file, uint8_t private[SPW_KEY_BYTES], json_t **error)
{
	char text[FILE_BYTES_MAX];
	size_t cnt;
	int err = read_text(fd, text, &cnt);
	bool good = err == 0 && (cnt == SPW_KEY_CHARS ||
				 (cnt == SPW_KEY_CHARS + 1 && text[SPW_KEY_CHARS] == '\n'));

	good = good && spw_key_decode(text, private);
	OPENSSL_cleanse(text, sizeof(text));
	if (err < 0)
		return fail(error, NULL, "cannot read", file, strerror(-err));
	return good ? 0 : fail(error, expected_key, "cannot use", file, "there is no key in it");
}

int spw_key_public_run(const struct spw_cli *cli, const struct spw_command *command,
		       const json_t *params, json_t **error)
{
	const char *file = json_string_value(json_object_get(params, "file"));
	bool from_stdin = strcmp(file, "-") == 0;
	int fd = from_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t private[SPW_KEY_BYTES];
	int status = SPW_EXIT_FAILED;

	(void)command;
	if (fd < 0) {
		fail(error, "a file, or - for standard input", "cannot read", file,
		     strerror(errno));
		return status;
	}
	if ((from_stdin || check_file(fd, file, error) == 0) &&
	    read_private(fd, from_stdin ? "standard input" : file, private, error) == 0)
		status = print_public(cli, private, error);
	OPENSSL_cleanse(private, sizeof(private));
	if (!from_stdin)
		close(fd);
	return status;
}
