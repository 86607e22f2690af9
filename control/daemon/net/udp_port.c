/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_port.c - see net.h. The classifier takes what comes in for a relay's port on a wan interface
 * before any socket could; so the port must not be somebody's already, nor be given away later as
 * the source port of an outgoing flow. A bound socket is the kernel's own way to say both.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/daemon/net/net.h"

int spw_udp_port_hold(uint16_t port)
{
	struct sock_filter keep_nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog filter = {.len = 1, .filter = keep_nothing};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int zero = 0, err, fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool both = fd >= 0;

	if (!both && errno == EAFNOSUPPORT) /* a kernel without IPv6 */
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
	if (err == 0 && both)
		err = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (err == 0)
		err = both ? bind(fd, (const struct sockaddr *)&any6, sizeof(any6))
			   : bind(fd, (const struct sockaddr *)&any4, sizeof(any4));
	if (err == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}
