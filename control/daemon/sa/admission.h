/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admission.h - which INITs are worth a Diffie-Hellman, and which strangers a cookie, while more
 * come than can be read.
 *
 * A forged INIT costs its sender nothing, its source address neither. So beyond a number in each
 * second only those are read that bear a cookie, and cookies are few as well: most go to sources
 * that come again, as a peer does that has got no answer, and few that are drawn at random.
 *
 * Who owns the memory: the caller; zeros are the beginning. No clock, no crypto. Control's thread
 * only.
 */
#ifndef SPW_SA_ADMISSION_H
#define SPW_SA_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

/* INITs with a valid mac1 in a second from which on cookies are asked for. Reading one costs some
 * 300 us: a sixth of a second goes to strangers at most, and a thousand tunnels that start at once
 * are through the first half before anybody is asked. */
#define SPW_INITS_UNASKED 500u
/* Cookies in a second: one costs 10 to 15 us, most of it the kernel's. First-comers get few: of a
 * flood nearly all are, and the time for their cookies is better spent on reading the socket, where
 * a peer's INIT waits among theirs. */
#define SPW_COOKIES_MAX 20000u
#define SPW_COOKIES_FIRST_MAX 2000u

/* Sources of one second, as a Bloom filter with two hashes: 100,000 of them set a tenth of the
 * bits, and one stranger in a hundred is taken for one who comes again. */
#define SPW_SEEN_BITS (1u << 21)

struct spw_admission {
	uint64_t second_ms; /* when the counts below began */
	uint32_t inits_cnt, cookies_cnt, first_cnt;
	uint32_t current;
	uint64_t seen[2][SPW_SEEN_BITS / 64]; /* of this second and of the one before */
};

/* One more INIT with a valid mac1 is here. Whether it is read even without a cookie. */
bool spw_admission_unasked(struct spw_admission *admission, uint64_t now_ms);

/* It had to show a cookie and has none. Whether its source gets one now. */
bool spw_admission_cookie(struct spw_admission *admission, const uint8_t address[16]);

#endif
