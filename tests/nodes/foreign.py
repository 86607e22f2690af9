# SPDX-License-Identifier: BSD-2-Clause
"""The far end of a tunnel with fixed keys, in Python: it makes ESP packets of any kind, good or
bad, and reads those of a node.

A Site is one node between a foreign peer and a host: peer - node - app. Frames go over raw sockets
of the peer and of app, so that nothing of the kernel's stands between the test and the wire.
"""

import itertools
import pathlib
import select
import socket
import struct
import time
import types

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import topology

conf.verb = 0

PORT = 4500
PEER, PEER6 = "192.0.2.9", "2001:db8:a::9"
NODE, NODE6 = "192.0.2.1", "2001:db8:a::1"
APP, APP6 = "10.1.0.2", "fd00:1::2"
ETH_P_ALL = 3
PACKET_OUTGOING = 4
IPV4, IPV6, NONE = 4, 41, 59  # next headers


class Tap:
    """A raw socket on an interface: sends frames, and hands out those that came in."""

    def __init__(self, namespace, ifname):
        self.socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((ifname, ETH_P_ALL))
        self.socket.setblocking(False)

    def send(self, frame):
        select.select([], [self.socket], [], 5)
        self.socket.send(bytes(frame))

    def frames(self, timeout_s=0.0):
        """Those that have come in, oldest first; waits for the first of them."""
        select.select([self.socket], [], [], timeout_s)
        while True:
            try:
                frame, where = self.socket.recvfrom(65535)
            except BlockingIOError:
                return
            if where[2] != PACKET_OUTGOING:
                yield frame

    def drain(self):
        for _ in self.frames():
            pass

    def close(self):
        self.socket.close()


class Sa:
    """One direction of a tunnel with fixed keys."""

    def __init__(self, spi, secret, esn=False, outer=4):
        material = bytes.fromhex(pathlib.Path(secret).read_text().strip())
        self.spi, self.key, self.salt, self.esn = spi, material[:-4], material[-4:], esn
        self.outer = outer

    def aad(self, sequence):
        high = struct.pack(">I", sequence >> 32) if self.esn else b""
        return struct.pack(">I", self.spi) + high + struct.pack(">I", sequence & 0xFFFFFFFF)

    def seal(self, sequence, text, iv=None):
        """An ESP packet around any plain text, which ends with the trailer."""
        iv = iv or struct.pack(">Q", sequence ^ 0x0123456789ABCDEF)
        return (struct.pack(">II", self.spi, sequence & 0xFFFFFFFF) + iv +
                AESGCM(self.key).encrypt(self.salt + iv, bytes(text), self.aad(sequence)))

    def esp(self, sequence, inner, next_header=None):
        inner = bytes(inner)
        if next_header is None:
            next_header = IPV4 if inner[0] >> 4 == 4 else IPV6
        padding = bytes(range(1, 1 + -(len(inner) + 2) % 4))
        return self.seal(sequence, inner + padding + bytes([len(padding), next_header]))

    def open(self, sequence, esp):
        """Returns the inner packet and the next header; raises InvalidTag."""
        text = AESGCM(self.key).decrypt(self.salt + esp[8:16], esp[16:], self.aad(sequence))
        return text[:-2 - text[-2]], text[-1]

    def scapy(self, sequence, source, target):
        """The same as scapy sees it."""
        header = (IP(src=source, dst=target) if self.outer == 4 else
                  IPv6(src=source, dst=target))
        return SecurityAssociation(ESP, spi=self.spi, crypt_algo="AES-GCM",
                                   crypt_key=self.key + self.salt, tunnel_header=header,
                                   nat_t_header=UDP(sport=PORT, dport=PORT), esn_en=self.esn,
                                   esn=sequence >> 32)


class Tunnel(types.SimpleNamespace):
    """name, number, to_node and to_peer (Sa), prefix and prefix6 behind the peer."""

    def inner(self, payload=b"", family=4, ttl=64, **fields):
        """A UDP packet from behind the peer to app."""
        ip = (IP(src=f"10.9.{self.number}.5", dst=APP, ttl=ttl, **fields) if family == 4 else
              IPv6(src=f"fd00:9:{self.number}::5", dst=APP6, hlim=ttl, **fields))
        return ip / UDP(sport=7, dport=9, chksum=0 if family == 4 else None) / Raw(payload)


def aged(packet):
    """A packet as one router passes it on."""
    packet = bytes(packet)
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    ip = IP(packet)
    ip.ttl -= 1
    del ip.chksum
    return bytes(ip)


def _tunnel(lab, number, mtu, bits, esn, outer):
    """A tunnel, and its entry in the node's config."""
    name = f"peer{number}"
    files = [lab.secret(f"{name}-{way}", bits // 4 + 8) for way in ("in", "out")]
    spi_in, spi_out = (number + 1) << 10 | 77, 0xC1A20000 | number
    tunnel = Tunnel(name=name, number=number, outer=outer, prefix=f"10.9.{number}.0/24",
                    prefix6=f"fd00:9:{number}::/64", to_node=Sa(spi_in, files[0], esn, outer),
                    to_peer=Sa(spi_out, files[1], esn, outer))
    return tunnel, {
        "name": name, "tenant": "blue", "remote": PEER if outer == 4 else PEER6, "mtu": mtu,
        "allow": [tunnel.prefix, tunnel.prefix6],
        "foreign": {"esn": esn, "in": {"spi": spi_in, "key_file": files[0]},
                    "out": {"spi": spi_out, "key_file": files[1]}}}


class Site:
    """peer - node - app. tunnels: (bits, esn, outer family) of each, numbered from 0."""

    def __init__(self, lab, tunnels=((128, False, 4),), lan_mtu=1500, tunnel_mtu=1400,
                 settings=None):
        self.lab = lab
        self.peer_space, self.app_space = lab.namespace("peer"), lab.namespace("app")
        space = lab.namespace("node")
        lab.link(self.peer_space, "peer0", space, "wan0", [f"{PEER}/24", f"{PEER6}/64"],
                 [f"{NODE}/24", f"{NODE6}/64"])
        lab.link(self.app_space, "app0", space, "lan0", [f"{APP}/24", f"{APP6}/64"],
                 ["10.1.0.1/24", "fd00:1::1/64"], mtu=lan_mtu)
        made = [_tunnel(lab, number, tunnel_mtu, *what) for number, what in enumerate(tunnels)]
        self.tunnels = [tunnel for tunnel, _ in made]
        self.node = lab.node(space, {
            **(settings or {}),
            "interfaces": [{"name": "wan0", "role": "wan"},
                           {"name": "lan0", "role": "lan", "tenant": "blue",
                            "prefixes": ["10.1.0.0/24", "fd00:1::/64"]}],
            "tenants": [{"name": "blue", "routes": [
                {"prefix": prefix, "tunnel": tunnel.name} for tunnel in self.tunnels
                for prefix in (tunnel.prefix, tunnel.prefix6)]}],
            "tunnels": [config for _, config in made]})
        # The kernels of peer and app only resolve addresses: a port that is bound, but never
        # read, sends no ICMP errors.
        self.silent = []
        for port_space, port in ((self.peer_space, PORT), (self.app_space, 9)):
            quiet = port_space.socket(socket.AF_INET6, socket.SOCK_DGRAM, 0)
            quiet.bind(("::", port))
            self.silent.append(quiet)
        self.peer, self.app = Tap(self.peer_space, "peer0"), Tap(self.app_space, "app0")
        self.serial = itertools.count(1)
        self.wan_mac, self.lan_mac = space.mac("wan0"), space.mac("lan0")
        self.peer_mac, self.app_mac = self.peer_space.mac("peer0"), self.app_space.mac("app0")

    def start(self, sequence=1):
        """Starts the node and its tunnels as never used before; sequence: of the first packet."""
        self.node.start()
        for tunnel in self.tunnels:
            self.node.cli("tunnel", "first-use", tunnel.name)
        self.node.wait_up()
        self.next = {tunnel.name: sequence for tunnel in self.tunnels}
        self.find_app()

    def find_app(self):
        """app and peer become known to the node: the first packets to a new neighbour are lost."""
        topology.wait_for(lambda: all(
            self.pass_on(self.tunnels[0].inner(b"who is there?", family)) for family in (4, 6)),
            10, "app is found")
        topology.wait_for(lambda: all(self.node.tunnel(tunnel.name)["next_hop"]["state"] == "valid"
                                      for tunnel in self.tunnels), 10, "the peer is found")

    def close(self):
        for each in [self.peer, self.app, *self.silent]:
            each.close()

    # ---- from the peer to app ----

    def sequence(self, tunnel=None):
        """The next sequence number from the peer."""
        name = (tunnel or self.tunnels[0]).name
        self.next[name] += 1
        return self.next[name] - 1

    def room(self, count, tunnel=None):
        """Waits until so many more sequence numbers are within the node's reserve."""
        name = (tunnel or self.tunnels[0]).name
        wanted = self.next[name] + count
        topology.wait_for(lambda: self.node.tunnel(name)["sa"]["reserve"]["rx_limit"] >= wanted,
                          5, f"the reserve of {name} reaches {wanted}", 0.02)

    def datagram(self, payload, family=4, source=None, sport=PORT, dport=PORT, **fields):
        """A frame to the node's wan with a UDP datagram."""
        ip = (IP(src=source or PEER, dst=NODE, **fields) if family == 4 else
              IPv6(src=source or PEER6, dst=NODE6, **fields))
        return bytes(Ether(src=self.peer_mac, dst=self.wan_mac) / ip /
                     UDP(sport=sport, dport=dport, chksum=None if family == 6 else 0) /
                     Raw(payload))

    def sealed(self, inner, sequence=None, tunnel=None, **options):
        """A frame to the node with an inner packet under a sequence number."""
        tunnel = tunnel or self.tunnels[0]
        sequence = self.sequence(tunnel) if sequence is None else sequence
        return self.datagram(tunnel.to_node.esp(sequence, inner, **options), tunnel.outer)

    def arrived(self, timeout_s=0.0):
        """Inner packets that app got from behind the peer, in order."""
        for frame in self.app.frames(timeout_s):
            ip = frame[14:]
            if (frame[12:14] == b"\x08\x00" and ip[12:14] == b"\x0a\x09" or
                    frame[12:14] == b"\x86\xdd" and ip[8:12] == b"\xfd\x00\x00\x09"):
                assert frame[:6] == bytes.fromhex(self.app_mac.replace(":", ""))
                assert frame[6:12] == bytes.fromhex(self.lan_mac.replace(":", ""))
                yield ip

    def pass_on(self, inner, tunnel=None, timeout_s=1):
        """Sends one good packet; returns whether app got it."""
        return self.pass_all([self.sealed(inner, tunnel=tunnel)], timeout_s) == [aged(inner)]

    def pass_all(self, frames, timeout_s=2):
        """Sends frames, then one good packet that is the last to arrive: what came before it.

        One worker takes one queue in order, so everything that the frames do has been done when
        the last packet is there, and authenticated traffic has gone on."""
        self.app.drain()
        last = self.tunnels[0].inner(b"the last of %d" % next(self.serial))
        for frame in frames:
            self.peer.send(frame)
        self.peer.send(self.sealed(last))
        got, deadline = [], time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for packet in self.arrived(0.1):
                if packet == aged(last):
                    return got
                got.append(packet)
        return None

    def refuse(self, frames, **drops):
        """Nothing of the frames is forwarded, each is counted once under the reasons given."""
        before = self.node.drops()
        assert self.pass_all(frames) == [], "something was forwarded, or good traffic stopped"
        assert self.new_drops(before) == drops

    def new_drops(self, before):
        return {reason: packets - before.get(reason, 0)
                for reason, packets in self.node.drops().items()
                if packets != before.get(reason, 0)}

    # ---- from app to the peer ----

    def emit(self, inners, tunnel, timeout_s=2):
        """app sends packets to behind the peer; returns the ESP packets that the peer got, as
        (sequence number's low half, ESP packet, outer packet)."""
        self.peer.drain()
        for inner in inners:
            kind = 0x0800 if bytes(inner)[0] >> 4 == 4 else 0x86DD
            self.app.send(Ether(src=self.app_mac, dst=self.lan_mac, type=kind) / Raw(bytes(inner)))
        got, deadline = [], time.monotonic() + timeout_s
        while len(got) < len(inners) and time.monotonic() < deadline:
            for frame in self.peer.frames(0.1):
                outer = Ether(frame).payload
                if UDP not in outer or outer[UDP].dport != PORT:
                    continue
                esp = bytes(outer[UDP].payload)
                if esp[:4] == struct.pack(">I", tunnel.to_peer.spi):
                    got.append((struct.unpack(">I", esp[4:8])[0], esp, outer))
        return got

    def outbound(self, tunnel, payload=b"", family=4):
        """A UDP packet from app to behind the peer."""
        ip = (IP(src=APP, dst=f"10.9.{tunnel.number}.5") if family == 4 else
              IPv6(src=APP6, dst=f"fd00:9:{tunnel.number}::5"))
        return ip / UDP(sport=9, dport=7) / Raw(payload)

    # ---- state ----

    def reserve_path(self, tunnel):
        return (pathlib.Path(self.lab.environment["SPW_STATE_DIR"]) / self.node.name /
                f"{tunnel.name}.reserve")

    def reserve(self, tunnel):
        return self.node.tunnel(tunnel.name)["sa"]["reserve"]
