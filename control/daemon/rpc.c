/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/rpc.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/daemon/methods.h"

#define GROUP_NAME "spillway"
#define LISTEN_BACKLOG 64
#define READ_BYTES_MAX (1u << 20) /* taken from the socket at once */
#define LINES_IN_A_ROW 16         /* of one client, before the others have their turn */
#define WRITE_WAIT_S 30           /* a client that reads nothing for so long is cut off */
#define ACCEPT_PAUSE_S 1          /* after accept() failed: out of descriptors, most likely */

struct client {
	LIST_ENTRY(client) entry;
	struct spw_rpc *rpc;
	struct bufferevent *stream;
	size_t searched_bytes; /* of the input: no end of line in them */
	bool ended;            /* nothing more will come */
};

struct spw_rpc {
	struct spw_node *node;
	struct evconnlistener *listener;
	struct event *accept_again;
	struct sockaddr_un address;
	bool has_group;
	gid_t group;
	LIST_HEAD(, client) clients;
	unsigned int clients_cnt;
};

static void client_free(struct client *client)
{
	LIST_REMOVE(client, entry);
	client->rpc->clients_cnt--;
	bufferevent_free(client->stream);
	free(client);
}

static void free_text(const void *data, size_t bytes, void *text)
{
	(void)data;
	(void)bytes;
	free(text);
}

/* Takes over the answer. false: no memory for it. */
static bool client_send(struct client *client, json_t *answer)
{
	struct evbuffer *output = bufferevent_get_output(client->stream);
	char *text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (!text)
		return false;
	size_t bytes = strlen(text);
	text[bytes] = '\n'; /* in the place of the terminator: sent by its length */
	if (evbuffer_add_reference(output, text, bytes + 1, free_text, text) < 0) {
		free(text);
		return false;
	}
	return true;
}

/* The next whole line of the input; -1: none yet. */
static ssize_t line_length(struct client *client, struct evbuffer *input)
{
	struct evbuffer_ptr from;
	if (evbuffer_ptr_set(input, &from, client->searched_bytes, EVBUFFER_PTR_SET) < 0)
		return -1;
	struct evbuffer_ptr end = evbuffer_search(input, "\n", 1, &from);
	if (end.pos < 0)
		client->searched_bytes = evbuffer_get_length(input);
	return end.pos;
}

/* One line, if there is one. false: the client is to be cut off. */
static bool serve_line(struct client *client, bool *served)
{
	struct evbuffer *input = bufferevent_get_input(client->stream);
	ssize_t bytes = line_length(client, input);
	*served = bytes >= 0;
	if (bytes < 0 && evbuffer_get_length(input) > SPW_RPC_LINE_BYTES_MAX) {
		client->ended = true;
		bufferevent_disable(client->stream, EV_READ);
		evbuffer_drain(input, evbuffer_get_length(input));
		return client_send(client, spw_rpc_failure(SPW_RPC_BAD_REQUEST,
							   "the line is longer than 16 MiB; "
							   "expected a smaller batch"));
	}
	if (bytes < 0)
		return true;
	bool good = true;
	const char *line = (const char *)evbuffer_pullup(input, bytes + 1);
	json_t *answer = line ? spw_rpc_answer(client->rpc->node, line, (size_t)bytes) : NULL;
	if (answer)
		good = client_send(client, answer);
	evbuffer_drain(input, (size_t)bytes + 1);
	client->searched_bytes = 0;
	return good && line;
}

/* Answers what has come; may free the client. */
static void client_serve(struct client *client)
{
	struct evbuffer *output = bufferevent_get_output(client->stream);
	bool served = true;
	for (int i = 0; served && i < LINES_IN_A_ROW && evbuffer_get_length(output) == 0; i++) {
		if (!serve_line(client, &served)) {
			client_free(client);
			return;
		}
	}
	if (evbuffer_get_length(output) > 0) /* on_written goes on */
		bufferevent_disable(client->stream, EV_READ);
	else if (client->ended && !served)
		client_free(client);
	else if (served)
		bufferevent_trigger(client->stream, EV_READ,
				    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

static void on_readable(struct bufferevent *stream, void *arg)
{
	(void)stream;
	client_serve(arg);
}

static void on_written(struct bufferevent *stream, void *arg)
{
	struct client *client = arg;
	if (!client->ended)
		bufferevent_enable(stream, EV_READ);
	client_serve(client);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct client *client = arg;
	(void)stream;
	if (what & BEV_EVENT_EOF) { /* it may still read answers */
		client->ended = true;
		client_serve(client);
	} else if (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
		client_free(client);
	}
}

/* ---- who may connect ---------------------------------------------------------------------- */

static bool in_peer_groups(int fd, gid_t group)
{
	socklen_t bytes = 0;
	bool found = false;
	/* The kernel says how much room it wants. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) == 0 || errno != ERANGE)
		return false;
	gid_t *groups = malloc(bytes);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == 0)
		for (size_t i = 0; i < bytes / sizeof(*groups); i++)
			found |= groups[i] == group;
	free(groups);
	return found;
}

static bool is_permitted(const struct spw_rpc *rpc, int fd)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return rpc->has_group && (peer.gid == rpc->group || in_peer_groups(fd, rpc->group));
}

/* Says why, and hangs up. The socket's buffer is empty, so this never blocks. */
static void turn_away(int fd, const char *why)
{
	json_t *answer = spw_rpc_failure(SPW_RPC_REFUSED, why);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	if (text) {
		size_t bytes = strlen(text);
		text[bytes] = '\n';
		(void)!send(fd, text, bytes + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	free(text);
	json_decref(answer);
	close(fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int address_bytes, void *arg)
{
	struct spw_rpc *rpc = arg;
	static const struct timeval write_wait = {.tv_sec = WRITE_WAIT_S};
	(void)listener;
	(void)address;
	(void)address_bytes;
	if (!is_permitted(rpc, fd)) {
		turn_away(fd, "not permitted; expected root or a member of the group " GROUP_NAME);
		return;
	}
	if (rpc->clients_cnt >= SPW_RPC_CLIENTS_MAX) {
		turn_away(fd, "64 clients are connected already; expected fewer");
		return;
	}
	struct client *client = calloc(1, sizeof(*client));
	if (client)
		client->stream = bufferevent_socket_new(rpc->node->loop, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client || !client->stream) {
		free(client);
		close(fd);
		return;
	}
	client->rpc = rpc;
	LIST_INSERT_HEAD(&rpc->clients, client, entry);
	rpc->clients_cnt++;
	bufferevent_setcb(client->stream, on_readable, on_written, on_event, client);
	/* One byte more than a line: its end. Reading stops there. */
	bufferevent_setwatermark(client->stream, EV_READ, 0, SPW_RPC_LINE_BYTES_MAX + 1);
	bufferevent_set_max_single_read(client->stream, READ_BYTES_MAX);
	bufferevent_set_timeouts(client->stream, NULL, &write_wait);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
	static const struct timeval pause = {.tv_sec = ACCEPT_PAUSE_S};
	struct spw_rpc *rpc = arg;
	evconnlistener_disable(listener);
	event_add(rpc->accept_again, &pause);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct spw_rpc *rpc = arg;
	(void)fd;
	(void)what;
	evconnlistener_enable(rpc->listener);
}

/* ---- the socket --------------------------------------------------------------------------- */

static int fail_socket(const struct spw_rpc *rpc, struct spw_error *error, const char *what)
{
	int problem = errno ? errno : ENOMEM;
	return spw_error_set(error, -problem, (struct spw_place){0}, "cannot %s the socket %s: %s",
			     what, rpc->address.sun_path, strerror(problem));
}

/* Made for the owner alone, opened to the group only once it belongs to the group. */
static int open_socket(struct spw_rpc *rpc, struct spw_error *error)
{
	const char *path = rpc->address.sun_path;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_socket(rpc, error, "make");
	unlink(path);
	mode_t mask = umask(0177);
	int rc = bind(fd, (struct sockaddr *)&rpc->address, sizeof(rpc->address));
	umask(mask);
	if (rc < 0) {
		rc = fail_socket(rpc, error, "bind");
		goto fail;
	}
	if (rpc->has_group && (chown(path, (uid_t)-1, rpc->group) < 0 || chmod(path, 0660) < 0)) {
		rc = fail_socket(rpc, error, "give the group " GROUP_NAME);
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return rc;
}

int spw_rpc_create(struct spw_node *node, struct spw_error *error)
{
	struct spw_rpc *rpc = calloc(1, sizeof(*rpc));
	if (!rpc)
		return spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
	node->rpc = rpc;
	rpc->node = node;
	LIST_INIT(&rpc->clients);
	rpc->address.sun_family = AF_UNIX;
	snprintf(rpc->address.sun_path, sizeof(rpc->address.sun_path), "%s/control.sock",
		 node->run_dir);
	const struct group *group = getgrnam(GROUP_NAME);
	if (group) {
		rpc->has_group = true;
		rpc->group = group->gr_gid;
	}

	int fd = open_socket(rpc, error), rc = fd;
	if (fd < 0)
		goto fail;
	rpc->accept_again = evtimer_new(node->loop, on_accept_again, rpc);
	rpc->listener = evconnlistener_new(node->loop, on_accept, rpc,
					   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
					   LISTEN_BACKLOG, fd);
	if (!rpc->accept_again || !rpc->listener) {
		rc = fail_socket(rpc, error, "listen on");
		if (!rpc->listener)
			close(fd);
		goto fail;
	}
	evconnlistener_set_error_cb(rpc->listener, on_accept_failed);
	return 0;
fail:
	spw_rpc_destroy(node);
	return rc;
}

void spw_rpc_destroy(struct spw_node *node)
{
	struct spw_rpc *rpc = node->rpc;
	if (!rpc)
		return;
	while (!LIST_EMPTY(&rpc->clients))
		client_free(LIST_FIRST(&rpc->clients));
	if (rpc->listener) {
		evconnlistener_free(rpc->listener);
		unlink(rpc->address.sun_path);
	}
	if (rpc->accept_again)
		event_free(rpc->accept_again);
	free(rpc);
	node->rpc = NULL;
}
