# SPDX-License-Identifier: BSD-2-Clause
"""Blind relays: UDP between two endpoints by a port of a node, byte for byte, and nothing else."""

import contextlib
import errno
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import flows
import pytest
import topology
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

PORT = 51820
# By family: what stands at site a and b, and the node's own on either side. The first is the
# endpoint, the others are strangers.
SITES = {4: {"a": ["192.0.2.2", "192.0.2.3", "192.0.2.9"], "b": ["198.51.100.2", "198.51.100.9"]},
         6: {"a": ["2001:db8:a::2", "2001:db8:a::3", "2001:db8:a::9"],
             "b": ["2001:db8:b::2", "2001:db8:b::9"]}}
NODE = {4: {"a": "192.0.2.1", "b": "198.51.100.1"}, 6: {"a": "2001:db8:a::1", "b": "2001:db8:b::1"}}
BITS = {4: 24, 6: 64}


def at(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Site:
    """a - wan0 node wan1 - b. `between` of a relay is given as it goes into config.yaml; devices:
    the sites that are not behind a kernel's interface but a device."""

    def __init__(self, lab, relays=(), devices=""):
        self.lab = lab
        self.spaces = {name: lab.namespace(name) for name in "ab"}
        space = lab.namespace("node")
        for wan, name in enumerate("ab"):
            lab.link(self.spaces[name], "eth0", space, f"wan{wan}",
                     [f"{address}/{BITS[family]}" for family in (4, 6)
                      for address in SITES[family][name]],
                     [f"{NODE[family][name]}/{BITS[family]}" for family in (4, 6)])
            # What XDP sends into a veth needs a receiver that polls (NAPI).
            self.spaces[name].run("ethtool", "-K", "eth0", "gro", "on")
            if name in devices:
                self.make_device(space, wan, name)
        self.node = lab.node(space, {
            "interfaces": [{"name": f"wan{wan}", "role": "wan",
                            **({"device": f"net_tap{wan},iface=dev{wan}"}
                              if name in devices else {})}
                           for wan, name in enumerate("ab")],
            "relays": list(relays)})

    @staticmethod
    def make_device(space, wan, name):
        """Instead of the kernel's interface a device, and a TAP that has its addresses."""
        topology.make_device(space, f"wan{wan}", f"dev{wan}")
        space.run("ip", "tuntap", "add", "dev", f"wan{wan}", "mode", "tap", "multi_queue")
        space.interface_up(f"wan{wan}",
                           [f"{NODE[family][name]}/{BITS[family]}" for family in (4, 6)])

    def start(self):
        self.node.start()
        self.await_macs()
        # What a kernel sends while it asks for a MAC, it sends in another order.
        for name, space in self.spaces.items():
            for family in (4, 6):
                assert space.ping(NODE[family][name], 1)[1]

    def await_macs(self):
        topology.wait_for(
            lambda: all(hop["state"] == "valid" for hop in self.node.cli("status")["neighbors"]),
            10, "the MACs of all endpoints are known")

    def socket(self, name, address, port, to=None):
        """A UDP socket at a site; to: (address, port) it is connected to."""
        sock = flows.udp_socket(self.spaces[name], address, port)
        if to:
            sock.connect(to)
        return sock

    def ends(self, family, name_b="b", port=PORT):
        """The sockets of both endpoints of a relay, connected to the node."""
        a, b = SITES[family]["a"][0], SITES[family][name_b][name_b == "a"]
        return (self.socket("a", a, 1111, (NODE[family]["a"], port)),
                self.socket(name_b, b, 2222, (NODE[family][name_b], port)))

    def relay(self, name="ab"):
        return self.node.cli("relay", "show", name)

    def relayed(self):
        return sum(each["relayed"] for each in self.node.cli("status")["interfaces"])


def between(family, name_b="b"):
    a, b = SITES[family]["a"][0], SITES[family][name_b][name_b == "a"]
    return [at(a, 1111), at(b, 2222)]


@pytest.fixture(scope="module", params=("", "ab"), ids=("xdp", "devices"))
def site(request, open_lab):
    """Relays of all kinds: by two interfaces and by one, IPv4 and IPv6; and all that on devices,
    where a worker relays."""
    with open_lab(request.node) as lab:
        made = Site(lab, devices=request.param, relays=[
            {"name": f"{kind}{family}", "port": PORT + 10 * (kind == "same") + family,
             "between": between(family, "a" if kind == "same" else "b")}
            for kind in ("ab", "same") for family in (4, 6)])
        made.start()
        yield made


def exchange(tx, rx, payloads):
    """What arrived of payloads, each with what else was said of it."""
    for payload in payloads:
        tx.send(payload)
    return flows.receive(rx, len(payloads))


@contextlib.contextmanager
def exact(site, expected=None):
    """No drops but those expected meanwhile."""
    before = site.node.drops()
    yield
    after = site.node.drops()
    assert {reason: cnt - before.get(reason, 0) for reason, cnt in after.items()
            if cnt != before.get(reason, 0)} == (expected or {})


def hop_options(sock, family, ttl=None):
    """Has a socket say what TTL came, or send with one."""
    if ttl is not None:
        sock.setsockopt(*((socket.IPPROTO_IP, socket.IP_TTL) if family == 4 else
                          (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)), ttl)
    else:
        sock.setsockopt(*((socket.IPPROTO_IP, flows.IP_RECVTTL) if family == 4 else
                          (socket.IPPROTO_IPV6, flows.IPV6_RECVHOPLIMIT)), 1)


@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("kind", ("ab", "same"))
def test_bytes_pass_both_ways_unchanged_and_counted(site, kind, family):
    name = f"{kind}{family}"
    numbers = random.Random(name)
    payloads = [numbers.randbytes(size) for size in
                [0, 1, 2, 3, 1472 if family == 4 else 1452] + [numbers.randrange(1200)
                                                              for _ in range(95)]]
    ip_bytes = {4: 28, 6: 48}[family] * len(payloads) + sum(map(len, payloads))
    before, relayed = site.relay(name), site.relayed()
    with exact(site), contextlib.ExitStack() as stack:
        a, b = map(stack.enter_context, site.ends(family, "a" if kind == "same" else "b",
                                                  before["port"]))
        for tx, rx, to in ((a, b, "b"), (b, a, "a")):
            hop_options(rx, family)
            arrived = exchange(tx, rx, payloads)
            assert [payload for payload, _ in arrived] == payloads
            assert {int.from_bytes(ancillary[0][2][:4], "little")
                    for _, ancillary in arrived} == {63}
            after = site.relay(name)
            assert after[to]["packets"] - before[to]["packets"] == len(payloads)
            assert after[to]["bytes"] - before[to]["bytes"] == ip_bytes
            assert after[to]["drops"] == before[to]["drops"]
    assert site.relayed() - relayed == 2 * len(payloads)
    assert (after["state"], after["a"]["kind"]) == ("up", "configured")


@pytest.mark.parametrize("family", (4, 6))
def test_between_an_interface_and_a_device(lab, family):
    """XDP cannot send out of a device: a worker relays there."""
    site = Site(lab, devices="b", relays=[{"name": "ab", "port": PORT, "between": between(family)}])
    site.start()
    payloads = [random.randbytes(size) for size in range(0, 1200, 40)]
    with contextlib.ExitStack() as stack:
        a, b = map(stack.enter_context, site.ends(family))
        with exact(site):
            for tx, rx in ((a, b), (b, a)):
                hop_options(rx, family)
                arrived = exchange(tx, rx, payloads)
                assert [payload for payload, _ in arrived] == payloads
                assert {int.from_bytes(ancillary[0][2][:4], "little")
                        for _, ancillary in arrived} == {63}
        shown = site.relay()
        assert [shown[end]["packets"] for end in "ab"] == [len(payloads)] * 2
        wan0, wan1 = site.node.cli("status")["interfaces"]
        assert (wan0["steered"], wan0["relayed"]) == (len(payloads), len(payloads))
        assert wan1["relayed"] == len(payloads)
        hop_options(a, family, ttl=1)
        with exact(site, {"relay_ttl_expired": 3}):
            for _ in range(3):
                a.send(b"dies")
            topology.wait_for(lambda: site.relay()["b"]["drops"] == 3, 5, "they died")


@pytest.mark.parametrize("family", (4, 6))
def test_nobody_else_gets_in(site, family):
    name, port = f"ab{family}", PORT + family
    other = SITES[family]
    strangers = [("a", other["a"][2], 1111), ("a", other["a"][0], 1112), ("b", other["b"][1], 2222),
                 ("b", other["b"][0], 2221)]
    before = site.relay(name)
    with exact(site, {"relay_source_foreign": 5 * len(strangers)}), \
            contextlib.ExitStack() as stack:
        a, b = map(stack.enter_context, site.ends(family, port=port))
        for where, address, source_port in strangers:
            with site.socket(where, address, source_port, (NODE[family][where], port)) as stranger:
                for number in range(5):
                    stranger.send(b"%d" % number)
        assert flows.receive(a, 1, 0.3) == flows.receive(b, 1, 0.3) == []
    after = site.relay(name)
    assert after["foreign_drops"] - before["foreign_drops"] == 5 * len(strangers)
    assert {**after, "foreign_drops": 0} == {**before, "foreign_drops": 0}


@pytest.mark.parametrize("family", (4, 6))
def test_a_used_up_ttl_ends_here(site, family):
    name = f"ab{family}"
    before = site.relay(name)["b"]["drops"]
    with exact(site, {"relay_ttl_expired": 3}), contextlib.ExitStack() as stack:
        a, b = map(stack.enter_context, site.ends(family, port=PORT + family))
        hop_options(a, family, 1)
        assert exchange(a, b, [b"x"] * 3) == []
        hop_options(a, family, 2)
        hop_options(b, family)
        (payload, ancillary), = exchange(a, b, [b"y"])
        assert payload == b"y" and int.from_bytes(ancillary[0][2][:4], "little") == 1
    assert site.relay(name)["b"]["drops"] - before == 3


@pytest.mark.parametrize("words, pps", [(("2mbit", "packets", 100000), 250),
                                        (("1gbit", "packets", 400), 400)], ids=("bytes", "packets"))
def test_limits_hold_in_each_direction_alone(site, words, pps):
    """Packets of 1000 bytes; the other direction has its own."""
    site.node.cli("rate", "set", "relay", "ab4", *words)
    before = site.relay("ab4")
    a, b = site.ends(4, port=PORT + 4)
    with flows.Stream(None, None, None, pps=2000, payload_bytes=972, sockets=(a, b)) as running:
        time.sleep(1)  # the burst is used up after a third of that
        received, began = running.received, time.monotonic()
        time.sleep(3)
        received, took = running.received - received, time.monotonic() - began
        lost, *others = running.stop()
    assert 0.95 * pps <= received / took <= 1.05 * pps
    assert others == [0, 0, 0]
    after = site.relay("ab4")
    assert after["b"]["drops"] - before["b"]["drops"] == lost > 1000
    assert after["b"]["packets"] - before["b"]["packets"] == running.sent - lost
    site.node.cli("rate", "set", "relay", "ab4", "1gbit", "packets", 100000)
    a, b = site.ends(4, port=PORT + 4)
    with flows.Stream(None, None, None, pps=1000, payload_bytes=972, sockets=(b, a)) as running:
        running.wait(500)
        assert running.stop() == flows.ALL_ARRIVED


def test_changes_lose_no_packet(site):
    """The relay's own limits, other relays that come and go, and another one in its place."""
    a, b = site.ends(6, port=PORT + 6)
    there = flows.Stream(None, None, None, sockets=(a, b))
    with exact(site), there:
        there.wait(200)
        for number in range(40):
            site.node.cli("rate", "set", "relay", "ab6", f"{500 + number}mbit", "packets",
                          50000 + number)
            site.node.cli("relay", "add", "other", "--port", 7000 + number, "--between",
                          *between(4), "--rate", "5mbit")
            site.node.cli("relay", "del", "other")
            assert site.node.cli("batch", "-", input="relay del ab6\nrelay add ab6 --port "
                                 f"{PORT + 6} --between {' '.join(between(6))}\n")["applied"] == 2
        there.wait(200)
        assert there.stop() == flows.ALL_ARRIVED
    assert len(site.node.cli("relay", "show")) == 4
    # Numbers come back after a grace period.
    topology.wait_for(lambda: site.node.cli("status")["tables"]["relays"]["used"] == 4, 5,
                      "the deleted relays' places are free")


def test_what_is_refused_changes_nothing(site):
    before = site.node.cli("relay", "show")
    node = site.node.namespace
    with flows.udp_socket(node, NODE[4]["a"], 5353):
        for words, says, code in [
                (f"add x --port 5353 --between {at('192.0.2.7', 1)} any", "uses UDP port 5353",
                 "EADDRINUSE"),
                (f"add x --port {PORT + 4} --between {at('192.0.2.7', 1)} any", "\"ab4\"", "EEXIST"),
                (f"add x --port 4500 --between {at('192.0.2.7', 1)} any", "of the tunnels", "EINVAL"),
                (f"add ab4 --port 9 --between {at('192.0.2.7', 1)} any", "already", "EEXIST"),
                (f"add x --port 9 --between {at(NODE[4]['b'], 1)} any", "address of this host",
                 "EINVAL"),
                (f"add x --port 9 --between {at(NODE[6]['b'], 1)} any", "address of this host",
                 "EINVAL"),
                (f"add x --port 9 --between {at('192.0.2.255', 1)} any", "broadcast", "EINVAL"),
                ("arm ab4", "both endpoints are configured", "EINVAL")]:
            with pytest.raises(topology.CliError, match=says) as refused:
                site.node.cli("relay", *words.split())
            assert refused.value.status == 1 and refused.value.error["data"]["errno"] == code
        for words, says in [("add x --port 9 --between any any", "both endpoints are any"),
                            ("add x --port 9 --between 127.0.0.1:5 any", "127.0.0.1:5"),
                            ("del nobody", "no relay \"nobody\"")]:
            with pytest.raises(topology.CliError, match=says):
                site.node.cli("relay", *words.split())
    assert site.node.cli("relay", "show") == before
    # Nor does a program of the host get a relay's port, by chance or on purpose.
    for address in ("0.0.0.0", NODE[4]["a"], "::"):
        with pytest.raises(OSError) as refused:
            flows.udp_socket(node, address, PORT + 4)
        assert refused.value.errno == errno.EADDRINUSE
    site.node.cli("relay", "add", "brief", "--port", 53, "--between", *between(4))
    site.node.cli("relay", "del", "brief")
    flows.udp_socket(node, NODE[4]["a"], 53).close()


# ---- learning -----------------------------------------------------------------------------------


def test_an_endpoint_is_learned_while_armed_and_only_then(lab):
    site = Site(lab, [{"name": "ab", "port": PORT, "between": [at(SITES[4]["a"][0], 1111), "any"]}])
    site.start()
    a, b = site.ends(4)
    second = site.socket("b", SITES[4]["b"][1], 2222, (NODE[4]["b"], PORT))
    with a, b, second:
        assert site.relay()["state"] == "unpinned"
        assert exchange(b, a, [b"too early"]) == exchange(a, b, [b"to nobody"]) == []
        assert site.node.drops() == {"relay_source_foreign": 1, "relay_endpoint_unknown": 1}

        site.node.cli("relay", "arm", "ab", "--for", "60s")
        armed = site.relay()
        assert armed["state"] == "armed" and 55 <= armed["armed_s"] <= 60
        # The known endpoint is not the one that is missing.
        a.send(b"me?")
        time.sleep(0.2)
        assert site.relay()["state"] == "armed"
        b.send(b"me!")
        topology.wait_for(lambda: site.relay()["state"] == "up", 5, "the endpoint is pinned")
        pinned = site.relay()["b"]
        assert (pinned["kind"], pinned["remote"], pinned["local"], pinned["next_hop"]["interface"]) \
            == ("pinned", at(SITES[4]["b"][0], 2222), NODE[4]["b"], "wan1")
        site.await_macs()
        for tx, rx in ((b, a), (a, b)):
            assert [payload for payload, _ in exchange(tx, rx, [b"1", b"2"])] == [b"1", b"2"]
        # Whoever comes later changes nothing.
        assert exchange(second, a, [b"and me?"]) == []
        assert site.relay()["b"]["remote"] == at(SITES[4]["b"][0], 2222)

        site.node.cli("relay", "arm", "ab", "--for", "1")
        assert site.relay()["b"]["kind"] == "any"
        topology.wait_for(lambda: site.relay()["state"] == "unpinned", 5, "the time is over")
        assert exchange(b, a, [b"too late"]) == []
        site.node.cli("relay", "arm", "ab")
        second.send(b"now me")
        topology.wait_for(lambda: site.relay()["state"] == "up", 5, "the other one is pinned")
        site.await_macs()
        assert [payload for payload, _ in exchange(second, a, [b"3"])] == [b"3"]
        assert exchange(b, a, [b"me again"]) == []


def test_a_restart_of_control_loses_nothing(lab):
    site = Site(lab, [{"name": "ab", "port": PORT, "between": [at(SITES[6]["a"][0], 1111), "any"],
                       "packets": 90000}])
    site.start()
    a, b = site.ends(6)
    site.node.cli("relay", "arm", "ab")
    b.send(b"me")
    topology.wait_for(lambda: site.relay()["state"] == "up", 5, "the endpoint is pinned")
    site.await_macs()
    site.node.cli("rate", "set", "relay", "ab", "700mbit")
    site.node.cli("relay", "add", "second", "--port", 9999, "--between", *between(4))
    before = site.relay()
    with flows.Stream(None, None, None, pps=1000, sockets=(b, a)) as running:
        running.wait(200)
        pid = site.node.pid("control")
        os.kill(pid, signal.SIGKILL)
        site.node.wait_ready()
        assert site.node.pid("control") != pid
        after = site.relay()
        assert {**after, "a": None} == {**before, "a": None}
        site.node.cli("rate", "set", "relay", "ab", "800mbit")
        running.wait(200)
        assert running.stop() == flows.ALL_ARRIVED
    assert [each["name"] for each in site.node.cli("relay", "show")] == ["ab", "second"]
    with pytest.raises(OSError):
        flows.udp_socket(site.node.namespace, "::", PORT)
    site.node.cli("relay", "del", "ab")
    flows.udp_socket(site.node.namespace, "::", PORT).close()


# ---- two relays ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", (4, 6))
def test_relays_that_point_at_each_other_do_not_circle(lab, family):
    """Four relays on two nodes, each of which sends to the next: a packet ends with its TTL."""
    names, addresses = ("one", "two"), SITES[family]["a"][:2]
    spaces = [lab.namespace(name) for name in names]
    lab.link(spaces[0], "wan0", spaces[1], "wan0", [f"{addresses[0]}/{BITS[family]}"],
             [f"{addresses[1]}/{BITS[family]}"])
    nodes = []
    for own in range(2):
        there = [at(addresses[1 - own], port) for port in (1000, 1001)]
        nodes.append(lab.node(spaces[own], {
            "interfaces": [{"name": "wan0", "role": "wan"}],
            "relays": [{"name": f"r{port}", "port": port, "between": there}
                       for port in (1000, 1001)]}))
        nodes[-1].start()
    for node in nodes:
        topology.wait_for(lambda n=node: all(hop["state"] == "valid"
                                             for hop in n.cli("status")["neighbors"]), 10, "MACs")
    packet = (Ether(dst=spaces[0].mac("wan0"), src=spaces[1].mac("wan0")) /
              (IP(src=addresses[1], dst=addresses[0], ttl=64) if family == 4 else
               IPv6(src=addresses[1], dst=addresses[0], hlim=64)) /
              UDP(sport=1000, dport=1000) / b"round and round")
    with spaces[1].socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("wan0", 0))
        raw.send(bytes(packet))
    topology.wait_for(lambda: any(node.drops() for node in nodes), 5, "the packet ends")
    time.sleep(0.3)
    assert [node.drops().get("relay_ttl_expired", 0) for node in nodes].count(1) == 1
    assert sum(sum(node.drops().values()) for node in nodes) == 1
    assert sum(each[end]["packets"] for node in nodes for each in node.cli("relay", "show")
               for end in "ab") == 63


# ---- WireGuard ----------------------------------------------------------------------------------


class WireGuard:
    """wireguard-go in both sites, each with the node as its peer."""

    def __init__(self, site, family):
        self.site, self.inner = site, {"a": "10.99.0.1", "b": "10.99.0.2"}
        keys = {name: topology.run("wg", "genkey").stdout.strip() for name in "ab"}
        public = {name: subprocess.run(["wg", "pubkey"], input=keys[name], text=True, check=True,
                                       stdout=subprocess.PIPE).stdout.strip() for name in "ab"}
        # The sockets of all wireguard-go stand in one folder of the host.
        self.ifname = {name: f"wg{name}{os.getpid()}" for name in "ab"}
        self.processes = {}
        for name, other, listen in (("a", "b", 1111), ("b", "a", 2222)):
            space, ifname = site.spaces[name], self.ifname[name]
            self.processes[name] = space.popen(
                "wireguard-go", "-f", ifname, death_signal=signal.SIGTERM,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            topology.wait_for(lambda s=space, i=ifname: s.run("wg", "show", i, check=False)
                              .returncode == 0, 10, "wireguard-go runs")
            key_path = site.lab.folder / f"{name}.wg"
            key_path.touch(mode=0o600)
            key_path.write_text(keys[name])
            space.run("wg", "set", ifname, "listen-port", listen, "private-key", key_path, "peer",
                      public[other], "allowed-ips", "10.99.0.0/24", "endpoint",
                      at(NODE[family][name], PORT))
            space.interface_up(ifname, [f"{self.inner[name]}/24"], mtu=1400)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
            process.wait(10)


def tcp_hash(sender, receiver, address, size):
    """Sends bytes over TCP; returns the hashes of what was sent and of what arrived."""
    listener = receiver.socket(socket.AF_INET)
    listener.bind((address, 5001))
    listener.listen()
    listener.settimeout(10)
    arrived = hashlib.sha256()

    def take():
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(60)
            while data := peer.recv(1 << 16):
                arrived.update(data)

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    data = random.randbytes(size)
    with listener, sender.socket(socket.AF_INET) as connection:
        connection.settimeout(60)
        connection.connect((address, 5001))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        taker.join(60)
    return hashlib.sha256(data).hexdigest(), arrived.hexdigest()


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="wireguard-go needs /dev/net/tun")
@pytest.mark.parametrize("family", (4, 6))
def test_wireguard_through_a_relay(lab, family):
    """Two real WireGuard peers that know only the node: one is configured, the other learned."""
    assert shutil.which("wireguard-go") and shutil.which("wg"), "tools/setup installs both"
    site = Site(lab, [{"name": "ab", "port": PORT,
                       "between": [at(SITES[family]["a"][0], 1111), "any"]}])
    site.start()
    site.node.cli("relay", "arm", "ab")
    wireguard = WireGuard(site, family)
    try:
        a, b = site.spaces["a"], site.spaces["b"]
        # b begins: its first handshake makes it the endpoint, the second one, 5 s later, arrives.
        topology.wait_for(lambda: b.ping(wireguard.inner["a"], 1, wait_s=1)[1], 30,
                          "the handshake is done")
        assert site.relay()["b"]["kind"] == "pinned"
        assert a.ping(wireguard.inner["b"], 20) == (20, 20)
        assert b.ping(wireguard.inner["a"], 20, size=1300) == (20, 20)
        for sender, receiver, to in ((a, b, "b"), (b, a, "a")):
            sent, arrived = tcp_hash(sender, receiver, wireguard.inner[to], 4 << 20)
            assert sent == arrived
        shown = site.relay()
        assert min(shown[end]["bytes"] for end in "ab") > 4 << 20
        assert "latest handshake" in a.run("wg", "show", wireguard.ifname["a"]).stdout
        # Nothing of it went any other way: the node's kernel saw none of it.
        assert shown["foreign_drops"] == 0
    finally:
        wireguard.stop()
