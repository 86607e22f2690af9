/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/service.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rte_ring_elem.h>

#include "control/clock.h"
#include "dataplane/log.h"
#include "dataplane/requests.h"
#include "dataplane/stages/report.h"

#define RECONNECT_MS 100
/* Asking a device may take it some milliseconds; nobody waits for this counter. */
#define DEVICES_ASK_MS 1000

static void close_fds(const int *fds, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++)
		close(fds[i]);
}

static int sooner(int a_ms, int b_ms)
{
	return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

/* One round of waiting, at most wait_ms, -1: without end. Returns true when a signal to end has
 * come. */
static bool wait_for(struct spw_service *service, struct pollfd *fds, uint32_t cnt, int wait_ms)
{
	struct signalfd_siginfo signal;

	fds[0] = (struct pollfd){service->signals_fd, POLLIN, 0};
	fds[1] = (struct pollfd){service->link.fd, POLLIN, 0}; /* -1: poll() passes it over */
	if (service->devices)
		wait_ms = sooner(wait_ms, DEVICES_ASK_MS);
	if (service->link.fd < 0)
		wait_ms = sooner(wait_ms, RECONNECT_MS);
	poll(fds, cnt, wait_ms);
	return fds[0].revents && read(service->signals_fd, &signal, sizeof(signal)) > 0;
}

/* Connects, but not sooner after the last attempt than RECONNECT_MS: a control that takes the
 * connection and closes it, because it serves another dataplane or cannot write its state, must not
 * be asked, and must not log that it was, as fast as two processes can. */
static void reconnect(struct spw_service *service, bool first)
{
	uint64_t now_ms = spw_now_ms();

	if (!first && now_ms - service->tried_ms < RECONNECT_MS)
		return;
	service->tried_ms = now_ms;
	int error = spw_link_connect(&service->link);

	/* Said once: that control is not there yet, or not again, is no news 10 times a second. */
	if (error && first)
		spw_log(SPW_LOG_INFO, "link", "waiting for control at %s: %s", service->link.path,
			strerror(-error));
}

/* A message that should be SETUP. 1: it is, and the descriptors are the caller's. */
static int take_setup(struct spw_service *service, int fds[SPW_MAP_CNT], char *why,
		      unsigned int why_bytes)
{
	uint32_t fds_cnt;
	ssize_t bytes = spw_link_receive(&service->link, service->buffer, fds, &fds_cnt);

	if (bytes > 0 && fds_cnt == SPW_MAP_CNT &&
	    spw_setup_valid(&service->buffer->setup, (size_t)bytes, service->node, why, why_bytes))
		return 1;
	close_fds(fds, fds_cnt);
	if (bytes == -EAGAIN)
		return 0;
	if (bytes <= 0) {
		spw_link_close(&service->link);
		return 0;
	}
	if (fds_cnt != SPW_MAP_CNT)
		snprintf(why, why_bytes, "SETUP came with %u tables, expected %u", fds_cnt,
			 SPW_MAP_CNT);
	return -EPROTO;
}

int spw_service_await_setup(struct spw_service *service, int fds[SPW_MAP_CNT], char *why,
			    unsigned int why_bytes)
{
	struct pollfd polled[2];
	int taken = 0;

	for (bool first = true; taken == 0; first = false) {
		if (service->link.fd < 0)
			reconnect(service, first);
		if (wait_for(service, polled, 2, -1))
			return -EINTR;
		if (polled[1].revents)
			taken = take_setup(service, fds, why, why_bytes);
	}
	if (taken < 0)
		return taken;
	service->setup = service->buffer->setup;
	return 0;
}

int spw_service_send_ready(struct spw_service *service)
{
	struct spw_msg_ready ready = {
		.head.type = SPW_MSG_READY,
		.instance = service->link.instance,
		.workers = service->setup.workers,
	};

	memcpy(ready.cpus, service->cpus.worker, sizeof(ready.cpus));
	snprintf(ready.aead, sizeof(ready.aead), "%s", spw_aead_provider());
	memcpy(ready.aead_why, service->aead_why, sizeof(ready.aead_why));
	/* Control may have cleared the rows with its end of the last connection. */
	spw_crew_mark(&service->crew, service->link.instance);
	int error = spw_link_send(&service->link, &ready, sizeof(ready));
	service->link.ready = error == 0;
	return error;
}

/* Whether a control that has come back serves what this process was started with. */
static bool same_setup(const struct spw_msg_setup *ours, const struct spw_msg_setup *theirs)
{
	if (ours->tables_id != theirs->tables_id || ours->workers != theirs->workers ||
	    ours->ports_cnt != theirs->ports_cnt)
		return false;
	for (uint32_t i = 0; i < ours->ports_cnt; i++) {
		const struct spw_msg_port *a = &ours->ports[i], *b = &theirs->ports[i];
		if (strncmp(a->ifname, b->ifname, sizeof(a->ifname)) != 0 || a->port != b->port ||
		    a->queues != b->queues || a->mtu_bytes != b->mtu_bytes ||
		    strncmp(a->device, b->device, sizeof(a->device)) != 0)
			return false;
	}
	return true;
}

/* After a reconnect: control's first message. */
static int rejoin(struct spw_service *service)
{
	int fds[SPW_MAP_CNT];
	char why[sizeof(((struct spw_msg_failed *)0)->text)];
	int taken = take_setup(service, fds, why, sizeof(why));

	if (taken == 0)
		return 0;
	if (taken > 0) {
		close_fds(fds, SPW_MAP_CNT); /* the mappings are still those of the first start */
		if (same_setup(&service->setup, &service->buffer->setup)) {
			spw_log(SPW_LOG_INFO, "link", "control is back");
			if (spw_service_send_ready(service) != 0)
				spw_link_close(&service->link);
			return 0;
		}
		snprintf(why, sizeof(why),
			 "control came back with other tables, ports or workers; "
			 "the dataplane ends, start it again");
	}
	spw_link_send_failed(&service->link, why);
	return -ESTALE;
}

static void serve_request(struct spw_service *service)
{
	int fds[SPW_MAP_CNT];
	uint32_t fds_cnt;
	ssize_t bytes = spw_link_receive(&service->link, service->buffer, fds, &fds_cnt);

	close_fds(fds, fds_cnt); /* no request brings any */
	if (bytes == -EAGAIN)
		return;
	if (bytes == -EMSGSIZE || (bytes > 0 && bytes < (ssize_t)sizeof(struct spw_msg))) {
		spw_log(SPW_LOG_WARNING, "link", "control sent something that is no message");
		return; /* without a head there is no request to answer */
	}
	if (bytes <= 0) {
		spw_log(SPW_LOG_WARNING, "link", "control is gone; packets go on, reconnecting");
		spw_link_close(&service->link);
		return;
	}
	const struct spw_msg_ack ack =
		spw_request_handle(&service->crew, service->sas, service->buffer, (size_t)bytes);
	/* Control clears slots that an earlier one may have left in use: mostly they are free. */
	bool was_free = ack.error == -ENOENT && service->buffer->head.type == SPW_MSG_SA_DEL;
	if (ack.error && !was_free)
		spw_log(SPW_LOG_WARNING, "link", "request %u of type %u: %s", ack.head.request_id,
			service->buffer->head.type, strerror(-ack.error));
	if (spw_link_send(&service->link, &ack, sizeof(ack)) != 0)
		spw_link_close(&service->link);
}

/* Reads a worker's glean slot. False: nothing new, or it is being written, and the worker will
 * tell again. */
static bool read_glean(const struct spw_worker_row *row, uint32_t *seen, struct spw_msg_glean *msg)
{
	uint32_t seq = __atomic_load_n(&row->glean_seq, __ATOMIC_ACQUIRE);

	if (seq == *seen || seq & 1)
		return false;
	msg->port = row->glean_port;
	msg->family = row->glean_family;
	memcpy(msg->addr, row->glean_addr, sizeof(msg->addr));
	/* The loads above come before the second look at the number (seqlock). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&row->glean_seq, __ATOMIC_RELAXED) != seq)
		return false;
	*seen = seq;
	return true;
}

/* With nobody to tell, control has died: its successor makes new sessions. */
static void send_reports(struct spw_service *service, struct rte_ring *reports)
{
	union spw_report report;

	/* What comes meanwhile is announced anew. */
	for (uint32_t k = 0; k < SPW_REPORTS_MAX; k++) {
		if (rte_ring_sc_dequeue_elem(reports, &report, sizeof(report)) != 0)
			return;
		size_t bytes = report.head.type == SPW_MSG_HEARD ? sizeof(report.heard)
								 : sizeof(report.roamed);
		if (service->link.ready && spw_link_send(&service->link, &report, bytes) != 0)
			spw_link_close(&service->link);
	}
}

static void serve_events(struct spw_service *service)
{
	const struct spw_msg low = {.type = SPW_MSG_SA_LOW};
	struct spw_msg_glean msg = {.head.type = SPW_MSG_GLEAN};
	uint64_t events;

	if (read(service->crew.events_fd, &events, sizeof(events)) < 0)
		return;
	for (uint32_t w = 0; w < service->crew.workers; w++) {
		send_reports(service, service->crew.worker[w]->lane.reports);
		/* With nobody to tell, the next packet near the limit asks again. */
		if (__atomic_exchange_n(&service->crew.worker[w]->reserve_low, 0,
					__ATOMIC_ACQUIRE) &&
		    service->link.ready && spw_link_send(&service->link, &low, sizeof(low)) != 0)
			spw_link_close(&service->link);
		if (!read_glean(&service->tables.workers[w], &service->glean_seen[w], &msg))
			continue;
		/* With nobody to tell, the host's next packet asks again. */
		if (service->link.ready && spw_link_send(&service->link, &msg, sizeof(msg)) != 0)
			spw_link_close(&service->link);
	}
}

/* Tells worker 0, which counts it, what devices have lost. */
static void ask_devices(struct spw_service *service)
{
	uint64_t now_ms = spw_now_ms();

	if (!service->devices || now_ms - service->devices_asked_ms < DEVICES_ASK_MS)
		return;
	service->devices_asked_ms = now_ms;
	__atomic_store_n(&service->crew.worker[0]->devices_lost, spw_devices_lost(&service->ports),
			 __ATOMIC_RELAXED);
}

int spw_service_run(struct spw_service *service)
{
	struct pollfd polled[3] = {[2] = {service->crew.events_fd, POLLIN, 0}};
	int error = 0;

	for (uint32_t w = 0; w < service->crew.workers; w++)
		service->glean_seen[w] = service->tables.workers[w].glean_seq;
	while (!error) {
		if (service->link.fd < 0)
			reconnect(service, false);
		/* Whatever control does or does not: keys end in time. */
		int ends_ms = spw_request_end_sas(&service->crew, service->sas);
		if (wait_for(service, polled, 3, ends_ms))
			return 0;
		ask_devices(service);
		if (polled[2].revents)
			serve_events(service);
		if (polled[1].revents && service->link.fd >= 0) {
			if (service->link.ready)
				serve_request(service);
			else
				error = rejoin(service);
			/* It may have held a key. */
			explicit_bzero(service->buffer, sizeof(*service->buffer));
		}
	}
	return error;
}
