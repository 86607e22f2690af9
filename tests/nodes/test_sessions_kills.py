# SPDX-License-Identifier: BSD-2-Clause
"""Processes of nodes with sessions die, one or several, at any time: nothing is ever sent twice
under a key or in clear, traffic flows again, and both ends agree on one session.

SPW_KILL_ROUNDS: rounds of test_any_process_killed_at_any_time, for more of them by hand."""

import os
import random
import signal
import time

import flows
import pytest
import topology
from test_restart import Watch, end, esp_key, findings, stream

ROUNDS = int(os.environ.get("SPW_KILL_ROUNDS", 9))
AGAIN_S_MAX = 8  # a dataplane's start with sanitizers on a busy machine, and a handshake
SAS_MAX = 8  # of a tunnel: four sessions, and four sets that controls before have left
NODES = ("gwa", "relay", "gwb")


@pytest.fixture(scope="module")
def net(request, open_lab):
    """The usual chain. Its gateways also route in the kernel, so that a packet which the classifier
    let go would be seen in clear on the wire."""
    with open_lab(request.node) as lab:
        net = topology.chain(lab, taps=True, mtu=1400, sessions=("blue",))
        for node, far, via in ((net.gwa, "10.2.0.0/24", net.outer[0][1]),
                               (net.gwb, "10.1.0.0/24", net.outer[1][1])):
            node.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            node.namespace.run("ip", "route", "add", far, "via", via)
        net.start()
        flows.learn_hosts(net)
        net.nodes = [getattr(net, name) for name in NODES]
        yield net


def spis(frames, destination):
    """The SPIs of ESP packets to an outer address, in the order of their first packets."""
    keys = [esp_key(frame) for frame in frames]
    address = bytes(map(int, destination.split(".")))
    return list(dict.fromkeys(key[1] for key in keys if key and key[0] == address))


# ---- both ends at once --------------------------------------------------------------------------


def test_both_ends_start_at_once(net):
    """Both begin a handshake; in the end each direction has one session that is sent with."""
    with stream(net, 300) as there, stream(net, 300, back=True) as back:
        for _ in range(2):
            pids = [node.pid("dataplane") for node in (net.gwa, net.relay)]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            topology.wait_for(lambda old=pids: again(net, old), 20, "both dataplanes are back")
            for node in net.nodes:
                node.wait_up()
            there.wait(100)
            back.wait(100)
        capture = net.wires[0].capture("settled")
        there.wait(300)
        back.wait(300)
        time.sleep(0.3)  # until the capture has got them
        frames = [bytes(frame) for frame in capture.stop().frames()]
        arrivals = there.stop(), back.stop()
    assert all(each.doubled == 0 and each.damaged == 0 for each in arrivals)
    for address in net.outer[0][:2]:
        assert len(spis(frames, address)) == 1
    ends = [(net.gwa, "blue-relay"), (net.relay, "blue-a")]
    (gwa_in, gwa_out), (relay_in, relay_out) = [
        [{each["spi"] for each in node.tunnel(name)["sa"][way]} for way in ("in", "out")]
        for node, name in ends]
    assert len(gwa_out) == len(relay_out) == 1
    assert gwa_out <= relay_in and relay_out <= gwa_in


def again(net, old_pids):
    """Whether both dataplanes run again, others than those."""
    told = [node.cli("status")["dataplane"] for node in (net.gwa, net.relay)]
    return all(each["connected"] and each["pid"] not in old_pids for each in told)


# ---- any time -----------------------------------------------------------------------------------


def flows_again(streams, since):
    """Waits until packets come out of the far ends; returns the seconds since then."""
    topology.wait_for(lambda: all(each.last_arrival_s > since for each in streams), 20,
                      "packets arrive again", interval_s=0.002)
    return max(each.last_arrival_s for each in streams) - since


def test_any_process_killed_at_any_time(net):
    """Random rounds: no (key, IV) twice, nothing in clear, traffic flows again every time, and SAs
    do not pile up."""
    chance = random.Random(int(os.environ.get("SPW_KILL_SEED", 11)))
    took = []
    with stream(net, 500) as there, stream(net, 500, back=True) as back, \
            Watch(net, "rounds") as watch:
        for number in range(ROUNDS):
            there.wait(50, timeout_s=20)
            back.wait(50, timeout_s=20)
            time.sleep(chance.random() * 0.5)
            node = net.nodes[number % 3]
            processes = (["control"], ["dataplane"], ["control", "dataplane"])[chance.randrange(3)]
            end(node, processes)
            took.append((flows_again((there, back), time.monotonic()), node.name,
                         "+".join(processes)))
        for node in net.nodes:
            node.wait_up()
        there.wait(200)
        back.wait(200)
        arrivals = there.stop(), back.stop()
        packets, repeated, clear = findings(watch.frames(), [there.name, back.name])
    took.sort()
    print(f"{ROUNDS} rounds: {packets} packets, {repeated} repeated, {clear} in clear; lost "
          f"{arrivals[0].lost} and {arrivals[1].lost}; traffic after s: median "
          f"{took[len(took) // 2][0]:.3f}, the last {took[-3:]}; longest gaps "
          f"{there.longest_gap_s:.2f} and {back.longest_gap_s:.2f} s")
    assert all(each.doubled == 0 and each.damaged == 0 for each in arrivals)
    assert packets > 100 * ROUNDS and (repeated, clear) == (0, 0)
    assert took[-1][0] < AGAIN_S_MAX
    for node in net.nodes:
        tunnels = len(node.cli("tunnel", "list"))
        used = node.cli("status")["tables"]["sas"]["used"]
        assert used <= SAS_MAX * tunnels, f"{node.name}: {used} SAs"
