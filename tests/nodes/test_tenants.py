# SPDX-License-Identifier: BSD-2-Clause
"""Two tenants with the very same inner addresses on the same nodes: packets never cross."""

import contextlib

import flows
import pytest
import topology

CNT = {"blue": 30, "green": 50}
SOURCE_PORT, PORT = 7001, 7002
PAYLOAD_BYTES = 500


@pytest.fixture(scope="module")
def net(request, open_lab):
    with open_lab(request.node) as lab:
        net = topology.chain(lab, tuple(CNT), overlap=True)
        net.start()
        flows.learn_hosts(net)
        yield net


def nodes(net):
    return net.gwa, net.relay, net.gwb


def interleaved(net, senders, receivers, source, address, cnt=CNT):
    """Sends packets of both tenants in turn, equal but for their payload, from app1 to app2 or
    back; returns {tenant: payloads} as they arrived."""
    with contextlib.ExitStack() as stack:
        rx = {tenant: stack.enter_context(flows.udp_socket(receivers[tenant], address, PORT))
              for tenant in cnt}
        tx = {tenant: stack.enter_context(flows.udp_socket(senders[tenant], source, SOURCE_PORT))
              for tenant in cnt}
        for number in range(max(cnt.values())):
            for tenant in cnt:
                if number < cnt[tenant]:
                    tx[tenant].sendto(f"{tenant} {number}".encode().ljust(PAYLOAD_BYTES),
                                      (address, PORT))
        return {tenant: [payload.decode().rstrip() for payload, _ in
                         flows.receive(rx[tenant], cnt[tenant], wait_s=2)] for tenant in cnt}


def both_ways(net, family):
    """(senders, receivers, source address, destination address), there and back."""
    one, two = (net.address(app, "blue", family) for app in ("app1", "app2"))
    assert (one, two) == tuple(net.address(app, "green", family) for app in ("app1", "app2"))
    return [(net.app1, net.app2, one, two), (net.app2, net.app1, two, one)]


@pytest.mark.parametrize("family", (4, 6))
def test_equal_packets_arrive_at_the_own_tenants_host_and_count_there(net, family):
    for senders, receivers, source, address in both_ways(net, family):
        before = [flows.counted(node) for node in nodes(net)]
        arrived = interleaved(net, senders, receivers, source, address)
        for tenant, cnt in CNT.items():
            assert arrived[tenant] == [f"{tenant} {number}" for number in range(cnt)]
        for node, counters in zip(nodes(net), before):
            changes = flows.changes(node, counters)
            assert not [key for key in changes if "drop" in key]
            for tenant, cnt in CNT.items():
                rx, tx = ([value for key, value in changes.items()
                           if key.startswith(f"{tenant}-") and key.endswith(f" {verb}_packets")]
                          for verb in ("rx", "tx"))
                # A gateway has one tunnel of the tenant, a relay two: one in, one out.
                assert rx + tx == [cnt] * (2 if node is net.relay else 1), (node.name, changes)


def test_tenants_share_no_tunnel_sa_or_route(net):
    for node in nodes(net):
        tunnels = [node.tunnel(tunnel["name"]) for tunnel in node.cli("tunnel", "list")]
        assert len({tunnel["id"] for tunnel in tunnels}) == len(tunnels)
        routes = node.cli("route", "list")
        tenant_of = {tunnel["name"]: tunnel["tenant"] for tunnel in tunnels}
        crossing = [route for route in routes if route["kind"] == "tunnel"
                    and tenant_of[route["tunnel"]] != route["tenant"]]
        assert not crossing
        prefixes = {tenant: {route["prefix"] for route in routes if route["tenant"] == tenant
                             and route["kind"] != "host"} for tenant in CNT}
        assert prefixes["blue"] == prefixes["green"] != set()


def test_a_route_into_another_tenants_tunnel_is_refused(net):
    before = net.gwa.cli("route", "list")
    with pytest.raises(topology.CliError, match="green.*blue|blue.*green") as refused:
        net.gwa.cli("route", "add", "10.99.0.0/24", "tunnel", "green-relay", "tenant", "blue")
    assert refused.value.status == 1
    assert net.gwa.cli("route", "list") == before


def test_one_tenants_missing_route_is_not_served_by_the_other(net):
    _, _, source, address = both_ways(net, 4)[0]
    prefix = address.rsplit(".", 1)[0] + ".0/24"
    net.relay.cli("route", "del", prefix, "tenant", "blue")
    before = flows.counted(net.relay)
    arrived = interleaved(net, net.app1, net.app2, source, address)
    changes = flows.changes(net.relay, before)
    net.relay.cli("route", "add", prefix, "tunnel", "blue-b", "tenant", "blue")
    assert len(arrived["green"]) == CNT["green"] and arrived["blue"] == []
    assert changes["drop route_missing"] == changes["blue-a rx_drops"] == CNT["blue"]
    assert "green-a rx_drops" not in changes and "blue-b tx_packets" not in changes


def test_one_tenants_cap_does_not_slow_the_other(net):
    _, _, source, address = both_ways(net, 4)[0]
    cnt = {"blue": 50, "green": 50}
    # A burst of 7 packets, and then 125 bytes a second.
    net.gwa.cli("rate", "set", "tenant", "blue", "1kbit", "burst", 4096)
    before = flows.counted(net.gwa)
    arrived = interleaved(net, net.app1, net.app2, source, address, cnt)
    changes = flows.changes(net.gwa, before)
    net.gwa.cli("rate", "set", "tenant", "blue", "none")
    assert len(arrived["green"]) == cnt["green"]
    assert 7 <= len(arrived["blue"]) <= 9
    assert changes["drop rate_tenant"] == cnt["blue"] - len(arrived["blue"])
