/* SPDX-License-Identifier: BSD-2-Clause */
/* interface.c - see interface.h. */
#include "perf/pktgen/interface.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/pktgen/ports.h"
#include "take_all.skel.h"

static bool is_pci(const char *name)
{
	unsigned int domain, bus, device, function;
	int end = 0;

	if (sscanf(name, "%4x:%2x:%2x.%1u%n", &domain, &bus, &device, &function, &end) == 4 &&
	    name[end] == '\0')
		return true;
	return sscanf(name, "%2x:%2x.%1u%n", &bus, &device, &function, &end) == 3 &&
	       name[end] == '\0';
}

/* Asks for flags, MTU and receive queues. Where the driver does not say, there is one queue. */
static void read_facts(const char *name, struct spw_interface_facts *facts, short *flags)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	facts->queues = 1;
	*flags = 0;
	if (fd < 0)
		return;
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0)
		*flags = request.ifr_flags;
	if (ioctl(fd, SIOCGIFMTU, &request) == 0)
		facts->mtu_bytes = (uint32_t)request.ifr_mtu;
	request.ifr_data = (void *)&channels;
	if (ioctl(fd, SIOCETHTOOL, &request) == 0 && channels.rx_count + channels.combined_count)
		facts->queues = channels.rx_count + channels.combined_count;
	close(fd);
}

int spw_interface_look(const char *name, struct spw_interface_facts *facts, char *why,
		       unsigned int why_bytes)
{
	unsigned int ifindex = if_nametoindex(name);
	uint32_t program = 0;
	short flags;

	*facts = (struct spw_interface_facts){.kind = SPW_PORT_INTERFACE, .queues = 1};
	if (!ifindex) {
		facts->kind = is_pci(name) ? SPW_PORT_PCI : SPW_PORT_VDEV;
		if (facts->kind == SPW_PORT_PCI || strncmp(name, "net_", 4) == 0)
			return 0;
		snprintf(why, why_bytes,
			 "%s: no such interface in this network namespace, and neither a PCI "
			 "address nor a DPDK device (net_...)",
			 name);
		return -ENODEV;
	}
	read_facts(name, facts, &flags);
	if ((flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING)) {
		snprintf(why, why_bytes,
			 "%s: the interface is down, or its other end is; `ip link set %s up`",
			 name, name);
		return -ENETDOWN;
	}
	if (bpf_xdp_query_id((int)ifindex, 0, &program) == 0 && program) {
		snprintf(why, why_bytes,
			 "%s: it has an XDP program already: a node's interface, or another "
			 "generator's? The generator needs one of its own (what a killed one left "
			 "is "
			 "removed by `ip link set %s xdp off`)",
			 name, name);
		return -EBUSY;
	}
	if (facts->queues > SPW_TEST_QUEUES_MAX) {
		snprintf(
			why, why_bytes,
			"%s: it has %u receive queues, the generator takes at most %u; `ethtool -L "
			"%s combined %u`",
			name, facts->queues, SPW_TEST_QUEUES_MAX, name, SPW_TEST_QUEUES_MAX);
		return -E2BIG;
	}
	return 0;
}

struct spw_take_all *spw_interface_take(const char *name, char *why, unsigned int why_bytes)
{
	struct spw_take_all *program = spw_take_all__open_and_load();

	if (program) {
		/* The link belongs to the skeleton, which destroys it. */
		program->links.xsk_def_prog = bpf_program__attach_xdp(program->progs.xsk_def_prog,
								      (int)if_nametoindex(name));
		if (program->links.xsk_def_prog)
			return program;
	}
	snprintf(why, why_bytes, "%s: cannot attach an XDP program: %s; it needs CAP_SYS_ADMIN",
		 name, strerror(errno));
	spw_take_all__destroy(program);
	return NULL;
}

void spw_interface_release(struct spw_take_all *program)
{
	spw_take_all__destroy(program);
}
