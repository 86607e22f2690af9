# SPDX-License-Identifier: BSD-2-Clause
"""spillway-pktgen against a whole node, and over every kind of port that can be had without
hardware: what it says it sent, got back and lost is what the node counted.

The generator has a namespace with both ends, and plays all hosts itself: gen0 is the lan, gen1 the
tunnels' peer.
"""

import json
import os
import shutil
import signal
import subprocess

import pytest
import topology

WAN = {4: ("198.18.0.1", "198.18.0.2"), 6: ("2001:2::1", "2001:2::2")}  # node, peer
LAN = {4: ("198.19.0.1", "198.19.0.2-198.19.0.5", "198.19.0.0/24"),
       6: ("fd00:19::1", "fd00:19::2-fd00:19::5", "fd00:19::/64")}
WAN_BITS, LAN_BITS = {4: 24, 6: 64}, {4: 24, 6: 64}
CORES = sorted(os.sched_getaffinity(0))


def behind(number, family):
    """The prefix behind a tunnel."""
    return f"10.64.{number}.0/24" if family == 4 else f"fd00:64:{number}::/112"


def pktgen(lab, namespace, *words, status=0):
    """One run; returns its JSON object, or with another exit status what it says."""
    done = namespace.run(lab.build / "perf/pktgen/spillway-pktgen", "--json", *words, check=False,
                         timeout=120)
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) if status == 0 else done.stderr


class Bench:
    """A node with tunnels of fixed keys, between the generator's two ports: interfaces, or memifs,
    of which the node is the server."""

    def __init__(self, lab, tunnels=4, outer=4, inner=4, hop=False, memif=False):
        self.lab, self.outer, self.inner = lab, outer, inner
        self.gen, space = lab.namespace("gen"), lab.namespace("node")
        self.ports, devices = ["gen0", "gen1"], [{}, {}]
        for number, (ifname, addresses) in enumerate((
                ("lan0", [f"{LAN[f][0]}/{LAN_BITS[f]}" for f in LAN]),
                ("wan0", [f"{WAN[f][0]}/{WAN_BITS[f]}" for f in WAN]))):
            if not memif:
                lab.link(self.gen, self.ports[number], space, ifname, (), addresses)
                continue
            space.run("ip", "tuntap", "add", "dev", ifname, "mode", "tap", "multi_queue")
            space.interface_up(ifname, addresses)
            name = f"net_memif{number},role={{}},socket={lab.folder / ifname},socket-abstract=no"
            devices[number] = {"device": name.format("server")}
            self.ports[number] = name.format("client")
        self.names = [f"t{number}" for number in range(tunnels)]
        self.sas = lab.folder / "sas"
        node, peer = WAN[outer]
        lines, made = [], []
        for number, name in enumerate(self.names):
            keys = [lab.secret(f"{name}-{way}", 40) for way in ("in", "out")]
            spis = [(number + 1) << 10 | 5, 0xC1000000 + number]
            # hop: tunnel n leads on into tunnel n + 1, else to the lan.
            there = behind(number ^ 1, inner) if hop else LAN[inner][1]
            lines += [f"tx {spis[0]:#x} {keys[0]} no {peer} {node} {behind(number, inner)} {there}",
                      f"rx {spis[1]:#x} {keys[1]} no {node} {peer} {there} "
                      f"{behind(number, inner)}"]
            made.append({"name": name, "tenant": "blue", "remote": peer, "mtu": 1400,
                         "allow": [behind(number, inner)],
                         "foreign": {"esn": False, "in": {"spi": spis[0], "key_file": keys[0]},
                                     "out": {"spi": spis[1], "key_file": keys[1]}}})
        self.sas.write_text("\n".join(lines) + "\n")
        self.node = lab.node(space, {
            "interfaces": [{"name": "wan0", "role": "wan", **devices[1]},
                           {"name": "lan0", "role": "lan", "tenant": "blue",
                            "prefixes": [LAN[f][2] for f in LAN], **devices[0]}],
            "tenants": [{"name": "blue", "routes": [
                {"prefix": behind(number, inner), "tunnel": name}
                for number, name in enumerate(self.names)]}],
            "tunnels": made})
        self.node.start()
        for name in self.names:
            self.node.cli("tunnel", "first-use", name)
        self.node.wait_up()

    def totals(self):
        """The tunnels' counters, added up, and the drops."""
        tunnels = self.node.cli("tunnel", "list")
        return {key: sum(tunnel[key] for tunnel in tunnels)
                for key in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")}, self.node.drops()

    def run(self, *words):
        """Runs the generator; returns (what it says, what the tunnels counted, what was dropped
        meanwhile)."""
        before, drops_before = self.totals()
        told = pktgen(self.lab, self.gen, *words)
        after, drops = self.totals()
        return told, {key: after[key] - before[key] for key in after}, {
            reason: packets - drops_before.get(reason, 0) for reason, packets in drops.items()
            if packets != drops_before.get(reason, 0)}

    def out(self, *words):
        """From the lan into the tunnels."""
        return self.run("--tx", self.ports[0], "--rx", self.ports[1], "--gateway",
                        LAN[self.inner][0], "--decrypt", self.sas, *words)

    def back(self, *words):
        """Out of the tunnels to the lan."""
        return self.run("--tx", self.ports[1], "--rx", self.ports[0], "--esp", self.sas, *words)

    def settle(self, way):
        """Until the node knows all hosts and has reserved enough numbers: the first packets to a
        new neighbour are lost."""
        topology.wait_for(lambda: way("--flows", 100, "--packets", 400, "--rate", 2000,
                                           "--warmup", 0)[0]["lost"]
                          == 0, 30, "nothing is lost any more")


@pytest.fixture(scope="module", params=((4, 6), (6, 4)), ids="outer{0[0]}-inner{0[1]}".format)
def bench(request, open_lab):
    outer, inner = request.param
    with open_lab(request.node) as lab:
        bench = Bench(lab, outer=outer, inner=inner)
        bench.settle(bench.out)
        bench.settle(bench.back)
        yield bench


def agree(told, counted, drops, way):
    """The generator's numbers are the node's, packet by packet."""
    assert told["sent"] == told["received"] + told["lost"]
    assert told["missed"] == told["duplicates"] == told["refused"] == told["unopened"] == 0
    assert told["received"] == counted[f"{way}_packets"] - (sum(drops.values()) if way == "rx"
                                                            else 0)
    assert told["lost"] == sum(drops.values()), drops


@pytest.mark.parametrize("size", (64, 512, 1400, "imix"))
def test_plain_packets_into_the_tunnels(bench, size):
    words = ("--size", "7x64,4x576,1x1400" if size == "imix" else size)
    told, counted, drops = bench.out(*words, "--flows", 100, "--packets", 3000, "--rate", 5000,
                                     "--warmup", 0)
    agree(told, counted, drops, "tx")
    assert told["sent"] == 3000 and drops == {} and told["reordered"] == 0
    assert counted["tx_bytes"] == told["sent_bytes"] == told["received_bytes"]
    assert told["latency_ns"]["p99"] > 0 and told["tunnels"] == 4


@pytest.mark.parametrize("size", (64, 512, 1400))
def test_esp_out_of_the_tunnels(bench, size):
    told, counted, drops = bench.back("--size", size, "--flows", 100, "--packets", 3000, "--rate",
                                      5000, "--warmup", 0)
    agree(told, counted, drops, "rx")
    assert told["sent"] == 3000 and drops == {} and told["reordered"] == 0
    assert counted["rx_bytes"] == told["sent_bytes"] == told["received_bytes"]


def test_the_warmup_is_counted_apart(bench):
    told, counted, drops = bench.out("--packets", 500, "--rate", 2000, "--warmup", 0.3)
    assert told["warmup"]["sent"] > 0 and told["sent"] == 500 and drops == {}
    assert counted["tx_packets"] == told["warmup"]["sent"] + 500


def test_what_a_cap_drops_is_what_is_lost(bench):
    for direction, way, reason in (("out", bench.out, "rate_tunnel_out"),
                                   ("in", bench.back, "rate_tunnel_in")):
        for name in bench.names[:2]:
            bench.node.cli("rate", "set", "tunnel", name, "100kbit", "direction", direction)
        told, counted, drops = way("--packets", 4000, "--rate", 4000, "--size", 500, "--warmup", 0)
        for name in bench.names[:2]:
            bench.node.cli("rate", "set", "tunnel", name, "none")
        agree(told, counted, drops, "tx" if direction == "out" else "rx")
        assert set(drops) == {reason} and told["lost"] > 500


def test_packets_that_are_too_big_are_lost(bench):
    told, counted, drops = bench.out("--size", "3x64,1x1401", "--packets", 4092, "--rate", 5000,
                                     "--warmup", 0)
    agree(told, counted, drops, "tx")
    assert drops == {"inner_too_big": 1023}


def test_a_route_that_is_gone_loses_its_flows(bench):
    bench.node.cli("route", "del", behind(0, bench.inner), "tenant", "blue")
    told, counted, _ = bench.out("--packets", 400, "--rate", 2000, "--warmup", 0)
    bench.node.cli("route", "add", behind(0, bench.inner), "tunnel", "t0", "tenant", "blue")
    assert told["lost"] == 100 and counted["tx_packets"] == told["received"] == 300


def test_esp_in_and_esp_out_again(lab):
    bench = Bench(lab, hop=True)

    def hop(*words):
        return bench.run("--tx", "gen1", "--esp", bench.sas, "--decrypt", bench.sas, *words)
    bench.settle(hop)
    told, counted, drops = hop("--packets", 2000, "--rate", 4000, "--size", 300, "--warmup", 0)
    assert drops == {} and told["lost"] == told["reordered"] == 0
    assert counted["rx_packets"] == counted["tx_packets"] == told["sent"] == 2000


def test_a_search_over_a_capped_node_finds_the_cap(lab):
    """The cap is the node's, whatever the machine does: NDR lies below it, PDR not above."""
    bench = Bench(lab, tunnels=1)
    bench.settle(bench.out)
    bench.node.cli("rate", "set", "tunnel", "t0", "4mbit", "direction", "out", "burst", 5000)
    told, _, _ = bench.out("--size", 500, "--search", "--rate", 2000, "--trial", 0.5, "--loss", 1)
    cap_pps = 4e6 / 8 / 500
    assert told["pdr"] and told["pdr"]["tx_pps"] <= cap_pps * 1.08
    assert told["ndr"] is None or told["ndr"]["tx_pps"] <= cap_pps * 1.08
    assert any(trial["lost"] for trial in told["trials"])


def test_three_hundred_tunnels_are_two_commands(lab):
    folder, tunnels = lab.folder / "load", 300
    gen, space = lab.namespace("gen"), lab.namespace("node")
    lab.link(gen, "gen0", space, "lan0", (), ["198.19.0.1/24"])
    lab.link(gen, "gen1", space, "wan0", (), ["198.18.0.1/24"])
    gen.run(lab.build / "perf/pktgen/spillway-pktgen", "--write-node-config", folder, "--tunnels",
            tunnels)
    node = lab.node(space, {})
    node.config = (folder / "config.yaml").read_text().replace("node: load", f"node: {node.name}")
    node.start()
    assert node.cli("batch", folder / "tunnels")["applied"] == 2 * tunnels
    words = ("--tx", "gen0", "--rx", "gen1", "--gateway", "198.19.0.1", "--decrypt",
             folder / "sas", "--rate", 3000)
    topology.wait_for(lambda: pktgen(lab, gen, *words, "--packets", 600, "--warmup",
                                     0.2)["lost"] == 0, 40, "nothing is lost")
    before = {tunnel["name"]: tunnel["tx_packets"] for tunnel in node.cli("tunnel", "list")}
    told = pktgen(lab, gen, *words, "--packets", 3 * tunnels, "--warmup", 0)
    assert told["tunnels"] == tunnels and told["lost"] == 0
    sent = {tunnel["name"]: tunnel["tx_packets"] - before[tunnel["name"]]
            for tunnel in node.cli("tunnel", "list")}
    assert len(sent) == tunnels and set(sent.values()) == {3}


# ---- ports --------------------------------------------------------------------------------------


def test_an_interface_that_is_not_the_generators_own_is_refused(lab):
    bench = Bench(lab, tunnels=1)
    node = bench.node.namespace
    # A link that has come up is running some time later, when the kernel's link watch has seen it.
    topology.wait_for(lambda: "state UP" in node.run("ip", "link", "show", "lan0").stdout, 5,
                      "lan0 is running")
    text = pktgen(lab, node, "--tx", "lan0", status=1)
    assert "it has an XDP program already" in text
    bench.gen.run("ip", "link", "set", "gen1", "down")
    assert "ip link set gen1 up" in pktgen(lab, bench.gen, "--tx", "gen1", status=1)
    text = pktgen(lab, bench.gen, "--tx", "gen0", "--gateway", "198.19.0.77", status=1)
    assert "198.19.0.77 does not answer on gen0" in text


def test_an_interface_is_as_it_was_afterwards(lab):
    gen = lab.namespace("gen")
    lab.link(gen, "gen0", gen, "gen1", ["192.0.2.1/24"], queues=2)
    for words in (("--rx", "gen1"), ("--rx", "gen1", "--cores", f"{CORES[0]},{CORES[-1]}")):
        told = pktgen(lab, gen, "--tx", "gen0", *words, "--packets", 2000, "--rate", 5000,
                      "--size", 700, "--warmup", 0)
        assert told["sent"] == told["received"] == 2000 and told["lost"] == 0
        assert "xdp" not in gen.run("ip", "link", "show").stdout
    text = pktgen(lab, gen, "--tx", "gen0", "--rx", "gen1", "--size", 1500, "--esp",
                  make_sas(lab), "--gateway", "02:00:00:00:00:01", status=2)
    assert "its MTU is 1500" in text


def make_sas(lab):
    path = lab.folder / "one"
    path.write_text(f"tx 0x400 {lab.secret('one', 40)} no 192.0.2.2 192.0.2.1 10.0.0.1 10.0.0.2\n")
    return path


def test_a_killed_generator_leaves_nothing_behind(lab):
    gen = lab.namespace("gen")
    lab.link(gen, "gen0", gen, "gen1")
    process = gen.popen(lab.build / "perf/pktgen/spillway-pktgen", "--tx", "gen0", "--rx", "gen1",
                        "--seconds", 60, stdout=subprocess.PIPE, text=True)
    assert "tx" in process.stdout.readline()
    assert "xdp" in gen.run("ip", "link", "show", "gen0").stdout
    process.kill()
    process.wait()
    topology.wait_for(lambda: "xdp" not in gen.run("ip", "link", "show").stdout, 5,
                      "its program is gone")
    assert pktgen(lab, gen, "--tx", "gen0", "--rx", "gen1", "--packets", 100, "--warmup",
                  0)["lost"] == 0


def test_memifs_to_a_node_in_another_process(lab):
    bench = Bench(lab, memif=True)
    for way, counter in ((bench.out, "tx"), (bench.back, "rx")):
        bench.settle(way)
        told, counted, drops = way("--size", 512, "--flows", 100, "--packets", 3000, "--rate",
                                   5000, "--warmup", 0)
        # What the node's kernel says while nobody is at the other end of the memif.
        drops.pop("tx_full", None)
        agree(told, counted, drops, counter)
        assert told["sent"] == 3000 and drops == {}


@pytest.mark.skipif(not shutil.which("dpdk-testpmd"), reason="needs Debian's package dpdk-dev")
def test_a_memif_to_testpmd(lab):
    """testpmd sends back all that comes in over a memif."""
    gen, path = lab.namespace("gen"), lab.folder / "memif.sock"
    echo = gen.popen("dpdk-testpmd", "--no-huge", "--no-pci", "-m", 256, "--no-telemetry",
                     "--no-shconf", "--file-prefix", gen.name, "--lcores",
                     f"0@{CORES[0]},1@{CORES[0]}", "--vdev",
                     f"net_memif0,role=server,socket={path},socket-abstract=no", "--",
                     "--forward-mode=io", "--auto-start", "--no-mlockall", "--total-num-mbufs=8192",
                     "--stats-period=60", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    topology.wait_for(path.exists, 20, "testpmd listens")
    told = pktgen(lab, gen, "--tx", f"net_memif0,role=client,socket={path},socket-abstract=no",
                  "--size", "imix", "--flows", 50, "--packets", 5000, "--rate", 10000, "--warmup",
                  0.2)
    assert told["sent"] == told["received"] == 5000
    assert told["lost"] == told["reordered"] == told["duplicates"] == 0
    echo.send_signal(signal.SIGINT)
    echo.wait(20)
    shutil.rmtree(f"/run/dpdk/{gen.name}", ignore_errors=True)  # which DPDK leaves
