# SPDX-License-Identifier: BSD-2-Clause
"""The peer of a session speaks from elsewhere: its address changes, it is behind a NAT that forgets
it, or nobody has said where it is. Only an authentic packet that is the newest counts."""

import socket
import struct
import time

import flows
import pytest
import topology
from test_restart import end

PPS = 1000
MOVED = "192.0.2.9"  # gwa's second address
OUTER_IP, OUTER_UDP = 14, 34  # in a frame, IPv4 without options


@pytest.fixture(scope="module")
def net(request, open_lab):
    """The usual chain. gwb's endpoint is in nobody's configuration; gwa's subnet has more room."""
    with open_lab(request.node) as lab:
        net = topology.chain(lab, taps=True, mtu=1400, sessions=("blue",))
        forget_endpoint(net, "blue-b")
        net.relay.namespace.run("ip", "route", "add", "192.0.2.0/28", "dev", "wan0")
        net.start()
        flows.learn_hosts(net)
        net.nodes = [net.gwa, net.relay, net.gwb]
        yield net


def forget_endpoint(net, name):
    """The relay is not told where that tunnel's peer is."""
    tunnel = next(each for each in net.relay.config["tunnels"] if each["name"] == name)
    del tunnel["endpoint"]


def streams(net, pps=PPS):
    """One each way: from app1, to app1."""
    app1, app2 = net.app1["blue"], net.app2["blue"]
    return (flows.Stream(app1, app2, net.address("app2", "blue"), pps),
            flows.Stream(app2, app1, net.address("app1", "blue"), pps))


def endpoint(net, name="blue-a"):
    told = net.relay.tunnel(name)["sa"]
    return told["endpoint"], told["endpoint_learned"]


def whole(arrivals, lost_max):
    """Nothing but a bounded loss has happened."""
    return arrivals.lost <= lost_max and arrivals.doubled == 0 and arrivals.damaged == 0


# ---- NAT ----------------------------------------------------------------------------------------

UDP_STREAM_S = 23  # how long the router keeps a mapping: longer than peers are silent, 20 s
CT_FLUSH = struct.pack("=IHHIIBBH", 20, 0x102, 5, 1, 0, socket.AF_INET, 0, 0)
NETLINK_NETFILTER = 12


class Router:
    """A NAT between gwa and the relay, in the place of their wire."""

    def __init__(self, net):
        self.space = net.wires[0].namespace
        self.space.run("ip", "link", "del", "bridge")
        for ifname, address in (("wire0", "192.0.2.2/30"), ("wire1", "203.0.113.1/30")):
            self.space.run("ip", "address", "add", address, "dev", ifname)
        self.space.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.space.run("nft", "add table ip nat")
        self.space.run("nft", "add chain ip nat out "
                       "{ type nat hook postrouting priority srcnat; }")
        self.masquerade(20000)
        for name in ("udp_timeout", "udp_timeout_stream"):
            self.space.run("sysctl", "-qw", f"net.netfilter.nf_conntrack_{name}={UDP_STREAM_S}")

    def masquerade(self, port):
        rule = f"oifname wire1 meta l4proto udp masquerade to :{port}-{port + 99}"
        self.space.run("nft", f"insert rule ip nat out {rule}")

    def rebind(self, port):
        """It forgets all that it knows, as after a loss of power, and chooses other ports."""
        self.masquerade(port)
        with self.space.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
            sock.send(CT_FLUSH)
            assert struct.unpack_from("=i", sock.recv(4096), 16)[0] == 0


@pytest.fixture(scope="module")
def natted(request, open_lab):
    """gwa behind a NAT; the relay does not know where it is."""
    with open_lab(request.node) as lab:
        net = topology.chain(lab, taps=True, mtu=1400, sessions=("blue",))
        net.router = Router(net)
        forget_endpoint(net, "blue-a")
        net.gwa.config["tunnels"][0]["endpoint"] = "203.0.113.2"
        net.gwa.namespace.run("ip", "route", "add", "default", "via", "192.0.2.2")
        net.relay.namespace.run("ip", "address", "flush", "dev", "wan0")
        net.relay.namespace.run("ip", "address", "add", "203.0.113.2/30", "dev", "wan0")
        net.start()
        flows.learn_hosts(net)
        yield net


def port_of(net):
    """The NAT's port towards the relay."""
    where, learned = endpoint(net)
    address, port = where.split(":")
    assert address == "203.0.113.1" and learned
    return int(port)


def test_gateway_behind_a_nat(natted):
    assert 20000 <= port_of(natted) < 20100
    forth, back = streams(natted)
    with forth, back:
        forth.wait(300)
        back.wait(300)
        assert (forth.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)
    natted.silent_since = time.monotonic()
    natted.dummies = natted.relay.drops()["dummy"]


# ---- no endpoint, another address ---------------------------------------------------------------


def test_peer_without_an_endpoint_is_learned(net):
    assert endpoint(net, "blue-b") == ("198.51.100.1:4500", True)
    assert endpoint(net) == ("192.0.2.1:4500", False)
    forth, back = streams(net)
    with forth, back:
        forth.wait(300)
        back.wait(300)
        assert (forth.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)


def move(net, old, new, new_first):
    """Gives gwa another address."""
    add, remove = f"address add {new}/28 dev wan0\n", f"address del {old} dev wan0\n"
    net.gwa.namespace.run("sysctl", "-qw", "net.ipv4.conf.wan0.promote_secondaries=1")
    for line in (add, remove) if new_first else (remove, add):
        net.gwa.namespace.run("ip", *line.split())


@pytest.mark.parametrize("old, new, learned, new_first", (
    ("192.0.2.1/30", MOVED, True, True), (f"{MOVED}/28", "192.0.2.1", False, False)))
def test_relay_follows_a_gateway_whose_address_changes(net, old, new, learned, new_first):
    """Lost is at most what was on its way to the old address: until gwa's control has heard of the
    new one (50 ms), a packet from there has come, and the relay has the new neighbour's MAC. Where
    gwa is without an address for a moment, also what it would have sent then."""
    forth, back = streams(net)
    serial = net.gwa.tunnel("blue-relay")["sa"]["out"]
    with forth, back:
        forth.wait(300)
        back.wait(300)
        move(net, old, new, new_first)
        topology.wait_for(lambda: endpoint(net) == (f"{new}:4500", learned), 5, "the relay follows")
        forth.wait(500)
        back.wait(500)
        lost = forth.stop(), back.stop()
    print("lost forth, back:", lost[0].lost, lost[1].lost)
    assert whole(lost[0], PPS) and whole(lost[1], PPS)
    assert net.gwa.tunnel("blue-relay")["sa"]["out"] == serial, "the same keys"


# ---- forgeries ----------------------------------------------------------------------------------


def last_esp(capture):
    """The last ESP packet that gwa has sent to the relay."""
    for frame in reversed([bytes(frame) for frame in capture.stop().frames()]):
        if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP and \
                frame[OUTER_IP + 16:OUTER_IP + 20] == socket.inet_aton("192.0.2.2") and \
                frame[OUTER_UDP + 8:OUTER_UDP + 12] != bytes(4):
            return frame
    raise AssertionError("no ESP packet was captured")


def from_elsewhere(frame, esp_at=None):
    """The frame from another address and port; esp_at: with a bit turned there."""
    forged = bytearray(frame)
    forged[OUTER_IP + 12:OUTER_IP + 16] = socket.inet_aton("192.0.2.14")
    struct.pack_into("!H", forged, OUTER_UDP, 4444)
    struct.pack_into("!H", forged, OUTER_IP + 10, 0)
    words = sum(struct.unpack_from("!10H", forged, OUTER_IP))
    words = (words & 0xFFFF) + (words >> 16)
    struct.pack_into("!H", forged, OUTER_IP + 10, ~(words + (words >> 16)) & 0xFFFF)
    struct.pack_into("!H", forged, OUTER_UDP + 6, 0)
    if esp_at is not None:
        forged[OUTER_UDP + 8 + esp_at] ^= 0x10
    return bytes(forged)


def test_forged_packet_moves_nothing(net):
    """One that was sent already, and one of a sequence number to come with its ICV wrong."""
    before, drops = endpoint(net), net.relay.drops()
    forth, back = streams(net)
    capture = net.wires[0].capture("forged")
    with forth, back:
        forth.wait(100)
        time.sleep(0.3)  # until the capture has got them
        frame = last_esp(capture)
        with net.wires[0].namespace.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("wire1", 0))
            for _ in range(10):
                sock.send(from_elsewhere(frame))
                sock.send(from_elsewhere(frame, esp_at=5))  # 2^20 ahead
        forth.wait(300)
        back.wait(300)
        assert (forth.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)
    new = {reason: cnt - drops.get(reason, 0) for reason, cnt in net.relay.drops().items()
           if cnt != drops.get(reason, 0) and reason != "dummy"}
    assert new == {"replayed": 10, "auth_failed": 10}
    assert endpoint(net) == before


# ---- NAT again ----------------------------------------------------------------------------------


def test_dummies_hold_the_mapping(natted):
    """Nobody has sent anything for longer than the NAT keeps a mapping, since the first test here:
    still the far side's first packet arrives."""
    port = port_of(natted)
    time.sleep(max(0, natted.silent_since + UDP_STREAM_S + 3 - time.monotonic()))
    assert natted.relay.drops()["dummy"] > natted.dummies
    address = natted.address("app1", "blue")
    assert natted.app2["blue"].ping(address, 3) == (3, 3)
    assert port_of(natted) == port


def test_nat_that_rebinds_costs_what_is_under_way(natted):
    """Forth nothing; back until a packet has come from the new port."""
    forth, back = streams(natted)
    with forth, back:
        for port in (30000, 40000):
            forth.wait(300)
            back.wait(300)
            natted.router.rebind(port)
            topology.wait_for(lambda p=port: p <= port_of(natted) < p + 100, 5, "the relay follows")
        forth.wait(300)
        back.wait(300)
        lost = forth.stop(), back.stop()
    print("lost forth, back, of two times:", lost[0].lost, lost[1].lost)
    assert whole(lost[0], PPS) and whole(lost[1], PPS)


@pytest.mark.parametrize("processes", (["control"], ["dataplane"], ["control", "dataplane"]),
                         ids="+".join)
def test_relay_that_is_restarted_knows_the_endpoint(natted, processes):
    """Nobody has configured it, and gwa is silent: the relay is the one that speaks first."""
    where = endpoint(natted)
    end(natted.relay, processes)
    natted.relay.wait_up()
    assert endpoint(natted) == where
    address = natted.address("app1", "blue")
    assert natted.app2["blue"].ping(address, 3) == (3, 3)
