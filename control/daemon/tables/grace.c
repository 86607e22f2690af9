/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a period is enough. U is the release store that unpublishes something, D the callback.
 *
 * Workers (rte_rcu_qsbr's algorithm). Control, in this order: U; F1, a sequentially consistent
 * fence (period_begin); B, the release store of the new epoch E; later L, acquire loads of every
 * row's epoch until each is 0 or >= E; D.
 *   - A worker that was online before B reports E once a loop has begun. It loaded E from
 *     meta.epoch with acquire (pairs with B), so all its later table loads see U; its earlier ones
 *     come before its release store of E to the row, which L acquires: they are done before D.
 *   - A worker that goes offline stores 0 with release after its last table load; L acquires it.
 *   - A worker that comes online stores an epoch to its row, then runs a sequentially consistent
 *     fence F2, then loads the tables. F1 and F2 are totally ordered. F1 first: its loads see U.
 *     F2 first: L sees the row's store, which is not 0; if it holds less than E, L goes on waiting;
 *     if it holds E, the worker had loaded E and so sees U. Without F2 the row's store could pass
 *     its table loads, and L would take it for offline.
 *
 * The classifier. It runs inside RCU read sections, and its loads of an unpublished index may come
 * from before U. membarrier(MEMBARRIER_CMD_GLOBAL) waits in the kernel for a full RCU period: every
 * section that was under way when it was called has ended when it returns. It is called after U
 * (the helper is woken through an eventfd after it), and D comes after its return. On a machine
 * with one CPU it returns at once, and rightly so: while we run there, no XDP program does. Kernels
 * with nohz_full CPUs refuse it; there the kernel's own device for this is used: the update of a
 * map of maps from user space waits for all programs that might still see the old entry.
 */
#include "control/daemon/tables/grace.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/clock.h"
#include <bpf/bpf.h>

#define LIMBO_MAX 1048576u

/* A worker that lags is descheduled or in a long burst; both end within milliseconds. */
#define LAG_POLL_MS 2

struct entry {
	spw_grace_fn fn;
	void *arg0;
	uint64_t arg1;
};

struct spw_grace {
	struct spw_meta *meta;
	struct spw_worker_row *workers;

	/* The limbo, a ring: [head, batch_end) waits for the running period, [batch_end, tail) for
	 * the next. The three only grow. */
	struct entry *limbo;
	uint32_t limbo_max;
	uint32_t reserved;
	uint64_t head, batch_end, tail;
	uint64_t batch_epoch;
	bool running; /* a period is */

	/* The helper. requested: written by control's thread before it writes wake_fd; completed:
	 * release-stored by the helper after the barrier, acquire-loaded by control's thread. */
	pthread_t helper;
	int wake_fd;
	int notify_fd; /* written by the helper after a barrier, and by defer for the first entry */
	int maps_fd, inner_fd; /* map of maps for kernels that refuse membarrier, else -1 */
	bool stop;             /* release-stored before the last wake-up */
	uint64_t requested, completed;
};

static void signal_fd(int fd)
{
	uint64_t one = 1;
	/* EAGAIN is the only failure: the counter is at its maximum and the descriptor readable. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- the helper thread -------------------------------------------------------------------- */

static void kernel_readers_wait(const struct spw_grace *grace)
{
	uint32_t key = 0;

	if (grace->maps_fd >= 0)
		while (bpf_map_update_elem(grace->maps_fd, &key, &grace->inner_fd, BPF_ANY) != 0)
			usleep(1000); /* only for want of memory: never go on without it */
	else
		while (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0)
			usleep(1000);
}

/* Capabilities are a thread's own: what control drops later, this thread would keep. It needs none,
 * but for the map of maps CAP_BPF. */
static void privileges_drop(const struct spw_grace *grace)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	uint32_t bpf = grace->maps_fd >= 0 ? CAP_TO_MASK(CAP_BPF) : 0;

	if (syscall(SYS_capget, &head, caps) != 0)
		abort();
	bpf &= caps[CAP_TO_INDEX(CAP_BPF)].permitted;
	memset(caps, 0, sizeof(caps));
	caps[CAP_TO_INDEX(CAP_BPF)].effective = caps[CAP_TO_INDEX(CAP_BPF)].permitted = bpf;
	/* To have less is always granted. */
	if (syscall(SYS_capset, &head, caps) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		abort();
}

static void *helper_run(void *arg)
{
	struct spw_grace *grace = arg;
	uint64_t count;

	privileges_drop(grace);
	for (;;) {
		if (read(grace->wake_fd, &count, sizeof(count)) < 0)
			continue; /* EINTR: signals are blocked, but a debugger may stop us */
		if (__atomic_load_n(&grace->stop, __ATOMIC_ACQUIRE))
			return NULL;
		uint64_t requested = __atomic_load_n(&grace->requested, __ATOMIC_ACQUIRE);
		kernel_readers_wait(grace);
		__atomic_store_n(&grace->completed, requested, __ATOMIC_RELEASE);
		signal_fd(grace->notify_fd);
	}
}

/* Chooses how to wait for the kernel's readers. */
static int barrier_open(struct spw_grace *grace)
{
	int commands = (int)syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	if (commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL))
		return 0;

	grace->inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "spw_grace_in", 4, 4, 1, NULL);
	if (grace->inner_fd < 0)
		return -errno;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = (uint32_t)grace->inner_fd);
	grace->maps_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "spw_grace", 4, 4, 1, &opts);
	return grace->maps_fd < 0 ? -errno : 0;
}

static int helper_start(struct spw_grace *grace)
{
	sigset_t all, before;

	/* Signals are for the event loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&grace->helper, NULL, helper_run, grace);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

/* ---- life --------------------------------------------------------------------------------- */

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void grace_free(struct spw_grace *grace)
{
	fd_close(grace->maps_fd);
	fd_close(grace->inner_fd);
	fd_close(grace->notify_fd);
	fd_close(grace->wake_fd);
	free(grace->limbo);
	free(grace);
}

int spw_grace_create(struct spw_grace **out, struct spw_meta *meta, struct spw_worker_row *workers,
		     uint32_t limbo_max)
{
	int error;

	if (limbo_max == 0 || limbo_max > LIMBO_MAX)
		return -EINVAL;
	struct spw_grace *grace = calloc(1, sizeof(*grace));
	if (!grace)
		return -ENOMEM;
	grace->meta = meta;
	grace->workers = workers;
	grace->limbo_max = limbo_max;
	grace->maps_fd = grace->inner_fd = -1;
	grace->wake_fd = eventfd(0, EFD_CLOEXEC);
	grace->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (grace->wake_fd < 0 || grace->notify_fd < 0) {
		error = -errno;
		goto fail;
	}
	grace->limbo = calloc(limbo_max, sizeof(*grace->limbo));
	if (!grace->limbo) {
		error = -ENOMEM;
		goto fail;
	}
	error = barrier_open(grace);
	if (error)
		goto fail;
	error = helper_start(grace);
	if (error)
		goto fail;
	*out = grace;
	return 0;
fail:
	grace_free(grace);
	return error;
}

void spw_grace_destroy(struct spw_grace *grace)
{
	if (!grace)
		return;
	__atomic_store_n(&grace->stop, true, __ATOMIC_RELEASE);
	signal_fd(grace->wake_fd);
	pthread_join(grace->helper, NULL);
	grace_free(grace);
}

/* ---- the limbo ---------------------------------------------------------------------------- */

uint32_t spw_grace_waiting(const struct spw_grace *grace)
{
	return (uint32_t)(grace->tail - grace->head);
}

uint32_t spw_grace_room(const struct spw_grace *grace)
{
	return grace->limbo_max - grace->reserved - spw_grace_waiting(grace);
}

int spw_grace_reserve(struct spw_grace *grace, uint32_t n)
{
	if (n > spw_grace_room(grace))
		return -EBUSY;
	grace->reserved += n;
	return 0;
}

void spw_grace_unreserve(struct spw_grace *grace, uint32_t n)
{
	if (n > grace->reserved)
		abort();
	grace->reserved -= n;
}

void spw_grace_defer(struct spw_grace *grace, spw_grace_fn fn, void *arg0, uint64_t arg1)
{
	spw_grace_unreserve(grace, 1);
	grace->limbo[grace->tail % grace->limbo_max] =
		(struct entry){.fn = fn, .arg0 = arg0, .arg1 = arg1};
	/* The period begins from the event loop, so that one serves the whole transaction. */
	if (grace->tail++ == grace->batch_end && !grace->running)
		signal_fd(grace->notify_fd);
}

int spw_grace_fd(const struct spw_grace *grace)
{
	return grace->notify_fd;
}

/* ---- periods ------------------------------------------------------------------------------ */

static void period_begin(struct spw_grace *grace)
{
	grace->running = true;
	grace->batch_end = grace->tail;
	grace->batch_epoch = grace->meta->epoch + 1; /* control is the only writer */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&grace->meta->epoch, grace->batch_epoch, __ATOMIC_RELEASE);
	__atomic_store_n(&grace->requested, grace->batch_epoch, __ATOMIC_RELEASE);
	signal_fd(grace->wake_fd);
}

static bool kernel_done(const struct spw_grace *grace)
{
	return __atomic_load_n(&grace->completed, __ATOMIC_ACQUIRE) == grace->batch_epoch;
}

static bool workers_done(const struct spw_grace *grace)
{
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++) {
		uint64_t epoch = __atomic_load_n(&grace->workers[i].epoch, __ATOMIC_ACQUIRE);
		if (epoch != 0 && epoch < grace->batch_epoch)
			return false;
	}
	return true;
}

static void period_end(struct spw_grace *grace)
{
	/* Callbacks may defer: that moves the tail, never batch_end. */
	while (grace->head < grace->batch_end) {
		struct entry entry = grace->limbo[grace->head % grace->limbo_max];
		grace->head++;
		entry.fn(entry.arg0, entry.arg1);
	}
	grace->running = false;
}

int spw_grace_run(struct spw_grace *grace)
{
	uint64_t count;

	/* Not blocking; nothing to read is as good as something: the state below decides. */
	ssize_t got = read(grace->notify_fd, &count, sizeof(count));
	(void)got;

	if (grace->running) {
		if (!kernel_done(grace))
			return -1;
		if (!workers_done(grace))
			return LAG_POLL_MS;
		period_end(grace);
	}
	if (grace->tail != grace->batch_end)
		period_begin(grace);
	return -1;
}

int spw_grace_drain(struct spw_grace *grace, int timeout_ms)
{
	int64_t end = (int64_t)spw_now_ms() + timeout_ms;
	uint64_t tail = grace->tail;
	/* What is deferred waits for the period after the running one; an empty period will do when
	 * nothing waits, hence the target is an epoch and not a place in the limbo. */
	uint64_t epoch = grace->meta->epoch + 1;

	for (;;) {
		int wait_ms = spw_grace_run(grace);
		if (!grace->running) {
			if (grace->head >= tail && grace->meta->epoch >= epoch)
				return 0;
			period_begin(grace);
			wait_ms = -1;
		}
		int64_t left_ms = end - (int64_t)spw_now_ms();
		if (left_ms <= 0) {
			/* The helper's word may have been read here: the event loop is to go on. */
			signal_fd(grace->notify_fd);
			return -ETIMEDOUT;
		}
		if (wait_ms < 0 || wait_ms > left_ms)
			wait_ms = (int)left_ms;
		struct pollfd pollfd = {.fd = grace->notify_fd, .events = POLLIN};
		poll(&pollfd, 1, wait_ms);
	}
}

void spw_grace_workers_gone(struct spw_grace *grace, uint64_t alive)
{
	for (uint32_t i = 0; i < SPW_WORKERS_MAX; i++) {
		struct spw_worker_row *row = &grace->workers[i];
		if (alive && __atomic_load_n(&row->generation, __ATOMIC_RELAXED) == alive)
			continue;
		__atomic_store_n(&row->epoch, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&row->generation, 0, __ATOMIC_RELEASE);
	}
	if (grace->running)
		signal_fd(grace->notify_fd);
}
