/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_replay.c - the replay window: a numbered truth table, RFC 4303 A2 extension, and sweeps
 * against an oracle that remembers plain numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/stages/replay.h"
#include "perf/pktgen/random.h"

#define OK SPW_REPLAY_OK
#define REPLAYED SPW_REPLAY_REPLAYED
#define OLD SPW_REPLAY_OLD
#define G 0x100000000ull /* 2^32 */

static struct spw_replay *window_new(uint32_t window, uint64_t floor)
{
	struct spw_replay *replay = calloc(1, sizeof(*replay) + spw_replay_bytes(window));
	assert_non_null(replay);
	spw_replay_init(replay, window, floor);
	return replay;
}

/* A case: a window that has accepted up to three numbers (0: none), and the verdict on another. */
static const struct {
	int number;
	uint32_t window;
	uint64_t floor;
	uint64_t accepted[3];
	uint64_t sequence;
	enum spw_replay_verdict verdict;
} cases[] = {
	/* A fresh window. */
	{1, 64, 0, {0}, 0, OLD},
	{2, 64, 0, {0}, 1, OK},
	{3, 64, 0, {0}, 64, OK},
	{4, 64, 0, {0}, 0xffffffff, OK},
	{5, 64, 0, {0}, UINT64_MAX, OK},
	/* The top and its neighbours. */
	{6, 64, 0, {1}, 1, REPLAYED},
	{7, 64, 0, {1}, 2, OK},
	{8, 64, 0, {2}, 1, OK},
	{9, 64, 0, {2, 1}, 1, REPLAYED},
	{10, 64, 0, {2, 1}, 2, REPLAYED},
	{11, 64, 0, {2, 1}, 0, OLD},
	/* The left edge of a window of 64. */
	{12, 64, 0, {64}, 1, OK},
	{13, 64, 0, {65}, 1, OLD},
	{14, 64, 0, {65}, 2, OK},
	{15, 64, 0, {1000}, 937, OK},
	{16, 64, 0, {1000}, 936, OLD},
	{17, 64, 0, {937, 1000}, 937, REPLAYED},
	{18, 64, 0, {936, 1000}, 936, OLD},
	/* Tops at the borders of ring words. */
	{19, 64, 0, {63}, 1, OK},
	{20, 64, 0, {127}, 64, OK},
	{21, 64, 0, {127}, 63, OLD},
	{22, 64, 0, {128}, 65, OK},
	{23, 64, 0, {128}, 64, OLD},
	/* What a move must and must not forget. */
	{24, 64, 0, {10, 73}, 10, REPLAYED},
	{25, 64, 0, {10, 74}, 10, OLD},
	{26, 64, 0, {10, 138}, 138 - 63, OK},
	{27, 64, 0, {10, 10 + 128}, 10 + 128, REPLAYED},
	{28, 64, 0, {10, 10 + 128, 10 + 192}, 10 + 191, OK}, /* same bit of the ring as 10+63 */
	{29, 64, 0, {1, 1000000}, 1000000 - 63, OK},
	{30, 64, 0, {500, 400 + 50, 501}, 450, REPLAYED},
	/* The default and the longest window. */
	{31, 2048, 0, {2048}, 1, OK},
	{32, 2048, 0, {2049}, 1, OLD},
	{33, 2048, 0, {1, 2048}, 1, REPLAYED},
	{34, 2048, 0, {5000, 5000 - 2047}, 5000 - 2047, REPLAYED},
	{35, 2048, 0, {5000}, 5000 - 2048, OLD},
	{36, 8192, 0, {10000}, 10000 - 8191, OK},
	{37, 8192, 0, {10000}, 10000 - 8192, OLD},
	/* A floor: numbers that another life of this SA may have accepted. */
	{38, 64, 100, {0}, 99, OLD},
	{39, 64, 100, {0}, 100, OK},
	{40, 64, 100, {101}, 99, OLD},
	{41, 64, 100, {101}, 100, OK},
	{42, 64, 100, {100}, 100, REPLAYED},
	{43, 2048, 100, {5000}, 4000, OK},
	/* Around 2^32 and the end of 2^64. */
	{44, 64, 0, {0xffffffff}, 0xffffffff, REPLAYED},
	{45, 64, 0, {G}, 0xffffffff, OK},
	{46, 64, 0, {G + 62}, 0xffffffff, OK},
	{47, 64, 0, {G + 63}, 0xffffffff, OLD},
	{48, 64, 0, {UINT64_MAX}, UINT64_MAX, REPLAYED},
	{49, 64, 0, {UINT64_MAX}, UINT64_MAX - 63, OK},
	{50, 64, 0, {UINT64_MAX}, UINT64_MAX - 64, OLD},
	{51, 64, 0, {UINT64_MAX}, 0, OLD},
};

static void truth_table(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct spw_replay *replay = window_new(cases[k].window, cases[k].floor);
		for (int j = 0; j < 3 && cases[k].accepted[j]; j++)
			spw_replay_accept(replay, cases[k].accepted[j]);
		if (spw_replay_check(replay, cases[k].sequence) != cases[k].verdict)
			fail_msg("case %d", cases[k].number);
		free(replay);
	}
}

/* RFC 4303 appendix A2: what 32 bits on the wire are taken for. 0: refused. */
static const struct {
	int number;
	uint32_t window;
	uint64_t top;
	uint32_t low;
	uint64_t sequence;
} extensions[] = {
	/* Nothing accepted yet: case B with Th = 0. */
	{1, 64, 0, 1, 1},
	{2, 64, 0, 0x7fffffff, 0x7fffffff},
	{3, 64, 0, 0xffffffff - 63, 0xffffffff - 63},
	{4, 64, 0, 0xffffffff - 62, 0}, /* would be below 0 */
	{5, 64, 0, 0xffffffff, 0},
	/* Case A: the window in one subspace. */
	{6, 64, 1000, 1000 - 63, 1000 - 63},
	{7, 64, 1000, 1000 - 64, G + 1000 - 64},
	{8, 64, 1000, 0xffffffff, 0xffffffff},
	{9, 64, 0xffffffff, 0xffffffff, 0xffffffff},
	{10, 64, 0xffffffff, 0, G},
	{11, 64, 0xffffffff, 5, G + 5},
	{12, 64, 7 * G + 63, 0, 7 * G},
	/* Case B: it spans two. */
	{13, 64, 63, 0, 0},
	{14, 64, 7 * G + 62, 0xffffffff, 7 * G - 1},
	{15, 64, 7 * G + 62, 0xfffffffe, 7 * G + 0xfffffffe},
	{16, 64, 7 * G + 10, 11, 7 * G + 11},
	{17, 64, G, 0xffffffff, G - 1},
	{18, 2048, G + 1, 0xffffffff - 2045, G - 2046},
	{19, 2048, G + 1, 0xffffffff - 2046, G + 0xffffffff - 2046},
	/* The end: there is nothing beyond 2^64. */
	{20, 64, UINT64_MAX, 0xffffffff, UINT64_MAX},
	{21, 64, UINT64_MAX, 0, 0},
	{22, 64, UINT64_MAX, 5, 0},
};

static void extension_table(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(extensions) / sizeof(extensions[0]); k++) {
		struct spw_replay *replay = window_new(extensions[k].window, 0);
		if (extensions[k].top)
			spw_replay_accept(replay, extensions[k].top);
		uint64_t sequence = spw_replay_extend(replay, extensions[k].low);
		if (sequence != extensions[k].sequence)
			fail_msg("extension %d: %llx", extensions[k].number,
				 (unsigned long long)sequence);
		free(replay);
	}
}

/* ---- sweeps ------------------------------------------------------------------------------- */

struct oracle { /* every number it has accepted and could still be asked about */
	uint64_t floor, top;
	uint32_t window;
	uint64_t seen[SPW_REPLAY_WINDOW_MAX];
	uint32_t seen_cnt;
};

static enum spw_replay_verdict oracle_check(const struct oracle *oracle, uint64_t sequence)
{
	if (sequence < oracle->floor)
		return OLD;
	if ((__int128)sequence <= (__int128)oracle->top - oracle->window)
		return OLD;
	for (uint32_t k = 0; k < oracle->seen_cnt; k++) {
		if (oracle->seen[k] == sequence)
			return REPLAYED;
	}
	return OK;
}

static void oracle_accept(struct oracle *oracle, uint64_t sequence)
{
	if (sequence > oracle->top)
		oracle->top = sequence;
	uint32_t kept = 0;
	for (uint32_t k = 0; k < oracle->seen_cnt; k++) {
		if ((__int128)oracle->seen[k] > (__int128)oracle->top - oracle->window)
			oracle->seen[kept++] = oracle->seen[k];
	}
	oracle->seen[kept++] = sequence;
	oracle->seen_cnt = kept;
}

/* The one number with these low bits among the 2^32 from the window's left edge on. */
static uint64_t oracle_extend(const struct oracle *oracle, uint32_t low)
{
	__int128 edge = (__int128)oracle->top - oracle->window + 1;
	__int128 number = (edge & ~(__int128)0xffffffff) | low;
	if (number < edge)
		number += G;
	return number < 0 || number > (__int128)UINT64_MAX ? 0 : (uint64_t)number;
}

static uint64_t random_state;

static uint64_t random_next(void)
{
	return spw_random_next(&random_state);
}

/* Where a sender, a network and an attacker may put the next number, seen from the top. */
static uint64_t random_sequence(uint64_t top, uint32_t window)
{
	switch (random_next() % 16) {
	case 0:
		return top + random_next() % (4 * window); /* a jump ahead */
	case 1:
		return top - random_next() % (2 * window); /* around the left edge */
	case 2:
		return random_next(); /* anything */
	case 3:
	case 4:
	case 5:
		return top - random_next() % window;
	default:
		return top + 1 + random_next() % 3;
	}
}

/* Runs `steps` numbers through both, starting at `floor`; with ESN only 32 bits are handed over. */
static void sweep(uint32_t window, uint64_t floor, bool esn, int steps)
{
	static struct oracle oracle;
	struct spw_replay *replay = window_new(window, floor);
	uint64_t first = floor ? floor : 1;

	memset(&oracle, 0, sizeof(oracle));
	oracle.floor = first;
	oracle.top = first - 1;
	oracle.window = window;
	random_state = 0x123456789abcdefull ^ window ^ floor << 20 ^ esn;
	for (int k = 0; k < steps; k++) {
		uint64_t sequence = random_sequence(oracle.top, window);
		if (esn) {
			uint64_t guess = spw_replay_extend(replay, (uint32_t)sequence);
			assert_int_equal(guess, oracle_extend(&oracle, (uint32_t)sequence));
			/* Far-off numbers would not authenticate; they must not move the window. */
			if (guess > oracle.top && guess - oracle.top > 8 * window)
				continue;
			sequence = guess;
		} else if (sequence > oracle.top && sequence - oracle.top > 8 * window) {
			continue;
		}
		enum spw_replay_verdict verdict = spw_replay_check(replay, sequence);
		assert_int_equal(verdict, oracle_check(&oracle, sequence));
		/* A tenth of what would be accepted is forged: checked, then not accepted. */
		if (verdict == OK && random_next() % 10 != 0) {
			spw_replay_accept(replay, sequence);
			oracle_accept(&oracle, sequence);
			assert_int_equal(replay->top, oracle.top);
		}
	}
	free(replay);
}

static void sweeps(void **state)
{
	(void)state;
	for (uint32_t window = 64; window <= 8192; window *= 2) {
		int steps = window <= 1024 ? 40000 : 10000;
		sweep(window, 0, false, steps);
		sweep(window, 0, true, steps);
		sweep(window, 123456789, true, steps);
		sweep(window, G - 3 * window, false, steps);
		sweep(window, G - 3 * window, true, steps); /* over the first 2^32 */
		sweep(window, 5 * G - 3 * window, true, steps);
		sweep(window, UINT64_MAX - 3 * window, true, steps); /* into the end */
	}
}

/* Every distance, with every position of the top in its ring word. */
static void every_offset(void **state)
{
	(void)state;
	for (uint64_t top = 1; top <= 320; top++) {
		struct spw_replay *replay = window_new(64, 0);
		spw_replay_accept(replay, top);
		for (uint64_t sequence = 0; sequence <= top + 1; sequence++) {
			enum spw_replay_verdict expected = OK;
			if (sequence == 0 || sequence + 64 <= top)
				expected = OLD;
			else if (sequence == top)
				expected = REPLAYED;
			assert_int_equal(spw_replay_check(replay, sequence), expected);
		}
		free(replay);
	}
}

static void window_sizes(void **state)
{
	(void)state;
	for (uint32_t window = 0; window <= 20000; window++) {
		bool power = window == 64 || window == 128 || window == 256 || window == 512 ||
			     window == 1024 || window == 2048 || window == 4096 || window == 8192;
		assert_int_equal(spw_replay_window_valid(window), power);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truth_table),  cmocka_unit_test(extension_table),
		cmocka_unit_test(every_offset), cmocka_unit_test(sweeps),
		cmocka_unit_test(window_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
