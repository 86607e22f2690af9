# SPDX-License-Identifier: BSD-2-Clause
"""AF_XDP over veth: plain forwarding beside testpmd on the same ports, and the node with ESP.

One forwarder at a time runs on one CPU, generator and sink on another. Single runs wander by a
quarter, so ours and testpmd take turns, and what counts is the median of the pairs' ratios. Both
join the same small program on the interfaces (forward.bpf.o) with the same rings and bursts.
"""

import contextlib
import json
import statistics
import subprocess
import threading

import gateway
import machine
import rows
import topology

RING, BURST, MTU = 2048, 64, 1500
PATIENCE_S = 30  # for a program to start or to answer
# What is to be decrypted is prepared, a packet's bytes for each packet: for so long, at so many
# times the rate at which the node encrypts.
ESP_S, OVERLOAD = 0.4, 1.5
LAST_WORDS = 12  # lines of a program that failed
# testpmd without hugepages starts every buffer on a page of its own, and the driver takes as much
# memory as all buffers together need: buffers that fill a page lie inside it. With smaller ones
# nearly half were outside, and the kernel refused them.
TESTPMD_BUFFER_BYTES, TESTPMD_BUFFERS = 3840, 16384


class Ports:
    """v0 and v1 in a namespace of the forwarder, their other ends p0 and p1 in another."""

    def __init__(self, lab):
        self.lab = lab
        self.space, self.ends = lab.namespace("forward"), lab.namespace("ends")
        for number in range(2):
            lab.link(self.space, f"v{number}", self.ends, f"p{number}", mtu=MTU)
        self.worker, others = machine.cpus()
        self.generator = others[0]

    def attach(self):
        """A fresh program on both: who used the last one may have taken it away."""
        for name in ("v0", "v1"):
            pin = topology.BPFFS / f"{self.lab.id}-{name}"
            try:
                topology.run("bpftool", "prog", "load", self.lab.build / "perf/forward.bpf.o", pin)
                self.space.run("bpftool", "net", "attach", "xdp", "pinned", pin, "dev", name,
                               "overwrite")
            finally:
                pin.unlink(missing_ok=True)

    def flood(self, size, seconds):
        """Packets per second that came through."""
        frame = gateway.udp_frame("02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1",
                                  "10.0.0.2", size)
        return gateway.Flood(self.lab, self.ends, "p0", "p1", frame, seconds, 0,
                             self.generator).result()["received_pps"]


class Forwarder:
    """A program that forwards between v0 and v1 while its `with` block lasts."""

    def __init__(self, ports, name, command, ready):
        self.name, self.ready = name, ready
        ports.attach()
        self.process = ports.space.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True)
        self.said = []

    def __enter__(self):
        self.read_until(self.ready)
        return self

    def read_until(self, word):
        alarm = threading.Timer(PATIENCE_S, self.process.kill)
        alarm.start()
        try:
            for line in self.process.stdout:
                self.said.append(line)
                if word in line:
                    return line
        finally:
            alarm.cancel()
        raise topology.LabError(f"{self.name} did not say '{word}'; {self.last_words()}")

    def ask(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.said += self.process.stdout  # all that is left: nobody writes any more
            raise topology.LabError(f"{self.name} is gone; {self.last_words()}") from None

    def last_words(self):
        """How it ended, if it has, and what it said."""
        try:
            status = self.process.wait(1)
            ended = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
        except subprocess.TimeoutExpired:
            ended = "it still runs"
        return f"{ended}, having said\n{''.join(self.said[-LAST_WORDS:]).rstrip()}"

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):  # a last question that nobody reads
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_ours(ports, size, seconds):
    """(packets per second, cycles per packet while there was work)"""
    command = [ports.lab.build / "perf/spw-perf-forward", ports.worker, "v0", "v1"]
    with Forwarder(ports, "spw-perf-forward", command, '"packets"') as forwarder:
        pps = ports.flood(size, seconds)
        forwarder.ask()
        seen = json.loads(forwarder.read_until('"packets"'))
    if not seen["busy_packets"]:
        raise rows.Broken(f"afxdp: spw-perf-forward was never busy: {seen}")
    return pps, seen["busy_cycles"] / seen["busy_packets"]


def run_testpmd(ports, size, seconds):
    # Line by line: it would keep to itself that it is ready.
    command = ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{ports.generator},1@{ports.worker}",
               "--main-lcore", 0, "--no-huge", "-m", 256, "--no-pci", "--no-telemetry",
               "--no-shconf", "--iova-mode=va", "--file-prefix", f"{ports.lab.id}-testpmd"]
    for number in range(2):
        command += ["--vdev", f"net_af_xdp{number},iface=v{number},start_queue=0,busy_budget=0,"
                              "force_copy=1"]
    command += ["--", "--nb-cores=1", f"--rxd={RING}", f"--txd={RING}", f"--burst={BURST}",
                f"--mbuf-size={TESTPMD_BUFFER_BYTES}", f"--total-num-mbufs={TESTPMD_BUFFERS}",
                "--forward-mode=mac", "--record-core-cycles"]
    with Forwarder(ports, "dpdk-testpmd", command, "Press enter to exit") as forwarder:
        pps = ports.flood(size, seconds)
        forwarder.ask()
        line = forwarder.read_until("cycles/packet=")
    return pps, float(line.split("cycles/packet=")[1].split()[0])


def measure_plain(lab, size, pairs, seconds, note):
    ports, ours, peer = Ports(lab), [], []
    for number in range(pairs):
        note(f"plain, {size} bytes, pair {number + 1} of {pairs}")
        # Whoever comes first in a pair has no advantage over all of them.
        for run, found in ((run_ours, ours), (run_testpmd, peer))[::1 if number % 2 else -1]:
            found.append(run(ports, size, seconds))
    ratios = [one[0] / other[0] for one, other in zip(ours, peer)]
    pps, cycles = (statistics.median(values) for values in zip(*ours))
    peer_pps, peer_cycles = (statistics.median(values) for values in zip(*peer))
    return {"bench": "afxdp", "mode": "plain", "size": size, "workers": 1, "pairs": pairs,
            "mpps": pps / 1e6, "cycles_per_packet": cycles, "peer": "testpmd",
            "peer_value": peer_pps / 1e6, "peer_cycles": peer_cycles,
            "ratio": statistics.median(ratios), "ratio_low": min(ratios),
            "ratio_high": max(ratios)}


def esp_row(site, mode, size, pps):
    return {"bench": "afxdp", "mode": mode, "size": size, "workers": 1,
            "provider": site.provider(), "tunnels": site.tunnels, "mpps": pps / 1e6,
            "inner_gbps": pps * size * 8 / 1e9}


def measure_esp(site, size, seconds, times, note):
    """The node encrypting what comes in on its lan, decrypting what comes from a peer, and both, as
    fast as one CPU does."""
    note(f"encap, {size} bytes, {site.provider()}")
    pps = statistics.median(site.flood(size, seconds).result()["received_pps"]
                            for _ in range(times))
    yield esp_row(site, "encap", size, pps)
    offered = OVERLOAD * pps
    for mode, destination in (("decap", gateway.APP), ("hop", "10.9.1.5")):
        note(f"{mode}, {size} bytes, {site.provider()}")
        site.flood_esp(size, 0.1, 1000, destination).result()  # its next hop is found
        pps = statistics.median(
            site.flood_esp(size, ESP_S, offered, destination).result()["received_pps"]
            for _ in range(times))
        yield esp_row(site, mode, size, pps)


def measure(context):
    sizes = (64,) if context.quick else (64, 512, 1408)
    pairs, seconds = (3, 0.4) if context.quick else (9, 1.0)
    for size in sizes:
        with topology.Lab("spw-bench", build=context.build) as lab:
            yield measure_plain(lab, size, pairs, seconds, context.note)
    # The slower provider as well, where there is time.
    for provider in ("auto",) if context.quick else ("ipsec-mb", "openssl"):
        with topology.Lab("spw-bench", build=context.build) as lab:
            site = gateway.Gateway(lab, tunnels=2, settings={"aead": provider})
            site.start()
            for size in sizes:
                yield from measure_esp(site, size, seconds, 1 if context.quick else 3,
                                       context.note)
