/* SPDX-License-Identifier: BSD-2-Clause */
#include "dataplane/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/worker.h"

/* A look at an empty TAP is one read(2), 0.2 us: at this distance 1 % of a busy worker. It delays
 * the kernel's packets by as much, while the worker is busy; a worker that sleeps is woken. */
#define LOOK_NS 20000u

int spw_tap_join(const char *ifname, char *why, unsigned int why_bytes)
{
	/* Without a virtual header, so the kernel fills in checksums and cuts to the MTU. */
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	int error = -errno;
	snprintf(why, why_bytes,
		 "%s: cannot join its TAP: %s; control makes it, with several queues: is "
		 "CAP_NET_ADMIN missing, or /dev/net/tun?",
		 ifname, strerror(-error));
	if (fd >= 0)
		close(fd);
	return error;
}

int spw_tap_set_mac(const char *ifname, const uint8_t mac[6], char *why, unsigned int why_bytes)
{
	struct ifreq request = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
	int error = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	if (fd < 0 || ioctl(fd, SIOCSIFHWADDR, &request) < 0) {
		error = -errno;
		snprintf(why, why_bytes, "%s: cannot give it the device's MAC address: %s", ifname,
			 strerror(-error));
	}
	if (fd >= 0)
		close(fd);
	return error;
}

/* Up to a burst of what the kernel sends. Returns how many. */
static uint32_t receive(int fd, struct rte_mempool *pool, struct rte_mbuf **mbuf)
{
	uint32_t cnt = 0;

	while (cnt < SPW_BURST_MAX) {
		struct rte_mbuf *next = rte_pktmbuf_alloc(pool);
		if (!next)
			break;
		ssize_t bytes =
			read(fd, rte_pktmbuf_mtod(next, void *), rte_pktmbuf_tailroom(next));
		if (bytes <= 0) { /* EAGAIN; or the TAP is down, or gone */
			rte_pktmbuf_free(next);
			break;
		}
		next->data_len = (uint16_t)bytes;
		next->pkt_len = (uint32_t)bytes;
		mbuf[cnt++] = next;
	}
	return cnt;
}

uint32_t spw_taps_take(struct spw_worker *worker)
{
	struct spw_lane *lane = &worker->lane;
	struct spw_burst *burst = &lane->burst;
	uint32_t taken = 0;

	if (lane->now_ns - worker->taps_looked_ns < LOOK_NS)
		return 0;
	worker->taps_looked_ns = lane->now_ns;
	for (uint32_t t = 0; t < worker->taps_cnt; t++) {
		uint32_t port = worker->taps[t];
		burst->cnt = receive(worker->tap_fd[port], worker->pool, burst->mbuf);
		for (uint32_t i = 0; i < burst->cnt; i++) {
			burst->state[i] = SPW_AT_TRANSMIT;
			burst->port_in[i] = burst->port_out[i] = (uint8_t)port;
			burst->tunnel_in[i] = burst->tunnel_out[i] = 0;
		}
		if (burst->cnt == 0)
			continue;
		if (burst->cnt == SPW_BURST_MAX) /* there may be more */
			worker->taps_looked_ns = 0;
		taken += burst->cnt;
		spw_transmit(worker, burst);
		if (lane->handing)
			spw_stage_handoff(lane, burst);
	}
	return taken;
}

void spw_taps_give(struct spw_worker *worker, struct spw_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		const struct rte_mbuf *mbuf = burst->mbuf[i];
		if (burst->state[i] != SPW_AT_KERNEL)
			continue;
		int fd = worker->tap_fd[burst->port_in[i] % SPW_PORTS_MAX];
		/* One write is one frame: whole, or not at all. */
		if (mbuf->nb_segs != 1 || fd < 0 ||
		    write(fd, rte_pktmbuf_mtod(mbuf, const void *), mbuf->data_len) < 0) {
			spw_drop(&worker->lane, burst, i, SPW_DROP_TAP_FULL);
			continue;
		}
		burst->state[i] = SPW_DONE;
		rte_pktmbuf_free(burst->mbuf[i]);
	}
}
