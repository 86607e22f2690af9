/* SPDX-License-Identifier: BSD-2-Clause */
/* link_messages.c - what control and the dataplane say to each other; see link.h, handover.h. */
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/daemon/log.h"
#include "control/daemon/sa/link_private.h"

#define ANSWER_SECONDS 10u

static_assert(sizeof(struct spw_msg_sa_add) <= SPW_KEYS_CELL_BYTES, "a request fits into a cell");

/* ---- requests out, ACKs in ---------------------------------------------------------------- */

static void request_free(struct spw_link *link, struct spw_link_request *request)
{
	spw_keys_free(link->keys, request->msg);
	free(request);
}

static struct spw_link_request *list_take(struct spw_link_request **list,
					  struct spw_link_request ***end)
{
	struct spw_link_request *request = *list;

	if (!request)
		return NULL;
	*list = request->next;
	if (!*list)
		*end = list;
	request->next = NULL;
	return request;
}

int spw_link_request(struct spw_link *link, const void *msg, size_t bytes, spw_link_answer answer,
		     void *arg)
{
	struct spw_link_request *request;

	if (!spw_link_ready(link))
		return -ENOTCONN;
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	request->msg = spw_keys_alloc(link->keys);
	if (!request->msg) {
		free(request);
		return -ENOBUFS;
	}
	if (++link->last_id == 0)
		link->last_id = 1;
	request->id = link->last_id;
	request->answer = answer;
	request->arg = arg;
	request->bytes = bytes;
	memcpy(request->msg, msg, bytes);
	((struct spw_msg *)request->msg)->request_id = request->id;
	*link->waiting_end = request;
	link->waiting_end = &request->next;
	/* Not sent here: a failing connection must not answer before we have returned. */
	event_add(link->writable, NULL);
	return 0;
}

void spw_link_write(struct spw_link *link)
{
	while (link->waiting && link->flying_cnt < SPW_LINK_WINDOW) {
		struct spw_link_request *request = link->waiting;
		ssize_t n =
			send(link->fd, request->msg, request->bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			event_add(link->writable, NULL);
			return;
		}
		if (n < 0) {
			spw_link_protocol_error(link, "cannot send to it");
			return;
		}
		list_take(&link->waiting, &link->waiting_end);
		spw_keys_free(link->keys, request->msg);
		request->msg = NULL;
		*link->flying_end = request;
		link->flying_end = &request->next;
		if (link->flying_cnt++ == 0)
			spw_link_await(link, ANSWER_SECONDS);
	}
}

void spw_link_answer_all(struct spw_link *link, int error)
{
	struct spw_link_request *request;

	link->flying_cnt = 0;
	while ((request = list_take(&link->flying, &link->flying_end)) ||
	       (request = list_take(&link->waiting, &link->waiting_end))) {
		request->answer(request->arg, error, 0);
		request_free(link, request);
	}
}

void spw_link_forget_all(struct spw_link *link)
{
	struct spw_link_request *request;

	while ((request = list_take(&link->flying, &link->flying_end)) ||
	       (request = list_take(&link->waiting, &link->waiting_end)))
		request_free(link, request);
}

/* ACKs come in the order of their requests or not; the list is at most a window long. */
static void hear_ack(struct spw_link *link, const struct spw_msg_ack *ack)
{
	struct spw_link_request **at = &link->flying, *request;

	while (*at && (*at)->id != ack->head.request_id)
		at = &(*at)->next;
	request = *at;
	if (!request) {
		spw_link_protocol_error(link, "it answered a request that was never made");
		return;
	}
	*at = request->next;
	if (!*at)
		link->flying_end = at;
	link->flying_cnt--;
	if (link->flying_cnt > 0)
		spw_link_await(link, ANSWER_SECONDS);
	else
		evtimer_del(link->timer);
	request->answer(request->arg, ack->error > 0 ? -EPROTO : ack->error, ack->value);
	request_free(link, request);
	if (link->fd >= 0)
		spw_link_write(link);
}

/* ---- the beginning ------------------------------------------------------------------------ */

static int send_setup(struct spw_link *link)
{
	const struct spw_node *node = link->node;
	struct spw_msg_setup setup = {.head.type = SPW_MSG_SETUP,
				      .tables_id = node->maps.meta->tables_id,
				      .workers = node->workers,
				      .ports_cnt = node->interfaces_cnt};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * SPW_MAP_CNT)];
	} control = {0};
	struct iovec data = {.iov_base = &setup, .iov_len = sizeof(setup)};
	struct msghdr msg = {.msg_iov = &data,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	memcpy(setup.node, node->name, sizeof(setup.node) - 1);
	memcpy(setup.aead, node->aead, sizeof(setup.aead));
	for (uint32_t i = 0; i < node->interfaces_cnt; i++) {
		const struct spw_interface *interface = &node->interfaces[i];
		memcpy(setup.ports[i].ifname, interface->ifname, sizeof(setup.ports[i].ifname));
		memcpy(setup.ports[i].device, interface->device, sizeof(setup.ports[i].device));
		setup.ports[i].port = i;
		setup.ports[i].queues = interface->queues;
		setup.ports[i].mtu_bytes = interface->mtu_bytes;
	}
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * SPW_MAP_CNT);
	memcpy(CMSG_DATA(header), node->maps.fd, sizeof(int) * SPW_MAP_CNT);
	return sendmsg(link->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void hear_hello(struct spw_link *link, const struct spw_msg_hello *hello)
{
	if (link->state != SPW_LINK_CONNECTED || hello->instance == 0 ||
	    (link->instance != 0 && link->instance != hello->instance)) {
		spw_link_protocol_error(link, "an unexpected HELLO");
	} else if (hello->handover_version != SPW_HANDOVER_VERSION ||
		   hello->layout_version != SPW_LAYOUT_VERSION) {
		spw_link_protocol_error(link, "it is of another version than this control; install "
					      "both from one build");
	} else if (link->ops->hello(link->arg, hello->instance) < 0) {
		spw_link_drop(link);
	} else if (send_setup(link) < 0) {
		spw_link_protocol_error(link, "cannot send SETUP");
	} else {
		spw_link_greeted(link, hello->instance);
	}
}

/* What the dataplane says goes to people's terminals. */
static void copy_printable(char *out, const char *in, size_t bytes)
{
	memcpy(out, in, bytes);
	out[bytes - 1] = '\0';
	for (char *c = out; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
}

static void hear_ready(struct spw_link *link, const struct spw_msg_ready *ready)
{
	if (link->state != SPW_LINK_GREETED || ready->instance != link->instance ||
	    ready->workers != link->node->workers) {
		spw_link_protocol_error(link, "an unexpected READY");
		return;
	}
	memcpy(link->cpus, ready->cpus, sizeof(link->cpus));
	copy_printable(link->aead, ready->aead, sizeof(link->aead));
	copy_printable(link->aead_why, ready->aead_why, sizeof(link->aead_why));
	evtimer_del(link->timer);
	link->state = SPW_LINK_READY;
	spw_log("info", "link", "dataplane %d is ready: %u worker%s, AEAD %s (%s)", link->pid,
		ready->workers, ready->workers == 1 ? "" : "s", link->aead, link->aead_why);
	link->ops->ready(link->arg);
}

static void hear_failed(struct spw_link *link, const struct spw_msg_failed *failed)
{
	char text[sizeof(failed->text)];

	copy_printable(text, failed->text, sizeof(text));
	spw_log("error", "link", "dataplane %d cannot start: %s", link->pid, text);
	spw_link_drop(link);
}

/* ---- while it runs ------------------------------------------------------------------------ */

static void hear_glean(struct spw_link *link, const struct spw_msg_glean *glean)
{
	struct spw_endpoint host = {.family = (uint8_t)glean->family};

	if (glean->port >= link->node->interfaces_cnt ||
	    (glean->family != 4 && glean->family != 6)) {
		spw_link_protocol_error(link, "a GLEAN of no port or family");
		return;
	}
	memcpy(host.addr, glean->addr, glean->family == 4 ? 4 : 16);
	link->ops->glean(link->arg, glean->port, &host);
}

/* Whether an inbound SA may have this slot and SPI. */
static bool inbound_valid(const struct spw_link *link, uint32_t slot, uint32_t spi)
{
	return slot != 0 && slot < link->node->maps.meta->sas_max && SPW_SPI_SLOT(spi) == slot;
}

static void hear_heard(struct spw_link *link, const struct spw_msg_heard *heard)
{
	if (!inbound_valid(link, heard->slot, heard->spi)) {
		spw_link_protocol_error(link, "a HEARD of no SA");
		return;
	}
	link->ops->heard(link->arg, heard->slot, heard->spi);
}

static void hear_roamed(struct spw_link *link, const struct spw_msg_roamed *roamed)
{
	struct spw_endpoint source = {.family = (uint8_t)roamed->family, .port = roamed->port};

	if (!inbound_valid(link, roamed->slot, roamed->spi) || roamed->tunnel == 0 ||
	    roamed->tunnel >= link->node->maps.meta->tunnels_max ||
	    (roamed->family != 4 && roamed->family != 6) || roamed->port == 0) {
		spw_link_protocol_error(link, "a ROAMED of no SA, tunnel or address");
		return;
	}
	memcpy(source.addr, roamed->addr, roamed->family == 4 ? 4 : 16);
	link->ops->roamed(link->arg, roamed->slot, roamed->spi, roamed->tunnel, &source);
}

static void hear_final(struct spw_link *link, const struct spw_msg_sa_final *final)
{
	if (final->direction > SPW_SA_OUT || final->slot >= link->node->maps.meta->sas_max) {
		spw_link_protocol_error(link, "an SA_FINAL of no SA");
		return;
	}
	link->ops->final(link->arg, final->direction, final->slot, final->sequence);
}

static void dispatch(struct spw_link *link, size_t bytes)
{
	const void *msg = link->buffer;
	uint32_t type = bytes >= sizeof(struct spw_msg) ? ((const struct spw_msg *)msg)->type : 0;
	bool ready = link->state == SPW_LINK_READY;

	if (type == SPW_MSG_HELLO && bytes == sizeof(struct spw_msg_hello))
		hear_hello(link, msg);
	else if (type == SPW_MSG_READY && bytes == sizeof(struct spw_msg_ready))
		hear_ready(link, msg);
	else if (type == SPW_MSG_FAILED && bytes == sizeof(struct spw_msg_failed))
		hear_failed(link, msg);
	else if (type == SPW_MSG_ACK && bytes == sizeof(struct spw_msg_ack) && ready)
		hear_ack(link, msg);
	else if (type == SPW_MSG_GLEAN && bytes == sizeof(struct spw_msg_glean) && ready)
		hear_glean(link, msg);
	else if (type == SPW_MSG_HEARD && bytes == sizeof(struct spw_msg_heard) && ready)
		hear_heard(link, msg);
	else if (type == SPW_MSG_ROAMED && bytes == sizeof(struct spw_msg_roamed) && ready)
		hear_roamed(link, msg);
	else if (type == SPW_MSG_SA_LOW && bytes == sizeof(struct spw_msg) && ready)
		link->ops->low(link->arg);
	else if (type == SPW_MSG_SA_FINAL && bytes == sizeof(struct spw_msg_sa_final) && ready)
		hear_final(link, msg);
	else
		spw_link_protocol_error(link, "a message of unexpected type or length");
}

/* Nothing that comes from there carries descriptors; what does come must not stay open. */
static bool close_descriptors(struct msghdr *msg)
{
	bool any = false;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(msg); header;
	     header = CMSG_NXTHDR(msg, header)) {
		size_t cnt = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < cnt; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
			close(fd);
		}
		any = true;
	}
	return any;
}

void spw_link_read(struct spw_link *link, uint32_t messages_max)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	ssize_t n;

	while (link->fd >= 0 && messages_max-- > 0) {
		struct iovec data = {.iov_base = link->buffer, .iov_len = sizeof(link->buffer)};
		struct msghdr msg = {.msg_iov = &data,
				     .msg_iovlen = 1,
				     .msg_control = &control,
				     .msg_controllen = sizeof(control)};
		n = recvmsg(link->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			spw_log("warning", "link", "dataplane %d closed the connection", link->pid);
			spw_link_drop(link);
			return;
		}
		if (close_descriptors(&msg) || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
			spw_link_protocol_error(link,
						"a message that is too long or carries files");
		else
			dispatch(link, (size_t)n);
	}
}
