/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_frames.c - what the load generator makes of frames that come in: test packets in any order,
 * strange ones, neighbours' questions; and when a capture's frames are due.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "perf/pktgen/capture.h"
#include "perf/pktgen/measure.h"
#include "perf/pktgen/neighbors.h"
#include "perf/pktgen/tag.h"

#define ROOM 256u
#define FLOWS 4u
#define TRIAL 7u
#define HZ 1e9 /* a tick is a nanosecond */

/* A test packet in a frame; vlan 0: no tag. Returns the frame's bytes. */
static uint32_t make_frame(uint8_t frame[ROOM], uint8_t family, uint16_t vlan,
			   const struct spw_tag *tag)
{
	uint32_t ip_bytes = family == 4 ? SPW_IPV4_BYTES : SPW_IPV6_BYTES;
	uint8_t *at = frame + 12;

	memset(frame, 0, ROOM);
	if (vlan) {
		spw_put_be16(at, SPW_ETHERTYPE_VLAN);
		spw_put_be16(at + 2, vlan);
		at += 4;
	}
	spw_put_be16(at, family == 4 ? SPW_ETHERTYPE_IPV4 : SPW_ETHERTYPE_IPV6);
	uint8_t *ip = at + 2, *udp = ip + ip_bytes;
	ip[0] = family == 4 ? 0x45 : 0x60;
	ip[family == 4 ? 9 : 6] = SPW_PROTO_UDP;
	if (family == 4)
		spw_put_be16(ip + 2, (uint16_t)(ip_bytes + SPW_UDP_BYTES + SPW_TAG_BYTES));
	else
		spw_put_be16(ip + 4, SPW_UDP_BYTES + SPW_TAG_BYTES);
	spw_put_be16(udp + 2, 9);
	spw_put_be16(udp + 4, SPW_UDP_BYTES + SPW_TAG_BYTES);
	spw_tag_write(udp + SPW_UDP_BYTES, tag);
	return (uint32_t)(udp + SPW_UDP_BYTES + SPW_TAG_BYTES - frame);
}

static struct spw_measure *measure_new(void)
{
	struct spw_measure *measure = spw_measure_create(FLOWS, NULL, HZ);
	assert_non_null(measure);
	spw_measure_reset(measure, TRIAL);
	return measure;
}

static void test_packets_are_told_apart(void **state)
{
	static const struct {
		uint16_t trial;
		uint32_t flow, sequence;
		size_t counter; /* that goes up by one */
	} rows[] = {
#define COUNTER(name) offsetof(struct spw_measure_counts, name)
		{TRIAL, 0, 0, COUNTER(packets)},   {TRIAL, 0, 0, COUNTER(duplicates)},
		{TRIAL, 3, 0, COUNTER(packets)},   {TRIAL - 1, 0, 1, COUNTER(stale)},
		{TRIAL, FLOWS, 0, COUNTER(stale)}, {TRIAL, 0, 2, COUNTER(packets)},
		{TRIAL, 0, 1, COUNTER(reordered)}, {TRIAL, 0, 1, COUNTER(duplicates)},
		{TRIAL, 0, 3, COUNTER(packets)},
	};
	uint8_t frame[ROOM];
	(void)state;

	for (uint32_t shape = 0; shape < 4; shape++) {
		struct spw_measure *measure = measure_new();
		struct spw_measure_counts expected = {0};
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct spw_tag tag = {rows[i].trial, rows[i].flow, rows[i].sequence, 100};
			uint32_t bytes =
				make_frame(frame, shape & 1 ? 6 : 4, shape & 2 ? 5 : 0, &tag);
			uint32_t ip_bytes = bytes - (shape & 2 ? 18 : 14);
			assert_true(spw_measure_frame(measure, frame, bytes + 6, 350)); /* padded */
			*(uint64_t *)((char *)&expected + rows[i].counter) += 1;
			if (rows[i].counter == COUNTER(reordered))
				expected.packets++;
			if (rows[i].counter == COUNTER(packets) ||
			    rows[i].counter == COUNTER(reordered))
				expected.bytes += ip_bytes;
			assert_memory_equal(&measure->counts, &expected, sizeof(expected));
		}
		assert_int_equal(measure->latency_ns.cnt, expected.packets);
		assert_int_equal(measure->latency_ns.max, 250);
		assert_int_equal(measure->latency_ns.min, 250);
		spw_measure_destroy(measure);
	}
}

/* The clock in a tag has 40 bits. */
static void test_delays_survive_the_wrap_of_the_clock(void **state)
{
	struct spw_measure *measure = measure_new();
	struct spw_tag tag = {TRIAL, 0, 0, SPW_TAG_TIME_MASK - 99};
	uint8_t frame[ROOM];
	(void)state;

	uint32_t bytes = make_frame(frame, 4, 0, &tag);
	spw_measure_frame(measure, frame, bytes, (UINT64_C(5) << 40) + 900);
	assert_int_equal(measure->latency_ns.min, 1000);
	spw_measure_destroy(measure);
}

/* Every prefix of a frame, and every byte turned over: nothing is read beyond the end (the
 * sanitizer watches), and each frame counts once, or is a neighbour's. */
static void test_strange_frames_are_survived(void **state)
{
	struct spw_measure *measure = measure_new();
	struct spw_tag tag = {TRIAL, 0, 0, 0};
	uint8_t frame[ROOM];
	uint64_t taken = 0;
	(void)state;

	for (uint32_t family = 4; family <= 6; family += 2) {
		uint32_t full = make_frame(frame, (uint8_t)family, 0, &tag);
		for (uint32_t bytes = 0; bytes <= full; bytes++) {
			for (uint32_t turned = 0; turned <= bytes; turned++) {
				uint8_t *copy = malloc(bytes ? bytes : 1);
				memcpy(copy, frame, bytes);
				if (turned < bytes)
					copy[turned] ^= 0xff;
				taken += spw_measure_frame(measure, copy, bytes, 0);
				free(copy);
			}
		}
	}
	const struct spw_measure_counts *counts = &measure->counts;
	assert_int_equal(counts->packets + counts->duplicates + counts->stale + counts->other +
				 counts->unopened,
			 taken);
	assert_int_equal(counts->packets + counts->duplicates > 0, 1);
	spw_measure_destroy(measure);
}

static void test_replay_counts_whatever_comes(void **state)
{
	struct spw_measure *measure = measure_new();
	struct spw_tag tag = {TRIAL, 0, 0, 0};
	uint8_t frame[ROOM];
	(void)state;

	measure->any = true;
	uint32_t bytes = make_frame(frame, 4, 0, &tag);
	for (uint32_t i = 0; i < 3; i++)
		spw_measure_frame(measure, frame, bytes, 0);
	assert_int_equal(measure->counts.packets, 3);
	assert_int_equal(measure->counts.bytes, 3 * (bytes - 14));
	assert_int_equal(measure->latency_ns.cnt, 0);
	spw_measure_destroy(measure);
}

/* ---- neighbours ----------------------------------------------------------------------------- */

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, their_mac[6] = {2, 0, 0, 0, 0, 2};

static struct spw_endpoint endpoint(const char *text)
{
	struct spw_endpoint parsed;
	const char *expected;
	assert_int_equal(spw_endpoint_parse(text, &parsed, &expected), 0);
	return parsed;
}

/* A question that they ask is answered by us, and they learn our MAC; for others' addresses, and
 * for the gateway's, there is no answer. */
static void test_questions_are_answered_for_our_addresses_only(void **state)
{
	static const struct {
		const char *range, *asker, *target, *gateway;
		bool ours;
	} rows[] = {
		{"10.0.0.0/24", "10.0.1.1", "10.0.0.7", "10.0.0.1", true},
		{"10.0.0.0/24", "10.0.1.1", "10.0.0.0", "10.0.0.1", true},
		{"10.0.0.0/24", "10.0.1.1", "10.0.1.0", "10.0.0.1", false},
		{"10.0.0.0/24", "10.0.1.1", "10.0.0.1", "10.0.0.1", false},
		{"fd00::/120", "fd00:1::1", "fd00::7", "fd00::1", true},
		{"fd00::/120", "fd00:1::1", "fd00::100", "fd00::1", false},
		{"fd00::/120", "fd00:1::1", "fd00::1", "fd00::1", false},
		{"fd00::/120", "10.0.1.1", "10.0.0.7", "fd00::1", false},
		{"fd00::/120", "::", "fd00::7", "fd00::1", false}, /* looks for duplicates */
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spw_range range;
		const char *expected;
		uint8_t frame[SPW_NEIGHBOR_FRAME_BYTES], learned[6] = {0};
		assert_int_equal(spw_range_parse(rows[i].range, &range, &expected), 0);
		struct spw_played played = {1, &range, endpoint(rows[i].gateway)};
		struct spw_endpoint asker = endpoint(rows[i].asker),
				    target = endpoint(rows[i].target);
		uint32_t bytes = spw_neighbors_ask(&target, asker.addr, their_mac, frame);
		assert_true(spw_neighbors_is_talk(frame, bytes));
		assert_memory_equal(frame + 6, their_mac, 6);
		bytes = spw_neighbors_answer(&played, our_mac, frame, bytes);
		assert_int_equal(bytes > 0, rows[i].ours);
		if (!bytes)
			continue;
		assert_true(spw_neighbors_is_talk(frame, bytes));
		assert_memory_equal(frame, their_mac, 6);
		assert_true(spw_neighbors_learn(&target, frame, bytes, learned));
		assert_memory_equal(learned, our_mac, 6);
		assert_false(spw_neighbors_learn(&asker, frame, bytes, learned));
		assert_int_equal(spw_neighbors_answer(&played, our_mac, frame, bytes), 0);
	}
}

/* RFC 826's fields, byte by byte, and an advertisement's checksum (RFC 4443 2.3). */
static void test_questions_have_the_layout_of_the_standards(void **state)
{
	static const uint8_t arp[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 8, 6,
				      0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 1,
				      10,   0,    0,    9,    0,    0,    0, 0, 0, 0, 10, 0, 0, 1};
	uint8_t frame[SPW_NEIGHBOR_FRAME_BYTES];
	struct spw_endpoint source = endpoint("10.0.0.9"), target = endpoint("10.0.0.1");
	(void)state;

	assert_int_equal(spw_neighbors_ask(&target, source.addr, our_mac, frame), sizeof(arp));
	assert_memory_equal(frame, arp, sizeof(arp));

	source = endpoint("fd00::9");
	target = endpoint("fd00::12:3456");
	static const uint8_t group_mac[6] = {0x33, 0x33, 0xff, 0x12, 0x34, 0x56};
	assert_int_equal(spw_neighbors_ask(&target, source.addr, our_mac, frame), 86);
	assert_memory_equal(frame, group_mac, 6);
	assert_int_equal(frame[14 + 7], 255);
	static const uint8_t group_address[16] = {
		0xff, 2, [11] = 1, [12] = 0xff, [13] = 0x12, [14] = 0x34, [15] = 0x56};
	assert_memory_equal(frame + 14 + 24, group_address, 16);
	assert_memory_equal(frame + 54 + 8, target.addr, 16);
	/* A sum over all that is covered, the checksum included, is all ones. */
	assert_int_equal(spw_sum_fold(spw_sum(frame + 54, 32, spw_sum(frame + 22, 32, 32 + 58))),
			 0xffff);
}

/* ---- captures ------------------------------------------------------------------------------- */

static void test_frames_are_due_when_the_capture_says(void **state)
{
	struct spw_capture_frame frames[] = {{.time_ns = 0}, {.time_ns = 1000}, {.time_ns = 3000}};
	struct spw_capture capture = {.frames_cnt = 3, .frame = frames, .span_ns = 4500};
	static const double due[] = {0, 1000, 3000, 4500, 5500, 7500, 9000};
	(void)state;

	for (uint32_t i = 0; i < sizeof(due) / sizeof(due[0]); i++) {
		assert_true(fabs(spw_capture_due_ns(&capture, i, 1) - due[i]) < 1e-6);
		assert_true(fabs(spw_capture_due_ns(&capture, i, 4) - due[i] / 4) < 1e-6);
		assert_true(fabs(spw_capture_due_ns(&capture, i, 0.5) - due[i] * 2) < 1e-6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_are_told_apart),
		cmocka_unit_test(test_delays_survive_the_wrap_of_the_clock),
		cmocka_unit_test(test_strange_frames_are_survived),
		cmocka_unit_test(test_replay_counts_whatever_comes),
		cmocka_unit_test(test_questions_are_answered_for_our_addresses_only),
		cmocka_unit_test(test_questions_have_the_layout_of_the_standards),
		cmocka_unit_test(test_frames_are_due_when_the_capture_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
