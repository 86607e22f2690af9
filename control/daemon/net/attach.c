// SPDX-License-Identifier: BSD-2-Clause
/* attach.c - the classifier's way onto the interfaces. See attach.h. */
#include "control/daemon/net/attach.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "classifier.skel.h"
#include "ebpf/tables_reuse.h"

#define LINK_PREFIX "link_"
#define XSKS_PREFIX "xsks_"

struct attached {
	struct spw_attach_port port;
	bool fresh; /* by this call; an earlier control had not attached it */
};

struct spw_attach {
	char pin_dir[PATH_MAX - 64]; /* room for a pin's name behind it */
	int counters_fd;
	int tx_ports_fd;
	unsigned int ports_cnt;
	struct attached ports[SPW_PORTS_MAX];
};

/* Where sentences for the caller go. */
struct report {
	char *why;
	size_t why_bytes;
};

static int fail(struct report *report, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct report *report, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->why, report->why_bytes, format, args);
	va_end(args);
	return error;
}

static void warn(struct report *report, const char *ifname, const char *text, int error)
{
	size_t used = strlen(report->why);

	snprintf(report->why + used, report->why_bytes - used, "%s%s: %s (%s)", used ? "; " : "",
		 ifname, text, strerror(-error));
}

/* The first thing that libbpf complained about, for the sentence: it knows more than an errno. */
static char libbpf_complaint[160];

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && libbpf_complaint[0] == '\0') {
		vsnprintf(libbpf_complaint, sizeof(libbpf_complaint), format, args);
		libbpf_complaint[strcspn(libbpf_complaint, "\n")] = '\0';
	}
	return 0;
}

static void swap_char(char *text, char from, char to)
{
	for (; *text; text++)
		if (*text == from)
			*text = to;
}

/* The bpf filesystem refuses names with a dot, and interfaces (eth0.7) names with a colon. */
static const char *pin_path(char path[PATH_MAX], const struct spw_attach *attach,
			    const char *prefix, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s%s", attach->pin_dir, prefix, name);
	swap_char(path + strlen(attach->pin_dir), '.', ':');
	return path;
}

/* Takes a pinned link off its interface now (to unlink the pin alone would do it a little later)
 * and removes what is pinned for it. */
static int unpin(const struct spw_attach *attach, const char *ifname)
{
	char path[PATH_MAX];
	int error = 0;
	int fd = bpf_obj_get(pin_path(path, attach, LINK_PREFIX, ifname));

	if (fd >= 0) {
		error = bpf_link_detach(fd);
		if (error == -ENOLINK) /* the interface has gone before */
			error = 0;
		close(fd);
	}
	if (unlink(path) != 0 && errno != ENOENT && error == 0)
		error = -errno;
	unlink(pin_path(path, attach, XSKS_PREFIX, ifname));
	return error;
}

/* Which program the kernel runs on an interface, 0: none. */
static __u32 program_on(int ifindex)
{
	__u32 id = 0;

	return bpf_xdp_query_id(ifindex, 0, &id) == 0 ? id : 0;
}

/* The interface of this namespace that a link is on, or 0. */
static int link_ifindex(int link_fd)
{
	struct bpf_link_info info = {0};
	__u32 info_bytes = sizeof(info);

	/* An index is unique within a namespace only, hence the program too. */
	if (bpf_obj_get_info_by_fd(link_fd, &info, &info_bytes) != 0 ||
	    info.type != BPF_LINK_TYPE_XDP || info.prog_id != program_on((int)info.xdp.ifindex))
		return 0;
	return (int)info.xdp.ifindex;
}

/* The link that an earlier control left on this very interface, or -1. One that has lost its
 * interface, or holds another of the same name, is removed. */
static int standing_link(const struct spw_attach *attach, const char *ifname, int ifindex)
{
	char path[PATH_MAX];
	int fd = bpf_obj_get(pin_path(path, attach, LINK_PREFIX, ifname));

	if (fd < 0)
		return -1;
	if (link_ifindex(fd) == ifindex)
		return fd;
	close(fd);
	unpin(attach, ifname);
	return -1;
}

/* Asks the driver of an interface. 0 or a negative errno. */
static int ethtool(const char *ifname, void *command)
{
	struct ifreq request = {.ifr_data = command};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, ifname, IF_NAMESIZE);
	if (ioctl(fd, SIOCETHTOOL, &request) != 0)
		error = -errno;
	close(fd);
	return error;
}

/* A veth that got frames by XDP_TX wakes its peer only where that has an XDP program of its own; by
 * redirection it wakes one that merely receives by NAPI (GRO) too (Linux 6.1 to 6.18). */
static bool is_veth(const char *ifname)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	return ethtool(ifname, &info) == 0 && strcmp(info.driver, "veth") == 0;
}

/* Loads an instance for one port over the node's tables. NULL: errno is set. */
static struct spw_classifier *load_instance(const struct spw_attach *attach,
					    const struct spw_attach_port *port,
					    const int map_fds[SPW_MAP_CNT])
{
	char path[PATH_MAX];
	struct spw_classifier *skel = spw_classifier__open();

	if (!skel)
		return NULL;
	skel->rodata->port_id = port->port;
	skel->rodata->tx_broken = is_veth(port->ifname);

	int error = spw_classifier_tables_reuse(skel, map_fds);
	if (error == 0)
		error = bpf_map__reuse_fd(skel->maps.tx_ports, attach->tx_ports_fd);

	/* These libbpf takes from their pins, or makes and pins them. */
	struct bpf_map *const shared[] = {skel->maps.classifier_counters, skel->maps.sources,
					  skel->maps.control_total};
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]) && error == 0; i++)
		error = bpf_map__set_pin_path(shared[i],
					      pin_path(path, attach, "", bpf_map__name(shared[i])));
	if (error == 0)
		error = bpf_map__set_pin_path(skel->maps.xsks_map,
					      pin_path(path, attach, XSKS_PREFIX, port->ifname));
	if (error == 0)
		error = spw_classifier__load(skel);
	if (error == 0)
		return skel;
	spw_classifier__destroy(skel);
	errno = -error;
	return NULL;
}

/* Attaches a program for the first time, and pins the link. */
static int attach_fresh(const struct spw_attach *attach, const char *ifname, int ifindex,
			int program_fd, struct report *report)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
	char path[PATH_MAX];
	int error = 0;
	int fd = bpf_link_create(program_fd, ifindex, BPF_XDP, &options);

	if (fd < 0 && fd != -EBUSY && fd != -EEXIST) {
		int native_error = fd;
		options.flags = XDP_FLAGS_SKB_MODE;
		fd = bpf_link_create(program_fd, ifindex, BPF_XDP, &options);
		if (fd >= 0)
			warn(report, ifname,
			     "its driver refused XDP in native mode; attached in generic mode, "
			     "which costs more of the CPU",
			     native_error);
	}
	if (fd < 0)
		return fail(report, fd, "%s: the classifier cannot be attached: %s", ifname,
			    strerror(-fd));
	if (bpf_obj_pin(fd, pin_path(path, attach, LINK_PREFIX, ifname)) != 0)
		error = fail(report, -errno, "%s: the attachment cannot be pinned at %s: %s",
			     ifname, path, strerror(errno));
	close(fd);
	return error;
}

/* Frames whose tag the hardware took off look untagged to an XDP program. */
static void show_vlan_tags(const char *ifname, struct report *report)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};

	if (ethtool(ifname, &flags) != 0 || !(flags.data & ETH_FLAG_RXVLAN))
		return;
	flags.cmd = ETHTOOL_SFLAGS;
	flags.data &= ~(unsigned int)ETH_FLAG_RXVLAN;
	int error = ethtool(ifname, &flags);
	if (error)
		warn(report, ifname,
		     "its hardware hides the VLAN tags of received frames, and it cannot be "
		     "switched off: tagged frames count as untagged",
		     error);
}

static int attach_port(struct spw_attach *attach, struct attached *attached,
		       const int map_fds[SPW_MAP_CNT], struct report *report)
{
	const char *ifname = attached->port.ifname;
	int ifindex = (int)if_nametoindex(ifname);
	int error = 0;

	if (ifindex == 0)
		return fail(report, -ENODEV,
			    "%s: no such interface in this network namespace; `ip link` lists them",
			    ifname);
	int link_fd = standing_link(attach, ifname, ifindex);
	__u32 foreign = link_fd < 0 ? program_on(ifindex) : 0;
	if (foreign)
		return fail(
			report, -EBUSY,
			"%s: another XDP program (id %u) is attached; `bpftool prog show id %u` "
			"tells whose it is, `ip link set dev %s xdp off` removes it",
			ifname, foreign, foreign, ifname);

	struct spw_classifier *skel = load_instance(attach, &attached->port, map_fds);
	if (!skel) {
		error = fail(report, -errno, "%s: the classifier cannot be loaded: %s%s%s%s",
			     ifname, strerror(errno), libbpf_complaint[0] ? " (" : "",
			     libbpf_complaint, libbpf_complaint[0] ? ")" : "");
		goto out;
	}
	int program_fd = bpf_program__fd(skel->progs.xsk_def_prog);
	if (link_fd < 0) {
		error = attach_fresh(attach, ifname, ifindex, program_fd, report);
		attached->fresh = error == 0;
	} else {
		error = bpf_link_update(link_fd, program_fd, NULL);
		if (error)
			fail(report, error, "%s: the classifier cannot be replaced: %s", ifname,
			     strerror(-error));
	}
	if (error == 0 && attach->counters_fd < 0) {
		attach->counters_fd = dup(bpf_map__fd(skel->maps.classifier_counters));
		if (attach->counters_fd < 0)
			error = fail(report, -errno, "%s: its counters cannot be kept open: %s",
				     ifname, strerror(errno));
	}
	spw_classifier__destroy(skel);
out:
	if (link_fd >= 0)
		close(link_fd);
	else if (error) /* the XSK map may be pinned already */
		unpin(attach, ifname);
	if (error == 0)
		show_vlan_tags(ifname, report);
	return error;
}

static bool has_port(const struct spw_attach *attach, const char *ifname)
{
	for (unsigned int i = 0; i < attach->ports_cnt; i++)
		if (strcmp(attach->ports[i].port.ifname, ifname) == 0)
			return true;
	return false;
}

/* Interfaces that left the configuration while no control ran. */
static void detach_departed(const struct spw_attach *attach)
{
	DIR *dir = opendir(attach->pin_dir);
	const struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char ifname[sizeof(entry->d_name)];
		if (strncmp(entry->d_name, LINK_PREFIX, strlen(LINK_PREFIX)) != 0)
			continue;
		snprintf(ifname, sizeof(ifname), "%s", entry->d_name + strlen(LINK_PREFIX));
		swap_char(ifname, ':', '.');
		if (!has_port(attach, ifname))
			unpin(attach, ifname);
	}
	closedir(dir);
}

/* Takes the map of ports to send by from its pin, or makes and pins it. libbpf cannot: the kernel
 * adds a flag to such maps, for which libbpf then takes the pinned one for another. */
static int open_tx_ports(struct spw_attach *attach, struct report *report)
{
	char path[PATH_MAX];
	int error = 0;

	attach->tx_ports_fd = bpf_obj_get(pin_path(path, attach, "", "tx_ports"));
	if (attach->tx_ports_fd >= 0)
		return 0;
	attach->tx_ports_fd = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "tx_ports", sizeof(uint32_t),
					     sizeof(uint32_t), SPW_PORTS_MAX, NULL);
	if (attach->tx_ports_fd < 0)
		error = attach->tx_ports_fd;
	else if (bpf_obj_pin(attach->tx_ports_fd, path) != 0)
		error = -errno;
	return error ? fail(report, error, "the table of ports to send by cannot be made: %s",
			    strerror(-error))
		     : 0;
}

/* Says under each port id which interface a relay's packets leave by; under all others, none. */
static int fill_tx_ports(const struct spw_attach *attach, struct report *report)
{
	uint32_t ifindex[SPW_PORTS_MAX] = {0};
	int error = 0;

	for (unsigned int i = 0; i < attach->ports_cnt; i++)
		ifindex[attach->ports[i].port.port] = if_nametoindex(attach->ports[i].port.ifname);
	for (uint32_t id = 0; id < SPW_PORTS_MAX && error == 0; id++) {
		if (ifindex[id])
			error = bpf_map_update_elem(attach->tx_ports_fd, &id, &ifindex[id],
						    BPF_ANY);
		else
			bpf_map_delete_elem(attach->tx_ports_fd, &id); /* if there is one */
	}
	return error ? fail(report, error, "the table of ports to send by cannot be written: %s",
			    strerror(-error))
		     : 0;
}

static int attach_all(struct spw_attach *attach, const int map_fds[SPW_MAP_CNT],
		      struct report *report)
{
	unsigned int done = 0;
	int error = open_tx_ports(attach, report);

	for (; done < attach->ports_cnt && error == 0; done += error == 0) {
		libbpf_complaint[0] = '\0';
		error = attach_port(attach, &attach->ports[done], map_fds, report);
	}
	if (error == 0)
		error = fill_tx_ports(attach, report);
	if (error == 0)
		detach_departed(attach);
	while (error && done-- > 0)
		if (attach->ports[done].fresh)
			unpin(attach, attach->ports[done].port.ifname);
	return error;
}

int spw_attach_open(struct spw_attach **out, const char *pin_dir, const int map_fds[SPW_MAP_CNT],
		    const struct spw_attach_port *ports, unsigned int ports_cnt, char *why,
		    size_t why_bytes)
{
	struct report report = {.why = why, .why_bytes = why_bytes};
	struct spw_attach *attach = calloc(1, sizeof(*attach));

	*out = NULL;
	why[0] = '\0';
	if (!attach)
		return fail(&report, -ENOMEM, "no memory to attach the classifier");
	attach->counters_fd = attach->tx_ports_fd = -1;
	int error = 0;
	if (ports_cnt == 0 || ports_cnt > SPW_PORTS_MAX)
		error = fail(&report, -EINVAL, "a node has between 1 and %u ports, not %u",
			     SPW_PORTS_MAX, ports_cnt);
	else if (strlen(pin_dir) >= sizeof(attach->pin_dir))
		error = fail(&report, -ENAMETOOLONG, "%s: the path is too long", pin_dir);
	for (unsigned int i = 0; i < ports_cnt && error == 0; i++) {
		attach->ports[i].port = ports[i];
		if (ports[i].port >= SPW_PORTS_MAX || has_port(attach, ports[i].ifname))
			error = fail(&report, -EINVAL,
				     "%s: port %u is out of range, or the interface is named twice",
				     ports[i].ifname, ports[i].port);
		attach->ports_cnt = i + 1;
	}
	if (error == 0) {
		snprintf(attach->pin_dir, sizeof(attach->pin_dir), "%s", pin_dir);
		libbpf_print_fn_t printer = libbpf_set_print(keep_complaint);
		error = attach_all(attach, map_fds, &report);
		libbpf_set_print(printer);
	}
	if (error) {
		spw_attach_close(attach);
		return error;
	}
	*out = attach;
	return 0;
}

size_t spw_attach_standing(const char *pin_dir, int ifindexes[SPW_PORTS_MAX])
{
	DIR *dir = opendir(pin_dir);
	const struct dirent *entry;
	size_t cnt = 0;

	while (dir && cnt < SPW_PORTS_MAX && (entry = readdir(dir))) {
		char path[PATH_MAX];
		int fd;
		if (strncmp(entry->d_name, LINK_PREFIX, strlen(LINK_PREFIX)) != 0 ||
		    snprintf(path, sizeof(path), "%s/%s", pin_dir, entry->d_name) >= PATH_MAX)
			continue;
		fd = bpf_obj_get(path);
		ifindexes[cnt] = fd < 0 ? 0 : link_ifindex(fd);
		cnt += ifindexes[cnt] > 0;
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
	return cnt;
}

void spw_attach_close(struct spw_attach *attach)
{
	if (!attach)
		return;
	if (attach->counters_fd >= 0)
		close(attach->counters_fd);
	if (attach->tx_ports_fd >= 0)
		close(attach->tx_ports_fd);
	free(attach);
}

int spw_attach_counters(const struct spw_attach *attach, uint32_t port,
			uint64_t out[SPW_CLASSIFIER_COUNTERS])
{
	int cpus = libbpf_num_possible_cpus();
	int error = 0;

	if (port >= SPW_PORTS_MAX)
		return -EINVAL;
	if (cpus < 0)
		return cpus;
	uint64_t *values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < SPW_CLASSIFIER_COUNTERS && error == 0; i++) {
		uint32_t index = port * SPW_CLASSIFIER_COUNTERS + i;
		error = bpf_map_lookup_elem(attach->counters_fd, &index, values);
		out[i] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			out[i] += values[cpu];
	}
	free(values);
	return error;
}
