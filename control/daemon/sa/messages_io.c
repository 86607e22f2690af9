/* SPDX-License-Identifier: BSD-2-Clause */
/* messages_io.c - see messages_io.h. */
#include "control/daemon/sa/messages_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Messages that one call takes, and calls before the loop's other events have their turn: under a
 * flood, a call for each message costs more than the check that refuses it. */
#define MESSAGES_PER_READ 32u
#define READS_PER_EVENT 8

/* Room for what comes while control is busy, some 20 ms of 100,000 messages a second: the kernel
 * counts 768 bytes for each. */
#define RECEIVE_BUFFER_BYTES (2 << 20)

union control_bytes {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct spw_messages_io {
	spw_message_receive receive;
	void *arg;
	int fd[2]; /* IPv4, IPv6 (-1: the kernel has none) */
	struct event *readable[2];
};

static void read_source(struct spw_endpoint *endpoint, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

	*endpoint = (struct spw_endpoint){.family = address->ss_family == AF_INET ? 4 : 6};
	if (endpoint->family == 4) {
		endpoint->port = ntohs(in4->sin_port);
		memcpy(endpoint->addr, &in4->sin_addr, 4);
	} else {
		endpoint->port = ntohs(in6->sin6_port);
		memcpy(endpoint->addr, &in6->sin6_addr, 16);
	}
}

static void read_target(struct spw_endpoint *endpoint, struct msghdr *msg)
{
	struct in_pktinfo info4;
	struct in6_pktinfo info6;

	*endpoint = (struct spw_endpoint){0};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(c), sizeof(info4));
			endpoint->family = 4;
			memcpy(endpoint->addr, &info4.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			endpoint->family = 6;
			memcpy(endpoint->addr, &info6.ipi6_addr, 16);
		}
	}
}

/* Returns how many were read. Errors are those of a message sent before: the peer's port is closed.
 */
static unsigned int read_some(struct spw_messages_io *io, int fd)
{
	uint8_t data[MESSAGES_PER_READ][SPW_MESSAGE_BYTES_MAX + 1];
	struct sockaddr_storage from[MESSAGES_PER_READ];
	union control_bytes control[MESSAGES_PER_READ];
	struct iovec iov[MESSAGES_PER_READ];
	struct mmsghdr msgs[MESSAGES_PER_READ];
	struct spw_message message;
	int cnt, tries = 0;

	for (unsigned int i = 0; i < MESSAGES_PER_READ; i++) {
		iov[i] = (struct iovec){data[i], sizeof(data[i])};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						  .msg_namelen = sizeof(from[i]),
						  .msg_iov = &iov[i],
						  .msg_iovlen = 1,
						  .msg_control = &control[i],
						  .msg_controllen = sizeof(control[i])};
	}
	do {
		cnt = recvmmsg(fd, msgs, MESSAGES_PER_READ, MSG_DONTWAIT, NULL);
	} while (cnt < 0 && errno != EAGAIN && errno != EWOULDBLOCK && ++tries < READS_PER_EVENT);
	for (int i = 0; i < cnt; i++) {
		if (msgs[i].msg_len == 0 || msgs[i].msg_len > SPW_MESSAGE_BYTES_MAX)
			continue;
		message = (struct spw_message){.data = data[i], .bytes = msgs[i].msg_len};
		read_source(&message.from, &from[i]);
		read_target(&message.to, &msgs[i].msg_hdr);
		io->receive(io->arg, &message);
	}
	return cnt < 0 ? 0 : (unsigned int)cnt;
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
	(void)events;
	for (int i = 0; i < READS_PER_EVENT; i++)
		if (read_some(arg, fd) < MESSAGES_PER_READ)
			return;
}

static int bind_socket(int family, uint16_t port)
{
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, bytes = RECEIVE_BUFFER_BYTES;
	int err, fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* Without the capability the system's limit has to do. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (family == AF_INET) {
		err = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
		if (err == 0)
			err = bind(fd, (const struct sockaddr *)&any4, sizeof(any4));
	} else {
		err = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (err == 0)
			err = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
		if (err == 0)
			err = bind(fd, (const struct sockaddr *)&any6, sizeof(any6));
	}
	if (err == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int spw_messages_io_open(struct spw_node *node, spw_message_receive receive, void *arg,
			 struct spw_messages_io **out, struct spw_error *error)
{
	static const int families[2] = {AF_INET, AF_INET6};
	struct spw_messages_io *io = calloc(1, sizeof(*io));
	int err = -ENOMEM;

	if (!io)
		goto fail;
	*io = (struct spw_messages_io){.receive = receive, .arg = arg, .fd = {-1, -1}};
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
	spw_messages_io_close(io);
fail:
	return spw_error_set(error, err, (struct spw_place){0},
			     "cannot open UDP port %u for the tunnels: %s%s", node->listen_port,
			     strerror(-err),
			     err == -EADDRINUSE ? "; stop what uses it (`ss -ulpn`) or choose "
						  "another port with `listen`"
						: "");
}

void spw_messages_io_close(struct spw_messages_io *io)
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
		     const void *info, size_t info_bytes, struct iovec data)
{
	union control_bytes control = {0};
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

int spw_messages_io_send(struct spw_messages_io *io, const struct spw_endpoint *from,
			 const struct spw_endpoint *to, const void *data, size_t bytes)
{
	struct iovec iov = {(void *)data, bytes};

	if (to->family == 4) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to->port)};
		struct in_pktinfo info = {0};
		memcpy(&address.sin_addr, to->addr, 4);
		memcpy(&info.ipi_spec_dst, from->addr, 4);
		return send_from(io->fd[0], (struct sockaddr *)&address, sizeof(address),
				 IPPROTO_IP, IP_PKTINFO, &info, sizeof(info), iov);
	}
	if (io->fd[1] < 0)
		return -EAFNOSUPPORT;
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
	struct in6_pktinfo info = {0};
	memcpy(&address.sin6_addr, to->addr, 16);
	memcpy(&info.ipi6_addr, from->addr, 16);
	return send_from(io->fd[1], (struct sockaddr *)&address, sizeof(address), IPPROTO_IPV6,
			 IPV6_PKTINFO, &info, sizeof(info), iov);
}
