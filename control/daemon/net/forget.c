/* SPDX-License-Identifier: BSD-2-Clause */
/* forget.c - see forget.h. */
#include "control/daemon/net/forget.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "control/daemon/net/net_private.h"

struct mark {
	int ifindex;
	struct spw_endpoint address;
	bool usable;
};

struct search {
	const int *ifindexes;
	size_t ifindexes_cnt;
	int *vlans; /* devices above these */
	size_t vlans_cnt;
	struct mark *marks;
	size_t marks_cnt;
};

static bool listed(const int *ifindexes, size_t cnt, int ifindex)
{
	for (size_t i = 0; i < cnt; i++)
		if (ifindexes[i] == ifindex)
			return true;
	return false;
}

static int on_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	int lower = spw_interfaces_lower(message);
	struct search *search = arg;
	int *vlans;

	if (lower == 0 || !listed(search->ifindexes, search->ifindexes_cnt, lower))
		return MNL_CB_OK;
	vlans = reallocarray(search->vlans, search->vlans_cnt + 1, sizeof(*vlans));
	if (!vlans)
		return MNL_CB_ERROR;
	search->vlans = vlans;
	vlans[search->vlans_cnt++] = info->ifi_index;
	return MNL_CB_OK;
}

static int on_neighbor(const struct nlmsghdr *message, void *arg)
{
	struct search *search = arg;
	struct spw_heard heard;
	struct mark *marks;

	spw_heard_read(message, &heard);
	if (heard.protocol != SPW_NEIGHBOR_PROTOCOL || !(heard.flags & NTF_EXT_MANAGED) ||
	    heard.fixed || heard.address.family == 0)
		return MNL_CB_OK;
	if (!listed(search->ifindexes, search->ifindexes_cnt, heard.ifindex) &&
	    !listed(search->vlans, search->vlans_cnt, heard.ifindex))
		return MNL_CB_OK;
	marks = reallocarray(search->marks, search->marks_cnt + 1, sizeof(*marks));
	if (!marks)
		return MNL_CB_ERROR;
	search->marks = marks;
	marks[search->marks_cnt++] = (struct mark){heard.ifindex, heard.address, heard.usable};
	return MNL_CB_OK;
}

/* Both headers are 0: all interfaces, both families. */
static int dump(struct spw_netlink *netlink, uint16_t type, size_t header_bytes, mnl_cb_t cb,
		struct search *search)
{
	uint32_t buffer[SPW_NETLINK_REQUEST_BYTES / sizeof(uint32_t)];
	struct nlmsghdr *request = spw_netlink_start(buffer, type, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(request, header_bytes);
	return spw_netlink_ask(netlink, request, cb, search);
}

int spw_neighbors_forget(const int *ifindexes, size_t cnt)
{
	struct search search = {.ifindexes = ifindexes, .ifindexes_cnt = cnt};
	struct spw_netlink netlink = {0};
	int err = cnt > 0 ? spw_netlink_open(&netlink) : 0;

	if (cnt == 0 || err < 0)
		return err;
	err = dump(&netlink, RTM_GETLINK, sizeof(struct ifinfomsg), on_link, &search);
	if (err == 0)
		err = dump(&netlink, RTM_GETNEIGH, sizeof(struct ndmsg), on_neighbor, &search);
	/* Not within the dump: one socket answers one question at a time. */
	for (size_t i = 0; i < search.marks_cnt; i++) {
		const struct mark *mark = &search.marks[i];
		int failed = spw_neighbor_unmanage(&netlink, mark->ifindex, &mark->address,
						   mark->usable);
		if (err == 0 && failed != -ENOENT)
			err = failed;
	}
	spw_netlink_close(&netlink);
	free(search.vlans);
	free(search.marks);
	return err;
}
