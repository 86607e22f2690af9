# SPDX-License-Identifier: BSD-2-Clause
"""A real node between the two ends of its wires, for what is measured over AF_XDP.

    ends                            node
    app0   10.1.0.2 ---- 10.1.0.1   lan0
    peer0 192.0.2.9 ---- 192.0.2.1  wan0      tunnel n leads to 10.9.<n>.0/24

Tunnels have fixed keys, so that no second node takes part in what is measured. What app0 sends to
10.9.<n>.5 leaves by wan0 as ESP.
"""

import contextlib
import json
import os
import pathlib
import struct

import topology

ETHERNET_BYTES = 14
APP, PEER, NODE = "10.1.0.2", "192.0.2.9", "192.0.2.1"


def udp_frame(destination_mac, source_mac, source, destination, inner_bytes, port=9):
    """A frame with an IPv4 packet of so many bytes."""
    def address(text):
        return bytes(map(int, text.split(".")))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, inner_bytes, 0, 0x4000, 64, 17, 0)
    ip += address(source) + address(destination)
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    udp = struct.pack(">HHHH", port, 9, inner_bytes - 20, 0)
    return (bytes.fromhex((destination_mac + source_mac).replace(":", "")) + b"\x08\x00" + ip + udp
            + bytes(inner_bytes - 28))


def spi_in(tunnel):
    return (tunnel + 1) << 10 | 77


def esp_frame(destination_mac, source_mac, spi, inner):
    """A frame with ESP in UDP from the peer, its text still in clear (see perf/flood_esp.h)."""
    padding = bytes(range(1, -(len(inner) + 2) % 4 + 1))
    text = inner + padding + bytes((len(padding), 4))
    esp = struct.pack(">IIQ", spi, 0, 0) + text + bytes(16)
    frame = bytearray(udp_frame(destination_mac, source_mac, PEER, NODE, 28 + len(esp), 4500))
    frame[36:38] = struct.pack(">H", 4500)
    frame[42:] = esp
    return bytes(frame)


def config(lab, tunnels, settings):
    """The node's configuration, with so many tunnels to one peer."""
    entries, routes = [], []
    for number in range(tunnels):
        name = f"peer{number}"
        entries.append({
            "name": name, "tenant": "blue", "remote": PEER,
            "allow": [f"10.9.{number}.0/24"],
            "foreign": {"esn": True,
                        "in": {"spi": spi_in(number),
                               "key_file": lab.secret(f"{name}-in", 40)},
                        "out": {"spi": 0xC1A20000 | number,
                                "key_file": lab.secret(f"{name}-out", 40)}}})
        routes.append({"prefix": f"10.9.{number}.0/24", "tunnel": name})
    return {**settings,
            "interfaces": [{"name": "wan0", "role": "wan"},
                           {"name": "lan0", "role": "lan", "tenant": "blue",
                            "prefixes": ["10.1.0.0/24"]}],
            "tenants": [{"name": "blue", "routes": routes}], "tunnels": entries}


class Gateway:
    def __init__(self, lab, tunnels=1, settings=None, kind=topology.Node):
        self.lab, self.tunnels, self.sequence = lab, tunnels, 1
        self.space, self.ends = lab.namespace("node"), lab.namespace("ends")
        lab.link(self.ends, "peer0", self.space, "wan0", [f"{PEER}/24"], [f"{NODE}/24"])
        lab.link(self.ends, "app0", self.space, "lan0", [f"{APP}/24"], ["10.1.0.1/24"])
        self.node = kind(lab, self.space, config(lab, tunnels, settings or {}))
        lab.nodes.append(self.node)

    def start(self):
        self.node.start()
        self.make_ready()

    def make_ready(self):
        """Returns when every tunnel carries packets."""
        for number in range(self.tunnels):
            with contextlib.suppress(topology.CliError):  # it was used before
                self.node.cli("tunnel", "first-use", f"peer{number}")
        self.node.wait_up(30)
        topology.wait_for(
            lambda: self.node.tunnel("peer0")["next_hop"]["state"] == "valid", 10,
            "the peer is found")

    def worker_cpu(self):
        return self.node.cli("status")["dataplane"]["workers"][0]["cpu"]

    def other_cpu(self):
        """Where all but the worker runs, if there is such a CPU."""
        worker = self.worker_cpu()
        return next((cpu for cpu in sorted(os.sched_getaffinity(0)) if cpu != worker), worker)

    def keep_apart(self):
        """Control stays away from the worker's CPU, if there is another one."""
        os.sched_setaffinity(self.node.pid("control"), {self.other_cpu()})

    def provider(self):
        return self.node.cli("status")["dataplane"]["aead"]

    def frame(self, inner_bytes, tunnel=0):
        return udp_frame(self.space.mac("lan0"), self.ends.mac("app0"), APP, f"10.9.{tunnel}.5",
                         inner_bytes)

    def flood_esp(self, inner_bytes, seconds, pps, destination):
        """Starts a flood out of tunnel 0 from peer0, at a rate: every packet is sealed beforehand.
        To APP it is counted at app0, to another tunnel's net at peer0."""
        inner = udp_frame("02:00:00:00:00:00", "02:00:00:00:00:00", "10.9.0.5", destination,
                          inner_bytes)[ETHERNET_BYTES:]
        packets, first = round(pps * seconds), self.sequence
        self.sequence += packets
        return Flood(self.lab, self.ends, "peer0", "app0" if destination == APP else "peer0",
                     esp_frame(self.space.mac("wan0"), self.ends.mac("peer0"), spi_in(0), inner),
                     seconds, round(pps), self.other_cpu(),
                     ("--esp", pathlib.Path(self.lab.secret("peer0-in", 40)).read_text().strip(),
                      "--packets", packets, "--first", first))

    def flood(self, inner_bytes, seconds, pps=0):
        """Starts a flood from app0 that is counted at peer0; .result() waits for its end."""
        return Flood(self.lab, self.ends, "app0", "peer0", self.frame(inner_bytes), seconds, pps,
                     self.other_cpu())


class Flood:
    """spw-perf-flood at work."""

    def __init__(self, lab, ends, to, sink, frame, seconds, pps, cpu, more=()):
        self.process = ends.popen(
            lab.build / "perf/spw-perf-flood", "--to", to, "--sink", sink, "--seconds", seconds,
            "--pps", pps, "--cpu", cpu, *more, stdin=topology.subprocess.PIPE,
            stdout=topology.subprocess.PIPE, stderr=topology.subprocess.PIPE, text=True)
        self.process.stdin.write(frame.hex())
        self.process.stdin.close()
        self.process.stdin = None
        self.seconds = seconds

    def result(self):
        """{sent, received, received_bytes, sent_pps, received_pps}"""
        out, said = self.process.communicate(timeout=self.seconds * 3 + 30)
        if self.process.returncode != 0:
            raise topology.LabError(f"spw-perf-flood: {said.strip()}")
        return json.loads(out)
