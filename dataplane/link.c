/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/log.h"
#include "dataplane/ports.h"

int spw_link_init(struct spw_link *link, const char *node)
{
	const char *base = secure_getenv("SPW_RUN_DIR");

	*link = (struct spw_link){.fd = -1, .lock_fd = -1};
	int bytes = snprintf(link->path, sizeof(link->path), "%s/%s/dataplane.sock",
			     base ? base : "/run/spillway", node);
	if (bytes < 0 || (size_t)bytes >= sizeof(link->path))
		return -ENAMETOOLONG;
	while (link->instance == 0) {
		if (getrandom(&link->instance, sizeof(link->instance), 0) < 0)
			return -errno;
	}
	return 0;
}

void spw_link_close(struct spw_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->ready = false;
}

int spw_link_lock(struct spw_link *link)
{
	const int folder_chars = (int)(strrchr(link->path, '/') - link->path);
	char path[sizeof(link->path) + sizeof(SPW_HANDOVER_LOCK)];

	snprintf(path, sizeof(path), "%.*s/" SPW_HANDOVER_LOCK, folder_chars, link->path);
	link->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return link->lock_fd < 0 || flock(link->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int check_peer(int fd)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return -errno;
	return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

static int say_hello(struct spw_link *link)
{
	const struct spw_msg_hello hello = {
		.head.type = SPW_MSG_HELLO,
		.handover_version = SPW_HANDOVER_VERSION,
		.layout_version = SPW_LAYOUT_VERSION,
		.instance = link->instance,
		.pid = getpid(),
	};

	return spw_link_send(link, &hello, sizeof(hello));
}

int spw_link_connect(struct spw_link *link)
{
	const struct timeval patience = {.tv_sec = 1};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error;

	memcpy(address.sun_path, link->path, sizeof(link->path));
	link->ready = false;
	link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return -errno;
	if (setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(link->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		error = -errno;
		goto fail;
	}
	error = check_peer(link->fd);
	if (!error)
		error = say_hello(link);
	if (!error)
		return 0;
fail:
	spw_link_close(link);
	return error;
}

ssize_t spw_link_receive(struct spw_link *link, union spw_msg_buffer *buffer, int fds[SPW_MAP_CNT],
			 uint32_t *fds_cnt)
{
	union {
		char bytes[CMSG_SPACE(SPW_MAP_CNT * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {buffer->bytes, sizeof(*buffer)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};

	*fds_cnt = 0;
	ssize_t bytes = recvmsg(link->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (bytes < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		uint32_t cnt = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds + *fds_cnt, CMSG_DATA(c), cnt * sizeof(int));
		*fds_cnt += cnt; /* the buffer has room for SPW_MAP_CNT in all */
	}
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : bytes;
}

int spw_link_send(struct spw_link *link, const void *msg, size_t bytes)
{
	while (send(link->fd, msg, bytes, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

void spw_link_send_failed(struct spw_link *link, const char *text)
{
	struct spw_msg_failed failed = {.head.type = SPW_MSG_FAILED};

	spw_log(SPW_LOG_ERROR, "dataplane", "%s", text);
	snprintf(failed.text, sizeof(failed.text), "%s", text);
	if (link->fd >= 0)
		(void)spw_link_send(link, &failed, sizeof(failed)); /* it ends either way */
}

static bool port_valid(const struct spw_msg_setup *setup, uint32_t i, char *why,
		       unsigned int why_bytes)
{
	const struct spw_msg_port *port = &setup->ports[i];

	if (!memchr(port->ifname, '\0', sizeof(port->ifname)) || !port->ifname[0] ||
	    !memchr(port->device, '\0', sizeof(port->device)) || port->port >= SPW_PORTS_MAX ||
	    port->queues == 0 || port->mtu_bytes == 0 || port->mtu_bytes > UINT16_MAX) {
		snprintf(why, why_bytes, "control's SETUP names an impossible port %u (entry %u)",
			 port->port, i);
		return false;
	}
	for (uint32_t other = 0; other < i; other++) {
		if (setup->ports[other].port == port->port) {
			snprintf(why, why_bytes, "control's SETUP names port %u twice", port->port);
			return false;
		}
	}
	return true;
}

bool spw_setup_valid(const struct spw_msg_setup *setup, size_t bytes, const char *node, char *why,
		     unsigned int why_bytes)
{
	uint32_t ethdevs = 0;

	if (bytes != sizeof(*setup) || setup->head.type != SPW_MSG_SETUP) {
		snprintf(why, why_bytes,
			 "expected control's SETUP of %zu bytes, got a message of type %u and %zu "
			 "bytes: install control and dataplane from one build",
			 sizeof(*setup), bytes >= sizeof(setup->head) ? setup->head.type : 0,
			 bytes);
		return false;
	}
	if (strncmp(setup->node, node, sizeof(setup->node)) != 0) {
		snprintf(why, why_bytes, "control is that of node \"%.31s\", not of \"%s\"",
			 setup->node, node);
		return false;
	}
	if (setup->workers == 0 || setup->workers > SPW_WORKERS_MAX || setup->ports_cnt == 0 ||
	    setup->ports_cnt > SPW_PORTS_MAX) {
		snprintf(why, why_bytes,
			 "control asks for %u workers and %u ports; 1 to %u of both are possible",
			 setup->workers, setup->ports_cnt, SPW_PORTS_MAX);
		return false;
	}
	if (!memchr(setup->aead, '\0', sizeof(setup->aead))) {
		snprintf(why, why_bytes, "control's SETUP names an AEAD provider without an end");
		return false;
	}
	for (uint32_t i = 0; i < setup->ports_cnt; i++) {
		if (!port_valid(setup, i, why, why_bytes))
			return false;
		ethdevs += setup->ports[i].device[0]
				   ? 1
				   : RTE_MIN(setup->ports[i].queues, RTE_MAX_ETHPORTS + 1u);
	}
	if (ethdevs > RTE_MAX_ETHPORTS) {
		snprintf(why, why_bytes,
			 "the kernel interfaces have so many receive queues that with the devices "
			 "%u would have to be opened, at most %u can be: `ethtool -L <interface> "
			 "combined <queues>` gives one fewer",
			 ethdevs, RTE_MAX_ETHPORTS);
		return false;
	}
	return true;
}
