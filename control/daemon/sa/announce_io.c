/* SPDX-License-Identifier: BSD-2-Clause */
/* announce_io.c - see announce_io.h. */
#include "control/daemon/sa/announce_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_PER_EVENT 64

struct spw_announce_io {
	spw_announce_receive receive;
	void *arg;
	int fd[2]; /* IPv4, IPv6 (-1: the kernel has none) */
	struct event *readable[2];
};

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
	struct spw_announce_io *io = arg;
	uint8_t data[SPW_ANNOUNCE_BYTES + 1];
	ssize_t n;

	(void)events;
	for (int i = 0; i < READS_PER_EVENT; i++) {
		n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		/* Other errors are those of an announce sent before: the peer's port is closed. */
		if (n > 0)
			io->receive(io->arg, data, (size_t)n);
	}
}

static int bind_socket(int family, uint16_t port)
{
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, err, fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (family == AF_INET)
		err = bind(fd, (const struct sockaddr *)&any4, sizeof(any4));
	else if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		err = -1;
	else
		err = bind(fd, (const struct sockaddr *)&any6, sizeof(any6));
	if (err == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int spw_announce_io_open(struct spw_node *node, spw_announce_receive receive, void *arg,
			 struct spw_announce_io **out, struct spw_error *error)
{
	static const int families[2] = {AF_INET, AF_INET6};
	struct spw_announce_io *io = calloc(1, sizeof(*io));
	int err = -ENOMEM;

	if (!io)
		goto fail;
	*io = (struct spw_announce_io){.receive = receive, .arg = arg, .fd = {-1, -1}};
	for (int i = 0; i < 2; i++) {
		io->fd[i] = bind_socket(families[i], node->listen_port);
		if (io->fd[i] == -EAFNOSUPPORT && i == 1)
			continue;
		err = io->fd[i];
		if (err < 0)
			goto fail_io;
		err = -ENOMEM;
		io->readable[i] =
			event_new(node->loop, io->fd[i], EV_READ | EV_PERSIST, on_readable, io);
		if (!io->readable[i] || event_add(io->readable[i], NULL) < 0)
			goto fail_io;
	}
	*out = io;
	return 0;

fail_io:
	spw_announce_io_close(io);
fail:
	return spw_error_set(error, err, (struct spw_place){0},
			     "cannot open UDP port %u for the tunnels: %s%s", node->listen_port,
			     strerror(-err),
			     err == -EADDRINUSE ? "; stop what uses it (`ss -ulpn`) or choose "
						  "another port with `listen`"
						: "");
}

void spw_announce_io_close(struct spw_announce_io *io)
{
	if (!io)
		return;
	for (int i = 0; i < 2; i++) {
		if (io->readable[i])
			event_free(io->readable[i]);
		if (io->fd[i] >= 0)
			close(io->fd[i]);
	}
	free(io);
}

static int send_from(int fd, struct sockaddr *to, socklen_t to_bytes, int level, int type,
		     const void *info, size_t info_bytes, const struct spw_announce_wire *wire)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = {0};
	struct iovec data = {.iov_base = (void *)wire, .iov_len = sizeof(*wire)};
	struct msghdr msg = {.msg_name = to,
			     .msg_namelen = to_bytes,
			     .msg_iov = &data,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = CMSG_SPACE(info_bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	header->cmsg_level = level;
	header->cmsg_type = type;
	header->cmsg_len = CMSG_LEN(info_bytes);
	memcpy(CMSG_DATA(header), info, info_bytes);
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int spw_announce_io_send(struct spw_announce_io *io, const struct spw_endpoint *from,
			 const struct spw_endpoint *to, const struct spw_announce_wire *wire)
{
	if (to->family == 4) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to->port)};
		struct in_pktinfo info = {0};
		memcpy(&address.sin_addr, to->addr, 4);
		memcpy(&info.ipi_spec_dst, from->addr, 4);
		return send_from(io->fd[0], (struct sockaddr *)&address, sizeof(address),
				 IPPROTO_IP, IP_PKTINFO, &info, sizeof(info), wire);
	}
	if (io->fd[1] < 0)
		return -EAFNOSUPPORT;
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
	struct in6_pktinfo info = {0};
	memcpy(&address.sin6_addr, to->addr, 16);
	memcpy(&info.ipi6_addr, from->addr, 16);
	return send_from(io->fd[1], (struct sockaddr *)&address, sizeof(address), IPPROTO_IPV6,
			 IPV6_PKTINFO, &info, sizeof(info), wire);
}
