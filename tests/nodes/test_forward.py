# SPDX-License-Identifier: BSD-2-Clause
"""Packets from one lan to another through gateway, relay and gateway, and back."""

import hashlib
import itertools
import os
import socket
import threading
import time

import flows
import pytest
import topology
import traffic

APP_TTL = 64
NODES_ON_THE_WAY = 3
CIPHERS = {"blue": "aes-128-gcm", "green": "aes-256-gcm"}
PAYLOAD_BYTES = [*range(9), 33, 500, 1000, 1350, 1351, 1352]

each_cipher = pytest.mark.parametrize("tenant", tuple(CIPHERS), ids=CIPHERS.get)


@pytest.fixture(scope="module", params=(4, 6), ids=lambda outer: f"outer{outer}")
def net(request, open_lab):
    with open_lab(request.node) as lab:
        net = topology.chain(lab, tuple(CIPHERS), outer=request.param, taps=True)
        net.outer_family = request.param
        for node in nodes(net):
            for tunnel in node.config["tunnels"]:
                tunnel["cipher"] = CIPHERS[tunnel["tenant"]]
        net.start()
        flows.learn_hosts(net)
        yield net


def nodes(net):
    return net.gwa, net.relay, net.gwb


def directions(net, tenant, family):
    """(sender, receiver, address of the receiver, [way in, way out of each node])."""
    app1, app2, lan = net.app1[tenant], net.app2[tenant], f"lan-{tenant}"
    a, b, gateway = ("wan0", f"{tenant}-a"), ("wan1", f"{tenant}-b"), ("wan0", f"{tenant}-relay")
    return [(app1, app2, net.address("app2", tenant, family),
             [(lan, gateway), (a, b), (gateway, lan)]),
            (app2, app1, net.address("app1", tenant, family),
             [(gateway, lan), (b, a), (lan, gateway)])]


@each_cipher
@pytest.mark.parametrize("family", (4, 6))
def test_udp_arrives_as_it_was_sent_and_every_node_counts_it(net, tenant, family):
    for sender, receiver, address, ways in directions(net, tenant, family):
        payloads = [os.urandom(size) for size in PAYLOAD_BYTES]
        headers_bytes = flows.ip_bytes(address) + flows.UDP_BYTES
        before = [flows.counted(node) for node in nodes(net)]
        arrived = flows.deliver(sender, receiver, address, payloads, ttl=APP_TTL)
        assert [payload for payload, _ in arrived] == payloads
        assert {ttl for _, ttl in arrived} == {APP_TTL - NODES_ON_THE_WAY}
        for node, counters, (way_in, way_out) in zip(nodes(net), before, ways):
            assert flows.changes(node, counters) == flows.add_up(
                *(flows.carried(way_in, way_out, 1, headers_bytes + size, net.outer_family)
                  for size in PAYLOAD_BYTES)), node.name


def receive_exactly(sock, size_bytes):
    data = bytearray()
    while len(data) < size_bytes:
        part = sock.recv(1 << 16)
        if not part:
            break
        data += part
    return bytes(data)


def echo_over_tcp(client_space, server_space, address, data):
    """Sends data to a server that reads all of it and sends it back; returns what came back."""
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server_space.socket(kind) as listener, client_space.socket(kind) as client:
        listener.bind((address, 0))
        listener.listen()
        listener.settimeout(20)
        client.settimeout(20)

        def serve():
            server = listener.accept()[0]
            with server:
                server.settimeout(20)
                server.sendall(receive_exactly(server, len(data)))

        server = threading.Thread(target=serve)
        server.start()
        client.connect(listener.getsockname()[:2])
        client.sendall(data)
        back = receive_exactly(client, len(data))
        server.join()
        return back


@each_cipher
@pytest.mark.parametrize("family", (4, 6))
def test_tcp_carries_a_file_there_and_back_without_a_drop(net, tenant, family):
    sent = os.urandom(1 << 20)
    before = [flows.counted(node) for node in nodes(net)]
    back = echo_over_tcp(net.app1[tenant], net.app2[tenant],
                         net.address("app2", tenant, family), sent)
    assert hashlib.sha256(back).digest() == hashlib.sha256(sent).digest()
    time.sleep(0.3)  # the last acknowledgements
    gwa, relay, gwb = (flows.changes(node, counters)
                       for node, counters in zip(nodes(net), before))
    assert not [key for node in (gwa, relay, gwb) for key in node if "drop" in key]
    for counter in ("packets", "bytes"):
        there = [gwa[f"{tenant}-relay tx_{counter}"], relay[f"{tenant}-a rx_{counter}"],
                 relay[f"{tenant}-b tx_{counter}"], gwb[f"{tenant}-relay rx_{counter}"]]
        back = [gwb[f"{tenant}-relay tx_{counter}"], relay[f"{tenant}-b rx_{counter}"],
                relay[f"{tenant}-a tx_{counter}"], gwa[f"{tenant}-relay rx_{counter}"]]
        assert len(set(there)) == len(set(back)) == 1, (there, back)
        assert counter == "packets" or min(there[0], back[0]) > len(sent)


def test_wires_carry_nothing_readable_and_no_iv_twice(net):
    marker = os.urandom(16)
    captures = [wire.capture(f"wire{i}") for i, wire in enumerate(net.wires)]
    flows_cnt, per_flow = 0, 100
    for tenant, family in itertools.product(CIPHERS, (4, 6)):
        for sender, receiver, address, _ in directions(net, tenant, family):
            payloads = [marker * (1 + number % 60) for number in range(per_flow)]
            assert len(flows.deliver(sender, receiver, address, payloads)) == per_flow
            flows_cnt += 1
    for capture in captures:
        audit = traffic.WireAudit(marker)
        audit.read(capture.stop())
        assert audit.ok(), str(audit)
        assert audit.packets == flows_cnt * per_flow, str(audit)
