/* SPDX-License-Identifier: BSD-2-Clause */
/* link_client.c - see link_client.h. */
#include "tests/unit/sa/link_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct event_base *loop;
struct world world;
struct spw_keys *keys;
struct spw_link *link_up;
struct client_seen seen;

static int on_hello(void *arg, uint64_t instance)
{
	(void)arg;
	assert_int_not_equal(instance, 0);
	seen.hellos++;
	return seen.refuse_hello;
}

static void on_ready(void *arg)
{
	(void)arg;
	seen.readies++;
}

static void on_lost(void *arg)
{
	(void)arg;
	seen.losts++;
}

static void on_gone(void *arg)
{
	(void)arg;
	seen.gones++;
}

static void on_glean(void *arg, uint32_t port, const struct spw_endpoint *host)
{
	(void)arg;
	assert_int_equal(port, 0);
	assert_true(host->family == 4 || host->family == 6);
	seen.gleans++;
}

static void on_low(void *arg)
{
	(void)arg;
	seen.lows++;
}

static void on_final(void *arg, uint32_t direction, uint32_t slot, uint64_t sequence)
{
	(void)arg, (void)sequence;
	assert_true(direction < 2 && slot < WORLD_SAS_MAX);
	seen.finals++;
}

static void on_heard(void *arg, uint32_t slot, uint32_t spi)
{
	(void)arg;
	assert_true(slot > 0 && slot < WORLD_SAS_MAX);
	assert_int_equal(SPW_SPI_SLOT(spi), slot);
	seen.heards++;
}

static void on_roamed(void *arg, uint32_t slot, uint32_t spi, uint32_t tunnel,
		      const struct spw_endpoint *source)
{
	(void)arg;
	assert_true(slot > 0 && slot < WORLD_SAS_MAX);
	assert_int_equal(SPW_SPI_SLOT(spi), slot);
	assert_true(tunnel > 0 && tunnel < world.node.maps.meta->tunnels_max);
	seen.source = *source;
	seen.roameds++;
}

static const struct spw_link_ops ops = {on_hello, on_ready, on_lost,   on_gone, on_glean,
					on_low,   on_heard, on_roamed, on_final};

void client_answer(void *arg, int error, uint64_t value)
{
	(void)arg;
	seen.answers++;
	seen.last_error = error;
	seen.last_value = value;
}

int client_setup(void **state)
{
	struct spw_error error = {0};

	(void)state;
	memset(&seen, 0, sizeof(seen));
	loop = event_base_new();
	world_open(&world, loop, "a", 2);
	assert_int_equal(spw_keys_open(&keys, 256), 0);
	if (spw_link_create(&world.node, keys, &ops, NULL, &link_up, &error) < 0)
		fail_msg("%s", error.text);
	return 0;
}

int client_teardown(void **state)
{
	(void)state;
	spw_link_destroy(link_up);
	spw_keys_close(keys);
	world_close(&world);
	event_base_free(loop);
	return 0;
}

/* ---- the client --------------------------------------------------------------------------- */

int client_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/dataplane.sock", world.dir);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	world_run(loop, 10);
	return fd;
}

void client_say(int fd, const void *msg, size_t bytes)
{
	send(fd, msg, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	world_run(loop, 8);
}

struct spw_msg_hello client_hello(void)
{
	return (struct spw_msg_hello){.head.type = SPW_MSG_HELLO,
				      .handover_version = SPW_HANDOVER_VERSION,
				      .layout_version = SPW_LAYOUT_VERSION,
				      .instance = INSTANCE};
}

struct spw_msg_ready client_ready_msg(void)
{
	return (struct spw_msg_ready){.head.type = SPW_MSG_READY,
				      .instance = INSTANCE,
				      .workers = 2,
				      .aead = "open\nssl",
				      .aead_why = "it is \033[31mfast"};
}

/* Receives SETUP; returns how many descriptors came with it, all client_closed. */
int client_receive_setup(int fd, struct spw_msg_setup *setup)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * SPW_MAP_CNT)];
	} control;
	struct iovec data = {.iov_base = setup, .iov_len = sizeof(*setup)};
	struct msghdr msg = {.msg_iov = &data,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	int fds[SPW_MAP_CNT], cnt;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*setup))
		return -1;
	header = CMSG_FIRSTHDR(&msg);
	assert_non_null(header);
	cnt = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(header), sizeof(int) * (size_t)cnt);
	for (int i = 0; i < cnt; i++)
		assert_int_equal(close(fds[i]), 0);
	return cnt;
}

int client_ready(void)
{
	struct spw_msg_hello hello = client_hello();
	struct spw_msg_ready ready = client_ready_msg();
	struct spw_msg_setup setup;
	int fd = client_connect();

	client_say(fd, &hello, sizeof(hello));
	assert_int_equal(client_receive_setup(fd, &setup), SPW_MAP_CNT);
	client_say(fd, &ready, sizeof(ready));
	assert_true(spw_link_ready(link_up));
	return fd;
}

bool client_closed(int fd)
{
	uint8_t byte[SPW_MSG_BYTES_MAX];
	ssize_t n;

	while ((n = recv(fd, byte, sizeof(byte), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || (n < 0 && errno != EAGAIN);
}
