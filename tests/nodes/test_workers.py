# SPDX-License-Identifier: BSD-2-Clause
"""Several workers to a node: each has its SAs, and gets packets for them that landed elsewhere."""

import os

import flows
import topology

FLOWS, PER_FLOW = 16, 25


def test_packets_that_land_on_the_wrong_worker_reach_the_right_one(lab):
    net = topology.chain(lab, settings={"workers": 2}, queues=2, taps=True)
    # Towards the relay one queue is left: its worker 0 gets all that comes from gwa.
    net.wires[0].namespace.run("ethtool", "-L", "wire1", "tx", 1)
    net.start()
    flows.learn_hosts(net)
    nodes = net.gwa, net.relay, net.gwb
    before = [flows.counted(node) for node in nodes]
    handoffs = workers_sum(net.relay, "handoffs")
    sent = [os.urandom(200) for _ in range(PER_FLOW)]
    for _ in range(FLOWS):  # each on ports of its own
        arrived = flows.deliver(net.app1["blue"], net.app2["blue"], net.address("app2", "blue"),
                                sent, settle_s=0.05)
        assert [payload for payload, _ in arrived] == sent
    total, inner_bytes = FLOWS * PER_FLOW, 20 + flows.UDP_BYTES + 200
    gateway, a, b = ("wan0", "blue-relay"), ("wan0", "blue-a"), ("wan1", "blue-b")
    for node, counters, ways in zip(nodes, before, (("lan-blue", gateway), (a, b),
                                                    (gateway, "lan-blue"))):
        assert flows.changes(node, counters) == flows.carried(*ways, total, inner_bytes, 4)
    # Whole flows go to one worker of gwa, and so by one SA.
    handed = workers_sum(net.relay, "handoffs") - handoffs
    assert 0 < handed < total and handed % PER_FLOW == 0


def workers_sum(node, counter):
    return sum(worker[counter] for worker in node.cli("status")["dataplane"]["workers"])
