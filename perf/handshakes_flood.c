/* SPDX-License-Identifier: BSD-2-Clause */
/* handshakes_flood.c - see handshakes.h: forged INITs. */
#include <endian.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/daemon/noise/cookie.h"
#include "perf/broken.h"
#include "perf/handshakes.h"

#define BATCH 64u
#define SOURCES_MASK 0x3fffffffu /* 64.0.0.0 to 127.255.255.255, loopback left out */
#define SOURCES_FIRST 0x40000000u

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	struct spw_wire_init init;
} __attribute__((packed));

static uint32_t draw(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 32);
}

/* mac1 does not cover the source: who sends one valid message can send it from everywhere. */
static void make_init(const struct spw_noise_peer *node, struct spw_wire_init *init)
{
	if (RAND_bytes((uint8_t *)init, sizeof(*init)) != 1)
		broken("OpenSSL has no random bytes");
	init->head = (struct spw_wire_head){.type = SPW_WIRE_INIT, .version = SPW_WIRE_VERSION};
	if (spw_mac1_write(node->mac1_key, init, sizeof(*init)) < 0)
		broken("OpenSSL makes no mac1");
}

static void make_packets(const struct handshakes_target *target, struct packet packets[BATCH])
{
	struct spw_noise_identity nobody;
	struct spw_noise_peer node;
	uint8_t private_key[SPW_WIRE_KEY_BYTES] = {1};

	if (spw_noise_identity_init(&nobody, private_key) < 0 ||
	    spw_noise_peer_init(&node, &nobody, target->public_key, NULL) < 0)
		broken("the node's key cannot be used");
	for (uint32_t i = 0; i < BATCH; i++) {
		packets[i].ip = (struct iphdr){.version = 4,
					       .ihl = 5,
					       .ttl = 64,
					       .protocol = IPPROTO_UDP,
					       .tot_len = htobe16(sizeof(packets[i])),
					       .daddr = target->address.sin_addr.s_addr};
		packets[i].udp =
			(struct udphdr){.dest = target->address.sin_port,
					.len = htobe16(sizeof(packets[i]) - sizeof(struct iphdr))};
		make_init(&node, &packets[i].init);
	}
}

static void draw_sources(struct packet packets[BATCH])
{
	for (uint32_t i = 0; i < BATCH; i++) {
		uint32_t source = SOURCES_FIRST + (draw() & SOURCES_MASK);
		if (source >> 24 == 127)
			source ^= 1u << 24;
		packets[i].ip.saddr = htobe32(source);
		packets[i].udp.source = htobe16((uint16_t)(1024 + draw() % 60000));
	}
}

static int open_raw(const struct handshakes_target *target)
{
	int bytes = 8 << 20, fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&target->address, sizeof(target->address)) < 0)
		broken("no raw socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

void handshakes_flood(const struct handshakes_target *target, uint32_t pps, uint32_t seconds)
{
	static struct packet packets[BATCH];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint64_t sent = 0, failed = 0, began_ns, end_ns, now_ns;
	int fd = open_raw(target);

	make_packets(target, packets);
	for (uint32_t i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){&packets[i], sizeof(packets[i])};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	began_ns = now_ns = spw_now_ns();
	end_ns = began_ns + seconds * 1000000000ull;
	while (now_ns < end_ns) {
		if (sent + failed < (now_ns - began_ns) / 1000 * pps / 1000000) {
			draw_sources(packets);
			int cnt = sendmmsg(fd, msgs, BATCH, 0);
			sent += cnt > 0 ? (uint32_t)cnt : 0;
			failed += cnt > 0 ? BATCH - (uint32_t)cnt : BATCH;
		} else {
			usleep(100);
		}
		now_ns = spw_now_ns();
	}
	close(fd);
	printf("{\"sent\": %llu, \"not_sent\": %llu, \"pps\": %.0f}\n", (unsigned long long)sent,
	       (unsigned long long)failed, (double)sent * 1e9 / (double)(now_ns - began_ns));
}
