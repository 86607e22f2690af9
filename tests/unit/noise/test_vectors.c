/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vectors.c - IK and IKpsk2 against the vectors that come with flynn/noise (Debian's
 * golang-github-flynn-noise-dev): with and without prologue and payloads, both roles, and a message
 * in each direction after the handshake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/daemon/noise/ik.h"

#define VECTORS "/usr/share/gocode/src/github.com/flynn/noise/vectors.txt"
#define MESSAGE_MAX 256

struct field {
	const char *name;
	uint8_t at[MESSAGE_MAX];
	size_t bytes;
	bool given;
};
enum { INIT_STATIC, RESP_STATIC, INIT_EPHEMERAL, RESP_EPHEMERAL, PROLOGUE, PSK, PAYLOAD };
#define SEALED (PAYLOAD + 4)
#define FIELDS (PAYLOAD + 8)
static struct field fields[FIELDS] = {
	{"init_static"},      {"resp_static"},      {"gen_init_ephemeral"}, {"gen_resp_ephemeral"},
	{"prologue"},         {"preshared_key"},    {"msg_0_payload"},      {"msg_1_payload"},
	{"msg_2_payload"},    {"msg_3_payload"},    {"msg_0_ciphertext"},   {"msg_1_ciphertext"},
	{"msg_2_ciphertext"}, {"msg_3_ciphertext"},
};

static void field_set(struct field *field, const char *hex)
{
	unsigned int byte;

	for (field->bytes = 0; sscanf(hex + 2 * field->bytes, "%2x", &byte) == 1; field->bytes++) {
		assert_true(field->bytes < MESSAGE_MAX);
		field->at[field->bytes] = (uint8_t)byte;
	}
	field->given = true;
}

/* One node: an initiator (0) or a responder (1). */
struct node {
	struct spw_key_pair own, ephemeral;
	uint8_t static_static[SPW_WIRE_KEY_BYTES], remote[SPW_WIRE_KEY_BYTES];
	struct spw_symmetric state;
	struct spw_ik ik;
};

static void pair_from(struct spw_key_pair *pair, const struct field *private_key)
{
	assert_int_equal(private_key->bytes, SPW_WIRE_KEY_BYTES);
	memcpy(pair->private_key, private_key->at, SPW_WIRE_KEY_BYTES);
	assert_int_equal(spw_x25519_public(pair->private_key, pair->public_key), 0);
}

static void node_open(struct node *node, int role)
{
	pair_from(&node->own, &fields[INIT_STATIC + role]);
	pair_from(&node->ephemeral, &fields[INIT_EPHEMERAL + role]);
	node->ik = (struct spw_ik){
		.state = &node->state,
		.psk = fields[PSK].given ? fields[PSK].at : NULL,
		.own = &node->own,
		.ephemeral = &node->ephemeral,
		.remote_static = node->remote,
		.static_static = node->static_static,
	};
}

static void sealed_must_be(int message, const uint8_t *sealed, size_t extra_bytes)
{
	const struct field *expected = &fields[SEALED + message];

	assert_int_equal(expected->bytes, fields[PAYLOAD + message].bytes + extra_bytes);
	assert_memory_equal(sealed, expected->at, expected->bytes);
}

/* A message after the handshake: no associated data, the first of its key. */
static void check_transport(int message, const uint8_t key[SPW_HASH_BYTES])
{
	static const uint8_t iv[SPW_GCM_IV_BYTES];
	const struct field *payload = &fields[PAYLOAD + message];
	uint8_t sealed[MESSAGE_MAX];

	assert_int_equal(spw_gcm_seal(key, iv, (struct spw_bytes){"", 0}, payload->at,
				      payload->bytes, sealed),
			 0);
	sealed_must_be(message, sealed, SPW_WIRE_TAG_BYTES);
}

static void check_vector(void)
{
	static struct node a, b;
	const struct field *first = &fields[PAYLOAD], *second = &fields[PAYLOAD + 1];
	uint8_t message[MESSAGE_MAX], payload[MESSAGE_MAX], keys[4][SPW_HASH_BYTES];

	node_open(&a, 0);
	node_open(&b, 1);
	memcpy(a.remote, b.own.public_key, SPW_WIRE_KEY_BYTES);
	assert_int_equal(spw_x25519(&a.own, a.remote, a.static_static), 0);
	for (struct node *node = &a; node; node = node == &a ? &b : NULL)
		assert_int_equal(spw_ik_start(&node->ik, fields[PROLOGUE].at,
					      fields[PROLOGUE].bytes, b.own.public_key),
				 0);

	assert_int_equal(spw_ik_first_write(&a.ik, first->at, first->bytes, message), 0);
	sealed_must_be(0, message, SPW_IK_FIRST_EXTRA_BYTES);
	assert_int_equal(spw_ik_first_read_static(&b.ik, message, b.remote), 0);
	assert_memory_equal(b.remote, a.own.public_key, SPW_WIRE_KEY_BYTES);
	assert_int_equal(spw_x25519(&b.own, b.remote, b.static_static), 0);
	assert_int_equal(spw_ik_first_read(&b.ik, message, payload, first->bytes), 0);
	assert_memory_equal(payload, first->at, first->bytes);

	b.ik.remote_ephemeral = a.ephemeral.public_key;
	assert_int_equal(spw_ik_second_write(&b.ik, second->at, second->bytes, message), 0);
	sealed_must_be(1, message, SPW_IK_SECOND_EXTRA_BYTES);
	assert_int_equal(spw_ik_second_read(&a.ik, message, payload, second->bytes), 0);
	assert_memory_equal(payload, second->at, second->bytes);

	assert_memory_equal(a.state.hash, b.state.hash, SPW_HASH_BYTES);
	assert_int_equal(spw_symmetric_split(&a.state, keys[0], keys[1]), 0);
	assert_int_equal(spw_symmetric_split(&b.state, keys[2], keys[3]), 0);
	assert_memory_equal(keys[0], keys[2], 2 * SPW_HASH_BYTES);
	check_transport(2, keys[0]);
	check_transport(3, keys[1]);
}

static uint32_t check_protocol(FILE *file, const char *protocol)
{
	char line[2048], start[64];
	bool wanted = false;
	uint32_t vectors = 0;

	rewind(file);
	snprintf(start, sizeof(start), "handshake=%s\n", protocol);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "handshake=", 10) == 0) {
			wanted = strcmp(line, start) == 0;
			for (int i = 0; i < FIELDS; i++) {
				fields[i].given = false;
				fields[i].bytes = 0;
			}
		}
		char *value = strchr(line, '=');
		if (!wanted || !value)
			continue;
		*value++ = 0;
		for (int i = 0; i < FIELDS; i++)
			if (strcmp(line, fields[i].name) == 0)
				field_set(&fields[i], value);
		if (fields[FIELDS - 1].given) { /* the last one of a vector */
			check_vector();
			vectors++;
			wanted = false;
		}
	}
	return vectors;
}

static void check_file(const char *protocol)
{
	FILE *file = fopen(VECTORS, "re");

	if (!file)
		fail_msg("%s is missing: run tools/setup, which installs it", VECTORS);
	assert_int_equal(check_protocol(file, protocol), 4);
	fclose(file);
}

static void test_ik(void **state)
{
	(void)state;
	check_file("Noise_IK_25519_AESGCM_SHA256");
}

static void test_ikpsk2(void **state)
{
	(void)state;
	check_file("Noise_IKpsk2_25519_AESGCM_SHA256");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ik),
		cmocka_unit_test(test_ikpsk2),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
