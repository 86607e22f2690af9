/* SPDX-License-Identifier: BSD-2-Clause */
/* sas.c - sealing and opening, and the sequence numbers that outlive a run; see sas.h. The file of
 * SAs is read in sas_file.c. */
#include "perf/pktgen/sas.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As the dataplane of a foreign peer has it: 2^24 numbers are 1.6 s at 10 M packets/s on one SA,
 * which main looks after four times a second, and cost little of the 2^32 when a run is killed. */
#define RESERVE_PACKETS (UINT64_C(1) << 24)
#define SEQUENCE_END_NO_ESN (UINT64_C(1) << 32)

struct spw_peer_sa *spw_sas_find(const struct spw_sas *sas, uint32_t spi)
{
	uint32_t at = spi * 2654435761u & sas->buckets_mask;

	for (; sas->bucket[at]; at = (at + 1) & sas->buckets_mask) {
		if (sas->sa[sas->bucket[at] - 1].spi == spi)
			return &sas->sa[sas->bucket[at] - 1];
	}
	return NULL;
}

/* Nonce and additional data of an ESP packet (RFC 4106 4 and 5); returns the bytes of `aad`. */
static size_t aead_input(const struct spw_peer_sa *sa, const uint8_t *esp, uint64_t sequence,
			 uint8_t nonce[SPW_NONCE_BYTES], uint8_t aad[12])
{
	memcpy(nonce, sa->salt, sizeof(sa->salt));
	memcpy(nonce + sizeof(sa->salt), esp + 8, 8);
	memcpy(aad, esp, 8);
	if (!sa->esn)
		return 8;
	spw_put_be32(aad + 4, (uint32_t)(sequence >> 32));
	memcpy(aad + 8, esp + 4, 4);
	return 12;
}

bool spw_peer_sa_seal(struct spw_peer_sa *sa, uint8_t *esp, uint32_t text_bytes)
{
	uint8_t nonce[SPW_NONCE_BYTES], aad[12], *text = esp + SPW_ESP_BYTES;
	uint64_t sequence = sa->sequence;

	__atomic_store_n(&sa->sequence, sequence + 1, __ATOMIC_RELAXED);
	spw_put_be32(esp, sa->spi);
	spw_put_be32(esp + 4, (uint32_t)sequence);
	spw_put_be64(esp + 8, sequence);
	size_t aad_bytes = aead_input(sa, esp, sequence, nonce, aad);
	return spw_aead_seal(sa->aead, nonce, aad, aad_bytes, text, text_bytes, text + text_bytes);
}

/* The 64-bit number whose low half was received: the one nearest to the highest so far. */
static uint64_t extend(const struct spw_peer_sa *sa, uint32_t low)
{
	if (!sa->esn)
		return low;
	int32_t ahead = (int32_t)(low - (uint32_t)sa->sequence);
	return ahead < 0 && sa->sequence < (uint64_t) - (int64_t)ahead
		       ? low
		       : sa->sequence + (uint64_t)(int64_t)ahead;
}

int spw_peer_sa_open(struct spw_peer_sa *sa, uint8_t *esp, uint32_t bytes)
{
	uint8_t nonce[SPW_NONCE_BYTES], aad[12], *text = esp + SPW_ESP_BYTES;

	if (bytes < SPW_ESP_BYTES + 4 + SPW_ICV_BYTES)
		return -1;
	uint32_t text_bytes = bytes - SPW_ESP_BYTES - SPW_ICV_BYTES;
	uint64_t sequence = extend(sa, spw_get_be32(esp + 4));
	size_t aad_bytes = aead_input(sa, esp, sequence, nonce, aad);
	if (!spw_aead_open(sa->aead, nonce, aad, aad_bytes, text, text_bytes, text + text_bytes))
		return -1;
	if (sequence > sa->sequence)
		sa->sequence = sequence;
	uint32_t tail_bytes = text[text_bytes - 2] + SPW_ESP_TRAILER_BYTES;
	return tail_bytes <= text_bytes ? (int)(text_bytes - tail_bytes) : -1;
}

/* ---- sequence numbers ---------------------------------------------------------------------- */

/* What no SA has used so far. */
static uint64_t next_of_all(const struct spw_sas *sas)
{
	uint64_t next = 1;

	for (uint32_t i = 0; i < sas->cnt; i++) {
		uint64_t sequence = __atomic_load_n(&sas->sa[i].sequence, __ATOMIC_RELAXED);
		next = sequence > next ? sequence : next;
	}
	return next;
}

/* Where the numbers end, by the SA that ends first. */
static uint64_t end_of_all(const struct spw_sas *sas)
{
	for (uint32_t i = 0; i < sas->cnt; i++)
		if (!sas->sa[i].esn)
			return SEQUENCE_END_NO_ESN;
	return UINT64_MAX;
}

/* Writes the number so that it is there after a crash, too. */
static int write_sequence(const struct spw_sas *sas, uint64_t next, char *why,
			  unsigned int why_bytes)
{
	char temporary[4096], text[32];
	int bytes = snprintf(text, sizeof(text), "%" PRIu64 "\n", next);

	snprintf(temporary, sizeof(temporary), "%s.tmp", sas->sequence_path);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write(fd, text, (size_t)bytes) == bytes && fsync(fd) == 0 &&
		    rename(temporary, sas->sequence_path) == 0;
	int error = good ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	if (error)
		snprintf(why, why_bytes,
			 "%s: cannot write which sequence numbers are used (%s); without it the "
			 "next run would repeat them",
			 sas->sequence_path, strerror(-error));
	return error;
}

static int reserve(struct spw_sas *sas, uint64_t next, char *why, unsigned int why_bytes)
{
	uint64_t end = end_of_all(sas);
	uint64_t limit = end - next > RESERVE_PACKETS ? next + RESERVE_PACKETS : end;

	if (next >= end) {
		snprintf(why, why_bytes,
			 "the sequence numbers of the SAs without ESN are used up: give both ends "
			 "new keys, and remove %s",
			 sas->sequence_path);
		return -EOVERFLOW;
	}
	int error = write_sequence(sas, limit, why, why_bytes);
	if (!error)
		__atomic_store_n(&sas->limit, limit, __ATOMIC_RELAXED);
	return error;
}

int spw_sas_sequence_open(struct spw_sas *sas, char *why, unsigned int why_bytes)
{
	uint64_t next = 1;
	FILE *file = fopen(sas->sequence_path, "re");

	if (!file && errno != ENOENT) {
		int error = -errno;
		snprintf(why, why_bytes, "%s: %s", sas->sequence_path, strerror(errno));
		return error;
	}
	if (file) {
		int fields = fscanf(file, "%" SCNu64, &next);
		fclose(file);
		if (fields != 1 || next == 0) {
			snprintf(why, why_bytes,
				 "%s: expected the next sequence number; if the keys are new, "
				 "remove the file",
				 sas->sequence_path);
			return -EINVAL;
		}
	}
	for (uint32_t i = 0; i < sas->cnt; i++)
		sas->sa[i].sequence = next;
	return reserve(sas, next, why, why_bytes);
}

int spw_sas_sequence_renew(struct spw_sas *sas, char *why, unsigned int why_bytes)
{
	uint64_t next = next_of_all(sas);

	if (sas->limit - next > RESERVE_PACKETS / 2 ||
	    (sas->limit == end_of_all(sas) && next < sas->limit))
		return 0;
	return reserve(sas, next, why, why_bytes);
}

int spw_sas_sequence_close(struct spw_sas *sas, char *why, unsigned int why_bytes)
{
	return write_sequence(sas, next_of_all(sas), why, why_bytes);
}
