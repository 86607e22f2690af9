/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: lines however they come in pieces, bounds, slow and ill-mannered clients, and
 * who may connect. Server and clients share this one thread: waiting for an answer runs the loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/daemon/rpc.h"
#include "tests/unit/control/node_double.h"

#define WAIT_S 20
#define DROPS "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"drops\"}\n"
#define NOTHING "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"nothing\"}\n"

static struct spw_node *node;

static int open_server(void **state)
{
	struct spw_error error = {0};
	(void)state;
	node = node_double_open(100);
	node->loop = event_base_new();
	return spw_rpc_create(node, &error);
}

static int close_server(void **state)
{
	struct event_base *loop = node->loop;
	(void)state;
	spw_rpc_destroy(node);
	event_base_free(loop);
	node_double_close();
	return 0;
}

static int connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", node->run_dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void run_loop(void)
{
	event_base_loop(node->loop, EVLOOP_NONBLOCK);
}

static time_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* Sends it all, while the server reads. Returns the bytes sent: fewer when it hung up. */
static size_t send_text(int fd, const char *text, size_t bytes)
{
	size_t sent = 0;
	for (time_t end = now() + WAIT_S; sent < bytes && now() < end;) {
		ssize_t rc = send(fd, text + sent, bytes - sent, MSG_NOSIGNAL);
		if (rc > 0)
			sent += (size_t)rc;
		else if (errno != EAGAIN)
			break;
		run_loop();
	}
	return sent;
}

/* One line, without its end; "" when the server hung up. */
static const char *receive_line(int fd)
{
	static char line[1 << 16];
	size_t used = 0;
	for (time_t end = now() + WAIT_S; now() < end;) {
		ssize_t rc = recv(fd, line + used, 1, 0);
		if (rc == 0 || (rc < 0 && errno != EAGAIN))
			return "";
		if (rc < 0) {
			run_loop();
			continue;
		}
		if (line[used] == '\n') {
			line[used] = '\0';
			return line;
		}
		assert_true(++used < sizeof(line));
	}
	fail_msg("no answer within %d s", WAIT_S);
	return "";
}

static void assert_holds(const char *text, const char *piece)
{
	if (!text || !strstr(text, piece))
		fail_msg("no %s in: %.300s", piece, text ? text : "");
}

static void assert_works(int fd)
{
	assert_int_equal(send_text(fd, DROPS, strlen(DROPS)), strlen(DROPS));
	assert_holds(receive_line(fd), "\"result\":[");
}

/* ---- framing ------------------------------------------------------------------------------ */

static void test_lines(void **state)
{
	(void)state;
	int fd = connect_client();
	/* One byte at a time. */
	for (const char *at = DROPS; *at; at++)
		send_text(fd, at, 1);
	assert_holds(receive_line(fd), "outer_truncated");
	/* Several in one piece; a notification among them, and a line with nothing in it. */
	static const char many[] =
		"\n{\"jsonrpc\":\"2.0\",\"method\":\"drops\"}\r\n"
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"nothing\"}\r\n" DROPS;
	send_text(fd, many, strlen(many));
	assert_holds(receive_line(fd), "-32700");
	assert_holds(receive_line(fd), "\"id\":7");
	assert_holds(receive_line(fd), "\"result\"");
	close(fd);
}

static void test_in_order(void **state)
{
	(void)state;
	int fd = connect_client();
	char text[100];
	for (int id = 0; id < 200; id++) {
		snprintf(text, sizeof(text), NOTHING, id);
		send_text(fd, text, strlen(text));
	}
	for (int id = 0; id < 200; id++) {
		snprintf(text, sizeof(text), "\"id\":%d,", id);
		assert_holds(receive_line(fd), text);
	}
	close(fd);
}

/* Who has no more to say still reads all answers; a last line without an end is none. */
static void test_half_close(void **state)
{
	(void)state;
	int fd = connect_client();
	for (int i = 0; i < 40; i++)
		assert_true(send(fd, DROPS, strlen(DROPS), 0) > 0);
	assert_true(send(fd, DROPS, strlen(DROPS) - 1, 0) > 0);
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 40; i++)
		assert_holds(receive_line(fd), "\"result\"");
	assert_string_equal(receive_line(fd), "");
	close(fd);

	/* What has no answer does not end it early. */
	static const char silent[] = "{\"jsonrpc\":\"2.0\",\"method\":\"drops\"}\n";
	fd = connect_client();
	for (int i = 0; i < 100; i++)
		assert_true(send(fd, silent, strlen(silent), 0) > 0);
	assert_true(send(fd, DROPS, strlen(DROPS), 0) > 0);
	shutdown(fd, SHUT_WR);
	assert_holds(receive_line(fd), "\"result\"");
	close(fd);
}

static void test_gone(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		int fd = connect_client();
		assert_true(send(fd, DROPS DROPS, strlen(DROPS DROPS) - (size_t)i, 0) > 0);
		if (i % 2)
			run_loop();
		close(fd);
		run_loop();
	}
	int fd = connect_client();
	assert_works(fd);
	close(fd);
}

/* ---- bounds ------------------------------------------------------------------------------- */

static void test_longest_line(void **state)
{
	(void)state;
	int fd = connect_client();
	char *line = malloc(SPW_RPC_LINE_BYTES_MAX + 2);
	memset(line, ' ', SPW_RPC_LINE_BYTES_MAX);
	memcpy(line, DROPS, strlen(DROPS) - 1);
	line[SPW_RPC_LINE_BYTES_MAX] = '\n';
	assert_int_equal(send_text(fd, line, SPW_RPC_LINE_BYTES_MAX + 1),
			 SPW_RPC_LINE_BYTES_MAX + 1);
	assert_holds(receive_line(fd), "\"result\"");
	assert_works(fd);

	line[SPW_RPC_LINE_BYTES_MAX] = ' ';
	line[SPW_RPC_LINE_BYTES_MAX + 1] = '\n';
	send_text(fd, line, SPW_RPC_LINE_BYTES_MAX + 2);
	const char *answer = receive_line(fd);
	assert_holds(answer, "-32600");
	assert_holds(answer, "longer than 16 MiB");
	assert_string_equal(receive_line(fd), "");
	close(fd);
	free(line);
}

static void test_many_clients(void **state)
{
	(void)state;
	int fds[SPW_RPC_CLIENTS_MAX];
	for (size_t i = 0; i < SPW_RPC_CLIENTS_MAX; i++) {
		fds[i] = connect_client();
		run_loop();
	}
	int fd = connect_client();
	assert_holds(receive_line(fd), "64 clients");
	assert_string_equal(receive_line(fd), "");
	close(fd);
	assert_works(fds[0]);
	close(fds[1]);
	run_loop();
	fds[1] = connect_client();
	assert_works(fds[1]);
	for (size_t i = 0; i < SPW_RPC_CLIENTS_MAX; i++)
		close(fds[i]);
}

/* While answers are not read, no more requests are taken; nothing gets lost, others are served. */
static void test_slow_reader(void **state)
{
	(void)state;
	int slow = connect_client(), other = connect_client();
	size_t asked = 0, quiet = 0;
	while (quiet < 50) {
		if (send(slow, DROPS, strlen(DROPS), MSG_NOSIGNAL) == (ssize_t)strlen(DROPS)) {
			asked++;
			quiet = 0;
		} else {
			quiet++;
		}
		run_loop();
		assert_true(asked < 1000000);
	}
	assert_works(other);
	for (size_t i = 0; i < asked; i++)
		assert_holds(receive_line(slow), "\"result\"");
	close(slow);
	close(other);
}

/* ---- who may connect ---------------------------------------------------------------------- */

static void test_socket_file(void **state)
{
	(void)state;
	char path[256];
	struct stat status;
	struct spw_error error = {0};
	snprintf(path, sizeof(path), "%s/control.sock", node->run_dir);
	assert_int_equal(stat(path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 0007, 0);

	/* What a control that was killed left behind is replaced. */
	char *kept = strdup(path);
	strcat(path, ".old");
	assert_int_equal(link(kept, path), 0);
	spw_rpc_destroy(node);
	assert_int_equal(access(kept, F_OK), -1);
	assert_int_equal(rename(path, kept), 0);
	assert_int_equal(connect_client(), -1);
	assert_int_equal(spw_rpc_create(node, &error), 0);
	int fd = connect_client();
	assert_works(fd);
	close(fd);
	free(kept);

	/* No place for a socket: an error that says so, and nothing left. */
	struct spw_node nowhere = {.loop = node->loop, .run_dir = "/nowhere"};
	assert_int_equal(spw_rpc_create(&nowhere, &error), -ENOENT);
	assert_holds(error.text, "/nowhere/control.sock: No such file");
	assert_null(nowhere.rpc);
}

/* Even where the file's mode would let them: the kernel's word on the peer counts. */
static void test_stranger(void **state)
{
	(void)state;
	char path[256];
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/control.sock", node->run_dir);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(node->run_dir, 0755), 0);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		int fd = connect_client();
		char line[300] = "";
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		poll(&ready, 1, WAIT_S * 1000);
		ssize_t bytes = recv(fd, line, sizeof(line) - 1, 0);
		_exit(bytes > 0 && write(ends[1], line, (size_t)bytes) == bytes ? 0 : 1);
	}
	int status = -1;
	for (time_t end = now() + WAIT_S; waitpid(child, &status, WNOHANG) == 0 && now() < end;)
		run_loop();
	assert_int_equal(status, 0);
	char line[300] = "";
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	assert_holds(line, "not permitted");
	assert_holds(line, "group spillway");
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)
	const struct CMUnitTest tests[] = {
		TEST(test_lines),       TEST(test_in_order),     TEST(test_half_close),
		TEST(test_gone),        TEST(test_longest_line), TEST(test_many_clients),
		TEST(test_slow_reader), TEST(test_socket_file),  TEST(test_stranger),
	};
	signal(SIGPIPE, SIG_IGN); /* as main.c does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
