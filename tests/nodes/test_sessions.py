# SPDX-License-Identifier: BSD-2-Clause
"""Tunnels whose keys change themselves: two public keys are exchanged, all else happens by itself
and costs no packet."""

import os
import signal
import time

import flows
import pytest
import topology

NODES = ("gwa", "relay", "gwb")


@pytest.fixture(scope="module")
def net(request, open_lab):
    with open_lab(request.node) as lab:
        net = topology.chain(lab, taps=True, mtu=1400, sessions=("blue",))
        net.start()
        net.nodes = [getattr(net, name) for name in NODES]
        for node in net.nodes:
            node.wait_up()
        flows.learn_hosts(net)
        yield net


def stream(net, pps=500, back=False):
    apps = (net.app2, net.app1) if back else (net.app1, net.app2)
    address = net.address("app1" if back else "app2", "blue")
    return flows.Stream(apps[0]["blue"], apps[1]["blue"], address, pps)


def sa(node, tunnel):
    return node.tunnel(tunnel)["sa"]


def test_up(net):
    """Each end says who its peer is, where it is, and that there was a handshake."""
    for gateway, there in (("gwa", "blue-a"), ("gwb", "blue-b")):
        for node, name, peer in ((getattr(net, gateway), "blue-relay", "relay"),
                                 (net.relay, there, gateway)):
            told = sa(node, name)
            assert told["keying"] == "session" and told["state"] == "up"
            assert told["peer"] == node.lab.key(peer)[1]
            assert told["handshake_age_s"] < 60
            assert told["endpoint"].endswith(":4500") and not told["endpoint_learned"]


def test_packets_pass_with_no_loss(net):
    with stream(net) as there, stream(net, back=True) as back:
        there.wait(500)
        back.wait(500)
        assert (there.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)


def test_rekeys_lose_no_packet(net):
    """A person asks for new keys again and again, on either side, under traffic."""
    before = {name: sa(net.gwa, "blue-relay")[name] for name in ("rekeys", "out")}
    drops = [node.drops() for node in net.nodes]
    with stream(net, 1000) as there, stream(net, 1000, back=True) as back:
        there.wait(300)
        for node, tunnel in ((net.gwa, "blue-relay"), (net.relay, "blue-a")):
            time.sleep(5.2)  # younger keys stay
            out = sa(net.gwa, "blue-relay")["out"]
            node.cli("tunnel", "rekey", tunnel)
            topology.wait_for(lambda: sa(net.gwa, "blue-relay")["out"] != out, 3, "new keys")
            there.wait(300)
        assert (there.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)
    after = sa(net.gwa, "blue-relay")
    assert after["rekeys"] == before["rekeys"] + 2
    assert len(after["out"]) == 1, "what it sends with no more is still told of"
    for node, old in zip(net.nodes, drops):
        new = node.drops()
        assert {reason: cnt for reason, cnt in new.items()
                if cnt != old.get(reason) and reason != "dummy"} == {}


def test_end_of_control_loses_no_packet(net):
    with stream(net) as there, stream(net, back=True) as back:
        there.wait(200)
        for node in net.nodes:
            pid = node.pid("control")
            os.kill(pid, signal.SIGKILL)
            node.wait_ready()
            topology.wait_for(lambda: node.pid("control") != pid, 10, "control runs again")
        there.wait(2000, timeout_s=20)
        assert (there.stop(), back.stop()) == (flows.ALL_ARRIVED, flows.ALL_ARRIVED)
