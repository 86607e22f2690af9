// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_process.c - the dataplane's process before it has tables: how it looks for control, and what
 * becomes of it when nobody reads its log. The program is the first argument; it needs no rights
 * for any of this.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/handover.h"

#define TAKEN_MS 1000
#define TAKEN_MAX 12 /* one each 100 ms, and some room */

static const char *program;

struct place {
	char run_dir[64], node_dir[96], path[108];
	int listener;
	pid_t pid;
};

/* A run folder with control's socket, and the dataplane with its log going to log_fd. */
static void place_open(struct place *place, int log_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(place->run_dir, "/tmp/spw_test_process_XXXXXX");
	assert_non_null(mkdtemp(place->run_dir));
	snprintf(place->node_dir, sizeof(place->node_dir), "%s/n1", place->run_dir);
	assert_int_equal(mkdir(place->node_dir, 0700), 0);
	snprintf(place->path, sizeof(place->path), "%.90s/dataplane.sock", place->node_dir);
	strcpy(address.sun_path, place->path);
	place->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(place->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(place->listener, 4), 0);
	place->pid = fork();
	assert_true(place->pid >= 0);
	if (place->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
		setenv("SPW_RUN_DIR", place->run_dir, 1);
		dup2(log_fd, STDERR_FILENO);
		execl(program, program, "--node", "n1", (char *)NULL);
		_exit(127);
	}
}

/* Takes the next connection with its HELLO; -1: none within the time. */
static int take(const struct place *place, int timeout_ms)
{
	struct pollfd polled = {.fd = place->listener, .events = POLLIN};
	struct spw_msg_hello hello;

	if (poll(&polled, 1, timeout_ms) != 1)
		return -1;
	int fd = accept(place->listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(recv(fd, &hello, sizeof(hello), 0), sizeof(hello));
	assert_int_equal(hello.head.type, SPW_MSG_HELLO);
	return fd;
}

static void place_close(struct place *place)
{
	int status;

	kill(place->pid, SIGTERM);
	assert_int_equal(waitpid(place->pid, &status, 0), place->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(place->listener);
	unlink(place->path);
	rmdir(place->node_dir);
	rmdir(place->run_dir);
}

/* As one that serves another dataplane does. */
static void test_turned_away(void **state)
{
	struct place place;
	int cnt = 0, fd;

	(void)state;
	place_open(&place, STDERR_FILENO);
	fd = take(&place, 10000);
	assert_true(fd >= 0);
	close(fd);
	for (int64_t end = (int64_t)spw_now_ms() + TAKEN_MS; (int64_t)spw_now_ms() < end; cnt++) {
		fd = take(&place, TAKEN_MS);
		assert_true(fd >= 0); /* it does go on asking */
		close(fd);
	}
	assert_in_range(cnt, 2, TAKEN_MAX);
	place_close(&place);
}

/* The socket goes away and comes back while the log's reader is gone. */
static void test_log_unread(void **state)
{
	struct place place;
	int log[2], status;

	(void)state;
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	place_open(&place, log[1]);
	close(log[1]);
	close(log[0]);
	int fd = take(&place, 10000);
	assert_true(fd >= 0);
	/* No SETUP: it says why it ends, to control and to nobody, and ends by itself. */
	struct spw_msg nonsense = {.type = SPW_MSG_ACK};
	struct spw_msg_failed failed;
	assert_int_equal(send(fd, &nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	assert_int_equal(recv(fd, &failed, sizeof(failed), 0), sizeof(failed));
	assert_int_equal(failed.head.type, SPW_MSG_FAILED);
	assert_non_null(strstr(failed.text, "SETUP"));
	close(fd);
	assert_int_equal(waitpid(place.pid, &status, 0), place.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	close(place.listener);
	unlink(place.path);
	rmdir(place.node_dir);
	rmdir(place.run_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turned_away),
		cmocka_unit_test(test_log_unread),
	};

	if (argc != 2) {
		fputs("usage: test_process SPILLWAY-DATAPLANE\n", stderr);
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
