# SPDX-License-Identifier: BSD-2-Clause
"""Real work for a network of nodes: HTTP, iperf3, and what the wires and interfaces saw of it."""

import hashlib
import json
import os
import subprocess
import time

import topology

TUNNEL_PORT = 4500
ETHERNET_BYTES = 14


def http_transfer(folder, server, client, address, size_bytes, marker):
    """Fetches a file with curl; returns (equal hashes, text)."""
    path = folder / "file"
    # The marker stands in every packet's worth of it, for whoever looks at the wires.
    block = 512 - len(marker)
    path.write_bytes(b"".join(os.urandom(block) + marker for _ in range(size_bytes // 512)))
    sent = hashlib.sha256(path.read_bytes()).hexdigest()
    process = server.popen("/usr/bin/python3", "-m", "http.server", "8080", "--bind", address,
                           "--directory", folder, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    wait_listening(server, 8080)
    host = f"[{address}]" if ":" in address else address
    began = time.monotonic()
    fetched = folder / "fetched"
    client.run("curl", "-sS", "--fail", "--globoff", "--max-time", 60, "-o", fetched,
               f"http://{host}:8080/file", timeout=70)
    took = time.monotonic() - began
    process.terminate()
    process.wait()
    received = hashlib.sha256(fetched.read_bytes()).hexdigest()
    fetched.unlink()
    return (sent == received, f"{'equal' if sent == received else 'different'}, "
            f"{size_bytes * 8 / took / 1e6:.0f} Mbit/s")


def wait_listening(namespace, port):
    topology.wait_for(lambda: namespace.run("ss", "-Hltn", f"sport = :{port}").stdout.strip(), 10,
                      f"port {port} listens")


class Iperf:
    """One iperf3 transfer, running from the start."""

    def __init__(self, server, client, address, seconds, *options):
        self.server = server.popen("iperf3", "-s", "-1", "-B", address,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_listening(server, 5201)
        self.seconds = seconds
        self.client = client.popen("iperf3", "-J", "-c", address, "-t", seconds, *options,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self):
        """The "end" of iperf3's report."""
        text, errors = self.client.communicate(timeout=self.seconds + 30)
        self.server.wait(10)
        report = json.loads(text) if text.strip() else {"error": errors}
        if "error" in report:
            raise topology.LabError(f"iperf3: {report['error']}")
        return report["end"]


def socket_overflows(namespace):
    """UDP packets that arrived and that a receiver was too slow for."""
    rows = [line.split() for line in namespace.run("cat", "/proc/net/snmp").stdout.splitlines()
            if line.startswith("Udp:")]
    return int(dict(zip(rows[0], rows[1]))["RcvbufErrors"])


class Meter:
    """What an interface received, in IP bytes."""

    def __init__(self, namespace, ifname):
        self.namespace, self.ifname = namespace, ifname

    def _read(self):
        done = self.namespace.run("ip", "-j", "-s", "link", "show", self.ifname)
        seen = json.loads(done.stdout)[0]["stats64"]["rx"]
        return time.monotonic(), seen["bytes"] - ETHERNET_BYTES * seen["packets"]

    def mbit_over(self, seconds):
        began, bytes_before = self._read()
        time.sleep(seconds)
        ended, bytes_after = self._read()
        return (bytes_after - bytes_before) * 8 / (ended - began) / 1e6


class WireAudit:
    """Looks through captures of wires, tagged or not, for what must never be there."""

    def __init__(self, marker):
        self.marker = marker
        self.packets = self.controls = self.foreign = self.readable = self.repeated = 0

    def read(self, capture):
        seen = set()  # of one wire: the next one carries other SAs
        for frame in capture.frames():
            data = bytes(frame)
            if self.marker in data:
                self.readable += 1
            ether_type, ip = data[12:14], ETHERNET_BYTES
            if ether_type == b"\x81\x00":
                ether_type, ip = data[16:18], ETHERNET_BYTES + 4
            # Neighbour discovery and group membership are the kernels' own: their hop limits tell.
            if ether_type == b"\x08\x06" or (ether_type == b"\x86\xdd" and data[ip + 6] in (0, 58)
                                             and data[ip + 7] in (1, 255)):
                continue
            self._datagram(seen, data, ip, ether_type)

    def _datagram(self, seen, data, ip, ether_type):
        if ether_type == b"\x08\x00":
            udp = ip + (data[ip] & 15) * 4
            is_udp, destination = data[ip + 9] == 17, data[ip + 16:ip + 20]
        else:
            udp = ip + 40
            is_udp = ether_type == b"\x86\xdd" and data[ip + 6] == 17
            destination = data[ip + 24:ip + 40]
        if not is_udp or int.from_bytes(data[udp + 2:udp + 4], "big") != TUNNEL_PORT:
            self.foreign += 1
            return
        spi, iv = data[udp + 8:udp + 12], data[udp + 16:udp + 24]
        if spi == bytes(4):
            self.controls += 1
            return
        self.packets += 1
        key = destination + spi + iv
        self.repeated += key in seen
        seen.add(key)

    def ok(self):
        return self.packets > 0 and not (self.foreign or self.readable or self.repeated)

    def __str__(self):
        return (f"{self.packets} ESP and {self.controls} control packets, {self.foreign} others, "
                f"{self.readable} readable, {self.repeated} repeated")
