/* SPDX-License-Identifier: BSD-2-Clause */
/* test_relay.c - the ways to a relay's endpoints, and its port, against the kernel (world.h). Root
 * only. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/daemon/relays/relays.h"
#include "tests/unit/net/world.h"

#define MAC_PEER1 "02:00:00:00:01:20"

static struct spw_relay_root roots[65536];
static struct spw_relay records[SPW_RELAY_SLOTS_MAX];
static struct spw_slots slots;
static struct spw_relay_obj relay;

static const struct spw_relay_side *side(unsigned int i)
{
	return &records[roots[relay.port].slot].side[i];
}

static int setup(void **state)
{
	memset(roots, 0, sizeof(roots));
	relay = (struct spw_relay_obj){
		.name = "ab", .id = 1, .port = 51820, .family = 4, .limits = {1000, 1000}};
	assert_int_equal(spw_slots_open(&slots, SPW_RELAY_SLOTS_MAX), 0);
	world_setup(state);
	world_node->maps.relay_ports = roots;
	world_node->maps.relays = records;
	world_node->relay_slots = &slots;
	return 0;
}

static int teardown(void **state)
{
	world_teardown(state);
	spw_slots_close(&slots);
	return 0;
}

static int acquire(unsigned int i, const char *remote, struct spw_error *error)
{
	*error = (struct spw_error){0};
	relay.ends[i].remote = world_address(remote);
	return spw_nexthop_acquire_end(world_node, &relay, &relay.ends[i], 0, error);
}

static void start(const char *a, const char *b)
{
	struct spw_error error;

	assert_int_equal(acquire(0, a, &error), 0);
	assert_int_equal(acquire(1, b, &error), 0);
	world_node->relays[1] = &relay;
	spw_relay_publish_at(world_node, &relay, spw_slots_alloc(&slots));
}

static void assert_address(const uint8_t *address, const char *expected)
{
	uint32_t addr = inet_addr(expected);

	assert_memory_equal(address, &addr, 4);
}

static bool resolved(void)
{
	return world_valid(side(1)->neighbor, MAC_PEER1);
}

static bool moved(void)
{
	return side(0)->port == 1 && side(0)->neighbor == side(1)->neighbor;
}

static bool lost(void)
{
	return side(0)->neighbor == 0;
}

/* As a tunnel's next hop: found, shared, moved and lost with the kernel's route. */
static void test_ways(void **state)
{
	(void)state;
	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	start("203.0.113.9:5", "198.51.100.2:6");
	assert_int_equal(side(0)->port, 0);
	assert_address(side(0)->local, "192.0.2.1");
	assert_address(side(0)->remote, "203.0.113.9");
	assert_int_equal(side(0)->remote_port_be, htons(5));
	assert_int_equal(side(1)->port, 1);
	assert_address(side(1)->local, "198.51.100.1");
	assert_true(world_until(resolved, 3000));

	here("ip route replace 203.0.113.0/24 via 198.51.100.2");
	assert_true(world_until(moved, 3000));
	assert_address(side(0)->local, "198.51.100.1");
	here("ip route del 203.0.113.0/24");
	assert_true(world_until(lost, 3000));
	assert_address(side(0)->local, "0.0.0.0");
	assert_address(side(0)->remote, "203.0.113.9");
	assert_int_equal(side(1)->port, 1);
}

/* A pinned endpoint keeps the address of ours that it knows. */
static void test_pinned_local(void **state)
{
	struct spw_error error;

	(void)state;
	here("ip addr add 192.0.2.77/24 dev wan0");
	world_run(200);
	relay.ends[0].local = world_address("192.0.2.77");
	assert_int_equal(acquire(0, "192.0.2.3:5", &error), 0);
	assert_address(relay.ends[0].source.addr, "192.0.2.77");
	spw_nexthop_release_end(world_node, &relay.ends[0]);
	/* One that is none of a wan's gives no way. */
	relay.ends[0].local = world_address("10.1.0.1");
	assert_int_equal(acquire(0, "192.0.2.3:5", &error), 0);
	assert_null(relay.ends[0].nexthop);
	assert_int_equal(relay.ends[0].source.family, 0);
}

/* No address of this host's, whatever its interface, nor one that means several hosts. */
static void test_own_addresses(void **state)
{
	static const char *const own[][2] = {
		{"192.0.2.1:5", "an address of this host"},
		{"198.51.100.1:5", "an address of this host"},
		{"10.1.0.1:51821", "an address of this host"},
		{"[2001:db8::1]:5", "an address of this host"},
		{"[fd00:1::1]:5", "an address of this host"},
		{"192.0.2.255:5", "a broadcast address"},
		{"10.1.0.255:5", "a broadcast address"},
	};
	struct spw_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		assert_int_equal(acquire(0, own[i][0], &error), -EINVAL);
		if (!strstr(error.text, own[i][1]))
			fail_msg("%s: %s", own[i][0], error.text);
		assert_null(relay.ends[0].nexthop);
	}
	/* Not a wan's neighbour: no way, which is no error. */
	assert_int_equal(acquire(0, "10.1.0.10:5", &error), 0);
	assert_null(relay.ends[0].nexthop);
}

static int bound(int family, uint16_t port)
{
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(family, SOCK_DGRAM, 0);
	const struct sockaddr *any = family == AF_INET ? (void *)&any4 : (void *)&any6;

	assert_true(fd >= 0);
	any4.sin_addr.s_addr = inet_addr("192.0.2.1"); /* one address of many is enough */
	if (bind(fd, any, family == AF_INET ? sizeof(any4) : sizeof(any6)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void test_port(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(51820)};
	int fd, other, waiting = 0;
	char byte;

	(void)state;
	for (int i = 0; i < 2; i++) {
		other = bound(families[i], 51820);
		assert_true(other >= 0);
		assert_int_equal(spw_udp_port_hold(51820), -EADDRINUSE);
		close(other);
	}
	fd = spw_udp_port_hold(51820);
	assert_true(fd >= 0);
	assert_int_equal(bound(AF_INET, 51820), -1);
	assert_int_equal(bound(AF_INET6, 51820), -1);
	/* Nothing piles up in it. */
	other = socket(AF_INET, SOCK_DGRAM, 0);
	to.sin_addr.s_addr = inet_addr("192.0.2.1");
	for (int i = 0; i < 10; i++)
		waiting += sendto(other, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1;
	assert_int_equal(waiting, 10);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(other);
	close(fd);
	other = bound(AF_INET, 51820);
	assert_true(other >= 0);
	close(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_ways),
		TEST(test_pinned_local),
		TEST(test_own_addresses),
		TEST(test_port),
	};

	return world_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
