/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any datagram in place of a message of a handshake, at a node that knows its peer and waits for a
 * response and for a cookie. What is not authentic changes nothing; what is, is in range.
 *
 * Input: which message, flags, then (PAYLOAD) what its authentic sender says in it, then what is
 * changed on the way: (RAW) all of it, or offsets and what to XOR there. Both ephemeral keys are
 * fixed, so that the same input comes to the same INIT and RESPONSE.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/noise/ik.h"
#include "tests/unit/noise/sides.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum {
	MACS = 1, /* mac1 is made good after the changes, as by one who knows the public key */
	RAW = 2,
	PAYLOAD = 4,
};
#define INDEX 7u
#define DATAGRAM_MAX 512u

static struct side a, b; /* a starts */
static struct spw_key_pair ephemeral_a, ephemeral_b;
static struct spw_cookie_secret secret;
static const struct spw_cookie_source source = {{1}, 4500};

static void must(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	sides_open(&a, &b, NULL);
	memset(ephemeral_a.private_key, 1, SPW_WIRE_KEY_BYTES);
	memset(ephemeral_b.private_key, 2, SPW_WIRE_KEY_BYTES);
	must(spw_x25519_public(ephemeral_a.private_key, ephemeral_a.public_key) == 0);
	must(spw_x25519_public(ephemeral_b.private_key, ephemeral_b.public_key) == 0);
	return 0;
}

/* ---- the authentic messages --------------------------------------------------------------- */

/* Puts a and b where they are after an INIT with this payload. */
static void send_init(const struct spw_wire_offer *payload, struct spw_wire_init *wire)
{
	static const uint8_t prologue[] = {"relay-noise v1\1"};
	struct spw_ik ik = {
		.state = &a.handshake.symmetric,
		.psk = a.peer.psk,
		.own = &a.identity.pair,
		.ephemeral = &ephemeral_a,
		.remote_static = a.peer.public_key,
		.static_static = a.peer.static_static,
	};

	a.handshake = (struct spw_noise_handshake){
		.ephemeral = ephemeral_a, .local_index = INDEX, .role = SPW_NOISE_INITIATOR};
	*wire = (struct spw_wire_init){
		.head = {.type = SPW_WIRE_INIT, .version = SPW_WIRE_VERSION},
		.sender_index_le = INDEX,
	};
	must(spw_ik_start(&ik, prologue, sizeof(prologue) - 1, a.peer.public_key) == 0);
	must(spw_ik_first_write(&ik, payload, sizeof(*payload), wire->ephemeral) == 0);
	must(spw_mac1_write(a.peer.mac1_key, wire, sizeof(*wire)) == 0);
}

static void send_response(const struct spw_wire_answer *payload, struct spw_wire_response *wire)
{
	struct spw_symmetric state = a.handshake.symmetric;
	struct spw_ik ik = {
		.state = &state,
		.psk = b.peer.psk,
		.ephemeral = &ephemeral_b,
		.remote_static = b.peer.public_key,
		.remote_ephemeral = ephemeral_a.public_key,
	};

	*wire = (struct spw_wire_response){
		.head = {.type = SPW_WIRE_RESPONSE, .version = SPW_WIRE_VERSION},
		.receiver_index_le = INDEX,
	};
	must(spw_ik_second_write(&ik, payload, sizeof(*payload), wire->ephemeral) == 0);
	must(spw_mac1_write(b.peer.mac1_key, wire, sizeof(*wire)) == 0);
}

static const struct spw_wire_terms good_terms = {.children = 1, .window_log2 = 11};

/* The input's own words where it has enough of them. Returns how many it took. */
static size_t payload_from(const uint8_t *data, size_t bytes, void *payload, size_t payload_bytes)
{
	if (bytes < payload_bytes)
		return 0;
	memcpy(payload, data, payload_bytes);
	return payload_bytes;
}

/* ---- what comes in ------------------------------------------------------------------------ */

struct datagram {
	uint8_t sent[DATAGRAM_MAX], at[DATAGRAM_MAX];
	size_t sent_bytes, bytes;
};

static void change(struct datagram *datagram, uint8_t flags, const uint8_t *data, size_t bytes)
{
	datagram->bytes = datagram->sent_bytes;
	memcpy(datagram->at, datagram->sent, datagram->sent_bytes);
	if (flags & RAW) {
		datagram->bytes = bytes < DATAGRAM_MAX ? bytes : DATAGRAM_MAX;
		memcpy(datagram->at, data, datagram->bytes);
	} else {
		for (; bytes >= 2; data += 2, bytes -= 2)
			datagram->at[data[0]] ^= data[1];
	}
}

/* Whether all but mac1, mac2 and what no one authenticates is as it was sent. */
static bool same(const struct datagram *datagram, size_t free_from, size_t free_bytes)
{
	size_t macs = datagram->sent_bytes - sizeof(struct spw_wire_macs);
	size_t rest = free_from + free_bytes;

	return datagram->bytes == datagram->sent_bytes &&
	       memcmp(datagram->at, datagram->sent, free_from) == 0 &&
	       memcmp(datagram->at + rest, datagram->sent + rest, macs - rest) == 0;
}

static void check_terms(const struct spw_noise_terms *terms)
{
	must(terms->children >= 1 && terms->children <= SPW_SESSION_CHILDREN_MAX);
	must(terms->window_log2 >= SPW_WINDOW_LOG2_MIN &&
	     terms->window_log2 <= SPW_WINDOW_LOG2_MAX);
	for (uint32_t i = 0; i < SPW_SESSION_CHILDREN_MAX; i++)
		must(terms->spi[i] == 0 || terms->spi[i] >= SPW_SPI_LEAST);
}

static void take_init(struct datagram *datagram)
{
	static const struct spw_noise_handshake idle;
	struct spw_noise_answer answer = sides_answer(1);
	struct spw_wire_response response;
	struct spw_noise_offer offer;
	int err;

	b.handshake = idle;
	err = side_take_init(&b, datagram->at, datagram->bytes, &offer);
	must(err <= 0);
	if (err) {
		must(memcmp(&b.handshake, &idle, sizeof(idle)) == 0);
		return;
	}
	must(same(datagram, offsetof(struct spw_wire_init, sender_index_le), 4));
	check_terms(&offer.terms);
	must(spw_noise_response_write(&b.handshake, &b.peer, 1, &answer, &response, &b.keys) == 0);
}

static void take_response(struct datagram *datagram)
{
	struct spw_noise_handshake before = a.handshake;
	struct spw_noise_answer answer;

	if (side_take_response(&a, datagram->at, datagram->bytes, &answer) < 0) {
		must(memcmp(&a.handshake, &before, sizeof(before)) == 0);
		return;
	}
	must(same(datagram, offsetof(struct spw_wire_response, sender_index_le), 4));
	check_terms(&answer.terms);
	must(a.handshake.role == SPW_NOISE_IDLE);
}

static void take_cookie(struct datagram *datagram, struct spw_cookie *cookie)
{
	const size_t index = offsetof(struct spw_wire_cookie, receiver_index_le);

	if (spw_wire_type(datagram->at, datagram->bytes) != SPW_WIRE_COOKIE)
		return;
	if (spw_cookie_reply_read(cookie, 0, &a.peer, (const void *)datagram->at) < 0) {
		must(!cookie->held);
		return;
	}
	must(memcmp(datagram->at, datagram->sent, index) == 0 &&
	     memcmp(datagram->at + index + 4, datagram->sent + index + 4,
		    sizeof(struct spw_wire_cookie) - index - 4) == 0);
	must(cookie->held && !cookie->awaits);
}

/* The message of this type into the datagram, as it was sent. */
static void put(struct datagram *datagram, uint8_t type, const struct spw_wire_init *init,
		const struct spw_wire_answer *answer)
{
	memset(datagram, 0, sizeof(*datagram));
	if (type == SPW_WIRE_INIT) {
		memcpy(datagram->sent, init, sizeof(*init));
		datagram->sent_bytes = sizeof(*init);
	} else if (type == SPW_WIRE_RESPONSE) {
		send_response(answer, (struct spw_wire_response *)datagram->sent);
		datagram->sent_bytes = sizeof(struct spw_wire_response);
	} else {
		must(spw_cookie_reply_write(&secret, 0, &b.identity, &source, init, sizeof(*init),
					    (struct spw_wire_cookie *)datagram->sent) == 0);
		datagram->sent_bytes = sizeof(struct spw_wire_cookie);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct datagram datagram;
	struct spw_wire_offer offer = {.terms = good_terms};
	struct spw_wire_answer answer = {.terms = good_terms};
	struct spw_cookie cookie = {0};
	struct spw_wire_init init;
	size_t taken = 0;

	if (bytes < 2)
		return 0;
	uint8_t type = 1 + data[0] % 3, flags = data[1];
	data += 2;
	bytes -= 2;
	if (flags & PAYLOAD && type == SPW_WIRE_INIT)
		taken = payload_from(data, bytes, &offer, sizeof(offer));
	if (flags & PAYLOAD && type == SPW_WIRE_RESPONSE)
		taken = payload_from(data, bytes, &answer, sizeof(answer));
	send_init(&offer, &init);
	must(spw_cookie_add(&cookie, 0, &init, sizeof(init)) == 0);
	put(&datagram, type, &init, &answer);
	change(&datagram, flags, data + taken, bytes - taken);
	if (flags & MACS && datagram.bytes >= sizeof(struct spw_wire_macs))
		must(spw_mac1_write(type == SPW_WIRE_INIT ? b.identity.mac1_key
							  : a.identity.mac1_key,
				    datagram.at, datagram.bytes) == 0);
	/* Each to all three: a node goes by what the datagram says it is. */
	take_init(&datagram);
	take_response(&datagram);
	take_cookie(&datagram, &cookie);
	return 0;
}
