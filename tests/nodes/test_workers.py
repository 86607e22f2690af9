# SPDX-License-Identifier: BSD-2-Clause
"""Several workers to a node: each has its SAs and gets packets for them that landed elsewhere; a
port may have fewer queues than there are workers."""

import collections
import contextlib
import os
import struct

import flows
import pytest
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


# ---- more workers than queues -------------------------------------------------------------------

FLOW_PACKET = struct.Struct("!II")  # which flow, which of its packets


@pytest.fixture(scope="module", params=(2, 3), ids=lambda workers: f"{workers}workers")
def narrow(request, open_lab):
    """The chain with one queue to each interface."""
    with open_lab(request.node) as lab:
        net = topology.chain(lab, settings={"workers": request.param}, taps=True)
        net.workers = request.param
        net.start()
        flows.learn_hosts(net)
        yield net


def send_flows(net, family, flows_cnt, per_flow, payload_bytes=100):
    """Sends numbered packets of many flows in turn; returns [(flow, number)] in the order of their
    arrival."""
    sender, receiver = net.app1["blue"], net.app2["blue"]
    with contextlib.ExitStack() as stack:
        rx = stack.enter_context(flows.udp_socket(receiver, net.address("app2", "blue", family)))
        txs = [stack.enter_context(flows.udp_socket(sender, "::" if family == 6 else "0.0.0.0"))
               for _ in range(flows_cnt)]
        for tx in txs:
            tx.connect(rx.getsockname()[:2])
        for number in range(per_flow):
            for flow, tx in enumerate(txs):
                tx.send(FLOW_PACKET.pack(flow, number).ljust(payload_bytes, b"."))
        return [FLOW_PACKET.unpack_from(payload)
                for payload, _ in flows.receive(rx, flows_cnt * per_flow)]


def spis(capture, source):
    """{SPI: packets} of the ESP packets that came from an IPv4 address."""
    counted, wanted = collections.Counter(), bytes(map(int, source.split(".")))
    for frame in capture.stop().frames():
        udp = frame[34:42]
        if frame[26:30] == wanted and frame[12:14] == b"\x08\0" and frame[23] == 17 and \
                udp[2:4] == (4500).to_bytes(2, "big") and frame[42:46] != bytes(4):
            counted[frame[42:46]] += 1
    return counted


@pytest.mark.parametrize("family", (4, 6))
def test_one_tunnel_uses_every_worker_and_no_flow_is_reordered(narrow, family):
    nodes = narrow.gwa, narrow.relay, narrow.gwb
    before = [flows.counted(node) for node in nodes]
    handoffs = [workers_sum(node, "handoffs") for node in nodes]
    flows_cnt, per_flow = 32, 60
    total = flows_cnt * per_flow
    captures = [wire.capture(f"spread{i}-{family}") for i, wire in enumerate(narrow.wires)]
    arrived = send_flows(narrow, family, flows_cnt, per_flow)

    order = {}
    for flow, number in arrived:
        order.setdefault(flow, []).append(number)
    assert order == {flow: list(range(per_flow)) for flow in range(flows_cnt)}
    inner_bytes = flows.ip_bytes(narrow.address("app2", "blue", family)) + flows.UDP_BYTES + 100
    gateway, a, b = ("wan0", "blue-relay"), ("wan0", "blue-a"), ("wan1", "blue-b")
    for node, counters, ways in zip(nodes, before, (("lan-blue", gateway), (a, b),
                                                    (gateway, "lan-blue"))):
        assert flows.changes(node, counters) == flows.carried(*ways, total, inner_bytes, 4)
    # Every worker has encrypted whole flows, each with an SA of its own, on both ways.
    for capture, source in zip(captures, (narrow.outer[0][0], narrow.outer[1][1])):
        by_spi = spis(capture, source)
        assert len(by_spi) == narrow.workers, by_spi
        assert sum(by_spi.values()) == total
        assert all(packets % per_flow == 0 for packets in by_spi.values()), by_spi
    # Worker 0 has the only queue: it gave the others their flows, and they gave it their frames.
    for node, was in zip(nodes, handoffs):
        handed = workers_sum(node, "handoffs") - was
        assert handed > 0 and handed % (2 * per_flow) == 0, node.name


def test_a_flow_stays_on_one_worker(narrow):
    capture = narrow.wires[0].capture("one-flow")
    assert send_flows(narrow, 4, 1, 200) == [(0, number) for number in range(200)]
    assert [*spis(capture, narrow.outer[0][0]).values()] == [200]


def test_fragments_of_a_datagram_go_one_way(narrow):
    size = 5000  # four fragments at the apps' MTU
    sent = [os.urandom(size) for _ in range(20)]
    arrived = flows.deliver(narrow.app1["blue"], narrow.app2["blue"],
                            narrow.address("app2", "blue"), sent)
    assert [payload for payload, _ in arrived] == sent


def test_sleeping_workers_wake_for_what_they_are_given(narrow):
    for _ in range(20):  # one packet at a time, on ports of its own, with all asleep before
        assert len(send_flows(narrow, 4, 1, 1)) == 1
    workers = narrow.gwa.cli("status")["dataplane"]["workers"]
    assert all(worker["sleeps"] > 0 for worker in workers), workers
