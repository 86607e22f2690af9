# SPDX-License-Identifier: BSD-2-Clause
"""The longest packet that fits passes, the next longer one is dropped and counted."""

import os

import flows
import pytest
import topology

WIRE_MTU = 1500
CASES = {"outer4": (4, None), "outer6": (6, None), "outer4-vlan": (4, 7)}
# RFC 4303 2.4: with 2 bytes of trailer in a multiple of 4.
INNER_MTU = {4: 1438, 6: 1418}


@pytest.fixture(scope="module", params=CASES.values(), ids=tuple(CASES))
def net(request, open_lab):
    with open_lab(request.node) as lab:
        outer, vlan = request.param
        try:
            net = topology.chain(lab, outer=outer, vlan=vlan, mtu=None, taps=True)
        except topology.LabError as error:
            if vlan and "Unknown device type" in str(error):
                pytest.skip("this kernel has no VLAN devices (8021q)")
            raise
        net.outer_family, net.vlan = outer, vlan
        net.start()
        flows.learn_hosts(net)
        yield net


def ways(net, family):
    """(sender, receiver, address of the receiver, gateway that sends, wire after it)."""
    app1, app2 = net.app1["blue"], net.app2["blue"]
    return [(app1, app2, net.address("app2", "blue", family), net.gwa, net.wires[0]),
            (app2, app1, net.address("app1", "blue", family), net.gwb, net.wires[1])]


def payload(address, inner_bytes):
    return os.urandom(inner_bytes - flows.ip_bytes(address) - flows.UDP_BYTES)


def esp_frames(capture):
    """Those of them that carry ESP, without the kernels' own."""
    for frame in capture.stop().frames():
        if len(frame) > 400:
            yield bytes(frame)


def test_the_mtu_follows_from_the_wire(net):
    for node in (net.gwa, net.relay, net.gwb):
        for tunnel in node.cli("tunnel", "list"):
            assert node.tunnel(tunnel["name"])["mtu"] == INNER_MTU[net.outer_family]


@pytest.mark.parametrize("family", (4, 6))
def test_the_longest_packet_passes_and_fills_the_wire(net, family):
    for sender, receiver, address, gateway, wire in ways(net, family):
        capture = wire.capture(f"longest-{gateway.name}")
        sent = [payload(address, INNER_MTU[net.outer_family] - less) for less in (0, 1, 2, 3, 4)]
        assert [data for data, _ in flows.deliver(sender, receiver, address, sent)] == sent
        frames = list(esp_frames(capture))
        vlan_bytes = 4 if net.vlan else 0
        # Padding makes all but the last one equal.
        full = flows.ETHERNET_BYTES + vlan_bytes + WIRE_MTU
        assert [len(frame) for frame in frames] == [full] * 4 + [full - 4]
        if net.vlan:
            assert {frame[12:16].hex() for frame in frames} == {f"8100{net.vlan:04x}"}


@pytest.mark.parametrize("family", (4, 6))
def test_one_byte_more_is_dropped_and_counted(net, family):
    for sender, receiver, address, gateway, _ in ways(net, family):
        before = flows.counted(gateway)
        sent = [payload(address, INNER_MTU[net.outer_family] + more) for more in (1, 2, 40)]
        assert flows.deliver(sender, receiver, address, sent, wait_s=0.5) == []
        changes = flows.changes(gateway, before)
        assert changes["drop inner_too_big"] == len(sent)
        assert changes["blue-relay tx_drops"] == len(sent)
        assert "blue-relay tx_packets" not in changes and "wan0 tx_packets" not in changes
