/* SPDX-License-Identifier: BSD-2-Clause */
/* device.c - see device.h. */
#include "control/daemon/device.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const virtual_kinds[] = {"net_memif", "net_null", "net_pcap", "net_ring",
					    "net_tap"};

/* "0000:01:00.0": x stands for a hex digit, the last digit is 0 to 7. */
static bool is_address(const char *text)
{
	static const char form[] = "xxxx:xx:xx.x";

	if (strlen(text) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != form[i])
			return false;
	return text[sizeof(form) - 2] < '8';
}

static bool is_virtual(const char *text)
{
	for (size_t i = 0; i < sizeof(virtual_kinds) / sizeof(virtual_kinds[0]); i++) {
		size_t bytes = strlen(virtual_kinds[i]);
		size_t digits = strspn(text + (strlen(text) < bytes ? 0 : bytes), "0123456789");
		if (strncmp(text, virtual_kinds[i], bytes) != 0)
			continue;
		text += bytes + digits;
		return digits > 0 && (*text == '\0' || *text == ',');
	}
	return false;
}

int spw_device_check(const char *device, const char **expected)
{
	*expected = "a PCI address such as 0000:01:00.0 (`lspci -D` lists them), or for tests a "
		    "virtual device such as net_memif0,role=server,socket=/run/a.sock (net_memif, "
		    "net_null, net_pcap, net_ring, net_tap)";
	if (strlen(device) >= SPW_DEVICE_BYTES) {
		*expected = "at most 95 characters";
		return -EINVAL;
	}
	for (const char *c = device; *c; c++)
		if (!isgraph((unsigned char)*c))
			return -EINVAL;
	return is_address(device) || is_virtual(device) ? 0 : -EINVAL;
}

/* The last part of what a link in the device's folder points to. false: there is no such link. */
static bool read_link(const char *root, const char *device, const char *name, char *last,
		      size_t last_bytes)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *slash;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/%s", root, device, name);
	ssize_t bytes = readlink(path, target, sizeof(target) - 1);
	if (bytes < 0)
		return false;
	target[bytes] = '\0';
	slash = strrchr(target, '/');
	snprintf(last, last_bytes, "%.31s", slash ? slash + 1 : target);
	return true;
}

static bool exists(const char *root, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return access(full, F_OK) == 0;
}

int spw_device_ready(const char *root, const char *device, char *why, size_t why_bytes)
{
	char path[64], driver[64] = "none", group[32];

	if (!is_address(device))
		return 0;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", device);
	if (!exists(root, path)) {
		snprintf(why, why_bytes,
			 "there is no such PCI device; `lspci -D` lists those that are");
		return -ENODEV;
	}
	bool bound = read_link(root, device, "driver", driver, sizeof(driver));
	if (bound && strcmp(driver, "vfio-pci") != 0) {
		snprintf(why, why_bytes,
			 "it is bound to the kernel driver %s, and so the kernel's; "
			 "`dpdk-devbind.py --bind=vfio-pci %s` gives it to Spillway (`driverctl "
			 "set-override %s vfio-pci` for good), once nothing else needs its "
			 "interface",
			 driver, device, device);
		return -EBUSY;
	}
	if (!bound) {
		snprintf(why, why_bytes,
			 "it is bound to no driver; `%sdpdk-devbind.py --bind=vfio-pci %s` gives "
			 "it to "
			 "Spillway",
			 exists(root, "/sys/bus/pci/drivers/vfio-pci") ? "" : "modprobe vfio-pci; ",
			 device);
		return -ENODEV;
	}
	if (!read_link(root, device, "iommu_group", group, sizeof(group))) {
		snprintf(why, why_bytes,
			 "it is in no IOMMU group, without which it could reach all memory; "
			 "expected "
			 "an IOMMU switched on in the firmware and for the kernel (intel_iommu=on "
			 "iommu=pt, or amd_iommu=on)");
		return -ENOTSUP;
	}
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	if (!exists(root, path)) {
		snprintf(why, why_bytes,
			 "its IOMMU group %s has no /dev/vfio/%s; `modprobe vfio-pci` makes it",
			 group, group);
		return -ENODEV;
	}
	return 0;
}
