# SPDX-License-Identifier: BSD-2-Clause
"""Routes and rates change from the command line while traffic runs: no packet is lost, and a change
that is refused leaves everything as it was."""

import ipaddress
import itertools
import random
import time

import flows
import pytest
import topology

ROUTES_MAX = 400
# More than fits: the pool is made for 400 of the worst kind, and has a fixed part beside them.
FULL_ROUTES = 60000


@pytest.fixture(scope="module")
def net(request, open_lab):
    with open_lab(request.node) as lab:
        net = topology.chain(lab)
        for node in (net.gwa, net.relay):
            node.config["limits"] = {"routes": ROUTES_MAX}
        # A second way from gwa to the relay, that nothing is routed into.
        for node, remote, allow in ends(net):
            node.config["tunnels"].append(
                {"name": "blue-second", "tenant": "blue", "remote": remote, "allow": [allow],
                 "static": {"secret_file": lab.secret("second")}})
        net.start()
        flows.learn_hosts(net)
        yield net


def ends(net):
    """Of a tunnel between gwa and relay: (node, remote, what may come out of it)."""
    own, relays, _ = net.outer[0]
    return (net.gwa, relays, "10.2.0.0/24"), (net.relay, own, "10.1.0.0/24")


def stream(net, **options):
    return flows.Stream(net.app1["blue"], net.app2["blue"], net.address("app2", "blue"), **options)


def batch(node, lines):
    return node.cli("batch", "-", input="\n".join(lines) + "\n")


def prefixes(cnt, family=4):
    """Different prefixes of all lengths, none of which covers a host of the net."""
    if family == 6:
        return [f"fd12:{i:x}::/{32 + i % 97}" for i in range(cnt)]
    return [f"172.{16 + i // 256}.{i % 256}.0/{24 + i % 9}" for i in range(cnt)]


def state(node):
    return [node.cli(*words) for words in (("route", "list"), ("rate", "list"),
                                           ("tunnel", "list"))]


def names_and_routes(node):
    routes, rates, tunnels = state(node)
    return routes, rates, [tunnel["name"] for tunnel in tunnels]


def test_2000_route_changes_and_new_rates_lose_no_packet(net):
    before = names_and_routes(net.gwa), names_and_routes(net.relay)
    drops = net.gwa.drops(), net.relay.drops()
    rates = itertools.cycle(("900mbit", "1gbit", "800mbit"))
    tunnel = {net.gwa: "blue-relay", net.relay: "blue-b"}
    changes = 0
    with stream(net) as running:
        running.wait(200)
        while changes < 2000 or running.sent < 3000:
            for node, family in ((net.gwa, 4), (net.relay, 6)):
                some = prefixes(125, family)
                adds = batch(node, [f"route add {prefix} tunnel {tunnel[node]} tenant blue"
                                    for prefix in some])
                node.cli("rate", "set", "tunnel", tunnel[node], next(rates))
                node.cli("rate", "set", "tenant", "blue", next(rates))
                dels = batch(node, [f"route del {prefix} tenant blue" for prefix in some])
                assert (adds["applied"], dels["applied"]) == (125, 125)
                changes += 250
        running.wait(200)
        assert running.stop() == flows.ALL_ARRIVED
    for node in (net.gwa, net.relay):
        for kind, name in (("tunnel", tunnel[node]), ("tenant", "blue")):
            node.cli("rate", "set", kind, name, "none")
    assert (names_and_routes(net.gwa), names_and_routes(net.relay)) == before
    assert (net.gwa.drops(), net.relay.drops()) == drops


@pytest.mark.parametrize("name, words, options, reason", [
    ("gwa", ("tunnel", "blue-relay"), ("direction", "out"), "rate_tunnel_out"),
    ("relay", ("tunnel", "blue-a"), ("direction", "in"), "rate_tunnel_in"),
    ("gwb", ("tenant", "blue"), (), "rate_tenant"),
], ids=("tunnel-out", "tunnel-in", "tenant"))
def test_a_cap_holds_and_every_drop_is_counted(net, name, words, options, reason):
    node = getattr(net, name)
    before = node.drops()
    with stream(net) as running:
        running.wait(200)
        node.cli("rate", "set", *words, "1mbit", *options)
        time.sleep(0.6)  # the burst is used up after 0.2 s
        received, began = running.received, time.monotonic()
        time.sleep(2)
        received, took = running.received - received, time.monotonic() - began
        node.cli("rate", "set", *words, "none", *options)
        running.wait(500)
        lost, *others = running.stop()
    inner_bits = 8 * (20 + flows.UDP_BYTES + running.payload_bytes)
    assert 0.9e6 <= received * inner_bits / took <= 1.1e6
    assert others == [0, 0, 0]
    after = node.drops()
    assert lost == after[reason] - before.get(reason, 0) > 1000
    assert {**before, reason: after[reason]} == after


def test_a_route_moves_between_tunnels_without_a_lost_packet(net):
    prefix = "10.2.0.0/24"
    before = {name: net.gwa.tunnel(name)["tx_packets"] for name in ("blue-relay", "blue-second")}
    with stream(net) as running:
        running.wait(100)
        for tunnel in ("blue-second", "blue-relay") * 5:
            batch(net.gwa, [f"route del {prefix} tenant blue",
                            f"route add {prefix} tunnel {tunnel} tenant blue"])
            running.wait(100)
        lost, doubled, _, damaged = running.stop()
        assert (lost, doubled, damaged) == (0, 0, 0)
    took = {name: net.gwa.tunnel(name)["tx_packets"] - cnt for name, cnt in before.items()}
    assert sum(took.values()) == running.sent and min(took.values()) >= 500, took


def test_a_tunnel_comes_and_goes_under_traffic(net):
    secret = net.gwa.lab.secret("third")
    with stream(net) as running:
        for _ in range(3):
            for node, remote, allow in ends(net):
                node.cli("tunnel", "add", "third", "--tenant", "blue", "--remote", remote,
                         "--allow", allow, "--secret-file", secret)
            for node in (net.gwa, net.relay):
                node.wait_up()
            move = ["route del 10.2.0.0/24 tenant blue",
                    "route add 10.2.0.0/24 tunnel {} tenant blue"]
            batch(net.gwa, [line.format("third") for line in move])
            running.wait(100)
            batch(net.gwa, [line.format("blue-relay") for line in move])
            running.wait(100)
            assert net.gwa.tunnel("third")["tx_packets"] >= 50
            for node in (net.gwa, net.relay):
                node.cli("tunnel", "del", "third")
        lost, doubled, _, damaged = running.stop()
        assert (lost, doubled, damaged) == (0, 0, 0)


@pytest.mark.parametrize("bad, says", [
    ("route add 10.2.0.0/24 tunnel blue-relay tenant blue", "10.2.0.0/24"),  # twice
    ("route add 172.20.0.0/24 tunnel nowhere tenant blue", "nowhere"),
    ("route del 172.21.0.0/24 tenant blue", "172.21.0.0/24"),
    ("route add 10.1.0.0/24 tunnel blue-relay tenant blue", "lan"),
    ("route add 172.22.0.1/24 tunnel blue-relay tenant blue", "172.22.0.1/24"),
    ("rate set tunnel nowhere 1mbit", "nowhere"),
    ("rate set tunnel blue-relay fast", "fast"),
    ("tunnel del blue-relay", "route"),  # that leads into it
])
def test_a_bad_line_in_the_middle_of_a_batch_changes_nothing(net, bad, says):
    before = state(net.gwa)
    lines = ["route add 172.16.0.0/24 tunnel blue-relay tenant blue",
             "rate set tunnel blue-relay 5mbit", "route del 10.2.0.0/24 tenant blue",
             "route add 10.2.0.0/24 tunnel blue-second tenant blue",
             "tunnel add fourth --tenant blue --remote 192.0.2.2 --allow 10.2.0.0/24 "
             f"--secret-file {net.gwa.lab.secret('fourth')}", bad,
             "route add 172.18.0.0/24 tunnel blue-relay tenant blue"]
    with pytest.raises(topology.CliError, match=says) as refused:
        batch(net.gwa, lines)
    assert refused.value.error["data"]["line"] == 6
    assert state(net.gwa) == before
    # Nor does any route lead into blue-second now, which would keep it from being deleted.
    with pytest.raises(topology.CliError) as refused:
        batch(net.gwa, ["tunnel del blue-second", bad])
    assert refused.value.error["data"]["line"] == 2
    assert state(net.gwa) == before


def scattered(cnt):
    """IPv6 hosts that share nothing, and so take as much of the tables as prefixes can."""
    numbers = random.Random(1)
    return [str(ipaddress.IPv6Address(0xfd << 120 | numbers.getrandbits(120)))
            for _ in range(cnt)]


def test_a_full_route_table_refuses_the_batch_and_serves_on(net):
    node = net.gwa
    before, tables = names_and_routes(node), node.cli("status")["tables"]
    hosts = scattered(FULL_ROUTES)
    adds = [f"route add {host} tunnel blue-relay tenant blue" for host in hosts]
    with stream(net, pps=500) as running:
        with pytest.raises(topology.CliError, match="limits.routes") as refused:
            batch(node, adds)
        assert refused.value.status == 1
        assert refused.value.error["data"]["errno"] == "ENOSPC"
        assert refused.value.error["data"]["line"] > ROUTES_MAX
        assert names_and_routes(node) == before
        assert node.cli("status")["tables"] == tables
        # What fits is taken, again and again.
        for _ in range(3):
            batch(node, adds[:ROUTES_MAX // 2])
            batch(node, [f"route del {host} tenant blue" for host in hosts[:ROUTES_MAX // 2]])
        assert running.stop() == flows.ALL_ARRIVED
    assert names_and_routes(node) == before
