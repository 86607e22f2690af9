# SPDX-License-Identifier: BSD-2-Clause
"""Neighbours that change their MAC, and lan hosts that are not known yet."""

import os

import flows
import pytest
import topology

NEW_MAC = "02:00:00:00:be:ef"
# So that the kernel notices within seconds that a neighbour has gone; it asks for a managed one
# again every 5 s.
IMPATIENT = {"base_reachable_time_ms": 500, "delay_first_probe_time": 1, "ucast_solicit": 1,
             "mcast_solicit": 1, "retrans_time_ms": 200}


def sysctl(namespace, values, ifname, what="neigh", families=("ipv4", "ipv6")):
    for family in families:
        for key, value in values.items():
            namespace.run("sysctl", "-qw", f"net.{family}.{what}.{ifname}.{key}={value}")


def neighbor(node, address):
    """As `status` shows it."""
    return next((each for each in node.cli("status")["neighbors"] if each["address"] == address),
                {})


def stream(net, there=True, pps=500, family=4):
    sender, receiver, side = (net.app1, net.app2, "app2") if there else (net.app2, net.app1, "app1")
    return flows.Stream(sender["blue"], receiver["blue"], net.address(side, "blue", family),
                        pps=pps)


def esp_macs(capture):
    """[(destination MAC, source MAC)] of the long frames, in order."""
    return [(bytes(frame[:6]).hex(":"), bytes(frame[6:12]).hex(":"))
            for frame in capture.stop().frames() if len(frame) > 250]


@pytest.mark.parametrize("outer", (4, 6))
def test_traffic_goes_on_when_the_next_hop_announces_a_new_mac(lab, outer):
    net = topology.chain(lab, outer=outer, taps=True)
    net.start()
    flows.learn_hosts(net)
    relay, address = net.relay.namespace, net.outer[0][1]
    sysctl(relay, {"arp_notify": 1}, "wan0", "conf", ("ipv4",))
    sysctl(relay, {"ndisc_notify": 1}, "wan0", "conf", ("ipv6",))
    old_mac, gwa_mac = relay.mac("wan0"), net.gwa.namespace.mac("wan0")
    assert neighbor(net.gwa, address)["mac"] == old_mac
    capture = net.wires[0].capture()
    with stream(net) as there, stream(net, there=False) as back:
        there.wait(200)
        before = net.relay.cli("status")["interfaces"][0]
        relay.run("ip", "link", "set", "wan0", "address", NEW_MAC)
        topology.wait_for(lambda: neighbor(net.gwa, address).get("mac") == NEW_MAC, 10,
                          "the new MAC is in gwa's table")
        there.wait(200)
        passed = net.relay.cli("status")["interfaces"][0]["passed"] - before["passed"]
        # What went to the old MAC was not the relay's any more; nothing else may be missing.
        lost, *others = there.stop()
        assert others == [0, 0, 0] and lost <= passed
        assert there.longest_gap_s < 3
        # The way back leads to a MAC that did not change.
        assert back.stop() == flows.ALL_ARRIVED
    macs = esp_macs(capture)
    to_relay = [destination for destination, source in macs if source == gwa_mac]
    to_gwa = [source for destination, source in macs if destination == gwa_mac]
    # One change each, from the old one to the new one.
    for seen in (to_relay, to_gwa):
        assert seen == [old_mac] * seen.count(old_mac) + [NEW_MAC] * seen.count(NEW_MAC)
        assert seen.count(old_mac) >= 100 and seen.count(NEW_MAC) >= 100
    assert neighbor(net.gwa, address)["state"] == "valid"


def test_traffic_goes_on_when_a_host_changes_its_mac_in_silence(lab):
    net = topology.chain(lab)
    sysctl(net.gwb.namespace, IMPATIENT, "lan-blue")
    net.start()
    flows.learn_hosts(net)
    app, address = net.app2["blue"], net.address("app2", "blue")
    failures = neighbor(net.gwb, address)["failures"]
    drops = net.gwb.drops()
    with stream(net) as running:
        running.wait(200)
        # It keeps what it knows of the gateway, and so has no reason to say anything.
        sysctl(app, {"arp_notify": 0}, "blue0", "conf", ("ipv4",))
        app.run("ip", "link", "set", "blue0", "address", NEW_MAC)
        topology.wait_for(lambda: neighbor(net.gwb, address).get("mac") == NEW_MAC, 25,
                          "the new MAC is in gwb's table")
        running.wait(500)
        lost, doubled, _, damaged = running.stop()
    assert (doubled, damaged) == (0, 0) and lost > 0
    assert neighbor(net.gwb, address)["failures"] > failures
    assert neighbor(net.gwb, address)["state"] == "valid"
    # The last MAC served until there was another: gwb itself dropped nothing.
    assert net.gwb.drops() == drops


@pytest.mark.parametrize("family", (4, 6))
def test_an_unknown_host_is_found_by_the_first_packet_to_it(lab, family):
    net = topology.chain(lab)
    net.start()
    app1, app2, address = net.app1["blue"], net.app2["blue"], net.address("app2", "blue", family)
    nobody = address[:-1] + "77"
    assert neighbor(net.gwb, address) == {}
    assert not [route for route in net.gwb.cli("route", "list") if route["kind"] == "host"]
    before = flows.counted(net.gwb)
    assert flows.deliver(app1, app2, address, [b"first"], wait_s=0.5) == []
    topology.wait_for(lambda: neighbor(net.gwb, address).get("state") == "valid", 5,
                      "the host is known")
    assert neighbor(net.gwb, address)["mac"] == app2.mac("blue0")
    assert neighbor(net.gwb, address)["interface"] == "lan-blue"
    host = f"{address}/{128 if family == 6 else 32}"
    assert [route["prefix"] for route in net.gwb.cli("route", "list")
            if route["kind"] == "host"] == [host]
    sent = [os.urandom(100) for _ in range(20)]
    assert [payload for payload, _ in flows.deliver(app1, app2, address, sent)] == sent
    changes = flows.changes(net.gwb, before)
    assert changes["drop neighbor_unresolved"] == changes["blue-relay rx_drops"] == 1
    assert changes["lan-blue tx_packets"] == len(sent)

    # An address that nobody has costs its own packets alone.
    before = flows.counted(net.gwb)
    with flows.udp_socket(app1, nobody, bind=False) as tx:
        for _ in range(10):
            tx.sendto(b"nobody", (nobody, 9))
    assert [payload for payload, _ in flows.deliver(app1, app2, address, sent)] == sent
    changes = flows.changes(net.gwb, before)
    assert changes["drop neighbor_unresolved"] == 10
    assert changes["lan-blue tx_packets"] == len(sent)
