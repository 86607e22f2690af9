/* SPDX-License-Identifier: BSD-2-Clause */
/* What names a DPDK device, and what a PCI device's state in sysfs means for whoever wants it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/device.h"

#define CNT(table) (sizeof(table) / sizeof((table)[0]))
#define DEVICE "0000:01:00.0"

static void test_names(void **state)
{
	static const char *const good[] = {
		"0000:01:00.0",
		"0000:ff:1f.7",
		"ABCD:0a:0B.1",
		"net_ring0",
		"net_null12",
		"net_tap0,iface=x",
		"net_memif1,role=client,socket=/tmp/a.sock",
		"net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap",
	};
	static const char *const bad[] = {
		"",
		"01:00.0",
		"0000:01:00.8",
		"0000:01:00",
		"0000:01:00.00",
		"0000-01:00.0",
		"000g:01:00.0",
		"wan0",
		"net_",
		"net_ring",
		"net_ringx",
		"net_ring0x",
		"net_af_xdp0,iface=wan0",
		"net_af_packet0,iface=wan0",
		"net_tap0, iface=x",
		"net_tap0,iface=\n",
		"-a",
		"crypto_null0",
	};
	char longest[SPW_DEVICE_BYTES + 1];
	const char *expected;

	(void)state;
	for (size_t i = 0; i < CNT(good); i++)
		assert_int_equal(spw_device_check(good[i], &expected), 0);
	for (size_t i = 0; i < CNT(bad); i++) {
		assert_int_equal(spw_device_check(bad[i], &expected), -EINVAL);
		assert_non_null(strstr(expected, "0000:01:00.0"));
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "net_tap0,", 9);
	longest[SPW_DEVICE_BYTES] = '\0';
	assert_int_equal(spw_device_check(longest, &expected), -EINVAL);
	assert_non_null(strstr(expected, "95"));
	longest[SPW_DEVICE_BYTES - 1] = '\0';
	assert_int_equal(spw_device_check(longest, &expected), 0);
}

static char root[64];

/* A shell command in the made-up root. */
static void make(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd %s && d=sys/bus/pci/devices/" DEVICE " && %s", root,
		 command);
	assert_int_equal(system(line), 0);
}

static void refused(int error, const char *says, const char *also)
{
	char why[400] = "";

	assert_int_equal(spw_device_ready(root, DEVICE, why, sizeof(why)), error);
	if (!strstr(why, says) || !strstr(why, also))
		fail_msg("expected \"%s\" and \"%s\" in: %s", says, also, why);
}

/* From a machine without the device to one where it can be taken, step by step. */
static void test_ready(void **state)
{
	char why[400] = "";

	(void)state;
	strcpy(root, "/tmp/spw_test_device_XXXXXX");
	assert_non_null(mkdtemp(root));
	refused(-ENODEV, "no such PCI device", "lspci -D");
	make("mkdir -p $d sys/bus/pci/drivers");
	refused(-ENODEV, "bound to no driver",
		"`modprobe vfio-pci; dpdk-devbind.py --bind=vfio-pci " DEVICE "`");
	make("mkdir sys/bus/pci/drivers/vfio-pci");
	refused(-ENODEV, "bound to no driver", "`dpdk-devbind.py --bind=vfio-pci " DEVICE "`");
	make("ln -s ../../../../bus/pci/drivers/ixgbe $d/driver");
	refused(-EBUSY, "bound to the kernel driver ixgbe",
		"`dpdk-devbind.py --bind=vfio-pci " DEVICE "`");
	refused(-EBUSY, "ixgbe", "`driverctl set-override " DEVICE " vfio-pci`");
	make("ln -sfn ../../../../bus/pci/drivers/vfio-pci $d/driver");
	refused(-ENOTSUP, "no IOMMU group", "intel_iommu=on");
	make("ln -s ../../../../kernel/iommu_groups/17 $d/iommu_group");
	refused(-ENODEV, "/dev/vfio/17", "modprobe vfio-pci");
	make("mkdir -p dev/vfio && touch dev/vfio/17");
	assert_int_equal(spw_device_ready(root, DEVICE, why, sizeof(why)), 0);
	/* Nothing is asked of a virtual one. */
	assert_int_equal(spw_device_ready(root, "net_ring0", why, sizeof(why)), 0);
	make("cd / && rm -r $OLDPWD");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
