/* SPDX-License-Identifier: BSD-2-Clause */
/* test_nexthop.c - interfaces, routes and next hops against the kernel (world.h). Root only. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netinet/ip.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/net/world.h"

#define MAC_PEER0 "02:00:00:00:00:20"
#define MAC_PEER1 "02:00:00:00:01:20"

static const struct spw_port_image *image(uint32_t port)
{
	const struct spw_port *record = &world_node->maps.ports[port];

	return &record->image[record->active & 1];
}

static bool has4(uint32_t port, const char *address)
{
	uint32_t wanted = inet_addr(address);

	for (uint32_t i = 0; i < image(port)->addr4_cnt; i++)
		if (image(port)->addr4_be[i] == wanted)
			return true;
	return false;
}

/* ---- interfaces --------------------------------------------------------------------------- */

static void test_ports(void **state)
{
	struct in6_addr address;
	(void)state;

	assert_int_equal(image(0)->addr4_cnt, 1);
	assert_true(has4(0, "192.0.2.1"));
	/* Without the link-local one. */
	assert_int_equal(image(0)->addr6_cnt, 1);
	inet_pton(AF_INET6, "2001:db8::1", &address);
	assert_memory_equal(image(0)->addr6[0], &address, 16);
	assert_memory_equal(image(0)->mac, world_node->net->ports[0].mac, 6);
	assert_int_not_equal(image(0)->mac[5] | image(0)->mac[4] | image(0)->mac[3], 0);
	assert_int_equal(world_node->interfaces[0].mtu_bytes, 1500);
	assert_int_equal(world_node->interfaces[0].queues, 1);
}

static bool readdressed(void)
{
	return image(0)->addr4_cnt == 2 && has4(0, "192.0.2.9") && has4(0, "192.0.2.10");
}

static bool crowded(void)
{
	return image(0)->addr4_cnt == SPW_PORT_ADDRS_MAX && world_node->net->ports[0].crowded;
}

static bool has_new_mac(void)
{
	return memcmp(image(0)->mac, "\x02\0\0\0\0\x99", 6) == 0;
}

static void test_ports_change(void **state)
{
	(void)state;
	here("ip addr add 192.0.2.9/24 dev wan0");
	here("ip addr add 192.0.2.10/24 dev wan0");
	here("ip addr del 192.0.2.1/24 dev wan0"); /* takes its secondaries along */
	here("for i in 9 10; do ip addr replace 192.0.2.$i/24 dev wan0; done");
	assert_true(world_until(readdressed, 2000));
	here("for i in 1 2 3 4 5 6 7 8; do ip addr add 192.0.2.10$i/24 dev wan0; done");
	assert_true(world_until(crowded, 2000));
	here("ip link set wan0 address 02:00:00:00:00:99");
	assert_true(world_until(has_new_mac, 2000));
}

static void test_refused(void **state)
{
	struct spw_error error = {0};

	world_wires();
	world_tables();
	strcpy(world_node->interfaces[1].ifname, "wan7");
	assert_int_equal(world_start(&error), -ENODEV);
	assert_non_null(strstr(error.text, "\"wan7\""));
	assert_null(world_node->net);

	error = (struct spw_error){0};
	strcpy(world_node->interfaces[1].ifname, "wan1");
	world_node->interfaces[1].vlan = 5;
	assert_int_equal(world_start(&error), -ENODEV);
	assert_non_null(strstr(error.text, "ip link add link wan1 name wan1.5 type vlan id 5"));

	error = (struct spw_error){0};
	world_node->interfaces[1].vlan = 0;
	here("ip link set wan1 down");
	assert_int_equal(world_start(&error), -ENETDOWN);
	assert_non_null(strstr(error.text, "ip link set wan1 up"));
	/* Tables that were taken up go on. */
	error = (struct spw_error){0};
	world_node->maps.created = false;
	assert_int_equal(world_start(&error), 0);
	world_teardown(state);
}

/* A link as the kernel describes a VLAN device. netnsid: -1: its interface is here. */
static bool concerns(int lower, uint16_t vlan, const char *kind, int netnsid)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *message = spw_netlink_start(buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	struct nlattr *linkinfo, *data;

	info->ifi_index = 77;
	mnl_attr_put(message, IFLA_ADDRESS, 6, "\x02\0\0\0\0\x01");
	mnl_attr_put_u32(message, IFLA_LINK, (uint32_t)lower);
	if (netnsid >= 0)
		mnl_attr_put_u32(message, IFLA_LINK_NETNSID, (uint32_t)netnsid);
	linkinfo = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_strz(message, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	mnl_attr_put_u16(message, IFLA_VLAN_ID, vlan);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, linkinfo);
	return spw_interfaces_concern(world_node->net, message);
}

static void test_vlan_link(void **state)
{
	int lower = world_node->interfaces[1].ifindex;
	(void)state;

	world_node->interfaces[1].vlan = 5;
	assert_true(concerns(lower, 5, "vlan", -1));
	assert_false(concerns(lower, 6, "vlan", -1));
	assert_false(concerns(lower + 100, 5, "vlan", -1));
	assert_false(concerns(lower, 5, "vxlan", -1));
	assert_false(concerns(lower, 5, "vlan", 0));
}

static bool vlan_valid(void)
{
	return world_valid(world_record(1)->neighbor, MAC_PEER1);
}

static void test_vlan(void **state)
{
	struct spw_error error = {0};

	world_wires();
	world_tables();
	world_node->interfaces[1].vlan = 5;
	if (system("ip link add link wan1 name tagged type vlan id 5 2>/dev/null") != 0) {
		assert_int_equal(world_start(&error), -ENODEV);
		world_teardown(state);
		skip(); /* a kernel without VLAN devices */
	}
	here("ip link set tagged up; ip addr add 203.0.113.1/24 dev tagged");
	peer("sh -c 'ip link add link peer1 name tagged type vlan id 5; ip link set tagged up; "
	     "ip addr add 203.0.113.2/24 dev tagged'");
	assert_int_equal(world_start(&error), 0);
	assert_int_equal(image(1)->addr4_cnt, 1);
	assert_true(has4(1, "203.0.113.1"));
	world_tunnel(1, "203.0.113.2", NULL);
	assert_true(world_until(vlan_valid, 2000));
	assert_int_equal(world_record(1)->port, 1);
	world_teardown(state);
}

/* ---- next hops ---------------------------------------------------------------------------- */

static bool first_valid(void)
{
	return world_valid(world_record(1)->neighbor, MAC_PEER0);
}

static void test_on_link(void **state)
{
	const struct spw_tunnel *record;
	struct iphdr ip;
	(void)state;

	world_tunnel(1, "192.0.2.2", NULL);
	record = world_record(1);
	assert_int_not_equal(record->neighbor, 0);
	assert_int_equal(record->port, 0);
	memcpy(&ip, record->outer, sizeof(ip));
	assert_int_equal(ip.saddr, inet_addr("192.0.2.1"));
	assert_true(world_until(first_valid, 2000));
	assert_int_equal(world_word(record->neighbor).port, 0);
	assert_true(says("ip neigh show 192.0.2.2 dev wan0", "managed"));
}

static bool sixth_valid(void)
{
	return world_valid(world_record(2)->neighbor, MAC_PEER0) &&
	       world_valid(world_record(3)->neighbor, MAC_PEER0) &&
	       world_valid(world_record(4)->neighbor, MAC_PEER0);
}

static void test_ipv6(void **state)
{
	struct in6_addr source;
	(void)state;

	peer("ip addr add fe80::77/64 dev peer0 nodad");
	here("ip route add 2001:db8:1::/48 via fe80::77 dev wan0");
	here("ip route add 203.0.113.0/24 via inet6 fe80::77 dev wan0");
	world_tunnel(2, "2001:db8::2", NULL);
	world_tunnel(3, "2001:db8:1::1", NULL);
	world_tunnel(4, "203.0.113.1", NULL);
	assert_true(world_until(sixth_valid, 3000));
	inet_pton(AF_INET6, "2001:db8::1", &source);
	assert_memory_equal(world_record(3)->outer + 8, &source, 16);
	/* An IPv4 route by an IPv6 gateway (RFC 5549) shares the neighbour. */
	assert_int_equal(world_record(3)->neighbor, world_record(4)->neighbor);
	assert_int_not_equal(world_record(3)->neighbor, world_record(2)->neighbor);
}

static void test_shared(void **state)
{
	struct spw_tunnel_obj *first, *second;
	(void)state;

	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	first = world_tunnel(1, "203.0.113.1", NULL);
	second = world_tunnel(2, "203.0.113.2", NULL);
	assert_ptr_equal(first->nexthop, second->nexthop);
	assert_int_equal(first->nexthop->users, 2);
	assert_int_equal(world_node->neighbor_ids->used, 1);
	world_tunnel_free(second);
	assert_int_equal(first->nexthop->users, 1);
	world_run(1200);
	assert_int_equal(world_node->neighbor_ids->used, 1);
	world_tunnel_free(first);
	world_run(1200);
	assert_int_equal(world_node->neighbor_ids->used, 0);
	/* The kernel keeps what it has resolved, but on its own account. */
	assert_false(says("ip neigh show 192.0.2.2 dev wan0", "managed"));
}

static bool second_port(void)
{
	return world_record(1)->port == 1 && world_valid(world_record(1)->neighbor, MAC_PEER1);
}

static void test_route_moves(void **state)
{
	uint32_t former;
	struct iphdr ip;
	(void)state;

	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	world_tunnel(1, "203.0.113.1", NULL);
	assert_true(world_until(first_valid, 2000));
	former = world_record(1)->neighbor;
	here("ip route replace 203.0.113.0/24 via 198.51.100.2");
	assert_true(world_until(second_port, 2000));
	assert_int_not_equal(world_record(1)->neighbor, former);
	memcpy(&ip, world_record(1)->outer, sizeof(ip));
	assert_int_equal(ip.saddr, inet_addr("198.51.100.1"));
	world_run(1200);
	assert_int_equal(world_node->neighbor_ids->used, 1);
}

/* The old record stands while there is no room for the new one, and so does what it leads to. */
static void test_no_room(void **state)
{
	uint32_t former, slots[16], cnt = 0;
	(void)state;

	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	world_tunnel(1, "203.0.113.1", NULL);
	assert_true(world_until(first_valid, 2000));
	former = world_record(1)->neighbor;
	while ((slots[cnt] = spw_slots_alloc(world_node->tunnel_slots)) != 0)
		cnt++;
	here("ip route replace 203.0.113.0/24 via 198.51.100.2");
	world_run(1500);
	assert_int_equal(world_record(1)->neighbor, former);
	assert_true(first_valid());
	assert_int_equal(world_node->neighbor_ids->used, 2);
	for (uint32_t i = 0; i < cnt; i++)
		spw_slots_free(world_node->tunnel_slots, slots[i]);
	assert_true(world_until(second_port, 2000));
	world_run(1200);
	assert_int_equal(world_node->neighbor_ids->used, 1);
}

static bool unrouted(void)
{
	return world_record(1)->neighbor == 0;
}

static void test_no_route(void **state)
{
	struct spw_tunnel_obj *tunnel;
	struct spw_endpoint source;
	(void)state;

	tunnel = world_tunnel(1, "203.0.113.1", NULL);
	assert_null(tunnel->nexthop);
	assert_true(unrouted());
	assert_int_equal(spw_net_source(world_node, tunnel, &source), -ENETUNREACH);
	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	assert_true(world_until(first_valid, 2000));
	assert_int_equal(spw_net_source(world_node, tunnel, &source), 0);
	assert_int_equal(source.family, 4);
	/* By a lan, to nowhere, and by no interface of the node at all. */
	here("ip route replace 203.0.113.0/24 via 10.1.0.10");
	assert_true(world_until(unrouted, 2000));
	here("ip route replace 203.0.113.0/24 via 192.0.2.2");
	assert_true(world_until(first_valid, 2000));
	here("ip route replace blackhole 203.0.113.0/24");
	assert_true(world_until(unrouted, 2000));
}

/* A tunnel that starts from an address which the classifier does not take would only send. */
static void test_local(void **state)
{
	struct spw_tunnel_obj *tunnel;
	struct spw_endpoint source;
	struct iphdr ip;
	(void)state;

	tunnel = world_tunnel(1, "192.0.2.2", "192.0.2.9");
	assert_null(tunnel->nexthop);
	here("ip addr add 192.0.2.9/32 dev lo");
	world_run(300);
	assert_null(tunnel->nexthop);
	here("ip addr del 192.0.2.9/32 dev lo; ip addr add 192.0.2.9/24 dev wan0");
	assert_true(world_until(first_valid, 2000));
	memcpy(&ip, world_record(1)->outer, sizeof(ip));
	assert_int_equal(ip.saddr, inet_addr("192.0.2.9"));
	assert_int_equal(spw_net_source(world_node, tunnel, &source), 0);
	assert_int_equal(source.port, 0);
	assert_int_equal(source.addr[3], 9);
}

static bool small(void)
{
	return world_record(1)->inner_mtu_bytes == 1300 - 28 - 32 - 2;
}

static void test_mtu(void **state)
{
	(void)state;
	world_tunnel(1, "192.0.2.2", NULL);
	assert_int_equal(world_record(1)->inner_mtu_bytes, 1500 - 28 - 32 - 2);
	here("ip link set wan0 mtu 1300");
	assert_true(world_until(small, 2000));
}

static void test_interface_gone(void **state)
{
	(void)state;
	world_tunnel(1, "192.0.2.2", NULL);
	assert_true(world_until(first_valid, 2000));
	here("ip link del wan0");
	assert_true(world_until(unrouted, 2000));
	world_run(1200);
	assert_int_equal(image(0)->addr4_cnt, 0);
}

static bool caught_up(void)
{
	return world_record(1)->port == 1 && has4(0, "192.0.2.99");
}

/* Events that were lost are made up for. */
static void test_overflow(void **state)
{
	int bytes = 1; /* the kernel takes its least: a few events */
	(void)state;

	here("ip route add 203.0.113.0/24 via 192.0.2.2");
	world_tunnel(1, "203.0.113.1", NULL);
	assert_int_equal(setsockopt(spw_netlink_fd(&world_node->net->netlink), SOL_SOCKET,
				    SO_RCVBUFFORCE, &bytes, sizeof(bytes)),
			 0);
	here("for i in $(seq 1 60); do echo addr add 10.9.$i.1/24 dev lo; done | ip -batch -");
	here("ip addr add 192.0.2.99/24 dev wan0");
	here("ip route replace 203.0.113.0/24 via 198.51.100.2");
	assert_true(world_until(caught_up, 2000));
	here("ip addr flush dev lo to 10.9.0.0/16");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ports),
		TEST(test_ports_change),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_vlan),
		TEST(test_vlan_link),
		TEST(test_on_link),
		TEST(test_ipv6),
		TEST(test_shared),
		TEST(test_route_moves),
		TEST(test_no_room),
		TEST(test_no_route),
		TEST(test_local),
		TEST(test_mtu),
		TEST(test_interface_gone),
		TEST(test_overflow),
	};

	return world_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
