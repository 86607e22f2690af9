/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c - connections and the dataplane's life; see link.h. Messages: link_messages.c. */
#include "control/daemon/sa/link.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/daemon/sa/link_private.h"

/* A dataplane says HELLO at once; it may take long to open its ports. */
#define HELLO_SECONDS 5
#define READY_SECONDS 60
#define READS_PER_EVENT 64

/* ---- one connection's end ----------------------------------------------------------------- */

void spw_link_drop(struct spw_link *link)
{
	bool was_ready = link->state == SPW_LINK_READY;

	if (link->fd < 0)
		return;
	event_free(link->readable);
	event_free(link->writable);
	evtimer_del(link->timer);
	close(link->fd);
	link->fd = -1;
	link->state = SPW_LINK_NONE;
	spw_link_answer_all(link, -ECONNRESET);
	if (was_ready)
		link->ops->lost(link->arg);
}

void spw_link_protocol_error(struct spw_link *link, const char *what)
{
	spw_log("error", "link", "dataplane %d: %s; connection closed", link->pid, what);
	spw_link_drop(link);
}

static void on_timeout(evutil_socket_t fd, short events, void *arg)
{
	struct spw_link *link = arg;

	(void)fd, (void)events;
	spw_link_protocol_error(link, link->state == SPW_LINK_READY
					      ? "a request was not answered in time"
					      : "it did not get ready in time");
}

void spw_link_await(struct spw_link *link, unsigned int seconds)
{
	struct timeval time = {.tv_sec = (time_t)seconds};

	evtimer_add(link->timer, &time);
}

/* ---- the process's end -------------------------------------------------------------------- */

static void process_forget(struct spw_link *link)
{
	if (link->ended)
		event_free(link->ended);
	link->ended = NULL;
	if (link->pidfd >= 0)
		close(link->pidfd);
	link->pidfd = -1;
	link->instance = 0;
}

static void on_ended(evutil_socket_t fd, short events, void *arg)
{
	struct spw_link *link = arg;

	(void)fd, (void)events;
	spw_log("info", "link", "dataplane %d has ended", link->pid);
	/* What it said last may still be unread: SA_FINALs, for one. */
	spw_link_read(link, UINT32_MAX);
	spw_link_drop(link);
	process_forget(link);
	spw_grace_workers_gone(link->node->grace, 0);
	link->ops->gone(link->arg);
}

/* Watches the process at the other end of link->fd. 0 or a negative errno. */
static int process_watch(struct spw_link *link, pid_t pid)
{
	int err;

	process_forget(link);
	link->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (link->pidfd < 0)
		return -errno;
	fcntl(link->pidfd, F_SETFD, FD_CLOEXEC);
	link->ended = event_new(link->node->loop, link->pidfd, EV_READ, on_ended, link);
	if (!link->ended || event_add(link->ended, NULL) < 0) {
		err = -ENOMEM;
		process_forget(link);
		return err;
	}
	link->pid = pid;
	return 0;
}

/* ---- connections -------------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
	(void)fd, (void)events;
	spw_link_read(arg, READS_PER_EVENT);
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
	(void)fd, (void)events;
	spw_link_write(arg);
}

/* Whoever may connect may do so without end. */
static void say_turned_away(struct spw_link *link, pid_t pid, const char *why)
{
	if (!spw_log_due(&link->turned_away))
		return;
	spw_log("error", "link", "turned %u connection%s away, the last from process %d: %s",
		link->turned_away.cnt, link->turned_away.cnt == 1 ? "" : "s", pid, why);
	spw_log_paused(&link->turned_away);
}

/* The peer's user may hand us nothing that we must not trust: ours or root. */
static int peer_check(int fd, struct ucred *peer)
{
	socklen_t bytes = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &bytes) < 0)
		return -errno;
	return peer->uid == geteuid() || peer->uid == 0 ? 0 : -EPERM;
}

static int connection_open(struct spw_link *link, int fd)
{
	struct ucred peer = {0};
	char why[64];
	int err = peer_check(fd, &peer);

	if (err < 0) {
		say_turned_away(link, peer.pid, "its user is not ours");
		return err;
	}
	if (link->fd >= 0 || (link->pidfd >= 0 && link->pid != peer.pid)) {
		snprintf(why, sizeof(why), "dataplane %d serves this node", link->pid);
		say_turned_away(link, peer.pid, why);
		return -EBUSY;
	}
	if (link->pidfd < 0) {
		err = process_watch(link, peer.pid);
		if (err < 0)
			return err;
	}
	link->readable = event_new(link->node->loop, fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(link->node->loop, fd, EV_WRITE, on_writable, link);
	if (!link->readable || !link->writable || event_add(link->readable, NULL) < 0) {
		if (link->readable)
			event_free(link->readable);
		if (link->writable)
			event_free(link->writable);
		return -ENOMEM;
	}
	link->fd = fd;
	link->state = SPW_LINK_CONNECTED;
	spw_link_await(link, HELLO_SECONDS);
	return 0;
}

static void on_connection(evutil_socket_t listener, short events, void *arg)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (connection_open(arg, fd) < 0)
		close(fd);
}

void spw_link_greeted(struct spw_link *link, uint64_t instance)
{
	link->instance = instance;
	link->state = SPW_LINK_GREETED;
	/* One serves a node at a time, so the rows of all others are dead. */
	spw_grace_workers_gone(link->node->grace, instance);
	spw_link_await(link, READY_SECONDS);
}

/* ---- creation ----------------------------------------------------------------------------- */

static int listen_on(const struct spw_node *node, struct sockaddr_un *address)
{
	mode_t mask;
	int err, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	address->sun_family = AF_UNIX;
	if ((size_t)snprintf(address->sun_path, sizeof(address->sun_path), "%s/dataplane.sock",
			     node->run_dir) >= sizeof(address->sun_path)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	/* The folder is ours alone and its lock is held: the name belongs to a control that died.
	 */
	unlink(address->sun_path);
	mask = umask(0177);
	err = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	umask(mask);
	if (err == 0 && listen(fd, 4) < 0)
		err = -errno;
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

int spw_link_create(struct spw_node *node, struct spw_keys *keys, const struct spw_link_ops *ops,
		    void *arg, struct spw_link **out, struct spw_error *error)
{
	struct spw_link *link = calloc(1, sizeof(*link));
	struct sockaddr_un address = {0};
	int err = -ENOMEM;

	if (!link)
		goto fail;
	*link = (struct spw_link){.node = node,
				  .keys = keys,
				  .ops = ops,
				  .arg = arg,
				  .fd = -1,
				  .pidfd = -1,
				  .listener = -1};
	link->waiting_end = &link->waiting;
	link->flying_end = &link->flying;
	link->listener = listen_on(node, &address);
	if (link->listener < 0) {
		err = link->listener;
		goto fail_link;
	}
	err = -ENOMEM;
	link->timer = evtimer_new(node->loop, on_timeout, link);
	link->acceptable =
		event_new(node->loop, link->listener, EV_READ | EV_PERSIST, on_connection, link);
	if (!link->timer || !link->acceptable || event_add(link->acceptable, NULL) < 0)
		goto fail_listener;
	*out = link;
	return 0;

fail_listener:
	if (link->timer)
		event_free(link->timer);
	if (link->acceptable)
		event_free(link->acceptable);
	close(link->listener);
fail_link:
	free(link);
fail:
	return spw_error_set(error, err, (struct spw_place){0},
			     "cannot listen for the dataplane on %s/dataplane.sock: %s",
			     node->run_dir, strerror(-err));
}

void spw_link_destroy(struct spw_link *link)
{
	if (!link)
		return;
	if (link->fd >= 0) {
		event_free(link->readable);
		event_free(link->writable);
		close(link->fd);
	}
	spw_link_forget_all(link);
	process_forget(link);
	event_free(link->acceptable);
	event_free(link->timer);
	close(link->listener);
	OPENSSL_cleanse(link->buffer, sizeof(link->buffer));
	free(link);
}

bool spw_link_ready(const struct spw_link *link)
{
	return link && link->state == SPW_LINK_READY;
}

json_t *spw_link_describe(struct spw_node *node)
{
	const struct spw_link *link = node->link;
	json_t *workers, *out = json_object();

	json_object_set_new(out, "connected", json_boolean(spw_link_ready(link)));
	if (!spw_link_ready(link))
		return out;
	json_object_set_new(out, "pid", json_integer(link->pid));
	json_object_set_new(out, "aead", json_string(link->aead));
	json_object_set_new(out, "aead_why", json_string(link->aead_why));
	workers = json_array();
	for (uint32_t i = 0; i < node->workers; i++)
		json_array_append_new(workers, json_pack("{s:i}", "cpu", link->cpus[i]));
	json_object_set_new(out, "workers", workers);
	return out;
}
