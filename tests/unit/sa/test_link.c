/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_link.c - the private socket's server, fed by a client that is this test itself: the
 * conversation as it should be, and everything that it should not be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/sa/link_client.h"

static int open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int cnt = 0;

	while (readdir(folder))
		cnt++;
	closedir(folder);
	return cnt;
}

/* ---- as it should be ---------------------------------------------------------------------- */

static struct spw_msg_roamed good_roamed(void)
{
	return (struct spw_msg_roamed){.head.type = SPW_MSG_ROAMED,
				       .slot = 3,
				       .spi = 3 << 10 | 1,
				       .tunnel = 1,
				       .family = 4,
				       .port = 4501,
				       .addr = {198, 51, 100, 7, 1}};
}

static void test_conversation(void **state)
{
	struct spw_msg_hello hello = client_hello();
	struct spw_msg_ready ready = client_ready_msg();
	struct spw_msg_setup setup;
	struct spw_msg_glean glean = {.head.type = SPW_MSG_GLEAN, .family = 6};
	struct spw_msg low = {.type = SPW_MSG_SA_LOW};
	struct spw_msg_sa_final final = {.head.type = SPW_MSG_SA_FINAL, .direction = 1, .slot = 9};
	struct spw_msg_heard heard = {.head.type = SPW_MSG_HEARD, .slot = 9, .spi = 9 << 10 | 7};
	struct spw_msg_roamed roamed = good_roamed();
	struct stat status;
	char path[128];
	json_t *text;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/dataplane.sock", world.dir);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	world.node.maps.workers[3].generation = 5; /* of a process that died long ago */
	world.node.maps.workers[1].generation = INSTANCE;
	fd = client_connect();
	client_say(fd, &hello, sizeof(hello));
	assert_int_equal(client_receive_setup(fd, &setup), SPW_MAP_CNT);
	assert_int_equal(setup.head.type, SPW_MSG_SETUP);
	assert_int_equal(setup.tables_id, 4711);
	assert_string_equal(setup.node, "a");
	assert_int_equal(setup.workers, 2);
	assert_int_equal(setup.ports_cnt, 1);
	assert_string_equal(setup.ports[0].ifname, "wan0");
	assert_int_equal(world.node.maps.workers[3].generation, 0);
	assert_int_equal(world.node.maps.workers[1].generation, INSTANCE);
	assert_false(spw_link_ready(link_up));
	client_say(fd, &ready, sizeof(ready));
	assert_true(spw_link_ready(link_up));
	assert_int_equal(seen.readies, 1);
	client_say(fd, &glean, sizeof(glean));
	glean.family = 4;
	client_say(fd, &glean, sizeof(glean));
	client_say(fd, &low, sizeof(low));
	client_say(fd, &final, sizeof(final));
	assert_int_equal(seen.gleans, 2);
	assert_int_equal(seen.lows, 1);
	assert_int_equal(seen.finals, 1);
	client_say(fd, &heard, sizeof(heard));
	assert_int_equal(seen.heards, 1);
	client_say(fd, &roamed, sizeof(roamed));
	assert_int_equal(seen.roameds, 1);
	assert_int_equal(seen.source.family, 4);
	assert_int_equal(seen.source.port, 4501);
	assert_memory_equal(seen.source.addr, "\xc6\x33\x64\x07\0", 5); /* 4 bytes of IPv4 */
	world.node.link = link_up;
	text = spw_link_describe(&world.node);
	assert_true(json_is_true(json_object_get(text, "connected")));
	assert_int_equal(json_integer_value(json_object_get(text, "pid")), getpid());
	assert_int_equal(json_array_size(json_object_get(text, "workers")), 2);
	assert_string_equal(json_string_value(json_object_get(text, "aead")), "open?ssl");
	assert_string_equal(json_string_value(json_object_get(text, "aead_why")),
			    "it is ?[31mfast");
	json_decref(text);
	close(fd);
	world_run(loop, 20);
	assert_int_equal(seen.losts, 1);
	assert_int_equal(seen.gones, 0); /* the process lives */
	assert_int_equal(world.node.maps.workers[1].generation, INSTANCE);
	/* It may come back. */
	close(client_ready());
}

static int request(uint32_t slot)
{
	struct spw_msg_sa_del msg = {.head.type = SPW_MSG_SA_DEL, .slot = slot};

	return spw_link_request(link_up, &msg, sizeof(msg), client_answer, NULL);
}

static void test_requests(void **state)
{
	struct spw_msg_sa_del got[200];
	uint32_t cnt = 0;
	int fd;

	(void)state;
	assert_int_equal(request(1), -ENOTCONN);
	fd = client_ready();
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(request(i), 0);
	assert_int_equal(seen.answers, 0);
	world_run(loop, 20);
	while (recv(fd, &got[cnt], sizeof(got[0]), 0) == (ssize_t)sizeof(got[0]))
		cnt++;
	assert_int_equal(cnt, SPW_LINK_WINDOW);
	/* Answered backwards; each ACK lets one more out. */
	for (uint32_t i = cnt; i-- > 0;) {
		struct spw_msg_ack ack = {.head = {SPW_MSG_ACK, got[i].head.request_id},
					  .error = -(int)got[i].slot,
					  .value = got[i].slot};
		client_say(fd, &ack, sizeof(ack));
		assert_int_equal(seen.last_error, -(int)got[i].slot);
		assert_int_equal(seen.last_value, got[i].slot);
	}
	assert_int_equal(seen.answers, SPW_LINK_WINDOW);
	cnt = 0;
	while (recv(fd, &got[cnt], sizeof(got[0]), 0) == (ssize_t)sizeof(got[0])) {
		assert_int_equal(got[cnt].slot, SPW_LINK_WINDOW + cnt);
		cnt++;
	}
	assert_int_equal(cnt, SPW_LINK_WINDOW);
	/* The end answers all the others. */
	close(fd);
	world_run(loop, 20);
	assert_int_equal(seen.answers, 200);
	assert_int_equal(seen.last_error, -ECONNRESET);
	assert_int_equal(request(1), -ENOTCONN);
}

static void test_queue_is_bounded(void **state)
{
	uint32_t taken = 0;
	int fd = client_ready();

	(void)state;
	while (request(1) == 0)
		taken++;
	assert_int_equal(taken, 256); /* the cells */
	assert_int_equal(request(1), -ENOBUFS);
	close(fd);
	world_run(loop, 20);
	assert_int_equal(seen.answers, 256);
	assert_non_null(spw_keys_alloc(keys));
}

static void test_process_ends(void **state)
{
	int status, pipe_fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		struct spw_msg_hello hello = client_hello();
		struct spw_msg_ready ready = client_ready_msg();
		struct spw_msg_sa_final final = {.head.type = SPW_MSG_SA_FINAL};
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		uint8_t byte[1024];
		snprintf(address.sun_path, sizeof(address.sun_path), "%s/dataplane.sock",
			 world.dir);
		connect(fd, (const struct sockaddr *)&address, sizeof(address));
		send(fd, &hello, sizeof(hello), 0);
		recv(fd, byte, sizeof(byte), 0);
		send(fd, &ready, sizeof(ready), 0);
		read(pipe_fds[0], byte, 1);
		/* Its last words are heard, though it ends at once. */
		for (int i = 0; i < 100; i++)
			send(fd, &final, sizeof(final), 0);
		_exit(0);
	}
	for (int i = 0; i < 100 && seen.readies == 0; i++)
		world_run(loop, 10);
	world.node.maps.workers[1].generation = INSTANCE;
	world.node.maps.workers[1].epoch = 1;
	/* Another one meanwhile is turned away. */
	int fd = client_connect();
	world_run(loop, 20);
	assert_true(client_closed(fd));
	close(fd);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 100 && seen.gones == 0; i++)
		world_run(loop, 10);
	assert_int_equal(seen.finals, 100);
	assert_int_equal(seen.losts, 1);
	assert_int_equal(seen.gones, 1);
	assert_int_equal(world.node.maps.workers[1].generation, 0);
	assert_int_equal(world.node.maps.workers[1].epoch, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(client_ready()); /* and the next one is welcome */
}

/* ---- as it should not be ------------------------------------------------------------------ */

/* Whoever knocks without end does not fill the log. */
static void test_knocking(void **state)
{
	int log = memfd_create("log", MFD_CLOEXEC), stderr_fd = dup(STDERR_FILENO);
	int served = client_ready();
	char text[4096] = "";

	(void)state;
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	for (int i = 0; i < 100; i++) {
		int fd = client_connect();
		world_run(loop, 1);
		assert_true(client_closed(fd));
		close(fd);
	}
	dup2(stderr_fd, STDERR_FILENO);
	assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "turned 1 connection away, the last from process"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_true(spw_link_ready(link_up));
	close(served);
	close(stderr_fd);
	close(log);
}

/* Before READY (ready false) or after; the connection ends, control goes on. */
static void refused(bool ready, const void *msg, size_t bytes)
{
	int fd = ready ? client_ready() : client_connect();

	client_say(fd, msg, bytes);
	if (!client_closed(fd))
		fail_msg("a message of %zu bytes and type %u was taken", bytes,
			 bytes >= 4 ? *(const uint32_t *)msg : 0);
	assert_false(spw_link_ready(link_up));
	close(fd);
	world_run(loop, 5);
}

static void test_bad_hello(void **state)
{
	struct spw_msg_hello hello = client_hello();
	struct spw_msg_ready ready = client_ready_msg();

	(void)state;
	for (size_t n = 1; n < sizeof(hello); n++)
		refused(false, &hello, n);
	refused(false, &ready, sizeof(ready));
	hello.instance = 0;
	refused(false, &hello, sizeof(hello));
	hello = client_hello();
	hello.handover_version++;
	refused(false, &hello, sizeof(hello));
	hello = client_hello();
	hello.layout_version++;
	refused(false, &hello, sizeof(hello));
	assert_int_equal(seen.hellos, 0);
	seen.refuse_hello = -EIO;
	hello = client_hello();
	refused(false, &hello, sizeof(hello));
	assert_int_equal(seen.hellos, 1);
	assert_int_equal(seen.readies, 0);
}

static void test_bad_ready(void **state)
{
	struct spw_msg_hello hello = client_hello();
	struct spw_msg_ready bad[3] = {client_ready_msg(), client_ready_msg(), client_ready_msg()};

	(void)state;
	bad[0].instance++;
	bad[1].workers++;
	bad[2].head.type = SPW_MSG_SETUP;
	for (int i = 0; i < 3; i++) {
		int fd = client_connect();
		client_say(fd, &hello, sizeof(hello));
		client_say(fd, &bad[i], sizeof(bad[i]));
		assert_true(client_closed(fd));
		close(fd);
	}
	assert_int_equal(seen.readies, 0);
	/* The process is the same, its instance must be. */
	close(client_ready());
	world_run(loop, 10);
	hello.instance++;
	refused(false, &hello, sizeof(hello));
}

static void test_bad_messages(void **state)
{
	struct spw_msg_hello hello = client_hello();
	struct spw_msg_glean glean = {.head.type = SPW_MSG_GLEAN, .port = 1, .family = 4};
	struct spw_msg_sa_final final = {.head.type = SPW_MSG_SA_FINAL, .direction = 2};
	struct {
		struct spw_msg head;
		uint32_t rest;
	} low = {.head.type = SPW_MSG_SA_LOW};
	struct spw_msg_ack ack = {.head = {SPW_MSG_ACK, 12345}};
	struct spw_msg_sa_add add = {.head.type = SPW_MSG_SA_ADD};
	struct spw_msg unknown = {.type = 99};
	static uint8_t big[4096];

	(void)state;
	refused(true, &hello, sizeof(hello));
	refused(true, &glean, sizeof(glean));
	glean.port = UINT32_MAX;
	refused(true, &glean, sizeof(glean));
	glean.port = 0;
	glean.family = 7;
	refused(true, &glean, sizeof(glean));
	glean.family = 4;
	refused(true, &glean, sizeof(glean) - 1);
	refused(true, &final, sizeof(final));
	final.direction = 0;
	final.slot = WORLD_SAS_MAX;
	refused(true, &final, sizeof(final));
	refused(true, &low, sizeof(low));
	refused(true, &ack, sizeof(ack));
	refused(true, &add, sizeof(add));
	refused(true, &unknown, sizeof(unknown));
	refused(true, "x", 1);
	refused(true, big, SPW_MSG_BYTES_MAX + 1);
	refused(true, big, sizeof(big));
	assert_int_equal(seen.gleans + seen.finals, 0);
	assert_int_equal(seen.losts, 14);
}

/* What it may say of inbound SAs: neither slots, SPIs, tunnels nor addresses that cannot be. */
static void test_bad_reports(void **state)
{
	const struct spw_msg_heard heards[] = {
		{{SPW_MSG_HEARD, 0}, 0, 0},
		{{SPW_MSG_HEARD, 0}, 3, 4 << 10},
		{{SPW_MSG_HEARD, 0}, WORLD_SAS_MAX, WORLD_SAS_MAX << 10},
	};
	struct spw_msg_roamed roamed[7];

	(void)state;
	for (int i = 0; i < 3; i++)
		refused(true, &heards[i], sizeof(heards[i]));
	for (int i = 0; i < 7; i++)
		roamed[i] = good_roamed();
	roamed[0].slot = 4;
	roamed[1].spi = 0;
	roamed[2].tunnel = 0;
	roamed[3].tunnel = world.node.maps.meta->tunnels_max;
	roamed[4].family = 5;
	roamed[5].port = 0;
	roamed[6].slot = UINT32_MAX;
	for (int i = 0; i < 7; i++)
		refused(true, &roamed[i], sizeof(roamed[i]));
	roamed[0] = good_roamed();
	refused(true, &roamed[0], sizeof(roamed[0]) - 1);
	assert_int_equal(seen.heards + seen.roameds, 0);
}

static void test_descriptors_are_closed(void **state)
{
	struct spw_msg_glean glean = {.head.type = SPW_MSG_GLEAN, .family = 4};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control = {0};
	struct iovec data = {.iov_base = &glean, .iov_len = sizeof(glean)};
	struct msghdr msg = {.msg_iov = &data,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
	int before, fds[8] = {1, 1, 1, 1, 1, 1, 1, 1};

	(void)state;
	close(client_ready());
	world_run(loop, 10);
	before = open_files();
	for (int cnt = 1; cnt <= 8; cnt++) {
		int fd = client_ready();
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)cnt);
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)cnt);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)cnt);
		assert_true(sendmsg(fd, &msg, 0) > 0);
		world_run(loop, 10);
		assert_true(client_closed(fd));
		close(fd);
		world_run(loop, 5);
	}
	assert_int_equal(open_files(), before);
	assert_int_equal(seen.gleans, 0);
}

/* Half-right messages of every type, many of them. */
static void test_noise(void **state)
{
	static const size_t sizes[] = {8,
				       sizeof(struct spw_msg_hello),
				       sizeof(struct spw_msg_ready),
				       sizeof(struct spw_msg_failed),
				       sizeof(struct spw_msg_ack),
				       sizeof(struct spw_msg_glean),
				       sizeof(struct spw_msg_sa_final),
				       sizeof(struct spw_msg_heard),
				       sizeof(struct spw_msg_roamed),
				       SPW_MSG_BYTES_MAX};
	uint32_t noise[SPW_MSG_BYTES_MAX / 4 + 1];
	int fd = -1;

	(void)state;
	srandom(1);
	for (int i = 0; i < 600; i++) {
		if (fd < 0)
			fd = i % 3 ? client_ready() : client_connect();
		for (size_t k = 0; k < sizeof(noise) / 4; k++)
			noise[k] = random() % 3 ? (uint32_t)random() % 4 : (uint32_t)random() * 7u;
		noise[0] = (uint32_t)random() % 16;
		if (send(fd, noise, sizes[random() % 10], MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			close(fd);
			fd = -1;
		}
		world_run(loop, 1);
	}
	close(fd);
	world_run(loop, 20);
	close(client_ready());
}

static void test_silence(void **state)
{
	int fd = client_connect();

	(void)state;
	world_run(loop, 4000);
	assert_false(client_closed(fd));
	world_run(loop, 1500);
	assert_true(client_closed(fd));
	close(fd);
	close(client_ready());
}

static void test_other_user(void **state)
{
	char path[128];
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/dataplane.sock", world.dir);
	assert_int_equal(chmod(world.dir, 0755), 0);
	assert_int_equal(chmod(path, 0666), 0);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		struct spw_msg_hello hello = client_hello();
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		uint8_t byte;
		if (setuid(65534) < 0)
			_exit(2);
		memcpy(address.sun_path, path, sizeof(address.sun_path));
		if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(3);
		send(fd, &hello, sizeof(hello), MSG_NOSIGNAL);
		_exit(recv(fd, &byte, 1, 0) > 0 ? 4 : 0);
	}
	for (int i = 0; i < 20; i++)
		world_run(loop, 10);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(seen.hellos, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_conversation),
		TEST(test_requests),
		TEST(test_queue_is_bounded),
		TEST(test_process_ends),
		TEST(test_knocking),
		TEST(test_bad_hello),
		TEST(test_bad_ready),
		TEST(test_bad_messages),
		TEST(test_bad_reports),
		TEST(test_descriptors_are_closed),
		TEST(test_noise),
		TEST(test_silence),
		TEST(test_other_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
