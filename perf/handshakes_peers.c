/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshakes_peers.c - see handshakes.h: initiators, each with a key of its own, behind one socket.
 * They try again as a node does (session/sessions.c), and answer a cookie at once.
 */
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/daemon/noise/cookie.h"
#include "perf/broken.h"
#include "perf/handshakes.h"
#include "perf/timing.h"

#define SPI_FIRST 0x10000u /* of the first peer's inbound SA */
#define NUMBER_BITS 16u
#define RETRY_MIN_NS 250000000ull
#define RETRY_MAX_NS 5000000000ull
#define SOCKET_BYTES (16 << 20)
#define IV_BYTES 8u
#define DUMMY_BYTES 4u /* two of padding, its length, next header 59 (RFC 4303 2.6) */

struct peer {
	struct spw_noise_identity identity;
	struct spw_noise_peer node;
	struct spw_noise_handshake handshake;
	struct spw_cookie cookie;
	struct spw_tai64n made;
	struct spw_wire_init wire;
	uint32_t tries;
	bool cookie_answered;
	uint64_t retry_ns, answered_ns, up_ns; /* 0: not yet */
};

struct run {
	const struct handshakes_target *target;
	struct peer *peers;
	uint32_t cnt, answered_cnt, up_cnt;
	uint64_t inits, cookies, stale;
	int fd;
};

/* ---- out ---------------------------------------------------------------------------------- */

static void write_init(struct run *run, struct peer *peer)
{
	uint32_t number = (uint32_t)(peer - run->peers);
	/* Another one for each INIT: an answer to an earlier one finds nobody. */
	uint32_t index =
		(((peer->handshake.local_index >> NUMBER_BITS) + 1) << NUMBER_BITS) | number;
	struct spw_noise_offer offer = {
		.terms = {.caps = SPW_CAP_ESN | SPW_CAP_GCM256 | SPW_CAP_ROAMING,
			  .children = 1,
			  .window_log2 = SPW_WINDOW_LOG2_MIN,
			  .spi = {SPI_FIRST + number}}};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	spw_tai64n_next(&peer->made, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	offer.made = peer->made;
	if (spw_noise_init_write(&peer->handshake, &peer->identity, &peer->node, index, &offer,
				 &peer->wire) < 0 ||
	    spw_cookie_add(&peer->cookie, spw_now_ms(), &peer->wire, sizeof(peer->wire)) < 0)
		broken("OpenSSL makes no INIT");
}

static void send_init(struct run *run, struct peer *peer)
{
	run->inits++;
	/* One that finds no room is tried again as if it were lost. */
	send(run->fd, &peer->wire, sizeof(peer->wire), MSG_DONTWAIT);
}

static void try_again(struct run *run, struct peer *peer, uint64_t now_ns)
{
	uint64_t wait_ns = RETRY_MIN_NS << (peer->tries < 6 ? peer->tries : 6);

	peer->tries++;
	peer->cookie_answered = false;
	peer->retry_ns = now_ns + (wait_ns < RETRY_MAX_NS ? wait_ns : RETRY_MAX_NS);
	send_init(run, peer);
}

/* The first packet on the new session: without it the node does not send. */
static void send_dummy(const struct run *run, const struct spw_noise_keys *keys, uint32_t spi)
{
	static const uint8_t text[DUMMY_BYTES] = {1, 2, 2, 59};
	struct {
		uint32_t spi_be, sequence_be;
		uint64_t iv;
		uint8_t sealed[DUMMY_BYTES + SPW_WIRE_TAG_BYTES];
	} __attribute__((packed)) esp = {.spi_be = htobe32(spi), .sequence_be = htobe32(1)};
	uint32_t aad[3] = {esp.spi_be, 0, esp.sequence_be};
	uint8_t nonce[SPW_GCM_IV_BYTES];
	struct spw_sa_secret secret;

	if (spw_noise_sa_derive(keys, true, 256, 0, spi, &secret) < 0)
		broken("OpenSSL derives no keys");
	esp.iv = htobe64(1 ^ secret.iv_mask);
	memcpy(nonce, secret.salt, SPW_SALT_BYTES);
	memcpy(nonce + SPW_SALT_BYTES, &esp.iv, IV_BYTES);
	if (spw_gcm_seal(secret.key, nonce, (struct spw_bytes){aad, sizeof(aad)}, text,
			 sizeof(text), esp.sealed) < 0)
		broken("OpenSSL seals nothing");
	send(run->fd, &esp, sizeof(esp), MSG_DONTWAIT);
}

/* ---- in ----------------------------------------------------------------------------------- */

static struct peer *find(struct run *run, uint32_t index_le)
{
	uint32_t index = le32toh(index_le), number = index & ((1u << NUMBER_BITS) - 1);

	if (number >= run->cnt || run->peers[number].handshake.local_index != index)
		return NULL;
	return &run->peers[number];
}

static void hear_response(struct run *run, const struct spw_wire_response *wire, uint64_t now_ns)
{
	struct peer *peer = find(run, wire->receiver_index_le);
	struct spw_noise_answer answer;
	struct spw_noise_keys keys;

	if (!peer || peer->answered_ns ||
	    spw_noise_response_read(&peer->handshake, &peer->identity, &peer->node, wire, &answer,
				    &keys) < 0) {
		run->stale++;
		return;
	}
	peer->answered_ns = now_ns;
	run->answered_cnt++;
	send_dummy(run, &keys, answer.terms.spi[0]);
}

static void hear_cookie(struct run *run, const struct spw_wire_cookie *wire)
{
	struct peer *peer = find(run, wire->receiver_index_le);

	if (!peer || spw_cookie_reply_read(&peer->cookie, spw_now_ms(), &peer->node, wire) < 0) {
		run->stale++;
		return;
	}
	run->cookies++;
	if (peer->cookie_answered)
		return;
	peer->cookie_answered = true;
	write_init(run, peer);
	send_init(run, peer);
}

/* The node sends with a session of ours: it is up on both sides. */
static void hear_esp(struct run *run, const void *data, uint64_t now_ns)
{
	uint32_t spi_be, number;

	memcpy(&spi_be, data, sizeof(spi_be));
	number = be32toh(spi_be) - SPI_FIRST;
	if (number < run->cnt && run->peers[number].up_ns == 0) {
		run->peers[number].up_ns = now_ns;
		run->up_cnt++;
	}
}

static void receive_all(struct run *run)
{
	uint8_t data[2048];
	ssize_t bytes;

	while ((bytes = recv(run->fd, data, sizeof(data), MSG_DONTWAIT)) > 0) {
		enum spw_wire_type type = spw_wire_type(data, (size_t)bytes);
		uint64_t now_ns = spw_now_ns();
		if (type == SPW_WIRE_RESPONSE)
			hear_response(run, (const void *)data, now_ns);
		else if (type == SPW_WIRE_COOKIE)
			hear_cookie(run, (const void *)data);
		else if (bytes > (ssize_t)sizeof(uint32_t))
			hear_esp(run, data, now_ns);
	}
}

/* ---- a run -------------------------------------------------------------------------------- */

static void open_run(struct run *run, uint32_t first)
{
	int bytes = SOCKET_BYTES;

	run->peers = calloc(run->cnt, sizeof(*run->peers));
	run->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!run->peers || run->fd < 0 ||
	    connect(run->fd, (const struct sockaddr *)&run->target->address,
		    sizeof(run->target->address)) < 0)
		broken("cannot open a socket to the node: %s", strerror(errno));
	setsockopt(run->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(run->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	for (uint32_t i = 0; i < run->cnt; i++) {
		uint8_t private_key[SPW_WIRE_KEY_BYTES];
		handshakes_key(first + i, private_key);
		if (spw_noise_identity_init(&run->peers[i].identity, private_key) < 0 ||
		    spw_noise_peer_init(&run->peers[i].node, &run->peers[i].identity,
					run->target->public_key, NULL) < 0)
			broken("the node's key cannot be used");
		write_init(run, &run->peers[i]);
	}
}

static double *milliseconds(const struct run *run, uint64_t began_ns)
{
	double *took_ms = calloc(run->cnt + 1, sizeof(*took_ms));

	if (!took_ms)
		broken("no memory");
	for (uint32_t i = 0; i < run->cnt; i++)
		took_ms[i] =
			run->peers[i].up_ns ? (double)(run->peers[i].up_ns - began_ns) * 1e-6 : 1e9;
	return took_ms;
}

static void report(const struct run *run, uint64_t began_ns, uint64_t end_ns)
{
	double *took_ms = milliseconds(run, began_ns);
	uint64_t answered_ns = began_ns + 1;
	double p50_ms = timing_quantile(took_ms, run->cnt, 50);
	double p99_ms = timing_quantile(took_ms, run->cnt, 99);

	for (uint32_t i = 0; i < run->cnt; i++)
		if (run->peers[i].answered_ns > answered_ns)
			answered_ns = run->peers[i].answered_ns;
	printf("{\"peers\": %u, \"answered\": %u, \"up\": %u, \"inits\": %llu, \"cookies\": %llu, "
	       "\"stale\": %llu, \"answered_s\": %.3f, \"up_s\": %.3f, \"up_ms_p50\": %.1f, "
	       "\"up_ms_p99\": %.1f, \"handshakes_per_s\": %.0f}\n",
	       run->cnt, run->answered_cnt, run->up_cnt, (unsigned long long)run->inits,
	       (unsigned long long)run->cookies, (unsigned long long)run->stale,
	       (double)(answered_ns - began_ns) * 1e-9, (double)(end_ns - began_ns) * 1e-9, p50_ms,
	       p99_ms, run->answered_cnt * 1e9 / (double)(answered_ns - began_ns));
	free(took_ms);
}

void handshakes_peers(const struct handshakes_target *target, uint32_t first, uint32_t cnt,
		      uint32_t seconds)
{
	struct run run = {.target = target, .cnt = cnt};
	struct pollfd readable = {.events = POLLIN};
	uint64_t began_ns, now_ns;

	open_run(&run, first);
	readable.fd = run.fd;
	began_ns = now_ns = spw_now_ns();
	for (uint32_t i = 0; i < cnt; i++)
		try_again(&run, &run.peers[i], now_ns);
	while (run.up_cnt < cnt && now_ns - began_ns < seconds * 1000000000ull) {
		poll(&readable, 1, 1);
		receive_all(&run);
		now_ns = spw_now_ns();
		for (uint32_t i = 0; i < cnt; i++) {
			struct peer *peer = &run.peers[i];
			if (peer->answered_ns || now_ns < peer->retry_ns)
				continue;
			write_init(&run, peer);
			try_again(&run, peer, now_ns);
		}
	}
	report(&run, began_ns, now_ns);
	close(run.fd);
	free(run.peers);
}
