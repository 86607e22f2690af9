# SPDX-License-Identifier: BSD-2-Clause
"""Numbered UDP packets through whole nodes, and what the nodes counted of them.

A Stream tells exactly what was lost, doubled, reordered or damaged. counted() and changes() show
what a stretch of traffic has added to a node's counters, so that a test can name all of it.
"""

import collections
import secrets
import socket
import struct
import threading
import time

import topology

SO_RCVBUFFORCE = 33  # asm-generic/socket.h
IP_RECVTTL, IPV6_RECVHOPLIMIT = 12, 51  # linux/in.h, linux/in6.h
ETHERNET_BYTES, UDP_BYTES = 14, 8
NUMBER = struct.Struct("!8sQ")  # which stream, which packet

Arrivals = collections.namedtuple("Arrivals", "lost doubled reordered damaged")
ALL_ARRIVED = Arrivals(0, 0, 0, 0)


def ip_bytes(address):
    """Of an IP header of the address's family."""
    return 40 if ":" in address else 20


def esp_frame_bytes(inner_bytes, outer, vlan=False):
    """Of the Ethernet frame that carries an inner packet, outer: 4 or 6 (RFC 4303 2.4)."""
    text = inner_bytes + 2 + -(inner_bytes + 2) % 4
    return ETHERNET_BYTES + 4 * vlan + {4: 20, 6: 40}[outer] + UDP_BYTES + 16 + text + 16


def udp_socket(namespace, address, port=0, bind=True):
    """A UDP socket that is bound to the address, port 0: on a free port; with room for all that a
    test sends, so that what does not arrive was lost on the way."""
    sock = namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                            socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    if bind:
        sock.bind((address, port))
    return sock


def deliver(sender, receiver, address, payloads, ttl=64, wait_s=5, settle_s=0.3):
    """Sends payloads to an address of the receiver; returns [(payload, TTL)] of what arrived,
    waiting for as many and then a little for more."""
    with udp_socket(receiver, address) as rx, udp_socket(sender, address, bind=False) as tx:
        if ":" in address:
            rx.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
            tx.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            rx.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            tx.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        tx.connect(rx.getsockname()[:2])
        for payload in payloads:
            tx.send(payload)
        return [(payload, int.from_bytes(ancillary[0][2][:4], "little"))
                for payload, ancillary in receive(rx, len(payloads), wait_s, settle_s)]


def receive(rx, expected_cnt, wait_s=5, settle_s=0.3):
    """[(payload, ancillary data)] of what arrives at a socket: waits for as many as expected, then
    a little for more."""
    arrived, deadline = [], time.monotonic() + wait_s
    while time.monotonic() < deadline:
        rx.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            arrived.append(rx.recvmsg(65535, 64)[:2])
        except TimeoutError:
            break
        if len(arrived) >= expected_cnt:
            deadline = time.monotonic() + settle_s
    return arrived


class Stream:
    """UDP at a steady rate from one namespace to an address of another, from `with` to stop().
    sockets: bound ones to take in place of those, (tx, rx); tx is connected."""

    def __init__(self, sender, receiver, address, pps=2000, payload_bytes=200, sockets=None):
        self.pps, self.payload_bytes = pps, payload_bytes
        self.name = secrets.token_bytes(8)
        if sockets:
            self.tx, self.rx = sockets
        else:
            self.rx = udp_socket(receiver, address)
            self.tx = udp_socket(sender, address, bind=False)
            self.tx.connect(self.rx.getsockname()[:2])
        self.rx.settimeout(0.1)
        self.sent = self.received = self.doubled = self.reordered = self.damaged = 0
        self.arrived = bytearray()  # by number: how often
        self.last_arrival_s = None
        self.longest_gap_s = 0.0
        self.sending = self.receiving = True
        self.threads = [threading.Thread(target=target, daemon=True)
                        for target in (self._send, self._receive)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.sending = self.receiving = False
        for thread in self.threads:
            thread.join()
        self.tx.close()
        self.rx.close()

    def _payload(self, number):
        head = NUMBER.pack(self.name, number)
        return head + bytes([number & 0xff]) * (self.payload_bytes - len(head))

    def _send(self):
        began = time.monotonic()
        while self.sending:
            due = int((time.monotonic() - began) * self.pps)
            # After a pause of this process no burst makes up for it: that would be another test.
            if due > self.sent + 64:
                began = time.monotonic() - self.sent / self.pps
                continue
            while self.sent < due:
                self.tx.send(self._payload(self.sent))
                self.sent += 1
            time.sleep(0.001)

    def _receive(self):
        highest = -1
        while self.receiving:
            try:
                payload = self.rx.recv(65535)
            except TimeoutError:
                continue
            now = time.monotonic()
            if self.last_arrival_s is not None:
                self.longest_gap_s = max(self.longest_gap_s, now - self.last_arrival_s)
            self.last_arrival_s = now
            if len(payload) < NUMBER.size:
                self.damaged += 1
                continue
            number = NUMBER.unpack_from(payload)[1]
            if payload != self._payload(number):
                self.damaged += 1
                continue
            if number >= len(self.arrived):
                self.arrived.extend(bytes(number + 1 - len(self.arrived)))
            self.doubled += self.arrived[number] > 0
            self.received += self.arrived[number] == 0
            self.arrived[number] = 1
            self.reordered += number < highest
            highest = max(highest, number)

    def wait(self, packets, timeout_s=10):
        """Until that many more have arrived."""
        target = self.received + packets
        topology.wait_for(lambda: self.received >= target, timeout_s,
                          f"{packets} more packets of a stream arrive")

    def stop(self):
        """Ends the sending, and waits for what is under way; returns the Arrivals."""
        self.sending = False
        self.threads[0].join()
        deadline = time.monotonic() + 2
        while self.received < self.sent and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)  # for doubles
        self.receiving = False
        self.threads[1].join()
        return Arrivals(self.sent - self.received, self.doubled, self.reordered, self.damaged)


# ---- counters -----------------------------------------------------------------------------------

TUNNEL_COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_drops", "tx_drops")
# Not among them: what passes to the kernel and to control, as that comes at any time.
INTERFACE_COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "steered", "dropped")


def counted(node):
    """All that a node counts of its tunnels' packets: {"blue-relay rx_packets": 17, ...}."""
    counters = {f"{tunnel['name']} {key}": tunnel[key] for tunnel in node.cli("tunnel", "list")
                for key in TUNNEL_COUNTERS}
    counters |= {f"{interface['name']} {key}": interface[key]
                 for interface in node.cli("status")["interfaces"] for key in INTERFACE_COUNTERS}
    return counters | {f"drop {drop['reason']}": drop["packets"] for drop in node.cli("drops")}


def changes(node, before):
    """What has changed in counted(node) since `before`, and by how much."""
    return {key: value - before.get(key, 0) for key, value in counted(node).items()
            if value != before.get(key, 0)}


def carried(way_in, way_out, packets, inner_bytes, outer):
    """The changes that packets of one size make in a node that carries them from one interface or
    tunnel to another. A way is an interface's name, or (interface, tunnel)."""
    expected = {}
    for way, verb in ((way_in, "rx"), (way_out, "tx")):
        interface, tunnel = (way, None) if isinstance(way, str) else way
        frame = esp_frame_bytes(inner_bytes, outer) if tunnel else ETHERNET_BYTES + inner_bytes
        expected[f"{interface} {verb}_packets"] = packets
        expected[f"{interface} {verb}_bytes"] = packets * frame
        if verb == "rx":
            expected[f"{interface} steered"] = packets
        if tunnel:
            expected[f"{tunnel} {verb}_packets"] = packets
            expected[f"{tunnel} {verb}_bytes"] = packets * inner_bytes
    return expected


def add_up(*changes_each):
    total = collections.Counter()
    for each in changes_each:
        total.update(each)
    return dict(total)


def learn_hosts(net):
    """Has the gateways learn the MACs of the apps, which costs the first packets to them."""
    for tenant in net.app1:
        for family in (4, 6):
            topology.wait_for(
                lambda t=tenant, f=family: net.app1[t].ping(
                    net.address("app2", t, f), 1, wait_s=0.3)[1], 10,
                f"the first ping of {tenant}, IPv{family}")
