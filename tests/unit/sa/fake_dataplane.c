/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_dataplane.c - see fake_dataplane.h. */
#include "tests/unit/sa/fake_dataplane.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_term(int number)
{
	(void)number;
	stopped = 1;
}

static int answer_add(struct fake *fake, const struct spw_msg_sa_add *msg)
{
	if (fake->refuse_adds)
		return fake->refuse_adds;
	if (msg->direction > 1 || msg->slot == 0 || msg->slot >= WORLD_SAS_MAX)
		return -EINVAL;
	if (fake->taken[msg->direction][msg->slot])
		return -EEXIST;
	fake->taken[msg->direction][msg->slot] = 1;
	fake->limit[msg->direction][msg->slot] = msg->limit;
	fake->adds[fake->adds_cnt % FAKE_LOG_MAX] = *msg;
	__atomic_store_n(&fake->adds_cnt, fake->adds_cnt + 1, __ATOMIC_RELEASE);
	return 0;
}

static int answer_del(struct fake *fake, const struct spw_msg_sa_del *msg)
{
	if (!fake->taken[msg->direction & 1][msg->slot % WORLD_SAS_MAX])
		return -ENOENT;
	fake->taken[msg->direction & 1][msg->slot % WORLD_SAS_MAX] = 0;
	fake->dels[fake->dels_cnt % FAKE_LOG_MAX] = *msg;
	__atomic_store_n(&fake->dels_cnt, fake->dels_cnt + 1, __ATOMIC_RELEASE);
	return 0;
}

static int answer_limit(struct fake *fake, const struct spw_msg_sa_limit *msg)
{
	if (!fake->taken[msg->direction & 1][msg->slot % WORLD_SAS_MAX])
		return -ENOENT;
	fake->limit[msg->direction & 1][msg->slot % WORLD_SAS_MAX] = msg->limit;
	fake->limits[fake->limits_cnt % FAKE_LOG_MAX] = *msg;
	__atomic_store_n(&fake->limits_cnt, fake->limits_cnt + 1, __ATOMIC_RELEASE);
	return 0;
}

static int answer_dummy(struct fake *fake, const struct spw_msg_dummy *msg)
{
	if (!fake->taken[SPW_SA_OUT][msg->slot % WORLD_SAS_MAX])
		return -ENOENT;
	fake->dummies[fake->dummies_cnt % FAKE_LOG_MAX] = *msg;
	__atomic_store_n(&fake->dummies_cnt, fake->dummies_cnt + 1, __ATOMIC_RELEASE);
	return 0;
}

static void answer(struct fake *fake, int fd, const void *msg, uint32_t workers)
{
	const struct spw_msg *head = msg;
	const struct spw_msg_sa_query *query = msg;
	struct spw_msg_ack ack = {.head = {SPW_MSG_ACK, head->request_id}};

	switch (head->type) {
	case SPW_MSG_SETUP: {
		struct spw_msg_ready ready = {.head.type = SPW_MSG_READY,
					      .instance = fake->instance,
					      .workers = workers,
					      .aead = "fake"};
		send(fd, &ready, sizeof(ready), MSG_NOSIGNAL);
		return;
	}
	case SPW_MSG_SA_ADD:
		ack.error = answer_add(fake, msg);
		break;
	case SPW_MSG_SA_DEL:
		ack.error = answer_del(fake, msg);
		break;
	case SPW_MSG_SA_LIMIT:
		ack.error = answer_limit(fake, msg);
		break;
	case SPW_MSG_SA_QUERY:
		ack.value = fake->query[query->direction & 1];
		break;
	case SPW_MSG_DUMMY:
		ack.error = answer_dummy(fake, msg);
		break;
	default:
		ack.error = -EINVAL;
	}
	send(fd, &ack, sizeof(ack), MSG_NOSIGNAL);
}

static void say_finals(const struct fake *fake, int fd)
{
	for (uint32_t direction = 0; direction < 2; direction++)
		for (uint32_t slot = 0; slot < WORLD_SAS_MAX; slot++) {
			struct spw_msg_sa_final final = {.head.type = SPW_MSG_SA_FINAL,
							 .direction = direction,
							 .slot = slot,
							 .sequence = fake->query[direction]};
			if (fake->taken[direction][slot] &&
			    fake->limit[direction][slot] != UINT64_MAX)
				send(fd, &final, sizeof(final), MSG_NOSIGNAL);
		}
}

static void say(struct fake *fake, int fd)
{
	uint32_t next = fake->said_cnt % FAKE_LOG_MAX;

	if (fake->said_cnt == __atomic_load_n(&fake->says_cnt, __ATOMIC_ACQUIRE))
		return;
	send(fd, &fake->says[next], fake->says_bytes[next], MSG_NOSIGNAL);
	__atomic_store_n(&fake->said_cnt, fake->said_cnt + 1, __ATOMIC_RELEASE);
}

static void serve(struct fake *fake, int fd, uint32_t workers)
{
	struct spw_msg_hello hello = {.head.type = SPW_MSG_HELLO,
				      .handover_version = SPW_HANDOVER_VERSION,
				      .layout_version = SPW_LAYOUT_VERSION,
				      .instance = fake->instance,
				      .pid = getpid()};
	_Alignas(8) uint8_t msg[SPW_MSG_BYTES_MAX];
	bool ready = false;

	send(fd, &hello, sizeof(hello), MSG_NOSIGNAL);
	fake->connections++;
	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		if (stopped) {
			say_finals(fake, fd);
			_exit(0);
		}
		if (ready)
			say(fake, fd);
		if (poll(&poll_fd, 1, 20) <= 0)
			continue;
		if (recv(fd, msg, sizeof(msg), 0) <= 0)
			return;
		answer(fake, fd, msg, workers);
		ready |= ((const struct spw_msg *)(const void *)msg)->type == SPW_MSG_SETUP;
	}
}

_Noreturn void fake_dataplane_main(struct fake *fake, const char *run_dir, uint32_t workers)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Control's sockets, which the fork has doubled, must end when control ends. */
	close_range(3, ~0u, 0);
	signal(SIGTERM, on_term);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/dataplane.sock", run_dir);
	while (!stopped) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
			serve(fake, fd, workers);
		close(fd);
		usleep(20000);
	}
	_exit(0);
}
