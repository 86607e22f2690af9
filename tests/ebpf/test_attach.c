// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_attach.c - the classifier on real interfaces: attached, found again, replaced, detached.
 *
 * Frames are sent into one end of a veth pair; the classifier sits on the other. Every test starts
 * with bare interfaces and an empty pin folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "control/daemon/net/attach.h"
#include "control/daemon/tables/maps.h"
#include "control/daemon/tables/pin_dir.h"
#include "ebpf/drops.h"
#include "frame.h"
#include "tables.h"
#include "veth.h"

#define SPI (5u << SPW_SPI_GENERATION_BITS | 42)

static struct test_tables tables;
static char pin_dir[64];
static char why[512];

static const struct spw_attach_port one_port[] = {{"spwa0", 0}};
static const struct spw_attach_port two_ports[] = {{"spwa0", 0}, {"spwb0", 1}};

static const struct frame_spec known = {.src = "192.0.2.77", .dst = "192.0.2.1", .spi = SPI};
static const struct frame_spec foreign = {.src = "192.0.2.77", .dst = "192.0.2.1", .dst_port = 53};

static struct spw_attach *attach_ports(const struct spw_attach_port *ports, unsigned int cnt)
{
	struct spw_attach *attach;
	int error = spw_attach_open(&attach, pin_dir, tables.fd, ports, cnt, why, sizeof(why));

	if (error)
		fail_msg("%s (%d)", why, error);
	return attach;
}

static uint32_t program_on(const char *ifname)
{
	uint32_t id = 0;

	bpf_xdp_query_id((int)if_nametoindex(ifname), 0, &id);
	return id;
}

static bool pinned(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", pin_dir, name);
	return access(path, F_OK) == 0;
}

static int open_sender(const char *ifname)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_ifindex = (int)if_nametoindex(ifname)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_frame(int fd, const struct frame_spec *spec)
{
	uint8_t frame[FRAME_BYTES_MAX];
	unsigned int bytes = frame_build(spec, frame);

	while (send(fd, frame, bytes, 0) != (ssize_t)bytes)
		assert_int_equal(errno, ENOBUFS);
}

static void sleep_ms(long ms)
{
	const struct timespec time = {.tv_nsec = ms * 1000000};

	nanosleep(&time, NULL);
}

static uint64_t counted(const struct spw_attach *attach, uint32_t port, uint32_t counter)
{
	uint64_t counters[SPW_CLASSIFIER_COUNTERS];

	assert_int_equal(spw_attach_counters(attach, port, counters), 0);
	return counters[counter];
}

/* Packets cross a veth in a softirq, as a rule at once; 10 seconds are for a busy machine. */
static void wait_counted(const struct spw_attach *attach, uint32_t counter, uint64_t wanted)
{
	for (int i = 0; i < 2000 && counted(attach, 0, counter) < wanted; i++)
		sleep_ms(5);
	assert_int_equal(counted(attach, 0, counter), wanted);
}

static void send_one(const struct frame_spec *spec)
{
	int fd = open_sender("spwa0p");

	send_frame(fd, spec);
	close(fd);
}

static int listen_on(const char *xsks_name, int xsk_fd)
{
	char path[128];
	uint32_t queue = 0;

	snprintf(path, sizeof(path), "%s/%s", pin_dir, xsks_name);
	int fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	int error = bpf_map_update_elem(fd, &queue, &xsk_fd, BPF_ANY);
	close(fd);
	return error;
}

static void test_attach_and_count(void **state)
{
	struct spw_attach *attach = attach_ports(two_ports, 2);
	uint32_t id = 0;

	(void)state;
	assert_string_equal(why, "");
	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex("spwa0"), XDP_FLAGS_DRV_MODE, &id),
			 0);
	assert_true(id != 0); /* native */
	assert_true(program_on("spwb0") != 0 && program_on("spwb0") != id);
	send_one(&foreign);
	wait_counted(attach, SPW_CLASSIFIED_PASS, 1);
	send_one(&known);
	wait_counted(attach, SPW_DROP_WORKER_ABSENT, 1);
	assert_int_equal(counted(attach, 1, SPW_CLASSIFIED_PASS), 0);
	uint64_t counters[SPW_CLASSIFIER_COUNTERS];
	assert_int_equal(spw_attach_counters(attach, SPW_PORTS_MAX, counters), -EINVAL);
	spw_attach_close(attach);
}

static void test_outlives_control(void **state)
{
	struct spw_attach *attach = attach_ports(one_port, 1);
	uint32_t id = program_on("spwa0");

	(void)state;
	send_one(&foreign);
	wait_counted(attach, SPW_CLASSIFIED_PASS, 1);
	spw_attach_close(attach);
	assert_int_equal(program_on("spwa0"), id);
	assert_true(pinned("link_spwa0") && pinned("xsks_spwa0"));
	assert_true(pinned("classifier_counters") && pinned("sources") && pinned("control_total"));
	send_one(&foreign);
	attach = attach_ports(one_port, 1);
	wait_counted(attach, SPW_CLASSIFIED_PASS, 2);
	spw_attach_close(attach);
}

/* The dataplane's socket stays in the map through a restart of control. */
static void test_keeps_sockets(void **state)
{
	struct spw_attach *attach = attach_ports(one_port, 1);
	int xsk_fd = test_xsk_open("spwa0", 0);

	(void)state;
	assert_true(xsk_fd >= 0);
	assert_int_equal(listen_on("xsks_spwa0", xsk_fd), 0);
	send_one(&known);
	wait_counted(attach, SPW_CLASSIFIED_STEER, 1);
	spw_attach_close(attach);
	attach = attach_ports(one_port, 1);
	send_one(&known);
	wait_counted(attach, SPW_CLASSIFIED_STEER, 2);
	close(xsk_fd); /* the kernel takes it out of the map */
	send_one(&known);
	wait_counted(attach, SPW_DROP_WORKER_ABSENT, 1);
	spw_attach_close(attach);
}

#define STREAM_FRAMES 20000u

static void *send_stream(void *argument)
{
	int fd = open_sender("spwa0p");

	(void)argument;
	for (uint32_t i = 0; i < STREAM_FRAMES; i++)
		send_frame(fd, &known);
	close(fd);
	return NULL;
}

/* While the program is replaced again and again every packet is still classified. */
static void test_replaced_without_loss(void **state)
{
	struct spw_attach *attach = attach_ports(one_port, 1);
	uint32_t id = program_on("spwa0");
	pthread_t sender;

	(void)state;
	assert_int_equal(pthread_create(&sender, NULL, send_stream, NULL), 0);
	for (int i = 0; i < 10; i++) {
		spw_attach_close(attach);
		attach = attach_ports(one_port, 1);
	}
	pthread_join(sender, NULL);
	assert_int_not_equal(program_on("spwa0"), id);
	wait_counted(attach, SPW_DROP_WORKER_ABSENT, STREAM_FRAMES);
	spw_attach_close(attach);
}

/* Another port id after a change of the configuration. */
static void test_port_id_changes(void **state)
{
	const struct spw_attach_port moved[] = {{"spwa0", 3}};
	struct spw_attach *attach = attach_ports(one_port, 1);

	(void)state;
	spw_attach_close(attach);
	attach = attach_ports(moved, 1);
	send_one(&known); /* port 3 is not configured: it passes everything */
	for (int i = 0; i < 2000 && counted(attach, 3, SPW_CLASSIFIED_PASS) == 0; i++)
		sleep_ms(5);
	assert_int_equal(counted(attach, 3, SPW_CLASSIFIED_PASS), 1);
	spw_attach_close(attach);
}

/* The kernel takes a program off a little after the last pin of its link is gone. */
static void wait_bare(const char *ifname)
{
	for (int i = 0; i < 2000 && program_on(ifname) != 0; i++)
		sleep_ms(5);
	assert_int_equal(program_on(ifname), 0);
}

static void test_removed(void **state)
{
	struct spw_attach *attach = attach_ports(two_ports, 2);

	(void)state;
	spw_attach_close(attach);
	assert_int_equal(spw_maps_remove(pin_dir, why, sizeof(why)), 0);
	wait_bare("spwa0");
	wait_bare("spwb0");
	assert_int_not_equal(access(pin_dir, F_OK), 0);
}

/* Which interface stands under a port id; 0: none. */
static uint32_t tx_port(uint32_t id)
{
	char path[128];
	uint32_t ifindex = 0;

	snprintf(path, sizeof(path), "%s/tx_ports", pin_dir);
	int fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	bpf_map_lookup_elem(fd, &id, &ifindex);
	close(fd);
	return ifindex;
}

static void test_tx_ports(void **state)
{
	const struct spw_attach_port moved[] = {{"spwb0", 5}};

	(void)state;
	spw_attach_close(attach_ports(two_ports, 2));
	assert_int_equal(tx_port(0), if_nametoindex("spwa0"));
	assert_int_equal(tx_port(1), if_nametoindex("spwb0"));
	spw_attach_close(attach_ports(moved, 1));
	assert_int_equal(tx_port(5), if_nametoindex("spwb0"));
	assert_int_equal(tx_port(0) + tx_port(1), 0);
}

/* What a veth gets from XDP arrives only where its peer receives by NAPI, as GRO makes it do. */
static void receive_by_napi(const char *ifname)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_SGRO, .data = 1};
	struct ifreq request = {.ifr_data = (void *)&gro};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &request), 0);
	close(fd);
}

/* The first UDP frame that comes out of an interface. */
static void expect_frame(int fd, const struct frame_spec *spec)
{
	const struct timeval patience = {.tv_sec = 2};
	uint8_t expected[FRAME_BYTES_MAX], frame[FRAME_BYTES_MAX];
	ssize_t bytes = (ssize_t)frame_build(spec, expected);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(recv(fd, frame, sizeof(frame), 0), bytes);
	assert_memory_equal(frame, expected, bytes);
}

/* A blind relay from spwa0 back to spwa0, and on to spwb0. */
static void check_relay(struct spw_attach *attach, uint8_t port_out, const char *ifname_out)
{
	const struct frame_spec in = {
		.src = "198.18.0.10", .dst = "192.0.2.1", .src_port = 6000, .dst_port = 5000};
	const struct frame_spec out = {.src = "192.0.2.1",
				       .dst = "198.18.0.20",
				       .src_port = 5000,
				       .dst_port = 7000,
				       .dst_mac = "02:00:00:00:bb:01",
				       .src_mac = FRAME_MAC,
				       .ttl = 63,
				       .sum = FRAME_SUM_NONE};
	uint64_t relayed = counted(attach, 0, SPW_CLASSIFIED_RELAY);
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_IP),
				   .sll_ifindex = (int)if_nametoindex(ifname_out)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	tables.relays[1].side[1].port = port_out;
	send_one(&in);
	wait_counted(attach, SPW_CLASSIFIED_RELAY, relayed + 1);
	expect_frame(fd, &out);
	close(fd);
}

static void test_relay(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0xbb, 1};
	struct spw_relay *relay = &tables.relays[1];
	struct spw_attach *attach = attach_ports(two_ports, 2);

	(void)state;
	*relay = (struct spw_relay){.id = 1,
				    .port_be = htons(5000),
				    .family = 4,
				    .packet_burst_ticks = UINT32_MAX,
				    .byte_burst_ticks = UINT32_MAX};
	relay->side[0].remote_port_be = htons(6000);
	relay->side[1].remote_port_be = htons(7000);
	inet_pton(AF_INET, "198.18.0.10", relay->side[0].remote);
	inet_pton(AF_INET, "198.18.0.20", relay->side[1].remote);
	inet_pton(AF_INET, "192.0.2.1", relay->side[0].local);
	inet_pton(AF_INET, "192.0.2.1", relay->side[1].local);
	/* from 198.18.0.10 192.0.2.1 to 192.0.2.1 198.18.0.20: 10 more in the sum */
	relay->side[1].ip_delta_be = htons((uint16_t)~10);
	relay->side[1].neighbor = 1;
	memcpy(tables.neighbors[1].mac, mac, sizeof(mac));
	tables.neighbors[1].state = SPW_NEIGHBOR_VALID;
	memcpy(tables.ports[1].image[0].mac, tables.ports[0].image[0].mac, sizeof(mac));
	tables.relay_ports[5000].slot = 1;

	receive_by_napi("spwa0p");
	receive_by_napi("spwb0p");
	check_relay(attach, 0, "spwa0p");
	check_relay(attach, 1, "spwb0p");
	spw_attach_close(attach);
}

static void test_missing_interface(void **state)
{
	const struct spw_attach_port ports[] = {{"spwa0", 0}, {"spwnone", 1}};
	struct spw_attach *attach;

	(void)state;
	assert_int_equal(spw_attach_open(&attach, pin_dir, tables.fd, ports, 2, why, sizeof(why)),
			 -ENODEV);
	assert_null(attach);
	assert_non_null(strstr(why, "spwnone"));
	assert_int_equal(program_on("spwa0"), 0); /* all or none */
	assert_false(pinned("link_spwa0") || pinned("xsks_spwa0"));
}

static void test_bad_ports(void **state)
{
	const struct spw_attach_port beyond[] = {{"spwa0", SPW_PORTS_MAX}};
	const struct spw_attach_port twice[] = {{"spwa0", 0}, {"spwa0", 1}};
	struct spw_attach *attach;

	(void)state;
	assert_int_equal(spw_attach_open(&attach, pin_dir, tables.fd, beyond, 1, why, sizeof(why)),
			 -EINVAL);
	assert_int_equal(spw_attach_open(&attach, pin_dir, tables.fd, twice, 2, why, sizeof(why)),
			 -EINVAL);
	assert_int_equal(
		spw_attach_open(&attach, pin_dir, tables.fd, one_port, 0, why, sizeof(why)),
		-EINVAL);
	assert_int_equal(program_on("spwa0"), 0);
}

/* Someone else's program is left alone, and what this call attached before it goes again. */
static void test_foreign_program(void **state)
{
	const struct bpf_insn pass[] = {{.code = 0xb7, .imm = 2}, {.code = 0x95}}; /* return PASS */
	struct spw_attach *attach;
	int ifindex = (int)if_nametoindex("spwb0");
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", pass, 2, NULL);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(bpf_xdp_attach(ifindex, fd, 0, NULL), 0);
	uint32_t id = program_on("spwb0");
	assert_int_equal(
		spw_attach_open(&attach, pin_dir, tables.fd, two_ports, 2, why, sizeof(why)),
		-EBUSY);
	assert_non_null(strstr(why, "spwb0: another XDP program"));
	assert_int_equal(program_on("spwb0"), id);
	assert_int_equal(program_on("spwa0"), 0);
	bpf_xdp_detach(ifindex, 0, NULL);
	close(fd);
}

static void test_departed_interface(void **state)
{
	struct spw_attach *attach = attach_ports(two_ports, 2);
	uint32_t id = program_on("spwa0");

	(void)state;
	spw_attach_close(attach);
	attach = attach_ports(one_port, 1);
	assert_true(id != 0 && program_on("spwa0") != 0);
	assert_int_equal(program_on("spwb0"), 0);
	assert_false(pinned("link_spwb0") || pinned("xsks_spwb0"));
	spw_attach_close(attach);
}

/* The pinned link of an interface that has been made anew is worth nothing. */
static void test_recreated_interface(void **state)
{
	struct spw_attach *attach = attach_ports(one_port, 1);

	(void)state;
	spw_attach_close(attach);
	assert_int_equal(test_veth_delete("spwa0"), 0);
	assert_int_equal(test_veth_create("spwa0", 1), 0);
	assert_int_equal(program_on("spwa0"), 0);
	attach = attach_ports(one_port, 1);
	assert_true(program_on("spwa0") != 0);
	send_one(&known);
	wait_counted(attach, SPW_DROP_WORKER_ABSENT, 1);
	spw_attach_close(attach);
}

/* The bpf filesystem takes no dots. */
static void test_dotted_name(void **state)
{
	const struct spw_attach_port ports[] = {{"spwd.7", 0}};

	(void)state;
	assert_int_equal(test_veth_create("spwd.7", 1), 0);
	struct spw_attach *attach = attach_ports(ports, 1);
	spw_attach_close(attach);
	attach = attach_ports(ports, 1);
	assert_true(program_on("spwd.7") != 0);
	spw_attach_close(attach);
	assert_int_equal(spw_maps_remove(pin_dir, why, sizeof(why)), 0);
	wait_bare("spwd.7");
	assert_int_equal(test_veth_delete("spwd.7"), 0);
}

static void set_tables(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct spw_port_image *image = &tables.ports[0].image[0];

	tables.meta->layout_version = SPW_LAYOUT_VERSION;
	memcpy(image->mac, mac, sizeof(mac));
	image->role = SPW_PORT_WAN;
	image->tunnel_port_be = htons(4500);
	image->addr4_cnt = 1;
	inet_pton(AF_INET, "192.0.2.1", &image->addr4_be[0]);
	tables.spis[5] = (struct spw_spi){.spi = SPI, .tunnel = 1};
}

/* Also after a test that failed half-way. */
static int setup_bare(void **state)
{
	(void)state;
	if (spw_maps_remove(pin_dir, why, sizeof(why)) != 0)
		return -1;
	wait_bare("spwa0");
	wait_bare("spwb0");
	return spw_pin_dir_make(pin_dir, why, sizeof(why));
}

static bool can_run(void)
{
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) != 0 || fs.f_type != BPF_FS_MAGIC) {
		printf("skipped: no bpf filesystem on /sys/fs/bpf; `mount -t bpf bpf "
		       "/sys/fs/bpf`\n");
		return false;
	}
	if (test_netns_enter() != 0 || test_tables_open(&tables) != 0) {
		printf("skipped: needs root, for a network namespace and BPF\n");
		return false;
	}
	return true;
}

#define TEST(function) cmocka_unit_test_setup(function, setup_bare)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach_and_count),
		TEST(test_outlives_control),
		TEST(test_keeps_sockets),
		TEST(test_replaced_without_loss),
		TEST(test_port_id_changes),
		TEST(test_removed),
		TEST(test_tx_ports),
		TEST(test_relay),
		TEST(test_missing_interface),
		TEST(test_bad_ports),
		TEST(test_foreign_program),
		TEST(test_departed_interface),
		TEST(test_recreated_interface),
		TEST(test_dotted_name),
	};

	if (!can_run())
		return 77;
	set_tables();
	snprintf(pin_dir, sizeof(pin_dir), "/sys/fs/bpf/spillway/test-attach-%d", (int)getpid());
	if (test_veth_create("spwa0", 1) != 0 || test_veth_create("spwb0", 1) != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	spw_maps_remove(pin_dir, why, sizeof(why));
	test_tables_close(&tables);
	return failed != 0;
}
