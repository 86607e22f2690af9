/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any order of events at one end of a tunnel (control/daemon/session): each byte is an event or a
 * piece of time. What sends is made, confirmed and young; each session is dropped once, and never
 * the one that sends; the machine always knows when it wants to be called again.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "control/daemon/session/sessions.h"

#define SERIALS_MAX 4096
#define REJECT_MS 180000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum held { HELD_NEVER, HELD_MAKING, HELD_MADE, HELD_DROPPED };

static struct end {
	struct spw_sessions s;
	uint64_t now_ms;
	bool at_once, switch_fails;
	uint32_t sending, last; /* last: the newest serial */
	enum held held[SERIALS_MAX];
	bool ours[SERIALS_MAX], heard[SERIALS_MAX];
	uint64_t born_ms[SERIALS_MAX];
	bool making_ours, init_open;
	struct spw_sessions_traffic totals;
} end;

static void must(int condition)
{
	if (!condition)
		abort();
}

static void op_send_init(void *arg)
{
	(void)arg;
	end.init_open = true;
}

static void op_make(void *arg, uint32_t serial)
{
	uint32_t held = 1;

	(void)arg;
	must(serial > end.last && serial < SERIALS_MAX);
	for (uint32_t i = 1; i <= end.last; i++)
		held += end.held[i] == HELD_MAKING || end.held[i] == HELD_MADE;
	must(held <= SPW_SESSIONS_MAX);
	end.last = serial;
	end.held[serial] = HELD_MAKING;
	end.ours[serial] = end.making_ours;
	end.heard[serial] = false;
	end.born_ms[serial] = end.now_ms;
	if (end.at_once) {
		end.held[serial] = HELD_MADE;
		spw_sessions_made(&end.s, serial, 0, end.now_ms);
	}
}

static void op_send_response(void *arg, uint32_t serial)
{
	(void)arg;
	must(serial <= end.last);
	must(end.held[serial] == HELD_MADE && !end.ours[serial]);
}

static int op_send_with(void *arg, uint32_t serial)
{
	(void)arg;
	if (end.switch_fails)
		return -11;
	must(serial != end.sending);
	if (serial != 0) {
		must(end.held[serial] == HELD_MADE);
		must(end.ours[serial] || end.heard[serial]);
		must(end.now_ms - end.born_ms[serial] < REJECT_MS);
		must(serial > end.sending);
	}
	end.sending = serial;
	return 0;
}

static void op_send_dummy(void *arg)
{
	(void)arg;
	must(end.sending != 0 && end.now_ms - end.born_ms[end.sending] < REJECT_MS);
}

static void op_drop(void *arg, uint32_t serial)
{
	(void)arg;
	must(serial != end.sending);
	must(end.held[serial] == HELD_MAKING || end.held[serial] == HELD_MADE);
	end.held[serial] = HELD_DROPPED;
}

static const struct spw_sessions_ops ops = {
	.send_init = op_send_init,
	.make = op_make,
	.send_response = op_send_response,
	.send_with = op_send_with,
	.send_dummy = op_send_dummy,
	.drop = op_drop,
};

static void check(void)
{
	uint64_t deadline_ms;

	spw_sessions_tick(&end.s, end.now_ms);
	deadline_ms = spw_sessions_deadline(&end.s);
	must(deadline_ms > end.now_ms);
	must(end.s.sending == end.sending);
	for (uint32_t i = 1; i <= end.last; i++)
		if (i != end.sending && (end.held[i] == HELD_MAKING || end.held[i] == HELD_MADE))
			must(end.now_ms - end.born_ms[i] < REJECT_MS);
	must(end.sending == 0 || end.switch_fails ||
	     end.now_ms - end.born_ms[end.sending] < REJECT_MS || end.s.switch_failed);
	must(!end.s.running || deadline_ms != UINT64_MAX || !end.s.can_initiate);
}

static void stop(void)
{
	for (uint32_t i = 1; i <= end.last; i++)
		end.held[i] = end.held[i] == HELD_NEVER ? HELD_NEVER : HELD_DROPPED;
	end.sending = 0;
	spw_sessions_stop(&end.s);
}

/* One of the newest sessions. */
static uint32_t pick(uint8_t byte)
{
	return end.last > (byte & 7u) ? end.last - (byte & 7u) : 0;
}

static void finish(uint32_t serial, int error)
{
	if (end.held[serial] == HELD_MAKING && error == 0)
		end.held[serial] = HELD_MADE;
	spw_sessions_made(&end.s, serial, error, end.now_ms);
}

static void hear(uint32_t serial)
{
	/* A packet can come only on what stands. */
	if (end.held[serial] != HELD_MADE)
		return;
	end.heard[serial] = true;
	spw_sessions_heard(&end.s, serial, end.now_ms);
}

static void count(uint8_t byte)
{
	end.totals.tx_packets += byte & 1;
	end.totals.tx_bytes += byte & 1 ? 100 : 0;
	end.totals.rx_packets += byte >> 1 & 1;
	end.totals.rx_bytes += (byte & 6) == 6 ? 100 : 0;
	if (byte & 8)
		end.totals.tx_bytes += UINT64_C(1) << 41;
	if ((byte & 31) == 31)
		end.totals = (struct spw_sessions_traffic){0};
	spw_sessions_traffic(&end.s, &end.totals, end.now_ms);
}

static void handshake(bool ours)
{
	uint32_t serial, before = end.last;

	end.making_ours = ours;
	if (ours && !end.init_open)
		return;
	serial = ours ? spw_sessions_response_heard(&end.s, end.now_ms)
		      : spw_sessions_init_heard(&end.s, end.now_ms);
	must(serial == (end.last == before ? 0 : end.last));
	if (ours)
		end.init_open = false;
}

static void happen(uint8_t event, uint8_t byte)
{
	switch (event % 16) {
	case 0:
	case 1:
		handshake(true);
		break;
	case 2:
	case 3:
		handshake(false);
		break;
	case 4:
		finish(pick(byte), 0);
		break;
	case 5:
		finish(pick(byte), byte & 8 ? -12 : 0);
		break;
	case 6:
	case 7:
		hear(pick(byte));
		break;
	case 8:
		count(byte);
		break;
	case 9:
		spw_sessions_rekey(&end.s, end.now_ms);
		break;
	case 10:
		end.at_once = byte & 1;
		end.switch_fails = byte & 2;
		break;
	case 11:
		spw_sessions_set_initiate(&end.s, byte & 1);
		spw_sessions_set_behind_nat(&end.s, byte & 2);
		break;
	case 12:
		if (byte & 15)
			break;
		stop();
		spw_sessions_start(&end.s, end.now_ms);
		break;
	case 13:
		end.now_ms += (uint64_t)byte << (event >> 4);
		break;
	default:
		/* As a caller that keeps its promise. */
		for (uint32_t i = 0; i < (byte & 15u); i++) {
			uint64_t deadline_ms = spw_sessions_deadline(&end.s);
			if (deadline_ms != UINT64_MAX && deadline_ms > end.now_ms)
				end.now_ms = deadline_ms;
			spw_sessions_tick(&end.s, end.now_ms);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	end = (struct end){.now_ms = 1000};
	spw_sessions_init(&end.s, &ops, NULL, bytes & 1, (uint32_t)bytes);
	spw_sessions_set_initiate(&end.s, true);
	spw_sessions_start(&end.s, end.now_ms);
	for (size_t i = 0; i + 1 < bytes && end.last + 1 < SERIALS_MAX; i += 2) {
		happen(data[i], data[i + 1]);
		check();
	}
	return 0;
}
