# SPDX-License-Identifier: BSD-2-Clause
"""The owner's own traffic beside the tunnels: it passes unchanged, and nothing of it is dropped."""

import os
import socket
import threading

import flows
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

import foreign
import topology

SSH = 22


@pytest.fixture(scope="module")
def site(request, open_lab):
    """peer - node - app, and behind the node the owner's own host `office`, which has nothing to do
    with tunnels."""
    with open_lab(request.node) as lab:
        made = foreign.Site(lab)
        space = made.node.namespace
        made.office = lab.namespace("office")
        lab.link(made.office, "office0", space, "own0", ["172.16.0.2/24", "fd01::2/64"],
                 ["172.16.0.1/24", "fd01::1/64"])
        space.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        made.office.run("ip", "route", "add", "default", "via", "172.16.0.1")
        made.office.run("ip", "-6", "route", "add", "default", "via", "fd01::1")
        made.peer_space.run("ip", "route", "add", "172.16.0.0/24", "via", foreign.NODE)
        made.peer_space.run("ip", "-6", "route", "add", "fd01::/64", "via", foreign.NODE6)
        made.app_space.run("ip", "route", "add", "default", "via", "10.1.0.1")
        made.app_space.run("ip", "-6", "route", "add", "default", "via", "fd00:1::1")
        made.start()
        yield made
        made.close()


@pytest.fixture(autouse=True)
def nothing_dropped(site):
    """Whatever a test does here, the node drops nothing."""
    before = site.node.drops()
    yield
    assert site.new_drops(before) == {}


def wan(site):
    return site.node.cli("status")["interfaces"][0]


# ---- to the node itself -------------------------------------------------------------------------


def tcp_echo(server, client, address, size=1 << 20):
    """Sends bytes over TCP and gets them back; returns whether they are the same."""
    listener = server.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, SSH))
    listener.listen()
    listener.settimeout(10)

    def echo():
        peer, _ = listener.accept()
        with peer:
            while data := peer.recv(65536):
                peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)

    sent, received = os.urandom(size), bytearray()
    server_thread = threading.Thread(target=echo, daemon=True)
    server_thread.start()
    with listener, client.socket(listener.family) as connection:
        connection.settimeout(20)
        connection.connect((address, SSH))
        sender = threading.Thread(target=lambda: (connection.sendall(sent),
                                                  connection.shutdown(socket.SHUT_WR)))
        sender.start()
        while data := connection.recv(65536):
            received += data
        sender.join()
        server_thread.join()
    return bytes(received) == sent


@pytest.mark.parametrize("address", (foreign.NODE, foreign.NODE6))
def test_tcp_to_the_node(site, address):
    before = wan(site)
    assert tcp_echo(site.node.namespace, site.peer_space, address)
    after = wan(site)
    assert after["passed"] - before["passed"] > 100
    assert (after["steered"], after["dropped"]) == (before["steered"], before["dropped"])


@pytest.mark.parametrize("address", (foreign.NODE, foreign.NODE6))
def test_ping_of_the_node(site, address):
    assert site.peer_space.ping(address, 10) == (10, 10)
    assert site.peer_space.ping(address, 3, size=8000) == (3, 3)  # in fragments


def test_node_reaches_out(site):
    """Answers to what the owner's programs on the node ask."""
    assert tcp_echo(site.peer_space, site.node.namespace, foreign.PEER)
    assert site.node.namespace.ping(foreign.PEER6, 5) == (5, 5)


@pytest.mark.parametrize("address", (foreign.NODE, foreign.NODE6))
def test_udp_to_other_ports_of_the_node(site, address):
    """Sizes up to several fragments, and beside it tunnel traffic."""
    payloads = [os.urandom(size) for size in (0, 1, 12, 100, 1400, 1472, 4000, 8000)] * 20
    tunnel = site.tunnels[0]
    assert site.pass_on(tunnel.inner(b"before"))
    arrived = flows.deliver(site.peer_space, site.node.namespace, address, payloads)
    assert sorted(payload for payload, _ in arrived) == sorted(payloads)
    assert site.pass_on(tunnel.inner(b"after"))


def test_stream_to_the_node_while_tunnels_run(site):
    with flows.Stream(site.peer_space, site.node.namespace, foreign.NODE) as own:
        for k in range(20):
            site.room(2)
            assert site.pass_on(site.tunnels[0].inner(b"%d" % k))
        own.wait(1000)
        assert own.stop() == flows.ALL_ARRIVED


# ---- through the node ---------------------------------------------------------------------------


@pytest.mark.parametrize("address", ("172.16.0.2", "fd01::2"))
def test_routed_traffic(site, address):
    """The owner's host behind the node, also with packets for a port that is the tunnels' here."""
    assert site.peer_space.ping(address, 5) == (5, 5)
    assert tcp_echo(site.office, site.peer_space, address)
    with flows.Stream(site.peer_space, site.office, address) as there:
        there.wait(500)
        assert there.stop() == flows.ALL_ARRIVED
    with flows.udp_socket(site.office, address, foreign.PORT) as server, \
            flows.udp_socket(site.peer_space, address, bind=False) as client:
        server.settimeout(5)
        for payload in (b"\xff", bytes(100), os.urandom(900)):
            client.sendto(payload, (address, foreign.PORT))
            assert server.recv(2000) == payload


def test_lan_traffic_that_is_not_for_a_tunnel(site):
    """To the gateway itself, and through the kernel to the owner's host and to the peer."""
    assert site.app_space.ping("10.1.0.1", 5) == (5, 5)
    assert site.app_space.ping("fd00:1::1", 5) == (5, 5)
    assert site.app_space.ping("172.16.0.2", 5) == (5, 5)
    assert tcp_echo(site.office, site.app_space, "fd01::2")
    lan = site.node.cli("status")["interfaces"][1]
    with flows.Stream(site.app_space, site.office, "172.16.0.2") as there:
        there.wait(500)
        assert there.stop() == flows.ALL_ARRIVED
        sent = there.sent
    after = site.node.cli("status")["interfaces"][1]
    assert after["passed"] - lan["passed"] >= sent and after["steered"] == lan["steered"]


# ---- byte by byte -------------------------------------------------------------------------------


def test_odd_frames_reach_the_kernel_as_they_were(site):
    """What the kernel gets, seen right behind the classifier."""
    ether = Ether(src=site.peer_mac, dst=site.wan_mac)
    own4, own6 = IP(src=foreign.PEER, dst=foreign.NODE), IPv6(src=foreign.PEER6, dst=foreign.NODE6)
    far4 = IP(src=foreign.PEER, dst="172.16.0.2")
    payload = Raw(os.urandom(64))
    frames = [
        ether / own4 / TCP(dport=SSH, flags="S") / payload,
        ether / own4 / UDP(sport=foreign.PORT, dport=4501) / payload,
        ether / own4 / UDP(sport=4501, dport=foreign.PORT + 256) / payload,
        ether / own4 / ICMP() / payload,
        ether / IP(src=foreign.PEER, dst=foreign.NODE, proto=50) / payload,  # ESP without UDP
        ether / IP(src=foreign.PEER, dst=foreign.NODE, options=[b"\x01" * 8]) / UDP() / payload,
        ether / IP(src=foreign.PEER, dst=foreign.NODE, frag=100, proto=17) / payload,
        ether / IP(src=foreign.PEER, dst=foreign.NODE, ihl=4) / payload,
        ether / IP(src=foreign.PEER, dst="192.0.2.255") / UDP(dport=foreign.PORT) / payload,
        ether / IP(src=foreign.PEER, dst="224.0.0.5", proto=89) / payload,
        ether / far4 / UDP(dport=foreign.PORT) / payload,
        ether / own6 / TCP(dport=SSH, flags="S") / payload,
        ether / own6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(dport=53) / payload,
        ether / own6 / ICMPv6EchoRequest() / payload,
        ether / Dot1Q(vlan=9) / own4 / UDP(dport=foreign.PORT) / payload,
        ether / Dot1Q(vlan=9) / Dot1Q(vlan=7) / own4 / UDP(dport=foreign.PORT) / payload,
        Ether(src=site.peer_mac, dst="ff:ff:ff:ff:ff:ff") / own4 / UDP(dport=foreign.PORT) /
        payload,
        Ether(src=site.peer_mac, dst="02:11:22:33:44:55") / own4 / UDP(dport=foreign.PORT) /
        payload,
        Ether(src=site.peer_mac, dst=site.wan_mac, type=0x88CC) / payload,
        Ether(src=site.peer_mac, dst=site.wan_mac, type=0x0800) / Raw(b"\x45"),
        Ether(src=site.peer_mac, dst=site.wan_mac, type=0x86DD) / Raw(b"\x60" * 30),
    ]
    kernel = foreign.Tap(site.node.namespace, "wan0")
    before = wan(site)
    try:
        for frame in frames:
            site.peer.send(frame)
        seen = []
        topology.wait_for(lambda: seen.extend(kernel.frames(0.1)) or len(seen) >= len(frames), 3,
                          "all frames are seen")
    finally:
        kernel.close()
    # The kernel takes VLAN tags off before anyone can look.
    wanted = [bytes(frame) if Dot1Q not in frame else untagged(bytes(frame)) for frame in frames]
    assert [frame for frame in seen if frame in wanted] == wanted
    assert wan(site)["steered"] == before["steered"]


def untagged(frame):
    return frame[:12] + frame[16:]
