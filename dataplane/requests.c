/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/requests.h"

#include <errno.h>

#include "control/clock.h"

static int handle_add(struct spw_crew *crew, struct spw_sa_table *sas,
		      const struct spw_msg_sa_add *msg)
{
	/* The stages count by tunnel and hand packets to the SA's worker: both must exist. */
	if (msg->worker >= crew->workers || msg->tunnel >= crew->worker[0]->lane.tables.tunnels_max)
		return -EINVAL;
	return spw_sa_add(sas, msg, spw_now_ms());
}

static int handle_del(struct spw_crew *crew, struct spw_sa_table *sas,
		      const struct spw_msg_sa_del *msg)
{
	uint64_t sequence;

	/* Tells a slot out of range from one that is free. */
	int error = spw_sa_query(sas, msg->direction, msg->slot, &sequence);
	if (error)
		return error;
	struct spw_sa *sa = spw_sa_unpublish(sas, msg->direction, msg->slot);
	spw_crew_grace(crew);
	spw_sa_destroy(sa);
	return 0;
}

/* How many at once wait for the same grace period. */
#define ENDED_MAX 64u

int spw_request_end_sas(struct spw_crew *crew, struct spw_sa_table *sas)
{
	struct spw_sa *ended[ENDED_MAX];
	uint64_t now_ms = spw_now_ms();
	uint32_t cnt = 0;

	while (cnt < ENDED_MAX && (ended[cnt] = spw_sa_unpublish_ended(sas, now_ms)))
		cnt++;
	if (cnt > 0)
		spw_crew_grace(crew);
	for (uint32_t k = 0; k < cnt; k++)
		spw_sa_destroy(ended[k]);
	return spw_sa_ends_in_ms(sas, now_ms);
}

static int handle_dummy(struct spw_crew *crew, const struct spw_sa_table *sas, uint32_t slot)
{
	const struct spw_sa *sa = slot < sas->sas_max ? sas->out[slot] : NULL;

	return sa ? spw_crew_send_dummy(crew, slot, sa) : -ENOENT;
}

static int handle(struct spw_crew *crew, struct spw_sa_table *sas, const union spw_msg_buffer *msg,
		  size_t bytes, uint64_t *value)
{
	switch (msg->head.type) {
	case SPW_MSG_SA_ADD:
		return bytes == sizeof(msg->sa_add) ? handle_add(crew, sas, &msg->sa_add) : -EINVAL;
	case SPW_MSG_SA_DEL:
		return bytes == sizeof(msg->sa_del) ? handle_del(crew, sas, &msg->sa_del) : -EINVAL;
	case SPW_MSG_SA_LIMIT:
		return bytes == sizeof(msg->sa_limit)
			       ? spw_sa_limit(sas, msg->sa_limit.direction, msg->sa_limit.slot,
					      msg->sa_limit.limit)
			       : -EINVAL;
	case SPW_MSG_SA_QUERY:
		return bytes == sizeof(msg->sa_query) ? spw_sa_query(sas, msg->sa_query.direction,
								     msg->sa_query.slot, value)
						      : -EINVAL;
	case SPW_MSG_DUMMY:
		return bytes == sizeof(msg->dummy) ? handle_dummy(crew, sas, msg->dummy.slot)
						   : -EINVAL;
	default:
		return -EINVAL;
	}
}

struct spw_msg_ack spw_request_handle(struct spw_crew *crew, struct spw_sa_table *sas,
				      const union spw_msg_buffer *msg, size_t bytes)
{
	struct spw_msg_ack ack = {
		.head = {.type = SPW_MSG_ACK, .request_id = msg->head.request_id},
	};

	ack.error = handle(crew, sas, msg, bytes, &ack.value);
	return ack;
}

static int send_finals(const struct spw_sa_table *sas, uint32_t direction, struct spw_link *link)
{
	struct spw_sa *const *slots = direction == SPW_SA_IN ? sas->in : sas->out;

	for (uint32_t slot = 1; slot < sas->sas_max; slot++) {
		const struct spw_sa *sa = slots[slot];
		if (!sa || sa->limit == UINT64_MAX)
			continue;
		const struct spw_msg_sa_final final = {
			.head.type = SPW_MSG_SA_FINAL,
			.direction = direction,
			.slot = slot,
			.sequence = direction == SPW_SA_IN ? sa->replay.top : sa->sequence,
		};
		int error = spw_link_send(link, &final, sizeof(final));
		if (error)
			return error;
	}
	return 0;
}

void spw_request_send_finals(const struct spw_sa_table *sas, struct spw_link *link)
{
	if (link->fd < 0 || !link->ready)
		return; /* the reserve that is persisted already covers what was used */
	if (send_finals(sas, SPW_SA_IN, link) == 0)
		send_finals(sas, SPW_SA_OUT, link);
}
