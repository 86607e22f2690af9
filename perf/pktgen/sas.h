/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sas.h - the SAs of a peer that the generator plays: read from a file, used through the
 * dataplane's own AEAD code.
 *
 * A file has one SA to a line, `#` begins a comment:
 *
 *   way  SPI     key file  ESN  outer source  outer destination  inner source  inner destination
 *   tx   0x407   0-in.key  no   198.18.0.2    198.18.0.1         10.64.0.0/24  198.19.1.0/24
 *
 * tx: the generator sends, rx: it receives. A key file has 40 or 72 hex digits, the key and 4 bytes
 * of salt; its name starts from the folder of the SA file. Outer ports are 4500 if left out.
 *
 * No sequence number may be used twice, not in the next run either. FILE.sequence says where that
 * begins; it is written ahead of what is used, and exactly at the end.
 *
 * Who owns the memory: the keys lie in the arena (dataplane/arena.h), which spw_sas_read must find
 * open, with a provider chosen; the rest is freed by spw_sas_free. Threads: main reads, renews and
 * closes; the sender uses tx SAs, the receiver rx SAs.
 */
#ifndef SPW_SAS_H
#define SPW_SAS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/text.h"
#include "dataplane/stages/aead.h"
#include "dataplane/stages/wire.h"
#include "perf/pktgen/range.h"

/* The workers of spw_aead_choose, which must have been called for both: no two threads share a
 * key's scratch memory. */
enum { SPW_SENDER, SPW_RECEIVER, SPW_AEAD_WORKERS };

#define SPW_OUTER_HEADER_BYTES (SPW_IPV6_BYTES + SPW_UDP_BYTES)

struct spw_peer_sa {
	uint32_t spi;
	bool esn;
	uint8_t salt[4];
	struct spw_aead *aead;
	struct spw_endpoint outer_src, outer_dst;
	struct spw_range inner_src, inner_dst;
	/* tx: the next to send; sender: rw, relaxed stores; main: relaxed loads.
	 * rx: the highest that was authentic; receiver. */
	uint64_t sequence;
	uint8_t outer[SPW_OUTER_HEADER_BYTES]; /* tx: IP and UDP, lengths and sums open */
	uint32_t outer_bytes;
};

struct spw_sas {
	uint32_t cnt;
	struct spw_peer_sa *sa;
	uint32_t buckets_mask;
	uint32_t *bucket; /* hash table of indices of sa[], and one; 0: free */
	/* tx: the first sequence number that must not be used. Main: relaxed store; sender: relaxed
	 * load. */
	uint64_t limit;
	char *sequence_path;
};

/* How many SAs the file has, for the size of the arena. Negative errno with a sentence. */
int spw_sas_count(const char *path, char *why, unsigned int why_bytes);

/* Reads the tx or the rx lines of a file. 0, or a negative errno with a sentence that names the
 * line. The same SPI twice is an error. */
int spw_sas_read(const char *path, bool tx, struct spw_sas *sas, char *why, unsigned int why_bytes);
void spw_sas_free(struct spw_sas *sas);

/* tx: takes up the sequence numbers where the last run left them, and reserves the next ones. 0, or
 * a negative errno with a sentence. */
int spw_sas_sequence_open(struct spw_sas *sas, char *why, unsigned int why_bytes);
/* Reserves more when half is used; several times a second. -EOVERFLOW: the numbers of an SA without
 * ESN are used up. */
int spw_sas_sequence_renew(struct spw_sas *sas, char *why, unsigned int why_bytes);
/* After the sender's last packet: writes exactly what is next. */
int spw_sas_sequence_close(struct spw_sas *sas, char *why, unsigned int why_bytes);

/* rx: the SA of an SPI, or NULL. */
struct spw_peer_sa *spw_sas_find(const struct spw_sas *sas, uint32_t spi);

/*
 * tx: writes the ESP header at `esp` and encrypts `text_bytes` behind it in place; room for the ICV
 * must be behind those. Uses up a sequence number, which must be below the limit. False: the cipher
 * failed.
 */
bool spw_peer_sa_seal(struct spw_peer_sa *sa, uint8_t *esp, uint32_t text_bytes);

/* rx: decrypts an ESP packet of `bytes` in place; returns the bytes of the inner packet, which
 * begins at esp + SPW_ESP_BYTES, or -1: it is not authentic, or not ours to read. */
int spw_peer_sa_open(struct spw_peer_sa *sa, uint8_t *esp, uint32_t bytes);

#endif
