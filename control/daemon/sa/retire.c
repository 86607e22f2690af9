/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * retire.c - SAs on their way out, see sas_private.h.
 *
 *	withdrawn --grace period--> unused --SA_DEL, ACK--> slot free
 *
 * Who may still use the SA when, and why that ends: the classifier and the workers until the grace
 * period is over (they have looked up its slot before it was withdrawn); the dataplane's own table
 * until the ACK. A full limbo, a full queue or a lost connection only make it take longer.
 */
#include <errno.h>
#include <stdlib.h>

#include "control/daemon/log.h"
#include "control/daemon/sa/sas_private.h"

struct spw_retiring {
	struct spw_sas *sas; /* NULL: forgotten */
	struct spw_retiring *next, **at;
	uint32_t direction, slot;
	enum { WITHDRAWN, IN_GRACE, UNUSED, ASKED } state;
};

static void go_on(struct spw_retiring *entry);

static void unlink_entry(struct spw_retiring *entry)
{
	*entry->at = entry->next;
	if (entry->next)
		entry->next->at = entry->at;
	free(entry);
}

static void finish(struct spw_retiring *entry)
{
	struct spw_node *node = entry->sas->node;

	spw_slots_free(entry->direction == SPW_SA_IN ? node->spi_slots : node->out_slots,
		       entry->slot);
	unlink_entry(entry);
}

static void after_grace(void *arg0, uint64_t arg1)
{
	struct spw_retiring *entry = arg0;

	(void)arg1;
	if (!entry->sas) {
		free(entry);
		return;
	}
	entry->state = UNUSED;
	go_on(entry);
}

static void on_answer(void *arg, int error, uint64_t value)
{
	struct spw_retiring *entry = arg;

	(void)value;
	if (error == -ECONNRESET || error == -ETIMEDOUT) {
		entry->state = UNUSED; /* asked again, or it went with the process */
		return;
	}
	if (error < 0 && error != -ENOENT) {
		spw_log("error", "sa",
			"the dataplane cannot remove SA slot %u: error %d; the slot "
			"stays taken",
			entry->slot, -error);
		unlink_entry(entry);
		return;
	}
	finish(entry);
}

static void ask(struct spw_retiring *entry)
{
	struct spw_msg_sa_del msg = {
		.head.type = SPW_MSG_SA_DEL, .direction = entry->direction, .slot = entry->slot};
	int err = spw_link_request(entry->sas->node->link, &msg, sizeof(msg), on_answer, entry);

	if (err == 0)
		entry->state = ASKED;
	else if (err != -ENOTCONN)
		spw_sas_retry_soon(entry->sas);
}

static void go_on(struct spw_retiring *entry)
{
	struct spw_sas *sas = entry->sas;

	if (entry->state == WITHDRAWN) {
		if (spw_grace_reserve(sas->node->grace, 1) < 0) {
			spw_sas_retry_soon(sas);
			return;
		}
		entry->state = IN_GRACE;
		spw_grace_defer(sas->node->grace, after_grace, entry, 0);
	} else if (entry->state == UNUSED) {
		if (sas->gone)
			finish(entry);
		else
			ask(entry);
	}
}

void spw_retire(struct spw_sas *sas, uint32_t direction, uint32_t slot)
{
	struct spw_retiring *entry = calloc(1, sizeof(*entry));

	if (direction == SPW_SA_IN)
		spw_spi_store(sas->node, slot, 0, 0);
	if (!entry) {
		spw_log("error", "sa", "no memory to remove SA slot %u; the slot stays taken",
			slot);
		return;
	}
	*entry = (struct spw_retiring){.sas = sas,
				       .direction = direction,
				       .slot = slot,
				       .state = WITHDRAWN,
				       .next = sas->retiring,
				       .at = &sas->retiring};
	if (entry->next)
		entry->next->at = &entry->next;
	sas->retiring = entry;
	go_on(entry);
}

void spw_retire_go_on(struct spw_sas *sas)
{
	struct spw_retiring *next;

	for (struct spw_retiring *entry = sas->retiring; entry; entry = next) {
		next = entry->next;
		go_on(entry);
	}
}

void spw_retire_forget(struct spw_sas *sas)
{
	struct spw_retiring *next;

	for (struct spw_retiring *entry = sas->retiring; entry; entry = next) {
		next = entry->next;
		/* The limbo still points to those in a grace period; they free themselves. */
		if (entry->state == IN_GRACE)
			entry->sas = NULL;
		else
			free(entry);
	}
	sas->retiring = NULL;
}
