# SPDX-License-Identifier: BSD-2-Clause
"""A process of a node dies, or all of them: what the traffic notices, what is kept, and that
nothing is ever sent twice under a key or in clear."""

import ipaddress
import json
import os
import random
import signal
import struct
import subprocess
import time

import flows
import pytest
import topology
import traffic

SECONDS_DOWN_MAX = 6  # without a dataplane; with sanitizers
NODES = ("gwa", "relay", "gwb")
PROCESSES = ("control", "dataplane")


@pytest.fixture(scope="module")
def net(request, open_lab):
    """The usual chain. Its gateways also route in the kernel, so that a packet which the classifier
    let go would be seen in clear on the wire."""
    with open_lab(request.node) as lab:
        net = topology.chain(lab, taps=True, mtu=1400)
        for node, far, via in ((net.gwa, "10.2.0.0/24", net.outer[0][1]),
                               (net.gwb, "10.1.0.0/24", net.outer[1][1])):
            node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            node.namespace.run("ip", "route", "add", far, "via", via)
        net.start()
        flows.learn_hosts(net)
        net.nodes = [getattr(net, name) for name in NODES]
        yield net


def stream(net, pps=2000, back=False):
    apps = (net.app2, net.app1) if back else (net.app1, net.app2)
    address = net.address("app1" if back else "app2", "blue")
    return flows.Stream(apps[0]["blue"], apps[1]["blue"], address, pps)


def end(node, processes, number=signal.SIGKILL):
    """Sends a signal to processes of a node; returns when all of them were started again."""
    pids = {process: node.pid(process) for process in processes}
    for pid in pids.values():
        os.kill(pid, number)

    def again():
        try:
            status = node.cli("status")
        except topology.CliError:
            return False
        now = {"control": status["pid"], "dataplane": status["dataplane"].get("pid")}
        return status["dataplane"]["connected"] and all(
            now[process] != pid for process, pid in pids.items())
    topology.wait_for(again, 20, f"{' and '.join(processes)} of {node.name} run again")


def running_set(node):
    """Everything that a person could have changed."""
    tunnels = [node.tunnel(tunnel["name"]) for tunnel in node.cli("tunnel", "list")]
    return {"routes": node.cli("route", "list"), "rates": node.cli("rate", "list"),
            "tunnels": [{key: tunnel[key] for key in
                         ("name", "tenant", "remote", "local", "mtu", "allow", "id", "state")}
                        for tunnel in tunnels]}


# ---- control ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGTERM), ids=lambda n: n.name)
def test_end_of_control_loses_no_packet(net, number):
    dataplanes = [node.pid("dataplane") for node in net.nodes]
    drops = [node.drops() for node in net.nodes]
    with stream(net) as there, stream(net, back=True) as back:
        there.wait(500)
        for node in net.nodes:
            end(node, ["control"], number)
        there.wait(2000)
        assert (there.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)
    assert [node.pid("dataplane") for node in net.nodes] == dataplanes
    assert [node.drops() for node in net.nodes] == drops


def test_all_controls_stopped_lose_no_packet(net):
    """A control that hangs: no packet waits for it."""
    pids = [node.pid("control") for node in net.nodes]
    with stream(net) as there:
        there.wait(500)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            there.wait(4000)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert there.stop() == flows.ALL_ARRIVED


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGTERM), ids=lambda n: n.name)
def test_next_control_takes_up_what_it_finds(net, number):
    """config.yaml is not read again: what was changed stays changed, and can be changed on."""
    node = net.relay
    node.cli("route", "add", "10.77.0.0/16", "tunnel", "blue-b", "tenant", "blue")
    node.cli("route", "add", "10.2.0.128/25", "tunnel", "blue-b", "tenant", "blue")
    node.cli("route", "del", "fd00:2::/64", "tenant", "blue")
    node.cli("rate", "set", "tunnel", "blue-b", "300mbit", "direction", "out", "burst", 123456)
    node.cli("rate", "set", "tenant", "blue", "1.5gbit")
    node.cli("tunnel", "add", "extra", "--tenant", "blue", "--remote", "192.0.2.1:4600", "--allow",
             "10.78.0.0/16", "fd00:78::/64", "--secret-file", node.lab.secret("extra"))
    node.cli("route", "add", "10.78.0.0/16", "tunnel", "extra", "tenant", "blue")
    try:
        before = running_set(node)
        revision = node.cli("status")["revision"]
        assert len(before["tunnels"]) == 3
        with stream(net) as there:
            there.wait(200)
            end(node, ["control"], number)
            assert running_set(node) == before
            assert node.cli("status")["revision"] == revision
            node.cli("route", "add", "10.79.0.0/16", "tunnel", "extra", "tenant", "blue")
            added = {"tenant": "blue", "prefix": "10.79.0.0/16", "kind": "tunnel",
                     "tunnel": "extra"}
            assert [route for route in node.cli("route", "list")
                    if route not in before["routes"]] == [added]
            node.cli("route", "del", "10.79.0.0/16", "tenant", "blue")
            there.wait(200)
            assert there.stop() == flows.ALL_ARRIVED
    finally:
        for prefix in ("10.77.0.0/16", "10.2.0.128/25", "10.78.0.0/16"):
            node.cli("route", "del", prefix, "tenant", "blue")
        node.cli("tunnel", "del", "extra")
        node.cli("route", "add", "fd00:2::/64", "tunnel", "blue-b", "tenant", "blue")
        node.cli("rate", "set", "tunnel", "blue-b", "none")
        node.cli("rate", "set", "tenant", "blue", "none")


# ---- the dataplane, and everything --------------------------------------------------------------


class Watch:
    """Captures of all wires between nodes, from `with` to its end, and what must not be on them."""

    def __init__(self, net, name):
        self.net, self.name, self.captures = net, name, []

    def __enter__(self):
        self.captures = [wire.capture(f"{self.name}{i}") for i, wire in enumerate(self.net.wires)]
        return self

    def __exit__(self, *_):
        for capture in self.captures:
            if capture.process.poll() is None:
                capture.stop()

    def frames(self):
        """What each wire carried."""
        return [[bytes(frame) for frame in capture.stop().frames()] for capture in self.captures]


def findings(wires, markers):
    """(ESP packets, those whose (destination, SPI, IV) was there before, frames in clear)."""
    packets = repeated = clear = 0
    for frames in wires:
        seen = set()
        for frame in frames:
            clear += in_clear(frame, markers)
            key = esp_key(frame)
            if key:
                packets += 1
                repeated += key in seen
                seen.add(key)
    return packets, repeated, clear


INNER = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fd00::/16")]


def in_clear(frame, markers):
    """Whether a frame has an inner address or an inner byte that can be read."""
    if frame[12:14] == b"\x08\x00":
        addresses = frame[26:30], frame[30:34]
    elif frame[12:14] == b"\x86\xdd":
        addresses = frame[22:38], frame[38:54]
    else:
        addresses = ()
    return (any(ipaddress.ip_address(address) in network for address in addresses
                for network in INNER if len(address) * 8 == network.max_prefixlen) or
            any(marker in frame for marker in markers))


def esp_key(frame):
    """(destination, SPI, IV) of an ESP packet in UDP over IPv4, else None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    udp = 14 + (frame[14] & 15) * 4
    if frame[udp + 2:udp + 4] != traffic.TUNNEL_PORT.to_bytes(2, "big") or \
            frame[udp + 8:udp + 12] == bytes(4):
        return None
    return frame[30:34], frame[udp + 8:udp + 12], frame[udp + 16:udp + 24]


def wait_flow(flow):
    """Until packets come out of the far end again; returns the seconds."""
    began = time.monotonic()
    flow.wait(50, timeout_s=15)
    return time.monotonic() - began


@pytest.mark.parametrize("name", NODES)
def test_traffic_flows_again_after_the_dataplane_was_killed(net, name):
    node = getattr(net, name)
    with stream(net, pps=500) as there, Watch(net, f"killed-{name}") as watch:
        there.wait(100)
        os.kill(node.pid("dataplane"), signal.SIGKILL)
        topology.wait_for(lambda: time.monotonic() - there.last_arrival_s > 0.1, 5, "a gap")
        took = wait_flow(there)
        node.wait_up()
        there.wait(200)
        arrivals = there.stop()
        packets, repeated, clear = findings(watch.frames(), [there.name])
    assert took < SECONDS_DOWN_MAX
    assert arrivals.doubled == 0 and arrivals.damaged == 0
    assert packets > 400 and (repeated, clear) == (0, 0)


def test_packets_from_the_lan_are_counted_while_no_worker_runs(net):
    with stream(net, pps=500) as there:
        there.wait(100)
        before = net.gwa.drops().get("worker_absent", 0)
        end(net.gwa, ["dataplane"])
        wait_flow(there)
        lost = there.stop().lost
    absent = net.gwa.drops()["worker_absent"] - before
    assert 0 < absent <= lost


def test_any_process_killed_at_any_time(net):
    """Random rounds: no (key, IV) twice, nothing in clear, traffic flows again every time, and no
    SA is left over in the end."""
    chance = random.Random(7)
    tunnels = [len(node.cli("tunnel", "list")) for node in net.nodes]
    rounds = [(node, processes) for node in net.nodes
              for processes in (["control"], ["dataplane"], ["control", "dataplane"])]
    chance.shuffle(rounds)
    with stream(net, pps=500) as there, stream(net, pps=500, back=True) as back, \
            Watch(net, "rounds") as watch:
        for node, processes in rounds:
            there.wait(50, timeout_s=15)
            back.wait(50, timeout_s=15)
            time.sleep(chance.random() * 0.5)
            end(node, processes)
        for flow in (there, back):
            wait_flow(flow)
        there.wait(500)
        back.wait(500)
        for node in net.nodes:
            node.wait_up()
        arrivals = there.stop(), back.stop()
        packets, repeated, clear = findings(watch.frames(), [there.name, back.name])
    assert all(each.doubled == 0 and each.damaged == 0 for each in arrivals)
    assert packets > 2000 and (repeated, clear) == (0, 0)
    topology.wait_for(lambda: [node.cli("status")["tables"]["sas"]["used"]
                               for node in net.nodes] == tunnels, 10, "one SA a tunnel is left")


def test_supervisor_killed_leaves_nothing_open_and_the_next_takes_up(net):
    """Both processes stop, the classifier stays: packets of the lan go nowhere until the next run,
    which finds everything as it was."""
    node = net.gwa
    node.cli("route", "add", "10.80.0.0/16", "tunnel", "blue-relay", "tenant", "blue")
    before = running_set(node)
    pids = [node.pid(process) for process in PROCESSES]
    with stream(net, pps=500) as there, Watch(net, "supervisor") as watch:
        there.wait(100)
        node.process.kill()
        node.process.wait()
        topology.wait_for(lambda: not any(map(alive, pids)), 10, "both processes end")
        time.sleep(0.3)
        node.start()
        wait_flow(there)
        node.wait_up()
        after = running_set(node)
        there.stop()
        packets, repeated, clear = findings(watch.frames(), [there.name])
    assert after == before
    assert packets > 100 and (repeated, clear) == (0, 0)
    node.cli("route", "del", "10.80.0.0/16", "tenant", "blue")


def test_rows_of_a_dead_dataplane_hold_nothing_up(net):
    """A worker died between two bursts and control with it; the next dataplane waits already when
    control looks who runs, but has no tables yet."""
    node = net.gwa
    row = struct.Struct("=QQ")  # struct spw_worker_row: epoch, generation
    with stream(net, pps=500) as there:
        there.wait(100)
        pids = [node.pid(process) for process in PROCESSES]
        node.process.kill()
        node.process.wait()
        topology.wait_for(lambda: not any(map(alive, pids)), 10, "both processes end")
        waiting = node.namespace.popen(node.lab.program("spillway-dataplane"), "--node", node.name,
                                       env=node.lab.environment, stderr=subprocess.PIPE, text=True)
        try:
            assert "waiting for control" in waiting.stderr.readline()
            os.kill(waiting.pid, signal.SIGSTOP)
            pin = node.pins() / "workers"
            entry = json.loads(topology.run("bpftool", "-j", "map", "lookup", "pinned", pin, "key",
                                            0, 0, 0, 0).stdout)
            value = bytes(int(byte, 16) for byte in entry["value"])
            value = row.pack(1, row.unpack_from(value)[1] or 1) + value[row.size:]
            topology.run("bpftool", "map", "update", "pinned", pin, "key", 0, 0, 0, 0, "value",
                         *value)
            node.start()
            wait_flow(there)
        finally:
            waiting.kill()
            waiting.wait()
            waiting.stderr.close()
    node.wait_up()


def again(frames):
    """Its last ESP packet once more."""
    return frames + [frame for frame in frames if esp_key(frame)][-1:]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_watch_would_see_a_leak_and_a_repetition(net):
    """After a proper stop the kernel routes the lan's packets in clear: the checks above can fail.
    """
    with stream(net, pps=500) as there, Watch(net, "repetition") as watch:
        there.wait(100)
        wires = watch.frames()
        assert findings(wires, [there.name])[1:] == (0, 0)
        assert findings([again(frames) for frames in wires], [])[1] == len(wires)
    net.gwa.stop()
    try:
        with Watch(net, "leak") as watch:
            net.app1["blue"].ping(net.address("app2", "blue"), 5, wait_s=1)
            assert findings(watch.frames(), [])[2] >= 5
    finally:
        net.gwa.start()
        net.gwa.wait_up()
