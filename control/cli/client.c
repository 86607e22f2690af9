/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/cli/client.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/cli/error.h"

#define ANSWER_BYTES_MAX (16u << 20) /* docs/control-api.md: one object to a line, 16 MiB */
#define ANSWER_WAIT_S 60

static const char *run_dir(void)
{
	const char *dir = getenv("SPW_RUN_DIR");
	return dir && *dir ? dir : "/run/spillway";
}

static int node_connect(const char *node)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s/control.sock",
			      run_dir(), node);
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int saved = errno;
		close(fd);
		return -saved;
	}
	return fd;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(((const struct spw_running *)a)->name, ((const struct spw_running *)b)->name);
}

/* The kernel's word on who listens there. */
static pid_t peer_pid(int fd)
{
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

int spw_nodes_find(struct spw_running *nodes, size_t nodes_max)
{
	size_t cnt = 0;
	int refused = 0;

	DIR *dir = opendir(run_dir());
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *entry; cnt < nodes_max && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(nodes->name))
			continue;
		int fd = node_connect(entry->d_name);
		if (fd == -EACCES)
			refused = -EACCES;
		if (fd < 0)
			continue;
		memcpy(nodes[cnt].name, entry->d_name, strlen(entry->d_name) + 1);
		nodes[cnt++].pid = peer_pid(fd);
		close(fd);
	}
	closedir(dir);
	qsort(nodes, cnt, sizeof(*nodes), name_compare);
	return cnt == 0 ? refused : (int)cnt;
}

static int names_join(const struct spw_running *nodes, int cnt, char *text, size_t text_bytes)
{
	int length = snprintf(text, text_bytes, "--node with ");
	for (int i = 0; i < cnt && (size_t)length < text_bytes; i++)
		length += snprintf(text + length, text_bytes - length, "%s%.31s",
				   i == 0        ? ""
				   : i + 1 < cnt ? ", "
						 : " or ",
				   nodes[i].name);
	return length;
}

static json_t *not_allowed(void)
{
	return spw_error_make(SPW_ERROR_REFUSED, "to be root, or a member of the group spillway",
			      "may not speak to the nodes in %s", run_dir());
}

static int open_only(json_t **error)
{
	struct spw_running nodes[SPW_NODES_MAX];
	char expected[SPW_NODES_MAX * 34 + 16];
	int cnt = spw_nodes_find(nodes, SPW_NODES_MAX);

	if (cnt == 1) {
		int fd = node_connect(nodes[0].name);
		if (fd >= 0)
			return fd;
		cnt = 0; /* it went away in between */
	}
	if (cnt == -EACCES) {
		*error = not_allowed();
	} else if (cnt < 0) {
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "cannot read %s: %s", run_dir(),
					strerror(-cnt));
	} else if (cnt == 0) {
		*error = spw_error_make(SPW_ERROR_REFUSED, "spillway run config.yaml",
					"no node runs on this host");
	} else {
		names_join(nodes, cnt, expected, sizeof(expected));
		*error = spw_error_make(SPW_ERROR_PARAMS, expected,
					"%d nodes run on this host: say which one", cnt);
	}
	return -1;
}

int spw_client_open(const char *node, json_t **error)
{
	struct spw_running nodes[SPW_NODES_MAX];
	char expected[SPW_NODES_MAX * 34 + 16];

	if (!node)
		return open_only(error);

	int fd = node_connect(node);
	if (fd >= 0)
		return fd;
	if (fd == -EACCES) {
		*error = not_allowed();
	} else if (fd == -ENOENT || fd == -ECONNREFUSED || fd == -ENAMETOOLONG) {
		int cnt = spw_nodes_find(nodes, SPW_NODES_MAX);
		if (cnt > 0)
			names_join(nodes, cnt, expected, sizeof(expected));
		*error = spw_error_make(SPW_ERROR_PARAMS,
					cnt > 0 ? expected : "spillway run config.yaml",
					"no node \"%s\" runs on this host", node);
	} else {
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "cannot reach node \"%s\": %s",
					node, strerror(-fd));
	}
	return -1;
}

static int send_all(int fd, const char *bytes, size_t cnt)
{
	while (cnt > 0) {
		ssize_t sent = send(fd, bytes, cnt, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		bytes += sent;
		cnt -= sent;
	}
	return 0;
}

/* Reads one line; *line is the caller's to free. */
static int receive_line(int fd, char **line, size_t *line_bytes)
{
	size_t used = 0, size = 0;
	char *buffer = NULL;

	for (;;) {
		if (used == size) {
			size = size ? size * 2 : 65536;
			char *larger = size <= 2 * ANSWER_BYTES_MAX ? realloc(buffer, size) : NULL;
			if (!larger) {
				free(buffer);
				return -ENOMEM;
			}
			buffer = larger;
		}
		ssize_t got = recv(fd, buffer + used, size - used, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			int failure = got == 0 ? -EPIPE : -errno;
			free(buffer);
			return failure;
		}
		char *end = memchr(buffer + used, '\n', got);
		used += got;
		if (end) {
			*line = buffer;
			*line_bytes = end - buffer;
			return 0;
		}
	}
}

static int exchange(int fd, json_t *request, char **line, size_t *line_bytes)
{
	const struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
	char *text = json_dumps(request, JSON_COMPACT);
	if (!text)
		return -ENOMEM;

	size_t length = strlen(text);
	int failure = length < ANSWER_BYTES_MAX ? 0 : -EMSGSIZE;
	if (!failure) {
		text[length] = '\n'; /* in the place of the terminator: sent by its length */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		failure = send_all(fd, text, length + 1);
	}
	/* A node that refuses while we still send answers first, then closes. */
	if (!failure || failure == -EPIPE || failure == -ECONNRESET)
		failure = receive_line(fd, line, line_bytes);
	free(text);
	return failure;
}

static const char *failure_text(int failure)
{
	switch (failure) {
	case -EPIPE:
	case -ECONNRESET:
		return "the node closed the connection (its log says why; are you root or in the "
		       "group spillway?)";
	case -EAGAIN:
		return "the node did not answer within a minute";
	case -EMSGSIZE:
		return "the request is longer than 16 MiB: split the batch";
	default:
		return strerror(-failure);
	}
}

json_t *spw_client_call(int fd, const char *method, const json_t *params, json_t **error)
{
	char *line = NULL;
	size_t line_bytes = 0;
	json_t *request = json_pack("{s:s, s:i, s:s}", "jsonrpc", "2.0", "id", 1, "method", method);
	if (params)
		json_object_set(request, "params", (json_t *)params);

	int failure = exchange(fd, request, &line, &line_bytes);
	json_decref(request);
	if (failure) {
		*error = spw_error_make(SPW_ERROR_REFUSED, NULL, "%s", failure_text(failure));
		return NULL;
	}

	json_t *answer = json_loadb(line, line_bytes, 0, NULL);
	free(line);
	json_t *result = json_incref(json_object_get(answer, "result"));
	if (!result) {
		*error = json_incref(json_object_get(answer, "error"));
		if (!json_is_object(*error)) {
			json_decref(*error);
			*error = spw_error_make(SPW_ERROR_REFUSED, NULL,
						"the node's answer is no JSON-RPC: is its version "
						"the same as this program's (%s)?",
						SPW_VERSION);
		}
	}
	json_decref(answer);
	return result;
}
