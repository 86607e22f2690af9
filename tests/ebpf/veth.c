// SPDX-License-Identifier: BSD-2-Clause
/* veth.c - namespaces, veth pairs and XSKs for tests. See veth.h. */
#include "veth.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define BUFFERS 16u
#define BUFFER_BYTES 4096u
#define RING_ENTRIES 16u

int test_netns_enter(void)
{
	return unshare(CLONE_NEWNET) == 0 ? 0 : -errno;
}

int test_veth_create(const char *name, unsigned int queues)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "ip link add %s address " FRAME_MAC " numrxqueues %u numtxqueues %u "
		 "type veth peer name %sp numrxqueues %u numtxqueues %u && "
		 "ip link set %s addrgenmode none up && ip link set %sp addrgenmode none up",
		 name, queues, queues, name, queues, queues, name, name);
	return system(command) == 0 ? 0 : -1;
}

int test_veth_delete(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link del %s", name);
	return system(command) == 0 ? 0 : -1;
}

/* Puts every buffer into the fill ring, for the kernel to receive into. */
static int fill(int fd)
{
	struct xdp_mmap_offsets offsets;
	socklen_t offsets_bytes = sizeof(offsets);

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &offsets_bytes) != 0)
		return -errno;
	size_t bytes = offsets.fr.desc + RING_ENTRIES * sizeof(uint64_t);
	uint8_t *ring =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, XDP_UMEM_PGOFF_FILL_RING);
	if (ring == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < BUFFERS; i++)
		((uint64_t *)(ring + offsets.fr.desc))[i] = (uint64_t)i * BUFFER_BYTES;
	__atomic_store_n((uint32_t *)(ring + offsets.fr.producer), BUFFERS, __ATOMIC_RELEASE);
	munmap(ring, bytes);
	return 0;
}

int test_xsk_open(const char *ifname, uint32_t queue)
{
	const int entries = RING_ENTRIES;
	void *memory = mmap(NULL, BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct xdp_umem_reg umem = {.addr = (uintptr_t)memory,
				    .len = BUFFERS * BUFFER_BYTES,
				    .chunk_size = BUFFER_BYTES};
	struct sockaddr_xdp addr = {.sxdp_family = AF_XDP,
				    .sxdp_flags = XDP_COPY,
				    .sxdp_ifindex = if_nametoindex(ifname),
				    .sxdp_queue_id = queue};
	int fd = socket(AF_XDP, SOCK_RAW, 0);
	int error = 0;

	if (fd < 0 || memory == MAP_FAILED)
		return -errno;
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) != 0 ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &entries, sizeof(entries)) != 0 ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries)) != 0 ||
	    setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)) != 0)
		error = -errno;
	if (!error)
		error = fill(fd);
	if (!error && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}
