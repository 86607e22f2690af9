/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_esp.c - ESP with AES-GCM bit by bit: published answers through the AEAD alone and through
 * the whole inbound stage, every byte cut off, every byte flipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "tests/unit/dataplane/arena_double.h"
#include "tests/unit/dataplane/esp_vectors.h"
#include "tests/unit/dataplane/world.h"

#define VECTORS (sizeof(esp_vectors) / sizeof(esp_vectors[0]))
#define SAS_ALL (1u << 22) /* room for every SPI there is */

static uint32_t unhex(uint8_t *out, const char *hex)
{
	uint32_t bytes = 0;
	unsigned int value;
	for (; sscanf(hex, "%2x", &value) == 1; hex += 2)
		out[bytes++] = (uint8_t)value;
	return bytes;
}

struct vector {
	uint8_t key[32], nonce[12], aad[12], text[256], sealed[256], tag[16];
	uint32_t key_bytes, aad_bytes, text_bytes;
};

static struct vector vector_get(size_t k)
{
	struct vector v;
	v.key_bytes = unhex(v.key, esp_vectors[k].key);
	assert_int_equal(unhex(v.nonce, esp_vectors[k].nonce), 12);
	v.aad_bytes = unhex(v.aad, esp_vectors[k].aad);
	v.text_bytes = unhex(v.text, esp_vectors[k].text);
	assert_int_equal(unhex(v.sealed, esp_vectors[k].sealed), v.text_bytes);
	assert_int_equal(unhex(v.tag, esp_vectors[k].tag), 16);
	return v;
}

static void known_answers_aead(void **state)
{
	(void)state;
	for (size_t k = 0; k < VECTORS; k++) {
		struct vector v = vector_get(k);
		uint8_t text[256], tag[16];
		struct spw_aead *seal = spw_aead_create(0, v.key, v.key_bytes, true);
		struct spw_aead *open = spw_aead_create(0, v.key, v.key_bytes, false);
		for (int again = 0; again < 3; again++) { /* a context serves many packets */
			memcpy(text, v.text, v.text_bytes);
			assert_true(spw_aead_seal(seal, v.nonce, v.aad, v.aad_bytes, text,
						  v.text_bytes, tag));
			assert_memory_equal(text, v.sealed, v.text_bytes);
			assert_memory_equal(tag, v.tag, 16);
			assert_true(spw_aead_open(open, v.nonce, v.aad, v.aad_bytes, text,
						  v.text_bytes, v.tag));
			assert_memory_equal(text, v.text, v.text_bytes);
			memcpy(text, v.sealed, v.text_bytes);
			tag[again] ^= 1;
			assert_false(spw_aead_open(open, v.nonce, v.aad, v.aad_bytes, text,
						   v.text_bytes, tag));
			assert_int_equal(ERR_peek_error(), 0); /* nothing piles up */
		}
		spw_aead_destroy(seal);
		spw_aead_destroy(open);
	}
}

/* OpenSSL's allocations, counted from the start of the process. */
static uint64_t allocations;

static void *counted_malloc(size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	allocations++;
	return malloc(bytes);
}

static void *counted_realloc(void *memory, size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	allocations++;
	return realloc(memory, bytes);
}

static void counted_free(void *memory, const char *file, int line)
{
	(void)file;
	(void)line;
	free(memory);
}

/* Neither a packet nor a forged one costs an allocation, once the error queue is there. */
static void packets_allocate_nothing(void **state)
{
	struct vector v = vector_get(0);
	uint8_t tag[16];
	(void)state;

	struct spw_aead *seal = spw_aead_create(0, v.key, v.key_bytes, true);
	struct spw_aead *open = spw_aead_create(0, v.key, v.key_bytes, false);
	assert_int_not_equal(allocations, 0); /* the choice of the provider alone made some */
	ERR_clear_error();
	uint64_t before = allocations;
	for (int k = 0; k < 1000; k++) {
		assert_true(spw_aead_seal(seal, v.nonce, v.aad, v.aad_bytes, v.text, v.text_bytes,
					  tag));
		tag[k % 16] ^= (uint8_t)(k & 1);
		bool authentic =
			spw_aead_open(open, v.nonce, v.aad, v.aad_bytes, v.text, v.text_bytes, tag);
		assert_int_equal(authentic, !(k & 1));
	}
	assert_int_equal(allocations, before);
	spw_aead_destroy(seal);
	spw_aead_destroy(open);
}

/* An SA that receives the vector, its window placed so that the sequence number is the next. */
static struct spw_msg_sa_add vector_sa(const struct vector *v, uint64_t *sequence)
{
	bool esn = v->aad_bytes == 12;
	struct spw_msg_sa_add sa = world_sa(SPW_SA_IN, 1);

	*sequence = esn ? (uint64_t)spw_get_be32(v->aad + 4) << 32 | spw_get_be32(v->aad + 8)
			: spw_get_be32(v->aad + 4);
	sa.spi = spw_get_be32(v->aad);
	sa.slot = SPW_SPI_SLOT(sa.spi);
	sa.flags = esn ? SPW_SA_F_ESN : 0;
	sa.sequence = *sequence;
	sa.key_bytes = v->key_bytes;
	memcpy(sa.key, v->key, v->key_bytes);
	memcpy(sa.salt, v->nonce, 4);
	return sa;
}

/* The vector's packet as it stands on the wire: its bytes, not those of our encoder. */
static uint32_t vector_frame(const struct vector *v, uint8_t *frame)
{
	struct world_esp esp = world_esp(1, 1, 4);
	uint32_t bytes;

	esp.raw_text = true;
	bytes = world_seal(frame, &esp, v->text, v->text_bytes);
	uint8_t *at = frame + bytes - 16 - v->text_bytes - SPW_ESP_BYTES;
	memcpy(at, v->aad, 4);
	memcpy(at + 4, v->aad + v->aad_bytes - 4, 4);
	memcpy(at + 8, v->nonce + 4, 8);
	memcpy(at + 16, v->sealed, v->text_bytes);
	memcpy(at + 16 + v->text_bytes, v->tag, 16);
	return bytes;
}

/* What the stage must say of a text by RFC 4303 alone. */
static int expected_reason(const uint8_t *text, uint32_t bytes)
{
	uint8_t next_header = text[bytes - 1];
	if (text[bytes - 2] + 2u > bytes)
		return SPW_DROP_PADDING_BAD;
	return next_header == 4 || next_header == 41 ? -1 : SPW_DROP_NEXT_HEADER_BAD;
}

static void known_answers_esp_in(void **state)
{
	int through = 0;
	(void)state;
	for (size_t k = 0; k < VECTORS; k++) {
		struct vector v = vector_get(k);
		uint64_t sequence;
		uint8_t frame[WORLD_FRAME_MAX];
		struct spw_msg_sa_add sa = vector_sa(&v, &sequence);
		if (sa.slot == 0)
			continue; /* SPIs that this node never gives out */
		struct world *world = world_create(SAS_ALL);
		world->ports[0].image[0].role = SPW_PORT_WAN;
		world->ports[0].image[0].tunnel_port_be = __builtin_bswap16(WORLD_TUNNEL_PORT);
		world_tunnel(world, 1, 1, 4);
		assert_int_equal(world_sa_add(world, &sa), 0);

		struct spw_burst *burst = &world->lane.burst;
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(world->pool);
		uint32_t bytes = vector_frame(&v, frame);
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), frame, bytes);
		rte_mbuf_refcnt_update(mbuf, 1); /* so that it can be looked at after a drop */
		burst->cnt = 1;
		burst->mbuf[0] = mbuf;
		burst->state[0] = SPW_AT_CLASSIFY;
		burst->port_in[0] = 0;
		spw_stage_classify(&world->lane, burst);
		spw_stage_esp_in(&world->lane, burst);

		const uint8_t *text =
			rte_pktmbuf_mtod_offset(mbuf, uint8_t *, bytes - 16 - v.text_bytes);
		assert_memory_equal(text, v.text, v.text_bytes);
		assert_int_equal(world->counters[1].rx_packets, 1);
		uint64_t top;
		assert_int_equal(spw_sa_query(world->lane.sas, SPW_SA_IN, sa.slot, &top), 0);
		assert_int_equal(top, sequence);
		int reason = expected_reason(v.text, v.text_bytes);
		if (reason >= 0)
			assert_int_equal(world->row.drops[reason], 1);
		else
			assert_int_equal(burst->state[0], SPW_AT_INNER);
		if (reason < 0)
			rte_pktmbuf_free(mbuf);
		rte_pktmbuf_free(mbuf);
		world_destroy(world);
		through++;
	}
	assert_int_equal(through, 10);
}

/* ---- damage ------------------------------------------------------------------------------- */

/* A valid packet for a tunnel's inner net 10.2.0.0/16 or, for tunnel 2, 10.1.0.0/16. */
static uint32_t valid_frame(uint8_t *frame, uint32_t tunnel, uint64_t sequence)
{
	static const char *const sources[] = {"", "10.1.0.9", "10.2.0.9", "10.3.0.9"};
	uint8_t inner[128];
	uint32_t bytes =
		world_inner4(inner, sources[tunnel], tunnel == 2 ? "10.1.7.7" : "10.2.7.7", 64, 61);
	struct world_esp esp = world_esp(tunnel, sequence, SPW_PROTO_IPV4);
	return world_seal(frame, &esp, inner, bytes);
}

static void passes(struct world *world, uint32_t tunnel, uint64_t sequence)
{
	uint8_t frame[WORLD_FRAME_MAX];
	uint32_t bytes = valid_frame(frame, tunnel, sequence);
	assert_true(world_receive(world, 0, frame, bytes).transmitted);
}

/* The header offsets of a frame by tunnel: the outer IP is IPv4, or IPv6 for tunnel 3. */
static uint32_t esp_offset(uint32_t tunnel)
{
	return SPW_ETHER_BYTES + (tunnel == 3 ? SPW_IPV6_BYTES : SPW_IPV4_BYTES) + SPW_UDP_BYTES;
}

/* Cut off anywhere, the frame says more than is there: OUTER_BAD. */
static void truncated_frame(void **state)
{
	struct world *world = *state;
	for (uint32_t tunnel = 1; tunnel <= 3; tunnel++) {
		uint8_t frame[WORLD_FRAME_MAX];
		uint32_t bytes = valid_frame(frame, tunnel, 1);
		world->tight = true;
		for (uint32_t cut = 0; cut < bytes; cut++) {
			struct outcome outcome = world_receive(world, 0, frame, cut);
			assert_int_equal(outcome.reason, SPW_DROP_OUTER_BAD);
		}
		world->tight = false;
		passes(world, tunnel, 1);
	}
}

/* Cut off by the sender, all lengths right: too short, misaligned, or not authentic. */
static void truncated_esp(void **state)
{
	struct world *world = *state;
	for (uint32_t tunnel = 1; tunnel <= 3; tunnel++) {
		uint8_t frame[WORLD_FRAME_MAX];
		uint32_t at = esp_offset(tunnel), bytes = valid_frame(frame, tunnel, 1);
		world->tight = true;
		for (uint32_t esp_bytes = 0; esp_bytes < bytes - at; esp_bytes++) {
			uint8_t *ip = frame + SPW_ETHER_BYTES, *udp = frame + at - SPW_UDP_BYTES;
			if (tunnel == 3)
				spw_put_be16(ip + 4, (uint16_t)(SPW_UDP_BYTES + esp_bytes));
			else
				spw_put_be16(ip + 2, (uint16_t)(28 + esp_bytes));
			spw_put_be16(udp + 4, (uint16_t)(SPW_UDP_BYTES + esp_bytes));
			struct outcome outcome = world_receive(world, 0, frame, at + esp_bytes);
			bool whole = esp_bytes >= 36 && esp_bytes % 4 == 0;
			assert_int_equal(outcome.reason,
					 whole ? SPW_DROP_AUTH_FAILED : SPW_DROP_ESP_TRUNCATED);
		}
		world->tight = false;
		passes(world, tunnel, 1);
	}
}

/* A flipped SPI finds no SA; a flipped sequence number may look old; all else fails the ICV. */
static void flipped(void **state)
{
	struct world *world = *state;
	for (uint32_t tunnel = 1; tunnel <= 3; tunnel++) {
		uint8_t frame[WORLD_FRAME_MAX];
		uint32_t at = esp_offset(tunnel), bytes = valid_frame(frame, tunnel, 5);
		for (uint32_t k = at; k < bytes; k++) {
			for (uint8_t bit = 1; bit != 0; bit = (uint8_t)(bit << 1)) {
				frame[k] ^= bit;
				int reason = world_receive(world, 0, frame, bytes).reason;
				frame[k] ^= bit;
				if (k < at + 4)
					assert_int_equal(reason, SPW_DROP_SPI_UNKNOWN);
				else
					assert_int_equal(reason, SPW_DROP_AUTH_FAILED);
			}
		}
		assert_int_equal(world->counters[tunnel].auth_failures, (bytes - at - 4) * 8);
		assert_int_equal(world->counters[tunnel].rx_packets, 0);
		/* None of it moved the window or used up the number. */
		passes(world, tunnel, 1);
		assert_true(world_receive(world, 0, frame, bytes).transmitted);
		assert_int_equal(world_receive(world, 0, frame, bytes).reason, SPW_DROP_REPLAYED);
	}
}

/* Every byte of the outer headers flipped: never a crash, and exactly one account of it. */
static void flipped_outer(void **state)
{
	struct world *world = *state;
	uint64_t sequence = 1;
	for (uint32_t tunnel = 1; tunnel <= 3; tunnel++, sequence = 1) {
		for (uint32_t k = 0; k < esp_offset(tunnel); k++) {
			for (uint8_t bit = 1; bit != 0; bit = (uint8_t)(bit << 1)) {
				uint8_t frame[WORLD_FRAME_MAX];
				uint32_t bytes = valid_frame(frame, tunnel, sequence);
				frame[k] ^= bit;
				struct outcome outcome = world_receive(world, 0, frame, bytes);
				if (outcome.transmitted)
					sequence++;
				else
					assert_true(outcome.reason == SPW_DROP_OUTER_BAD ||
						    outcome.reason == SPW_DROP_ESP_TRUNCATED ||
						    outcome.reason == SPW_DROP_SPI_UNKNOWN ||
						    outcome.reason == SPW_DROP_AUTH_FAILED);
			}
		}
		passes(world, tunnel, sequence);
	}
}

/* Sequence numbers out of order, over the 32-bit border, and before a floor, end to end. */
static void extended_numbers(void **state)
{
	struct world *world = *state;
	struct spw_msg_sa_add sa = world_sa(SPW_SA_IN, 2);

	spw_sa_destroy(spw_sa_unpublish(world->lane.sas, SPW_SA_IN, 2));
	sa.sequence = 0xfffffff0;
	assert_int_equal(world_sa_add(world, &sa), 0);
	uint8_t frame[WORLD_FRAME_MAX];
	uint32_t bytes = valid_frame(frame, 2, 0xffffffef);
	assert_int_equal(world_receive(world, 0, frame, bytes).reason, SPW_DROP_REPLAY_OLD);
	for (uint64_t sequence = 0x100000020; sequence >= 0xfffffff0; sequence--)
		passes(world, 2, sequence);
	bytes = valid_frame(frame, 2, 0x100000000);
	assert_int_equal(world_receive(world, 0, frame, bytes).reason, SPW_DROP_REPLAYED);
	/* Without the high half in the AAD this number of 2^32 earlier would pass. */
	bytes = valid_frame(frame, 2, 0x21);
	assert_int_equal(world_receive(world, 0, frame, bytes).reason, SPW_DROP_AUTH_FAILED);
	passes(world, 2, 0x100000021);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers_aead),
		cmocka_unit_test(packets_allocate_nothing),
		cmocka_unit_test(known_answers_esp_in),
		cmocka_unit_test_setup_teardown(truncated_frame, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(truncated_esp, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(flipped, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(flipped_outer, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(extended_numbers, world_setup, world_teardown),
	};
	if (argc != 2) {
		fprintf(stderr, "usage: test_esp PROVIDER\n");
		return 2;
	}
	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1 ||
	    world_eal_start() != 0)
		return 1;
	int error = world_provider(argv[1]);
	if (error)
		return error;
	arena_live_cnt = 0; /* what the provider keeps for good is no leak */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
